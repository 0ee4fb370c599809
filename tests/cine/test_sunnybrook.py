"""Real scanner files: GE, one series, UIDs with leading zeros."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.cine.convert import convert
from scripts.cine.dicom import read_dicom
from scripts.cine.nifti import read_nifti
from scripts.cine.study import CineError

#: SCD id, slices, labelled end-diastolic frame.
PATIENTS = [("SCD0000101", 12, 18), ("SCD0000201", 13, 19), ("SCD0000501", 11, 18)]


@pytest.mark.parametrize(("patient", "slices", "diastole"), PATIENTS)
def test_sunnybrook(patient: str, slices: int, diastole: int, shared_data: Path) -> None:
    study = read_dicom(shared_data / "sunnybrook" / "cine" / patient)
    assert study.shape == (256, 256, slices, 20)
    assert study.cyclic
    assert study.vendor == "GE MEDICAL SYSTEMS"
    assert study.provenance["rr_ms"] == "(0018,1062) NominalInterval"
    assert 600 < study.rr_ms.min() <= study.rr_ms.max() < 850
    assert study.provenance["view"] == "from the apex, as stored"
    # Bright blood: the ventricles hold most of it at end diastole, so the middle of the stack is brightest there.
    middle = study.magnitude[96:160, 96:160, slices // 3 : 2 * slices // 3]
    blood = (middle > np.percentile(middle, 60)).mean((0, 1, 2))
    distance = abs(int(blood.argmax()) - diastole)
    assert min(distance, 20 - distance) <= 2


def test_nothing_names_the_patient(shared_data: Path, tmp_path: Path) -> None:
    out = convert(str(shared_data / "sunnybrook" / "cine" / "SCD0000501"), str(tmp_path / "p"))
    assert "SCD0000501" not in (out / "study.json").read_text()
    assert sorted(path.name for path in out.iterdir()) == ["p.nii.gz", "study.json"]


@pytest.mark.parametrize(("patient", "slices", "diastole"), PATIENTS)
def test_last_frames_resemble_first_ones_and_last_slices_do_not(
    patient: str, slices: int, diastole: int, shared_data: Path, tmp_path: Path
) -> None:
    """A cine's frames as a 3D file without an intent code, and a stack's slices with a frame duration."""
    study = read_dicom(shared_data / "sunnybrook" / "cine" / patient)

    def as_3d(pixels: np.ndarray) -> Path:
        image = nib.Nifti1Image(pixels, study.affine)
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 0.7 / pixels.shape[2]
        nib.save(image, tmp_path / "a.nii")
        return tmp_path / "a.nii"

    for z in range(slices):
        assert read_nifti(as_3d(study.magnitude[:, :, z])).shape[3] == 20
        assert read_nifti(as_3d(study.magnitude[:, :, z, :14])).shape[3] == 14  # the last 30 % are missing
    with pytest.raises(CineError, match="it looks like a static stack of slices"):
        read_nifti(as_3d(study.magnitude[..., diastole]))
