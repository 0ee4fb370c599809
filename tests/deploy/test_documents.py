"""The report as DICOM: the PDF as it was, every figure of the assessment under its code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from scripts.assessment import Assessment, Maps, assess_maps
from scripts.deploy.measurements import write_measurements
from scripts.deploy.objects import Series
from scripts.deploy.report_document import write_report_document
from scripts.deploy.segmentations import write_segmentations
from scripts.deploy.source import Source

from .conftest import ALGORITHM, RR_MS, SHAPE, write_view

PDF = b"%PDF-1.4 nothing but a test"


@pytest.fixture(params=["siemens mirrored", "enhanced"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    write_view(request.param, tmp_path / "dicom")
    return Source.read(tmp_path / "dicom")


@pytest.fixture
def assessment(source: Source, labels: np.ndarray) -> Assessment:
    """Of the ring that shrinks, with velocities that point to its centre while it does."""
    frames = len(labels)
    x, y = np.meshgrid(np.arange(SHAPE[0]) - 15, np.arange(SHAPE[1]) - 21, indexing="ij")
    swing = 5 * np.sin(np.linspace(0, 2 * np.pi, frames, endpoint=False))[:, None, None, None]
    length = np.maximum(np.hypot(1.25 * x, 1.5 * y), 1e-6)[None, ..., None]
    inward = [-1.25 * x[..., None] / length * swing, -1.5 * y[..., None] / length * swing]
    velocity = np.stack([np.broadcast_to(v, labels.shape) for v in (*inward, swing)]).astype(np.float32)
    return assess_maps(
        Maps(
            name="cine",
            magnitude=(200.0 * labels + 1).astype(np.float32),
            labels=labels,
            velocity=velocity,
            acquired=np.arange(frames) % 2 == 0,
            rr_ms=RR_MS,
            spacing_mm=source.study.spacing_mm,
            affine=source.study.affine,
            kind="synthesised",
            frame_duration_ms=RR_MS / frames,
        )
    )


def numbers(group: hd.sr.MeasurementsAndQualitativeEvaluations) -> dict[str, tuple[float, str]]:
    return {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}


def test_every_figure_is_in_the_structured_report(source: Source, assessment: Assessment, tmp_path: Path) -> None:
    references = source.references[0]
    path = write_measurements(tmp_path, source, assessment, references, Series(8, "measurements"), ALGORITHM)
    report = hd.sr.srread(path)
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    whole, *places = report.content.get_image_measurement_groups()
    found, given = numbers(whole), {f.key: f.value for f in assessment.summary if f.value is not None}
    assert len(found) == len(given) > 10
    for code, key in (
        (codes.LN.LeftVentricularEjectionFractionByMR, "ef_percent"),
        (codes.LN.LeftVentricularEndDiastolicVolume, "edv_ml"),
        (codes.DCM.RadialLagrangianStrain, "grs_percent"),
    ):
        assert found[code.value][0] == pytest.approx(given[key], abs=1e-4)
    assert found[codes.LN.LeftVentricularEndDiastolicVolume.value][1] == "mL"
    slices = [s for s in assessment.slices if any(m.region == "global" for m in s.markers)]
    assert len(places) == len(slices) + len([s for s in assessment.segments if s.markers]) >= 2
    for group, slice_ in zip(places, slices, strict=False):
        peaks = {(m.component, m.code): m for m in slice_.markers if m.region == "global"}
        ours = numbers(group)
        peak = peaks["longitudinal", "PS"]
        assert ours[codes.SCT.LeftVentricularPeakSystolicTissueVelocity.value] == (
            pytest.approx(peak.value_cm_s, abs=1e-4),
            "cm/s",
        )
        assert ours[codes.LN.TimeToLeftVentricleSTissueVelocity.value] == (pytest.approx(peak.time_ms, abs=1e-4), "ms")
        images = {image.referenced_sop_instance_uid for image in group.source_images}
        assert images == {r.sop_uid for r in source.references[slice_.index]}
    assert (report.PatientID, report.StudyInstanceUID) == (
        source.headers[0].PatientID,
        source.headers[0].StudyInstanceUID,
    )
    assert "not for diagnosis" in report.SeriesDescription


def test_the_pdf_comes_back(source: Source, tmp_path: Path) -> None:
    path = write_report_document(tmp_path, source, PDF, source.references[0], Series(9, "report"), ALGORITHM)
    made = pydicom.dcmread(path)
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength] == PDF
    assert made.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert made.StudyInstanceUID == source.headers[0].StudyInstanceUID
    assert {r.ReferencedSOPInstanceUID for r in made.SourceInstanceSequence} == {
        r.sop_uid for r in source.references[0]
    }


def test_a_validator_finds_no_error(
    source: Source, assessment: Assessment, labels: np.ndarray, tmp_path: Path, assert_valid: Callable[[Path], None]
) -> None:
    refs = write_segmentations(tmp_path / "seg", source, labels[::2], source.references, Series(3, "seg"), ALGORITHM)
    assert_valid(write_measurements(tmp_path, source, assessment, refs, Series(8, "measurements"), ALGORITHM))
    assert_valid(write_report_document(tmp_path, source, PDF, refs, Series(9, "report"), ALGORITHM))
