"""A small cine as scanners send it, seen from either side; a validator."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scripts.cine.study import Study
from scripts.cine.write_dicom import write_dicom_series
from scripts.deploy.objects import Algorithm
from scripts.deploy.source import Source
from tests.cine.conftest import oblique_affine

ALGORITHM = Algorithm("1.2.3", "0123456789abcdef")
SHAPE = (40, 36, 3, 5)
RR_MS = np.array([800.0, 850.0, 900.0])
VIEWS = ("ge", "siemens", "enhanced", "ge mirrored", "siemens mirrored", "ge from apex")


def write_view(view: str, folder: Path, cyclic: bool = True) -> Study:
    """Write an oblique, anisotropic cine (1.25 x 1.5 x 8 mm); return the study that should be read."""
    pixels = np.random.default_rng(5).integers(1, 1200, SHAPE).astype(np.float32)
    times = RR_MS[:, None] * np.arange(SHAPE[3]) / SHAPE[3] * (1.0 if cyclic else 0.6) + 10
    study = Study.arranged(pixels, oblique_affine(), RR_MS, times, cyclic=cyclic)
    style, *changes = view.split()
    affine = study.affine.copy()
    if changes == ["mirrored"]:
        affine[:3, 3] += (SHAPE[0] - 1) * affine[:3, 0]
        affine[:3, 0] *= -1
        pixels = pixels[::-1]
    rr = RR_MS
    if changes == ["from", "apex"]:
        affine[:3, 3] += (SHAPE[2] - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
        pixels, rr, times = pixels[:, :, ::-1], rr[::-1], times[::-1]
    write_dicom_series(folder, pixels, affine, rr, times, style)  # type: ignore[arg-type]
    return study


@pytest.fixture(params=VIEWS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """The cine as read, in each style and view."""
    write_view(request.param, tmp_path / "dicom")
    return Source.read(tmp_path / "dicom")


@pytest.fixture
def labels() -> np.ndarray:
    """Labels of two frames for each acquired one, shape (T 2, X, Y, Z): an off-centre ring that shrinks."""
    x, y = np.meshgrid(np.arange(SHAPE[0]) - 15, np.arange(SHAPE[1]) - 21, indexing="ij")
    radius = np.hypot(1.25 * x, 1.5 * y)[None, ..., None]
    size = 6 + 3 * np.cos(np.linspace(0, 2 * np.pi, 2 * SHAPE[3], endpoint=False))[:, None, None, None]
    level = np.array([1.0, 0.8, 0.0])  # no ventricle in the last slice
    return ((radius < (size + 5) * level).astype(np.uint8) + (radius < size * level)).astype(np.uint8)


@pytest.fixture
def assert_valid(root: Path) -> Callable[..., None]:
    """Checks one file with dciodvfy; skips where it is not installed.

    UIDs of the source that are illegal (Sunnybrook's have leading zeros) must stay as they are: they are told apart.
    """
    beside = root / ".venv-deploy" / "bin" / "dciodvfy"
    program = str(beside) if beside.is_file() else shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is absent (make deploy-env, or Debian's dicom3tools)")

    def check(path: Path, inherited: frozenset[str] = frozenset()) -> None:
        said = subprocess.run([program, str(path)], capture_output=True, text=True).stderr
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        ours = [line for line in errors if not any(f"<{uid}>" in line for uid in inherited)]
        if len(ours) < len(errors):  # then the validator's closing line is about these
            ours = [line for line in ours if "contains invalid data values for Value Rep" not in line]
        assert not ours, said

    return check
