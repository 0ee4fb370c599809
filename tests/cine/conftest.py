"""A small oblique cine with known geometry, and DICOM folders made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scripts.cine.study import Study
from scripts.cine.write_dicom import write_dicom_series

RR_MS = 800.0
FRAMES = 8


def oblique_affine(slices: int = 3) -> np.ndarray:
    """Short-axis planes seen from the apex, base first: X x Y points right, back and up, Z the other way. RAS, mm."""
    towards_base = np.array([0.65, -0.65, 0.4])
    towards_base /= np.linalg.norm(towards_base)
    x = np.cross([0.2, 0.1, 1.0], towards_base)
    x /= np.linalg.norm(x)
    y = np.cross(towards_base, x)
    affine = np.eye(4)
    affine[:3] = np.column_stack([1.25 * x, 1.5 * y, -8 * towards_base, [-40.0, 25.5, 60.25]])
    return affine


@pytest.fixture
def study() -> Study:
    """3 slices of 8 frames, 20 x 24 pixels, whole numbers."""
    pixels = np.random.default_rng(7).integers(0, 1200, (20, 24, 3, FRAMES)).astype(np.float32)
    return Study.arranged(pixels, oblique_affine(), RR_MS)


@pytest.fixture
def write(study: Study, tmp_path: Path) -> Callable[..., Path]:
    """Write the study as DICOM; keyword arguments as of `write_dicom_series`. Returns the folder."""

    def write_folder(name: str = "dicom", **changes: Any) -> Path:
        arguments: dict[str, Any] = {
            "pixels": study.magnitude,
            "affine": study.affine,
            "rr_ms": study.rr_ms,
            "frame_times_ms": study.frame_times_ms,
            "style": "ge",
        }
        write_dicom_series(tmp_path / name, **{**arguments, **changes})
        return tmp_path / name

    return write_folder


def edit(folder: Path, change: Callable[[pydicom.Dataset], Any], pattern: str = "*.dcm") -> list[Path]:
    """Change every DICOM file of a folder in place."""
    paths = sorted(folder.rglob(pattern))
    for path in paths:
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)
    return paths
