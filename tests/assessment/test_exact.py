"""Fields worked out by hand, and that it does not matter how the picture lies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from scripts.assessment import assess_maps, cylindrical
from scripts.networks import VelocityAssessment

from .conftest import FRAMES, INNER_MM, OUTER_MM, RR_MS, wave

TIME = wave()[:, None, None]
SETS = ("global", "sectors_6", "sectors_24", "layers_3")


def curves(maps, component, septum_deg=0.0):
    return assess_maps(maps, septum_deg).slices[0].velocity_cm_s[component]


def test_rigid_translation_is_bulk_motion_and_leaves_nothing(ring):
    item = assess_maps(ring(lambda x, y: (3.0 * wave(), -2.0 * wave(2), 0.0)), 0.0).slices[0]
    for component in ("radial", "circumferential", "longitudinal"):
        for name in SETS:
            assert np.abs(item.velocity_cm_s[component][name]).max() < 1e-5
    assert np.abs(item.rotation_deg).max() < 1e-5
    assert np.abs(item.strain_percent["circumferential"]["global"]).max() < 1e-4


def test_pure_rotation(ring):
    omega = 0.05  # cm/s a mm, counter-clockwise seen from the apex: +X moves to -Y
    item = assess_maps(ring(lambda x, y: (omega * y * TIME, -omega * x * TIME, 0.0)), 0.0).slices[0]
    mean_radius = 2 / 3 * (OUTER_MM**3 - INNER_MM**3) / (OUTER_MM**2 - INNER_MM**2)
    found = item.velocity_cm_s["circumferential"]
    assert np.allclose(found["global"], omega * mean_radius * wave(), atol=0.01)
    assert np.allclose(found["sectors_24"], omega * mean_radius * wave(), atol=0.02)
    assert np.abs(item.velocity_cm_s["radial"]["global"]).max() < 1e-3
    rate = np.rad2deg(10 * omega)
    assert np.allclose(item.rotation_rate_deg_s, rate * wave(), rtol=1e-3, atol=1e-2)
    # The integral of a sine over half a cycle.
    assert item.rotation_deg.max() == pytest.approx(rate * RR_MS / 1000 / np.pi, rel=0.01)
    assert item.rotation_deg[0] == 0
    assert item.rotation_deg[-1] == pytest.approx(-item.rotation_rate_deg_s[-1] * RR_MS / FRAMES / 2000, abs=0.1)


def test_pure_contraction(ring):
    maps = ring(lambda x, y: (-2 * x / np.hypot(x, y) * TIME, -2 * y / np.hypot(x, y) * TIME, 0.0))
    item = assess_maps(maps, 0.0).slices[0]
    for name in SETS:
        assert np.allclose(item.velocity_cm_s["radial"][name], 2 * wave(), atol=0.03)
        assert np.abs(item.velocity_cm_s["circumferential"][name]).max() < 0.03
    # Every radius shrinks by the same length d, so the middle layer's circumference by d over its mean radius.
    shrinks = 0.02 * RR_MS / np.pi
    edges = np.linspace(INNER_MM, OUTER_MM, 4)
    middle = 2 / 3 * (edges[2] ** 3 - edges[1] ** 3) / (edges[2] ** 2 - edges[1] ** 2)
    strain = item.strain_percent["circumferential"]["layers_3"][1]
    assert strain.min() == pytest.approx(-100 * shrinks / middle, rel=0.02)
    assert np.abs(item.strain_percent["radial"]["global"]).max() < 0.5  # all layers move alike


def test_thickening(ring):
    # The endocardium moves in, the epicardium stands: radial strain is positive.
    def field(x, y):
        r = np.hypot(x, y)
        speed = -2 * (OUTER_MM - r) / (OUTER_MM - INNER_MM) / r * TIME
        return speed * x, speed * y, 0.0

    item = assess_maps(ring(field), 0.0).slices[0]
    endo, mid, epi = item.velocity_cm_s["radial"]["layers_3"].max(1)
    assert endo > mid > epi > 0
    strain = item.strain_percent["radial"]["global"]
    gradient = 2 / (OUTER_MM - INNER_MM)  # cm/s a mm: the same strain everywhere across the wall
    assert strain.max() == pytest.approx(100 * gradient * 0.01 * RR_MS / np.pi, rel=0.03)


def test_uniform_longitudinal_motion(ring):
    item = assess_maps(ring(lambda x, y: (0.0, 0.0, 7.0 * wave())), 0.0).slices[0]
    for name in SETS:
        assert np.allclose(item.velocity_cm_s["longitudinal"][name], 7 * wave(), atol=1e-4)
    assert np.abs(item.velocity_cm_s["radial"]["global"]).max() < 1e-6


def test_longitudinal_strain_is_the_slope_over_the_slices(ring):
    speeds = (8.0, 6.0, 4.0)
    result = assess_maps(ring(lambda x, y, z: (0.0, 0.0, speeds[z] * wave()), slices=3), 0.0)
    # 2 cm/s less every 10 mm: the base comes nearer to the apex.
    expected = -100 * 2 / 10 * 0.01 * RR_MS / np.pi
    assert result.stack.peaks["gls_percent"] == pytest.approx(expected, rel=0.01)
    assert [s.level for s in result.slices] == ["base", "mid", "apex"]


def test_twist_is_rotation_at_the_apex_less_that_at_the_base(ring):
    omegas = (-0.02, 0.01, 0.04)
    maps = ring(lambda x, y, z: (omegas[z] * y * TIME, -omegas[z] * x * TIME, 0.0), slices=3)
    stack = assess_maps(maps, 0.0).stack
    twist = np.rad2deg(10 * 0.06) * RR_MS / 1000 / np.pi
    assert stack.peaks["twist_deg"] == pytest.approx(twist, rel=0.01)
    assert stack.length_cm == pytest.approx(2.0)
    assert stack.peaks["torsion_deg_cm"] == pytest.approx(twist / 2, rel=0.01)
    assert stack.peaks["torsion_rate_systolic_deg_s_cm"] == pytest.approx(np.rad2deg(0.6) / 2, rel=0.01)


def test_a_heart_that_twists_the_other_way_has_negative_peaks(ring):
    """The same heart, mirrored: every peak of twist and torsion changes its sign, and none of its time."""

    def peaks(*omegas):
        maps = ring(lambda x, y, z: (omegas[z] * y * TIME, -omegas[z] * x * TIME, 0.0), slices=3)
        return assess_maps(maps, 0.0).stack.peaks

    plain, turned = peaks(-0.02, 0.01, 0.04), peaks(0.02, -0.01, -0.04)
    for name in (n for n in plain if n.startswith(("twist", "torsion"))):
        assert turned[name] == pytest.approx(plain[name] * (1 if name.endswith("ms") else -1), rel=1e-3), name
    assert turned["twist_deg"] < 0
    assert turned["torsion_rate_systolic_deg_s_cm"] < 0 < turned["torsion_rate_diastolic_deg_s_cm"]


def test_rates_are_those_of_the_phase_that_they_name(ring):
    """A short burst in late diastole, twice as fast as systole and the same way, is not systolic torsion."""
    time = (np.arange(FRAMES) / FRAMES)[:, None, None]
    bursts = ((1.0, 0.15, 0.08), (-3.0, 0.5, 0.04), (2.0, 0.85, 0.02))
    rate = sum(height * np.exp(-0.5 * ((time - at) / width) ** 2) for height, at, width in bursts)
    omegas = (0.0, 0.02, 0.04)
    maps = ring(lambda x, y, z: (omegas[z] * y * rate, -omegas[z] * x * rate, 0.0), slices=3)
    peaks = assess_maps(maps, 0.0).stack.peaks
    assert peaks["torsion_rate_systolic_time_ms"] == pytest.approx(0.15 * RR_MS, abs=RR_MS / FRAMES)
    assert peaks["torsion_rate_systolic_deg_s_cm"] == pytest.approx(np.rad2deg(0.4) / 2, rel=0.03)
    assert peaks["torsion_rate_diastolic_time_ms"] == pytest.approx(0.5 * RR_MS, abs=RR_MS / FRAMES)


def test_sectors_run_clockwise_from_the_septum_as_seen_from_the_apex(ring):
    # Only what lies at +Y of the centre moves: with the septum at +X it is the second quarter, clockwise on the screen.
    found = curves(ring(lambda x, y: (0.0, 0.0, np.where(y > 0, 5.0, 0.0) * np.abs(TIME))), "longitudinal")
    six = found["sectors_6"].max(1)
    assert six[:3].min() > 4.5
    assert six[3:].max() < 0.5
    turned = curves(
        ring(lambda x, y: (0.0, 0.0, np.where(y > 0, 5.0, 0.0) * np.abs(TIME))), "longitudinal", septum_deg=180.0
    )
    assert np.allclose(turned["sectors_6"], np.roll(found["sectors_6"], 3, axis=0), atol=1e-6)


def random_field(x, y):
    generator = np.random.default_rng(5)
    a = generator.normal(size=(3, 6))
    r = np.hypot(x, y) / 20
    u, v = x / 20, y / 20
    terms = np.stack(np.broadcast_arrays(u, v, u * v, u * u - v * v, r, 1.0))
    components = np.tensordot(a, terms, 1)
    return tuple(c * TIME for c in components)


def all_curves(maps, septum_deg):
    item = assess_maps(maps, septum_deg).slices[0]
    return np.concatenate(
        [np.atleast_2d(item.velocity_cm_s[c][n]) for c in ("radial", "circumferential", "longitudinal") for n in SETS]
    )


def changed(maps, pixels, velocity, **more):
    return dataclasses.replace(
        maps, labels=pixels(maps.labels), magnitude=pixels(maps.magnitude), velocity=velocity(maps.velocity), **more
    )


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_turned_by_a_right_angle_has_the_same_curves(ring, turns):
    maps = ring(random_field)

    def velocity(v):
        v = np.rot90(v, turns, (2, 3))
        for _ in range(turns):
            v = np.stack((-v[1], v[0], v[2]))
        return v

    turned = changed(maps, lambda p: np.rot90(p, turns, (1, 2)), velocity)
    # rot90 takes +X to +Y: directions turn by 90 degrees.
    assert np.allclose(all_curves(maps, 25.0), all_curves(turned, 25.0 + 90 * turns), atol=1e-4)


def test_a_mirror_image_has_the_circumferential_curves_turned(ring):
    maps = ring(random_field)
    mirrored = changed(
        maps, lambda p: p[:, ::-1], lambda v: v[:, :, ::-1] * np.array([-1, 1, 1]).reshape(3, 1, 1, 1, 1)
    )
    first, second = assess_maps(maps, 25.0).slices[0], assess_maps(mirrored, 180.0 - 25.0).slices[0]
    for component, sign in (("radial", 1), ("circumferential", -1), ("longitudinal", 1)):
        a, b = first.velocity_cm_s[component], second.velocity_cm_s[component]
        assert np.allclose(a["global"], sign * b["global"], atol=1e-4)
        assert np.allclose(a["sectors_6"], sign * b["sectors_6"][::-1], atol=1e-4)  # the sectors run the other way


@pytest.mark.parametrize("angle", [17.0, 58.0])
def test_a_picture_turned_by_any_angle_has_nearly_the_same_curves(ring, angle):
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))

    def field(x, y):
        u, v, w = random_field(cos * x + sin * y, cos * y - sin * x)
        return cos * u - sin * v, sin * u + cos * v, w

    a, b = all_curves(ring(random_field), 25.0), all_curves(ring(field), 25.0 + angle)
    assert np.abs(a - b).max() < 0.05 * np.abs(a).max()
    assert np.sqrt(np.mean((a - b) ** 2)) < 0.005 * np.abs(a).max()


@pytest.mark.parametrize("spacing", [(1.2, 1.8, 8.0), (1.8, 1.1, 8.0), (1.0, 1.0, 8.0)])
def test_pixel_size_and_shape_hardly_matter(ring, spacing):
    a, b = all_curves(ring(random_field), 25.0), all_curves(ring(random_field, spacing_mm=spacing, size=100), 25.0)
    assert np.abs(a - b).max() < 0.05 * np.abs(a).max()
    assert np.sqrt(np.mean((a - b) ** 2)) < 0.005 * np.abs(a).max()


def test_velocities_outside_the_wall_do_not_count(ring):
    maps = ring(random_field)
    noise = np.random.default_rng(0).uniform(-20, 20, maps.velocity.shape).astype(np.float32)
    noisy = dataclasses.replace(maps, velocity=np.where(maps.labels == 1, maps.velocity, noise))
    assert np.array_equal(all_curves(maps, 25.0), all_curves(noisy, 25.0))


def test_it_agrees_with_the_differentiable_module(ring):
    maps = ring(random_field)
    wall = torch.from_numpy((maps.labels[..., 0] == 1).astype(np.float32))[None]
    module = VelocityAssessment()
    velocity = torch.from_numpy(np.ascontiguousarray(maps.velocity[..., 0]))[None]
    theirs = module(wall, velocity)[0].numpy()
    item = assess_maps(maps, 25.0).slices[0]
    ours = np.stack([item.velocity_cm_s[c]["global"] for c in ("radial", "circumferential", "longitudinal")])
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(theirs).max()
    pixels = cylindrical(maps.labels[..., 0], maps.velocity[..., 0], maps.spacing_mm[:2])
    inside = maps.labels[..., 0] == 1
    assert np.isnan(pixels[:, ~inside]).all()
    assert np.abs(pixels - module.cylindrical(wall, velocity)[0].numpy())[:, inside].max() < 0.05
