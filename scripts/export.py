"""Makes ``model.ts`` and ``model.onnx`` of ``model.pt``, and refuses to leave them unless all three agree."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from monai.bundle import ckpt_export
from torch import Tensor, nn
from torch.export import Dim

from .networks import BLOCKS, HDLNet
from .phantom.cine import image_cines

TOLERANCE = 1e-4
"""Largest difference between engines: of the magnitude relative to the brightest pixel, of all else absolute."""

SIZE_LIMIT = 10 * 1024**2
"""Bytes that a model file may have: it lives in git."""

CASES = (
    # batch, frames, X, Y, upsampling factor, cyclic; none is what the ONNX graph was exported with
    (1, 3, 32, 32, 6, 1),
    (2, 5, 45, 32, 2, 1),
    (1, 14, 33, 50, 1, 0),
    (3, 4, 48, 64, 4, 0),
)


HEARTS = (1, 2, 5)
"""Seeds of simulated slices: unlike noise they hold a ventricle, and places where none is probable at all."""


class ExportError(ValueError):
    """An exported model that must not be used; the message says which engine, on what input, and by how much."""


class _Graph(nn.Module):
    """HDLNet with its settings as inputs, since an ONNX graph has no attributes to set."""

    def __init__(self, network: HDLNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, fractions: Tensor, cyclic: Tensor) -> Tensor:
        return self.network.synthesise(image, [fractions], cyclic)


def export(bundle: str = "bundle") -> str:
    """Exports ``models/model.pt`` of a bundle to TorchScript and ONNX, then compares the three engines.

    ``model.ts`` holds the configs, so that MONAI Deploy needs nothing else. It is the same byte by byte each time if
    ``PYTHONHASHSEED=0`` is set before Python starts, as ``make export`` does.

    Args:
        bundle: folder of the bundle.

    Returns:
        What was written, in words.

    Raises:
        FileNotFoundError: if there is no ``model.pt``.
        ExportError: if an engine differs by more than ``TOLERANCE`` or a file is larger than ``SIZE_LIMIT``.
    """
    root = Path(bundle)
    checkpoint = root / "models" / "model.pt"
    if not checkpoint.is_file():
        raise FileNotFoundError(f"{checkpoint}: no such file; train first (make train)")
    network = HDLNet().eval()
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))

    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        # TorchScript is deprecated from torch 2.13 on, but it is what MONAI Label and Deploy load.
        warnings.simplefilter("ignore", DeprecationWarning)
        keep, tempfile.tempdir = tempfile.tempdir, scratch  # torch leaves a stray file behind with each export
        made = Path(scratch, "model.ts"), Path(scratch, "model.onnx")
        try:
            export_torchscript(root, made[0])
            export_onnx(network, made[1])
        finally:
            tempfile.tempdir = keep
        largest = compare_engines(network, *made)
        for path in (checkpoint, *made):
            if path.stat().st_size > SIZE_LIMIT:
                raise ExportError(f"{path.name}: found {path.stat().st_size / 1024**2:.1f} MB, expected at most 10")
        scripted, graph = (Path(shutil.copy(path, checkpoint.parent)) for path in made)
    return f"{scripted} and {graph} agree with {checkpoint} within {largest:.0e} (allowed: {TOLERANCE:.0e})"


def export_torchscript(bundle: Path, path: Path) -> None:
    """Scripts the network of a bundle and saves it with its configs.

    Args:
        bundle: folder of the bundle, with ``configs`` and ``models/model.pt``.
        path: file to write. Its stem becomes the root of the archive: export straight to ``model.ts``.
    """
    configs = bundle / "configs"
    ckpt_export(
        net_id="network_def",
        filepath=str(path),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(configs / "metadata.json"),
        config_file=[str(configs / "inference.json"), str(configs / "export.json")],
    )


def export_onnx(network: HDLNet, path: Path) -> None:
    """Writes the graph as one ONNX file with dynamic batch, time, height and width.

    Inputs: ``image`` float32 [N, T, X, Y]; ``fractions`` float32 [F], the times within a gap, ``i / F``; ``cyclic``
    int64 [1]. The last two have defaults (F = 6, cyclic): a session may be fed ``image`` alone. Output: ``pred``
    float32 [N, 8 * T * F, X, Y].

    Args:
        network: the network, in evaluation mode.
        path: file to write.
    """
    defaults = {
        "fractions": torch.arange(network.upsampling_factor) / network.upsampling_factor,
        "cyclic": torch.tensor([network.cyclic]),
    }
    image = torch.rand(2, 8, 64, 40)
    program = torch.onnx.export(
        _Graph(network).eval(),
        (image, *defaults.values()),
        dynamo=True,
        input_names=["image", *defaults],
        output_names=["pred"],
        dynamic_shapes={
            "image": {0: Dim("batch"), 1: Dim("frames"), 2: Dim("width"), 3: Dim("height")},
            "fractions": {0: Dim("factor")},
            "cyclic": None,
        },
        opset_version=20,
        external_data=False,
        verbose=False,
    )
    assert program is not None  # with dynamo=True
    model = program.model_proto
    # An initializer with the name of an input is that input's default (ONNX IR 4 and later).
    for name, value in defaults.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value.numpy(), name))
    onnx.checker.check_model(model, full_check=True)
    for node in (*model.graph.node, *(n for f in model.functions for n in f.node)):
        del node.metadata_props[:]  # stack traces with paths of the machine that exported
        node.ClearField("name")  # nothing refers to a node by name
    del model.graph.value_info[:]  # shapes between the layers, which follow from the inputs
    onnx.save(model, path)


def compare_engines(network: HDLNet, scripted: Path, graph: Path) -> float:
    """Runs the network in eager mode, in TorchScript and in ONNX Runtime on inputs of several shapes.

    Args:
        network: the network, in evaluation mode.
        scripted: ``model.ts``.
        graph: ``model.onnx``.

    Returns:
        Largest difference found: of the magnitude relative to the brightest pixel, of probabilities and velocities
        (cm/s) absolute.

    Raises:
        ExportError: if it exceeds ``TOLERANCE``.
    """
    script = torch.jit.load(scripted, map_location="cpu").eval()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every input with a default, which is what we want
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    settings = network.upsampling_factor, network.cyclic
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    try:
        noise = [(400 * torch.rand(case[:4], generator=generator), *case[4:]) for case in CASES]
        for image, factor, cyclic in (*noise, *((heart, 2, 1) for heart in _hearts())):
            batch, frames, width, height = image.shape
            for module in (network, script):
                module.upsampling_factor, module.cyclic = factor, cyclic
            with torch.inference_mode():
                expected = network(image).numpy()
                found = {"TorchScript": script(image).numpy()}
            feed = {"image": image.numpy()}
            if (factor, cyclic) != settings:  # else the defaults are what is tested
                feed["fractions"] = (np.arange(factor) / factor).astype(np.float32)
                feed["cyclic"] = np.array([cyclic])
            found["ONNX Runtime"] = session.run(["pred"], feed)[0]
            for engine, pred in found.items():
                difference = _difference(pred, expected, float(image.max()))
                if not difference <= TOLERANCE:  # so that NaN fails too
                    shape = f"{batch} x {frames} x {width} x {height}, F = {factor}, cyclic = {cyclic}"
                    raise ExportError(
                        f"{engine} differs from eager by {difference:.1e} on {shape}, allowed {TOLERANCE:.0e}"
                    )
                largest = max(largest, difference)
    finally:
        network.upsampling_factor, network.cyclic = settings
    return largest


def _hearts() -> list[Tensor]:
    """Cine [1, 5, 96, 96] of simulated slices, each as it is and with a spot that is far too bright, as flow may be."""
    plain = [image_cines(torch.Generator().manual_seed(seed), 1, 5, 96).magnitude for seed in HEARTS]
    spotted = [image.clone() for image in plain]
    for image in spotted:
        image *= 100 / image.mean()
        image[..., 20:25, 20:25] = 4095
    return plain + spotted


def _difference(pred: np.ndarray, expected: np.ndarray, brightest: float) -> float:
    """Largest difference of two outputs [N, 8 * T * F, X, Y], the magnitude's in units of ``brightest``."""
    if pred.shape != expected.shape:
        return float("inf")
    apart = np.abs(pred - expected)
    frames = pred.shape[1] // BLOCKS
    apart[:, :frames] /= brightest
    return float(apart.max())
