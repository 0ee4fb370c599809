"""What is measured: error and sharpness of magnitude, overlap and distance of labels, agreement of numbers."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from monai.metrics.regression import compute_ssim_and_cs
from numpy.typing import ArrayLike
from scipy.stats import pearsonr
from torch import Tensor

from scripts.networks import VelocityAssessment

SSIM_KERNEL, SSIM_SIGMA = 11, 1.5
"""Window of the structural similarity, pixels, and its standard deviation: those of its authors."""


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


def ssim(image: Tensor, truth: Tensor, peak: float, where: Tensor) -> float:
    """Structural similarity, mean over some pixels; five pixels at each border have no whole window and do not count.

    Source: Wang et al., IEEE TIP 2004, doi 10.1109/TIP.2003.819861.

    Args:
        image: [T, X, Y] float.
        truth: the same shape.
        peak: range of the values.
        where: [T, X, Y] bool.

    Returns:
        At most 1; NaN where no pixel counts.
    """
    size, edge = (SSIM_KERNEL,) * 2, SSIM_KERNEL // 2
    sigma = (SSIM_SIGMA,) * 2
    similarity, _ = compute_ssim_and_cs(image[:, None], truth[:, None], 2, size, sigma, data_range=peak)
    return float(similarity[:, 0][where[:, edge:-edge, edge:-edge]].mean())


def sharpness_lost(image: Tensor, truth: Tensor, where: Tensor) -> float:
    """How much weaker edges are than in the truth: root mean square of the brightness gradient.

    Args:
        image: [T, X, Y] float.
        truth: the same shape.
        where: [T, X, Y] bool.

    Returns:
        Percent; negative where noise or artefacts make it rougher than the truth.
    """

    def edges(frames: Tensor) -> Tensor:
        x, y = torch.gradient(frames, dim=(1, 2))
        return (x.square() + y.square())[where].mean().sqrt()

    return float(100 * (1 - edges(image) / edges(truth).clamp_min(1e-20)))


def dice(found: Tensor, wanted: Tensor) -> float:
    """Dice overlap of two masks of the same shape; 1 where both are empty."""
    total = int(found.sum()) + int(wanted.sum())
    return 1.0 if total == 0 else 2 * int((found & wanted).sum()) / total


def surface_distances(found: Tensor, wanted: Tensor, pixel_mm: float) -> tuple[Tensor, Tensor]:
    """Distance of outlines, frame by frame.

    Args:
        found: [T, X, Y] bool.
        wanted: the same shape.
        pixel_mm: pixel size, mm.

    Returns:
        95th percentile of the Hausdorff distance and mean symmetric surface distance, [T] each, mm; NaN in frames
        where either mask is empty.
    """
    both = found.flatten(1).any(1) & wanted.flatten(1).any(1)
    result = torch.full((2, len(found)), torch.nan)
    if both.any():
        pair = found[both][:, None].float(), wanted[both][:, None].float()
        result[0, both] = compute_hausdorff_distance(
            *pair, include_background=True, percentile=95, spacing=pixel_mm
        ).float()[:, 0]
        result[1, both] = compute_average_surface_distance(
            *pair, include_background=True, symmetric=True, spacing=pixel_mm
        ).float()[:, 0]
    return result[0], result[1]


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


def direction_sums(found: Tensor, wanted: Tensor, wall: Tensor, least: float = 1.0) -> Tensor:
    """Sums behind the end-point error and the angle between velocities, bulk motion included.

    Args:
        found: [3, T, X, Y] float, cm/s.
        wanted: the same shape.
        wall: [T, X, Y] float, 0 or 1.
        least: true speed above which an angle counts, cm/s.

    Returns:
        [3, 2] float: sum and number of pixels, of the in-plane end-point error (cm/s), of that in space, and of the
        angle in space (degrees).
    """
    inside = wall > 0
    a, b = found[:, inside], wanted[:, inside]
    apart = a - b
    flat, space = apart[:2].square().sum(0).sqrt(), apart.square().sum(0).sqrt()
    fast = b.square().sum(0).sqrt() > least
    # A peer that says zero has no direction: it counts as 90 degrees, what chance gives on average.
    length = a.square().sum(0).sqrt() * b.square().sum(0).sqrt()
    cosine = ((a * b).sum(0) / length.clamp_min(1e-9)).clamp(-1, 1)
    angle = torch.rad2deg(torch.arccos(cosine))[fast]
    sums = [(v.sum(), torch.tensor(float(v.numel()))) for v in (flat, space, angle)]
    return torch.stack([torch.stack(pair) for pair in sums])


def correlation(found: ArrayLike, wanted: ArrayLike) -> float:
    """Pearson's correlation; NaN for fewer than three pairs, or where either does not vary."""
    a, b = np.asarray(found, float), np.asarray(wanted, float)
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def correlation_interval(found: ArrayLike, wanted: ArrayLike) -> tuple[float, float]:
    """Tells how sure Pearson's correlation is.

    Args:
        found: values, shape (N,).
        wanted: their partners, shape (N,).

    Returns:
        Its 95 % confidence interval; NaN for fewer than four pairs, or where one side is constant.

    Source: Fisher, Metron 1921, "On the probable error of a coefficient of correlation deduced from a small sample".
    """
    a, b = np.asarray(found, float), np.asarray(wanted, float)
    if len(a) < 4 or np.isnan(correlation(a, b)):
        return float("nan"), float("nan")
    low, high = pearsonr(a, b).confidence_interval(0.95)
    return float(low), float(high)


def bland_altman(found: ArrayLike, wanted: ArrayLike) -> dict[str, float]:
    """Agreement of two measurements of the same things.

    Source: Bland and Altman, Lancet 1986, doi 10.1016/S0140-6736(86)90837-8.

    Args:
        found: one measurement.
        wanted: the other, in the same order.

    Returns:
        n, bias (found less wanted), low and high limits of agreement (bias -+ 1.96 standard deviations), correlation
        and its 95 % confidence interval; NaN where there are too few.
    """
    apart = np.asarray(found, float) - np.asarray(wanted, float)
    bias = float(apart.mean()) if len(apart) else float("nan")
    spread = 1.96 * float(apart.std(ddof=1)) if len(apart) > 1 else float("nan")
    sure_from, sure_to = correlation_interval(found, wanted)
    return {
        "n": len(apart),
        "bias": bias,
        "low": bias - spread,
        "high": bias + spread,
        "correlation": correlation(found, wanted),
        "correlation_from": sure_from,
        "correlation_to": sure_to,
    }
