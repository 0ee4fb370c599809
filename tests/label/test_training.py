"""train.json, as MONAI Label runs it: what it may change, and what it never does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import run

from scripts.label.prepare import prepare

from .conftest import write_cine

pytestmark = pytest.mark.integration

HEAD = ("interpolation.image_out.weight", "interpolation.image_out.bias")


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slices with labels that the network would not give: a square."""
    folder = tmp_path_factory.mktemp("reviewed")
    cine = write_cine(folder / "heart.nii.gz", (64, 60, 2, 4), (1.5, 1.5, 8.0))
    studies = prepare(str(cine), str(folder / "studies"))
    labels = np.zeros((64, 60, 4), np.uint8)
    labels[8:32, 10:34], labels[14:26, 16:28] = 1, 2
    final = studies / "labels" / "final"
    final.mkdir(parents=True)
    for z in range(2):
        name = f"heart_slice-{z:02d}.nii.gz"
        nib.save(nib.Nifti1Image(labels, nib.load(studies / name).affine), final / name)
    return studies


def train(root: Path, studies: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict:
    """Runs train.json; returns the weights that it leaves."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(out)
    run(
        run_id="run",
        config_file=str(root / "bundle" / "configs" / "train.json"),
        bundle_root=str(root / "bundle"),
        dataset_dir=str(studies),
        logging_file=False,
        **{"device": "cpu", "train#trainer#max_epochs": 2, **settings},
    )
    return torch.load(out / "finetuned" / "model.pt", weights_only=True)


def start(root: Path) -> dict:
    return dict(torch.jit.load(root / "bundle" / "models" / "model.ts").state_dict())


def test_only_the_labels_change(root: Path, reviewed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = start(root), train(root, reviewed, tmp_path, monkeypatch)
    assert before.keys() == after.keys()
    assert {key for key in before if not torch.equal(before[key], after[key])} == set(HEAD)
    for key in HEAD:
        torch.testing.assert_close(after[key][:8], before[key][:8], rtol=0, atol=0)  # blending and residual
        assert (after[key][8:] != before[key][8:]).any()


def test_weights_that_do_worse_on_held_out_slices_are_not_kept(
    root: Path, reviewed: Path, ventricle: nib.Nifti1Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cine = nib.Nifti1Image(ventricle.dataobj[:, :, 1], np.diag([1.5, 1.5, 8.0, 1.0]))  # at the network's spacing
    image = tmp_path / "cine.nii.gz"
    nib.save(cine, image)
    network = torch.jit.load(root / "bundle" / "models" / "model.ts")
    network.upsampling_factor = 1
    with torch.no_grad():
        frames = torch.from_numpy(cine.get_fdata(dtype=np.float32)).movedim(-1, 0)
        found = network(frames[None])[0].unflatten(0, (8, -1))[1:4].argmax(0).movedim(0, -1)
    assert found.any(), "a ventricle"
    label = nib.Nifti1Image(found.numpy().astype(np.uint8), cine.affine)
    nib.save(label, tmp_path / "label.nii.gz")  # what the network finds already cannot be bettered
    held_out = [{"image": str(image), "label": str(tmp_path / "label.nii.gz")}]
    after = train(root, reviewed, tmp_path, monkeypatch, **{"validate#dataset#data": held_out, "learning_rate": 0.1})
    assert all(torch.equal(value, after[key]) for key, value in start(root).items())


def test_without_reviewed_labels_there_is_nothing_to_train(root: Path, tmp_path: Path) -> None:
    config = root / "bundle" / "configs" / "train.json"
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config)]
    done = subprocess.run(
        [*command, "--bundle_root", str(root / "bundle")], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    assert "error: found no reviewed labels" in done.stderr
    assert not list(tmp_path.iterdir())
