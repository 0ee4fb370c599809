"""Rings of myocardium that move in ways whose curves can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scripts.assessment import Maps

FRAMES, SIZE, RR_MS = 30, 64, 900.0
INNER_MM, OUTER_MM = 18.0, 28.0


def apex_view(spacing_mm: tuple[float, float, float]) -> np.ndarray:
    up = np.array([1.0, -1.0, 1.0]) / np.sqrt(3)
    x = np.cross([0.2, 0.1, 1.0], up)
    x /= np.linalg.norm(x)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([x, np.cross(up, x), -up]) * spacing_mm
    return affine


def wave(harmonic: int = 1, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * (harmonic * np.arange(FRAMES) / FRAMES + phase))


@pytest.fixture
def ring() -> Callable[..., Maps]:
    """Build maps of a ring of myocardium that stands still in the image while its velocity is any field."""

    def build(
        field: Callable[[np.ndarray, np.ndarray], tuple] = lambda dx, dy: (0.0, 0.0, 0.0),
        centre_mm: tuple[float, float] = (48.3, 47.1),
        spacing_mm: tuple[float, float, float] = (1.5, 1.5, 10.0),
        slices: int = 1,
        size: int = SIZE,
        **changes,
    ) -> Maps:
        x = (np.arange(size) * spacing_mm[0] - centre_mm[0])[:, None]
        y = (np.arange(size) * spacing_mm[1] - centre_mm[1])[None]
        radius = np.hypot(x, y)
        label = ((radius < OUTER_MM) * 1 + (radius < INNER_MM) * 1).astype(np.uint8)
        velocity = np.zeros((3, FRAMES, size, size, slices), np.float32)
        for z in range(slices):
            for component, values in enumerate(field(x, y) if slices == 1 else field(x, y, z)):
                velocity[component, ..., z] = (
                    np.asarray(values, float).reshape((-1, 1, 1)) if np.ndim(values) == 1 else values
                )
        labels = np.broadcast_to(label[None, ..., None], (FRAMES, size, size, slices)).copy()
        content = {
            "name": "ring",
            "magnitude": (np.array([0.1, 0.3, 1.0], np.float32)[labels] + 0.0),
            "labels": labels,
            "velocity": velocity,
            "acquired": np.ones(FRAMES, bool),
            "rr_ms": np.full(slices, RR_MS),
            "spacing_mm": spacing_mm,
            "affine": apex_view(spacing_mm),
            "kind": "measured",
            "frame_duration_ms": np.full(slices, RR_MS / FRAMES),
            "venc": (20.0, 20.0, 30.0),
        }
        return Maps(**{**content, **changes})

    return build
