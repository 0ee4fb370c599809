"""The command, on little data but for real."""

import itertools
import json

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.__main__ import main
from scripts.benchmark.bars import find_bars
from scripts.benchmark.benchmark import Settings, run_benchmark, write_result
from scripts.benchmark.cases import patient_cases, phantom_case, phantom_stack
from scripts.benchmark.contours import end_frames
from scripts.benchmark.cost import Load, cost_rows, loads
from scripts.benchmark.network import Network
from scripts.benchmark.tables import table
from scripts.cine.nifti import write_nifti
from scripts.cine.study import CineError


@pytest.fixture(scope="module")
def ours(root):
    """The shipped weights."""
    return Network.load("hdlnet", root / "bundle" / "models" / "model.ts")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a simulated slice as a study of 12 frames, labelled in all."""
    folder = tmp_path_factory.mktemp("studies")
    case = next(c for c in (phantom_case(seed, 12, 96) for seed in range(7, 40)) if c.has_ventricle)
    affine = np.diag([-1.5, 1.5, 8.0, 1.0])
    for name, stack in (("a", case.frames), ("a_label", torch.stack(list(case.labels.values())).float())):
        write_nifti(folder / f"{name}.nii.gz", stack.permute(1, 2, 0)[:, :, None].numpy(), affine, 80.0)
    return folder


def test_everything_but_cost_on_one_phantom_slice(ours, tmp_path):
    seed = next(s for s in range(7, 40) if phantom_case(s, 6, 96).has_ventricle)
    peers = ("nearest", "linear", "flow", "hdlnet")
    settings = Settings(peers, ("interpolation", "segmentation", "velocity"), (6,), 1, seed, 96)
    result = run_benchmark(settings, [ours], ["phantom"])
    tables = result["data"]["phantom"]
    frames = {row["peer"]: row["psnr_ventricle_db"] for row in tables["interpolation"]}
    assert set(frames) == set(peers)
    assert frames["flow"] > frames["nearest"]
    mine = {"hdlnet", "hdlnet, slice alone"}
    assert {row["peer"] for row in tables["velocity"]} == {"zero", "flow", *mine, *(f"{m}, own labels" for m in mine)}
    found = {(row["peer"], row["component"]): row["rmse_cm_s"] for row in tables["velocity"]}
    assert found["hdlnet", "radial"] == pytest.approx(found["hdlnet, slice alone", "radial"], rel=1e-3)
    assert found["hdlnet", "longitudinal"] != pytest.approx(found["hdlnet, slice alone", "longitudinal"], rel=1e-3)
    by_gap = {(row["peer"], row["component"]): row for row in tables["velocity_by_gap"]}
    assert {row["gap"] for row in by_gap.values()} == {6}
    assert by_gap.keys() == found.keys()
    assert {(row["frames_are"], row["label"]) for row in tables["segmentation"]} == {
        (kind, label) for kind in ("acquired", "interpolated") for label in ("myocardium", "pool", "ventricle")
    }
    assert any("best peer" in bar["row"] for bar in result["bars"])
    write_result(result, tmp_path)
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert written["about"]["networks"]["hdlnet"]["weights_sha256"]
    page = (tmp_path / "benchmark.md").read_text()
    assert "Not for diagnosis" in page
    for name in ("interpolation_phantom.png", "velocity_phantom.png"):
        assert (tmp_path / name).stat().st_size > 1000
        assert name in page


def test_a_case_is_a_slice_of_its_stack():
    for seed in (7, 8):
        case, (stack, own) = phantom_case(seed, 4, 48), phantom_stack(seed, 4, 48)
        torch.testing.assert_close(stack[own], case.frames)
        assert stack.shape[1:] == case.frames.shape
        assert all(not torch.equal(a, b) for a, b in itertools.pairwise(stack))


@torch.no_grad()
def test_a_stack_is_seen_as_the_network_sees_it(ours):
    stack, _ = phantom_stack(7, 9, 48)
    pred = ours.in_stack(stack[3:7], 2)
    ours.module.upsampling_factor = 2
    torch.testing.assert_close(pred, ours.module(stack[3:7].movedim(0, -1)[None])[0].unflatten(0, (8, -1)))


def test_a_folder_of_studies_with_labels(ours, study):
    settings = Settings(("linear", "flow", "hdlnet"), ("interpolation", "segmentation", "contours"), (4,))
    tables = run_benchmark(settings, [ours], [str(study)])["data"][str(study)]
    assert {row["peer"] for row in tables["interpolation_by_patient"]} == {"linear", "flow", "hdlnet"}
    assert {row["frames_are"] for row in tables["segmentation"]} == {"acquired", "interpolated"}
    carried = {row["peer"]: row["dice"] for row in tables["contours"]}
    assert set(carried) == {"unmoved", "flow", "hdlnet"}
    assert carried["flow"] > carried["unmoved"]


def test_a_short_cine_is_measured_as_far_as_it_goes(ours, tmp_path):
    """Six frames leave two of which nothing can be interpolated."""
    case = next(c for c in (phantom_case(seed, 6, 48) for seed in range(7, 40)) if c.has_ventricle)
    affine = np.diag([-1.5, 1.5, 8.0, 1.0])
    for name, stack in (("a", case.frames), ("a_label", torch.stack(list(case.labels.values())).float())):
        write_nifti(tmp_path / f"{name}.nii.gz", stack.permute(1, 2, 0)[:, :, None].numpy(), affine, 160.0)
    settings = Settings(("linear", "hdlnet"), ("interpolation", "segmentation"), (4,))
    tables = run_benchmark(settings, [ours], [str(tmp_path)])["data"][str(tmp_path)]
    assert {row["frames_are"] for row in tables["segmentation"]} == {"acquired"}
    small = tmp_path / "small"
    small.mkdir()
    write_nifti(small / "a.nii.gz", case.frames[:, :20].permute(1, 2, 0)[:, :, None].numpy(), affine, 160.0)
    with pytest.raises(CineError, match=r"a\.nii\.gz: found a field of 30 mm, expected at least 48 mm"):
        patient_cases(small)


def test_a_study_is_brought_to_the_grid_with_its_labels(study):
    (case,) = patient_cases(study)
    assert case.frames.shape == (12, 96, 96)
    assert len(case.labels) == 12
    assert case.has_ventricle


def test_a_patient_of_sunnybrook(shared_data):
    cases = patient_cases(shared_data / "sunnybrook", ("SC-HF-I-02",))
    assert {case.subject for case in cases} == {"SC-HF-I-02"}
    assert all(case.cyclic and len(case.frames) == 20 for case in cases)
    ends = [end_frames(case.labels) for case in cases if case.has_ventricle]
    assert (19, 6) in ends  # end-diastole is the last frame


def test_a_patient_whom_nobody_knows_is_refused(shared_data):
    with pytest.raises(CineError, match="SC-X-1"):
        patient_cases(shared_data / "sunnybrook", ("SC-HF-I-02", "SC-X-1"))


def test_labels_of_another_shape_are_refused(study, tmp_path):
    for path in study.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 1, 12), np.uint8), np.eye(4)), tmp_path / "a_label.nii.gz")
    with pytest.raises(CineError, match=r"a_label.*\(9, 9, 1, 12\)"):
        patient_cases(tmp_path)


def test_cost_of_the_smallest_load(ours):
    row = cost_rows([Load("hdlnet", str(ours.path), 3, 32, 1, 1)])[0]
    assert row["parameters"] == sum(p.numel() for p in ours.module.parameters())
    assert row["multiply_adds"] > 1e6
    assert row["seconds_a_slice"] > 0
    assert row["peak_mb"] >= row["idle_mb"] > 50


def test_cost_grows_along_frames_pixels_and_slices_in_both_engines(ours):
    work = loads("hdlnet", str(ours.path))
    assert {item.model.rsplit(".")[-1] for item in work} == {"ts", "onnx"}
    for name in ("frames", "pixels", "slices"):
        assert len({getattr(item, name) for item in work}) >= 3
    assert len(set(work)) == len(work)


def test_bars_by_hand():
    rows = [
        {"gap": 6, "peer": peer, "psnr_ventricle_db": value, "psnr_full_12_bit_db": value + 10}
        for peer, value in (("linear", 30.0), ("flow", 32.0), ("hdlnet", 33.0))
    ]
    bars = find_bars({"data": {"phantom": {"interpolation": rows}}})
    assert [(bar["found"], bar["met"]) for bar in bars] == [(1.0, False), (3.0, True), (43.0, True)]
    without = find_bars({"data": {"phantom": {"interpolation": [row for row in rows if row["peer"] != "flow"]}}})
    assert [bar["found"] for bar in without] == [3.0, 43.0]  # who is best is not known
    errors = [
        {"peer": peer, "component": "radial", "rmse_cm_s": error, "rmse_over_rms": error}
        for peer, error in (("zero", 1.0), ("population", 0.8), ("flow", 0.5), ("hdlnet", 0.2))
    ]
    known, unknown = (find_bars({"data": {"phantom": {"velocity": some}}}) for some in (errors, errors[::3]))
    assert [bar["found"] for bar in known] == pytest.approx([0.2, 0.4])
    assert [bar["found"] for bar in unknown] == [0.2]
    costs = [
        {"network": "hdlnet", "engine": "torch", "frames": 9, "pixels": 192, "slices": 1, "seconds_a_slice": 2.0},
        {
            "network": "r2unet",
            "engine": "torch (eager)",
            "frames": 9,
            "pixels": 192,
            "slices": 1,
            "seconds_a_slice": 100,
        },
    ]
    (bar,) = find_bars({"data": {}, "cost": costs})
    assert bar["found"] == pytest.approx(0.02)
    assert bar["met"]
    assert bar["better"] == "lower"


def test_a_table_leaves_out_what_a_row_lacks():
    text = table([{"peer": "a", "mm": 1.23456}, {"peer": "b", "mm": float("nan"), "n": 3}])
    assert text.splitlines()[2:] == ["| a | 1.235 |  |", "| b |  | 3 |"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--peers", "linear,magic"], "peers: found magic"),
        (["--parts", "sleep"], "parts: found sleep"),
        (["--slices", "0"], "slices: found 0"),
        (["--model", "nowhere.ts"], "nowhere.ts"),
        (["--model", "bundle/models/model.pt"], "model.pt: found no TorchScript model"),
        (["--data", "phantom,nowhere"], "nowhere"),
    ],
)
def test_wrong_words_are_told_in_words(flags, words, tmp_path, capsys):
    assert main(["benchmark", str(tmp_path / "out"), *flags]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
