"""What is read of each file's header, and which files are read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from scripts.cine.dicom import read_dicom
from scripts.cine.dicom_scan import scan
from scripts.cine.study import CineError, Study
from tests.cine.conftest import FRAMES, edit

Write = Callable[..., Path]


def turned(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[pydicom.Dataset], None]:
    """A change of the direction cosines."""

    def turn(ds: pydicom.Dataset) -> None:
        ds.ImageOrientationPatient = change(np.array(ds.ImageOrientationPatient, float)).tolist()

    return turn


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_rounded_direction_cosines_become_unit_vectors_at_right_angles(
    decimals: int, study: Study, write: Write
) -> None:
    folder = write()
    edit(folder, turned(lambda cosines: cosines.round(decimals)))
    row, column = scan(folder)[0].orientation.reshape(2, 3)
    np.testing.assert_allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(read_dicom(folder).spacing_mm, (1.25, 1.5, 8), atol=0.1)


def test_lengths_of_direction_cosines_do_not_change_the_pixels(study: Study, write: Write) -> None:
    folder = write()
    edit(folder, turned(lambda cosines: 1.05 * cosines))
    np.testing.assert_allclose(read_dicom(folder).affine, study.affine, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda cosines: 2 * cosines,
        lambda cosines: 0 * cosines,
        lambda cosines: np.tile(cosines[:3], 2),
        lambda cosines: np.array([1, 0, 0, 0.6, 0.8, 0]),
    ],
    ids=["length 2", "zero", "parallel", "53 degrees"],
)
def test_direction_cosines_that_are_none_are_named(change: Callable[[np.ndarray], np.ndarray], write: Write) -> None:
    folder = write()
    edit(folder, turned(change))
    with pytest.raises(
        CineError, match=r"0001-0001.dcm: no cine found: \(0020,0037\) ImageOrientationPatient: found no"
    ):
        read_dicom(folder)


@pytest.mark.parametrize(("groups", "frames"), [(24, 20), (16, 24), (24, 12), (24, None)])
def test_an_enhanced_file_has_as_many_groups_as_frames(groups: int, frames: int | None, write: Write) -> None:
    folder = write(style="enhanced")

    def change(ds: pydicom.Dataset) -> None:
        ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:groups]
        ds.NumberOfFrames = frames

    edit(folder, change)
    words = rf"0001.dcm: \(5200,9230\) .*found {groups} items, .*\(0028,0008\) NumberOfFrames is {frames or 1}$"
    with pytest.raises(CineError, match=words):
        read_dicom(folder)


def test_a_legacy_converted_file_keeps_its_times_among_what_was_not_assigned(study: Study, write: Write) -> None:
    folder = write(style="enhanced")

    def convert(ds: pydicom.Dataset) -> None:
        common = pydicom.Dataset()
        common.NominalInterval = 800
        ds.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = [common]
        for groups in ds.PerFrameFunctionalGroupsSequence:
            own = pydicom.Dataset()
            own.TriggerTime = groups.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime
            groups.UnassignedPerFrameConvertedAttributesSequence = [own]
            del groups.CardiacSynchronizationSequence
            del groups.FrameContentSequence
        ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[::-1]
        pixels = ds.pixel_array[::-1]
        ds.PixelData = pixels.tobytes()

    edit(folder, convert)
    found = read_dicom(folder)
    np.testing.assert_array_equal(found.magnitude, study.magnitude)
    np.testing.assert_allclose(found.rr_ms, 800)


@pytest.mark.parametrize("both", [True, False])
def test_of_two_magnitudes_in_one_series_the_plain_one_is_read(study: Study, write: Write, both: bool) -> None:
    folder = write()
    if both:
        shutil.copytree(folder, folder / "contrast")

    def tell(ds: pydicom.Dataset) -> None:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]

    def contrast(ds: pydicom.Dataset) -> None:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA"]
        if both:
            ds.SOPInstanceUID, ds.InstanceNumber = generate_uid(), ds.InstanceNumber + 500
            ds.PixelData = bytes(len(ds.PixelData))

    edit(folder, tell)
    edit(folder / "contrast" if both else folder, contrast)
    np.testing.assert_array_equal(read_dicom(folder).magnitude, study.magnitude)


def test_equal_uids_at_other_temporal_positions_are_no_copies(study: Study, write: Write) -> None:
    folder = write()

    def anonymise(ds: pydicom.Dataset) -> None:
        ds.TemporalPositionIdentifier = (ds.InstanceNumber - 1) % FRAMES + 1
        ds.SOPInstanceUID = "1.2.3"
        del ds.TriggerTime
        del ds.InstanceNumber

    edit(folder, anonymise)
    np.testing.assert_array_equal(read_dicom(folder).magnitude, study.magnitude)


def test_hidden_folders_are_passed_over(study: Study, write: Write, tmp_path: Path) -> None:
    source = write(".cache/dicom")  # only what is hidden within the source counts
    trash = source / "d" / ".trash" / "e"
    shutil.copytree(source, trash)
    edit(trash, lambda ds: ds.update({"SeriesInstanceUID": "1.2.9", "InstanceNumber": ds.InstanceNumber + 100}))
    np.testing.assert_array_equal(read_dicom(source).magnitude, study.magnitude)
