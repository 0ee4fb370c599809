"""Which images of a folder are the short-axis cine: the largest set of parallel cine planes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .dicom_scan import Frame
from .study import CineError

#: A cine has at least this many frames.
MIN_FRAMES = 3
_PARALLEL = np.cos(np.deg2rad(1.0))
_SAME_PLACE_MM = 0.5


@dataclass(frozen=True)
class Candidate:
    """A set of parallel cine planes, no two at one place.

    Attributes:
        planes: Frames of each plane, unordered; the planes rise along the image normal.
    """

    planes: tuple[tuple[Frame, ...], ...]

    @property
    def frames(self) -> list[Frame]:
        """All images."""
        return [frame for plane in self.planes for frame in plane]

    @property
    def series(self) -> dict[str, Frame]:
        """One image of each series, by SeriesInstanceUID, in order of SeriesNumber."""
        first: dict[str, Frame] = {}
        for frame in sorted(self.frames, key=lambda f: f.series_number or 0):
            first.setdefault(frame.series_uid, frame)
        return first

    def __str__(self) -> str:
        counts = sorted({len(plane) for plane in self.planes})
        numbers = ", ".join("?" if f.series_number is None else str(f.series_number) for f in self.series.values())
        descriptions = ", ".join(sorted({f"'{f.description}'" for f in self.series.values()}))
        rows, columns = self.planes[0][0].size
        return (
            f"series {numbers} {descriptions}: {len(self.planes)} slice(s) x {'/'.join(map(str, counts))} frames, "
            f"{columns} x {rows}, UID {', '.join(self.series)}"
        )


def select(source: Path, frames: list[Frame], series: str | int | None = None) -> tuple[Candidate, list[str]]:
    """Choose the short-axis cine among a folder's images.

    Args:
        source: The folder, for messages.
        frames: What `scan` found.
        series: Number of a candidate in the list that an ambiguous folder's message gives, or a SeriesInstanceUID.

    Returns:
        The choice, and notes on what was left aside.

    Raises:
        CineError: If there is no cine, or more than one; if the choice is ragged or mixes orientations or sizes.
    """
    if series is not None and not str(series).isdigit():
        frames = [f for f in frames if f.series_uid == str(series)]
        if not frames:
            raise CineError(f"{source}: argument series: found no image with SeriesInstanceUID {series}")
    magnitude = [f for f in frames if f.magnitude]
    if not magnitude:
        raise CineError(
            f"{frames[0].where}: (0008,0008) ImageType or (0008,9208) ComplexImageComponent: found only phase "
            f"images in "
            f"{source}, expected magnitude images"
        )
    groups = _groups(magnitude)
    found = sorted((c for group in groups for c in _candidates(group)), key=lambda c: -len(c.planes))
    if not found:
        raise CineError(_nothing(source, magnitude))
    choice = _pick(source, found, series)
    _check(choice, groups)
    notes = []
    if len(frames) > len(magnitude):
        left = len(frames) - len(magnitude)
        notes.append(f"{left} phase or derived images beside the magnitude images were left aside")
    others = [c for c in found if c is not choice]
    if others:
        notes.append(
            f"{len(others)} other cine(s) in the folder, of {len(others[0].planes)} slice(s) at most, were left aside"
        )
    return choice, notes


def _groups(frames: list[Frame]) -> list[list[Frame]]:
    """Images of one orientation, size and pixel spacing. Images without geometry are left out."""
    groups: list[list[Frame]] = []
    for frame in frames:
        if not np.isfinite([*frame.orientation, *frame.position, *frame.spacing]).all() or min(frame.spacing) <= 0:
            continue
        for group in groups:
            if _alike(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _alike(a: Frame, b: Frame) -> bool:
    return (
        a.size == b.size
        and np.allclose(a.spacing, b.spacing, rtol=1e-3)
        and float(a.orientation[:3] @ b.orientation[:3]) > _PARALLEL
        and float(a.orientation[3:] @ b.orientation[3:]) > _PARALLEL
    )


def _candidates(group: list[Frame]) -> list[Candidate]:
    """Stacks in a group of parallel images.

    A place that was imaged more than once, in several series, is never merged: the first candidate takes the first
    series at each such place, the second candidate the second, and so on.
    """
    row, column = group[0].orientation[:3], group[0].orientation[3:]
    heights = np.array([f.position for f in group]) @ np.cross(row, column)
    order = np.argsort(heights, kind="stable")
    places = np.empty(len(group), int)
    places[order] = np.concatenate([[0], np.cumsum(np.diff(heights[order]) > _SAME_PLACE_MM)])
    acquisitions: dict[int, dict[str, list[Frame]]] = defaultdict(lambda: defaultdict(list))
    for place, frame in zip(places.tolist(), group, strict=True):
        acquisitions[place][frame.series_uid].append(frame)
    cines = {uid for place in acquisitions.values() for uid, frames in place.items() if len(frames) >= MIN_FRAMES}
    stacks: list[list[list[Frame]]] = []
    for place in sorted(acquisitions):
        # A short plane of a cine series is a ragged cine, told of later; a short plane of another series is a scout.
        series = [frames for uid, frames in acquisitions[place].items() if uid in cines]
        if series:
            stacks.append(sorted(series, key=lambda frames: (frames[0].series_number or 0, frames[0].series_uid)))
    passes = max((len(series) for series in stacks), default=0)
    return [Candidate(tuple(tuple(series[min(k, len(series) - 1)]) for series in stacks)) for k in range(passes)]


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


def _check(choice: Candidate, groups: list[list[Frame]]) -> None:
    """Refuse a series that mixes orientations or sizes, and a ragged stack."""
    chosen = choice.planes[len(choice.planes) // 2][0]
    own = set(choice.series)
    for group in groups:
        stray = next((f for f in group if f.series_uid in own), None)
        if stray is None or _alike(stray, chosen):
            continue
        tag, found, expected = _difference(stray, chosen)
        raise CineError(
            f"{stray.where}: {tag}: found {found}, but {expected} in {chosen.where} of the same series; "
            "expected one orientation and one size in a stack"
        )
    counts = [len(plane) for plane in choice.planes]
    if len(set(counts)) > 1:
        usual = max(set(counts), key=counts.count)
        odd = choice.planes[next(i for i, n in enumerate(counts) if n != usual)]
        raise CineError(
            f"{odd[0].where}: ragged frames: found {len(odd)} frames in this slice, expected {usual} as in the "
            f"other slices "
            f"(frames a slice: {', '.join(map(str, counts))})"
        )


def _difference(a: Frame, b: Frame) -> tuple[str, object, object]:
    if a.size != b.size:
        return "(0028,0010) Rows, (0028,0011) Columns", a.size, b.size
    if not np.allclose(a.spacing, b.spacing, rtol=1e-3):
        return "(0028,0030) PixelSpacing", tuple(map(float, a.spacing)), tuple(map(float, b.spacing))
    return "(0020,0037) ImageOrientationPatient", a.orientation.tolist(), b.orientation.tolist()


def _nothing(source: Path, frames: list[Frame]) -> str:
    """What to say of a folder without a cine."""
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series_uid].append(frame)
    found = []
    most = 1
    for images in series.values():
        places: dict[bytes, int] = defaultdict(int)
        for image in images:
            places[image.position.round(1).tobytes()] += 1
        most = max(most, *places.values())
        lacking = "" if np.isfinite(images[0].position).all() else " without (0020,0032) ImagePositionPatient"
        found.append(
            f"series {images[0].series_number} '{images[0].description}': {len(images)} image(s) at "
            f"{len(places)} place(s){lacking}"
        )
    kind = "a static stack, one image at each place" if most == 1 else f"at most {most} images at one place"
    listed = "; ".join(found[:10]) + (f"; and {len(found) - 10} more series" if len(found) > 10 else "")
    return f"{source}: no cine found: {kind}, expected at least {MIN_FRAMES} frames a slice. Found {listed}"
