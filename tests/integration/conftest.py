"""Bundles to run: the real one, and one whose network can be worked out by hand."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from numpy.typing import NDArray

from scripts.export import export_torchscript
from scripts.networks import HDLNet

from .stand_in import StandIn


@pytest.fixture(scope="session")
def real_bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundle, with untrained weights where the repository holds none."""
    bundle = tmp_path_factory.mktemp("real") / "bundle"
    shutil.copytree(root / "bundle", bundle)
    checkpoint = bundle / "models" / "model.pt"
    if not checkpoint.is_file():
        checkpoint.parent.mkdir(exist_ok=True)
        torch.manual_seed(0)
        torch.save(HDLNet().state_dict(), checkpoint)
        export_torchscript(bundle, checkpoint.with_suffix(".ts"))
    return bundle


@pytest.fixture(scope="session")
def stand_in_bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's configs around the stand-in network."""
    bundle = tmp_path_factory.mktemp("stand_in") / "bundle"
    shutil.copytree(root / "bundle" / "configs", bundle / "configs")
    (bundle / "models").mkdir()
    torch.jit.script(StandIn()).save(bundle / "models" / "model.ts")
    return bundle


@pytest.fixture
def run(stand_in_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs inference (or what overlays add to it) with the stand-in network, in this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))  # MONAI adds the bundle to it

    def run(data: Path, out: Path, overlay: str = "", **settings: Any) -> None:
        names = ["inference.json", overlay] if overlay else ["inference.json"]
        workflow = ConfigWorkflow(
            config_file=[str(stand_in_bundle / "configs" / name) for name in names],
            logging_file=False,
            workflow_type="infer",
            dataset_dir=str(data),
            output_dir=str(out),
            **settings,
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()

    return run


def frame(spacing: tuple[float, float, float] = (1.5, 1.5, 8.0), mirrored: bool = False) -> NDArray[np.float64]:
    """An oblique short-axis affine (4, 4), RAS mm; X x Y points to the right, back and head unless mirrored."""
    normal = np.array([1.0, -1.0, 1.0]) / np.sqrt(3)
    along_x = np.cross(normal, [0.1, 0.2, 0.9])
    along_x /= np.linalg.norm(along_x)
    axes = np.stack([along_x, np.cross(normal, along_x), -normal], axis=1)
    if mirrored:
        axes[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = -40, 30, 12
    return affine


def beating_disc(shape: tuple[int, ...], spacing: tuple[float, ...] = (1.5, 1.5)) -> NDArray[np.float32]:
    """A bright disc, off the centre, that shrinks and grows in a dark field; (X, Y, T) or (X, Y, Z, T), integers."""
    width, height, frames = shape[0], shape[1], shape[-1]
    x = (np.arange(width) - 0.4 * width)[:, None, None] * spacing[0]
    y = (np.arange(height) - 0.55 * height)[None, :, None] * spacing[1]
    radius = 14 - 3 * np.sin(np.pi * np.arange(frames) / frames)
    disc = 30 + 370 / (1 + np.exp((np.hypot(x, y) - radius) / 1.5))
    if len(shape) == 4:
        disc = disc[:, :, None] * np.linspace(1, 0.8, shape[2])[:, None]
    return np.rint(disc).astype(np.float32)


def write(
    path: Path,
    pixels: NDArray,
    step: float = 0.2,
    unit: str = "sec",
    affine: NDArray | None = None,
) -> Path:
    """Writes a cine whose header says ``step`` (in ``unit``) from frame to frame."""
    image = nibabel.Nifti1Image(pixels.astype(np.float32), frame() if affine is None else affine)
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = step
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def read(path: Path) -> NDArray[np.float64]:
    """Pixels of a NIfTI file."""
    return nibabel.load(path).get_fdata()
