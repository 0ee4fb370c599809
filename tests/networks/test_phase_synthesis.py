"""The second module: how it lays out what a beat usually does, and follows it."""

import pytest
import torch
from torch import nn

from scripts.networks import VelocityAssessment
from scripts.networks.beat import BEAT_NUMBERS
from scripts.networks.phase_synthesis import PhaseSynthesis, around_centroid

CYCLIC = torch.ones(1, dtype=torch.int64)


@pytest.fixture
def ring():
    x, y = torch.meshgrid(torch.arange(40.0) - 22, torch.arange(44.0) - 17, indexing="ij")
    radius = torch.sqrt(x * x + y * y)
    return ((radius > 8) & (radius < 13)).float()[None, None]


def test_assessment_undoes_the_layout(ring):
    curves = torch.tensor([[3.0, -1.5, 7.0]])
    velocity = around_centroid(ring, curves)
    assert torch.allclose(VelocityAssessment()(ring, velocity[:, :, None])[0, :, 0], curves[0], rtol=0.03)


def test_layout_turns_with_the_picture(ring):
    curves = torch.tensor([[3.0, -1.5, 7.0]])
    upright, turned = around_centroid(ring, curves), around_centroid(torch.rot90(ring, 1, (-2, -1)), curves)
    back = torch.rot90(turned, -1, (-2, -1))
    # rot90 carried +X to +Y and +Y to -X.
    assert torch.allclose(torch.stack((back[:, 1], -back[:, 0], back[:, 2]), 1), upright, atol=1e-3)


def test_no_ventricle_gives_no_infinite_velocity():
    velocity = around_centroid(torch.zeros(1, 1, 16, 16), torch.tensor([[3.0, 1.0, 2.0]]))
    assert velocity.isfinite().all()
    assert velocity.abs().max() <= 4


@pytest.mark.parametrize("tau", [0.0, 0.7])
def test_the_mean_over_the_wall_can_be_what_the_beat_says(tau):
    """With the gate open and no other correction the wall's mean motion is what is seen and what the prior adds."""
    synthesis = PhaseSynthesis()
    nn.init.zeros_(synthesis.velocity_out.weight)
    with torch.no_grad():
        synthesis.velocity_out.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 9.0]))
        synthesis.beat.curves.weight.zero_()
        synthesis.beat.curves.bias.copy_(torch.tensor([2.0, -1.0, 4.0]))
    x, y = torch.arange(64.0)[:, None] - 31.5, torch.arange(64.0)[None] - 31.5
    r = torch.sqrt(x * x + y * y)
    wall = ((r > 10) & (r < 18))[None, None]
    logits = torch.cat((~wall, wall, torch.zeros_like(wall)), 1) * 30.0
    half = torch.zeros(1, 32, 32, 32)
    # All that is seen is a wall that contracts by half a pixel a gap, 0.675 cm/s, in a heart that travels.
    inward = torch.stack((-x / r, -y / r))[None, :, ::2, ::2] * 0.5 + 0.4
    with torch.no_grad():
        velocity, _ = synthesis.decode(
            half,
            inward.repeat(1, 5, 1, 1),
            torch.ones(1, 1, 64, 64),
            logits,
            torch.zeros(1, 4, 32, 32),
            torch.tensor([tau]),
            torch.tensor([1 / 9]),
            torch.zeros(1, BEAT_NUMBERS),
        )
    mean = synthesis.assessment(wall.float(), velocity[:, :, None])[0, :, 0]
    assert mean.tolist() == pytest.approx([2.675, -1.0, 4.0], abs=0.12)
