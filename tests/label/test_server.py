"""The real server and MONAI Label's own client, from start to the assessment; `make test-label` runs it."""

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

client_module = pytest.importorskip("monailabel.client", reason="runs in MONAI Label's environment: make test-label")

from .conftest import Run, write_cine  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MODEL = "hdl_mvm"


def client(server: str, tmp_path: Path, who: str = "anna") -> Any:
    return client_module.MONAILabelClient(server, str(tmp_path), who)


def pixels(path: str | Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def save(reviewer: Any, image: str, labels: np.ndarray, folder: Path, studies: Path, **info: Any) -> dict:
    path = folder / "sent.nii.gz"
    nib.save(nib.Nifti1Image(labels, nib.load(studies / f"{image}.nii.gz").affine), path)
    return reviewer.save_label(image, str(path), params=info)


def checksums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "models").iterdir()}


def test_the_server_tells_what_it_offers(server: str, tmp_path: Path) -> None:
    info = client(server, tmp_path).info()
    assert info["models"][MODEL]["labels"] == {"myocardium": 1, "lv blood pool": 2}
    assert info["models"][MODEL]["dimension"] == 3
    assert next(iter(info["strategies"])) == "uncertain"
    assert list(info["trainers"]) == [MODEL]
    assert info["datastore"]["total"] == 5


def test_the_most_uncertain_slice_is_offered_first_and_not_twice(server: str, tmp_path: Path) -> None:
    reviewer = client(server, tmp_path)
    scores: dict[str, float | None] = {}
    for _ in range(300):
        objects = reviewer.datastore()["objects"]
        scores = {image: item["image"]["info"].get("uncertainty") for image, item in objects.items()}
        if None not in scores.values():
            break
        time.sleep(1)
    assert all(score > 0 for score in scores.values())
    order = sorted(scores, key=lambda image: -scores[image])
    assert [reviewer.next_sample("uncertain", {})["id"] for _ in range(3)] == order[:3]


def bundle_run(command: Run, data: Path, folder: Path) -> dict[str, np.ndarray]:
    """Labels on the acquired frames by `monai.bundle run`, of each file in a folder."""
    arguments = ["--config_file", "bundle/configs/inference.json", "--dataset_dir", data, "--output_dir", folder]
    command("monai.bundle", "run", "inference", *arguments)
    return {path.name.removesuffix("_pred.nii.gz"): pixels(path) for path in folder.glob("*_pred.nii.gz")}


def test_labels_are_those_of_bundle_run_voxel_by_voxel(
    server: str, studies: Path, command: Run, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    for image in ("heart_slice-00", "single_slice-00"):
        shutil.copy(studies / f"{image}.nii.gz", tmp_path / "data")
    reviewer, seen = client(server, tmp_path), set()
    for image, expected in bundle_run(command, tmp_path / "data", tmp_path / "out").items():
        path, told = reviewer.infer(MODEL, image, {})
        found = nib.load(path)
        np.testing.assert_array_equal(found.dataobj, expected)
        np.testing.assert_allclose(found.affine, nib.load(studies / f"{image}.nii.gz").affine, atol=1e-5)
        assert found.get_data_dtype() == np.uint8
        assert told["label_names"] == {"myocardium": 1, "lv blood pool": 2}
        seen |= set(np.unique(found.dataobj))
    assert seen == {0, 1, 2}


def test_a_patients_cine_that_is_added_while_the_server_runs(
    server: str, studies: Path, patient: Path, command: Run, tmp_path: Path
) -> None:
    command("scripts", "label", "prepare", patient, studies)
    expected = bundle_run(command, studies / "patient_slice-00.nii.gz", tmp_path)["patient_slice-00"]
    path, _ = client(server, tmp_path).infer(MODEL, "patient_slice-00", {})
    np.testing.assert_array_equal(pixels(path), expected)
    assert all((expected == label).any((0, 1)).all() for label in (1, 2)), "a ventricle in every frame"


def test_a_blood_pool_without_myocardium_stays_a_blood_pool(server: str, studies: Path, tmp_path: Path) -> None:
    reviewer = client(server, tmp_path)
    drawn = np.zeros(nib.load(studies / "single_slice-00.nii.gz").shape, np.uint8)
    drawn[20:30, 20:30] = 1  # 3D Slicer numbers segments by their place in its list
    save(reviewer, "single_slice-00", drawn, tmp_path, studies, label_info=[{"name": "lv blood pool", "idx": 1}])
    np.testing.assert_array_equal(pixels(reviewer.download_label("single_slice-00", "final")), 2 * drawn)


@pytest.mark.parametrize(
    ("change", "info", "words"),
    [
        (lambda x: x[:-1], {}, "has the shape (55, 60, 4), expected that of its image, (56, 60, 4)"),
        (lambda x: x + 7, {}, "holds the value 7, expected 0 background, 1 myocardium, 2 lv blood pool"),
        (lambda x: x, {"label_info": [{"name": "Segment_1", "idx": 1}]}, "found segments called segment_1"),
        (
            lambda x: x,
            {"label_info": [{"name": "myocardium", "idx": 2}, {"name": "lv blood pool", "idx": 3}]},
            "names and numbers of the segments do not fit",
        ),
    ],
)
def test_a_label_that_does_not_fit_is_refused_in_words(
    server: str, studies: Path, tmp_path: Path, change, info, words
) -> None:
    labels = change(np.zeros(nib.load(studies / "reviewed_slice-00.nii.gz").shape, np.uint8))
    with pytest.raises(client_module.client.MONAILabelClientException) as error:
        save(client(server, tmp_path), "reviewed_slice-00", labels, tmp_path, studies, **info)
    assert "Status: 422" in error.value.msg
    assert words in error.value.msg
    assert not (studies / "labels" / "final" / "reviewed_slice-00.nii.gz").exists()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("stack", "MONAI Label reviews one volume, found a 4D cine; cut it into one study a slice"),
        ("static", "it may be a static stack of slices"),
        ("truncated", "cannot be read"),
    ],
)
def test_a_wrong_study_is_an_error_in_words(server: str, tmp_path: Path, kind: str, words: str) -> None:
    path = write_cine(tmp_path / f"{kind}.nii.gz", (40, 36, 3, 6), (1.5, 1.5, 8.0))
    if kind == "static":
        nib.save(nib.Nifti1Image(pixels(path)[..., 0], np.diag([1.5, 1.5, 8.0, 1.0])), path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-800])
    reviewer = client(server, tmp_path)
    with pytest.raises(client_module.client.MONAILabelClientException) as error:
        reviewer.infer(MODEL, "", {}, file=str(path))
    assert "Status: 422" in error.value.msg
    assert words in error.value.msg


def test_reviews_reach_training_and_assessment(
    server: str, studies: Path, cines: Path, root: Path, command: Run, tmp_path: Path
) -> None:
    drawn = {who: np.zeros((56, 60, 4), np.uint8) for who in ("anna", "bob")}
    for half, labels in zip((12, 10), drawn.values(), strict=True):  # two readers, two sizes of a ventricle
        x, y = np.ogrid[:56, :60]
        for t in range(4):
            radius = np.hypot(x - 22.4, y - 33) + abs(t - 2)
            labels[..., t] = (radius < half) + (radius < half - 5).astype(int)
    for who, images in (("anna", ("reviewed_slice-00", "reviewed_slice-01")), ("bob", ("reviewed_slice-01",))):
        for image in images:
            save(client(server, tmp_path, who), image, drawn[who], tmp_path, studies)

    shipped, served = checksums(root / "bundle"), studies / "server" / "model" / MODEL
    train(client(server, tmp_path))
    assert checksums(root / "bundle") == shipped
    assert checksums(served)["model.ts"] == shipped["model.ts"]
    assert checksums(served)["model.pt"] != shipped["model.pt"]
    path, _ = client(server, tmp_path).infer(MODEL, "reviewed_slice-00", {})
    assert pixels(path).shape == (56, 60, 4)

    said = command("scripts", "label", "collect", studies, tmp_path / "last").stdout
    assert "reviewed: 2 of 2 slice(s) reviewed by anna, bob" in said
    assert "slice 1 was saved by anna, too" in said
    labels = nib.load(tmp_path / "last" / "reviewed" / "reviewed_label.nii.gz")
    np.testing.assert_array_equal(labels.dataobj, np.stack([drawn["anna"], drawn["bob"]], axis=2))
    np.testing.assert_allclose(labels.affine, nib.load(cines / "reviewed.nii.gz").affine, atol=1e-5)
    record = json.loads((tmp_path / "last" / "reviewed" / "reviewed_review.json").read_text())
    assert [(item["by"], [o["by"] for o in item["other_saves"]]) for item in record["slices"]] == [
        ("anna", []),
        ("bob", ["anna"]),
    ]
    command("scripts", "label", "collect", studies, tmp_path / "annas", "--reviewer", "anna")
    annas = pixels(tmp_path / "annas" / "reviewed" / "reviewed_label.nii.gz")
    np.testing.assert_array_equal(annas, np.stack([drawn["anna"]] * 2, axis=2))

    command("scripts", "infer", tmp_path / "last" / "reviewed", tmp_path / "maps")
    command("scripts", "assess", tmp_path / "maps", tmp_path / "report", "--labels", tmp_path / "last" / "reviewed")
    assert json.loads((tmp_path / "report" / "assessment.json").read_text())["study"]["labels"] == "reviewed"


def train(reviewer: Any) -> None:
    """One epoch, to its end."""
    reviewer.train_start(MODEL, {"max_epochs": 1, "val_split": 0.0})
    for _ in range(600):
        status = reviewer.train_status()
        if status["status"] not in ("SUBMITTED", "RUNNING"):
            break
        time.sleep(1)
    assert status["status"] == "DONE", status["details"]
