"""What the page plays: magnitude, outlines and velocities of each slice, cropped to the heart and made small."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.measure import find_contours

from scripts.assessment.maps import MYOCARDIUM, POOL

#: Quality of the WebP pictures: the eye sees no loss, and a frame takes a tenth of its pixels.
QUALITY = 82
#: Velocities are stored in steps of limit / STEPS; NO_WALL marks pixels outside the myocardium.
STEPS, NO_WALL = 127, -128
#: Outlines are stored in whole parts of a pixel.
PARTS = 16
#: Blur, in pixels, that takes the stairs out of an outline.
SOFT = 0.9


def encode_slice(
    magnitude: NDArray, labels: NDArray, components: NDArray, white: float, limits: NDArray
) -> dict[str, str]:
    """Encode one slice as texts for the page.

    Args:
        magnitude: Shape (T, X, Y), any scale.
        labels: 0, 1 (myocardium), 2 (blood pool), shape (T, X, Y), uint8.
        components: Radial, circumferential, longitudinal velocity, shape (3, T, X, Y), cm/s; only the wall is kept.
        white: Magnitude shown as white.
        limits: Velocity of the last step of each component, shape (3,), cm/s; what is faster is stored as this.

    Returns:
        Base64 of `cine`, a WebP picture of all frames, row by row, `columns(T)` in a row; of `thumbnail`, the first
        frame; of `velocity`, zlib of int8 (3, T, Y, X), where v * limit / STEPS is the velocity and NO_WALL is outside;
        of `outlines`, zlib of JSON: for each frame the closed lines [x0, y0, x1, y1, ...] of the outer wall and those
        of the pool, in parts of a pixel; (0, 0) is the middle of the first pixel.
    """
    steps = np.rint(components * (STEPS / limits[:, None, None, None])).clip(-STEPS, STEPS)
    steps = np.where(labels == MYOCARDIUM, np.nan_to_num(steps), NO_WALL).astype(np.int8)
    lines = [[_outline(frame > 0), _outline(frame == POOL)] for frame in labels]
    return {
        "cine": _webp(magnitude, white),
        "thumbnail": _webp(magnitude[:1], white),
        "velocity": _packed(np.ascontiguousarray(steps.swapaxes(2, 3)).tobytes()),
        "outlines": _packed(json.dumps(lines, separators=(",", ":")).encode()),
    }


def columns(frames: int) -> int:
    """How many frames lie side by side in the picture of all frames."""
    return int(np.ceil(np.sqrt(frames)))


def velocity_limits(components: Sequence[NDArray]) -> NDArray[np.float64]:
    """Velocity that steps and colours of each component reach: all but the fastest 0.2 % of the wall, at least 1 cm/s.

    Args:
        components: For each slice (3, T, X, Y), cm/s, NaN outside the wall.

    Returns:
        Shape (3,), cm/s, whole numbers.
    """
    every = np.abs(np.concatenate([values[:, np.isfinite(values).all(0)] for values in components], axis=1))
    return np.ceil(np.percentile(every, 99.8, axis=1)).clip(1) if every.size else np.ones(3)


def _webp(frames: NDArray, white: float) -> str:
    """All frames (T, X, Y) in one gray WebP picture, as seen: X to the right, Y down."""
    count, width, height = frames.shape
    across = columns(count)
    sheet = np.zeros((-(-count // across) * height, across * width), np.uint8)
    gray = (frames * (255 / white)).clip(0, 255).astype(np.uint8)
    for t, frame in enumerate(gray):
        row, column = divmod(t, across)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame.T
    target = io.BytesIO()
    Image.fromarray(sheet).save(target, "webp", quality=QUALITY)
    return _text(target.getvalue())


def _outline(area: NDArray) -> list[list[int]]:
    """Closed lines around an area (X, Y), in parts of a pixel."""
    if not area.any():
        return []
    x, y = (np.flatnonzero(area.any(1 - axis)) for axis in (0, 1))
    border = 3  # of nothing: it closes lines at the image's edge, and leaves room for the blur
    inside = np.pad(area[x[0] : x[-1] + 1, y[0] : y[-1] + 1], border)
    corner = (x[0] - border, y[0] - border)
    soft = gaussian_filter(inside.astype(np.float32), SOFT)
    # A smooth line crosses the grid about twice a pixel: every second point tells as much.
    lines = [line[:-1:2] + corner for line in find_contours(soft, 0.5) if len(line) > 6]
    return [np.rint(line * PARTS).astype(int).ravel().tolist() for line in lines]


def _packed(content: bytes) -> str:
    return _text(zlib.compress(content))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
