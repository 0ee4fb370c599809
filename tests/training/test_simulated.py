"""Simulated slices: each its own, whoever makes it, with what was drawn or is true of it."""

import itertools

import torch

from scripts.phantom.cine import image_cines
from scripts.training.simulated import HEARTS, beating_sources, phantom_sources, phantoms_at_once
from scripts.training.sources import areas, real_sources, wall_moves
from scripts.training.sunnybrook import RealSlice


def test_a_slice_is_the_same_whichever_process_makes_it():
    here, elsewhere = phantom_sources(3, 11, 48), phantom_sources(3, 11, 48, workers=2)
    assert len({s.magnitude.shape[0] for s in here}) == 3  # 48, 54 and 60 frames
    for a, b in zip(here, elsewhere, strict=True):
        assert torch.equal(a.magnitude, b.magnitude)
        assert torch.equal(a.moves, b.moves)
        assert not b.magnitude.is_shared()


def test_slices_made_at_once_are_each_a_slice_with_its_own_truth():
    made = list(itertools.islice(phantoms_at_once(5, 48, HEARTS, "cpu", batch=2), 6))
    assert [len(s.magnitude) for s in made] == [48, 48, 54, 54, 60, 60]
    cine = image_cines(torch.Generator().manual_seed(5 * 1_000_003 + 1), 2, 54, 48, ranges=HEARTS)
    for k, source in enumerate(made[2:4]):
        assert torch.equal(source.magnitude, cine.magnitude[k].half())
        assert torch.equal(source.velocity, cine.velocity[k].half())
        assert source.noise == float(cine.scanner.noise[k])
        assert torch.equal(source.wall, cine.labels[k] == 1)
        assert torch.equal(source.areas, areas(cine.labels[k]))
        assert torch.equal(source.moves, wall_moves(cine.labels[k] == 1, cine.velocity[k]))
    assert made[2].noise != made[3].noise


def test_two_pictures_of_a_slice_beat_and_carry_what_was_drawn_in_both():
    large, small = (torch.zeros(48, 48, dtype=torch.uint8) for _ in range(2))
    large[14:34, 14:34], small[18:30, 18:30] = 2, 2
    still = real_sources([RealSlice("q", 0, torch.rand(2, 48, 48) + 1, False, {0: large, 1: small})])
    (beating,) = beating_sources([still], 1)
    first, end = beating.labelled
    assert torch.equal(beating.labels[first], large)
    assert torch.equal(beating.labels[end], small)
    assert torch.allclose(beating.magnitude[first].float(), still[0].magnitude[0].float(), atol=2e-3)
    assert torch.allclose(beating.magnitude[end].float(), still[1].magnitude[0].float(), atol=2e-3)
    assert not beating.acquired
    assert beating.velocity is None
    assert beating.areas.shape == beating.moves.shape == (len(beating.labels), 2)
