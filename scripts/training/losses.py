"""Losses of the training stages."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.networks import VelocityAssessment
from scripts.networks.motion import PIXEL_CM, motions_between

from .sunnybrook import NOT_POOL, UNKNOWN


def region(labels: Tensor, margin: int = 4) -> Tensor:
    """Where the ventricle is: labels 1 and 2, dilated.

    Args:
        labels: [B, 1, X, Y] uint8.
        margin: pixels to dilate by.

    Returns:
        [B, 1, X, Y] float, 0 or 1.
    """
    inside = ((labels == 1) | (labels == 2)).float()
    return F.max_pool2d(inside, 2 * margin + 1, 1, margin)


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy and soft Dice where labels may name two classes at once, or none.

    Args:
        logits: [B, 3, X, Y] float.
        labels: [B, 1, X, Y] uint8: 0, 1, 2, ``NOT_POOL`` (0 or 1), ``UNKNOWN`` (any).

    Returns:
        Scalar.
    """
    label = labels[:, 0]
    log_p = torch.log_softmax(logits, dim=1)
    not_pool = torch.logsumexp(log_p[:, :2], dim=1)
    picked = log_p.gather(1, label.clamp_max(2).long().unsqueeze(1))[:, 0]
    known = (label != UNKNOWN).float()
    cross = -(torch.where(label == NOT_POOL, not_pool, picked) * known)
    # The ventricle fills a small part of the picture, and its edges are what the labels are for.
    weight = known * (1 + 3 * region(labels, 3)[:, 0])
    loss = (cross * weight).sum() / weight.sum().clamp_min(1)
    p = log_p.exp()
    for c in (1, 2):
        sure = known if c == 2 else known * (label != NOT_POOL)
        target = (label == c).float() * sure
        overlap = (p[:, c] * target).sum((1, 2))
        total = (p[:, c] * sure).sum((1, 2)) + target.sum((1, 2))
        counted = (sure.flatten(1).sum(1) > 0).float()
        dice = 1 - (2 * overlap + 20) / (total + 20)
        loss = loss + 0.5 * (dice * counted).sum() / counted.sum().clamp_min(1)
    return loss


class InterpolationLoss(nn.Module):
    """L1 on magnitude, more in the ventricle; segmentation; true motion where known; smooth motion.

    Args:
        ventricle: extra weight of the ventricle's pixels.
        segmentation: weight of the segmentation loss.
        motion: weight of the error of motion, pixels.
        smoothness: weight of the motion's first differences.
    """

    def __init__(
        self, ventricle: float = 5.0, segmentation: float = 0.25, motion: float = 0.3, smoothness: float = 2e-3
    ) -> None:
        super().__init__()
        self.ventricle, self.segmentation, self.motion, self.smoothness = ventricle, segmentation, motion, smoothness

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Sums the terms.

        Args:
            prediction: magnitude [B * K, 1, X, Y], logits [B * K, 3, X, Y], motion [B * K, 4, X / 2, Y / 2].
            target: magnitude [B, K, X, Y] (NaN where nobody acquired a frame), label [B, K, X, Y], motion
                [B, K, 4, X, Y] and tau [B, K].

        Returns:
            Scalar.
        """
        truth, labels = target["magnitude"].flatten(0, 1)[:, None], target["label"].flatten(0, 1)[:, None]
        acquired = truth.isfinite()
        difference = torch.where(acquired, prediction["magnitude"] - truth, torch.zeros_like(truth))
        weight = (1 + self.ventricle * region(labels)) * acquired
        # Round up to about the noise of a picture: what is smaller counts squared, as it does in a PSNR.
        loss = (2 * torch.sqrt(difference.square() + 1e-2) * weight).sum() / acquired.sum().clamp_min(1)
        loss = loss + self.segmentation * segmentation_loss(prediction["logits"], labels)
        motion = prediction["motion"]
        true_motion = F.avg_pool2d(target["motion"].flatten(0, 1), 2)
        tau = target["tau"].flatten()[:, None, None, None]
        error = (torch.cat((motion[:, :2] * tau, motion[:, 2:] * (1 - tau)), dim=1) - true_motion).abs()
        known = true_motion.isfinite() * (0.1 + F.max_pool2d(region(labels), 2))
        loss = loss + self.motion * (error.nan_to_num() * known).sum() / known.sum().clamp_min(1)
        rough = motion.diff(dim=-1).abs().mean() + motion.diff(dim=-2).abs().mean()
        return loss + self.smoothness * rough


def motion_consistency(velocity: Tensor, target: dict[str, Tensor], weight: Tensor) -> Tensor:
    """How far in-plane velocity is from the motion seen between two neighbouring frames.

    Args:
        velocity: [B, K, 3, X, Y] float, cm/s at RR = 1000 ms; the last two times are neighbouring frames.
        target: magnitude [B, K, X, Y], tau [B, K] and gap [B], as ``Windows`` gives them.
        weight: [B, 1, X, Y] float, where it shall count.

    Returns:
        Scalar, cm/s.
    """
    step = ((target["tau"][:, -1] - target["tau"][:, -2]) * target["gap"]).clamp_min(1e-3)
    both = target["magnitude"][:, -2:]
    weight = weight * both.isfinite().all(1, keepdim=True)
    pixels = motions_between(both.nan_to_num())[:, 0, :2].float()
    pixels = F.interpolate(pixels, scale_factor=2.0, mode="bilinear", align_corners=False)
    seen = pixels * (PIXEL_CM / step)[:, None, None, None]
    error = charbonnier((velocity[:, -1, :2] + velocity[:, -2, :2]) / 2 - seen)
    return (error * weight).sum() / weight.sum().clamp_min(1)


ROUND = 0.15
"""Up to its root, cm/s, an error of a velocity counts squared, (cm/s)^2: it is judged by its root mean square."""


def charbonnier(error: Tensor) -> Tensor:
    """Absolute value with a round bottom, for velocities in cm/s."""
    return torch.sqrt(error.square() + ROUND) - ROUND**0.5


class SynthesisLoss(nn.Module):
    """Velocity where it is known, its mean curves, tissue, and consistency with a patient's own frames.

    Args:
        curves: weight of the mean radial, circumferential and longitudinal velocity over the myocardium.
        tissue: weight of the cross entropy of the foreground.
        consistency: weight of ``motion_consistency`` where the true velocity is unknown: a patient's own frames, and
            pictures that stand still.
        smoothness: weight of the velocity's first differences in the ventricle of patients.
    """

    def __init__(
        self,
        curves: float = 0.5,
        tissue: float = 0.1,
        consistency: float = 1.0,
        smoothness: float = 0.05,
    ) -> None:
        super().__init__()
        self.curves, self.tissue, self.consistency, self.smoothness = curves, tissue, consistency, smoothness
        self.assessment = VelocityAssessment()

    def forward(self, pairs: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Sums the terms.

        Args:
            pairs: [B * K, 14, X, Y] float, as ``SynthesisStage`` makes them.
            target: a batch of ``Windows`` with velocities.

        Returns:
            Scalar.
        """
        shape = target["velocity"].shape[:2]
        velocity, known = pairs[:, :3], pairs[:, 5:6]
        truth = target["velocity"].flatten(0, 1).nan_to_num()
        labels = target["label"].flatten(0, 1)[:, None]
        # The wall is what is measured; around it velocity is known, but of little use.
        wall = target["wall"].flatten(0, 1)[:, None]
        weight = known * (0.02 + 0.1 * region(labels) + wall)
        loss = (charbonnier(velocity - truth) * weight).sum() / weight.sum().clamp_min(1)

        mask = wall.float()
        swapped = [self.assessment(mask, v.unsqueeze(2)) for v in (velocity, truth)]
        loss = loss + self.curves * 3 * charbonnier(swapped[0] - swapped[1]).mean()

        signal = (target["magnitude"] > 3 * target["noise"][:, None, None, None]).flatten(0, 1)[:, None].float()
        sure = (target["noise"] > 0).float().repeat_interleave(shape[1])[:, None, None, None]
        entropy = F.binary_cross_entropy_with_logits(pairs[:, 3:4], signal, reduction="none")
        loss = loss + self.tissue * (entropy * sure).mean()

        inside = pairs[:, 6:7].detach() * (1 - known)
        around = F.max_pool2d(inside.unflatten(0, shape)[:, -1], 7, 1, 3)
        loss = loss + self.consistency * motion_consistency(velocity.unflatten(0, shape), target, around)
        rough = velocity.diff(dim=-1).abs() * inside[..., 1:]
        rough = rough.sum() + (velocity.diff(dim=-2).abs() * inside[..., 1:, :]).sum()
        return loss + self.smoothness * rough / inside.sum().clamp_min(1)


def least_squares(logits: Tensor, real: bool) -> Tensor:
    """What a discriminator's answer lacks to be 1, or to be 0.

    Source: Mao et al., ICCV 2017, "Least Squares Generative Adversarial Networks". MONAI's ``PatchAdversarialLoss``
    sends the target from the CPU each time, which no CUDA graph can hold.

    Args:
        logits: float, any shape: how real the discriminator finds what it saw.
        real: whether it was, or shall pass for it.

    Returns:
        Scalar.
    """
    return (logits - float(real)).square().mean()


class TogetherLoss(nn.Module):
    """What both stages learn from, at once.

    Args:
        segmentation: weight of the segmentation loss, as in ``InterpolationLoss``.
    """

    def __init__(self, segmentation: float = 0.5) -> None:
        super().__init__()
        self.interpolation, self.synthesis = InterpolationLoss(segmentation=segmentation), SynthesisLoss()

    def forward(self, pairs: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Sums both losses.

        Args:
            pairs: [B * K, 14, X, Y] float, from ``SynthesisStage``, together with the interpolation.
            target: a batch of ``Windows`` with velocities.

        Returns:
            Scalar.
        """
        made = {"magnitude": pairs[:, 4:5], "logits": pairs[:, 7:10], "motion": F.avg_pool2d(pairs[:, 10:], 2)}
        return self.interpolation(made, target) + self.synthesis(pairs, target)
