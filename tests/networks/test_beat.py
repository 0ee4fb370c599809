"""The beat, as it is told to the synthesis."""

import math

import pytest
import torch

from scripts.networks.beat import BEAT_NUMBERS, describe_beat

CYCLIC = torch.ones(1, dtype=torch.int64)


def test_a_ventricle_that_keeps_its_size_has_no_beat():
    beat = describe_beat(torch.full((1, 9, 2), 400.0), torch.zeros(1, 9, 2), CYCLIC)
    assert beat.shape == (1, 9, BEAT_NUMBERS)
    radii, wall, speed = beat[0, :, :-2].view(9, -1, 5).split((2, 1, 2), 2)
    assert torch.allclose(radii, radii[0, 0, 0].expand(radii.shape), atol=1e-5)
    assert (wall == 0).all()
    assert (speed == 0).all()
    assert torch.allclose(beat[..., -2:], torch.tensor(0.0), atol=1e-5)  # a radius of 20 pixels is the unit


def test_the_beat_is_told_from_each_frame_on():
    t = torch.arange(12) * 2 * math.pi / 12
    areas = torch.stack((400 + 100 * torch.cos(t), 900 + 80 * torch.cos(t)), dim=1)[None]
    moves = torch.stack((torch.sin(t), 0 * t), dim=1)[None]
    beat = describe_beat(areas, moves, CYCLIC)
    later = describe_beat(areas.roll(-3, 1), moves.roll(-3, 1), CYCLIC)
    assert torch.allclose(beat.roll(-3, 1), later, atol=1e-6)
    assert beat[0, 0, 5] > beat[0, 6, 5]  # the pool at the gap's first frame: largest at time 0
    # A pixel of 1.5 mm a twelfth of a cycle is 1.8 cm/s at RR = 1000 ms; 3 cm/s is the unit.
    assert beat[0, 3, 8].item() == pytest.approx(0.6)


def test_the_beat_is_told_by_radii_and_by_the_area_of_the_wall():
    # Pool of 100 and 400, wall of 300 and 500 pixels in turns.
    areas = torch.tensor([[100.0, 400.0], [400.0, 900.0]]).repeat(4, 1)[None]
    beat = describe_beat(areas, torch.zeros_like(areas), torch.ones(1, dtype=torch.int64))[0]
    assert beat.shape == (8, 82)
    pool, outer, wall, _, _ = beat[0, :20].view(4, 5).unbind(1)
    # Radii in twenties of pixels are 1 and 0.5, 1.5 and 1; their means are softened by 0.05. The wall's mean is 400.
    assert pool.tolist() == pytest.approx([4 * (1 / 0.8 - 1), 4 * (0.5 / 0.8 - 1)] * 2, abs=1e-3)
    assert outer.tolist() == pytest.approx([4 * (1.5 / 1.3 - 1), 4 * (1 / 1.3 - 1)] * 2, abs=1e-3)
    assert wall.tolist() == pytest.approx([10 * 100 / 401, -10 * 100 / 401] * 2, abs=1e-3)
    assert torch.equal(beat[0, -2:], beat[1, -2:])
