"""The source's own grid, frames and times, whatever the view."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.cine.study import CineError
from scripts.deploy.source import Source, by_series

from .conftest import RR_MS, SHAPE, write_view


def test_pixels_go_back_to_the_images_they_came_from(source: Source, tmp_path: Path) -> None:
    stored = source.as_stored(source.study.magnitude.transpose(3, 0, 1, 2))  # (T, Z, rows, columns)
    files = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, (tmp_path / "dicom").rglob("*.dcm"))}
    for z in range(SHAPE[2]):
        for t in range(SHAPE[3]):
            reference = source.reference(z, t)
            image = files[reference.sop_uid]
            assert (reference.sop_class, reference.series_uid) == (image.SOPClassUID, image.SeriesInstanceUID)
            pixels = image.pixel_array if reference.frame is None else image.pixel_array[reference.frame - 1]
            np.testing.assert_array_equal(stored[t, z], pixels)


def test_velocity_axes_are_those_of_the_study(source: Source) -> None:
    """A step along +X, +Y, from base to apex moves in the patient (LPS) along the axes' columns."""
    lps = np.diag([-1, -1, 1]) @ source.study.affine[:3, :3]
    np.testing.assert_allclose(source.axes, lps / np.linalg.norm(lps, axis=0), atol=1e-6)


def test_times_between_frames_follow_the_slice(source: Source) -> None:
    times = source.times_ms(4)
    np.testing.assert_allclose(times[:, ::4], source.study.frame_times_ms)
    np.testing.assert_allclose(np.diff(times), (RR_MS / SHAPE[3] / 4)[:, None].repeat(19, 1), atol=2e-3)


def test_times_of_a_cine_that_is_not_cyclic_go_on_by_the_step(tmp_path: Path) -> None:
    write_view("ge", tmp_path / "dicom", cyclic=False)
    source = Source.read(tmp_path / "dicom")
    assert not source.study.cyclic
    np.testing.assert_allclose(np.diff(source.times_ms(2)), (0.6 * RR_MS / 10)[:, None].repeat(9, 1), atol=2e-3)
    assert [r.sop_uid for r in source.between(0, 9, 2)] == [source.reference(0, 4).sop_uid]


def test_times_rise_where_frames_cover_more_than_rr(tmp_path: Path) -> None:
    """RR is rounded: 860 ms of frames are accepted as a cycle of 800."""
    write_view("ge", tmp_path / "dicom")
    source = Source.read(tmp_path / "dicom")
    times = np.tile(172.0 * np.arange(5), (3, 1))
    study = dataclasses.replace(source.study, frame_times_ms=times, rr_ms=np.full(3, 800.0))
    found = dataclasses.replace(source, study=study).times_ms(6)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found[:, ::6], times)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
def test_images_that_cannot_be_referred_to_are_refused(keyword: str, tmp_path: Path) -> None:
    write_view("ge", tmp_path / "dicom")
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        delattr(ds, keyword)
        ds.save_as(path, enforce_file_format=False)
    with pytest.raises(CineError, match=rf"{keyword}: found none"):
        Source.read(tmp_path / "dicom")


def test_an_interpolated_frame_refers_to_both_neighbours(source: Source) -> None:
    assert source.between(1, 4, 2) == [source.reference(1, 2)]
    assert source.between(1, 5, 2) == [source.reference(1, 2), source.reference(1, 3)]
    assert source.between(1, 9, 2) == [source.reference(1, 4), source.reference(1, 0)]  # the cycle closes


def test_references_by_series_name_each_file_once(source: Source) -> None:
    groups = by_series(r for row in source.references for r in row)
    series, files = {"classic": (1, 15), "a slice": (3, 15), "enhanced": (1, 1)}[
        "enhanced" if source.reference(0, 0).frame else "a slice" if len(groups) > 1 else "classic"
    ]
    assert len(groups) == series
    uids = [r.ReferencedSOPInstanceUID for group in groups for r in group.ReferencedInstanceSequence]
    assert len(uids) == len(set(uids)) == files


def test_slices_of_two_studies_are_refused(tmp_path: Path) -> None:
    write_view("siemens", tmp_path / "dicom")
    for path in (tmp_path / "dicom").glob("0002-*.dcm"):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID = "1.2.3"
        image.save_as(path)
    with pytest.raises(CineError, match=r"\(0020,000D\) StudyInstanceUID: found 1.* in one cine, expected one"):
        Source.read(tmp_path / "dicom")
