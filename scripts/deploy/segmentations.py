"""Labels as DICOM SEG, one object a frame: several frames at one place in a SEG fail in libraries and viewers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from tqdm import tqdm

from scripts.cine.write_dicom import decimal_strings

from .objects import (
    NOT_FOR_DIAGNOSIS,
    Algorithm,
    Series,
    adopt,
    contributing_equipment,
    frame_of_reference,
    patientless,
    save,
)
from .source import ImageReference, Source, by_series


def write_segmentations(
    folder: Path,
    source: Source,
    labels: NDArray[np.uint8],
    images: Sequence[Sequence[ImageReference]],
    series: Series,
    algorithm: Algorithm,
) -> list[ImageReference]:
    """Write the labels of a cine: a binary SEG a frame, segments 1 LV myocardium and 2 LV blood pool.

    Args:
        folder: Where to write; made if absent.
        source: The acquired cine: patient and geometry.
        labels: 0, 1 myocardium, 2 blood pool, shape (T', X, Y, Z), on the study's grid; T' a multiple of T.
        images: The images that the labels are of, Z rows of T'.
        series: The new series.
        algorithm: What made the labels.

    Returns:
        References to the new objects, T' of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    masks = source.as_stored(labels)
    count = len(masks)
    factor = count // source.study.shape[3]
    times = source.times_ms(factor).mean(axis=0)
    segments = _segments(algorithm)
    stand_ins = [_stand_in(source, z) for z in range(len(images))]
    written = []
    for t in tqdm(range(count), desc=series.description, unit="frame", leave=False, disable=None):
        for z, stand_in in enumerate(stand_ins):
            stand_in.ImagePositionPatient = decimal_strings(source.frames[z][t // factor].position)
        made = hd.seg.Segmentation(
            source_images=stand_ins,
            pixel_array=masks[t],
            segmentation_type="BINARY",
            segment_descriptions=segments,
            series_instance_uid=series.uid,
            series_number=series.number,
            sop_instance_uid=generate_uid(),
            instance_number=t + 1,
            **algorithm.equipment,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            content_label=f"FRAME_{t + 1}",
            content_description=f"LV, frame {t + 1} of {count}, {times[t]:.0f} ms, {NOT_FOR_DIAGNOSIS}",
            series_description=series.title,
        )
        adopt(made, source.headers[0])
        made.ContributingEquipmentSequence = contributing_equipment(source.headers[0], algorithm)
        _refer(made, {str(s.SOPInstanceUID): row[t] for s, row in zip(stand_ins, images, strict=True)})
        save(made, folder / f"{t + 1:04d}.dcm")
        written.append(ImageReference(str(made.SOPClassUID), str(made.SOPInstanceUID), series.uid))
    return written


def _segments(algorithm: Algorithm) -> list[hd.seg.SegmentDescription]:
    """Coded in SNOMED CT (PS3.16 CID 7150 and following)."""
    common = {"algorithm_type": "AUTOMATIC", "algorithm_identification": algorithm.identification()}
    return [
        hd.seg.SegmentDescription(
            segment_number=1,
            segment_label="LV myocardium",
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.LeftVentricleMyocardium,
            tracking_id="LV myocardium",
            tracking_uid=generate_uid(),
            **common,
        ),
        hd.seg.SegmentDescription(
            segment_number=2,
            segment_label="LV blood pool",
            segmented_property_category=codes.SCT.BodySubstance,
            segmented_property_type=codes.SCT.Blood,
            anatomic_regions=[codes.SCT.LeftVentricle],
            tracking_id="LV blood pool",
            tracking_uid=generate_uid(),
            **common,
        ),
    ]


def _stand_in(source: Source, z: int) -> Dataset:
    """A classic image at the place of a slice, for highdicom, which takes one series of single frames only.

    Sources come in one series, one a slice, or one file; `_refer` puts the true references in.
    """
    header, frame = source.headers[0], source.frames[z][0]
    stand_in = patientless(header)
    stand_in.SOPClassUID, stand_in.SOPInstanceUID, stand_in.SeriesInstanceUID = MRImageStorage, generate_uid(), "2.25.1"
    stand_in.FrameOfReferenceUID, stand_in.Modality = frame_of_reference(header), "MR"
    stand_in.Rows, stand_in.Columns = frame.size
    # highdicom wants one orientation, and slices of a stack may differ in the last digits.
    stand_in.ImageOrientationPatient = decimal_strings(source.frames[0][0].orientation)
    stand_in.PixelSpacing = decimal_strings(frame.spacing)
    stand_in.SliceThickness = decimal_strings([frame.thickness or source.study.spacing_mm[2]])[0]
    return stand_in


def _refer(made: Dataset, images: dict[str, ImageReference]) -> None:
    """Put the true images in place of the stand-ins."""
    made.SourceImageSequence = [image.item() for image in images.values()]
    made.ReferencedSeriesSequence = by_series(images.values())
    for groups in made.PerFrameFunctionalGroupsSequence:
        for derivation in groups.DerivationImageSequence:
            derivation.SourceImageSequence = [
                images[s.ReferencedSOPInstanceUID].item(
                    PurposeOfReferenceCodeSequence=s.PurposeOfReferenceCodeSequence,
                    SpatialLocationsPreserved=s.SpatialLocationsPreserved,
                )
                for s in derivation.SourceImageSequence
            ]
