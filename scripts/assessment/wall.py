"""The wall below the pixel: contours from labels, and velocities sampled on a polar grid between them.

A region's mean over whole pixels jumps with every pixel that enters or leaves it. So contours are taken from the area
moments of the labels, which average over all pixels, and velocities are interpolated at points that fill the wall
evenly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, map_coordinates, uniform_filter1d
from scipy.signal import savgol_filter

from .maps import MYOCARDIUM

SECTORS = 24
ANGLES = 6 * SECTORS
LAYERS = 3
DEPTHS = 3 * LAYERS
#: Harmonics of a contour: an outline of the heart has no finer detail that labels could show.
HARMONICS = 6
#: A sector of 24 counts if at least this share of it lies on labelled wall.
COVERED = 0.6
#: Frames over which the centroid is smoothed, as StrainMap does with its 50 frames a cycle; not with fewer than 25.
SMOOTHED, SMOOTHED_FROM = 3, 25
#: Contours are smoothed over a window of a seventh of the cycle, by parabolas, which leave their acceleration alone.
WINDOWS_A_CYCLE = 18
_NEIGHBOURS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
_RINGS = 3


@dataclass(frozen=True, eq=False)
class Contours:
    """Endocardium and epicardium of one slice.

    Attributes:
        centre: Centroid of the myocardium, smoothed, shape (T, 2), mm along X and Y from the first pixel's centre.
        inner, outer: Fourier coefficients of half the squared radius, complex, shape (T, HARMONICS + 1).
        present: Whether a frame shows any myocardium, shape (T,).
    """

    centre: NDArray[np.float64]
    inner: NDArray[np.complex128]
    outer: NDArray[np.complex128]
    present: NDArray[np.bool_]

    def shifted(self, corner_mm: tuple[float, float]) -> Contours:
        """The same contours in an image that begins at a corner (mm along X and Y) of this one."""
        return replace(self, centre=self.centre - np.asarray(corner_mm))

    def radii(self, angles: NDArray) -> tuple[NDArray, NDArray]:
        """Radius of endocardium and epicardium, mm.

        Args:
            angles: Shape (A,), radians from +X towards +Y.

        Returns:
            Two arrays of shape (T, A).
        """
        waves = np.exp(1j * np.arange(HARMONICS + 1)[:, None] * angles)
        waves[1:] *= 2
        inner, outer = (np.sqrt(np.maximum(2 * (c @ waves).real, 0)) for c in (self.inner, self.outer))
        return np.minimum(inner, outer), outer


def find_contours(labels: NDArray, spacing_mm: tuple[float, float], cyclic: bool = True) -> Contours:
    """Contours of one slice from its labels.

    The k-th Fourier coefficient of r^2 / 2 is the sum of exp(-i k angle) over the pixels inside, so each one averages
    over the whole area and the contour lies between the pixels.

    Args:
        labels: Shape (T, X, Y): 1 myocardium, 2 blood pool.
        spacing_mm: Pixel size along X and Y, mm.
        cyclic: Whether the first frame follows the last.
    """
    frames = len(labels)
    size, area = np.asarray(spacing_mm[:2], float), float(np.prod(spacing_mm[:2]))
    t, x, y = np.nonzero(labels)
    wall = labels[t, x, y] == MYOCARDIUM
    position = np.stack((x * size[0], y * size[1]))
    count = np.bincount(t[wall], minlength=frames)
    present = count > 0
    sums = np.stack([np.bincount(t[wall], p[wall], minlength=frames) for p in position])
    centre = (sums / np.maximum(count, 1)).T
    if frames >= SMOOTHED_FROM and present.all():
        centre = uniform_filter1d(centre, SMOOTHED, axis=0, mode="wrap" if cyclic else "nearest")
    away = position - centre[t].T
    angle = np.arctan2(away[1], away[0])
    turn, wave = np.exp(-1j * angle), np.ones(len(t), complex)
    outer = np.empty((frames, HARMONICS + 1), complex)
    inner = np.empty_like(outer)
    for k in range(HARMONICS + 1):
        for target, chosen in ((outer, slice(None)), (inner, ~wall)):
            part, frame = wave[chosen], t[chosen]
            target[:, k] = np.bincount(frame, part.real, frames) + 1j * np.bincount(frame, part.imag, frames)
        wave = wave * turn
    inner *= area / (2 * np.pi)
    outer *= area / (2 * np.pi)
    window = 2 * (frames // WINDOWS_A_CYCLE) + 1
    if window > 3 and present.all():  # a parabola through three frames is those frames
        mode = "wrap" if cyclic else "interp"
        inner, outer = _smooth(inner, window, mode), _smooth(outer, window, mode)
    return Contours(centre, inner, outer, present)


def _smooth(coefficients: NDArray, window: int, mode: str) -> NDArray[np.complex128]:
    """Savitzky-Golay smoothing over time of complex coefficients, shape (T, K)."""
    real, imaginary = (savgol_filter(c, window, 2, axis=0, mode=mode) for c in (coefficients.real, coefficients.imag))
    return np.asarray(real + 1j * imaginary, complex)


@dataclass(frozen=True, eq=False)
class Wall:
    """Velocities of one slice on a polar grid of the wall; angles start at the septum's middle.

    Attributes:
        radial, circumferential, longitudinal: Shape (T, ANGLES, DEPTHS), cm/s; depths from endocardium to epicardium.
        in_plane: Velocity along X and Y without bulk motion, shape (2, T, ANGLES, DEPTHS), cm/s.
        radius: Distance from the centre, shape (T, ANGLES, DEPTHS), mm.
        angles: Shape (ANGLES,), radians from +X towards +Y.
        weight: Area that a point stands for, shape (T, ANGLES, DEPTHS); 0 where the wall is open.
        bulk: Removed bulk motion, shape (2, T), cm/s.
    """

    radial: NDArray[np.float64]
    circumferential: NDArray[np.float64]
    longitudinal: NDArray[np.float64]
    in_plane: NDArray[np.float64]
    radius: NDArray[np.float64]
    angles: NDArray[np.float64]
    weight: NDArray[np.float64]
    bulk: NDArray[np.float64]


def sample_wall(
    labels: NDArray, velocity: NDArray, spacing_mm: tuple[float, float], contours: Contours, septum_deg: float
) -> Wall:
    """Sample one slice's velocities in the wall, and turn them into the heart's own directions.

    Args:
        labels: Shape (T, X, Y).
        velocity: Along +X, +Y and towards the apex, shape (3, T, X, Y), cm/s. Only pixels of the wall are used.
        spacing_mm: Pixel size along X and Y, mm.
        contours: What `find_contours` gave.
        septum_deg: Direction of the septum's middle, degrees from +X towards +Y.
    """
    angles = np.deg2rad(septum_deg) + (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES)
    inner, outer = contours.radii(angles)
    thickness = outer - inner
    depth = (np.arange(DEPTHS) + 0.5) / DEPTHS
    radius = inner[..., None] + thickness[..., None] * depth
    ux, uy = np.cos(angles)[None, :, None], np.sin(angles)[None, :, None]
    x = (contours.centre[:, 0, None, None] + radius * ux) / spacing_mm[0]
    y = (contours.centre[:, 1, None, None] + radius * uy) / spacing_mm[1]
    t = np.broadcast_to(np.arange(len(labels))[:, None, None], radius.shape)
    window = crop(labels)
    x, y = x - window[0].start, y - window[1].start
    wall = labels[:, *window] == MYOCARDIUM
    # Where the wall is open, as at the outflow tract, the contours run on without it.
    near = binary_dilation(wall, np.ones((1, 3, 3), bool)).astype(np.uint8)
    covered = map_coordinates(near, (t, x, y), order=0, mode="constant") * (thickness > 0)[..., None]
    share = covered.reshape(len(labels), SECTORS, -1).mean(2)
    closed = np.repeat(share >= COVERED, ANGLES // SECTORS, axis=1)
    area = radius * thickness[..., None] * covered
    filled = extended(velocity[:, :, *window], wall)
    v = np.stack([map_coordinates(component, (t, x, y), order=1, mode="nearest") for component in filled])
    bulk = (v[:2] * area).sum((2, 3)) / np.maximum(area.sum((1, 2)), 1e-9)
    vx, vy = v[:2] - bulk[:, :, None, None]
    # Seen from the apex Y is down, so counter-clockwise turns +X towards -Y.
    return Wall(
        -(vx * ux + vy * uy),
        vx * uy - vy * ux,
        v[2],
        np.stack((vx, vy)),
        radius,
        angles,
        area * closed[..., None],
        bulk,
    )


def extended(velocity: NDArray, wall: NDArray) -> NDArray[np.float64]:
    """Continue velocities from the wall's pixels to three pixels beyond, straight on, so that they can be interpolated.

    What lies beyond the wall in the map (blood, lung, noise) is not used. A field that is linear in space stays so.

    Args:
        velocity: Shape (C, T, X, Y), cm/s.
        wall: Shape (T, X, Y), bool.
    """
    margin = 2
    pad = ((0, 0), (margin, margin), (margin, margin))
    values = np.pad(np.where(wall, velocity, 0.0), ((0, 0), *pad))
    known = np.pad(wall, pad)
    inside = np.zeros_like(known)
    inside[:, margin:-margin, margin:-margin] = True
    square = np.ones((1, 3, 3), bool)
    for _ in range(_RINGS):
        t, x, y = np.nonzero(binary_dilation(known, square) & ~known & inside)
        straight, near = np.zeros((len(values), len(t))), np.zeros((len(values), len(t)))
        straight_weight, near_weight = np.zeros(len(t)), np.zeros(len(t))
        for i, j in _NEIGHBOURS:
            weight = 1 / np.hypot(i, j)
            one, two = (t, x + i, y + j), (t, x + 2 * i, y + 2 * j)
            first, second = weight * known[one], weight * (known[one] & known[two])
            near += first * values[(slice(None), *one)]
            near_weight += first
            straight += second * (2 * values[(slice(None), *one)] - values[(slice(None), *two)])
            straight_weight += second
        both = np.where(
            straight_weight > 0, straight / np.maximum(straight_weight, 1e-9), near / np.maximum(near_weight, 1e-9)
        )
        values[:, t, x, y] = both
        known[t, x, y] = True
    return values[:, :, margin:-margin, margin:-margin]


def crop(labels: NDArray, margin: int = 4) -> tuple[slice, slice]:
    """The part of one slice's image that holds its labels at any time, and a margin; shape of labels (T, X, Y)."""
    window = []
    for axis in (1, 2):
        found = np.flatnonzero((labels > 0).any((0, 3 - axis)))
        low, high = (int(found[0]), int(found[-1])) if len(found) else (0, 0)
        window.append(slice(max(0, low - margin), high + margin + 1))
    return window[0], window[1]


def cylindrical(
    labels: NDArray, velocity: NDArray, spacing_mm: tuple[float, float], cyclic: bool = True
) -> NDArray[np.float32]:
    """Radial, circumferential and longitudinal velocity of each pixel of one slice, as pictures show it.

    The same centre and the same removal of bulk motion as the curves have, without their interpolation.

    Args:
        labels: 0, 1 myocardium, 2 blood pool, viewed from the apex, shape (T, X, Y).
        velocity: Along +X, +Y and towards the apex, shape (3, T, X, Y), cm/s.
        spacing_mm: Pixel size along X and Y, mm.
        cyclic: Whether the first frame follows the last.

    Returns:
        Shape (3, T, X, Y), cm/s: positive inward, counter-clockwise seen from the apex, and towards the apex; NaN
        outside the myocardium.
    """
    result = np.full(velocity.shape, np.nan, np.float32)
    contours = find_contours(labels, spacing_mm, cyclic)
    bulk = sample_wall(labels, velocity, spacing_mm, contours, 0.0).bulk
    t, x, y = np.nonzero(labels == MYOCARDIUM)
    dx = x * spacing_mm[0] - contours.centre[t, 0]
    dy = y * spacing_mm[1] - contours.centre[t, 1]
    distance = np.maximum(np.hypot(dx, dy), 1e-6)
    dx, dy = dx / distance, dy / distance
    vx, vy = velocity[:2, t, x, y] - bulk[:, t]
    result[:, t, x, y] = -(vx * dx + vy * dy), vx * dy - vy * dx, velocity[2, t, x, y]
    return result
