"""NIfTI in and out: the frame duration is the header's own, and a static stack never passes as a cine."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.cine.convert import convert, read_study, study_name
from scripts.cine.nifti import read_nifti, read_study_folder, write_nifti, write_slice, write_study
from scripts.cine.study import CineError, Study
from tests.cine.conftest import RR_MS, oblique_affine


def save(path: Path, pixels: np.ndarray, duration: float, unit: str | None, code: int = 1) -> Path:
    image = nib.Nifti1Image(pixels.astype(np.float32), oblique_affine())
    image.set_sform(oblique_affine(), code=code)
    image.set_qform(oblique_affine(), code=code)
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = duration
    nib.save(image, path)
    return path


@pytest.mark.parametrize(("duration", "unit"), [(0.1, "sec"), (100, "msec"), (1e5, "usec"), (0.1, None), (100, None)])
def test_frame_duration_in_any_unit(duration: float, unit: str | None, study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii", study.magnitude, duration, unit))
    np.testing.assert_allclose(found.rr_ms, RR_MS, rtol=1e-6)
    np.testing.assert_array_equal(found.magnitude, study.magnitude)
    assert bool(found.notes) == (unit is None)


def beating(study: Study, share: float = 0.3) -> np.ndarray:
    """One slice (X, Y, T) whose frames have all but a share in common."""
    pixels = study.magnitude[:, :, 0]
    return (1 - share) * pixels[..., :1] + share * pixels


def test_a_3d_cine_says_so_in_its_header(study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii.gz", beating(study), 0.1, "sec"))
    assert found.shape == (20, 24, 1, 8)
    np.testing.assert_allclose(found.rr_ms, [RR_MS], rtol=1e-6)
    assert found.notes == ("a 3D file: it was taken as one slice of 8 frames",)


@pytest.mark.parametrize("share", [0.8, 1])
def test_a_static_stack_with_a_repetition_time_is_no_cine(share: float, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", beating(study, share), 0.045, "sec")  # as dcm2niix writes a stack
    words = r"a.nii: found a 3D image of shape \(20, 24, 8\) whose first and last frame correlate by 0\.\d\d, expected "
    with pytest.raises(CineError, match=rf"{words}at least 0.6 .*it looks like a static stack of slices.*give --rr_ms"):
        read_nifti(path)
    assert read_nifti(path, rr_ms=900).shape == (20, 24, 1, 8)


def test_a_3d_image_with_a_constant_frame_is_refused_for_that(study: Study, tmp_path: Path) -> None:
    pixels = beating(study)
    pixels[..., 0] = 0.1
    with pytest.raises(CineError, match="frame 0: found a constant image"):
        read_nifti(save(tmp_path / "a.nii", pixels, 0.1, "sec"))


@pytest.mark.parametrize(("unit", "millimetres"), [("meter", 1000), ("micron", 1e-3), ("mm", 1), (None, 1)])
def test_the_affine_is_in_mm_whatever_the_unit(
    unit: str | None, millimetres: float, study: Study, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.nii", study.magnitude, 0.1, "sec")
    image = nib.load(path)
    affine = oblique_affine()
    affine[:3] /= millimetres
    image.header.set_xyzt_units(unit, "sec")
    nib.save(nib.Nifti1Image(study.magnitude, affine, image.header), tmp_path / "b.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "b.nii").affine, oblique_affine(), rtol=1e-5)


@pytest.mark.parametrize(("duration", "unit"), [(0.1, None), (0, "sec"), (1, "sec"), (0.003, "sec")])
def test_a_static_stack_is_no_cine(duration: float, unit: str | None, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", study.magnitude[..., 0], duration, unit)
    with pytest.raises(CineError, match=r"a.nii: found a 3D image.*static stack of slices.*give --rr_ms"):
        read_nifti(path)
    assert read_nifti(path, rr_ms=900).shape == (20, 24, 1, 3)


@pytest.mark.parametrize(("duration", "unit"), [(1, "sec"), (1, None), (0, "msec")])
def test_a_4d_file_without_plausible_timing(duration: float, unit: str | None, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", study.magnitude, duration, unit)
    with pytest.raises(CineError, match=r"no plausible frame duration \(pixdim\[4\] = .*give --rr_ms"):
        read_nifti(path)
    np.testing.assert_allclose(read_nifti(path, rr_ms=900).rr_ms, 900)


@pytest.mark.parametrize("rr_ms", [None, 900])
def test_one_frame_is_no_cine_whatever_its_timing(rr_ms: float | None, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", study.magnitude[..., :1], 0.1, "sec")
    with pytest.raises(CineError, match=r"a.nii: found 1 frame\(s\), expected a cine of at least 3"):
        read_nifti(path, rr_ms=rr_ms)


def test_rr_ms_that_disagrees_with_the_header_is_noted(study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii", study.magnitude, 0.1, "sec"), rr_ms=1000)
    np.testing.assert_allclose(found.rr_ms, 1000)
    assert "disagrees with the header's RR of 800 ms" in found.notes[0]


def test_a_file_without_orientation_is_left_as_stored(study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii", study.magnitude[:, :, ::-1], 0.1, "sec", code=0))
    assert not found.orientation_known
    np.testing.assert_array_equal(found.magnitude, study.magnitude[:, :, ::-1])


def test_what_is_written_of_it_claims_no_orientation(study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii", study.magnitude, 0.1, "sec", code=0))
    write_study(found, tmp_path, "b")
    write_slice(found, 1, tmp_path / "slice.nii")
    for path in ("b.nii.gz", "slice.nii"):
        image = nib.load(tmp_path / path)
        assert (image.header["sform_code"], image.header["qform_code"]) == (0, 0)
        assert image.header.get_zooms()[:2] == pytest.approx(found.spacing_mm[:2])
    assert not read_nifti(tmp_path / "slice.nii").orientation_known
    np.testing.assert_array_equal(read_study_folder(tmp_path).magnitude, found.magnitude)


def test_values_that_are_none_are_not_written(study: Study, tmp_path: Path) -> None:
    with pytest.raises(CineError, match=r"a\.nii: found NaN or infinite values"):
        write_nifti(tmp_path / "a.nii", study.magnitude * np.nan, study.affine, 40.0, np.int16)
    assert not (tmp_path / "a.nii").exists()


def test_truncated_and_other_files(study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", study.magnitude, 0.1, "sec")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CineError, match=r"a.nii.gz: cannot be read as NIfTI; the file is truncated or damaged"):
        read_nifti(path)
    path.write_text("no NIfTI")
    with pytest.raises(CineError, match=r"a.nii.gz: cannot be read as NIfTI"):
        read_nifti(path)
    with pytest.raises(CineError, match="no such file"):
        read_nifti(tmp_path / "absent.nii")


@pytest.mark.parametrize(
    ("offset", "code", "message"),
    [
        (70, struct.pack("<h", 9999), "cannot be read as NIfTI"),
        (112, struct.pack("<ff", 2, np.nan), "cannot be read as NIfTI"),
        (42, struct.pack("<h", -20), "cannot be read as NIfTI"),
        (44, struct.pack("<h", 0), r"found shape \(20, 0, 3, 8\), expected \(X, Y, T\) or"),
    ],
    ids=["data type", "intercept", "negative size", "no size"],
)
def test_damaged_headers(offset: int, code: bytes, message: str, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", study.magnitude, 0.1, "sec")
    content = bytearray(path.read_bytes())
    content[offset : offset + len(code)] = code
    path.write_bytes(content)
    with pytest.raises(CineError, match=f"a.nii: {message}"):
        read_nifti(path)


@pytest.mark.parametrize("code", [14, 63, 138])
def test_codes_of_no_unit_are_as_none(code: int, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", study.magnitude, 0.1, "sec")
    content = bytearray(path.read_bytes())
    content[123] = code
    path.write_bytes(content)
    found = read_nifti(path)
    np.testing.assert_allclose(found.rr_ms, RR_MS, rtol=1e-6)
    assert "the header sets no time unit; sec was taken" in found.notes[0]


def test_bad_pixels_name_the_file(study: Study, tmp_path: Path) -> None:
    pixels = study.magnitude.copy()
    pixels[0, 0, 1, 2] = np.nan
    with pytest.raises(CineError, match=r"a.nii: slice 1, frame 2: found NaN"):
        read_nifti(save(tmp_path / "a.nii", pixels, 0.1, "sec"))
    with pytest.raises(CineError, match=r"a.nii: found shape \(20, 24\), expected"):
        read_nifti(save(tmp_path / "a.nii", pixels[:, :, 0, 0], 0.1, "sec"))


def test_a_study_on_disk_comes_back(study: Study, tmp_path: Path) -> None:
    image = write_study(study, tmp_path, "heart")
    header = nib.load(image).header
    assert header["pixdim"][4] == pytest.approx(0.1)
    assert header.get_xyzt_units() == ("mm", "sec")
    for source in (tmp_path, image):
        found = read_study(source)
        np.testing.assert_array_equal(found.magnitude, study.magnitude)
        np.testing.assert_allclose(found.affine, study.affine)
        np.testing.assert_allclose(found.frame_times_ms, study.frame_times_ms)
        assert found.provenance == study.provenance
    np.testing.assert_allclose(read_study(tmp_path, rr_ms=400).frame_times_ms, study.frame_times_ms / 2)
    assert study_name(tmp_path, "elsewhere") == "heart"


def test_a_slice_on_disk_is_a_cine_by_its_header(study: Study, tmp_path: Path) -> None:
    path = write_slice(study, 2, tmp_path / "s.nii.gz")
    image = nib.load(path)
    assert image.shape == (20, 24, 8)
    assert image.header["pixdim"][4] == pytest.approx(0.1)
    found = read_nifti(path)
    np.testing.assert_array_equal(found.magnitude[:, :, 0], study.magnitude[:, :, 2])  # noise: no frame is like another
    np.testing.assert_allclose(found.affine[:3, 3], study.affine[:3, 3] + 2 * study.affine[:3, 2], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "found version 2, expected 1"),
        ({"format": "else"}, "found no manifest of a study"),
        ({"shape": [1, 2, 3, 4]}, r"shape is \[1, 2, 3, 4\], but the image's is"),
        ({"image": "gone.nii.gz"}, "names the image gone.nii.gz, which is missing"),
        ({"notes": 5}, "a field is malformed"),
        ({"affine": np.eye(4).tolist()}, "found another affine than that of heart.nii.gz, .*the image was changed"),
        ({"rr_ms": [800, 0.8, 800]}, "study.json: slice 1: found RR = 0.8, expected 250 to 2500 ms"),
        ({"frame_times_ms": [[0] * 8] * 3}, "study.json: slice 0: frame times do not rise"),
    ],
)
def test_a_bad_manifest_is_refused(change: dict, message: str, study: Study, tmp_path: Path) -> None:
    write_study(study, tmp_path, "heart")
    path = tmp_path / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CineError, match=message):
        read_study(tmp_path)


@pytest.mark.filterwarnings("error")
def test_rr_ms_does_not_mend_a_manifest_without_rr(study: Study, tmp_path: Path) -> None:
    write_study(study, tmp_path, "heart")
    path = tmp_path / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rr_ms": [0, 0, 0]}))
    with pytest.raises(CineError, match=r"study.json: slice 0: found RR = 0.0, expected"):
        read_study(tmp_path, rr_ms=900)


def test_an_image_that_was_mirrored_beside_its_manifest_is_refused(study: Study, tmp_path: Path) -> None:
    path = write_study(study, tmp_path, "heart")
    affine = study.affine @ np.diag([-1, 1, 1, 1])
    nib.save(nib.Nifti1Image(study.magnitude[::-1], affine, nib.load(path).header), path)
    with pytest.raises(CineError, match=r"study.json: found another affine than that of heart.nii.gz"):
        read_study(tmp_path)


def test_nifti_and_dicom_in_one_folder_are_not_guessed_between(
    study: Study, write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write()
    for path in folder.iterdir():
        path.rename(path.with_name(f".{path.name}"))  # hidden, as a copy in the works is
    save(folder / "a.nii", study.magnitude, 0.1, "sec")
    assert read_study(folder).provenance["rr_ms"].startswith("NIfTI")
    write("dicom/deep", style="enhanced")
    with pytest.raises(CineError, match=r"dicom: found NIfTI \(a.nii\) and DICOM \(deep.0001.dcm\), expected one kind"):
        read_study(folder)
    write_study(study, folder, "heart")  # a manifest says which image is meant
    assert read_study(folder).shape == study.shape


def test_several_nifti_files_are_not_guessed_among(study: Study, tmp_path: Path) -> None:
    save(tmp_path / "a.nii", study.magnitude, 0.1, "sec")
    assert study_name(tmp_path, "out") == "a"
    assert read_study(tmp_path).shape == study.shape
    save(tmp_path / "b.nii", study.magnitude, 0.1, "sec")
    with pytest.raises(CineError, match=r"found 2 NIfTI files \(a.nii, b.nii\), expected one"):
        read_study(tmp_path)


def test_convert_is_all_or_nothing(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(tmp_path / "heart.nii", study.magnitude, 0.1, "sec")
    out = convert(str(source), str(tmp_path / "out"))
    assert sorted(p.name for p in out.iterdir()) == ["heart.nii.gz", "study.json"]
    said = capsys.readouterr().out
    assert "3 slice(s) x 8 frames, 20 x 24 pixels, 1.25 x 1.50 x 8.00 mm, RR 800 ms from NIfTI pixdim[4]" in said
    before = (out / "study.json").read_bytes()
    bad = save(tmp_path / "bad.nii", study.magnitude, 1, "sec")
    with pytest.raises(CineError):
        convert(str(bad), str(out))
    assert (out / "study.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.nii", "heart.nii", "out"]
    convert(str(source), str(out))  # an earlier result is replaced


def test_convert_spares_what_it_did_not_write(study: Study, tmp_path: Path) -> None:
    source = save(tmp_path / "heart.nii", study.magnitude, 0.1, "sec")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    with pytest.raises(CineError, match="the folder holds files that are no earlier result"):
        convert(str(source), str(other))
    with pytest.raises(CineError, match="the output folder holds the input"):
        convert(str(source), str(tmp_path))
    with pytest.raises(CineError, match="found a file, expected the name of a folder"):
        convert(str(source), str(other / "thesis.txt"))
    assert (other / "thesis.txt").read_text() == "precious"


def test_a_phase_image_is_no_magnitude(tmp_path: Path) -> None:
    # 12 bits: tissue about half of full scale, air anything; the same pixels as a magnitude are a cine.
    random = np.random.default_rng(0)
    phase = 2048 + random.normal(0, 80, (32, 32, 2, 12))
    phase[:8] = random.integers(0, 4096, (8, 32, 2, 12))
    path = save(tmp_path / "phase.nii.gz", np.clip(np.rint(phase), 0, 4095).astype(np.int16), 70.0, "msec")
    with pytest.raises(
        CineError, match=r"phase\.nii\.gz: found whole numbers about 2048 .* as 12-bit phase images have"
    ):
        read_nifti(path)
    quiet = 2048 + random.normal(0, 80, (32, 32, 2, 12))
    assert read_nifti(save(tmp_path / "bright.nii.gz", np.rint(quiet), 70.0, "msec")).magnitude.shape[3] == 12
