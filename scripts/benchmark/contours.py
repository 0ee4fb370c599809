"""Contours of patients carried from end-diastole to end-systole: does the motion move what a reader drew?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from skimage.draw import polygon2mask
from skimage.measure import find_contours
from torch import Tensor, nn

from scripts.assessment.carry import carried
from scripts.assessment.maps import POOL
from scripts.training.sunnybrook import PIXEL_MM

from .metrics import dice
from .motion import ESTIMATORS, unit
from .network import run

#: RR at which velocities are given; only the ratio of time and RR matters here.
RR_MS = 1000.0
#: About how many velocity frames a cycle carry a contour.
FRAMES_A_CYCLE = 60
LEAST_PIXELS = 12


def end_frames(labels: dict[int, Tensor]) -> tuple[int, int] | None:
    """Frames with the largest and the smallest labelled pool; None if the slice has no two."""
    areas = {frame: int((label == POOL).sum()) for frame, label in labels.items()}
    areas = {frame: area for frame, area in areas.items() if area >= LEAST_PIXELS}
    if len(areas) < 2:
        return None
    return max(areas, key=areas.__getitem__), min(areas, key=areas.__getitem__)


def carried_overlaps(
    frames: Tensor, labels: dict[int, Tensor], peers: Iterable[str], networks: dict[str, nn.Module]
) -> dict[str, float]:
    """Carries one slice's end-diastolic pool to end-systole in every way.

    Args:
        frames: [T, X, Y] float, a cyclic cine.
        labels: Frame to [X, Y] uint8; two of them with a pool.
        peers: Names of ``ESTIMATORS``, run from frame to frame.
        networks: Name to a loaded model, whose in-plane velocity carries.

    Returns:
        Dice with the end-systolic pool by name; ``unmoved`` is the end-diastolic one left where it is.
    """
    ends = end_frames(labels)
    if ends is None:
        raise ValueError(f"labels: found a pool in {sorted(labels)}, expected contours of it in two frames")
    first, last = ends
    start, wanted = outline(labels[first] == POOL), labels[last] == POOL
    last += len(frames) * (last < first)
    results = {"unmoved": dice(labels[first] == POOL, wanted)}
    reached = {name: carried_by_motion(frames, start, range(first, last + 1), name) for name in peers}
    for name, network in networks.items():
        reached[name] = carried_by_velocity(network, frames, start, first, last)
    for name, points in reached.items():
        results[name] = dice(torch.from_numpy(polygon2mask(tuple(wanted.shape), points)), wanted)
    return results


def outline(mask: Tensor) -> NDArray[np.float64]:
    """Longest outline of a mask [X, Y] bool: points (N, 2), pixels, half-way between inside and outside."""
    return max(find_contours(np.pad(mask.numpy(), 1).astype(float), 0.5), key=len) - 1


def carried_by_motion(frames: Tensor, points: NDArray, steps: Sequence[int], name: str) -> NDArray[np.float64]:
    """Moves points frame by frame with the motion between neighbouring acquired frames.

    Args:
        frames: [T, X, Y] float, a cyclic cine.
        points: (N, 2), pixels.
        steps: Frames to pass, first to last, beyond T around the cycle.
        name: A key of ``ESTIMATORS``.

    Returns:
        (N, 2), pixels.
    """
    scaled = unit(frames.numpy())
    for before, after in pairwise(steps):
        motion = ESTIMATORS[name](scaled[before % len(scaled)], scaled[after % len(scaled)])
        points = points + np.stack([map_coordinates(d, points.T, order=1, mode="nearest") for d in motion], -1)
    return points


def carried_by_velocity(
    network: nn.Module, frames: Tensor, points: NDArray, first: int, last: int
) -> NDArray[np.float64]:
    """Moves points with a network's velocity, as it is at each place: no segmentation decides.

    Args:
        network: A loaded model.
        frames: [T, X, Y] float, a cyclic cine.
        points: (N, 2), pixels.
        first: Frame to start in.
        last: Frame to end in, ``first`` or later; beyond T around the cycle.

    Returns:
        (N, 2), pixels.
    """
    factor = max(1, round(FRAMES_A_CYCLE / len(frames)))
    velocity = run(network, frames, factor)[4:6].numpy()
    step, spacing = RR_MS / velocity.shape[1], (PIXEL_MM, PIXEL_MM)
    return carried(points * PIXEL_MM, velocity, spacing, step, first * factor, last * factor) / PIXEL_MM


@dataclass
class ContourTally:
    """Dice of carried pools with those that a reader drew at end-systole, by peer and patient."""

    overlaps: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, subject: str, overlaps: dict[str, float]) -> None:
        """Adds one slice, as ``carried_overlaps`` gives it."""
        for name, overlap in overlaps.items():
            self.overlaps.setdefault(name, {}).setdefault(subject, []).append(overlap)

    def figures(self) -> list[dict[str, object]]:
        """One row a peer and patient: mean and worst Dice over the slices, and how many carrying made better."""
        return [
            {
                "peer": name,
                "patient": subject,
                "slices": len(values),
                "dice": float(np.mean(values)),
                "dice_worst_slice": min(values),
                "slices_better_carried": sum(
                    moved > still for moved, still in zip(values, self.overlaps["unmoved"][subject], strict=True)
                ),
            }
            for name, subjects in self.overlaps.items()
            for subject, values in subjects.items()
        ]
