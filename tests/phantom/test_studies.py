"""Whole phantom studies: reproducible, readable, and what they say of themselves."""

import json

import nibabel as nib
import numpy as np
import pytest

from scripts.cine.convert import read_study
from scripts.cine.study import CineError
from scripts.phantom import studies
from scripts.phantom.studies import write_phantom_studies


@pytest.fixture(scope="module", autouse=True)
def small():
    """Fewer pixels than a study has, so that the tests are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "FULL_PIXELS", 72)
        patch.setattr(studies, "FULL_PIXEL_MM", (2.4, 2.6))
        yield


@pytest.fixture(scope="module")
def nifti(tmp_path_factory):
    out = tmp_path_factory.mktemp("nifti")
    write_phantom_studies(str(out), 1, 7, frames=18)
    return out


def test_the_same_seed_gives_the_same_study(nifti, tmp_path):
    write_phantom_studies(str(tmp_path), 1, 7, frames=18)
    for path in nifti.rglob("*.nii.gz"):
        again = nib.load(tmp_path / path.relative_to(nifti))
        assert np.array_equal(np.asarray(nib.load(path).dataobj), np.asarray(again.dataobj)), path.name


def test_the_ordinary_cine_is_every_sixth_measured_frame(nifti):
    cine = np.asarray(nib.load(nifti / "phantom-0007.nii.gz").dataobj)
    measured = np.asarray(nib.load(nifti / "measured" / "phantom-0007_magnitude.nii.gz").dataobj)
    assert cine.shape == (72, 72, 3, 3)
    assert np.array_equal(cine, measured[..., ::6])


def test_phases_hold_the_true_velocity(nifti):
    label = np.asarray(nib.load(nifti / "truth" / "phantom-0007_label.nii.gz").dataobj)
    for direction, venc in (("x", 20), ("y", 20), ("z", 30)):
        raw = np.asarray(nib.load(nifti / "measured" / f"phantom-0007_phase_{direction}.nii.gz").dataobj)
        true = nib.load(nifti / "truth" / f"phantom-0007_velocity_{direction}.nii.gz").get_fdata()
        assert raw.min() >= 0
        assert raw.max() <= 4095
        error = ((raw / 4096 - 0.5) * 2 * venc - true)[label == 1]
        assert np.sqrt(np.mean(error**2)) < 2.0


def test_a_study_reads_back_with_its_timing(nifti):
    study = read_study(nifti / "phantom-0007.nii.gz")
    manifest = json.loads((nifti / "truth" / "phantom-0007.json").read_text())
    assert study.rr_ms == pytest.approx(manifest["rr_ms"], rel=1e-3)
    assert "not a patient" in manifest["what"]


def test_dicom_reads_back_as_the_same_cine(nifti, tmp_path):
    write_phantom_studies(str(tmp_path), 1, 7, format="dicom", frames=18)
    study = read_study(tmp_path / "phantom-0007")
    other = read_study(nifti / "phantom-0007.nii.gz")
    assert np.array_equal(study.magnitude, other.magnitude)
    assert np.allclose(study.affine, other.affine, atol=0.01)
    measured = read_study(tmp_path / "measured" / "phantom-0007")
    assert measured.shape[-1] == 18


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"format": "png"}, "format"),
        ({"stack": "all"}, "stack"),
        ({"frames": 20}, "divides"),
        ({"studies": 0}, "at least one"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, wrong, words):
    with pytest.raises(CineError, match=words):
        write_phantom_studies(str(tmp_path), **wrong)
