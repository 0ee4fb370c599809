"""Reviewed slices become labels of the whole study; nothing that was saved is lost on the way."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.cine.study import CineError
from scripts.label.collect import collect
from scripts.label.prepare import prepare

from .conftest import write_cine

SHAPE = (36, 40, 3, 5)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    source = write_cine(tmp_path / "heart.nii.gz", SHAPE, (1.4, 1.6, 9.0))
    return prepare(str(source), str(tmp_path / "studies"))


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (SHAPE[0], SHAPE[1], SHAPE[3]), np.uint8)


def review(studies: Path, z: int, labels: np.ndarray, by: str, minute: int) -> None:
    """What the served app leaves behind when a reviewer saves a slice."""
    image = nib.Nifti1Image(labels, nib.load(studies / f"heart_slice-{z:02d}.nii.gz").affine)
    kept = studies / "reviews" / f"heart_slice-{z:02d}"
    final = studies / "labels" / "final"
    kept.mkdir(parents=True, exist_ok=True)
    final.mkdir(parents=True, exist_ok=True)
    stamp = f"20260102T03{minute:02d}00.000000Z"
    record = {"by": by, "at": f"2026-01-02T03:{minute:02d}:00+00:00", "tag": "final", "file": f"{stamp}.nii.gz"}
    (kept / f"{stamp}.json").write_text(json.dumps(record))
    nib.save(image, kept / f"{stamp}.nii.gz")
    (final / f"heart_slice-{z:02d}.nii.gz").write_bytes((kept / f"{stamp}.nii.gz").read_bytes())


def test_labels_are_stacked_on_the_affine_of_the_study(studies: Path, tmp_path: Path, capsys) -> None:
    for z in range(3):
        review(studies, z, drawn(z), "anna", z)
    collect(str(studies), str(tmp_path / "out"))
    source, label = nib.load(tmp_path / "heart.nii.gz"), nib.load(tmp_path / "out/heart/heart_label.nii.gz")
    np.testing.assert_array_equal(label.dataobj, np.stack([drawn(z) for z in range(3)], axis=2))
    np.testing.assert_allclose(label.affine, source.affine, atol=1e-4)
    assert label.get_data_dtype() == np.uint8
    assert label.header["pixdim"][4] == pytest.approx(0.8 / 5)
    np.testing.assert_array_equal(nib.load(tmp_path / "out/heart/heart.nii.gz").dataobj, source.dataobj)
    assert "heart: 3 of 3 slice(s) reviewed by anna\n" in capsys.readouterr().out


def test_missing_slices_are_named(studies: Path, tmp_path: Path, capsys) -> None:
    review(studies, 1, drawn(1), "anna", 0)
    collect(str(studies), str(tmp_path / "out"))
    assert (
        "1 of 3 slice(s) reviewed by anna; missing, and 0 in the labels (assess keeps the predicted ones): slice 0, 2"
        in capsys.readouterr().out
    )
    record = json.loads((tmp_path / "out/heart/heart_review.json").read_text())
    assert record["missing_slices"] == [0, 2]
    assert [item["slice"] for item in record["slices"]] == [1]
    assert not np.asanyarray(nib.load(tmp_path / "out/heart/heart_label.nii.gz").dataobj)[:, :, [0, 2]].any()


def test_the_last_save_counts_and_the_others_are_told(studies: Path, tmp_path: Path, capsys) -> None:
    for minute, (by, seed) in enumerate((("anna", 1), ("bob", 2), ("bob", 3))):
        review(studies, 0, drawn(seed), by, minute)
    collect(str(studies), str(tmp_path / "out"))
    assert "slice 0 was saved by anna, too; --reviewer" in capsys.readouterr().out
    label = np.asanyarray(nib.load(tmp_path / "out/heart/heart_label.nii.gz").dataobj)
    np.testing.assert_array_equal(label[:, :, 0], drawn(3))
    (told,) = json.loads((tmp_path / "out/heart/heart_review.json").read_text())["slices"]
    assert (told["by"], told["at"]) == ("bob", "2026-01-02T03:02:00+00:00")
    assert [other["by"] for other in told["other_saves"]] == ["anna", "bob"]
    assert all((studies / other["file"]).is_file() for other in told["other_saves"])

    collect(str(studies), str(tmp_path / "out"), reviewer="anna")
    label = np.asanyarray(nib.load(tmp_path / "out/heart/heart_label.nii.gz").dataobj)
    np.testing.assert_array_equal(label[:, :, 0], drawn(1))


def test_labels_of_a_stock_server_are_collected_too(studies: Path, tmp_path: Path) -> None:
    final = studies / "labels" / "final"
    final.mkdir(parents=True)
    nib.save(nib.Nifti1Image(drawn(4), np.eye(4)), final / "heart_slice-02.nii.gz")
    info = {"client_id": "carol", "ts": 1767323045}
    objects = {"heart_slice-02": {"labels": {"final": {"info": info}}}}
    (studies / "datastore_v2.json").write_text(json.dumps({"objects": objects}))
    collect(str(studies), str(tmp_path / "out"))
    (told,) = json.loads((tmp_path / "out/heart/heart_review.json").read_text())["slices"]
    assert (told["by"], told["at"]) == ("carol", "2026-01-02T03:04:05+00:00")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((3, 3, 3), np.uint8), r"found shape \(3, 3, 3\), expected that of its slice, \(36, 40, 5\)"),
        (np.full((36, 40, 5), 3, np.uint8), r"found values \[3\], expected only 0, 1, 2"),
    ],
)
def test_a_label_that_does_not_fit_leaves_no_output(studies: Path, tmp_path: Path, labels, words: str) -> None:
    review(studies, 0, labels, "anna", 0)
    with pytest.raises(CineError, match=words):
        collect(str(studies), str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))


def test_nothing_to_collect(studies: Path, tmp_path: Path) -> None:
    with pytest.raises(CineError, match=r"found no slice reviewed; submit labels first"):
        collect(str(studies), str(tmp_path / "out"))
    review(studies, 0, drawn(0), "anna", 0)
    with pytest.raises(CineError, match=r"found no slice reviewed by bob"):
        collect(str(studies), str(tmp_path / "out"), reviewer="bob")
    with pytest.raises(CineError, match=r"found no study for review; make the folder with"):
        collect(str(tmp_path), str(tmp_path / "out"))
