"""Studies become one (X, Y, T) volume a slice, without losing what is there."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.__main__ import main
from scripts.cine.convert import read_study
from scripts.cine.nifti import write_study
from scripts.cine.study import CineError, Study
from scripts.cine.write_dicom import write_dicom_series
from scripts.label.folder import image_id, prepared, slice_count
from scripts.label.prepare import prepare

from .conftest import oblique, write_cine


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return write_cine(tmp_path / "heart.nii.gz", (36, 40, 3, 5), (1.4, 1.6, 9.0))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_slice_is_a_cine_that_lies_where_it_was(stack: Path, tmp_path: Path) -> None:
    studies = prepare(str(stack), str(tmp_path / "studies"))
    source = nib.load(stack)
    assert prepared(studies) == ["heart"]
    assert slice_count(studies, "heart") == 3
    for z in range(3):
        cut = nib.load(studies / f"heart_slice-{z:02d}.nii.gz")
        np.testing.assert_array_equal(cut.dataobj, source.dataobj[:, :, z])
        np.testing.assert_allclose(cut.affine[:3, 3], (source.affine @ [0, 0, z, 1])[:3], atol=1e-4)
        assert cut.header["pixdim"][4] == pytest.approx(0.8 / 5)
        assert cut.header.get_xyzt_units() == ("mm", "sec")
    assert not list(studies.glob(".prepare*"))


def test_slices_run_from_base_to_apex_seen_from_the_apex(tmp_path: Path) -> None:
    path = write_cine(tmp_path / "heart.nii.gz", (36, 40, 2, 5), (1.4, 1.6, 9.0))
    image = nib.load(path)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 2] + 35 * affine[:3, 0]
    affine[:3, [0, 2]] *= -1  # mirrored, and the apex first
    other = nib.Nifti1Image(np.asanyarray(image.dataobj)[::-1, :, ::-1], affine, image.header)
    nib.save(other, tmp_path / "turned.nii.gz")
    studies = prepare(str(path), str(tmp_path / "turned.nii.gz"), str(tmp_path / "studies"))
    for z in range(2):
        plain, turned = (nib.load(studies / f"{image_id(name, z)}.nii.gz") for name in ("heart", "turned"))
        np.testing.assert_array_equal(plain.dataobj, turned.dataobj)
        np.testing.assert_allclose(plain.affine, turned.affine, atol=1e-4)


def test_a_study_is_added_beside_those_under_review(stack: Path, tmp_path: Path) -> None:
    studies = prepare(str(stack), str(tmp_path / "studies"))
    label = studies / "labels" / "final" / "heart_slice-00.nii.gz"
    label.parent.mkdir(parents=True)
    label.write_bytes(b"reviewed")
    before = everything(studies)
    prepare(str(write_cine(tmp_path / "late.nii.gz", (36, 40, 4), (1.4, 1.4, 8.0))), str(studies))
    assert prepared(studies) == ["heart", "late"]
    assert before.items() <= everything(studies).items()


def test_the_same_study_twice_is_refused_and_changes_nothing(stack: Path, tmp_path: Path) -> None:
    studies = prepare(str(stack), str(tmp_path / "studies"))
    before = everything(studies)
    fine = write_cine(tmp_path / "fine.nii.gz", (36, 40, 4), (1.4, 1.4, 8.0))
    with pytest.raises(CineError, match=r"a study heart is prepared already, and its labels may be under review"):
        prepare(str(fine), str(stack), str(studies))
    assert everything(studies) == before


def test_dicom_gets_a_number_and_not_the_name_of_its_folder(tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 1200, (36, 40, 2, 4)).astype(np.float32)
    for name in ("Doe^Jane", "Doe^John"):
        study = Study.arranged(pixels, oblique((1.5, 1.5, 8.0)), 800.0)
        write_dicom_series(
            tmp_path / name, study.magnitude, study.affine, study.rr_ms, study.frame_times_ms, style="ge"
        )
    studies = prepare(str(tmp_path / "Doe^Jane"), str(tmp_path / "Doe^John"), str(tmp_path / "studies"))
    assert prepared(studies) == ["study-001", "study-002"]
    assert not [name for name, content in everything(studies).items() if "Doe" in name or b"Doe" in content]
    with pytest.raises(CineError, match=r"found the images of study-002, which is prepared already"):
        prepare(str(tmp_path / "Doe^John"), str(studies))


def test_images_without_uids_are_not_the_same_images(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 8)):
        pixels = np.random.default_rng(seed).integers(0, 1200, (36, 40, 2, 4)).astype(np.float32)
        study = Study.arranged(pixels, oblique((1.5, 1.5, 8.0)), 800.0, sop_instance_uids=[[""] * 4] * 2)
        (tmp_path / name).mkdir()
        write_study(study, tmp_path / name, name)
    assert prepared(prepare(str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "studies"))) == ["a", "b"]


def test_a_study_folder_keeps_what_it_knows(tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 1200, (36, 40, 2, 4)).astype(np.float32)
    (tmp_path / "converted").mkdir()
    write_study(Study.arranged(pixels, oblique((1.5, 1.5, 8.0)), [700.0, 900.0]), tmp_path / "converted", "heart")
    studies = prepare(str(tmp_path / "converted"), str(tmp_path / "studies"))
    assert read_study(studies / "cines" / "heart").rr_ms.tolist() == [700, 900]
    steps = [float(nib.load(studies / f"{image_id('heart', z)}.nii.gz").header["pixdim"][4]) for z in range(2)]
    assert steps == pytest.approx([0.175, 0.225])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-900]), "truncated or damaged"),
        (lambda path: nib.save(nib.Nifti1Image(np.ones((9, 9, 9)), np.eye(4)), path), "static stack of slices"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_what_is_no_cine_is_refused_and_leaves_nothing(tmp_path: Path, capsys, change, words: str) -> None:
    good = write_cine(tmp_path / "good.nii.gz", (36, 40, 4), (1.4, 1.4, 8.0))
    path = write_cine(tmp_path / "bad.nii.gz", (36, 40, 2, 4), (1.5, 1.5, 8.0))
    change(path)
    assert main(["label", "prepare", str(good), str(path), str(tmp_path / "studies")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "studies").exists()


def test_a_folder_whose_name_is_a_number_stays_a_name(stack: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["label", "prepare", "heart.nii.gz", "1e3"]) == 0
    assert prepared("1e3") == ["heart"]


def test_too_few_arguments(capsys) -> None:
    assert main(["label", "prepare", "studies"]) == 1
    assert "expected what to prepare and the folder to write" in capsys.readouterr().err
