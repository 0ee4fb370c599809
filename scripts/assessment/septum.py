"""Where the septum is: the side of the left ventricle where blood lies beyond the wall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from .maps import MYOCARDIUM, POOL, Maps
from .wall import find_contours

ANGLES = 72
#: Distances beyond the epicardium where the right ventricle is looked for, mm.
NEAR_MM, FAR_MM = 2.0, 24.0
#: The part of the septum's arc of about 120 degrees that surely has the right ventricle beyond it.
ARC_DEG = 100.0
#: Blood of both ventricles differs by coil shading and inflow: by this share of its contrast to muscle.
LIKENESS = 0.5


def find_septum(maps: Maps) -> tuple[float, float]:
    """Direction of the septum's middle, one for the whole stack, from the image alone.

    Beyond the epicardium, and over the whole cycle, brightness is compared with that of the left ventricle's blood:
    the right ventricle holds the same blood, without a gap from the septum on, and lung, liver, fat and chest wall
    rarely do. The arc with the most of it is the septum's.

    Args:
        maps: The study.

    Returns:
        Degrees from +X towards +Y, and how clear the finding is: 0 (every direction alike) to 1.
    """
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    profile = np.zeros(ANGLES)
    for z in range(maps.labels.shape[3]):
        profile += _blood_profile(maps, z, angles)
    if profile.max() <= 0:
        return 0.0, 0.0
    away = np.angle(np.exp(1j * angles))
    arc = np.cos(np.clip(away * (180 / ARC_DEG), -np.pi / 2, np.pi / 2))
    score = np.fft.ifft(np.fft.fft(profile) * np.conj(np.fft.fft(arc))).real
    best = int(score.argmax())
    # The arc's score is smooth: a parabola finds the maximum between two directions.
    left, middle, right = score[best - 1], score[best], score[(best + 1) % ANGLES]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    clear = (score.max() - score.mean()) / max(arc.sum() * profile.max() - score.mean(), 1e-9)
    return float(np.rad2deg(angles[best]) + shift * 360 / ANGLES) % 360, float(np.clip(clear, 0, 1))


def _blood_profile(maps: Maps, z: int, angles: NDArray) -> NDArray:
    """How much of what lies beyond the epicardium looks like blood, by angle; 0 without a ventricle."""
    labels, image = maps.labels[..., z], maps.magnitude[..., z]
    if not (labels == POOL).any() or not (labels == MYOCARDIUM).any():
        return np.zeros(len(angles))
    blood, muscle = (float(np.median(image[labels == value])) for value in (POOL, MYOCARDIUM))
    contrast = abs(blood - muscle)
    contours = find_contours(labels, maps.spacing_mm[:2], maps.cyclic)
    _, outer = contours.radii(angles)
    radius = outer[..., None] + np.arange(NEAR_MM, FAR_MM, 1.0)
    x = (contours.centre[:, 0, None, None] + radius * np.cos(angles)[:, None]) / maps.spacing_mm[0]
    y = (contours.centre[:, 1, None, None] + radius * np.sin(angles)[:, None]) / maps.spacing_mm[1]
    t = np.broadcast_to(np.arange(len(labels))[:, None, None], x.shape)
    found = map_coordinates(image, (t, x, y), order=1, mode="constant", cval=muscle)
    likeness = np.exp(-(((found - blood) / max(LIKENESS * contrast, 1e-6)) ** 2))
    likeness = np.minimum.accumulate(likeness, axis=2)  # a gap ends it: what lies behind is not the right ventricle
    return (likeness * contours.present[:, None, None]).mean((0, 2))
