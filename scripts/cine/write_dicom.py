"""Arrays out as DICOM, in the forms that scanners send: GE, Siemens, enhanced multi-frame; magnitude or phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from .study import CineError

Style = Literal["ge", "siemens", "enhanced"]
Kind = Literal["magnitude", "phase"]
Direction = Literal["x", "y", "z"]

_VENDORS = {"ge": "GE MEDICAL SYSTEMS", "siemens": "SIEMENS", "enhanced": "Philips Medical Systems"}


@dataclass(frozen=True)
class _Series:
    """What the files of one call share. Geometry in LPS mm; value = slope x raw + intercept."""

    raw: NDArray[np.uint16]
    slope: float
    intercept: float
    bits: int
    row: NDArray
    column: NDArray
    origins: NDArray
    spacing: tuple[float, float, float]
    rr_ms: NDArray
    times_ms: NDArray
    style: Style
    venc: float | None
    direction: Direction | None
    description: str
    study_uid: str


def write_dicom_series(
    out: str | Path,
    pixels: ArrayLike,
    affine: ArrayLike,
    rr_ms: ArrayLike,
    frame_times_ms: ArrayLike,
    style: Style,
    kind: Kind = "magnitude",
    venc: float | None = None,
    direction: Direction | None = None,
    description: str = "cine",
    study_uid: str | None = None,
    series_number: int = 1,
) -> list[Path]:
    """Write a cine as DICOM MR images of a made-up patient.

    Magnitude is stored in 16 bits: whole numbers as they are, others scaled by RescaleSlope. Phase is stored in 12
    bits, raw = round((v / (2 venc) + 0.5) 4096), clipped to 0..4095; RescaleSlope and RescaleIntercept give back cm/s.
    The venc stands where each style has it: GE (0019,10CC) in mm/s, Siemens (0051,1014), enhanced (0018,9197)
    MRVelocityEncodingSequence (PS3.3 C.8.13.5.7).

    Args:
        out: Folder; made if absent.
        pixels: Shape (X, Y, Z, T): magnitude >= 0, or velocity in cm/s.
        affine: Voxel to patient, shape (4, 4), RAS, mm; axes at right angles.
        rr_ms: RR interval, a number or shape (Z,), ms.
        frame_times_ms: Time after the R wave, shape (T,) or (Z, T), ms.
        style: "ge" (one series for all), "siemens" (a series a slice, numbered from `series_number` on) or "enhanced"
            (one multi-frame file).
        kind: "magnitude" or "phase".
        venc: Phase only: velocity at the ends of the range, cm/s.
        direction: Phase only: velocity along the image axis +X or +Y, or "z" along the long axis towards the apex.
        description: SeriesDescription.
        study_uid: StudyInstanceUID, to join several calls in one study; a new one by default.
        series_number: SeriesNumber.

    Returns:
        The files written.

    Raises:
        CineError: If an argument does not fit the others.
    """
    values, matrix = np.asarray(pixels, np.float64), np.asarray(affine, float)
    if values.ndim != 4 or matrix.shape != (4, 4):
        raise CineError(f"pixels, affine: found shapes {values.shape}, {matrix.shape}, expected (X, Y, Z, T), (4, 4)")
    if style not in _VENDORS:
        raise CineError(f"style: found {style!r}, expected one of {', '.join(_VENDORS)}")
    if kind == "phase" and not (venc and venc > 0 and direction in ("x", "y", "z")):
        raise CineError(
            f"venc, direction: found {venc!r}, {direction!r}, expected cm/s above 0 and x, y or z for phase images"
        )
    slices, frames = values.shape[2:]
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    axes = lps[:3, :3] / spacing
    if abs(axes[:, 0] @ axes[:, 1]) > 1e-4:
        raise CineError("affine: found in-plane axes that are not at right angles, which DICOM cannot express")
    raw, slope, intercept, bits = stored(values, venc if kind == "phase" else None)
    series = _Series(
        raw=raw,
        slope=slope,
        intercept=intercept,
        bits=bits,
        row=axes[:, 0],
        column=axes[:, 1],
        origins=lps[:3, 3] + np.arange(slices)[:, None] * lps[:3, 2],
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        rr_ms=np.broadcast_to(np.asarray(rr_ms, float), (slices,)),
        times_ms=np.broadcast_to(np.asarray(frame_times_ms, float), (slices, frames)),
        style=style,
        venc=venc if kind == "phase" else None,
        direction=direction if kind == "phase" else None,
        description=description,
        study_uid=study_uid or generate_uid(),
    )
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    if style == "enhanced":
        return [_write_enhanced(folder, series, series_number)]
    return _write_classic(folder, series, series_number)


def stored(values: NDArray, venc: float | None) -> tuple[NDArray[np.uint16], float, float, int]:
    """Pixels as DICOM stores them: value = slope x raw + intercept.

    Args:
        values: Any shape: magnitude >= 0, or velocity in cm/s.
        venc: Of a velocity, cm/s: 12 bits, raw = round((v / (2 venc) + 0.5) 4096), clipped to 0..4095. None for a
            magnitude: 16 bits, whole numbers as they are, others in steps of a power of two, which leave whole numbers
            up to 65535 exact.

    Returns:
        Raw pixels, slope, intercept, BitsStored.

    Raises:
        CineError: If a magnitude is negative or a value not finite.
    """
    if not np.isfinite(values).all() or (venc is None and values.min() < 0):
        raise CineError("pixels: found NaN, infinite or (in a magnitude) negative values")
    if venc is not None:
        raw = np.clip(np.rint((values / (2 * venc) + 0.5) * 4096), 0, 4095)
        return raw.astype(np.uint16), 2 * venc / 4096, -venc, 12
    top = float(values.max())
    whole = top <= 65535 and np.array_equal(values, np.rint(values))
    slope = 1.0 if whole or top == 0 else float(2.0 ** np.ceil(np.log2(top / 65535)))
    return np.rint(values / slope).astype(np.uint16), slope, 0.0, 16


def _write_classic(folder: Path, series: _Series, series_number: int) -> list[Path]:
    """One file a frame (PS3.3 A.4)."""
    slices, frames = series.raw.shape[2:]
    one = generate_uid()
    uids = [generate_uid() for _ in range(slices)] if series.style == "siemens" else [one] * slices
    paths = []
    for z in range(slices):
        rr = float(series.rr_ms[z])
        for t in range(frames):
            split = series.style == "siemens"
            number, instance = (series_number + z, t + 1) if split else (series_number, z * frames + t + 1)
            ds = _dataset(series, MRImageStorage, uids[z], number)
            ds.InstanceNumber = instance
            ds.ImageType = ["ORIGINAL", "PRIMARY", "P" if series.venc else "M", "RETRO" if split else "CARDIAC"]
            ds.ImagePositionPatient = decimal_strings(series.origins[z])
            ds.ImageOrientationPatient = decimal_strings([*series.row, *series.column])
            ds.PixelSpacing = decimal_strings([series.spacing[1], series.spacing[0]])
            ds.SliceThickness, ds.SpacingBetweenSlices = decimal_strings([series.spacing[2]] * 2)
            ds.TriggerTime = decimal_strings([series.times_ms[z, t]])[0]
            ds.NominalInterval, ds.HeartRate = round(rr), round(60000 / rr)
            ds.CardiacNumberOfImages = frames
            if series.venc or series.slope != 1:
                ds.RescaleSlope, ds.RescaleIntercept = decimal_strings([series.slope, series.intercept])
                ds.RescaleType = "US"
            if series.venc:
                _private_venc(ds, series)
            ds.PixelData = series.raw[:, :, z, t].T.tobytes()
            path = folder / f"{number:04d}-{instance:04d}.dcm"
            ds.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def _private_venc(ds: Dataset, series: _Series) -> None:
    """The venc where the vendor has it; a classic MR image has no standard place for it."""
    assert series.venc is not None
    if series.style == "ge":
        ds.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xCC, "SS", round(10 * series.venc))
    else:
        words = {"x": "rl", "y": "ap", "z": "through"}[series.direction or "z"]
        ds.private_block(0x0051, "SIEMENS MR HEADER", create=True).add_new(0x14, "LO", f"v{series.venc:g}_{words}")


def _write_enhanced(folder: Path, series: _Series, series_number: int) -> Path:
    """One multi-frame file (PS3.3 A.36)."""
    slices, frames = series.raw.shape[2:]
    ds = _dataset(series, EnhancedMRImageStorage, generate_uid(), series_number)
    kind = ["ORIGINAL", "PRIMARY", "VELOCITY" if series.venc else "CARDIAC", "NONE"]
    component = "PHASE" if series.venc else "MAGNITUDE"
    ds.ImageType, ds.ComplexImageComponent, ds.InstanceNumber = kind, component, 1
    ds.NumberOfFrames = slices * frames
    shared = Dataset()
    shared.PixelMeasuresSequence = [
        item(
            PixelSpacing=decimal_strings([series.spacing[1], series.spacing[0]]),
            SliceThickness=decimal_strings([series.spacing[2]])[0],
            SpacingBetweenSlices=decimal_strings([series.spacing[2]])[0],
        )
    ]
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=decimal_strings([*series.row, *series.column]))]
    shared.MRImageFrameTypeSequence = [item(FrameType=kind, ComplexImageComponent=component)]
    slope, intercept = decimal_strings([series.slope, series.intercept])
    shared.PixelValueTransformationSequence = [item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")]
    if series.venc:
        # Towards the apex is against row x column in the view from the apex.
        axes = {"x": series.row, "y": series.column, "z": -np.cross(series.row, series.column)}
        shared.MRVelocityEncodingSequence = [
            item(
                VelocityEncodingDirection=axes[series.direction or "z"].tolist(),
                VelocityEncodingMinimumValue=-series.venc,
                VelocityEncodingMaximumValue=series.venc,
            )
        ]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[
                item(
                    StackID="1",
                    InStackPositionNumber=z + 1,
                    TemporalPositionIndex=t + 1,
                    DimensionIndexValues=[z + 1, t + 1],
                )
            ],
            PlanePositionSequence=[item(ImagePositionPatient=decimal_strings(series.origins[z]))],
            CardiacSynchronizationSequence=[
                item(
                    NominalCardiacTriggerDelayTime=float(series.times_ms[z, t]),
                    RRIntervalTimeNominal=float(series.rr_ms[z]),
                )
            ],
        )
        for z in range(slices)
        for t in range(frames)
    ]
    ds.PixelData = series.raw.transpose(2, 3, 1, 0).tobytes()
    path = folder / f"{series_number:04d}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _dataset(series: _Series, sop_class: str, series_uid: str, series_number: int) -> FileDataset:
    """What classic and enhanced files have in common."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber = series.study_uid, series_uid, series_number
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=[series.study_uid, "frame of reference"])
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "SYNTHETIC^PHANTOM", "SYNTHETIC", "", "O"
    ds.StudyDate = ds.ContentDate = date.today().strftime("%Y%m%d")
    ds.StudyTime = ds.ContentTime = "000000"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName, ds.PositionReferenceIndicator = "1", "", "", ""
    ds.Modality, ds.Manufacturer, ds.SeriesDescription = "MR", _VENDORS[series.style], series.description
    ds.PatientPosition, ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "HFS", "GR", "SS", ""
    ds.MRAcquisitionType, ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = "2D", "3.4", "1.5", 1
    width, height = series.raw.shape[:2]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = height, width, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, series.bits, series.bits - 1, 0
    return ds


def item(**values: object) -> Dataset:
    """A data set of these attributes, as the item of a sequence."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def decimal_strings(numbers: Sequence[float] | NDArray) -> list[str]:
    """Numbers as decimal strings of at most 16 characters (PS3.5 6.2)."""
    return [format_number_as_ds(float(number)) for number in numbers]
