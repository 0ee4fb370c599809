"""What a user would pick instead to know velocities: nothing, the usual heart, or optical flow in the plane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor
from tqdm import tqdm

from scripts.networks import VelocityAssessment
from scripts.networks.motion import PIXEL_CM
from scripts.networks.phase_synthesis import around_centroid
from scripts.phantom.cine import image_cines
from scripts.phantom.draw import Ranges

from .cases import FRAMES, Case
from .interpolators import following
from .motion import ESTIMATORS, unit

VelocityPeer = Callable[[Case, int], Tensor]
"""A case and a gap to velocities [3, T, X, Y], cm/s at RR = 1000 ms."""

POPULATION, POPULATION_SEED = 60, 2026
"""How many simulated hearts the usual one is the mean of, and their seed: one that training draws from."""


def zero(case: Case, gap: int) -> Tensor:
    """No motion."""
    return torch.zeros(3, *case.frames.shape)


def flow(case: Case, gap: int) -> Tensor:
    """In-plane velocity by optical flow between acquired frames; none along the long axis.

    From key to key the flow, both ways averaged, tells how far each place's tissue goes. A cubic spline through its
    running sum has the same way from key to key and its derivative is the velocity at any time.
    """
    if not case.cyclic:
        raise ValueError(f"{case.name}: expected a cyclic cine")
    keys = case.frames[::gap]
    first, second = unit(torch.stack((keys, following(keys, True))).numpy())
    estimate = ESTIMATORS["flow"]
    steps = np.stack([(estimate(a, b) - estimate(b, a)) / 2 for a, b in zip(first, second, strict=True)])
    drift = steps.mean(0)
    path = np.concatenate((np.zeros_like(steps[:1]), np.cumsum(steps - drift, axis=0)))
    path[-1] = path[0]  # equal but for rounding
    count = len(keys)
    spline = CubicSpline(np.arange(count + 1), path, bc_type="periodic")
    pixels = spline(np.arange(len(case.frames)) / gap, 1) + drift  # a gap
    velocity = torch.from_numpy(pixels.astype(np.float32)).movedim(1, 0) * (PIXEL_CM * count)
    return torch.cat((velocity, torch.zeros_like(velocity[:1])))


class UsualHeart:
    """The mean curves of a population, laid out about the ventricle's centroid, every heart alike.

    Args:
        count: simulated hearts in the population.
        seed: their seed.
    """

    def __init__(self, count: int = POPULATION, seed: int = POPULATION_SEED) -> None:
        generator, assess = torch.Generator().manual_seed(seed), VelocityAssessment()
        total = torch.zeros(3, FRAMES)
        for _ in tqdm(range(count), desc="population", leave=False):
            cine = image_cines(generator, 1, FRAMES, 96, ranges=Ranges(outside=0.0))
            total += assess((cine.labels == 1).float(), cine.velocity)[0]
        self.curves = total / count

    def __call__(self, case: Case, gap: int) -> Tensor:
        """Velocities of a case, about its true centroid: more than a user would know."""
        frames = len(case.frames)
        times = np.arange(frames) / frames * FRAMES
        curves = np.stack([np.interp(times, np.arange(FRAMES), c, period=FRAMES) for c in self.curves.numpy()], 1)
        return around_centroid(case.wall[:, None], torch.from_numpy(curves.astype(np.float32))).movedim(1, 0)


def velocity_peers(names: list[str]) -> dict[str, VelocityPeer]:
    """The peers of these names that say anything about velocity, and zero, which every peer must beat."""
    peers: dict[str, VelocityPeer] = {"zero": zero}
    if "population" in names:
        peers["population"] = UsualHeart()
    if "flow" in names:
        peers["flow"] = flow
    return peers
