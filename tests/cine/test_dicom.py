"""DICOM as scanners send it comes back as the study that went out."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from scripts.cine.dicom import read_dicom
from scripts.cine.study import CineError, Study
from tests.cine.conftest import FRAMES, RR_MS, edit

STYLES = ("ge", "siemens", "enhanced")


def assert_same(found: Study, expected: Study) -> None:
    np.testing.assert_array_equal(found.magnitude, expected.magnitude)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-2)
    np.testing.assert_allclose(found.rr_ms, expected.rr_ms)
    np.testing.assert_allclose(found.frame_times_ms, expected.frame_times_ms, atol=1e-3)


@pytest.mark.parametrize("style", STYLES)
def test_each_style_comes_back_as_it_was(style: str, study: Study, write: Callable[..., Path]) -> None:
    found = read_dicom(write(style=style))
    assert_same(found, study)
    assert found.cyclic
    assert np.array(found.sop_instance_uids).shape == (3, FRAMES)


@pytest.mark.parametrize("style", ["ge", "siemens"])
def test_order_depth_and_other_files_do_not_matter(style: str, study: Study, write: Callable[..., Path]) -> None:
    folder = write(style=style)
    paths = sorted(folder.glob("*.dcm"))
    random.Random(1).shuffle(paths)
    for number, path in enumerate(paths):
        target = folder / f"d{number % 3}" / "deep"
        target.mkdir(parents=True, exist_ok=True)
        path.rename(target / f"x{number}")
    (folder / "notes.txt").write_text("not DICOM")
    (folder / "empty").touch()
    (folder / "page.dcm").write_text("<html>no DICOM either, for all its name</html>")
    assert_same(read_dicom(folder), study)


@pytest.mark.parametrize("style", STYLES)
def test_slices_from_apex_to_base_are_reversed(style: str, study: Study, write: Callable[..., Path]) -> None:
    affine = study.affine.copy()
    affine[:3, 3] += 2 * affine[:3, 2]
    affine[:3, 2] *= -1
    assert_same(read_dicom(write(style=style, pixels=study.magnitude[:, :, ::-1], affine=affine)), study)


@pytest.mark.parametrize("style", STYLES)
def test_a_view_from_the_base_is_mirrored(style: str, study: Study, write: Callable[..., Path]) -> None:
    affine = study.affine.copy()
    affine[:3, 3] += 19 * affine[:3, 0]
    affine[:3, 0] *= -1
    found = read_dicom(write(style=style, pixels=study.magnitude[::-1], affine=affine))
    assert_same(found, study)
    assert "mirrored" in found.provenance["view"]


def test_rr_belongs_to_the_slice(study: Study, write: Callable[..., Path]) -> None:
    rr = np.array([750.0, 800.0, 900.0])
    found = read_dicom(write(style="siemens", rr_ms=rr, frame_times_ms=rr[:, None] * np.arange(FRAMES) / FRAMES))
    np.testing.assert_allclose(found.rr_ms, rr)
    np.testing.assert_allclose(found.frame_duration_ms, rr / FRAMES)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_files_are_read(syntax: str, study: Study, write: Callable[..., Path]) -> None:
    folder = write()
    edit(folder, lambda ds: ds.compress(syntax))
    assert_same(read_dicom(folder), study)


def test_rescale_is_applied(study: Study, write: Callable[..., Path]) -> None:
    folder = write()

    def rescale(ds: pydicom.Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = "2.5", "10"

    edit(folder, rescale)
    np.testing.assert_allclose(read_dicom(folder).magnitude, study.magnitude * 2.5 + 10)


def test_illegal_uids_are_taken(study: Study, write: Callable[..., Path]) -> None:
    folder = write()
    with pydicom.config.disable_value_validation():
        edit(folder, lambda ds: setattr(ds, "SeriesInstanceUID", "1.2.0840.007"))
    assert_same(read_dicom(folder), study)


def test_other_series_are_left_aside(study: Study, write: Callable[..., Path]) -> None:
    folder = write(style="siemens")
    x, y, z = study.affine[:3, 0], study.affine[:3, 1], study.affine[:3, 2]
    long_axis = study.affine.copy()
    long_axis[:3, :3] = np.column_stack([x, z / 8 * 1.5, y])  # a plane through the long axis
    write("dicom/long", pixels=study.magnitude[:, :, :1], affine=long_axis, rr_ms=RR_MS, series_number=50,
          frame_times_ms=study.frame_times_ms[0], description="4ch")  # fmt: skip
    write("dicom/scout", pixels=study.magnitude[..., :1], frame_times_ms=[0.0], series_number=60, description="scout")
    found = read_dicom(folder)
    assert_same(found, study)
    assert any("1 other cine" in note for note in found.notes)


@pytest.mark.parametrize("style", STYLES)
def test_phase_beside_magnitude_is_left_aside(style: str, study: Study, write: Callable[..., Path]) -> None:
    folder = write(style=style)
    velocity = np.linspace(-19, 19, study.magnitude.size).reshape(study.magnitude.shape)
    for number, axis in enumerate("xyz", 1):
        write(
            f"dicom/{axis}",
            pixels=velocity,
            kind="phase",
            venc=20,
            direction=axis,
            style=style,
            series_number=number * 10,
        )
    assert_same(read_dicom(folder), study)


def test_copied_files_count_once(study: Study, write: Callable[..., Path]) -> None:
    folder = write()
    shutil.copytree(folder, folder / "copy")
    assert_same(read_dicom(folder), study)


def test_a_single_slice_is_a_study(study: Study, write: Callable[..., Path]) -> None:
    found = read_dicom(write(pixels=study.magnitude[:, :, :1], rr_ms=RR_MS, frame_times_ms=study.frame_times_ms[0]))
    np.testing.assert_array_equal(found.magnitude, study.magnitude[:, :, :1])
    np.testing.assert_allclose(found.affine, study.affine, atol=1e-2)


def test_one_enhanced_file_is_read_by_name(study: Study, write: Callable[..., Path]) -> None:
    (path,) = write(style="enhanced").glob("*.dcm")
    assert_same(read_dicom(path), study)


def test_prospective_gating_is_not_cyclic(study: Study, write: Callable[..., Path]) -> None:
    found = read_dicom(write(frame_times_ms=0.7 * study.frame_times_ms))
    assert not found.cyclic
    np.testing.assert_allclose(found.frame_duration_ms, 70)


@pytest.mark.parametrize(("frames", "cyclic"), [(25, True), (24, False), (22, False)])
def test_frames_that_end_before_rr_are_not_stretched(frames: int, cyclic: bool, write: Callable[..., Path]) -> None:
    """25 frames of 40 ms cover RR = 1000 ms; fewer leave out the end of diastole."""
    pixels = np.random.default_rng(1).integers(0, 999, (20, 24, 3, frames))
    found = read_dicom(write(pixels=pixels, rr_ms=1000.0, frame_times_ms=20 + 40.0 * np.arange(frames)))
    assert found.cyclic == cyclic
    np.testing.assert_allclose(found.frame_duration_ms, 40)
    assert any("not cyclic" in note for note in found.notes) != cyclic


def without(*names: str) -> Callable[[pydicom.Dataset], None]:
    def change(ds: pydicom.Dataset) -> None:
        for name in names:
            delattr(ds, name)

    return change


def test_rr_from_heart_rate_then_trigger_times(write: Callable[..., Path]) -> None:
    folder = write()
    edit(folder, without("NominalInterval"))
    found = read_dicom(folder)
    assert found.provenance["rr_ms"] == "(0018,1088) HeartRate"
    np.testing.assert_allclose(found.rr_ms, 800)
    edit(folder, without("HeartRate"))
    found = read_dicom(folder)
    assert found.provenance["rr_ms"] == "(0018,1060) TriggerTime"
    np.testing.assert_allclose(found.rr_ms, 800)


def test_tags_that_disagree_are_noted(write: Callable[..., Path]) -> None:
    folder = write()
    edit(folder, lambda ds: setattr(ds, "HeartRate", 60))
    found = read_dicom(folder)
    np.testing.assert_allclose(found.rr_ms, 800)
    assert "HeartRate gives RR = 1000 ms; 800 ms was taken, from (0018,1062) NominalInterval" in found.notes[0]


@pytest.mark.parametrize(("nominal", "rate", "expected"), [(560, 75, 800), (1000, 77, 60000 / 77), (1000, 120, 1000)])
def test_heart_rate_and_trigger_times_together_outweigh_the_nominal_interval(
    nominal: int, rate: int, expected: float, write: Callable[..., Path]
) -> None:
    folder = write()
    edit(folder, lambda ds: ds.update({"NominalInterval": nominal, "HeartRate": rate}))
    found = read_dicom(folder)
    np.testing.assert_allclose(found.rr_ms, expected)
    if expected != nominal:
        assert found.provenance["rr_ms"] == "(0018,1088) HeartRate, borne out by (0018,1060) TriggerTime"
        assert f"NominalInterval gives RR = {nominal} ms" in found.notes[0]


def test_bogus_trigger_times_give_way_to_instance_numbers(study: Study, write: Callable[..., Path]) -> None:
    folder = write()
    edit(folder, lambda ds: setattr(ds, "TriggerTime", f"{(500 * ds.InstanceNumber) % 4100}"))
    found = read_dicom(folder)
    assert_same(found, study)
    assert found.provenance["frame_times_ms"] == "(0020,0013) InstanceNumber, frames evenly over RR"
    assert any("not believed" in note for note in found.notes)


def test_temporal_positions_come_before_instance_numbers(study: Study, write: Callable[..., Path]) -> None:
    folder = write()

    def renumber(ds: pydicom.Dataset) -> None:
        ds.TemporalPositionIdentifier = (ds.InstanceNumber - 1) % FRAMES + 1
        ds.InstanceNumber = 1000 - ds.InstanceNumber
        del ds.TriggerTime

    edit(folder, renumber)
    found = read_dicom(folder)
    assert_same(found, study)
    assert found.provenance["frame_times_ms"] == "(0020,0100) TemporalPositionIdentifier, frames evenly over RR"


def test_rr_ms_stands_in_for_missing_timing(write: Callable[..., Path]) -> None:
    folder = write()
    edit(folder, without("NominalInterval", "HeartRate", "TriggerTime"))
    with pytest.raises(CineError, match=r"missing timing.*NominalInterval = None.*give --rr_ms"):
        read_dicom(folder)
    found = read_dicom(folder, rr_ms=900)
    np.testing.assert_allclose(found.frame_times_ms[0], np.arange(FRAMES) * 900 / FRAMES)
    assert found.provenance["rr_ms"] == "argument rr_ms"


@pytest.mark.parametrize("style", STYLES)
def test_phase_comes_back_in_cm_per_second(style: str, study: Study, write: Callable[..., Path]) -> None:
    velocity = np.linspace(-25, 25, study.magnitude.size).reshape(study.magnitude.shape)
    folder = write(pixels=velocity, kind="phase", venc=20, direction="z", style=style)
    ds = pydicom.dcmread(sorted(folder.glob("*.dcm"))[0])
    raw = ds.pixel_array if style != "enhanced" else ds.pixel_array[0]
    assert ds.BitsStored == 12
    expected = np.clip(np.rint((velocity[:, :, 0, 0] / 40 + 0.5) * 4096), 0, 4095)
    np.testing.assert_array_equal(raw.T, expected)
    if style == "enhanced":
        shared = ds.SharedFunctionalGroupsSequence[0]
        assert shared.MRVelocityEncodingSequence[0].VelocityEncodingMaximumValue == 20
        rescale = shared.PixelValueTransformationSequence[0]
        axis = np.array(shared.MRVelocityEncodingSequence[0].VelocityEncodingDirection) * [-1, -1, 1]
        np.testing.assert_allclose(axis, study.affine[:3, 2] / 8, atol=1e-6)  # towards the apex
    else:
        rescale = ds
        assert ds.ImageType[2] == "P"
        assert (0x0019, 0x10CC) in ds if style == "ge" else ds[0x0051, 0x1014].value == "v20_through"
    back = raw * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
    assert np.abs(back.T - velocity[:, :, 0, 0].clip(-20, 20)).max() < 0.02
