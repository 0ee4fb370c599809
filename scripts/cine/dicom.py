"""DICOM in: a folder as a scanner sends it becomes a study."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from tqdm import tqdm

from .dicom_scan import Frame, scan
from .dicom_select import select
from .dicom_timing import Timing, mostly, timed
from .study import CineError, Study, check_image, require_rr

#: DICOM's patient axes point left, posterior, head (PS3.3 C.7.6.2.1.1); nibabel's right, anterior, head.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_dicom(source: str | Path, series: str | int | None = None, rr_ms: float | None = None) -> Study:
    """Read the short-axis cine of a DICOM folder: the study of `read_dicom_frames`, which see."""
    return read_dicom_frames(source, series, rr_ms)[0]


def read_dicom_frames(
    source: str | Path, series: str | int | None = None, rr_ms: float | None = None
) -> tuple[Study, tuple[tuple[Frame, ...], ...]]:
    """Read the short-axis cine of a DICOM folder (or one enhanced multi-frame file), and which images it was read from.

    Files may come in any order and depth, beside other series and other files: GE's one series for all slices and
    frames, Siemens' and Philips' one series a slice, enhanced multi-frame. The cine is the largest stack of
    parallel planes with at least three frames each, of one acquisition; what lies beside it is left aside.

    Args:
        source: Folder or file.
        series: Which cine, if there are several: its number in the list that the message gives, or a SeriesInstanceUID.
        rr_ms: RR interval in ms, in place of what the tags say.

    Returns:
        The study, in the scanner's pixel scale (rescale slope and intercept applied), and its source images: Z rows of
        T, in the order of the study's slices and frames.

    Raises:
        CineError: If no cine, or several, are found; if frames are ragged, orientations or sizes mixed, geometry or
            timing missing, images constant, signed, NaN, phase images, or files truncated.
    """
    source = Path(source)
    if rr_ms is not None:
        rr_ms = require_rr(rr_ms)
    choice, notes = select(source, scan(source), series)
    slices = [timed(plane, rr_ms) for plane in choice.planes]
    kind = "classic" if slices[0].frames[0].index is None else "enhanced"
    study, stored = study_of(slices, f"DICOM, {len(choice.series)} series, {kind}", notes)
    frames = tuple(timing.frames for timing in slices)
    reversed_slices = study.affine[:3, 2] @ stored[:3, 2] < 0
    return study, frames[::-1] if reversed_slices else frames


def study_of(slices: Sequence[Timing], source: str, notes: Sequence[str]) -> tuple[Study, NDArray[np.float64]]:
    """Read the magnitude images of timed slices.

    Args:
        slices: Frames of each slice, with their times.
        source: What they are, for the manifest.
        notes: What is already known to be worth a word.

    Returns:
        The study, and the affine (RAS, mm) of its slices in the order given, which need not be the study's.
    """
    affine, geometry_notes = stack_affine([timing.frames for timing in slices])
    cyclic = mostly([timing.cyclic for timing in slices])
    pixels = read_pixels(slices, check_image)
    try:
        study = Study.arranged(
            pixels,
            affine,
            [timing.rr_ms for timing in slices],
            np.array([timing.times_ms for timing in slices]),
            cyclic=cyclic,
            sop_instance_uids=[[frame.sop_uid for frame in timing.frames] for timing in slices],
            provenance={
                "rr_ms": _sources([timing.rr_from for timing in slices]),
                "frame_times_ms": _sources([timing.order_from for timing in slices]),
                "affine": "(0020,0032) ImagePositionPatient, (0020,0037) ImageOrientationPatient, (0028,0030) "
                "PixelSpacing",
                "slice_order": "base to apex, by (0020,0032) ImagePositionPatient along the image normal",
                "source": source,
            },
            notes=[
                *notes,
                *_prospective(slices, cyclic),
                *_counted([note for timing in slices for note in timing.notes]),
                *geometry_notes,
            ],
            vendor=slices[0].frames[0].vendor,
        )
    except CineError as error:
        place = os.path.commonpath([frame.path for timing in slices for frame in timing.frames])
        raise CineError(f"{place}: {error}") from error
    return study, affine


def _prospective(slices: Sequence[Timing], cyclic: bool) -> list[str]:
    """A note on slices whose frames end before RR does; of an odd one among many RR may be wrong."""
    late = [timing for timing in slices if not timing.cyclic]
    if not late:
        return []
    rr, times, source = late[0].rr_ms, late[0].times_ms, late[0].rr_from
    covered = times[-1] - times[0] + np.median(np.diff(times))
    taken = "taken as cyclic, as most are" if cyclic else "gated prospectively, not cyclic"
    return [
        f"in {len(late)} of {len(slices)} slice(s) the frames end before RR does (the first: frames over {covered:.0f} "
        f"ms, RR = {rr:.0f} ms from {source}): {taken}"
    ]


def _sources(names: Sequence[str]) -> str:
    """Where a value came from; slices that differ are counted."""
    counts = Counter(names)
    if len(counts) == 1:
        return names[0]
    return ", ".join(f"{name} ({count} slices)" for name, count in counts.most_common())


def _counted(notes: Sequence[str]) -> list[str]:
    return [note if count == 1 else f"{note} (and alike in {count} slices)" for note, count in Counter(notes).items()]


def stack_affine(planes: Sequence[Sequence[Frame]]) -> tuple[NDArray[np.float64], list[str]]:
    """Affine of (column, row, slice) in RAS mm (PS3.3 C.7.6.2.1.1), and notes if the slices are not evenly spaced."""
    first = planes[0][0]
    row, column = first.orientation[:3], first.orientation[3:]
    origins = np.array([np.median([frame.position for frame in plane], axis=0) for plane in planes])
    notes = []
    if len(planes) > 1:
        index = np.arange(len(planes)) - (len(planes) - 1) / 2
        step = index @ origins / (index @ index)  # the straight line closest to the slices' positions
        start = origins.mean(axis=0) + index[0] * step
        off = float(np.abs(origins - start - np.outer(np.arange(len(planes)), step)).max())
        if off > 0.5:
            steps = np.linalg.norm(np.diff(origins, axis=0), axis=1)
            missing = steps.max() >= 1.5 * steps.min()
            notes.append(
                f"(0020,0032) ImagePositionPatient: slices lie up to {off:.1f} mm off an evenly spaced stack"
                + (f", {steps.min():.1f} to {steps.max():.1f} mm apart: a slice may be missing" if missing else "")
            )
    else:
        step, start = np.cross(row, column) * (first.thickness or 1.0), origins[0]
        if not first.thickness:
            notes.append("no (0018,0050) SliceThickness in a single slice: 1 mm was taken")
    affine = np.eye(4)
    affine[:3] = np.column_stack([row * first.spacing[1], column * first.spacing[0], step, start])
    return LPS_TO_RAS @ affine, notes


def read_pixels(slices: Sequence[Timing], check: Callable[[NDArray, str], None]) -> NDArray[np.float32]:
    """Rescaled pixels, shape (X, Y, Z, T); each file is opened once.

    Args:
        slices: Frames of each slice, in order.
        check: Refuses an image that cannot be what is expected; takes it and its name.
    """
    rows, columns = slices[0].frames[0].size
    pixels = np.empty((columns, rows, len(slices), len(slices[0].frames)), np.float32)
    files: dict[Path, list[tuple[int, int, Frame]]] = defaultdict(list)
    for z, timing in enumerate(slices):
        for t, frame in enumerate(timing.frames):
            files[frame.path].append((z, t, frame))
    with pydicom.config.disable_value_validation():
        for path, wanted in tqdm(files.items(), desc="Reading pixels", unit="file", leave=False, disable=None):
            dataset = Dataset()
            try:
                dataset = pydicom.dcmread(path, force=True)
                decoded = dataset.pixel_array
            except Exception as error:  # decoders raise many kinds, all of which mean that the pixels cannot be had
                raise CineError(f"{path}: (7FE0,0010) PixelData cannot be read; {_why(dataset, error)}") from error
            if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
                raise CineError(
                    f"{path}: (0028,0004) PhotometricInterpretation: found MONOCHROME1 (bright is stored as low), "
                    "expected MONOCHROME2"
                )
            for z, t, frame in wanted:
                image = decoded if decoded.ndim == 2 else decoded[frame.index or 0]
                slope, intercept = rescale(dataset, frame)
                image = image.astype(np.float32) * np.float32(slope) + np.float32(intercept)
                if image.shape != frame.size:
                    raise CineError(f"{frame.where}: found pixels of shape {image.shape}, expected {frame.size}")
                check(image, frame.where)
                pixels[:, :, z, t] = image.T
    return pixels


def _why(dataset: Dataset, error: Exception) -> str:
    """Why pixels cannot be had: a compression that no installed decoder knows, or a damaged file."""
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    compressed = syntax is not None and (not syntax.is_transfer_syntax or syntax.is_encapsulated)
    if syntax and compressed and isinstance(error, NotImplementedError | RuntimeError):
        return f"found the transfer syntax {syntax.name}, expected one that can be decoded here ({error})"
    return f"the file is truncated or damaged ({error})"


def rescale(dataset: Dataset, frame: Frame) -> tuple[float, float]:
    """Slope and intercept (PS3.3 C.11.1; in an enhanced file C.7.6.16.2.9)."""
    values = dataset
    if frame.index is not None:
        groups = [
            dataset.PerFrameFunctionalGroupsSequence[frame.index],
            *dataset.get("SharedFunctionalGroupsSequence", []),
        ]
        found = [g.PixelValueTransformationSequence for g in groups if "PixelValueTransformationSequence" in g]
        values = found[0][0] if found and found[0] else Dataset()
    return (
        _number(values, "RescaleSlope", "(0028,1053)", 1.0, frame),
        _number(values, "RescaleIntercept", "(0028,1052)", 0.0, frame),
    )


def _number(values: Dataset, keyword: str, tag: str, absent: float, frame: Frame) -> float:
    try:
        value = values.get(keyword)
        return absent if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise CineError(f"{frame.where}: {tag} {keyword}: cannot be read ({error}), expected a number") from error
