"""Derived MR series: exact where acquired, in the right place and direction, and only derived."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.cine.dicom import read_dicom
from scripts.deploy.mr_images import Axis, Velocity, venc_for, write_mr_series
from scripts.deploy.objects import Series
from scripts.deploy.source import Source

from .conftest import ALGORITHM, SHAPE, write_view

AXES: tuple[Axis, ...] = ("x", "y", "z")


def written(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def value(image: pydicom.Dataset) -> np.ndarray:
    return image.pixel_array * float(image.get("RescaleSlope", 1)) + float(image.get("RescaleIntercept", 0))


def interpolated(source: Source) -> np.ndarray:
    frames = source.study.magnitude.transpose(3, 0, 1, 2)
    return np.stack([frames, frames * 0.5 + 0.123], axis=1).reshape(-1, *frames.shape[1:])


def test_acquired_frames_are_exact_and_all_lie_where_their_source_does(source: Source, tmp_path: Path) -> None:
    cine = interpolated(source)
    references = write_mr_series(tmp_path / "cine", source, cine, Series(7, "cine"), ALGORITHM)
    images = {image.SOPInstanceUID: image for image in written(tmp_path / "cine")}
    assert len(images) == SHAPE[2] * SHAPE[3] * 2
    expected = source.as_stored(cine)
    times = source.times_ms(2)
    for z, row in enumerate(references):
        for k, reference in enumerate(row):
            image = images[reference.sop_uid]
            np.testing.assert_allclose(value(image), expected[k, z], atol=0 if k % 2 == 0 else 1200 / 65536)
            np.testing.assert_allclose(image.ImagePositionPatient, source.frames[z][k // 2].position, atol=1e-6)
            np.testing.assert_allclose(image.ImageOrientationPatient, source.frames[z][0].orientation, atol=1e-6)
            np.testing.assert_allclose(image.PixelSpacing, source.frames[z][0].spacing)
            assert image.TriggerTime == pytest.approx(times[z, k], abs=1e-3)
            assert (image.TemporalPositionIdentifier, image.NumberOfTemporalPositions) == (k + 1, 10)
            assert image.NominalInterval == round(source.study.rr_ms[z])
            uids = [r.ReferencedSOPInstanceUID for r in image.SourceImageSequence]
            assert uids == [r.sop_uid for r in source.between(z, k, 2)]


def test_numbers_that_are_none_are_not_taken_over(tmp_path: Path, assert_valid: Callable[[Path], None]) -> None:
    write_view("ge", tmp_path / "dicom")
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        ds.SpacingBetweenSlices, ds.SeriesNumber, ds.RepetitionTime = -8, 30_000_000, "3.141592"
        ds.save_as(path)
        path.write_bytes(path.read_bytes().replace(b"3.141592", b"3,141592"))
    source = Source.read(tmp_path / "dicom")
    series = Series(source.series_number(7), "cine")
    write_mr_series(tmp_path / "cine", source, interpolated(source), series, ALGORITHM)
    image = written(tmp_path / "cine")[0]
    assert (image.SpacingBetweenSlices, image.RepetitionTime) == (8, None)
    assert image.SeriesNumber < 2**31
    assert_valid(next((tmp_path / "cine").iterdir()))


def test_the_study_is_the_sources_and_the_series_is_new(source: Source, tmp_path: Path) -> None:
    write_mr_series(tmp_path / "cine", source, interpolated(source), Series(7, "cine"), ALGORITHM)
    images, header = written(tmp_path / "cine"), source.headers[0]
    own = {frame.sop_uid for row in source.frames for frame in row} | {f.series_uid for r in source.frames for f in r}
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert {image.SeriesInstanceUID for image in images}.isdisjoint(own)
    assert len({(image.SeriesInstanceUID, image.SeriesNumber, image.SeriesDescription) for image in images}) == 1
    for image in images:
        assert image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "FrameOfReferenceUID"):
            assert image[keyword].value == header[keyword].value
        assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert "not for diagnosis" in image.SeriesDescription
        makers = {e.Manufacturer: e for e in image.ContributingEquipmentSequence}
        assert makers["hdl_mvm"].SoftwareVersions == "1.2.3"
        assert source.study.vendor in makers


def test_velocities_are_a_vector_of_the_patient(source: Source, tmp_path: Path) -> None:
    """A field that is one vector in patient coordinates comes back from the three series, values times directions."""
    vector = np.array([3.0, -7.0, 11.0])  # LPS, cm/s
    total = np.zeros(3)
    for axis, along in zip(AXES, source.axes.T, strict=True):
        field = np.full((SHAPE[3], *SHAPE[:3]), vector @ along, np.float32)
        shown = Velocity(axis, venc_for(axis, field))
        write_mr_series(tmp_path / axis, source, field, Series(8, axis), ALGORITHM, velocity=shown)
        for image in written(tmp_path / axis):
            (encoding,) = image.MRVelocityEncodingSequence
            assert np.ptp(value(image)) == 0
            assert encoding.VelocityEncodingMaximumValue == -encoding.VelocityEncodingMinimumValue == shown.venc
            (real_world,) = image.RealWorldValueMappingSequence
            assert real_world.MeasurementUnitsCodeSequence[0].CodeValue == "cm/s"
            raw = image.pixel_array[0, 0]
            assert raw * real_world.RealWorldValueSlope + real_world.RealWorldValueIntercept == value(image)[0, 0]
        total += value(image)[0, 0] * np.array(encoding.VelocityEncodingDirection)
    np.testing.assert_allclose(total, vector, atol=0.02)


@pytest.mark.parametrize(("top", "axis", "venc"), [(3.0, "x", 20), (19.999, "y", 25), (31.0, "z", 35), (29.0, "z", 30)])
def test_venc_never_clips(top: float, axis: Axis, venc: float) -> None:
    assert venc_for(axis, np.array([-1.0, top])) == venc_for(axis, np.array([1.0, -top])) == venc


def test_a_study_with_our_results_in_it_reads_as_before(source: Source, tmp_path: Path) -> None:
    write_mr_series(tmp_path / "dicom" / "ours", source, interpolated(source), Series(7, "cine"), ALGORITHM)
    again = read_dicom(tmp_path / "dicom")
    np.testing.assert_array_equal(again.magnitude, source.study.magnitude)
    assert again.sop_instance_uids == source.study.sop_instance_uids


def test_a_validator_finds_no_error(source: Source, tmp_path: Path, assert_valid: Callable[[Path], None]) -> None:
    cine = interpolated(source)
    write_mr_series(tmp_path / "cine", source, cine, Series(7, "cine"), ALGORITHM)
    assert_valid(min((tmp_path / "cine").iterdir()))
    write_mr_series(tmp_path / "x", source, cine / 100, Series(8, "x"), ALGORITHM, velocity=Velocity("x", 20))
    assert_valid(max((tmp_path / "x").iterdir()))
