"""Metrics on cases worked by hand."""

import numpy as np
import pytest
import torch

from scripts.benchmark.metrics import (
    bland_altman,
    correlation_interval,
    dice,
    direction_sums,
    psnr,
    sharpness_lost,
    ssim,
    surface_distances,
    velocity_sums,
)


def test_psnr_by_hand():
    assert psnr(torch.full((4,), 1.1), torch.ones(4), 1.0) == pytest.approx(20.0, abs=1e-4)
    where = torch.tensor([True, False])
    assert psnr(torch.tensor([1.0, 5.0]), torch.tensor([1.01, 1.0]), 1.0, where) == pytest.approx(40.0, abs=1e-2)


def test_ssim_is_one_for_the_truth_and_agrees_with_scikit_image():
    from skimage.metrics import structural_similarity

    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 40, 40, generator=generator)
    noisy = truth + 0.1 * torch.rand(truth.shape, generator=generator)
    where = torch.ones_like(truth, dtype=torch.bool)
    assert ssim(truth, truth, 1.0, where) == pytest.approx(1, abs=1e-6)
    theirs = structural_similarity(
        noisy[0].numpy(), truth[0].numpy(), data_range=1.0, gaussian_weights=True, use_sample_covariance=False
    )
    assert ssim(noisy, truth, 1.0, where) == pytest.approx(theirs, abs=1e-3)


def test_half_the_contrast_is_half_the_sharpness():
    truth = torch.rand(2, 16, 16)
    where = torch.ones_like(truth, dtype=torch.bool)
    assert sharpness_lost(truth, truth, where) == pytest.approx(0, abs=1e-4)
    assert sharpness_lost(truth / 2 + 3, truth, where) == pytest.approx(50, abs=1e-2)


def test_dice_by_hand():
    a, b = torch.tensor([1, 1, 0, 0]).bool(), torch.tensor([1, 0, 1, 0]).bool()
    assert dice(a, b) == 0.5
    assert dice(a & False, b & False) == 1.0


def test_a_square_that_is_shifted_by_two_pixels_is_three_mm_away():
    wanted = torch.zeros(3, 24, 24, dtype=torch.bool)
    wanted[:2, 6:16, 6:16] = True
    found = wanted.roll(2, 1)
    found[1] = False
    hausdorff, surface = surface_distances(found, wanted, 1.5)
    assert hausdorff[0] == pytest.approx(3.0)
    assert 0 < surface[0] < 3
    assert hausdorff[1:].isnan().all()
    assert surface_distances(wanted[:1], wanted[:1], 1.5)[1][0] == 0


def test_a_perfect_velocity_has_no_error_and_none_has_all():
    velocity = torch.randn(3, 2, 16, 16)
    wall = torch.zeros(2, 16, 16)
    wall[:, 4:12, 4:12] = 1
    assert velocity_sums(velocity, velocity, wall)[:, 0].max() < 1e-6
    nothing = velocity_sums(torch.zeros_like(velocity), velocity, wall)
    assert torch.allclose(nothing[:, 0], nothing[:, 1])


def test_end_point_error_and_angle_by_hand():
    wanted, found = torch.zeros(3, 1, 1, 3), torch.zeros(3, 1, 1, 3)
    wanted[0, 0, 0] = torch.tensor([2.0, 2.0, 0.5])
    found[1, 0, 0, 0] = 2.0  # at right angles
    found[:, 0, 0, 1] = torch.tensor([2.0, 0.0, 3.0])
    sums = direction_sums(found, wanted, torch.ones(1, 1, 3))
    assert sums[0].tolist() == pytest.approx([8**0.5 + 0 + 0.5, 3])
    assert sums[1].tolist() == pytest.approx([8**0.5 + 3 + 0.5, 3])
    assert sums[2].tolist() == pytest.approx([90 + np.rad2deg(np.arctan2(3, 2)), 2], abs=1e-3)  # the slow one is out


def test_agreement_by_hand():
    result = bland_altman([1.0, 3.0, 5.0], [0.0, 2.0, 4.5])
    assert result["n"] == 3
    assert result["bias"] == pytest.approx(2.5 / 3)
    assert result["high"] - result["bias"] == pytest.approx(1.96 * np.std([1, 1, 0.5], ddof=1))
    assert result["correlation"] == pytest.approx(np.corrcoef([1, 3, 5], [0, 2, 4.5])[0, 1])
    assert np.isnan(bland_altman([], [])["bias"])


def test_how_sure_a_correlation_is_by_hand():
    one, other = np.tile([1, -1, 1, -1], 7), np.tile([1, 1, -1, -1], 7)
    half = one / 2 + other * np.sqrt(0.75)  # 28 pairs that correlate by 0.5
    # atanh(0.5) = 0.549306; 1.96 / sqrt(28 - 3) = 0.392 to either side.
    assert correlation_interval(one, half) == pytest.approx((np.tanh(0.157306), np.tanh(0.941306)), abs=1e-5)
    low, high = correlation_interval(one, -half)
    assert (-high, -low) == pytest.approx(correlation_interval(one, half))
    assert np.isnan(correlation_interval([1.0, 3.0, 5.0], [0.0, 2.0, 4.5])).all()
    assert np.isnan(correlation_interval(one, np.ones(28))).all()
    rows = bland_altman([1.0, 3.0, 5.0, 4.0], [0.0, 2.0, 4.5, 5.0])
    assert rows["correlation_from"] < rows["correlation"] < rows["correlation_to"] < 1
