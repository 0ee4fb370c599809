"""Metrics on cases worked by hand."""

import pytest
import torch

from scripts.benchmark.metrics import dice, linear_blend, psnr, velocity_sums


def test_psnr_by_hand():
    assert psnr(torch.full((4,), 1.1), torch.ones(4), 1.0) == pytest.approx(20.0, abs=1e-4)
    where = torch.tensor([True, False])
    assert psnr(torch.tensor([1.0, 5.0]), torch.tensor([1.01, 1.0]), 1.0, where) == pytest.approx(40.0, abs=1e-2)


def test_dice_by_hand():
    a, b = torch.tensor([1, 1, 0, 0]).bool(), torch.tensor([1, 0, 1, 0]).bool()
    assert dice(a, b) == 0.5
    assert dice(a & False, b & False) == 1.0


def test_linear_blend_wraps_around():
    keys = torch.tensor([0.0, 3.0]).view(2, 1, 1)
    assert linear_blend(keys, 3).flatten().tolist() == pytest.approx([0, 1, 2, 3, 2, 1])


def test_a_perfect_velocity_has_no_error_and_none_has_all():
    velocity = torch.randn(3, 2, 16, 16)
    wall = torch.zeros(2, 16, 16)
    wall[:, 4:12, 4:12] = 1
    assert velocity_sums(velocity, velocity, wall)[:, 0].max() < 1e-6
    nothing = velocity_sums(torch.zeros_like(velocity), velocity, wall)
    assert torch.allclose(nothing[:, 0], nothing[:, 1])
