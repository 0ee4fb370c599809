"""NIfTI in and out: the frame duration is the header's own, and a static stack never passes as a cine."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.cine.convert import convert, read_study, study_name
from scripts.cine.nifti import read_nifti, write_slice, write_study
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


def test_a_3d_cine_says_so_in_its_header(study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii.gz", study.magnitude[:, :, 0], 0.1, "sec"))
    assert found.shape == (20, 24, 1, 8)
    np.testing.assert_allclose(found.rr_ms, [RR_MS], rtol=1e-6)


@pytest.mark.parametrize(("duration", "unit"), [(0.1, None), (0, "sec"), (1, "sec"), (0.003, "sec")])
def test_a_static_stack_is_no_cine(duration: float, unit: str | None, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", study.magnitude[..., 0], duration, unit)
    with pytest.raises(CineError, match=r"a.nii: found a 3D image.*static stack of slices.*give rr_ms"):
        read_nifti(path)
    assert read_nifti(path, rr_ms=900).shape == (20, 24, 1, 3)


@pytest.mark.parametrize(("duration", "unit"), [(1, "sec"), (1, None), (0, "msec")])
def test_a_4d_file_without_plausible_timing(duration: float, unit: str | None, study: Study, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", study.magnitude, duration, unit)
    with pytest.raises(CineError, match=r"no plausible frame duration \(pixdim\[4\] = .*give rr_ms"):
        read_nifti(path)
    np.testing.assert_allclose(read_nifti(path, rr_ms=900).rr_ms, 900)


def test_rr_ms_that_disagrees_with_the_header_is_noted(study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii", study.magnitude, 0.1, "sec"), rr_ms=1000)
    np.testing.assert_allclose(found.rr_ms, 1000)
    assert "disagrees with the header's RR of 800 ms" in found.notes[0]


def test_a_file_without_orientation_is_left_as_stored(study: Study, tmp_path: Path) -> None:
    found = read_nifti(save(tmp_path / "a.nii", study.magnitude[:, :, ::-1], 0.1, "sec", code=0))
    assert not found.orientation_known
    np.testing.assert_array_equal(found.magnitude, study.magnitude[:, :, ::-1])


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
    np.testing.assert_array_equal(found.magnitude[:, :, 0], study.magnitude[:, :, 2])
    np.testing.assert_allclose(found.affine[:3, 3], study.affine[:3, 3] + 2 * study.affine[:3, 2], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "found version 2, expected 1"),
        ({"format": "else"}, "found no manifest of a study"),
        ({"shape": [1, 2, 3, 4]}, r"shape is \[1, 2, 3, 4\], but the image's is"),
        ({"image": "gone.nii.gz"}, "names the image gone.nii.gz, which is missing"),
        ({"notes": 5}, "a field is malformed"),
    ],
)
def test_a_bad_manifest_is_refused(change: dict, message: str, study: Study, tmp_path: Path) -> None:
    write_study(study, tmp_path, "heart")
    path = tmp_path / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CineError, match=message):
        read_study(tmp_path)


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
