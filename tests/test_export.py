"""Eager, TorchScript and ONNX Runtime are one network."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from scripts import export
from scripts.networks import HDLNet

from .integration.conftest import real_bundle  # noqa: F401 (a fixture)


@pytest.fixture(scope="module")
def exported(real_bundle: Path) -> Path:  # noqa: F811
    """Models of a bundle, all three; ``model.onnx`` is made where the repository holds none."""
    models = real_bundle / "models"
    if not (models / "model.onnx").is_file():
        export.export_onnx(load(models), models / "model.onnx")
    return models


def load(models: Path) -> HDLNet:
    network = HDLNet().eval()
    network.load_state_dict(torch.load(models / "model.pt", weights_only=True))
    return network


def test_three_engines_agree_on_other_sizes_frames_batches_and_factors(exported: Path) -> None:
    assert export.compare_engines(load(exported), exported / "model.ts", exported / "model.onnx") <= export.TOLERANCE


def test_a_difference_between_engines_is_refused(exported: Path) -> None:
    network = load(exported)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.01)
    with pytest.raises(export.ExportError, match="TorchScript differs from eager"):
        export.compare_engines(network, exported / "model.ts", exported / "model.onnx")


def test_onnx_names_its_tensors_and_needs_only_the_image(exported: Path) -> None:
    model = onnx.load(exported / "model.onnx")
    assert [tensor.name for tensor in model.graph.input] == ["image", "fractions", "cyclic"]
    assert [tensor.name for tensor in model.graph.output] == ["pred"]
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    image = np.random.default_rng(0).random((1, 4, 32, 40), np.float32)
    (pred,) = session.run(None, {"image": image})
    assert pred.shape == (1, 8 * 4 * 6, 32, 40)
    np.testing.assert_array_equal(pred[:, :24:6], image)


def test_torchscript_holds_the_configs_and_takes_the_checkpoint(exported: Path) -> None:
    files = {"metadata.json": "", "inference.json": ""}
    script = torch.jit.load(exported / "model.ts", _extra_files=files)
    assert json.loads(files["metadata.json"])["name"] == "hdl_mvm"
    assert "preprocessing" in json.loads(files["inference.json"])
    # MONAI Label loads model.pt into it without being strict: a mismatch would mean random weights.
    script.load_state_dict(torch.load(exported / "model.pt", weights_only=True), strict=True)


def test_a_model_file_that_git_must_not_hold_is_refused_and_the_old_ones_stay(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(exported.parent, tmp_path / "bundle")
    old = [tmp_path / "bundle" / "models" / name for name in ("model.ts", "model.onnx")]
    for path in old:
        path.write_bytes(b"old")
    monkeypatch.setattr(export, "export_onnx", lambda network, path: None)
    monkeypatch.setattr(export, "compare_engines", lambda *_: 0.0)
    monkeypatch.setattr(export, "SIZE_LIMIT", 1000)
    with pytest.raises(export.ExportError, match=r"model\.pt: found .* MB"):
        export.export(str(tmp_path / "bundle"))
    assert [path.read_bytes() for path in old] == [b"old", b"old"]


def test_export_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pt"):
        export.export(str(tmp_path))
