"""Measured 3Dir MVM studies: scale, directions, venc from each vendor's tags, wrapping, background offset."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from scripts.cine.phase import background_offset, decode, unwrapped
from scripts.cine.study import CineError
from scripts.cine.velocity import corrected, read_measured
from scripts.cine.venc import encoding
from scripts.cine.write_dicom import write_dicom_series

from .conftest import FRAMES, RR_MS, oblique_affine

VENC = {"x": 20.0, "y": 25.0, "z": 30.0}
SHAPE = (20, 24, 3, FRAMES)


def phases() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    return {axis: generator.integers(0, 4096, SHAPE) for axis in VENC}


def velocity_of(raw: np.ndarray, venc: float) -> np.ndarray:
    return (raw / 4096 - 0.5) * 2 * venc


@pytest.fixture
def folder(tmp_path):
    def write(style="ge", affine=None):
        affine = oblique_affine() if affine is None else affine
        magnitude = np.random.default_rng(7).integers(0, 1200, SHAPE).astype(float)
        times = np.arange(FRAMES) * RR_MS / FRAMES
        write_dicom_series(tmp_path / "study", magnitude, affine, RR_MS, times, style)
        for number, (axis, raw) in enumerate(phases().items(), start=2):
            write_dicom_series(
                tmp_path / "study" / axis, velocity_of(raw, VENC[axis]), affine, RR_MS, times, style, "phase",
                VENC[axis], axis, f"phase {axis}", None, number * 100,
            )  # fmt: skip
        return tmp_path / "study"

    return write


@pytest.mark.parametrize("style", ["ge", "siemens", "enhanced"])
def test_dicom_gives_the_velocities_back_within_the_quantisation_step(folder, style):
    measured = read_measured(folder(style))
    assert measured.venc == (20.0, 25.0, 30.0)
    for axis, found in zip(VENC, measured.velocity, strict=True):
        assert np.abs(found - velocity_of(phases()[axis], VENC[axis])).max() < VENC[axis] / 4096


@pytest.mark.parametrize("style", ["siemens", "enhanced"])
def test_a_study_stored_mirrored_and_from_apex_to_base_shows_the_same_motion(folder, style):
    affine = oblique_affine()
    affine[:3, 0] *= -1  # viewed from the base
    affine[:3, 2] *= -1
    measured = read_measured(folder(style, affine))
    raw = velocity_of(phases()["x"], VENC["x"])
    assert np.allclose(measured.velocity[0], -raw[::-1, :, ::-1], atol=VENC["x"] / 4096)
    y = velocity_of(phases()["y"], VENC["y"])
    assert np.allclose(measured.velocity[1], y[::-1, :, ::-1], atol=VENC["y"] / 4096)


def test_the_order_of_the_series_and_the_venc_can_be_given(folder):
    measured = read_measured(folder("ge"), order="zxy", venc=(25.0, 30.0, 20.0))
    assert np.allclose(measured.velocity[2], velocity_of(phases()["x"], 20.0), atol=0.01)
    assert "argument venc" in measured.sources["venc_cm_s"]
    assert "zxy" in measured.sources["directions"]


def test_swap_and_flip(folder):
    measured = read_measured(folder("ge"))
    changed = corrected(measured, swap=True, flip="z")
    assert np.array_equal(changed.velocity[0], measured.velocity[1])
    assert np.array_equal(changed.velocity[2], -measured.velocity[2])
    assert changed.venc == (25.0, 20.0, 30.0)
    assert "swap" in changed.sources["corrections"]


def test_a_missing_direction_is_named(folder):
    root = folder("ge")
    for path in (root / "y").glob("*.dcm"):
        path.unlink()
    with pytest.raises(CineError, match="found 2 phase directions"):
        read_measured(root)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"venc": (20.0,)}, "venc"),
        ({"venc": (20.0, 20.0, float("nan"))}, "venc"),
        ({"venc": (20.0, 20.0, float("inf"))}, "venc"),
        ({"venc": (20.0, 0.0, 30.0)}, "venc"),
        ({"order": "xyy"}, "order"),
    ],
)
def test_wrong_arguments_are_named(folder, wrong, words):
    with pytest.raises(CineError, match=f"argument {words}"):
        read_measured(folder("ge"), **wrong)


def header(**values) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def test_venc_of_each_vendor():
    ge = header(Manufacturer="GE MEDICAL SYSTEMS")
    ge.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xCC, "SS", 200)
    assert encoding(ge).venc == 20.0
    siemens = header(Manufacturer="SIEMENS")
    siemens.private_block(0x0051, "SIEMENS MR HEADER", create=True).add_new(0x14, "LO", "v30_through")
    assert encoding(siemens).venc == 30.0
    assert encoding(siemens).through_plane
    protocol = b"...\nsAngio.sFlowArray.asElm[0].nVelocity = 25\n..."
    siemens.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x20, "OB", protocol)
    assert encoding(siemens).venc == 25.0  # ASCCONV goes before the text
    philips = header(Manufacturer="Philips")
    philips.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x1A, "FL", [0.0, 0.0, 15.0])
    assert encoding(philips).venc == 15.0
    assert encoding(header(SequenceName="fl2d1_v40in")).venc == 40.0
    assert encoding(header(Manufacturer="SIEMENS")).venc is None


def test_raw_phase_is_12_bit_or_what_siemens_makes_of_it():
    assert decode(np.array([0, 2048, 4095]), 20.0, "f").tolist() == pytest.approx([-20.0, 0.0, 20.0 - 20 / 2048])
    assert decode(np.array([-4096, 0, 2048]), 20.0, "f").tolist() == [-20.0, 0.0, 10.0]
    with pytest.raises(CineError, match="whole numbers"):
        decode(np.array([0.5, 2.0]), 20.0, "f")
    with pytest.raises(CineError, match="found 0 to 9000"):
        decode(np.array([0, 9000]), 20.0, "f")


def test_signed_12_bit_phase_is_not_taken_for_half_its_velocity():
    full = np.array([-2048, -1, 1024, 2047])
    assert decode(full, 20.0, "f").tolist() == pytest.approx([-20.0, -20 / 2048, 10.0, 20.0 - 20 / 2048])
    assert decode(np.array([-600, 0, 626]), 20.0, "f").max() == pytest.approx(20 * 626 / 4096)  # even: doubled 12 bits
    with pytest.raises(CineError, match="found signed phase from -318 to 313"):
        decode(np.array([-318, 0, 313]), 20.0, "f")


def test_wrapped_velocities_are_unwrapped():
    x, y = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 44), indexing="ij")
    time = np.sin(2 * np.pi * np.arange(20) / 20)[:, None, None]
    true = 28 * np.exp(-4 * (x**2 + y**2)) * time
    wrapped = (true + 20) % 40 - 20
    assert np.abs(wrapped - true).max() > 35
    assert np.allclose(unwrapped(wrapped, np.ones_like(true), 20.0), true, atol=1e-4)


def test_air_stays_as_it_is_when_unwrapping():
    generator = np.random.default_rng(0)
    noise = generator.uniform(-20, 20, (12, 32, 32))
    magnitude = np.zeros_like(noise)
    magnitude[:, 8:20, 8:20] = 1
    noise[:, 8:20, 8:20] = 3.0
    assert np.array_equal(unwrapped(noise, magnitude, 20.0), noise.astype(np.float32))


@pytest.mark.parametrize("order", [1, 2])
def test_the_background_offset_of_static_tissue_is_found(order):
    generator = np.random.default_rng(1)
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 60), indexing="ij")
    offset = 0.8 + 0.5 * x - 0.3 * y + (0.4 * x * y if order == 2 else 0)
    velocity = offset + 0.2 * generator.standard_normal((20, 64, 60))
    heart = x**2 + y**2 < 0.15
    velocity[:, heart] += 8 * np.sin(2 * np.pi * np.arange(20) / 20)[:, None] + 3
    found = background_offset(velocity, np.ones_like(velocity), order, "slice 1")
    assert np.abs(found - offset).max() < 0.15


def test_too_little_tissue_for_an_offset_is_said():
    with pytest.raises(CineError, match="slice 2: found"):
        background_offset(np.zeros((5, 20, 20)), np.ones((5, 20, 20)), 1, "slice 2")
