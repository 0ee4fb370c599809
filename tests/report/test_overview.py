"""Signs of the drawn velocities, the two moments, and a picture with and without a ventricle."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from scripts.assessment import cylindrical
from scripts.report.overview import global_curves, key_moments, overview

SPACING = (1.0, 2.0)


@pytest.fixture
def label() -> np.ndarray:
    """A ring of 10 to 16 mm about (30, 30) mm, shape (60, 30, 4)."""
    x, y = np.indices((60, 30)) * np.array(SPACING)[:, None, None]
    distance = np.hypot(x - 30, y - 30)
    ring = np.where(distance < 10, 2, np.where(distance < 16, 1, 0)).astype(np.uint8)
    return np.repeat(ring[..., None], 4, -1)


def offsets(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.indices(label.shape[:2]) * np.array(SPACING)[:, None, None]
    dx, dy = x - 30, y - 30
    distance = np.maximum(np.hypot(dx, dy), 1e-6)
    return (dx / distance)[..., None], (dy / distance)[..., None]


def turned(label: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    return cylindrical(np.moveaxis(label, 2, 0), np.moveaxis(velocity, 3, 1), SPACING)


@pytest.mark.parametrize(
    ("component", "direction"),
    [(0, lambda dx, dy: (-dx, -dy, 0)), (1, lambda dx, dy: (dy, -dx, 0)), (2, lambda dx, dy: (0, 0, 1))],
    ids=["inward", "counter-clockwise", "to the apex"],
)
def test_signs_of_unit_motion(component: int, direction, label: np.ndarray) -> None:
    velocity = np.stack([np.broadcast_to(v, label.shape) for v in direction(*offsets(label))]).astype(float)
    velocity[:2] += np.array([5.0, -3.0])[:, None, None, None]  # bulk motion, to be removed
    found = global_curves(turned(label, velocity))
    np.testing.assert_allclose(found, np.eye(3)[component][:, None] * np.ones((3, 4)), atol=1e-2)


def test_a_frame_without_wall_has_no_curve(label: np.ndarray) -> None:
    label[..., 1] = 0
    found = global_curves(turned(label, np.ones((3, *label.shape))))
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, [0, 2, 3]]).all()


def test_moments_around_the_end_of_the_cycle() -> None:
    radial = np.array([0, 3, 1, -4, 0, -5, 0, 0.0])  # a strong atrial wave at 5, in the last part of the cycle
    assert key_moments(radial) == (1, 3)
    for shift in range(8):
        assert key_moments(np.roll(radial, shift)) == ((1 + shift) % 8, (3 + shift) % 8)


def test_pictures(label: np.ndarray, tmp_path: Path) -> None:
    cine = np.random.default_rng(0).uniform(0, 100, label.shape)
    velocity = np.random.default_rng(1).normal(size=(3, *label.shape))
    found = plt.imread(overview(tmp_path / "a.png", cine, label, velocity, SPACING, 20.0, "no formula: a$b_{$c"))
    none = plt.imread(overview(tmp_path / "b.png", cine, label * 0, velocity, SPACING, 20.0, "heart"))
    assert found.shape == none.shape
    assert found.std() > 0.05
    assert (found != none).any()
