"""Which stacks of parallel cine planes the images of a folder make: each of one acquisition."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .dicom_scan import Frame
from .study import LEAST_FRAMES

_PARALLEL = np.cos(np.deg2rad(1.0))
#: Images closer than this lie at one place.
SAME_PLACE_MM = 0.5
#: Slices closer than this share of their distance or thickness overlap, as those of two stacks do.
_OVERLAP = 0.75
#: Words of a description that tell the slices of one stack apart, as their numbers do.
_LEVELS = {"base", "basal", "mid", "apex", "apical"}

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
        return kind_of(self.middle.description)

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
        return numbers_of(list(self.series.values()))

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


def groups_of(frames: list[Frame]) -> list[list[Frame]]:
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


def stacks_of(group: list[Frame]) -> list[Candidate]:
    """Stacks in a group of parallel images, each of one acquisition.

    A series that covers several places is a stack of its own. Series of one place make a stack together if they have
    the same number of frames and the same description, but for the slice, and do not overlap as a stack that was
    acquired again a little off does. Of these a place that was imaged more than once is never merged: the first
    candidate takes the first series at each such place, the second candidate the second, and so on.
    """
    normal = normal_of(group[0])
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in group:
        series[frame.series_uid].append(frame)
    found: list[Candidate] = []
    single: dict[tuple[tuple[str, ...], int], list[list[Frame]]] = defaultdict(list)
    for images in series.values():
        planes = _by_place(images, [height_of(f, normal) for f in images])
        if max(map(len, planes)) < LEAST_FRAMES:
            continue  # a scout or a static stack; a short plane of a cine series is a ragged cine, told of later
        if len(planes) > 1:
            found.append(Candidate(tuple(map(tuple, planes))))
        else:
            single[kind_of(images[0].description), len(images)].append(images)
    for slices in single.values():
        slices.sort(key=lambda images: (series_number(images[0]), images[0].series_uid))
        for run in _runs(slices, normal):
            places = _by_place(run, [height_of(images[0], normal) for images in run])
            for repeat in range(max(map(len, places))):
                found.append(Candidate(tuple(tuple(place[min(repeat, len(place) - 1)]) for place in places)))
    return found


def _runs(slices: list[list[Frame]], normal: NDArray[np.float64]) -> list[list[list[Frame]]]:
    """Slices in order of acquisition, apart where the stack was acquired again a little off.

    Slices that overlap are one stack only as far as they go one way; without overlap the order is the scanner's choice.
    """
    heights = [height_of(images[0], normal) for images in slices]
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


def kind_of(description: str) -> tuple[str, ...]:
    """The words of a description without what numbers the slices: 'cine SAX 1', 'cine_sax_03', 'Cine SAX base'."""
    return tuple(word for word in re.findall(r"[^\W\d_]+", description.lower()) if word not in _LEVELS)


def series_number(frame: Frame) -> int:
    """SeriesNumber to sort by, 0 where there is none."""
    return frame.series_number or 0


def normal_of(frame: Frame) -> NDArray[np.float64]:
    """Normal of an image's plane, a unit vector, shape (3,), LPS."""
    return np.cross(frame.orientation[:3], frame.orientation[3:])


def height_of(frame: Frame, normal: NDArray[np.float64]) -> float:
    """Place of an image's centre along a normal, a unit vector, shape (3,), LPS; mm."""
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


def numbers_of(frames: Sequence[Frame]) -> str:
    """SeriesNumbers of some images."""
    return ", ".join("?" if f.series_number is None else str(f.series_number) for f in frames)
