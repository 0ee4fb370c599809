"""One command for people: a cine goes in; frames, labels, velocities and a picture come out."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.utils import convert_to_dst_type
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from .cine.convert import read_study, study_name, summary
from .cine.folder import whole_folder
from .cine.nifti import write_nifti, write_slice, write_study
from .cine.study import CineError, Study
from .report.overview import overview

BUNDLE = Path(__file__).resolve().parents[1] / "bundle"
#: Frames a cycle that "auto" aims at: 15 to 20 ms a frame, as good velocity mapping has it.
AUTO_FRAMES = 50
ENGINES = {"torch": "model.ts", "onnx": "model.onnx"}
VELOCITIES = ("velocity_x", "velocity_y", "velocity_z")
OUTPUTS = ("cine", "label", *VELOCITIES, "pred")


def infer(
    source: str,
    out: str,
    upsampling_factor: str | int = "auto",
    engine: str = "torch",
    series: str | int | None = None,
    rr_ms: float | None = None,
    bundle: str | None = None,
) -> Path:
    """Make velocity maps of a cine: the bundle's own inference, each slice with its own RR.

    Writes into OUT the study (NAME.nii.gz, study.json) and, on its grid (slices from base to apex, viewed from the
    apex), shape (X, Y, Z, T F): NAME_cine, NAME_label (0, 1 myocardium, 2 blood pool), NAME_velocity_x, _y, _z (cm/s:
    along the image axes +X, +Y, and from base to apex); NAME_pred, the labels on the T acquired frames; and
    overview.png.

    Args:
        source: DICOM folder or file, NIfTI file, or study folder.
        out: Folder to write. It appears when it is complete; an earlier result there is replaced.
        upsampling_factor: F, frames made of each acquired one; auto brings the cine to about 50 frames.
        engine: torch (model.ts) or onnx (model.onnx).
        series: Which cine, if a DICOM folder holds several: a number from the list then printed, or a
            SeriesInstanceUID.
        rr_ms: RR interval in ms, if the source does not state it.
        bundle: Another bundle folder than this repository's.

    Returns:
        The folder written.

    Raises:
        CineError: If the source is no cine that can be used, or an argument is wrong.
    """
    root = BUNDLE if bundle is None else Path(bundle)
    if engine not in ENGINES:
        raise CineError(f"argument engine: found {engine!r}, expected {' or '.join(ENGINES)}")
    for path in (root / "models" / ENGINES[name] for name in (engine, "torch")):  # what a stack says is in model.ts
        if not path.is_file():
            raise CineError(f"{path}: no such file; make it with: python -m scripts export")
    with whole_folder(out, source) as work:
        study = read_study(source, series, rr_ms)
        factor = frame_factor(upsampling_factor, study.shape[3])
        name = study_name(source, out)
        write_study(study, work, name)
        with tempfile.TemporaryDirectory(prefix="hdl_mvm-") as folder:
            results = run_bundle(study, Path(folder), root, engine, factor)
            for key in OUTPUTS:
                step = float(study.frame_duration_ms.mean()) / (1 if key == "pred" else factor)
                # 16 bits hold a velocity to a thousandth of a cm/s, in half the space.
                dtype = np.int16 if key in VELOCITIES else None
                path, pixels = work / f"{name}_{key}.nii.gz", stacked(results, key)
                write_nifti(path, pixels, study.affine, step, dtype, study.orientation_known)
            found = _draw(work / "overview.png", study, results, factor, name)
    for note in study.notes:
        print(f"Note: {note}")
    print(
        f"{out}: wrote {name}_({', '.join(OUTPUTS)}).nii.gz, overview.png: {study.shape[3] * factor} frames (x "
        f"{factor}) of "
        f"{summary(study)}; left ventricle found in {found} slice(s). Not for diagnosis."
    )
    return Path(out)


def frame_factor(upsampling_factor: str | int, frames: int) -> int:
    """F: the one given, or with "auto" the one that brings `frames` closest to 50 (of two, the smaller).

    Raises:
        CineError: If it is neither "auto" nor a whole number of at least 1.
    """
    if upsampling_factor == "auto":
        return min(range(1, AUTO_FRAMES + 1), key=lambda factor: abs(frames * factor - AUTO_FRAMES))
    if not str(upsampling_factor).isdigit() or int(upsampling_factor) < 1:
        raise CineError(
            f"argument upsampling_factor: found {upsampling_factor!r}, expected auto or a whole number from 1"
        )
    return int(upsampling_factor)


class OnnxNetwork(nn.Module):
    """The exported graph behind the interface of the scripted network.

    Args:
        path: model.onnx.

    Attributes:
        upsampling_factor: F, as of the scripted network.
        cyclic: 1 or 0, as of the scripted network.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        import onnxruntime  # slow to load, and only this engine needs it

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # else it warns that the defaults of the optional inputs are no constants
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        nodes = [*self.session.get_inputs(), *self.session.get_overridable_initializers()]  # required, optional inputs
        self.inputs = {node.name: node for node in nodes}
        self.scripted = Path(path).with_name(ENGINES["torch"])
        self.upsampling_factor = 6
        self.cyclic = 1

    def in_stack(self, pred: Tensor) -> Tensor:
        """Correct a stack as the scripted network does: the graph knows slices alone."""
        return torch.jit.load(str(self.scripted), map_location=pred.device).in_stack(pred)

    def forward(self, image: Tensor) -> Tensor:
        """Run the graph: [N, T, X, Y] or [N, T, X, Y, Z] in, [N, 8 T F, X, Y(, Z)] out, each slice by itself."""
        if image.ndim == 5:
            return torch.stack([self(image[..., z]) for z in range(image.shape[4])], dim=-1)
        feeds: dict[str, NDArray] = {"image": image.cpu().numpy().astype(np.float32)}
        if "fractions" in self.inputs:
            feeds["fractions"] = np.arange(self.upsampling_factor, dtype=np.float32) / np.float32(
                self.upsampling_factor
            )
        if "cyclic" in self.inputs:
            feeds["cyclic"] = np.full(len(self.inputs["cyclic"].shape) * (1,), self.cyclic, np.int64)
        return torch.from_numpy(self.session.run(["pred"], feeds)[0]).to(image.device)


class StackInferer:
    """Gives slice after slice, once, of a stack that the network has seen as a whole.

    It holds pred of the whole stack, 32 bytes a pixel (of 1.5 mm) and frame; what the rest of inference.json makes of
    it, several times as much, it then makes slice by slice.

    Args:
        parser: inference.json, with one file a slice as its dataset.
    """

    def __init__(self, parser: ConfigParser) -> None:
        self.parser = parser
        self.slices: Iterator[Tensor] | None = None

    def __call__(self, inputs: Tensor, network: nn.Module) -> Tensor:
        """Return the next slice's pred; the first call makes all."""
        if self.slices is None:
            self.slices = iter(self._see(network).split(1, dim=-1))
        return convert_to_dst_type(next(self.slices), inputs, device="cpu")[0]

    def _see(self, network: nn.Module) -> Tensor:
        dataset = self.parser.get_parsed_content("dataset")
        slice_by_slice = self.parser.get_parsed_content("slice_by_slice")
        stack = torch.empty(0)
        for z, item in enumerate(tqdm(dataset, desc="Velocity maps", unit="slice", disable=None)):
            pred = slice_by_slice(item["image"][None], network)
            stack = stack if z else torch.empty(*pred.shape[:-1], len(dataset))
            stack[..., z] = pred[..., 0]
        return self.parser.get_parsed_content("in_stack")(network, stack)


def run_bundle(study: Study, folder: Path, root: Path, engine: str, factor: int) -> list[dict[str, Path]]:
    """Run inference.json on one (X, Y, T) file a slice; return each slice's outputs, from base to apex."""
    cines, outputs = folder / "cine", folder / "out"
    cines.mkdir()
    outputs.mkdir()
    slices = range(study.shape[2])
    for z in slices:
        write_slice(study, z, cines / f"{z:03d}.nii")
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    settings: dict[str, Any] = {
        "bundle_root": str(root),
        "dataset_dir": str(cines),
        "output_dir": str(outputs),
        "upsampling_factor": factor,
        "cyclic": int(study.cyclic),
        "handlers": [],  # a progress bar in place of a line a slice
        "slice_by_slice#progress": False,
        "inferer": StackInferer(parser),
    }
    if engine == "onnx":
        settings["network_def"] = OnnxNetwork(root / "models" / ENGINES["onnx"])
    parser.update(settings)
    for transform in parser["postprocessing#transforms"]:
        if transform["_target_"] == "SaveImaged":
            transform["output_ext"] = ".nii"  # read back in a moment: compressing would cost more than the network
    # MONAI's loader tells of a GPU decoder of DICOM that is absent; the files here are NIfTI.
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
    evaluator = parser.get_parsed_content("evaluator")
    with tqdm(total=study.shape[2], desc="Writing", unit="slice", disable=None) as bar:
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda: bar.update())
        parser.get_parsed_content("run")
    return [{key: outputs / f"{z:03d}_{key}.nii" for key in OUTPUTS} for z in slices]


def _read(path: Path) -> NDArray:
    return np.asanyarray(nib.load(path).dataobj)


def stacked(results: list[dict[str, Path]], key: str) -> NDArray:
    """One output of all slices, shape (X, Y, Z, T')."""
    first = _read(results[0][key])
    stack = np.empty(
        (*first.shape[:2], len(results), first.shape[2]), np.uint8 if key in ("label", "pred") else np.float32
    )
    for z, files in enumerate(results):
        stack[:, :, z] = _read(files[key])
    return stack


def _draw(path: Path, study: Study, results: list[dict[str, Path]], factor: int, name: str) -> int:
    """Draw the slice with the most myocardium (the middle one if there is none); return how many hold any."""
    areas = [int(np.count_nonzero(_read(files["label"]) == 1)) for files in results]
    z = int(np.argmax(areas)) if any(areas) else len(areas) // 2
    overview(
        path,
        _read(results[z]["cine"]),
        _read(results[z]["label"]),
        np.stack([_read(results[z][key]) for key in VELOCITIES]),
        study.spacing_mm[:2],
        float(study.frame_duration_ms[z]) / factor,
        f"{name}, slice {z + 1} of {len(areas)} from the base, RR {study.rr_ms[z]:.0f} ms",
    )
    return sum(area > 0 for area in areas)
