"""Which images of a folder are the short-axis cine: the largest stack of parallel cine planes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .dicom_scan import Frame
from .study import CineError

#: A cine has at least this many frames.
MIN_FRAMES = 3
_PARALLEL = np.cos(np.deg2rad(1.0))
#: A slice that is tilted by less than this may have been meant for the stack.
_NEARLY_PARALLEL = np.cos(np.deg2rad(10.0))
#: Images closer than this lie at one place.
SAME_PLACE_MM = 0.5
#: Slices closer than this share of their distance or thickness overlap, as those of two stacks do.
_OVERLAP = 0.75
#: Ratio of the widest to the narrowest step between slices that still passes for even.
_EVEN = 1.2
#: Words of a description that tell the slices of one stack apart, as their numbers do.
_LEVELS = {"base", "basal", "mid", "apex", "apical"}

_TRIGGER = "(0018,1060) TriggerTime"
_SPACING = "(0028,0030) PixelSpacing"
_ORIENTATION = "(0020,0037) ImageOrientationPatient"
_POSITION = "(0020,0032) ImagePositionPatient"

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Candidate:
    """One acquisition: a set of parallel cine planes, no two at one place.

    Attributes:
        planes: Frames of each plane, unordered; the planes rise along the image normal.
    """

    planes: tuple[tuple[Frame, ...], ...]

    @property
    def frames(self) -> list[Frame]:
        """All images."""
        return [frame for plane in self.planes for frame in plane]

    @property
    def middle(self) -> Frame:
        """An image of the plane in the middle."""
        return self.planes[len(self.planes) // 2][0]

    @property
    def kind(self) -> tuple[str, ...]:
        """What its images have in common by name."""
        return _kind(self.middle.description)

    @property
    def series(self) -> dict[str, Frame]:
        """One image of each series, by SeriesInstanceUID, in order of SeriesNumber."""
        first: dict[str, Frame] = {}
        for frame in sorted(self.frames, key=series_number):
            first.setdefault(frame.series_uid, frame)
        return first

    @property
    def numbers(self) -> str:
        """Its SeriesNumbers."""
        return _numbers(list(self.series.values()))

    @property
    def one_phase(self) -> bool:
        """Whether all images of a plane were taken at one moment of the beat, beat after beat, as perfusion is."""
        return all(plane[0].trigger_ms and len({f.trigger_ms for f in plane}) == 1 for plane in self.planes)

    @property
    def extent(self) -> str:
        """Its size in words. Like the numbers and unlike a description, it cannot name a patient."""
        counts = sorted({len(plane) for plane in self.planes})
        rows, columns = self.middle.size
        return f"{len(self.planes)} slice(s) x {'/'.join(map(str, counts))} frames, {columns} x {rows}"

    def __str__(self) -> str:
        descriptions = ", ".join(sorted({f"'{f.description}'" for f in self.series.values()}))
        return f"series {self.numbers} {descriptions}: {self.extent}, UID {', '.join(self.series)}"


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
    groups = _groups([f for f in magnitude if not _lacking(f)])
    found = [candidate for group in groups for candidate in _candidates(group)]
    found.sort(key=lambda c: (-len(c.planes), series_number(next(iter(c.series.values())))))
    if not found:
        raise CineError(_nothing(source, magnitude))
    moments = [candidate for candidate in found if candidate.one_phase]
    if len(moments) < len(found):
        found = [candidate for candidate in found if not candidate.one_phase]
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
    if moments and choice not in moments:
        numbers = "; ".join(c.numbers for c in moments)
        notes.append(f"series {numbers} at one moment of the beat, such as perfusion, were left aside")
    elif moments:
        notes.append(f"{_TRIGGER} is the same in all images of a slice: this may be perfusion, not a cine")
    unused = [(c, [f for uid, f in c.series.items() if uid not in choice.series]) for c in found if c is not choice]
    others = [f"series {_numbers(left)} ({c.extent})" for c, left in unused if left]
    if others:
        more = f"; and {len(others) - 5} more" if len(others) > 5 else ""
        notes.append(f"{len(others)} other cine(s) in the folder were left aside: {'; '.join(others[:5])}{more}")
    return choice, notes


def _numbers(frames: Sequence[Frame]) -> str:
    """SeriesNumbers of some images."""
    return ", ".join("?" if f.series_number is None else str(f.series_number) for f in frames)


def _lacking(frame: Frame) -> str:
    """The tag without which an image has no place in a stack: the first that is absent or unusable; empty if none."""
    if not (np.isfinite(frame.spacing).all() and min(frame.spacing) > 0):
        return _SPACING
    if not np.isfinite(frame.orientation).all():
        return _ORIENTATION
    return "" if np.isfinite(frame.position).all() else _POSITION


def _groups(frames: list[Frame]) -> list[list[Frame]]:
    """Images of one orientation, size and pixel spacing."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if alike(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def alike(a: Frame, b: Frame) -> bool:
    """Whether two images have one size, pixel spacing and orientation."""
    return (
        a.size == b.size
        and np.allclose(a.spacing, b.spacing, rtol=1e-3)
        and float(a.orientation[:3] @ b.orientation[:3]) > _PARALLEL
        and float(a.orientation[3:] @ b.orientation[3:]) > _PARALLEL
    )


def _candidates(group: list[Frame]) -> list[Candidate]:
    """Stacks in a group of parallel images, each of one acquisition.

    A series that covers several places is a stack of its own. Series of one place make a stack together if they have
    the same number of frames and the same description, but for the slice, and do not overlap as a stack that was
    acquired again a little off does. Of these a place that was imaged more than once is never merged: the first
    candidate takes the first series at each such place, the second candidate the second, and so on.
    """
    normal = _normal(group[0])
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in group:
        series[frame.series_uid].append(frame)
    found: list[Candidate] = []
    single: dict[tuple[tuple[str, ...], int], list[list[Frame]]] = defaultdict(list)
    for images in series.values():
        planes = _by_place(images, [_height(f, normal) for f in images])
        if max(map(len, planes)) < MIN_FRAMES:
            continue  # a scout or a static stack; a short plane of a cine series is a ragged cine, told of later
        if len(planes) > 1:
            found.append(Candidate(tuple(map(tuple, planes))))
        else:
            single[_kind(images[0].description), len(images)].append(images)
    for slices in single.values():
        slices.sort(key=lambda images: (series_number(images[0]), images[0].series_uid))
        for run in _runs(slices, normal):
            places = _by_place(run, [_height(images[0], normal) for images in run])
            for repeat in range(max(map(len, places))):
                found.append(Candidate(tuple(tuple(place[min(repeat, len(place) - 1)]) for place in places)))
    return found


def _runs(slices: list[list[Frame]], normal: NDArray[np.float64]) -> list[list[list[Frame]]]:
    """Slices in order of acquisition, apart where the stack was acquired again a little off.

    Slices that overlap are one stack only as far as they go one way; without overlap the order is the scanner's choice.
    """
    heights = [_height(images[0], normal) for images in slices]
    steps = np.diff(np.sort(heights))
    thickness = [abs(images[0].thickness) for images in slices if images[0].thickness]
    if not thickness or not ((steps > SAME_PLACE_MM) & (steps < _OVERLAP * np.median(thickness))).any():
        return [slices]
    starts, way = [0], 0.0
    for k, step in enumerate(np.diff(heights), 1):
        turn = float(np.sign(step)) if abs(step) > SAME_PLACE_MM else 0.0
        if turn * way < 0:
            # A stack that begins beyond the end of the one before, to come back along it, turns one slice late.
            own = np.abs(np.diff(heights[starts[-1] : k]))
            usual = float(np.median(own[:-1])) if len(own) > 1 else 0.0
            late = own[-1] < _OVERLAP * usual and _OVERLAP * abs(step) < usual
            starts.append(k - int(late))
            way = turn if late else 0.0
        else:
            way = way or turn
    return [slices[start:end] for start, end in pairwise([*starts, len(slices)])]


def _kind(description: str) -> tuple[str, ...]:
    """The words of a description without what numbers the slices: 'cine SAX 1', 'cine_sax_03', 'Cine SAX base'."""
    return tuple(word for word in re.findall(r"[^\W\d_]+", description.lower()) if word not in _LEVELS)


def series_number(frame: Frame) -> int:
    """SeriesNumber to sort by, 0 where there is none."""
    return frame.series_number or 0


def _normal(frame: Frame) -> NDArray[np.float64]:
    return np.cross(frame.orientation[:3], frame.orientation[3:])


def _height(frame: Frame, normal: NDArray[np.float64]) -> float:
    """Place of an image's centre along a normal, mm."""
    middle = (np.array(frame.size) - 1) / 2 * frame.spacing
    return float((frame.position + frame.orientation[:3] * middle[1] + frame.orientation[3:] * middle[0]) @ normal)


def _by_place(items: Sequence[_T], heights: Sequence[float]) -> list[list[_T]]:
    """Items at one place together, places from the lowest; at a place the items keep their order."""
    order = np.argsort(heights, kind="stable")
    places = np.empty(len(items), int)
    places[order] = np.concatenate([[0], np.cumsum(np.diff(np.asarray(heights)[order]) > SAME_PLACE_MM)])
    found: list[list[_T]] = [[] for _ in range(places.max() + 1)]
    for place, item in zip(places.tolist(), items, strict=True):
        found[place].append(item)
    return found


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
        if frame.size == choice.middle.size and _kind(frame.description) == choice.kind:
            series[frame.series_uid].append(frame)
    complaints = [_differs(images[0], choice.middle) for images in series.values() if len(images) >= MIN_FRAMES]
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
    normal = _normal(choice.middle)
    if abs(float(_normal(other.middle) @ normal)) < _NEARLY_PARALLEL:
        return False
    own = [_height(plane[0], normal) for plane in choice.planes]
    without, joint = _unevenness(own), _unevenness([*own, *(_height(plane[0], normal) for plane in other.planes)])
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
        if len(lacking) >= MIN_FRAMES:
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
    return f"{source}: no cine found: {kind}, expected at least {MIN_FRAMES} frames a slice. Found {listed}"
