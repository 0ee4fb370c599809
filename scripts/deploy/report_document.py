"""The report's PDF as a DICOM document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage

from .objects import Algorithm, Series, contributing_equipment, new_object, save
from .source import ImageReference, Source, once


def write_report_document(
    folder: Path, source: Source, pdf: bytes, images: Sequence[ImageReference], series: Series, algorithm: Algorithm
) -> Path:
    """Write `report.dcm`: an encapsulated PDF (PS3.3 A.45.1).

    Args:
        folder: Where to write.
        source: The acquired cine: patient and study.
        pdf: The document, which names no patient.
        images: What the document was made from.
        series: The new series.
        algorithm: What made the content.

    Returns:
        The file written.
    """
    header = source.headers[0]
    made = new_object(EncapsulatedPDFStorage, "DOC", series, 1, header, algorithm)
    made.AcquisitionDateTime = None  # type 2: made of many
    made.ConversionType = "WSD"  # workstation
    made.BurnedInAnnotation, made.RecognizableVisualFeatures = "NO", "NO"
    made.DocumentTitle = series.title
    made.ConceptNameCodeSequence = [hd.sr.CodedConcept.from_code(codes.LN.DiagnosticImagingReport)]
    made.VerificationFlag = "UNVERIFIED"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.SourceInstanceSequence = [image.item() for image in once(images)]
    made.ContributingEquipmentSequence = contributing_equipment(header, algorithm)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    made.EncapsulatedDocumentLength = len(pdf)
    return save(made, folder / "report.dcm")
