"""Losses on cases worked by hand."""

import pytest
import torch

from scripts.training.losses import InterpolationLoss, least_squares, motion_consistency, region, segmentation_loss
from scripts.training.sunnybrook import NOT_POOL, UNKNOWN


def logits_of(labels, sure=12.0):
    return torch.stack([(labels[:, 0] == c).float() * sure for c in (0, 1, 2)], 1)


def example():
    labels = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    labels[..., 8:24, 8:24] = 1
    labels[..., 12:20, 12:20] = 2
    return labels


def test_a_perfect_segmentation_costs_nothing():
    labels = example()
    assert segmentation_loss(logits_of(labels), labels) < 0.01


def test_not_pool_accepts_background_and_myocardium_alike():
    labels = example()
    partial = torch.where(labels == 2, 2, NOT_POOL).to(torch.uint8)
    either = segmentation_loss(logits_of(labels), partial)
    other = segmentation_loss(logits_of(torch.where(labels == 1, 0, labels)), partial)
    assert either < 0.01
    assert other < 0.01
    assert segmentation_loss(logits_of(torch.full_like(labels, 2)), partial) > 1


def test_unknown_pixels_have_no_say():
    unknown = torch.full((1, 1, 32, 32), UNKNOWN, dtype=torch.uint8)
    logits = torch.randn(1, 3, 32, 32, requires_grad=True)
    segmentation_loss(logits, unknown).backward()
    assert logits.grad.abs().max() == 0


def test_region_is_the_dilated_ventricle():
    labels = torch.zeros(1, 1, 20, 20, dtype=torch.uint8)
    labels[..., 10, 10] = 2
    assert region(labels, 3).sum() == 49


@pytest.mark.parametrize(("true", "wrong"), [(2.0, 0.0), (-1.5, 1.5), (0.0, 1.0)])
def test_the_true_velocity_is_the_motion_seen(true, wrong):
    axis = torch.arange(64.0)

    def frame(shift):
        return torch.exp(-(((axis[:, None] - 30 - shift) ** 2 + (axis[None] - 32) ** 2) / 60))

    target = {
        "magnitude": torch.stack((frame(0), frame(0), frame(true)))[None],
        "tau": torch.tensor([[0.0, 0.0, 0.5]]),
        "gap": torch.tensor([0.1]),
    }
    cm_s_a_pixel = 0.15 / (0.5 * 0.1)

    def loss(pixels):
        velocity = torch.zeros(1, 3, 3, 64, 64)
        velocity[:, :, 0] = pixels * cm_s_a_pixel
        return float(motion_consistency(velocity, target, (frame(0) > 0.3).float()[None, None]))

    assert loss(true) < loss(wrong)
    assert loss(true) < 0.1 * loss(wrong)


def test_frames_that_nobody_acquired_teach_labels_alone():
    labels = example().unsqueeze(0)
    target = {
        "magnitude": torch.full((1, 1, 32, 32), torch.nan),
        "label": labels[0],
        "motion": torch.full((1, 1, 4, 32, 32), torch.nan),
        "tau": torch.zeros(1, 1),
    }
    magnitude, logits = (torch.randn(1, n, 32, 32, requires_grad=True) for n in (1, 3))
    prediction = {"magnitude": magnitude, "logits": logits, "motion": torch.zeros(1, 4, 16, 16)}
    loss = InterpolationLoss()(prediction, target)
    loss.backward()
    assert loss.isfinite()
    assert magnitude.grad.abs().max() == 0
    assert logits.grad.abs().max() > 0


def test_frames_that_nobody_acquired_show_no_motion():
    nowhere = torch.full((1, 2, 16, 16), torch.nan)
    target = {"magnitude": nowhere, "tau": torch.tensor([[0.0, 1.0]]), "gap": torch.ones(1)}
    velocity = torch.randn(1, 2, 3, 16, 16, requires_grad=True)
    loss = motion_consistency(velocity, target, torch.ones(1, 1, 16, 16))
    loss.backward()
    assert loss == 0
    assert velocity.grad.abs().max() == 0


def test_least_squares_by_hand():
    answers = torch.tensor([[1.0, 0.0], [3.0, 1.0]])
    assert least_squares(answers, True) == (0 + 1 + 4 + 0) / 4
    assert least_squares(answers, False) == (1 + 0 + 9 + 1) / 4
