"""Maps from files: what fits, what is turned over, what is refused in words."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from scripts.assessment import load_maps
from scripts.cine.manifest import write_manifest
from scripts.cine.nifti import write_nifti
from scripts.cine.study import CineError, Study

from .conftest import apex_view

SHAPE = (10, 12, 3, 6)
AFFINE = apex_view((1.5, 1.5, 9.0))


def arrays():
    generator = np.random.default_rng(0)
    result = {"cine": generator.integers(1, 900, SHAPE).astype(np.int16)}
    result["label"] = generator.integers(0, 3, SHAPE).astype(np.uint8)
    for axis in "xyz":
        result[f"velocity_{axis}"] = generator.normal(size=SHAPE).astype(np.float32)
    return result


def write(folder, pixels=None, affine=AFFINE, name="case", step=150.0):
    folder.mkdir(exist_ok=True)
    for key, values in (pixels or arrays()).items():
        write_nifti(folder / f"{name}_{key}.nii.gz", values, affine, step)
    return folder


def test_files_become_arrays_with_time_first(tmp_path):
    maps = load_maps(write(tmp_path / "out"))
    stored = arrays()
    assert maps.name == "case"
    assert np.array_equal(maps.magnitude, np.moveaxis(stored["cine"], 3, 0))
    assert np.allclose(maps.velocity[2], np.moveaxis(stored["velocity_z"], 3, 0))
    assert maps.rr_ms.tolist() == pytest.approx([900.0] * 3)
    assert maps.times_ms[1, 2] == pytest.approx(300.0)
    assert maps.spacing_mm == pytest.approx((1.5, 1.5, 9.0))
    assert maps.kind == "synthesised"
    assert maps.acquired.all()


def test_which_frames_were_acquired_follows_from_pred(tmp_path):
    folder = write(tmp_path / "out")
    write_nifti(folder / "case_pred.nii.gz", arrays()["label"][..., ::2], AFFINE, 300.0)
    assert load_maps(folder).acquired.tolist() == [True, False] * 3


def test_a_mirrored_stack_from_apex_to_base_is_turned_over(tmp_path):
    straight = load_maps(write(tmp_path / "a"))
    stored = {key: values[::-1, :, ::-1] for key, values in arrays().items()}
    stored["velocity_x"] = -stored["velocity_x"]
    affine = AFFINE.copy()
    affine[:3, 3] += 9 * affine[:3, 0] + 2 * affine[:3, 2]
    affine[:3, [0, 2]] *= -1
    turned = load_maps(write(tmp_path / "b", stored, affine))
    assert np.array_equal(straight.labels, turned.labels)
    assert np.allclose(straight.velocity, turned.velocity)
    assert np.allclose(straight.affine, turned.affine, atol=1e-4)


def test_the_manifest_gives_timing_and_venc(tmp_path):
    folder = write(tmp_path / "out")
    study = Study.arranged(arrays()["cine"], AFFINE, [800.0, 850.0, 900.0], notes=["a note"])
    content = {"kind": "measured", "venc_cm_s": [20, 20, 30], "sources": {"venc_cm_s": "argument venc"}}
    write_manifest(study, folder, "case.nii.gz", content)
    assert load_maps(folder).label_source == "predicted"
    write_manifest(study, folder, "case.nii.gz", content | {"labels": "given"})
    maps = load_maps(folder)
    assert maps.rr_ms.tolist() == [800.0, 850.0, 900.0]
    assert maps.frame_duration_ms[2] == pytest.approx(150.0)
    assert (maps.kind, maps.venc, maps.label_source) == ("measured", (20.0, 20.0, 30.0), "given")
    assert maps.sources["venc_cm_s"] == "argument venc"
    assert "a note" in maps.notes


def test_a_manifest_that_does_not_fit_is_refused(tmp_path):
    folder = write(tmp_path / "out")
    study = Study.arranged(arrays()["cine"][..., :4], AFFINE, 800.0)
    write_manifest(study, folder, "case.nii.gz")
    with pytest.raises(CineError, match=r"study.json: found slices and frames \[3, 4\], but \[3, 6\] in case_cine"):
        load_maps(folder)
    content = json.loads((folder / "study.json").read_text())
    del content["frame_duration_ms"]
    (folder / "study.json").write_text(json.dumps(content))
    with pytest.raises(CineError, match=r"study.json: a field is missing or malformed \(KeyError\('frame_duration_ms'"):
        load_maps(folder)


def test_what_the_bundle_made_of_a_cine_that_ends_is_not_cyclic(tmp_path):
    folder = write(tmp_path / "out")
    assert load_maps(folder).cyclic
    image = nib.load(folder / "case_cine.nii.gz")
    image.header["descrip"] = "magnitude in the scale of the input; not for diagnosis; not cyclic"
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header), folder / "case_cine.nii.gz")
    maps = load_maps(folder)
    assert not maps.cyclic
    assert maps.rr_ms.tolist() == pytest.approx([900.0] * 3)
    assert any("RR interval is not known" in note for note in maps.notes)
    image.header["descrip"] = "magnitude in the scale of the input; not for diagnosis; not cyclic, RR 1100"
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header), folder / "case_cine.nii.gz")
    maps = load_maps(folder)
    assert not maps.cyclic
    assert maps.rr_ms.tolist() == [1100.0] * 3
    assert maps.frame_duration_ms.tolist() == pytest.approx([150.0] * 3)
    assert not maps.notes


def test_frames_that_begin_late_in_the_beat_are_told(tmp_path):
    folder = write(tmp_path / "out")
    for delay, told in ((60.0, False), (90.0, True)):
        times = np.tile(delay + 150.0 * np.arange(6), (3, 1))
        study = Study.arranged(arrays()["cine"], AFFINE, 1000.0, frame_times_ms=times)
        write_manifest(study, folder, "case.nii.gz")
        assert any(f"{delay:.0f} ms after the R wave" in note for note in load_maps(folder).notes) == told


def test_one_of_several_studies_is_named(tmp_path):
    write(tmp_path / "out")
    write(tmp_path / "out", name="other")
    with pytest.raises(CineError, match="found 2 studies"):
        load_maps(tmp_path / "out")
    assert load_maps(tmp_path / "out" / "other").name == "other"


def test_what_inference_was_given_is_not_what_it_wrote(tmp_path):
    write(tmp_path / "out", name="pat_cine")
    write_nifti(tmp_path / "out" / "pat_cine.nii.gz", arrays()["cine"], AFFINE, 150.0)
    assert load_maps(tmp_path / "out").name == "pat_cine"


def overwrite(path):
    """Spoils the middle of a compressed file: its length stays."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = b"0" * 40
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "case_label.nii.gz").unlink(), "case_label.nii.gz: no such file"),
        (lambda f: (f / "case_velocity_z.nii.gz").write_bytes(b"no"), "cannot be read as NIfTI"),
        (lambda f: (f / "case_pred.nii.gz").write_bytes(b"no"), "case_pred.nii.gz: cannot be read as NIfTI"),
        (lambda f: overwrite(f / "case_velocity_x.nii.gz"), "case_velocity_x.nii.gz: cannot be read as NIfTI"),
        (lambda f: write_nifti(f / "case_velocity_y.nii.gz", np.zeros((10, 12, 3, 5)), AFFINE, 1.0), "found shape"),
        (lambda f: write_nifti(f / "case_label.nii.gz", np.full(SHAPE, 7, np.uint8), AFFINE, 1.0), "found values"),
        (lambda f: write_nifti(f / "case_label.nii.gz", np.ones(SHAPE, np.uint8), np.eye(4), 1.0), "lies elsewhere"),
        (lambda f: write_nifti(f / "case_cine.nii.gz", arrays()["cine"], AFFINE, 1.0), "expected 250 to 2500 ms"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(tmp_path, change, words):
    folder = write(tmp_path / "out")
    change(folder)
    with pytest.raises(CineError, match=words):
        load_maps(folder)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(CineError, match=r"no NAME_cine"):
        load_maps(tmp_path)
    with pytest.raises(CineError, match="no such folder"):
        load_maps(tmp_path / "absent" / "deeper")


def disc(radius, frames):
    x = np.arange(40)[:, None] - 19.5
    y = np.arange(40)[None] - 19.5
    r = np.hypot(x, y)[..., None]
    return ((r < radius + 6) * 1 + (r < radius) * 1).astype(np.uint8)[:, :, None] * np.ones(frames, np.uint8)


def test_reviewed_labels_replace_predicted_ones(tmp_path):
    frames, radius = 12, 9 + 3 * np.cos(2 * np.pi * np.arange(12) / 12)
    shape = (40, 40, 1, frames)
    pixels = {key: np.ones(shape, np.float32) * np.arange(1, 13) for key in ("cine", *(f"velocity_{a}" for a in "xyz"))}
    pixels["label"] = disc(radius, 1)
    folder = write(tmp_path / "out", pixels, step=75.0)
    write_nifti(folder / "case_pred.nii.gz", pixels["label"][..., ::3], AFFINE, 225.0)
    reviewed = disc(radius + 2, 1)  # the reader drew both contours 2 pixels farther out
    review = tmp_path / "review"
    write(review, {"label": reviewed[..., ::3]})
    maps = load_maps(folder, review)
    assert maps.label_source == "reviewed"
    assert np.array_equal(maps.labels[::3], np.moveaxis(reviewed, 3, 0)[::3])
    for value in (1, 2):
        found, wanted = np.moveaxis(maps.labels, 0, 3) == value, reviewed == value
        dice = 2 * (found & wanted).sum((0, 1, 2)) / (found.sum((0, 1, 2)) + wanted.sum((0, 1, 2)))
        assert dice.min() > 0.95  # frames between keep the predicted motion, moved out by the same 2 pixels
    write(review, {"label": reviewed})
    assert np.array_equal(load_maps(folder, review / "case_label.nii.gz").labels, np.moveaxis(reviewed, 3, 0))
    # A correction of the first frame reaches the last ones only where the first follows the last.
    write(review, {"label": np.concatenate((reviewed[..., :1], pixels["label"][..., 3::3]), axis=3)})
    assert (load_maps(folder, review).labels[11] != np.moveaxis(pixels["label"], 3, 0)[11]).any()
    image = nib.load(folder / "case_cine.nii.gz")
    image.header["descrip"] = "not cyclic"
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header), folder / "case_cine.nii.gz")
    ends = load_maps(folder, review)
    assert ends.labels.shape[0] == len(ends.acquired) == 10  # behind the last acquired frame there is nothing
    assert ends.acquired[-1]
    assert np.array_equal(ends.labels[9], np.moveaxis(pixels["label"], 3, 0)[9])
    write(review, {"label": reviewed[..., :5]})
    with pytest.raises(CineError, match="found 5 frames, expected 4"):
        load_maps(folder, review)


def test_a_manifest_of_another_study_is_not_used(tmp_path):
    folder = write(tmp_path / "out")
    study = Study.arranged(arrays()["cine"], AFFINE, 800.0)
    write_manifest(study, folder, "other.nii.gz")
    assert load_maps(folder).rr_ms[0] == pytest.approx(900.0)
    assert json.loads((folder / "study.json").read_text())["image"] == "other.nii.gz"
    assert nib.load(folder / "case_cine.nii.gz").shape == SHAPE


def test_a_slice_that_nobody_reviewed_keeps_its_predicted_labels(tmp_path):
    folder = write(tmp_path / "out")
    predicted = load_maps(folder).labels
    shape = (*predicted.shape[1:], predicted.shape[0])
    review = tmp_path / "review"
    write(review, {"label": np.zeros(shape, np.uint8)})
    record = review / "case_review.json"
    record.write_text('{"missing_slices": [0]}')
    maps = load_maps(folder, review)
    assert np.array_equal(maps.labels[..., 0], predicted[..., 0])
    assert not maps.labels[..., 1:].any()
    assert any("nobody reviewed slice 0" in note for note in maps.notes)
    record.write_text('{"missing_slices": [99]}')
    with pytest.raises(CineError, match="expected slices from 0"):
        load_maps(folder, review)
