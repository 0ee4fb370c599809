"""Peaks of velocity curves: StrainMap's markers, with windows that follow the heart rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import find_peaks

from .result import Marker

#: Normalised time: systole is stretched to 350 ms, diastole to 650 ms.
SYSTOLE_MS, DIASTOLE_MS = 350.0, 650.0
#: Points that the spline through a curve has between two frames.
FINE = 16
#: A third circumferential peak below this is none, cm/s.
LEAST_PC3 = 0.5
#: At end-systole the wall hardly moves: share of the greatest radial velocity inward, beyond which a flat point belongs
#: to the systolic peak, and outward, beyond which it is the early diastolic one.
INWARD_ES, OUTWARD_ES = 0.2, 0.5
#: The atrial wave peaks no longer than this before the next beat, ms, whatever the heart rate.
ATRIAL_MS = 230.0
#: What parts both waves of filling lies no nearer to the only one than this, ms.
CLEAR_MS = 60.0
#: Waves of filling: least rise between two, as a share of the deepest, and least depth of the early one, of the atrial.
LEAST_RISE, LEAST_EARLY = 0.05, 0.3


@dataclass(frozen=True)
class Window:
    """Where a marker is sought.

    Attributes:
        code: Marker.
        components: Components that have it.
        start, stop: Normalised times, ms: StrainMap's frames of 50, numbered from 0, times 20 ms.
        sign: 1 for a maximum, -1 for a minimum, 0 for the larger of both.
    """

    code: str
    components: tuple[str, ...]
    start: float
    stop: float
    sign: int


_LONG = ("radial", "longitudinal")
#: Where early filling ends unless `find_phases` finds it elsewhere, normalised ms.
EARLY_END = 700.0
WINDOWS = (
    Window("PS", _LONG, 20, 300, 1),
    Window("PD", _LONG, 300, EARLY_END, -1),
    Window("PAS", _LONG, EARLY_END, 940, -1),
    Window("PC1", ("circumferential",), 20, 100, -1),
    Window("PC2", ("circumferential",), 120, 240, 1),
    Window("PC3", ("circumferential",), SYSTOLE_MS, SYSTOLE_MS + 200, 0),
)
ES_WINDOW = (280.0, 420.0)


def expected_systole_ms(rr_ms: float) -> float:
    """Length of systole to be expected at an RR: 350 ms at 1000 ms, and with its cube root.

    Source: Fridericia, Acta Med Scand 1920, doi 10.1111/j.0954-6820.1920.tb18266.x, for the QT interval, which
    mechanical systole follows.
    """
    return SYSTOLE_MS * float(np.cbrt(rr_ms / 1000))


def normalised(time_ms: NDArray | float, systole_ms: float, rr_ms: float) -> NDArray:
    """Time with systole stretched to 350 ms and diastole to 650 ms; `denormalised` is its inverse."""
    return np.asarray(np.interp(time_ms, (0, systole_ms, rr_ms), (0, SYSTOLE_MS, SYSTOLE_MS + DIASTOLE_MS)))


def denormalised(time_ms: NDArray | float, systole_ms: float, rr_ms: float) -> NDArray:
    """Time in ms of a normalised time."""
    return np.asarray(np.interp(time_ms, (0, SYSTOLE_MS, SYSTOLE_MS + DIASTOLE_MS), (0, systole_ms, rr_ms)))


@dataclass(frozen=True, eq=False)
class FineCurves:
    """Cubic splines through curves of one slice.

    Attributes:
        times_ms: Shape (N,), ms.
        values: Shape (N, curves).
        slopes: Their derivative, a ms.
    """

    times_ms: NDArray
    values: NDArray
    slopes: NDArray


def fine_curves(curves: NDArray, step_ms: float, cyclic: bool) -> FineCurves:
    """Interpolate between frames.

    Args:
        curves: Shape (T, curves), finite.
        step_ms: Time from frame to frame, ms.
        cyclic: Whether the first frame follows the last.
    """
    frames = len(curves)
    knots = np.arange(frames + cyclic) * step_ms
    points = np.concatenate((curves, curves[:1])) if cyclic else curves
    spline = CubicSpline(knots, points, axis=0, bc_type="periodic" if cyclic else "not-a-knot")
    times = np.arange((len(knots) - 1) * FINE + (not cyclic)) * (step_ms / FINE)
    return FineCurves(times, spline(times), spline(times, 1))


@dataclass(frozen=True)
class Phases:
    """When the phases of a heart's cycle end: the same for all its curves, else one wave would have two names.

    Attributes:
        systole: End-systole as a fraction of RR; None if it is not known.
        early: Component to the end of early filling, which parts PD from PAS, as a fraction of RR; ``EARLY_END`` for
            those that are not in it.
    """

    systole: float | None
    early: Mapping[str, float]


def find_phases(curves: Mapping[str, NDArray], step_ms: float, rr_ms: float, cyclic: bool) -> Phases:
    """Find the phases of a heart's cycle in its mean curves.

    Args:
        curves: "radial" and "longitudinal": mean velocity of all of the heart's wall, shape (T,), cm/s.
        step_ms: Time from frame to frame, ms.
        rr_ms: RR interval, ms.
        cyclic: Whether the first frame follows the last.
    """
    systole = end_systole_ms(curves["radial"], step_ms, rr_ms, cyclic)
    known = systole or expected_systole_ms(rr_ms)
    early = {name: _early_filling_ms(curves[name], step_ms, rr_ms, known, cyclic) / rr_ms for name in _LONG}
    return Phases(systole and systole / rr_ms, early)


def _early_filling_ms(curve: NDArray, step_ms: float, rr_ms: float, systole_ms: float, cyclic: bool) -> float:
    """End of early filling: the least motion between the last two waves of diastole, if the last one is the atrial one.

    In a fast heart both waves come before StrainMap's boundary, which is taken where there is one wave, or none late
    enough; but it keeps clear of a wave's peak, else that would be early in one region and atrial in the next.
    """
    low, high, usual = denormalised(np.array((300, 940, EARLY_END)), systole_ms, rr_ms)
    if not np.isfinite(curve).all():
        return float(usual)
    fine = fine_curves(curve[:, None], step_ms, cyclic)
    inside = (fine.times_ms >= low) & (fine.times_ms <= high)
    times, depth = fine.times_ms[inside], -fine.values[inside, 0]
    least = LEAST_RISE * max(depth.max(initial=0), 1e-9)
    waves, _ = find_peaks(depth, height=least, prominence=least)
    if not len(waves):
        return float(usual)
    if len(waves) < 2 or times[waves[-1]] < rr_ms - ATRIAL_MS or depth[waves[-2]] < LEAST_EARLY * depth[waves[-1]]:
        nearest = times[waves[np.abs(times[waves] - usual).argmin()]]
        early = nearest < usual + CLEAR_MS / 2
        return float(max(usual, nearest + CLEAR_MS) if early else min(usual, nearest - CLEAR_MS))
    first, last = waves[-2:]
    return float(times[first + depth[first:last].argmin()])


def end_systole_ms(radial: NDArray, step_ms: float, rr_ms: float, cyclic: bool) -> float | None:
    """End-systole: where the radial curve has a shoulder while the wall hardly moves, or else is nearest to zero.

    Slope is averaged over two frames to either side: of several exact turning points the broadest counts.

    Args:
        radial: Global radial curve, shape (T,), cm/s.
        step_ms: Time from frame to frame, ms.
        rr_ms: RR interval, ms.
        cyclic: Whether the first frame follows the last.

    Returns:
        ms after the first frame; None if the curve is incomplete.
    """
    if not np.isfinite(radial).all():
        return None
    fine = fine_curves(radial[:, None], step_ms, cyclic)
    steep, value = np.abs(fine.slopes[:, 0]), fine.values[:, 0]
    low, high = denormalised(np.array(ES_WINDOW), expected_systole_ms(rr_ms), rr_ms)
    inside = np.flatnonzero((fine.times_ms >= low) & (fine.times_ms <= high))
    if not len(inside):
        return None
    kernel = np.ones(2 * FINE + 1) / (2 * FINE + 1)
    smooth = np.convolve(np.pad(steep, FINE, mode="wrap" if cyclic else "edge"), kernel, mode="valid")
    calm = inside[(value[inside] <= INWARD_ES * value.max()) & (value[inside] >= OUTWARD_ES * value.min())]
    flat = smooth[calm].argmin() if len(calm) else 0
    # What is flattest where it begins or ceases to be calm is no shoulder.
    shoulder = 0 < flat < len(calm) - 1
    return float(fine.times_ms[calm[flat] if shoulder else inside[np.abs(value[inside]).argmin()]])


def find_markers(
    curves: Mapping[str, tuple[tuple[str, ...], NDArray]],
    step_ms: float,
    rr_ms: float,
    phases: Phases,
    cyclic: bool,
) -> tuple[Marker, ...]:
    """Peaks of many curves of one slice or segment.

    A peak is a turning point inside its window, never merely the window's edge. A systolic peak may come late: if the
    curve still rises at the window's end, the next turning point counts.

    Args:
        curves: Component to names of regions and their curves, shape (regions, T), cm/s.
        step_ms: Time from frame to frame, ms.
        rr_ms: RR interval, ms.
        phases: Of the heart; where end-systole is not known, what is to be expected at this RR is taken.
        cyclic: Whether the first frame follows the last.
    """
    systole = expected_systole_ms(rr_ms) if phases.systole is None else phases.systole * rr_ms
    markers = []
    for component, (regions, values) in curves.items():
        whole = np.isfinite(values).all(1)
        fine = fine_curves(np.where(whole[:, None], values, 0).T, step_ms, cyclic)
        for window in (w for w in WINDOWS if component in w.components):
            low, high = denormalised(np.array((window.start, window.stop)), systole, rr_ms)
            if window.code == "PC3":
                high = low + 0.2 * rr_ms
            elif window.code in ("PD", "PAS") and component in phases.early:
                end = phases.early[component] * rr_ms
                low, high = (low, end) if window.code == "PD" else (end, high)
            for k in np.flatnonzero(whole):
                found = _peak(fine, int(k), low, high, window.sign, window.code == "PS", cyclic)
                if found is None or (window.code == "PC3" and abs(found[1]) < LEAST_PC3):
                    continue
                markers.append(
                    Marker(
                        component=component,
                        region=regions[k],
                        code=window.code,
                        value_cm_s=found[1],
                        time_ms=found[0],
                        time_percent_rr=100 * found[0] / rr_ms,
                        time_normalised_ms=float(normalised(found[0], systole, rr_ms)),
                    )
                )
    return tuple(markers)


def _peak(
    fine: FineCurves, k: int, low: float, high: float, sign: int, may_be_late: bool, cyclic: bool
) -> tuple[float, float] | None:
    """Time and value of the largest turning point of curve `k` in a window."""
    value = fine.values[:, k] if sign else np.abs(fine.values[:, k])
    value = value * (sign or 1)
    after, before = np.roll(value, -1), np.roll(value, 1)
    turning = (value >= before) & (value > after)
    if not cyclic:
        turning[[0, -1]] = False
    candidates = np.flatnonzero(turning & (fine.times_ms >= low) & (fine.times_ms <= high))
    last = int(np.searchsorted(fine.times_ms, high, side="right")) - 1
    if may_be_late and last + 1 < len(value) and value[last + 1] > value[last]:
        later = np.flatnonzero(turning[last:])
        candidates = np.append(candidates, last + later[0]) if len(later) else candidates
    if not len(candidates):
        return None
    best = int(candidates[value[candidates].argmax()])
    # The spline's maximum lies between its points: a parabola through three of them.
    left, middle, right = before[best], value[best], after[best]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    step = fine.times_ms[1] - fine.times_ms[0]
    top = middle - 0.25 * (left - right) * shift
    return float(fine.times_ms[best] + shift * step), float(top * (sign or np.sign(fine.values[best, k])))
