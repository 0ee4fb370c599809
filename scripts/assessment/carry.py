"""Contours carried by the velocity: do the labels move as the velocity says?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from .motion import MM_PER_MS
from .wall import ANGLES, Contours


def carried(
    points: NDArray, velocity: NDArray, spacing_mm: tuple[float, float], step_ms: float, first: int, last: int
) -> NDArray[np.float64]:
    """Move points with the in-plane velocity from one frame to a later one (Heun's method, cyclic).

    Args:
        points: Shape (..., 2), mm along X and Y from the first pixel's centre.
        velocity: Along X and Y, shape (2, T, X, Y), cm/s.
        spacing_mm: Pixel size along X and Y, mm.
        step_ms: Time from frame to frame, ms.
        first: Frame to start in.
        last: Frame to end in, `first` or later; beyond T the cycle starts again.

    Returns:
        The points, shape (..., 2), mm.
    """
    frames = velocity.shape[1]

    def speed(frame: int, at: NDArray) -> NDArray:
        pixels = np.moveaxis(at / np.asarray(spacing_mm[:2]), -1, 0)
        return np.stack([map_coordinates(v[frame % frames], pixels, order=1, mode="nearest") for v in velocity], -1)

    points = np.asarray(points, float)
    for frame in range(first, last):
        start = speed(frame, points) * MM_PER_MS * step_ms
        end = speed(frame + 1, points + start) * MM_PER_MS * step_ms
        points = points + (start + end) / 2
    return points


def disagreement(contours: Contours, velocity: NDArray, spacing_mm: tuple[float, float], step_ms: float) -> float:
    """How far contours carried by the velocity end from the labels' own contours two frames later.

    Args:
        contours: Of the slice.
        velocity: Along X and Y, continued beyond the wall, shape (2, T, X, Y), cm/s.
        spacing_mm: Pixel size along X and Y, mm.
        step_ms: Time from frame to frame, ms.

    Returns:
        Root mean square radial distance as a share of that of the contours that were not moved: 0 where the velocity
        explains the labels' motion, 1 where it explains nothing, more where it contradicts it.
    """
    angles = np.arange(0, ANGLES, 3) * (2 * np.pi / ANGLES)
    frames, gap = len(contours.centre), max(1, len(contours.centre) // 16)
    directions = np.stack((np.cos(angles), np.sin(angles)), -1)
    moved = still = 0.0
    for radii in contours.radii(angles):
        for t in range(0, frames - gap, gap):
            points = contours.centre[t] + radii[t][:, None] * directions
            ends = carried(points, velocity, spacing_mm, step_ms, t, t + gap)
            for reached, is_moved in ((ends, True), (points, False)):
                away = reached - contours.centre[t + gap]
                angle = np.arctan2(away[:, 1], away[:, 0])
                target = np.interp(angle, angles, radii[t + gap], period=2 * np.pi)
                error = float(((np.hypot(away[:, 0], away[:, 1]) - target) ** 2).sum())
                moved, still = (moved + error, still) if is_moved else (moved, still + error)
    return float(np.sqrt(moved / still)) if still > 0 else 0.0
