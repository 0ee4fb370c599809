"""`python -m scripts infer` runs the bundle's own configuration, slice by slice, on a network made up for the test."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, run
from torch import Tensor, nn

from scripts.cine.nifti import write_study
from scripts.cine.study import CineError, Study
from scripts.infer import OUTPUTS, OnnxNetwork, StackInferer, frame_factor, infer
from tests.cine.conftest import oblique_affine

RR_MS = (700.0, 900.0)


class Toy(nn.Module):
    """pred as HDLNet gives it: myocardium where bright, v = 1, 2, 3 cm/s at RR = 1000 ms.

    In a stack the last one becomes ten times the number of bright slices.
    """

    upsampling_factor: int
    cyclic: int

    def __init__(self) -> None:
        super().__init__()
        self.upsampling_factor = 6
        self.cyclic = 1

    def forward(self, image: Tensor) -> Tensor:
        cine = image.repeat_interleave(self.upsampling_factor, 1)
        wall = (cine > 500).float()
        one = torch.ones_like(cine)
        return torch.cat([cine, 1 - wall, wall, 0 * one, one, 2 * one, 3 * one, wall], 1)

    @torch.jit.export
    def in_stack(self, pred: Tensor) -> Tensor:
        blocks = pred.unflatten(1, (8, -1))
        blocks[:, 6] = 10 * (blocks[:, 2].amax((0, 1, 2, 3)) > 0).sum()
        return pred


@pytest.fixture(scope="module")
def bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copytree(root / "bundle" / "configs", folder / "configs")
    (folder / "models").mkdir()
    torch.jit.script(Toy()).save(folder / "models" / "model.ts")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A study of two slices, 36 x 40 pixels at 1.5 mm, 5 frames; a bright square in the second slice."""
    pixels = np.random.default_rng(0).integers(10, 50, (36, 40, 2, 5)).astype(np.float32)
    pixels[10:20, 12:22, 1] += 1000
    affine = oblique_affine()
    affine[:3, 0] *= 1.5 / 1.25
    folder = tmp_path / "study"
    folder.mkdir()
    write_study(Study.arranged(pixels, affine, RR_MS), folder, "heart")
    return folder


@pytest.mark.integration
def test_outputs_lie_on_the_grid_of_the_study(bundle: Path, source: Path, tmp_path: Path, capsys) -> None:
    out = infer(str(source), str(tmp_path / "out"), upsampling_factor=3, bundle=str(bundle))
    names = [f"heart_{key}.nii.gz" for key in OUTPUTS]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "heart.nii.gz", "overview.png", "study.json"])
    acquired = nib.load(source / "heart.nii.gz")
    images = {key: nib.load(out / f"heart_{key}.nii.gz") for key in OUTPUTS}
    for key, image in images.items():
        assert image.shape == (36, 40, 2, 5 if key == "pred" else 15)
        np.testing.assert_allclose(image.affine, acquired.affine, atol=1e-5)
        assert image.header["pixdim"][4] == pytest.approx(np.mean(RR_MS) / 1000 / image.shape[3])
        assert image.header.get_xyzt_units() == ("mm", "sec")
    assert images["label"].get_data_dtype() == np.uint8
    np.testing.assert_array_equal(images["cine"].get_fdata()[..., ::3], acquired.get_fdata())
    np.testing.assert_array_equal(images["label"].get_fdata()[..., 0], acquired.get_fdata()[..., 0] > 500)
    np.testing.assert_array_equal(images["pred"].get_fdata(), acquired.get_fdata() > 500)
    for value, axis in enumerate("xyz", 1):  # each slice by its own RR
        for z, rr in enumerate(RR_MS):
            velocity = images[f"velocity_{axis}"].get_fdata()[:, :, z]
            # Along the axis all slices were seen before: one of them is bright.
            np.testing.assert_allclose(velocity, (10 if axis == "z" else value) * 1000 / rr, atol=1e-3)
    said = capsys.readouterr().out
    assert "15 frames (x 3) of 2 slice(s) x 5 frames" in said
    assert "left ventricle found in 1 slice(s). Not for diagnosis." in said


@pytest.mark.integration
def test_a_stack_becomes_what_the_bundle_makes_of_it(bundle: Path, source: Path, tmp_path: Path) -> None:
    out = infer(str(source), str(tmp_path / "out"), upsampling_factor=2, bundle=str(bundle))
    config = str(bundle / "configs" / "inference.json")
    settings = {"dataset_dir": str(source), "output_dir": str(tmp_path / "bundle"), "upsampling_factor": 2}
    run(run_id="inference", config_file=config, bundle_root=str(bundle), **settings)
    for key in OUTPUTS:
        made, stock = (nib.load(folder / f"heart_{key}.nii.gz") for folder in (out, tmp_path / "bundle"))
        np.testing.assert_allclose(made.get_fdata(), stock.get_fdata(), atol=2e-3, err_msg=key)


def test_slices_of_a_stack_come_back_to_the_processor() -> None:
    content = {
        "dataset": [{"image": torch.full((3, 4, 4, 1), float(z))} for z in range(3)],
        "slice_by_slice": lambda image, network: network(image),
        "in_stack": lambda network, pred: pred + pred.sum(-1, keepdim=True),
    }
    parser = ConfigParser(content)
    inferer = StackInferer(parser)
    for z in range(3):
        given = torch.empty(1, 3, 4, 4, 1, device="meta")  # as if on an accelerator
        found = inferer(given, nn.Identity())
        assert found.device.type == "cpu"
        assert (found == z + 3).all()


def test_auto_aims_at_fifty_frames() -> None:
    assert {t: frame_factor("auto", t) for t in (3, 9, 20, 25, 30, 50, 80)} == {
        3: 17, 9: 6, 20: 2, 25: 2, 30: 2, 50: 1, 80: 1
    }  # fmt: skip
    assert frame_factor("4", 20) == 4


@pytest.mark.parametrize("value", [0, -1, "many", 1.5])
def test_other_factors_are_refused(value: object) -> None:
    with pytest.raises(
        CineError, match=r"argument upsampling_factor: found .*, expected auto or a whole number from 1"
    ):
        frame_factor(value, 20)  # type: ignore[arg-type]


def test_bad_arguments_leave_nothing_behind(bundle: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments, message in (
        ({"engine": "tensorrt"}, "argument engine: found 'tensorrt', expected torch or onnx"),
        ({"engine": "onnx"}, r"model.onnx: no such file; make it with: python -m scripts export"),
        ({"upsampling_factor": 0}, "argument upsampling_factor"),
        ({"rr_ms": 3}, "argument rr_ms"),
    ):
        with pytest.raises(CineError, match=message):
            infer(str(source), str(out), bundle=str(bundle), **arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


@pytest.mark.parametrize("names", [("image", "fractions", "cyclic"), ("image",)])
@pytest.mark.parametrize("optional", [False, True])
def test_onnx_gets_the_inputs_it_names(names: tuple[str, ...], optional: bool, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    shapes = {"image": (1, ["n", "t", "x", "y"]), "fractions": (1, ["f"]), "cyclic": (7, [1])}
    inputs = [onnx.helper.make_tensor_value_info(name, *shapes[name]) for name in names]
    output = onnx.helper.make_tensor_value_info("pred", 1, None)
    nodes = [onnx.helper.make_node("Identity", ["image"], ["pred"])]
    if "fractions" in names:
        nodes = [
            onnx.helper.make_node("ReduceSum", ["fractions"], ["sum"], keepdims=0),
            onnx.helper.make_node("Cast", ["cyclic"], ["float"], to=1),
            onnx.helper.make_node("Add", ["sum", "float"], ["both"]),
            onnx.helper.make_node("Add", ["image", "both"], ["pred"]),
        ]
    defaults = {"fractions": np.zeros(6, np.float32), "cyclic": np.ones(1, np.int64)} if optional else {}
    defaults = [onnx.numpy_helper.from_array(value, name) for name, value in defaults.items() if name in names]
    graph = onnx.helper.make_graph(nodes, "toy", inputs, [output], defaults)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    network = OnnxNetwork(tmp_path / "model.onnx")
    network.upsampling_factor, network.cyclic = 4, 0
    image = torch.rand(1, 3, 4, 5, 2)
    torch.testing.assert_close(network(image), image + (1.5 if "fractions" in names else 0))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_stops_it_finds_no_part_of_a_result(
    number: signal.Signals, bundle: Path, source: Path, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results" / "out"
    command = [sys.executable, "-m", "scripts", "infer", str(source), str(out), "--bundle", str(bundle)]
    # As from a terminal: what runs in the background, as these tests may, is started with Ctrl-C ignored.
    process = subprocess.Popen(
        command, cwd=root, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    )
    while not list(out.parent.glob(".out-*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.communicate(timeout=60)[1].splitlines()[-1] == "error: interrupted"
    # To a shell both are 130: Python ends by the signal if a string that MONAI evaluates was interrupted.
    assert process.returncode in (130, -signal.SIGINT)
    assert not out.parent.exists()
