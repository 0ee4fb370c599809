"""Real scanner files: GE, one series, UIDs with leading zeros."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.cine.convert import convert
from scripts.cine.dicom import read_dicom

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
