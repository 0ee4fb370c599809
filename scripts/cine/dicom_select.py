"""Which images of a folder are the short-axis cine: the largest stack of parallel cine planes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .dicom_scan import Frame
from .dicom_stacks import (
    SAME_PLACE_MM,
    Candidate,
    alike,
    groups_of,
    height_of,
    kind_of,
    normal_of,
    numbers_of,
    series_number,
    stacks_of,
)
from .dicom_timing import TRIGGER
from .study import LEAST_FRAMES, CineError

#: A slice that is tilted by less than this may have been meant for the stack.
_NEARLY_PARALLEL = np.cos(np.deg2rad(10.0))
#: Ratio of the widest to the narrowest step between slices that still passes for even.
_EVEN = 1.2

_SPACING = "(0028,0030) PixelSpacing"
_ORIENTATION = "(0020,0037) ImageOrientationPatient"
_POSITION = "(0020,0032) ImagePositionPatient"


def select(source: Path, frames: list[Frame], series: str | int | None = None) -> tuple[Candidate, list[str]]:
    """Choose the short-axis cine among a folder's images.

    Args:
        source: The folder, for messages.
        frames: What `scan` found.
        series: Number of a candidate in the list that an ambiguous folder's message gives, or a SeriesInstanceUID.

    Returns:
        The choice, and notes on what was left aside.

    Raises:
        CineError: If there is no cine, or more than one; if the choice is ragged or mixes orientations or sizes; if
            a slice that seems to belong to it differs, or lacks its geometry, and `series` does not settle it.
    """
    if series is not None and not str(series).isdigit():
        frames = [f for f in frames if f.series_uid == str(series)]
        if not frames:
            raise CineError(f"{source}: argument series: found no image with SeriesInstanceUID {series}")
    magnitude = [f for f in frames if f.magnitude]
    if not magnitude:
        raise CineError(
            f"{frames[0].where}: (0008,0008) ImageType or (0008,9208) ComplexImageComponent: found only phase "
            f"images in {source}, expected magnitude images"
        )
    placeless = [f for f in magnitude if _lacking(f)]
    groups = groups_of([f for f in magnitude if not _lacking(f)])
    found = [candidate for group in groups for candidate in stacks_of(group)]
    found.sort(key=lambda c: (-len(c.planes), series_number(next(iter(c.series.values())))))
    if not found:
        raise CineError(_nothing(source, magnitude))
    moments, cines = ([c for c in found if c.one_phase is phase] for phase in (True, False))
    found = cines or moments
    choice = _pick(source, found, series)
    _check(choice, groups, placeless)
    if series is None:
        _check_complete(choice, found, placeless)
    notes = []
    if len(frames) > len(magnitude):
        left = len(frames) - len(magnitude)
        notes.append(f"{left} phase or derived images beside the magnitude images were left aside")
    if placeless:
        tags = ", ".join(sorted({_lacking(f) for f in placeless}))
        notes.append(f"{len(placeless)} images without a usable {tags} were left aside")
    if moments and cines:
        numbers = "; ".join(c.numbers for c in moments)
        notes.append(f"series {numbers} at one moment of the beat, such as perfusion, were left aside")
    elif moments:
        notes.append(f"{TRIGGER} is the same in all images of a slice: this may be perfusion, not a cine")
    unused = [(c, [f for uid, f in c.series.items() if uid not in choice.series]) for c in found if c is not choice]
    others = [f"series {numbers_of(left)} ({c.extent})" for c, left in unused if left]
    if others:
        more = f"; and {len(others) - 5} more" if len(others) > 5 else ""
        notes.append(f"{len(others)} other cine(s) in the folder were left aside: {'; '.join(others[:5])}{more}")
    return choice, notes


def _lacking(frame: Frame) -> str:
    """The tag without which an image has no place in a stack: the first that is absent or unusable; empty if none."""
    if not (np.isfinite(frame.spacing).all() and min(frame.spacing) > 0):
        return _SPACING
    if not np.isfinite(frame.orientation).all():
        return _ORIENTATION
    return "" if np.isfinite(frame.position).all() else _POSITION


def _pick(source: Path, found: list[Candidate], series: str | int | None) -> Candidate:
    largest = [c for c in found if len(c.planes) == len(found[0].planes)]
    if series is not None and str(series).isdigit():
        if not 1 <= int(series) <= len(found):
            raise CineError(f"{source}: argument series: found {series}, expected 1 to {len(found)}: {_listed(found)}")
        return found[int(series) - 1]
    if len(largest) > 1:
        raise CineError(
            f"{source}: found several candidates for the short-axis cine, expected one; pick one with series: "
            f"{_listed(found)}"
        )
    return largest[0]


def _listed(found: list[Candidate]) -> str:
    return "; ".join(f"[{number}] {candidate}" for number, candidate in enumerate(found, 1))


def _check(choice: Candidate, groups: list[list[Frame]], placeless: list[Frame]) -> None:
    """Refuse a series that mixes orientations or sizes or is incomplete, and a ragged stack."""
    own = set(choice.series)
    for group in [placeless, *(group for group in groups if choice.middle not in group)]:
        stray = next((f for f in group if f.series_uid in own), None)
        if stray is not None:
            raise CineError(
                f"{_differs(stray, choice.middle)} of the same series; expected one orientation and one size in a stack"
            )
    ragged = _ragged(choice.planes)
    if ragged:
        raise CineError(ragged)


def _check_complete(choice: Candidate, found: list[Candidate], placeless: list[Frame]) -> None:
    """Refuse a stack if a slice that seems to belong to it was left aside."""
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in placeless:
        if frame.size == choice.middle.size and kind_of(frame.description) == choice.kind:
            series[frame.series_uid].append(frame)
    complaints = [_differs(images[0], choice.middle) for images in series.values() if len(images) >= LEAST_FRAMES]
    for other in found:
        if other is not choice and _completes(other, choice):
            complaints.append(_ragged([*choice.planes, *other.planes]) or _differs(other.middle, choice.middle))
    if complaints:
        raise CineError(
            f"{complaints[0]}; this slice seems to belong to the stack of series {choice.numbers}. To read a stack "
            f"without the others, pick one with series: {_listed(found)}"
        )


def _completes(other: Candidate, choice: Candidate) -> bool:
    """Whether another cine is a part of the chosen stack, by name and place.

    Slices of the same description are, if with them the stack is as evenly spaced as without: they lie in a gap or at
    the next place. Slices of another description are, if with them the spacing becomes even: they fill a gap.
    """
    normal = normal_of(choice.middle)
    if abs(float(normal_of(other.middle) @ normal)) < _NEARLY_PARALLEL:
        return False
    own = [height_of(plane[0], normal) for plane in choice.planes]
    without, joint = _unevenness(own), _unevenness([*own, *(height_of(plane[0], normal) for plane in other.planes)])
    if other.kind == choice.kind:
        return joint < _EVEN * without
    return len(other.planes[0]) == len(choice.planes[0]) and joint < without / _EVEN


def _unevenness(heights: Sequence[float]) -> float:
    """Ratio of the widest to the narrowest step between slices; infinite if two are at one place."""
    steps = np.diff(np.sort(heights))
    if not len(steps):
        return 1.0
    return float(steps.max() / steps.min()) if steps.min() > SAME_PLACE_MM else np.inf


def _ragged(planes: Sequence[Sequence[Frame]]) -> str:
    """What to say of slices of unlike numbers of frames; empty if they are alike."""
    counts = [len(plane) for plane in planes]
    usual = max(set(counts), key=counts.count)
    odd = next((plane for plane in planes if len(plane) != usual), None)
    if odd is None:
        return ""
    return (
        f"{odd[0].where}: ragged frames: found {len(odd)} frames in this slice, expected {usual} as in the other "
        f"slices (frames a slice: {', '.join(map(str, counts))})"
    )


def _differs(stray: Frame, chosen: Frame) -> str:
    """What sets an image apart from the chosen stack."""
    found: object
    expected: object
    if tag := _lacking(stray):
        found, expected = "no usable value", "one"
    elif stray.size != chosen.size:
        tag, found, expected = "(0028,0010) Rows, (0028,0011) Columns", stray.size, chosen.size
    elif not np.allclose(stray.spacing, chosen.spacing, rtol=1e-3):
        tag, found, expected = _SPACING, tuple(map(float, stray.spacing)), tuple(map(float, chosen.spacing))
    elif not alike(stray, chosen):
        tag, found, expected = _ORIENTATION, stray.orientation.tolist(), chosen.orientation.tolist()
    elif stray.description != chosen.description:
        tag, found, expected = "(0008,103E) SeriesDescription", repr(stray.description), repr(chosen.description)
    else:
        tag, found, expected = "(0020,000E) SeriesInstanceUID", stray.series_uid, chosen.series_uid
    return f"{stray.where}: {tag}: found {found}, but {expected} in {chosen.where}"


def _nothing(source: Path, frames: list[Frame]) -> str:
    """What to say of a folder without a cine."""
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series_uid].append(frame)
    found = []
    most = 1
    placeless: list[Frame] = []
    for images in series.values():
        places: dict[bytes, int] = defaultdict(int)
        for image in images:
            places[image.position.round(1).tobytes()] += 1
        most = max(most, *places.values())
        lacking = [image for image in images if _lacking(image)]
        if len(lacking) >= LEAST_FRAMES:
            placeless = placeless or lacking
        found.append(
            f"series {images[0].series_number} '{images[0].description}': {len(images)} image(s) at "
            f"{len(places)} place(s)" + (f", {len(lacking)} without {_lacking(lacking[0])}" if lacking else "")
        )
    listed = "; ".join(found[:10]) + (f"; and {len(found) - 10} more series" if len(found) > 10 else "")
    if placeless:
        return (
            f"{placeless[0].where}: no cine found: {_lacking(placeless[0])}: found no usable value in this and "
            f"{len(placeless) - 1} other image(s) of the series, expected one in each. Found {listed}"
        )
    kind = "a static stack, one image at each place" if most == 1 else f"at most {most} images at one place"
    return f"{source}: no cine found: {kind}, expected at least {LEAST_FRAMES} frames a slice. Found {listed}"
