"""Slice cines for training: those of patients, and what is measured of one."""

import torch

from scripts.training.sources import areas, real_sources, wall_moves
from scripts.training.sunnybrook import UNKNOWN, RealSlice


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
