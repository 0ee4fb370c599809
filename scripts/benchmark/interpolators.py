"""What a user would pick instead to make the frames between acquired ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from .motion import ESTIMATORS, Estimator, sampled, unit

Interpolator = Callable[[Tensor, int, bool], Tensor]
"""Acquired frames [T, X, Y], factor F, whether the cine is cyclic, to frames [T * F, X, Y]; every F-th is acquired."""


def following(keys: Tensor, cyclic: bool) -> Tensor:
    """The acquired frame after each one: after the last comes the first or, in a cine that ends, the last again."""
    return keys.roll(-1, 0) if cyclic else torch.cat((keys[1:], keys[-1:]))


def nearest(keys: Tensor, factor: int, cyclic: bool = True) -> Tensor:
    """Copies the nearest acquired frame; the earlier one half-way."""
    after = (torch.arange(factor) * 2 > factor)[None, :, None, None]
    return torch.where(after, following(keys, cyclic)[:, None], keys[:, None]).flatten(0, 1)


def linear(keys: Tensor, factor: int, cyclic: bool = True) -> Tensor:
    """Blends the two acquired frames around."""
    weight = (torch.arange(factor) / factor)[None, :, None, None]
    return (keys[:, None] * (1 - weight) + following(keys, cyclic)[:, None] * weight).flatten(0, 1)


def cubic(keys: Tensor, factor: int, cyclic: bool = True) -> Tensor:
    """Cubic spline in time, pixel by pixel."""
    count = len(keys)
    points = torch.cat((keys, keys[:1])) if cyclic else keys
    spline = CubicSpline(np.arange(len(points)), points.numpy(), bc_type="periodic" if cyclic else "not-a-knot")
    times = np.arange(count * factor) / factor
    frames = spline(times if cyclic else np.minimum(times, count - 1))
    return torch.from_numpy(frames.astype(np.float32)).clamp_min(0)


def motion_compensated(estimate: Estimator, keys: Tensor, factor: int, cyclic: bool = True) -> Tensor:
    """Carries both acquired frames along the motion between them and blends what arrives.

    Source: Jiang et al., CVPR 2018 (Super SloMo), equation 4, for the motion from a time between.

    Args:
        estimate: what finds the motion between two pictures.
        keys: [T, X, Y] float.
        factor: F.
        cyclic: whether the first frame follows the last.

    Returns:
        [T * F, X, Y] float32.
    """
    frames, ends = keys.numpy(), following(keys, cyclic).numpy()
    scaled, scaled_ends = unit(np.concatenate((frames, ends))).reshape(2, *frames.shape)
    result: list[NDArray] = []
    for first, second, a, b in zip(frames, ends, scaled, scaled_ends, strict=True):
        result.append(first)
        if factor == 1:
            continue
        forward, backward = estimate(a, b), estimate(b, a)
        for t in np.arange(1, factor) / factor:
            before = sampled(first, -(1 - t) * t * forward + t * t * backward)
            after = sampled(second, (1 - t) ** 2 * forward - t * (1 - t) * backward)
            result.append((1 - t) * before + t * after)
    return torch.from_numpy(np.stack(result).astype(np.float32)).clamp_min(0)


def flow(keys: Tensor, factor: int, cyclic: bool = True) -> Tensor:
    """Warps along optical flow (``motion.dis_flow``)."""
    return motion_compensated(ESTIMATORS["flow"], keys, factor, cyclic)


def registration(keys: Tensor, factor: int, cyclic: bool = True) -> Tensor:
    """Warps along a deformable registration (``motion.demons``)."""
    return motion_compensated(ESTIMATORS["registration"], keys, factor, cyclic)


INTERPOLATORS: dict[str, Interpolator] = {
    "nearest": nearest,
    "linear": linear,
    "cubic": cubic,
    "flow": flow,
    "registration": registration,
}
