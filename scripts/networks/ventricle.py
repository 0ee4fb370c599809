"""The ventricle in the acquired frames: where it is, whether it stays, how large, which view and frame misses it."""

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST, MOST = 0.8, 1.25
"""Least and greatest area of a ventricle in any frame, as a share of what it usually is over the cycle."""


def heart_window(ventricle: Tensor, radius: int = 45) -> Tensor:
    """Finds the one place where the ventricle is over the whole cycle: rings elsewhere are vessels.

    Args:
        ventricle: [N, T, X, Y] float, probability of pool or myocardium in the acquired frames.
        radius: how far the ventricle may reach from its densest spot, pixels.

    Returns:
        [N, 1, X, Y] float, 1 in the window, 0 outside.
    """
    dense = F.avg_pool2d(ventricle.mean(1, keepdim=True), 25, 1, 12)
    best_x = dense.amax(3).argmax(2).unsqueeze(-1)
    best_y = dense.amax(2).argmax(2).unsqueeze(-1)
    dx = torch.arange(dense.shape[2], device=dense.device).unsqueeze(1) - best_x
    dy = torch.arange(dense.shape[3], device=dense.device).unsqueeze(0) - best_y
    return (dx * dx + dy * dy < radius * radius).float().unsqueeze(1)


def stays(ventricle: Tensor, least: float = 2 / 3, most: float = 0.2) -> Tensor:
    """Tells whether what was found is there all cycle long.

    The section of a ventricle loses a third of its area at most when it contracts, as a beating wall keeps its volume;
    an atrium above the base, an outflow tract and noise come and go.

    Args:
        ventricle: [N, T, X, Y] float, probability of pool or myocardium in the acquired frames, none outside
            ``heart_window``.
        least: area that a frame shows of it at least, as a share of what it is at most.
        most: share of the frames that may show less, one at least, or more: no single frame decides.

    Returns:
        [N, 1, 1, 1] float, 1 if it is, 0 if not.
    """
    area = torch.sort(ventricle.sum((2, 3)), dim=1).values
    largest = area[:, -1 - area.shape[1] // 5].unsqueeze(1)
    short = (area < least * largest).float().sum(1)
    return ((short <= most * area.shape[1]) | (short <= 1)).float().unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)


def trust(seen: Tensor, window: Tensor, most: float = MOST) -> Tensor:
    """Tells how much each view of a frame is to be believed: less where it shows less of the ventricle than is usual.

    A network that is sure of a ventricle in most frames and views at times takes it for an atrium in one of them, or
    what lies beside it for a part of it: a view that shows far more than a ventricle does is believed less, too.

    Args:
        seen: [V, N, T, 3, X, Y] float, probability of labels in the acquired frames, as each view shows them.
        window: [N, 1, X, Y] float, from ``heart_window``.
        most: greatest area of a ventricle, as a share of its median over frames and views.

    Returns:
        [V, N, T] float, weights of a frame's views, 1 together.
    """
    # One pixel more: where there is no ventricle, all views are as good.
    area = (seen[:, :, :, 1:].sum(3) * window).sum((3, 4)) + 1
    usual = median(area.movedim(0, 1).flatten(1)).unsqueeze(0)
    weight = torch.minimum(area / usual, most * usual / area).clamp_max(1) ** 8 + 1e-6
    return weight / weight.sum(0, keepdim=True)


def steady_areas(probability: Tensor, least: float = LEAST, most: float = MOST) -> Tensor:
    """Measures the ventricle in each acquired frame so that a frame that was segmented badly does no harm.

    No frame may differ from the median by more than a beating ventricle does.

    Args:
        probability: [N, T, 3, X, Y] float, of labels in the acquired frames, none outside ``heart_window``.
        least: least area of pool and myocardium, as a share of its median over the cycle.
        most: greatest area of them, likewise.

    Returns:
        [N, T, 2] float, area of the pool and of pool and myocardium, pixels.
    """
    # What is less is no ventricle, and engines round it differently: where there is none, all find the same nothing.
    probability = torch.where(probability > 2e-3, probability, torch.zeros_like(probability))
    pool, whole = probability[:, :, 2].sum((2, 3)), probability[:, :, 1:].sum((2, 3, 4))
    usual_pool, usual = median(pool), median(whole)
    steady = torch.minimum(torch.maximum(whole, least * usual), most * usual)
    # What is missed of the whole is missed of the pool alike. A thick ventricle may empty nearly, if all of it is seen.
    pool = pool * (steady / whole.clamp_min(1e-3)).clamp_max(2)
    smallest = torch.where(whole < least * usual, 0.45 * usual_pool, 0.1 * usual_pool)
    return torch.stack((torch.minimum(torch.maximum(pool, smallest), 1.8 * usual_pool), steady), dim=2)


def median(x: Tensor) -> Tensor:
    """Median over the second dimension, [N, T] float to [N, 1]; of an even number the upper one in the middle."""
    return torch.sort(x, dim=1).values[:, x.shape[1] // 2].unsqueeze(1)


def missed(labels: Tensor, window: Tensor, least: float = LEAST, most: float = 3.0, steps: int = 24) -> Tensor:
    """Finds how much likelier the ventricle must be in a frame that shows less of it than a beating one would.

    Where the wall has hardly any contrast, it is found in most frames of a cycle and missed in some. What most frames
    hardly show stays away, and so does what is nowhere likely: the odds rise by no more than a factor of 20.

    Args:
        labels: [N, T, 3, X, Y] float, log probabilities of labels in the acquired frames.
        window: [N, 1, X, Y] float, from ``heart_window``.
        least: least area, as a share of what two thirds of the frames exceed.
        most: the largest answer.
        steps: bisections.

    Returns:
        [N, T] float, what to add to the log probabilities of myocardium and pool, 0 or more.
    """
    odds = torch.logsumexp(labels[:, :, 1:], dim=2) - labels[:, :, 0]
    area = (torch.sigmoid(odds) * window).sum((2, 3))
    wanted = least * torch.sort(area, dim=1).values[:, area.shape[1] // 3].unsqueeze(1)
    low = torch.zeros_like(area)
    high = torch.full_like(area, most)
    for _ in range(steps):
        middle = (low + high) / 2
        found = (torch.sigmoid(odds + middle.unsqueeze(-1).unsqueeze(-1)) * window).sum((2, 3))
        enough = found >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.where(area >= wanted, torch.zeros_like(area), high)


def likelier(labels: Tensor, bias: Tensor) -> Tensor:
    """Adds a bias [N, T] to the log probabilities of myocardium and pool; labels [N, T, 3, X, Y] and result alike."""
    ventricle = torch.tensor([0.0, 1.0, 1.0], dtype=labels.dtype, device=labels.device)
    return labels + (bias.unsqueeze(2) * ventricle).unsqueeze(-1).unsqueeze(-1)
