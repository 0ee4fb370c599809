"""What is measured: error of magnitude in decibels, overlap of labels, relative error of velocity."""

import torch
from torch import Tensor

from scripts.networks import VelocityAssessment


def psnr(image: Tensor, truth: Tensor, peak: float, where: Tensor | None = None) -> float:
    """Peak signal to noise ratio.

    Args:
        image: float tensor, any shape.
        truth: the same shape.
        peak: the value that counts as full signal, in the unit of both.
        where: the same shape, bool: which pixels count; None counts all.

    Returns:
        dB.
    """
    squared = (image - truth).square()
    error = squared.mean() if where is None else squared[where].mean()
    return float(10 * torch.log10(peak**2 / error.clamp_min(1e-20)))


def dice(found: Tensor, wanted: Tensor) -> float:
    """Dice overlap of two masks of the same shape; 1 where both are empty."""
    total = int(found.sum()) + int(wanted.sum())
    return 1.0 if total == 0 else 2 * int((found & wanted).sum()) / total


def linear_blend(keys: Tensor, factor: int) -> Tensor:
    """Linear blending between frames of a cyclic cine: [T, X, Y] to [T * factor, X, Y]."""
    weight = (torch.arange(factor) / factor)[None, :, None, None]
    return (keys[:, None] * (1 - weight) + keys.roll(-1, 0)[:, None] * weight).flatten(0, 1)


def velocity_sums(found: Tensor, wanted: Tensor, wall: Tensor) -> Tensor:
    """Sums behind the relative root mean square error of velocity in the wall, after removal of bulk motion.

    Args:
        found: [3, T, X, Y] float, cm/s.
        wanted: the same shape.
        wall: [T, X, Y] float, 0 or 1.

    Returns:
        [3, 2] float: squared error and squared velocity, of the radial, circumferential, longitudinal component.
    """
    assessment = VelocityAssessment()
    a, b = (assessment.cylindrical(wall[None], v[None])[0] for v in (found, wanted))
    error, size = ((a - b).square() * wall).sum((1, 2, 3)), (b.square() * wall).sum((1, 2, 3))
    return torch.stack((error, size), dim=1)
