"""A cine as a cycle: which of its frames lie around a gap, and what they say of it."""

import torch
from torch import Tensor

from .blocks import CYCLE_FRAMES
from .motion import image_motion, outer_reach, path, spline_frames, spline_starts, to_both_ends, warp

SLOPE_REACH = 6
"""Frames to each side that ``slopes`` takes part of a slope from; those beyond have less than 0.1 % of the first."""


def wrap(index: Tensor, frames: int, cyclic: Tensor) -> Tensor:
    """Brings frame indices into a cine: around its end where it is cyclic, else to its first or last frame.

    Args:
        index: int64, any shape.
        frames: number of frames T.
        cyclic: [1] int64, 1 or 0.

    Returns:
        int64, like ``index``, 0 to T - 1.
    """
    count = torch.full_like(index, frames)
    return torch.where(cyclic == 1, torch.remainder(index, count), torch.minimum(index.clamp_min(0), count - 1))


def neighbours(frames: int, cyclic: Tensor) -> Tensor:
    """Indices of the four acquired frames that the network sees for the gap after each frame.

    The inner two enclose the gap; the outer two lie ``outer_reach`` frames away from it.

    Args:
        frames: number of acquired frames T.
        cyclic: [1] int64: 1 if the frame after the last is the first, 0 if the cine ends there.

    Returns:
        [T, 4] int64, 0 to T - 1.
    """
    reach = outer_reach(frames)
    first = torch.arange(frames, device=cyclic.device)
    index = torch.stack((first - reach, first, first + 1, first + 1 + reach), dim=1)
    return wrap(index, frames, cyclic)


def whole_cycle(frames: Tensor, cyclic: Tensor, samples: int = CYCLE_FRAMES) -> Tensor:
    """Samples a cine at eighths of the cycle from each of its frames on, linearly between frames.

    Args:
        frames: [N, T, h, w] float.
        cyclic: [1] int64, as in ``neighbours``.
        samples: how many times of the cycle.

    Returns:
        [N, T, samples, h, w] float.
    """
    count = frames.shape[1]
    start = torch.arange(count, device=frames.device).unsqueeze(1)
    step = torch.arange(samples, device=frames.device).unsqueeze(0) * count
    below = start + torch.div(step, samples, rounding_mode="floor")
    weight = (torch.remainder(step, samples).float() / samples).unsqueeze(-1).unsqueeze(-1)
    first, second = wrap(below, count, cyclic), wrap(below + 1, count, cyclic)
    return frames[:, first] * (1 - weight) + frames[:, second] * weight


def around_gaps(frames: Tensor, cyclic: Tensor) -> Tensor:
    """Estimates the motion from frame to frame around every gap of a cine.

    Args:
        frames: [N, T, X, Y] float, normalised magnitude; X and Y divisible by 16.
        cyclic: [1] int64, as in ``neighbours``.

    Returns:
        [N * T, 10, X / 2, Y / 2] float, pixels: motion along X and Y over five intervals, as ``spline_velocity`` takes
        them.
    """
    count = frames.shape[1]
    spacing, _ = spline_frames(count)
    first = torch.arange(count, device=frames.device)
    later = frames[:, wrap(first + spacing, count, cyclic)]
    # Every interval serves all gaps around it.
    motion = image_motion(frames.flatten(0, 1).unsqueeze(1), later.flatten(0, 1).unsqueeze(1))[:, :2]
    motion = motion.to(frames.dtype).unflatten(0, (frames.shape[0], count))
    index = wrap(first.unsqueeze(1) + spline_starts(count, frames.device), count, cyclic)
    return motion[:, index].flatten(0, 1).flatten(1, 2)


def slope_weight(distance: int) -> float:
    """What the difference of the frames at a distance to both sides gives to the slope of a cubic spline."""
    # The spline's slopes d obey d[k - 1] + 4 d[k] + d[k + 1] = 3 (f[k + 1] - f[k - 1]); this is the inverse of it.
    pole = 3.0**0.5 - 2
    return 3.0**0.5 / 2 * (pole ** (distance - 1) - pole ** (distance + 1))


def slopes(frames: Tensor, cyclic: Tensor, reach: int = SLOPE_REACH) -> Tensor:
    """How fast brightness changes at both ends of every gap of a cine, as a cubic spline through its frames says.

    Args:
        frames: [N, T, X, Y] float, normalised magnitude.
        cyclic: [1] int64, as in ``neighbours``.
        reach: how many frames to each side.

    Returns:
        [N * T, 2, X, Y] float, change a gap: at its first and at its second frame.
    """
    count = frames.shape[1]
    first = torch.arange(count, device=frames.device)
    slope = torch.zeros_like(frames)
    for n in range(1, reach + 1):
        later, earlier = frames[:, wrap(first + n, count, cyclic)], frames[:, wrap(first - n, count, cyclic)]
        slope = slope + slope_weight(n) * (later - earlier)
    return torch.stack((slope, slope[:, wrap(first + 1, count, cyclic)]), dim=2).flatten(0, 1)


def with_neighbours(labels: Tensor, motions: Tensor, gap: Tensor, cyclic: Tensor) -> Tensor:
    """Averages the labels of each acquired frame with those of the frames before and after, carried along the motion.

    Args:
        labels: [N, T, 3, X, Y] float, log probabilities.
        motions: [N * T, 6, X / 2, Y / 2] float64, pixels, from ``gap_view``.
        gap: [N * T] float, length of a gap as a fraction of the cycle.
        cyclic: [1] int64, as in ``neighbours``.

    Returns:
        Like ``labels``.
    """
    n, count = labels.shape[0], labels.shape[1]
    frame = torch.arange(count, device=labels.device)
    before, after = wrap(frame - 1, count, cyclic), wrap(frame + 1, count, cyclic)
    start = torch.zeros_like(gap)
    _, to_next = to_both_ends(path(motions, start, gap), start)
    back, _ = to_both_ends(path(motions, start + 1, gap), start + 1)
    # The motion back to the frame before is that of the gap before. Where a cine ends, its last frame stays.
    moves = (torch.stack((before, after)) != frame).to(labels.dtype).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
    to_next = to_next.unflatten(0, (n, count)) * moves[1]
    back = back.unflatten(0, (n, count))[:, before] * moves[0]
    earlier = warp(labels[:, before].flatten(0, 1), back.flatten(0, 1))
    later = warp(labels[:, after].flatten(0, 1), to_next.flatten(0, 1))
    return (labels + (earlier + later).unflatten(0, (n, count))) / 3
