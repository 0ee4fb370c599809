"""Cutting: true displacements, slopes, and where patients' squares lie."""

from random import Random

import pytest
import torch

from scripts.networks.beat import describe_beat
from scripts.networks.cycle import slope_weight
from scripts.training.cut import GAP_SLOPES, Draw, beats, cut, displacements
from scripts.training.simulated import phantom_sources
from scripts.training.sources import Source


def drawn(source: Source, seed: int = 0, gap: int = 2) -> Draw:
    """A draw whose gap begins at frame 3."""
    keys = [3 - gap, 3, 3 + gap, 3 + 2 * gap]
    index = {"keys": keys, "targets": [3, 4], "cycle": [3] * 8, "row": [3] * 14, "around": [3] * 6}
    return Draw(source, index, [0.0, 0.5], gap / len(source.magnitude), Random(seed))


def test_displacement_of_a_constant_velocity():
    # 1.5 cm/s over a cycle of 10 frames and pixels of 0.15 cm is one pixel a frame.
    velocity = torch.zeros(4, 2, 8, 8)
    velocity[:, 0] = 1.5
    motion = displacements(velocity[None], [[1]], [3], torch.tensor([10.0]))[0, 0]
    assert torch.allclose(motion[0], torch.full((8, 8), -1.0), atol=1e-5)
    assert torch.allclose(motion[2], torch.full((8, 8), 2.0), atol=1e-5)
    assert motion[1].abs().max() == motion[3].abs().max() == 0


def test_displacements_of_several_gaps_are_those_of_each():
    generator = torch.Generator().manual_seed(1)
    velocity = 3 * torch.randn(2, 5, 2, 12, 12, generator=generator)
    both = displacements(velocity, [[0, 2], [1, 3]], [2, 4], torch.tensor([10.0, 20.0]))
    first = displacements(velocity[:1, :3], [[0, 2]], [2], torch.tensor([10.0]))
    second = displacements(velocity[1:], [[1, 3]], [4], torch.tensor([20.0]))
    assert torch.allclose(both, torch.cat((first, second)), atol=1e-6)
    assert both[0, 0, :2].abs().max() == both[0, 1, 2:].abs().max() == 0  # a frame has not moved from itself


def test_slopes_of_a_row_that_brightens_evenly_are_one_step_a_gap():
    assert GAP_SLOPES.sum(1).tolist() == pytest.approx([0, 0], abs=1e-6)
    # An alternating series: what is left out is less than its first term, of frames 7 to both sides.
    left_out = 14 * abs(slope_weight(7))
    assert left_out < 5e-3
    assert (GAP_SLOPES @ torch.arange(14.0)).tolist() == pytest.approx([1, 1], abs=left_out)
    # One bright frame: the spline rises to it and falls from it.
    assert GAP_SLOPES[:, 7].tolist() == pytest.approx([0.804, 0], abs=1e-3)


def test_velocities_turn_with_their_picture():
    """A field that points away from the middle does so after every turn."""
    axis = (torch.arange(40) - 19.5) / 10
    away = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))
    velocity = torch.cat((away, torch.ones(1, 40, 40)))[:, None].expand(3, 12, 40, 40).half()
    picture = (away.norm(dim=0) + 0.1).expand(12, 40, 40).half()
    label, none = torch.ones(12, 40, 40, dtype=torch.uint8), torch.zeros(12, 2)
    source = Source(picture, 0.0, label, velocity, label > 0, list(range(12)), none, none)
    sample = cut([drawn(source, seed) for seed in range(8)], 40, True)
    assert torch.allclose(sample["velocity"], velocity[:, 0].float().expand(8, 2, 3, 40, 40), atol=1e-3)
    # Two frames of a cycle of twelve, from the first frame of the gap on: the way that led here points inward.
    back = sample["motion"][:, 1, :2]
    assert ((back * away).sum(1)[:, 5:-5, 5:-5] <= 1e-6).all()


def test_patients_squares_lie_around_the_pool():
    label = torch.zeros(20, 200, 200, dtype=torch.uint8)
    label[:, 140:161, 60:81] = 2
    none = torch.zeros(20, 2)
    source = Source(torch.ones(20, 200, 200).half(), 0.0, label, None, None, [0], none, none)
    assert source.centres[0] == (150.0, 70.0)
    sample = cut([drawn(source, seed, gap=5) for seed in range(60)], 64, False)
    seen = (sample["label"] == 2).flatten(1).any(1)
    assert 0.7 < float(seen.float().mean()) <= 1
    assert sample["motion"].isnan().all()
    assert sample["noise"].abs().max() == 0


def test_beats_are_described_as_the_acquired_frames_see_them():
    source = phantom_sources(1, 3, 48)[0]
    frames = len(source.areas)
    generator = torch.Generator().manual_seed(0)
    source.areas, source.moves = (torch.rand(frames, 2, generator=generator) + 1 for _ in range(2))
    found = beats([drawn(source, gap=g) for g in (1, 2, 1)])
    for row, gap in zip(found, (1, 2, 1), strict=True):
        areas = source.areas.roll(-3, 0)[::gap]
        moves = source.moves.roll(-3, 0).unflatten(0, (-1, gap)).sum(1)
        expected = describe_beat(areas[None], moves[None], torch.ones(1, dtype=torch.int64))[0, 0]
        assert row.tolist() == pytest.approx(expected.tolist(), abs=1e-3)
