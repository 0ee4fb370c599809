"""From phase to velocity: scale, wrapping, background offset."""

from __future__ import annotations

import numpy as np
import pydicom
from numpy.typing import NDArray
from skimage.restoration import unwrap_phase

from .dicom import rescale
from .dicom_scan import Frame
from .study import CineError
from .venc import in_cm_s, is_ge

#: Raw values of a 12-bit phase image; half of it is zero velocity.
FULL_SCALE = 4096
#: Phase fills its range if it reaches this share of both ends.
_FILLED = 0.95
#: A pixel holds signal if its mean magnitude is above this share of the brightest ones'.
SIGNAL = 0.15
#: Fewer static pixels than this cannot carry a fit.
LEAST_STATIC = 200


def decode(raw: NDArray, venc: float, where: str) -> NDArray[np.float32]:
    """Turn phase into velocity, cm/s: v = (raw / 4096 - 0.5) 2 venc.

    Args:
        raw: Whole numbers of any shape: 0 to 4095, signed -2048 to 2047, or Siemens' rescaled -4096 to 4094.
        venc: Velocity that turns the phase by pi, cm/s.
        where: What to name in the message.

    Raises:
        CineError: If the numbers are none of these, or could be either of the last two.
    """
    low, high = float(raw.min()), float(raw.max())
    if not np.isfinite([low, high]).all() or not np.array_equal(raw, np.rint(raw)):
        raise CineError(f"{where}: found fractions or NaN, expected raw phase: whole numbers 0 to {FULL_SCALE - 1}")
    if low < -FULL_SCALE or high >= FULL_SCALE:
        raise CineError(
            f"{where}: found {low:g} to {high:g}, expected raw phase: 0 to {FULL_SCALE - 1}, or {-FULL_SCALE} to "
            f"{FULL_SCALE - 1}"
        )
    half, middle = (_signed_half(raw, where), 0.0) if low < 0 else (FULL_SCALE / 2, FULL_SCALE / 2)
    return ((raw.astype(np.float32) - np.float32(middle)) / np.float32(half)) * np.float32(venc)


def _signed_half(raw: NDArray, where: str) -> float:
    """Value of the venc in whole numbers about zero: 2048 in 12 bits, 4096 where Siemens rescaled these by 2."""
    low, high, half = float(raw.min()), float(raw.max()), FULL_SCALE / 2
    if low < -half or high >= half or not (raw % 2).any():
        return FULL_SCALE
    if min(-low, high) >= _FILLED * half:
        return half
    raise CineError(
        f"{where}: found signed phase from {low:g} to {high:g}: 12 bits ({-half:g} to {half - 1:g}), or a part of "
        f"{-FULL_SCALE} to {FULL_SCALE - 1}; expected values that fill one of them, as noise in air does, or 0 to "
        f"{FULL_SCALE - 1} with {half:g} for zero velocity: add {half:g} to 12 bits"
    )


def decode_dicom(pixels: NDArray, frame: Frame, venc: float) -> NDArray[np.float32]:
    """Turn a DICOM series' pixels into velocity, cm/s.

    Args:
        pixels: Rescaled, any shape: cm/s if RescaleType says so; in 12 bits phase; GE's signed ones mm/s.
        frame: One of the images, which tells what the pixels are.
        venc: Velocity that turns the phase by pi, cm/s.

    Raises:
        CineError: If the pixels are none of these.
    """
    header = pydicom.dcmread(frame.path, stop_before_pixels=True, force=True)
    if in_cm_s(header, frame.index):
        return pixels.astype(np.float32)
    bits, signed = int(header.BitsStored), bool(int(header.get("PixelRepresentation", 0)))
    slope, intercept = rescale(header, frame)
    if bits <= 12:
        low = intercept - (2 ** (bits - 1) * slope if signed else 0)
        return ((pixels - low) / (2**bits * slope) - 0.5).astype(np.float32) * np.float32(2 * venc)
    low, high = float(pixels.min()), float(pixels.max())
    if is_ge(frame.vendor) and low < 0:
        if max(-low, high) <= 10.2 * venc:
            return (pixels / 10).astype(np.float32)
    elif low >= -FULL_SCALE and high < FULL_SCALE and np.array_equal(pixels, np.rint(pixels)):
        return decode(pixels, venc, frame.where)
    raise CineError(
        f"{frame.where}: found {bits}-bit phase from {low:g} to {high:g}, expected 12 bits, GE's mm/s within the venc "
        f"of {venc:g} cm/s, or velocities with (0028,1054) RescaleType cm/s"
    )


def unwrapped(velocity: NDArray, magnitude: NDArray, venc: float, cyclic: bool = True) -> NDArray[np.float32]:
    """Undo wrapping where there is signal, in space and time at once (Herraez 2002, doi 10.1364/AO.41.007437).

    Args:
        velocity: One component of one slice, shape (T, X, Y), cm/s.
        magnitude: The same shape, any scale.
        venc: Velocity that turns the phase by pi, cm/s.
        cyclic: Whether the first frame follows the last.
    """
    signal = has_signal(magnitude)
    result = np.array(velocity, np.float32)
    if not signal.any():
        return result
    hidden = np.broadcast_to(~signal, velocity.shape)
    phase = np.ma.masked_array(np.asarray(velocity, float) * (np.pi / venc), hidden)
    found = unwrap_phase(phase, wrap_around=(cyclic, False, False), rng=0)
    change = np.rint((found.filled(0) - phase.filled(0)) / (2 * np.pi))
    # The method is free to add whole turns to everything: most pixels were not wrapped.
    values, counts = np.unique(change[:, signal], return_counts=True)
    change -= values[counts.argmax()]
    result[:, signal] += (2 * venc * change[:, signal]).astype(np.float32)
    return result


def background_offset(velocity: NDArray, magnitude: NDArray, order: int, where: str) -> NDArray[np.float32]:
    """Velocity that static tissue shows, as a polynomial over the image.

    Static tissue is what holds signal and whose velocity changes least over the cycle. Pixels far off the fit (fat,
    slowly flowing blood) are left out in three rounds.

    Args:
        velocity: One component of one slice, shape (T, X, Y), cm/s.
        magnitude: The same shape, any scale.
        order: 1 (plane) or 2.
        where: What to name in the message.

    Returns:
        Shape (X, Y), cm/s.

    Raises:
        CineError: If there is too little static tissue.
    """
    if order not in (1, 2):
        raise CineError(f"argument offset: found {order}, expected 0 (none), 1 (plane) or 2 (quadratic)")
    signal = has_signal(magnitude)
    spread, mean = velocity.std(0), velocity.mean(0)
    if int(signal.sum()) < 4 * LEAST_STATIC:
        raise CineError(f"{where}: found {int(signal.sum())} pixels with signal, too few to fit a background offset")
    static = signal & (spread <= np.quantile(spread[signal], 0.25))
    x, y = (np.linspace(-1, 1, n) for n in mean.shape)
    terms = np.polynomial.polynomial.polyvander2d(*np.meshgrid(x, y, indexing="ij"), (order, order))
    powers = [i * (order + 1) + j for i in range(order + 1) for j in range(order + 1) if i + j <= order]
    terms = terms[..., powers]
    for _ in range(3):
        if int(static.sum()) < LEAST_STATIC:
            raise CineError(f"{where}: found {int(static.sum())} static pixels, expected at least {LEAST_STATIC}")
        coefficients, *_ = np.linalg.lstsq(terms[static], mean[static], rcond=None)
        fit = terms @ coefficients
        residual = np.abs(mean - fit)
        static &= residual <= max(3 * 1.4826 * float(np.median(residual[static])), 1e-6)
    return fit.astype(np.float32)


def has_signal(magnitude: NDArray) -> NDArray[np.bool_]:
    """Pixels that hold tissue or blood and not noise, shape (X, Y), of magnitude (T, X, Y)."""
    mean = magnitude.mean(0)
    return mean > SIGNAL * np.quantile(mean, 0.98)
