"""Slices and stacks of a simulated heart."""

import torch

from scripts.phantom.cine import image_cines, image_stack
from scripts.phantom.draw import Ranges


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_slice_is_one_of_its_stack():
    for seed in range(3):
        alone = image_cines(seeded(seed), 1, 4, 64)
        stack, own = image_stack(seeded(seed), 4, 64, 9.0)
        for name in ("magnitude", "labels", "velocity", "rr"):
            torch.testing.assert_close(getattr(stack[own], name), getattr(alone, name))


def test_a_stack_reaches_from_above_the_base_to_the_apex():
    stack, _ = image_stack(seeded(2), 6, 96, 8.0, ranges=Ranges(kinds=(1.0, 0.0, 0.0, 0.0, 0.0), outside=0.0))
    wall = torch.stack([(cine.labels[0] == 1).flatten(1).sum(1) for cine in stack])  # [Z, T]
    assert wall[0, 0] == 0  # above the base at end-diastole
    assert 6 <= (wall > 0).all(1).sum() <= 14
    pool = torch.stack([(cine.labels[0, 0] == 2).sum() for cine in stack])
    inside = pool[pool > 0]
    assert (inside.diff() <= 0).all()
    assert pool[-1] < 0.3 * inside.max()


def test_the_base_goes_further_than_the_apex():
    stack, _ = image_stack(seeded(2), 12, 96, 8.0, ranges=Ranges(kinds=(1.0, 0.0, 0.0, 0.0, 0.0), outside=0.0))
    moved = []
    for cine in stack:
        wall = cine.labels[0] == 1
        if wall.flatten(1).any(1).all():
            moved.append(float(cine.velocity[0, 2][wall].abs().mean()))
    assert moved[0] > 1.3 * moved[-1]
