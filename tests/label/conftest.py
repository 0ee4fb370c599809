"""A server that is started as the how-to says, and cines that nobody trained on."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess]

RR_S = 0.8


def oblique(spacing: tuple[float, float, float]) -> np.ndarray:
    """Short-axis planes seen from the apex, base first; (4, 4), RAS, mm."""
    to_base = np.array([1.0, -1.0, 1.0]) / np.sqrt(3)
    x = np.cross(to_base, [0.1, 0.2, 0.9])
    x /= np.linalg.norm(x)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([x, np.cross(to_base, x), -to_base], axis=1) * spacing
    affine[:3, 3] = -40, 30, 12
    return affine


def write_cine(path: Path, shape: tuple[int, ...], spacing: tuple[float, float, float]) -> Path:
    """A bright disc, off the centre, that shrinks and grows; (X, Y, T) or (X, Y, Z, T), whole numbers."""
    x = (np.arange(shape[0]) - 0.4 * shape[0])[:, None, None] * spacing[0]
    y = (np.arange(shape[1]) - 0.55 * shape[1])[None, :, None] * spacing[1]
    radius = 20 - 4 * np.sin(np.pi * np.arange(shape[-1]) / shape[-1])
    disc = 30 + 370 / (1 + np.exp((np.hypot(x, y) - radius) / 1.5))
    if len(shape) == 4:
        disc = disc[:, :, None] * np.linspace(1, 0.8, shape[2])[:, None]
    image = nib.Nifti1Image(np.rint(disc).astype(np.int16), oblique(spacing))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = RR_S / shape[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


@pytest.fixture(scope="session")
def command(root: Path) -> Run:
    """Runs a module with the main environment's Python, from the root of the repository."""
    python = root / ".venv" / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"{python} is absent: make env")

    def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [python, "-m", *map(str, arguments)], cwd=root, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def ventricle(command: Run, tmp_path_factory: pytest.TempPathFactory) -> nib.Nifti1Image:
    """A simulated heart of six frames, cut to what surrounds it, (X, Y, Z, T): one that the network finds."""
    folder = tmp_path_factory.mktemp("phantom")
    command("scripts", "phantom", folder, "--seed", 7, "--frames", 18, "--factor", 3)
    image = nib.load(folder / "phantom-0007.nii.gz")
    low, high = (np.array(image.shape[:2]) - 96) // 2, (np.array(image.shape[:2]) + 96) // 2
    return image.slicer[low[0] : high[0], low[1] : high[1]]


@pytest.fixture(scope="session")
def cines(ventricle: nib.Nifti1Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slices of a heart, a single slice, and slices that get corrected; sizes, spacings, frame counts differ."""
    folder = tmp_path_factory.mktemp("cines")
    nib.save(ventricle.slicer[:, :, :2], folder / "heart.nii.gz")
    write_cine(folder / "single.nii.gz", (71, 58, 5), (1.1, 1.4, 6.0))
    write_cine(folder / "reviewed.nii.gz", (56, 60, 2, 4), (1.5, 1.5, 8.0))
    return folder


@pytest.fixture(scope="session")
def studies(cines: Path, command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `label prepare` makes of the cines."""
    folder = tmp_path_factory.mktemp("label") / "studies"
    command("scripts", "label", "prepare", *sorted(cines.iterdir()), folder)
    return folder


@pytest.fixture(scope="session")
def server(studies: Path, root: Path, command: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that `label serve` started; it is stopped by its pid, and its port is free again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [root / ".venv/bin/python", "-m", "scripts", "label", "serve", str(studies), "--port", str(port)],
            cwd=root,
            stdout=output,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url, log)
        yield url
    finally:
        process.terminate()
        process.wait(120)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server still listens"


def _wait(process: subprocess.Popen, url: str, log: Path) -> None:
    """Wait until the server answers; fail with its log if it ends or takes fifteen minutes (a machine at work)."""
    for _ in range(900):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{url}/info/", timeout=5).read()
            return
        except OSError:
            time.sleep(1)
    pytest.fail(f"no server (exit code {process.poll()}):\n{log.read_text()[-5000:]}")


@pytest.fixture(scope="session")
def patient(shared_data: Path, command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The heart in a middle slice of a real patient's cine: DICOM in, (X, Y, 1, T) NIfTI out."""
    source = shared_data / "sunnybrook" / "cine" / "SCD0000201"
    if not source.is_dir():
        pytest.skip(f"{source} is absent")
    folder = tmp_path_factory.mktemp("patient")
    command("scripts", "convert", source, folder / "study")
    (path,) = (folder / "study").glob("*.nii.gz")
    stack = nib.load(path)
    middle = stack.slicer[64:-64, 64:-64, stack.shape[2] // 2 : stack.shape[2] // 2 + 1]
    nib.save(middle, folder / "patient.nii.gz")
    shutil.rmtree(folder / "study")
    return folder / "patient.nii.gz"
