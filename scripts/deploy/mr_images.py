"""Derived MR series: the interpolated cine and the velocity maps, one image a slice and frame."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import MRImageStorage, generate_uid
from pydicom.valuerep import DA, TM
from tqdm import tqdm

from scripts.cine.dicom_scan import DERIVED_BY_US
from scripts.cine.write_dicom import decimal_strings, item, stored

from .objects import Algorithm, Series, contributing_equipment, frame_of_reference, new_object, save, source_purpose
from .source import ImageReference, Source, by_series

Axis = Literal["x", "y", "z"]

#: Velocity encoding that is tried first, cm/s, as in the field's studies; raised in steps where it would clip.
VENC: dict[Axis, float] = {"x": 20.0, "y": 20.0, "z": 30.0}
VENC_STEP = 5.0

#: What a derived image takes over from its source (PS3.3 C.8.3.1, C.7.4.1, C.7.3.1), and what it says if that is empty.
_SCAN: dict[str, object] = {
    "PositionReferenceIndicator": "",
    "PatientPosition": "",
    "BodyPartExamined": "HEART",
    "ScanningSequence": "RM",
    "SequenceVariant": "NONE",
    "ScanOptions": "",
    "MRAcquisitionType": "",
    "RepetitionTime": "",
    "EchoTime": "",
    "EchoTrainLength": "",
    "FlipAngle": None,
    "MagneticFieldStrength": None,
    "SliceThickness": "",
    "SpacingBetweenSlices": None,
    "LossyImageCompression": "00",
    "LossyImageCompressionRatio": None,
    "LossyImageCompressionMethod": None,
}


@dataclass(frozen=True)
class Velocity:
    """What a velocity series shows.

    Attributes:
        axis: x, y: along the image axes +X, +Y of the study (viewed from the apex); z: from base to apex.
        venc: Ends of the range, cm/s.
    """

    axis: Axis
    venc: float


def venc_for(axis: Axis, velocity: NDArray) -> float:
    """Smallest usual venc, cm/s, that holds every velocity (cm/s)."""
    top = float(np.abs(velocity).max(initial=0.0)) * 4096 / 4094  # the last raw value lies below +venc
    return max(VENC[axis], VENC_STEP * float(np.ceil(top / VENC_STEP)))


def write_mr_series(
    folder: Path,
    source: Source,
    values: NDArray,
    series: Series,
    algorithm: Algorithm,
    velocity: Velocity | None = None,
) -> list[list[ImageReference]]:
    """Write a cine as classic MR images, DERIVED, on the grid of the source images.

    Magnitude is stored in steps that leave whole numbers exact; velocity in 12 bits, with slope, intercept and a
    real world value map in cm/s, venc and direction (patient coordinates) in MRVelocityEncodingSequence (PS3.3
    C.8.13.5.7). Each image refers to the acquired frames that it lies on or between.

    Args:
        folder: Where to write; made if absent.
        source: The acquired cine.
        values: Magnitude, or velocity in cm/s, shape (T F, X, Y, Z), on the study's grid.
        series: The new series.
        algorithm: What made the values.
        velocity: What the values are, if they are velocities.

    Returns:
        References to the new images, Z rows of T F.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw, slope, intercept, bits = stored(values, velocity.venc if velocity else None)
    images = source.as_stored(raw)
    count, slices = images.shape[:2]
    factor = count // source.study.shape[3]
    times = source.times_ms(factor)
    written: list[list[ImageReference]] = []
    window, now = _window(values, velocity), datetime.now()
    for z in tqdm(range(slices), desc=series.description, unit="slice", leave=False, disable=None):
        made = _slice_header(source, z, series, algorithm, now)
        _add_scale(made, slope, intercept, bits, window, velocity is not None)
        if velocity:
            _add_velocity(made, source, velocity)
        made.TemporalResolution = decimal_strings([np.median(np.diff(times[z]))])[0]
        made.CardiacNumberOfImages = made.NumberOfTemporalPositions = count
        row = []
        for k in range(count):
            frame = source.frames[z][k // factor]
            uid = generate_uid()
            made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid
            made.InstanceNumber = z * count + k + 1
            made.TriggerTime = decimal_strings([times[z, k]])[0]
            made.TemporalPositionIdentifier = k + 1
            made.ImagePositionPatient = decimal_strings(frame.position)
            made.ImageOrientationPatient = decimal_strings(frame.orientation)
            made.PixelSpacing = decimal_strings(frame.spacing)
            made.DerivationDescription = _derivation(k, factor, velocity)
            sources = source.between(z, k, factor)
            made.SourceImageSequence = [r.item(PurposeOfReferenceCodeSequence=source_purpose()) for r in sources]
            made.ReferencedSeriesSequence = by_series(sources)
            made.PixelData = images[k, z].tobytes()
            save(made, folder / f"{z + 1:03d}-{k + 1:04d}.dcm")
            row.append(ImageReference(MRImageStorage, uid, series.uid))
        written.append(row)
    return written


def _taken_over(made: Dataset, header: Dataset, keyword: str) -> bool:
    """Take a value over from the source; False if it is empty, or no number where one belongs."""
    value = header.get(keyword)
    if value in (None, ""):
        return False
    try:
        setattr(made, keyword, value)
    except ValueError:
        return False
    return True


def _slice_header(source: Source, z: int, series: Series, algorithm: Algorithm, now: datetime) -> hd.SOPClass:
    """What the images of a slice share."""
    header, frame = source.headers[z], source.frames[z][0]
    made = new_object(MRImageStorage, "MR", series, 1, header, algorithm)
    made.SeriesDate, made.SeriesTime = made.ContentDate, made.ContentTime = DA(now.date()), TM(now.time())
    for keyword, otherwise in _SCAN.items():
        if not _taken_over(made, header, keyword) and otherwise is not None:
            setattr(made, keyword, otherwise)
    if "SpacingBetweenSlices" in made:
        made.SpacingBetweenSlices = abs(made.SpacingBetweenSlices)
    options = made.ScanOptions or []
    options = [options] if isinstance(options, str) else [str(option) for option in options]
    if not {"CG", "PPG"} & set(options):
        made.ScanOptions = [*options, "CG"]  # TriggerTime belongs to gated images only
    made.FrameOfReferenceUID = frame_of_reference(header)
    if made.SliceThickness == "":
        made.SliceThickness = decimal_strings([frame.thickness or source.study.spacing_mm[2]])[0]
    rr = float(source.study.rr_ms[z])
    made.NominalInterval, made.HeartRate = round(rr), round(60000 / rr)
    made.Rows, made.Columns = frame.size
    made.SamplesPerPixel, made.PhotometricInterpretation, made.BitsAllocated = 1, "MONOCHROME2", 16
    made.PixelRepresentation = 0
    made.BurnedInAnnotation = "NO"
    made.ContributingEquipmentSequence = contributing_equipment(header, algorithm)
    return made


def _add_scale(
    made: Dataset, slope: float, intercept: float, bits: int, window: tuple[float, float], cm_per_s: bool
) -> None:
    made.BitsStored, made.HighBit = bits, bits - 1
    if (slope, intercept) != (1.0, 0.0):
        made.RescaleSlope, made.RescaleIntercept = decimal_strings([slope, intercept])
        made.RescaleType = "US"
    made.WindowCenter, made.WindowWidth = decimal_strings(window)
    made.ImageType = ["DERIVED", "SECONDARY", "VELOCITY MAP" if cm_per_s else "OTHER", DERIVED_BY_US]
    if cm_per_s:
        unit = hd.sr.CodedConcept("cm/s", "UCUM", "cm/s")
        made.RealWorldValueMappingSequence = [
            item(
                RealWorldValueFirstValueMapped=0,
                RealWorldValueLastValueMapped=2**bits - 1,
                RealWorldValueSlope=float(slope),
                RealWorldValueIntercept=float(intercept),
                LUTExplanation="velocity",
                LUTLabel="cm/s",
                MeasurementUnitsCodeSequence=[unit],
            )
        ]
        for mapping in made.RealWorldValueMappingSequence:  # US or SS, which only the image can tell
            mapping[0x0040, 0x9216].VR = mapping[0x0040, 0x9211].VR = "US"


def _add_velocity(made: Dataset, source: Source, velocity: Velocity) -> None:
    direction = source.axes[:, "xyz".index(velocity.axis)]
    made.MRVelocityEncodingSequence = [
        item(
            VelocityEncodingDirection=[float(v) for v in direction],
            VelocityEncodingMinimumValue=-velocity.venc,
            VelocityEncodingMaximumValue=velocity.venc,
        )
    ]
    made.ComplexImageComponent = "PHASE"


def _window(values: NDArray, velocity: Velocity | None) -> tuple[float, float]:
    """Centre and width, in the units of the values."""
    if velocity:
        return 0.0, 2 * velocity.venc
    top = max(float(np.percentile(values, 99.5)), 1.0)
    return top / 2, top


def _derivation(k: int, factor: int, velocity: Velocity | None) -> str:
    """In words, what the image is."""
    before, step = divmod(k, factor)
    where = f"acquired frame {before + 1}" + (f" + {step}/{factor} of the step to the next" if step else "")
    if velocity is None:
        return f"{where}: " + ("interpolated by a neural network" if step else "acquired values, unchanged")
    axis = {"x": "along image +X seen from the apex", "y": "along image +Y seen from the apex", "z": "base to apex"}
    return f"{where}: velocity {axis[velocity.axis]}, cm/s, synthesised by a neural network, not measured"
