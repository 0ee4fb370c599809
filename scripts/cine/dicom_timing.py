"""The order of a slice's frames, their times, and RR: which tag is believed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .dicom_scan import Frame
from .study import EVENLY, CineError, evenly, plausible_rr

#: A step longer than this many usual ones leaves a frame out: within the cycle one is missing, from the last frame to
#: the next R wave the end of diastole, as prospective gating does.
LONGEST_STEP = 1.75
#: Tags that state RR and differ by more than this disagree.
_TOLERANCE = 0.1
#: Tags state RR rounded (a heart rate in whole beats a minute): this share of it may be missing after the last frame.
_ROUNDED_RR = 0.03
#: Trigger times that cover a smaller share of RR are in another unit.
_SHORTEST_SPAN = 0.25

#: Trigger times that cover this many RR, in steps that are milliseconds for certain, are several beats.
_BEATS, _STEP_MS = 1.75, (10.0, 150.0)

TRIGGER = "(0018,1060) TriggerTime"
_NOMINAL = "(0018,1062) NominalInterval"
_RATE = "(0018,1088) HeartRate"
_TEMPORAL = "(0020,0100) TemporalPositionIdentifier"
_INSTANCE = "(0020,0013) InstanceNumber"
#: What stands for these tags in an enhanced multi-frame file (PS3.3 C.7.6.16.2.2, C.7.6.16.2.7).
_ENHANCED = {
    TRIGGER: "(0020,9153) NominalCardiacTriggerDelayTime",
    _NOMINAL: "(0020,9251) RRIntervalTimeNominal",
    _TEMPORAL: "(0020,9128) TemporalPositionIndex",
    _INSTANCE: "the order in the file",
}


@dataclass(frozen=True)
class Timing:
    """A slice's frames in order.

    Attributes:
        frames: Frames, first to last.
        times_ms: Time of each after the R wave, shape (T,), ms.
        rr_ms: RR interval, ms.
        cyclic: Whether the frames cover RR, so that the first follows the last.
        order_from: Tag that gave the order.
        rr_from: Tag that gave RR.
        notes: Tags that disagree, values that were assumed.
    """

    frames: tuple[Frame, ...]
    times_ms: np.ndarray
    rr_ms: float
    cyclic: bool
    order_from: str
    rr_from: str
    notes: tuple[str, ...]


def timed(plane: Sequence[Frame], rr_ms: float | None = None) -> Timing:
    """Sort a slice's frames in time.

    TriggerTime (PS3.3 C.7.6.18.2) is believed if it differs from frame to frame and covers RR or a good part of it. If
    it covers less, or evenly another plausible RR, it gives the order alone; otherwise TemporalPositionIdentifier, then
    InstanceNumber do; and the frames are spread evenly over RR. RR is `rr_ms`, else NominalInterval, else 60000 /
    HeartRate, else the span of the trigger times and one step; but HeartRate comes before NominalInterval where the
    trigger times bear it out and not the other.

    Args:
        plane: Frames of one slice, in any order.
        rr_ms: RR in ms that the user gives, in place of the tags.

    Raises:
        CineError: If neither tags nor argument give RR, no tag gives an order, two images share one place in it, or a
            frame is missing.
    """
    try:
        timing = _timed(plane, rr_ms)
    except CineError as error:
        raise CineError(_named(plane, str(error))) from None
    return replace(
        timing,
        order_from=_named(plane, timing.order_from),
        rr_from=_named(plane, timing.rr_from),
        notes=tuple(_named(plane, note) for note in timing.notes),
    )


def _named(plane: Sequence[Frame], text: str) -> str:
    """Text with the tag names of the file's kind."""
    if plane[0].index is not None:
        for classic, enhanced in _ENHANCED.items():
            text = text.replace(classic, enhanced)
    return text


def _timed(plane: Sequence[Frame], rr_ms: float | None) -> Timing:
    trigger = np.array([np.nan if f.trigger_ms is None else f.trigger_ms for f in plane])
    span = _span(trigger)
    rr_from, rr, notes = _rr(plane, rr_ms, trigger, span)
    as_times = span is not None and _are_times(span, rr)
    if as_times or (span is not None and _in_order(trigger, span, rr)):
        order, order_from = np.argsort(trigger), TRIGGER
        _check_gaps([plane[i] for i in order], trigger[order], TRIGGER, " ms")
    else:
        order, order_from = _other_order(plane, trigger)
    frames = tuple(plane[i] for i in order)
    if span and span >= _BEATS * rr and _even(trigger) and _STEP_MS[0] <= _step(trigger) <= _STEP_MS[1]:
        raise CineError(
            f"{frames[0].where}: {TRIGGER} covers {span:.0f} ms, {span / rr:.1f} times RR = {rr:.0f} ms from "
            f"{rr_from}: found several beats, as of a real-time cine, expected one"
        )
    if as_times:
        times = trigger[order]
        return Timing(frames, times, rr, _reaches_rr(times, rr), order_from, rr_from, notes)
    if span:
        extent = f"{span:.0f} ms, more than RR" if span > rr else f"{span:.3g} ms, less than a quarter of RR"
        spread = f"order from {order_from}, frames {EVENLY}"
        notes += (f"{TRIGGER} covers {extent} ({rr:.0f} ms): not believed as times; {spread}",)
    return Timing(frames, evenly(len(plane), rr), rr, True, f"{order_from}, frames {EVENLY}", rr_from, notes)


def retimed(times_ms: np.ndarray, rr_ms: float) -> tuple[np.ndarray, bool]:
    """Judges measured times by another RR, as `timed` judges those of tags.

    Args:
        times_ms: Shape (Z, T), rising, ms after the R wave.
        rr_ms: RR interval, ms.

    Returns:
        The same times, but evenly over RR in slices that cover more than it or hardly any of it; and whether most
        slices are cyclic.
    """
    known = [_are_times(row[-1] - row[0] + _step(row), rr_ms) for row in times_ms]
    cyclic = [not k or _reaches_rr(row, rr_ms) for k, row in zip(known, times_ms, strict=True)]
    return np.where(np.array(known)[:, None], times_ms, evenly(times_ms.shape[1], rr_ms)), mostly(cyclic)


def mostly(cyclic: Sequence[bool]) -> bool:
    """Whether a study is cyclic: most of its slices are; of an odd one among many RR may be wrong."""
    return 2 * sum(cyclic) > len(cyclic)


def _step(times: np.ndarray) -> float:
    """The usual step of times in any order."""
    return float(np.median(np.diff(np.sort(times))))


def _even(times: np.ndarray) -> bool:
    """Whether no step of times, in any order, leaves a frame out."""
    return bool(np.diff(np.sort(times)).max() <= LONGEST_STEP * _step(times))


def _are_times(span: float, rr: float) -> bool:
    """Whether times that cover a span can be times within RR, both ms."""
    return bool(_SHORTEST_SPAN * rr <= span <= (1 + _TOLERANCE) * rr)


def _in_order(trigger: np.ndarray, span: float, rr: float) -> bool:
    """Whether trigger times that are no times within RR still tell the order: in another unit, or of another RR."""
    return span < rr or (plausible_rr(span) and _even(trigger))


def _reaches_rr(times: np.ndarray, rr: float) -> bool:
    """Whether the first frame follows the last: no frame is left out between them, beyond what a rounded RR allows."""
    rest, step = rr - (times[-1] - times[0]), _step(times)
    return bool(rest <= max(LONGEST_STEP * step, step + _ROUNDED_RR * rr))


def _rr(
    plane: Sequence[Frame], rr_ms: float | None, trigger: np.ndarray, span: float | None
) -> tuple[str, float, tuple[str, ...]]:
    """Where RR is from, RR in ms, and notes. `span` is of the trigger times, ms."""
    stated = _stated(plane, rr_ms, span)
    if stated:
        rr_from, rr = next(iter(stated.items()))
        return rr_from, rr, tuple(_disagreements(stated))
    if span and plausible_rr(span):
        return TRIGGER, span, (f"no tag states RR: it was taken from what {TRIGGER} covers",)
    raise CineError(
        f"{plane[0].where}: missing timing: found {_NOMINAL} = {plane[0].nominal_ms}, {_RATE} = "
        f"{plane[0].heart_rate}, {TRIGGER} = {_range(trigger)}, expected RR in one of them; give --rr_ms"
    )


def _stated(plane: Sequence[Frame], rr_ms: float | None, span: float | None) -> dict[str, float]:
    """RR in ms by source, the most trusted first; implausible values left out. `span` is of the trigger times, ms."""
    nominal = [float(f.nominal_ms) for f in plane if f.nominal_ms and plausible_rr(f.nominal_ms)]
    rate = [60000 / f.heart_rate for f in plane if f.heart_rate and plausible_rr(60000 / f.heart_rate)]
    tags = {name: float(np.median(values)) for name, values in ((_NOMINAL, nominal), (_RATE, rate)) if values}
    if span and len(tags) == 2:
        by_nominal, by_rate = tags.values()
        if _agree(span, by_rate) and not _agree(by_nominal, by_rate) and not _agree(by_nominal, span):
            tags = {f"{_RATE}, borne out by {TRIGGER}": by_rate, _NOMINAL: by_nominal}
    return ({} if rr_ms is None else {"argument rr_ms": rr_ms}) | tags


def _agree(one_ms: float, other_ms: float) -> bool:
    return abs(one_ms - other_ms) <= _TOLERANCE * other_ms


def _disagreements(stated: dict[str, float]) -> list[str]:
    """Notes on sources of RR that differ from the first one."""
    (best, rr), *others = stated.items()
    return [
        f"{name} gives RR = {other:.0f} ms; {rr:.0f} ms was taken, from {best}"
        for name, other in others
        if not _agree(other, rr)
    ]


def _span(trigger: np.ndarray) -> float | None:
    """Time that the frames cover, one step behind the last included; None unless every frame has a time of its own."""
    if not np.isfinite(trigger).all() or len(np.unique(trigger)) < len(trigger):
        return None
    return float(np.ptp(trigger)) + _step(trigger)


def _other_order(plane: Sequence[Frame], trigger: np.ndarray) -> tuple[np.ndarray, str]:
    """Order by a tag other than TriggerTime."""
    for name, values in ((_TEMPORAL, [f.temporal for f in plane]), (_INSTANCE, [f.instance for f in plane])):
        if None not in values and len(set(values)) == len(values):
            times, repeats = np.unique(trigger[np.isfinite(trigger)], return_counts=True)
            if name == _INSTANCE and len(times) > 1 and repeats.min() > 1:
                break  # several acquisitions under one series: numbered through, they would pass as one long cycle
            order = np.argsort(np.array(values, float))
            _check_gaps([plane[i] for i in order], np.array(values, float)[order], name)
            return order, name
    first = plane[0]
    twin = next((f for f in plane[1:] if (f.trigger_ms, f.temporal) == (first.trigger_ms, first.temporal)), plane[1])
    raise CineError(
        f"{first.where}, {twin.where}: found several images at one place and time ({TRIGGER} = {first.trigger_ms}, "
        f"{_TEMPORAL} = {first.temporal}, {_INSTANCE} = {first.instance}, {twin.instance}), expected one"
    )


def _check_gaps(frames: Sequence[Frame], values: np.ndarray, tag: str, unit: str = "") -> None:
    """Refuse a slice whose frames, in order, are not numbered or timed evenly."""
    steps = np.diff(values)
    widest, usual = int(np.argmax(steps)), float(np.median(steps))
    if steps[widest] > LONGEST_STEP * usual:
        raise CineError(
            f"{frames[widest].where}: ragged frames: {tag} steps by {steps[widest]:.5g}{unit} to the next frame, "
            f"expected {usual:.5g}{unit} as elsewhere: a frame is missing"
        )


def _range(trigger: np.ndarray) -> str:
    known = trigger[np.isfinite(trigger)]
    return f"{known.min():g} to {known.max():g} ms" if len(known) else "None"
