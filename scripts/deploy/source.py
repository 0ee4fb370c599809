"""The acquired cine with the DICOM images it came from: what every written object refers to, and lies on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from scripts.cine.dicom import LPS_TO_RAS, read_dicom_frames
from scripts.cine.dicom_scan import Frame
from scripts.cine.study import CineError, Study
from scripts.cine.write_dicom import item


@dataclass(frozen=True)
class ImageReference:
    """A DICOM image, or one frame of a multi-frame one.

    Attributes:
        sop_class: SOPClassUID.
        sop_uid: SOPInstanceUID.
        series_uid: SeriesInstanceUID.
        frame: Number from 1 in a multi-frame file, else None.
    """

    sop_class: str
    sop_uid: str
    series_uid: str
    frame: int | None = None

    def item(self, **more: object) -> Dataset:
        """The reference as the item of a sequence (PS3.3 10.3, image SOP instance reference macro)."""
        reference = item(ReferencedSOPClassUID=self.sop_class, ReferencedSOPInstanceUID=self.sop_uid, **more)
        if self.frame is not None:
            reference.ReferencedFrameNumber = self.frame
        return reference


@dataclass(frozen=True, eq=False)
class Source:
    """A cine and its source images.

    Attributes:
        study: The cine, slices from base to apex, viewed from the apex.
        frames: Source images, Z rows of T, in the study's order.
        headers: Header (no pixels) of the first image of each slice.
    """

    study: Study
    frames: tuple[tuple[Frame, ...], ...]
    headers: tuple[Dataset, ...]

    @classmethod
    def read(cls, folder: str | Path, series: str | None = None, rr_ms: float | None = None) -> Source:
        """Read the cine of a DICOM folder.

        Args:
            folder: Folder, as a scanner or a PACS sends it.
            series: Which cine, if there are several, as of `read_dicom_frames`.
            rr_ms: RR interval in ms, in place of what the tags say.

        Raises:
            CineError: If there is no cine that can be used, or its slices are of several studies.
        """
        study, frames = read_dicom_frames(folder, series, rr_ms)
        with pydicom.config.disable_value_validation():
            headers = tuple(pydicom.dcmread(row[0].path, stop_before_pixels=True, force=True) for row in frames)
        for header, row in zip(headers, frames, strict=True):
            for tag, keyword in (("(0008,0016)", "SOPClassUID"), ("(0008,0018)", "SOPInstanceUID")):
                if not header.get(keyword):
                    raise CineError(f"{row[0].where}: {tag} {keyword}: found none, expected one: results refer to it")
        studies = {str(header.get("StudyInstanceUID", "")) for header in headers}
        if len(studies) > 1 or "" in studies:
            found = ", ".join(sorted(uid or "none" for uid in studies))
            raise CineError(f"{folder}: (0020,000D) StudyInstanceUID: found {found} in one cine, expected one study")
        return cls(study, frames, headers)

    @property
    def axes(self) -> NDArray[np.float64]:
        """Unit vectors of +X, +Y and towards the apex as columns, shape (3, 3), LPS: the velocities are along them."""
        lps = LPS_TO_RAS[:3, :3] @ self.study.affine[:3, :2]
        x, y = (lps / np.linalg.norm(lps, axis=0)).T
        return np.column_stack([x, y, -np.cross(x, y)])  # from the apex, X x Y points to the base

    @property
    def mirrored(self) -> bool:
        """Whether the study's X runs against the source images' columns (the view was from the base)."""
        return bool(self.axes[:, 0] @ self.frames[0][0].orientation[:3] < 0)

    def as_stored(self, pixels: NDArray) -> NDArray:
        """Pixels (..., X, Y, Z) of the study's grid on the source images' own: (..., Z, rows, columns)."""
        stored = pixels[..., ::-1, :, :] if self.mirrored else pixels
        return np.ascontiguousarray(np.moveaxis(stored, (-3, -2, -1), (-1, -2, -3)))

    def times_ms(self, factor: int) -> NDArray[np.float64]:
        """Time of every frame after the R wave, `factor` frames for each acquired one, shape (Z, T factor), ms."""
        times = self.study.frame_times_ms
        last = times[:, -1:] + np.median(np.diff(times, axis=1), axis=1, keepdims=True)
        if self.study.cyclic:  # RR is rounded: frames may cover a little more than it
            last = np.maximum(last, times[:, :1] + self.study.rr_ms[:, None])
        following = np.concatenate([times[:, 1:], last], axis=1)
        share = np.arange(factor) / factor
        return (times[..., None] + (following - times)[..., None] * share).reshape(len(times), -1)

    def reference(self, z: int, t: int) -> ImageReference:
        """The acquired frame `t` of slice `z`."""
        frame = self.frames[z][t]
        number = None if frame.index is None else frame.index + 1
        return ImageReference(str(self.headers[z].SOPClassUID), frame.sop_uid, frame.series_uid, number)

    @property
    def references(self) -> list[list[ImageReference]]:
        """All acquired frames, Z rows of T."""
        return [[self.reference(z, t) for t in range(len(row))] for z, row in enumerate(self.frames)]

    def series_number(self, position: int) -> int:
        """SeriesNumber of our `position`-th series, behind every series of the cine."""
        last = max(frame.series_number or 0 for row in self.frames for frame in row)
        # An integer string ends at 2^31 - 1 (PS3.5 6.2).
        return 100 * (min(last, 21_000_000) + 1) + position

    def between(self, z: int, k: int, factor: int) -> list[ImageReference]:
        """The acquired frames that frame `k` of the interpolated cine lies on or between."""
        frames = self.study.shape[3]
        before, step = divmod(k, factor)
        after = (before + 1) % frames if self.study.cyclic else min(before + 1, frames - 1)
        return [self.reference(z, t) for t in dict.fromkeys([before, after] if step else [before])]


def once(references: Iterable[ImageReference]) -> list[ImageReference]:
    """Each SOP instance once, as a whole, not a frame of it."""
    return list({r.sop_uid: replace(r, frame=None) for r in references}.values())


def by_series(references: Iterable[ImageReference]) -> list[Dataset]:
    """Common instance reference module (PS3.3 C.12.2): each image once, grouped by series."""
    groups: dict[str, list[Dataset]] = defaultdict(list)
    for reference in once(references):
        groups[reference.series_uid].append(reference.item())
    return [item(SeriesInstanceUID=uid, ReferencedInstanceSequence=group) for uid, group in groups.items()]
