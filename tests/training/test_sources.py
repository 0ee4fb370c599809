"""Slice cines for training: how they are made, and how often each comes."""

import itertools

import torch

from scripts.phantom.cine import image_cines
from scripts.training import sources
from scripts.training.sources import (
    HEARTS,
    areas,
    beating_sources,
    mixed,
    phantom_sources,
    phantoms_at_once,
    real_sources,
    training_sources,
    wall_moves,
)
from scripts.training.sunnybrook import UNKNOWN, RealSlice


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


def test_what_is_empty_at_both_ends_of_systole_is_empty_throughout():
    frames, label = torch.rand(20, 32, 32) + 1, torch.zeros(32, 32, dtype=torch.uint8)
    pool = label.clone()
    pool[8:16, 8:16] = 2
    empty, drawn, unknown = real_sources(
        [
            RealSlice("p", 0, frames, True, {1: label, 8: label}),
            RealSlice("p", 1, frames, True, {1: pool, 8: label}),
            RealSlice("p", 2, frames, True),
        ]
    )
    assert not empty.labels.any()
    assert empty.labelled == list(range(20))
    assert [f for f in range(20) if not (drawn.labels[f] == UNKNOWN).all()] == drawn.labelled == [1, 8]
    assert (unknown.labels == UNKNOWN).all()


def test_moves_are_the_way_of_the_wall_from_frame_to_frame():
    # A ring that shrinks by 9 cm/s at RR = 1000 ms goes 1.5 pixels of 1.5 mm in a fortieth of the cycle.
    x, y = torch.arange(33.0)[:, None] - 16, torch.arange(33.0)[None] - 16
    r = torch.sqrt(x * x + y * y).clamp_min(1)
    wall = ((r > 6) & (r < 12)).expand(40, -1, -1)
    velocity = torch.stack((-9 * x / r, -9 * y / r, 0 * r))[:, None].expand(-1, 40, -1, -1)
    assert torch.allclose(wall_moves(wall, velocity), torch.tensor([1.5, 0.0]), atol=1e-3)


def test_areas_count_the_pool_and_the_whole_ventricle():
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[0, :2], labels[0, 2] = 1, 2
    assert areas(labels).tolist() == [[4.0, 12.0]]


def test_patients_without_a_ventricle_and_with_both_contours_come_more_often():
    frames = torch.rand(20, 32, 32) + 1
    nothing, pool, both = (torch.zeros(32, 32, dtype=torch.uint8) for _ in range(3))
    pool[8:16, 8:16] = 2
    both[4:20, 4:20] = 1
    cines = [
        RealSlice("p", k, frames, True, dict.fromkeys(range(20), label)) for k, label in enumerate((nothing, pool))
    ]
    moving = real_sources(cines)
    still = real_sources([RealSlice("q", 0, frames[:2], False, {0: both})])
    phantoms = phantom_sources(2, 11, 48) * 50
    beating = beating_sources([[still[0], still[0]]], 1)
    found = mixed(phantoms, moving, still, beating, still, 100)

    def count(wanted):
        return sum(source is wanted for source in found)

    # 100 phantoms; 0.3 of them cine, 15 each; 20 pictures; 40 made of two; a tenth of 190 for those with both
    # contours; and 0.03 of 209 for what is empty.
    assert count(moving[1]) == 15
    assert count(still[0]) == 20 + 19
    assert count(beating[0]) == 40
    assert count(moving[0]) == 15 + 6
    assert len(found) == 215


def test_single_pictures_can_be_left_out(monkeypatch):
    pool = torch.zeros(32, 32, dtype=torch.uint8)
    pool[8:16, 8:16] = 2
    frames = torch.rand(20, 32, 32) + 1
    cines = [RealSlice("p", 0, frames, True, {1: pool, 8: pool})]
    monkeypatch.setattr(sources, "load_cines", lambda root, patients: cines)
    monkeypatch.setattr(sources, "load_pairs", lambda root: [RealSlice("q", 0, frames[:2], False, {0: pool, 1: pool})])
    every, moving = (training_sources("data", 4, 0, 11, 48, (), pictures=pictures) for pictures in (True, False))
    assert any(s.still for s in every)
    assert any(not s.acquired for s in every)
    assert not any(s.still or not s.acquired for s in moving)
    assert any(s.velocity is None for s in moving)


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
