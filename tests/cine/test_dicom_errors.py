"""Each input that is no cine is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.cine.dicom import read_dicom
from scripts.cine.study import CineError, Study
from tests.cine.conftest import FRAMES, edit

Write = Callable[..., Path]


def refused(folder: Path, pattern: str, **arguments: object) -> None:
    with pytest.raises(CineError, match=pattern):
        read_dicom(folder, **arguments)  # type: ignore[arg-type]


def test_missing_folder(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "absent: no such file or folder")


def test_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    refused(tmp_path, r"no cine found: none of the 1 file\(s\) is a DICOM MR image")


def test_low_that_is_shown_bright(write: Write) -> None:
    folder = write()
    edit(folder, lambda ds: setattr(ds, "PhotometricInterpretation", "MONOCHROME1"), "0001-0003.dcm")
    refused(folder, r"0001-0003.dcm: \(0028,0004\) Photo.*: found MONOCHROME1 .*expected MONOCHROME2")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("keyword", "tag"), [("RescaleSlope", r"\(0028,1053\)"), ("RescaleIntercept", r"\(0028,1052\)")]
)
def test_a_rescale_that_is_no_number(keyword: str, tag: str, write: Write) -> None:
    folder = write()
    edit(folder, lambda ds: ds.update({"RescaleSlope": "1", "RescaleIntercept": "1"}), "0001-0003.dcm")
    path = folder / "0001-0003.dcm"
    element = b"\x28\x00\x53\x10DS\x02\x00" if keyword == "RescaleSlope" else b"\x28\x00\x52\x10DS\x02\x00"
    content = path.read_bytes()
    assert content.count(element + b"1 ") == 1
    path.write_bytes(content.replace(element + b"1 ", element + b"1,"))  # a comma where DICOM has a point
    refused(folder, rf"0001-0003.dcm: {tag} {keyword}: cannot be read .*'1,'.*expected a number")


def test_frames_that_cover_too_little_to_be_a_cine(study: Study, write: Write) -> None:
    folder = write(frame_times_ms=0.26 * study.frame_times_ms, style="siemens")
    refused(folder, "slice 0: found frames that cover 208 ms of RR = 800 ms and are not cyclic, expected at least 250")


def test_static_stack(study: Study, write: Write) -> None:
    folder = write(pixels=study.magnitude[..., :1], frame_times_ms=[0.0], description="LGE")
    refused(folder, r"a static stack.*series 1 'LGE': 3 image\(s\) at 3 place\(s\)")


def test_two_frames(study: Study, write: Write) -> None:
    folder = write(pixels=study.magnitude[..., :2], frame_times_ms=[0.0, 400.0])
    refused(folder, "at most 2 images at one place, expected at least 3 frames")


def test_frames_that_do_not_move(study: Study, write: Write) -> None:
    folder = write(pixels=np.repeat(study.magnitude[..., :1], FRAMES, -1))
    refused(folder, f"{folder}: slice 0: found 8 identical frames .a static stack.")


@pytest.mark.parametrize("style", ["ge", "siemens"])
def test_repeated_series_are_not_merged(style: str, study: Study, write: Write) -> None:
    folder = write(style=style)
    write("dicom/again", pixels=study.magnitude + 1, style=style, series_number=20, description="repeat")
    refused(folder, r"several candidates.*\[1\].*3 slice\(s\) x 8 frames.*\[2\] .*'repeat'")
    np.testing.assert_array_equal(read_dicom(folder, series=1).magnitude, study.magnitude)
    np.testing.assert_array_equal(read_dicom(folder, series="2").magnitude, study.magnitude + 1)
    refused(folder, "argument series: found 3, expected 1 to 2", series=3)
    refused(folder, "argument series: found no image with SeriesInstanceUID 1.2.3", series="1.2.3")
    uid = pydicom.dcmread(folder / "again" / "0020-0001.dcm").SeriesInstanceUID
    slices = 3 if style == "ge" else 1
    np.testing.assert_array_equal(read_dicom(folder, series=uid).magnitude, study.magnitude[:, :, :slices] + 1)


def test_one_repeated_slice(study: Study, write: Write) -> None:
    folder = write(style="siemens")
    write("dicom/again", style="siemens", series_number=20, pixels=study.magnitude[:, :, :1] + 1, rr_ms=800.0,
          frame_times_ms=study.frame_times_ms[0])  # fmt: skip
    refused(folder, "several candidates")
    found = read_dicom(folder, series=2).magnitude
    np.testing.assert_array_equal(found[:, :, 0], study.magnitude[:, :, 0] + 1)
    np.testing.assert_array_equal(found[:, :, 1:], study.magnitude[:, :, 1:])


def test_two_acquisitions_in_one_series(study: Study, write: Write) -> None:
    folder = write()
    write("dicom/again", pixels=study.magnitude + 1)

    def join(ds: pydicom.Dataset) -> None:
        ds.SeriesInstanceUID = "1.2.3"
        ds.InstanceNumber += 100 if ds.pixel_array.min() > 0 else 0

    edit(folder, join)
    refused(folder, "several images at one place and time.*TriggerTime")


@pytest.mark.parametrize("style", ["ge", "siemens"])
def test_ragged_frames(style: str, write: Write) -> None:
    folder = write(style=style)
    sorted(folder.glob("*.dcm"))[-1].unlink()
    refused(folder, r"ragged frames: found 7 frames in this slice, expected 8.*frames a slice: .*7")


def test_a_frame_missing_in_every_slice(write: Write) -> None:
    folder = write(style="siemens")
    for path in folder.glob("*-0004.dcm"):
        path.unlink()
    refused(folder, "0003.dcm: ragged frames: .*TriggerTime steps by 200 ms.*expected 100 ms.*a frame is missing")


@pytest.mark.parametrize(("first", "step"), [(1, 1), (400, 1), (3, 4)])
@pytest.mark.parametrize("tag", ["InstanceNumber", "TemporalPositionIdentifier"])
def test_a_number_missing_in_every_slice(tag: str, first: int, step: int, study: Study, write: Write) -> None:
    """Numbers from any offset and in any step are taken, as of slices that were numbered in turn; a gap is not."""
    folder = write(style="siemens")

    def renumber(ds: pydicom.Dataset) -> None:
        del ds.TriggerTime
        setattr(ds, tag, first + step * (ds.InstanceNumber - 1))

    edit(folder, renumber)
    np.testing.assert_array_equal(read_dicom(folder).magnitude, study.magnitude)
    for path in folder.glob("*-0004.dcm"):
        path.unlink()
    refused(folder, rf"0003.dcm: ragged frames: .*{tag} steps by {2 * step} to .*expected {step} as elsewhere")


def test_mixed_orientation(write: Write) -> None:
    folder = write()
    edit(folder, lambda ds: setattr(ds, "ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), "0001-0001.dcm")
    refused(folder, r"0001-0001.dcm: \(0020,0037\) ImageOrientationPatient: found .*of the same series")


def test_mixed_size(write: Write) -> None:
    folder = write()

    def crop(ds: pydicom.Dataset) -> None:
        ds.PixelData = np.ascontiguousarray(ds.pixel_array[:-2]).tobytes()
        ds.Rows -= 2

    edit(folder, crop, "0001-000[1-8].dcm")
    refused(folder, r"\(0028,0010\) Rows, \(0028,0011\) Columns: found \(22, 20\), but \(24, 20\)")


def test_phase_images_alone(study: Study, write: Write) -> None:
    folder = write(pixels=study.magnitude / 100, kind="phase", venc=20, direction="x")
    refused(folder, r"ImageType.*found only phase images")


def test_signed_pixels(write: Write) -> None:
    folder = write()
    edit(folder, lambda ds: ds.update({"RescaleSlope": "1", "RescaleIntercept": "-600"}))
    refused(folder, r"0001-00\d\d.dcm: found signed pixels \(-600 to .*expected a magnitude image")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_nan(write: Write) -> None:
    folder = write()
    edit(folder, lambda ds: ds.update({"RescaleSlope": "nan", "RescaleIntercept": "0"}), "0001-0003.dcm")
    refused(folder, "0001-0003.dcm: found NaN")


def test_constant_image(write: Write) -> None:
    folder = write()
    edit(folder, lambda ds: setattr(ds, "PixelData", bytes(len(ds.PixelData))), "0001-0003.dcm")
    refused(folder, r"0001-0003.dcm: found a constant image \(every pixel is 0\)")


@pytest.mark.parametrize("style", ["ge", "enhanced"])
@pytest.mark.parametrize("left", [0, 100, 500, 0.5, 0.9])
def test_truncated_files(style: str, left: float, write: Write) -> None:
    folder = write(style=style)
    path = sorted(folder.glob("*.dcm"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left if left > 1 else left * len(whole))])
    refused(folder, f"{path.name}: .*truncated")


def test_rr_ms_out_of_range(write: Write) -> None:
    refused(write(), "argument rr_ms: found RR = 1.0, expected 250 to 2500 ms", rr_ms=1.0)
