"""Waves close, and their velocity is the derivative of their displacement."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.phantom.waves import closed_wave


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_wave_closes_and_integrates(seed):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(1, 4, generator=generator, dtype=torch.float64)
    width = 0.02 + 0.08 * torch.rand(1, 4, generator=generator, dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.4, -0.7, -0.2]], dtype=torch.float64)
    wave = closed_wave(centre, width, weight)
    time = torch.linspace(0, 1, 101, dtype=torch.float64)[None]
    displacement = wave.displacement(time)
    assert abs(float(displacement[0, -1])) < 1e-6
    step = 1e-5
    slope = (wave.displacement(time + step) - wave.displacement(time - step)) / (2 * step)
    assert torch.allclose(slope, wave.velocity(time), atol=1e-4)


def test_a_delay_moves_the_peak():
    wave = closed_wave(torch.tensor([[0.2, 0.6]]), torch.tensor([[0.05, 0.05]]), torch.tensor([[1.0, -1.0]]))
    time = torch.arange(100)[None] / 100
    assert int(wave.velocity(time).argmax()) == 20
    assert int(wave.delayed(torch.tensor([0.1])).velocity(time).argmax()) == 30
