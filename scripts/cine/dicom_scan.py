"""What lies in a folder: one record for every MR frame, in a file of its own or in a multi-frame file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from tqdm import tqdm

from .study import CineError
from .venc import GE_TAGS, ge_magnitude

#: SOP classes whose files must hold an image: classic, enhanced, legacy converted MR (PS3.4 B.5).
_MR_CLASSES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
_SUFFIXES = (".dcm", ".ima", ".dicom")

#: ImageType value of every image that we derive: a study may come back with our own results in it.
DERIVED_BY_US = "HDL_MVM"
#: ImageType values from the third on, and ComplexImageComponent, of no magnitude image (PS3.3 C.8.3.1, C.8.13.3.1).
_NOT_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP", "R", "REAL", "I", "IMAGINARY", DERIVED_BY_US}

#: Direction cosines this far off unit length, or off right angles, were rounded by an export; beyond, they are wrong.
_ROUNDED = 0.1

#: Everything that is read from a header. Nothing that names the patient is among it.
_TAGS = [
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "Manufacturer",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "NominalInterval",
    "HeartRate",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "ComplexImageComponent",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True, eq=False)
class Frame:
    """One MR image and what its header says.

    Attributes:
        path: File.
        index: Frame in that file; None in a classic file.
        size: (Rows, Columns).
        spacing: Between rows, between columns, mm; NaN if absent.
        orientation: Row and column direction, unit vectors at right angles, shape (6,), LPS; NaN if absent or unusable.
        position: Centre of the first pixel, shape (3,), LPS, mm; NaN if absent.
        thickness: SpacingBetweenSlices, else SliceThickness, mm; None if absent. Spaces a single slice; tells overlap.
        trigger_ms, nominal_ms, heart_rate: TriggerTime (ms), NominalInterval (ms), HeartRate (1/min), or None.
        temporal, instance: TemporalPositionIdentifier or -Index, InstanceNumber, or None.
        magnitude: False if the header calls it a phase, velocity, real or imaginary image, or one that we derived.
        phase_contrast: Whether it is a magnitude that phase contrast made of such images (Philips' M_PCA).
    """

    path: Path
    index: int | None
    series_uid: str
    series_number: int | None
    description: str
    sop_uid: str
    vendor: str
    size: tuple[int, int]
    spacing: tuple[float, float]
    orientation: np.ndarray
    position: np.ndarray
    thickness: float | None
    trigger_ms: float | None
    temporal: int | None
    instance: int | None
    nominal_ms: float | None
    heart_rate: float | None
    magnitude: bool
    phase_contrast: bool

    @property
    def where(self) -> str:
        """Name of the image for a message."""
        return str(self.path) if self.index is None else f"{self.path}, frame {self.index + 1}"


def scan(source: Path) -> list[Frame]:
    """Read the headers of every MR image in a folder, its subfolders, or one file. Other files are passed over.

    Raises:
        CineError: If the source does not exist, holds no MR image, or holds an MR file that is cut off or states no
            size.
    """
    if not source.exists():
        raise CineError(f"{source}: no such file or folder")
    paths = [source] if source.is_file() else sorted(visible_files(source))
    frames: list[Frame] = []
    # Scanners and anonymisers write UIDs and decimals that break the rules, such as components with leading zeros.
    with pydicom.config.disable_value_validation():
        for path in tqdm(paths, desc="Reading headers", unit="file", leave=False, disable=None):
            frames.extend(_read(path))
    if not frames:
        raise CineError(f"{source}: no cine found: none of the {len(paths)} file(s) is a DICOM MR image")
    return _plain_magnitudes(_without_copies(frames))


def visible_files(folder: Path) -> Iterator[Path]:
    """Files in a folder and its subfolders; hidden ones, and those in hidden subfolders, are nobody's images."""
    return (
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _read(path: Path) -> Iterator[Frame]:
    with path.open("rb") as file:
        start = file.read(132)
        if start[128:] != b"DICM" and not (path.suffix.lower() in _SUFFIXES and _may_be_cut(start)):
            return
        file.seek(0)
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=[*_TAGS, *GE_TAGS])
            # pydicom takes a header that ends early without a word; an image's header ends with the pixels' tag.
            syntax = header.file_meta.get("TransferSyntaxUID")
            complete = syntax == pydicom.uid.DeflatedExplicitVRLittleEndian or file.read(1) != b""
        except Exception as error:  # pydicom raises many kinds on damaged files, all of which mean the same here
            raise CineError(f"{path}: cannot be read as DICOM; the file is truncated or damaged ({error})") from error
    kind = str(header.get("SOPClassUID") or getattr(header.file_meta, "MediaStorageSOPClassUID", ""))
    if not complete and (not kind or kind in _MR_CLASSES):
        raise CineError(f"{path}: the file is truncated: it ends before (7FE0,0010) PixelData")
    if header.get("Modality", "MR") != "MR" or "Rows" not in header or _int(header.get("SamplesPerPixel", 1)) != 1:
        return
    shared = _first(header.get("SharedFunctionalGroupsSequence"))
    per_frame = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    count = _int(header.get("NumberOfFrames")) or 1
    if shared or any(len(item) for item in per_frame):
        if len(per_frame) != count:
            raise CineError(
                f"{path}: (5200,9230) PerFrameFunctionalGroupsSequence: found {len(per_frame)} items, expected one for "
                f"each frame: (0028,0008) NumberOfFrames is {count}"
            )
        for index, groups in enumerate(per_frame):
            yield _enhanced(path, header, index, shared, groups)
    elif count == 1:
        yield _frame(path, None, header, header, header.get("ComplexImageComponent"), header.get("ImageType"))


def _may_be_cut(start: bytes) -> bool:
    """Whether a file with a DICOM name and no DICM mark may be DICOM: without preamble, or cut off inside it."""
    return not start.strip(b"\0") or start[1:2] == b"\0"


def _frame(path: Path, index: int | None, header: Dataset, values: Any, component: Any, image_type: Any) -> Frame:
    """A record from the file's header and the frame's own values."""
    rows, columns = _int(header.get("Rows")), _int(header.get("Columns"))
    if not rows or not columns:
        raise CineError(
            f"{path}: (0028,0010) Rows, (0028,0011) Columns: found {rows}, {columns}, expected numbers of pixels"
        )
    kinds = {str(component or "").upper(), *(str(k).upper() for k in _list(image_type)[2:])}
    return Frame(
        path=path,
        index=index,
        series_uid=str(header.get("SeriesInstanceUID", "")),
        series_number=_int(header.get("SeriesNumber")),
        description=str(header.get("SeriesDescription") or ""),
        sop_uid=str(header.get("SOPInstanceUID", "")),
        vendor=str(header.get("Manufacturer") or "unknown"),
        size=(rows, columns),
        spacing=tuple(_vector(values.get("PixelSpacing"), 2)),
        orientation=_directions(values.get("ImageOrientationPatient")),
        position=_vector(values.get("ImagePositionPatient"), 3),
        thickness=_float(values.get("SpacingBetweenSlices")) or _float(values.get("SliceThickness")),
        trigger_ms=_float(_either(values.get("TriggerTime"), values.get("NominalCardiacTriggerDelayTime"))),
        temporal=_int(values.get("TemporalPositionIdentifier")),
        instance=_int(values.get("InstanceNumber")),
        nominal_ms=_float(values.get("NominalInterval")),
        heart_rate=_float(values.get("HeartRate")),
        magnitude=not kinds & _NOT_MAGNITUDE and ge_magnitude(header),
        phase_contrast="M_PCA" in kinds,
    )


def _enhanced(path: Path, header: Dataset, index: int, shared: Dataset, groups: Dataset) -> Frame:
    """A record from the functional groups of one frame of an enhanced file (PS3.3 C.7.6.16, C.8.13.5)."""

    def group(name: str) -> Dataset:
        return _first(groups.get(name)) or _first(shared.get(name))

    measures, content = group("PixelMeasuresSequence"), group("FrameContentSequence")
    gating, kind = group("CardiacSynchronizationSequence"), group("MRImageFrameTypeSequence")
    # A legacy converted file keeps the classic tags here: (0020,9171) and (0020,9170).
    own = _first(groups.get("UnassignedPerFrameConvertedAttributesSequence"))
    common = _first(shared.get("UnassignedSharedConvertedAttributesSequence"))

    def classic(name: str) -> Any:
        return _either(own.get(name), common.get(name))

    values = {
        "PixelSpacing": measures.get("PixelSpacing"),
        "SliceThickness": measures.get("SliceThickness"),
        "SpacingBetweenSlices": measures.get("SpacingBetweenSlices"),
        "ImageOrientationPatient": group("PlaneOrientationSequence").get("ImageOrientationPatient"),
        "ImagePositionPatient": group("PlanePositionSequence").get("ImagePositionPatient"),
        "TriggerTime": _either(gating.get("NominalCardiacTriggerDelayTime"), classic("TriggerTime")),
        "NominalInterval": _either(gating.get("RRIntervalTimeNominal"), classic("NominalInterval")),
        "HeartRate": _either(header.get("HeartRate"), classic("HeartRate")),
        "TemporalPositionIdentifier": _either(
            content.get("TemporalPositionIndex"), classic("TemporalPositionIdentifier")
        ),
        "InstanceNumber": index + 1,
    }
    component = kind.get("ComplexImageComponent") or header.get("ComplexImageComponent")
    return _frame(path, index, header, values, component, kind.get("FrameType") or header.get("ImageType"))


def _without_copies(frames: list[Frame]) -> list[Frame]:
    """Drop copied files: same UID, same place in the cine. Equal UIDs alone may be an anonymiser's work."""
    unique = {
        (f.sop_uid or f.path, f.index, f.series_uid, f.instance, f.temporal, f.trigger_ms, f.position.tobytes()): f
        for f in reversed(frames)
    }
    return list(reversed(unique.values()))


def _plain_magnitudes(frames: list[Frame]) -> list[Frame]:
    """Take M_PCA images for magnitudes only in a series that has no others: Philips writes both into one."""
    plain = {f.series_uid for f in frames if f.magnitude and not f.phase_contrast}
    return [replace(f, magnitude=False) if f.phase_contrast and f.series_uid in plain else f for f in frames]


def _first(sequence: Any) -> Dataset:
    return sequence[0] if sequence else Dataset()


def _either(value: Any, other: Any) -> Any:
    return other if value in (None, "") else value


def _list(value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    return list(value)


def _float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _int(value: Any) -> int | None:
    number = _float(value)
    return None if number is None else int(number)


def _vector(value: Any, length: int) -> np.ndarray:
    """Numbers of a multi-valued attribute; NaN if it is absent or has another length."""
    numbers = [_float(v) for v in _list(value)]
    if len(numbers) != length or None in numbers:
        return np.full(length, np.nan)
    return np.array(numbers, float)


def _directions(value: Any) -> np.ndarray:
    """Directions of row and column as unit vectors at right angles; NaN if the numbers are no rounding of any."""
    row, column = _vector(value, 6).reshape(2, 3)
    lengths = np.linalg.norm([row, column], axis=1)
    if not (np.abs(lengths - 1) <= _ROUNDED).all():
        return np.full(6, np.nan)
    row, column = row / lengths[0], column / lengths[1]
    if abs(row @ column) > _ROUNDED:
        return np.full(6, np.nan)
    column = column - (row @ column) * row
    return np.concatenate([row, column / np.linalg.norm(column)])
