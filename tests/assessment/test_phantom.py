"""A phantom slice: what the pixels give against the continuous motion behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d

from scripts.assessment import Maps, assess_maps
from scripts.assessment.markers import find_markers, find_phases
from scripts.assessment.regions import COMPONENTS, REGION_NAMES
from scripts.phantom.draw import Dice, Ranges, draw_heart

from .conftest import apex_view

FRAMES, SEPTUM_DEG = 40, 40.0
NAMES = tuple(region for names in REGION_NAMES.values() for region in names)


def imaged(heart, rr, size, spacing_mm):
    """Labels and velocities of a slice's pixels, a frame at a time."""
    x, y = ((torch.arange(n) - (n - 1) / 2) * mm for n, mm in zip(size, spacing_mm, strict=True))
    grid = [axis.expand(1, 1, *size).contiguous() for axis in (x[:, None], y[None])]
    for t in range(FRAMES):
        state = heart.image(*grid, torch.full((1, 1), t / FRAMES))
        label = (state.epicardium > 0).to(torch.uint8) + (state.endocardium > 0).to(torch.uint8)
        depth = -state.endocardium / (state.epicardium - state.endocardium)
        yield label[0, 0].numpy(), (state.velocity[0, :, 0] * (100 / rr)).numpy(), depth[0, 0].numpy(), x, y


def true_curves(heart, rr, pixel_mm=0.4, size=(270, 270)):
    """Curves by summing over pixels so small that their borders do not matter; no code of ours in common."""
    samples = []
    for label, velocity, depth, x, y in imaged(heart, rr, size, (pixel_mm, pixel_mm)):
        i, j = np.nonzero(label == 1)
        samples.append((x.numpy()[i], y.numpy()[j], velocity[:, i, j], depth[i, j]))
    centre = uniform_filter1d([[s[0].mean(), s[1].mean()] for s in samples], 3, axis=0, mode="wrap")
    curves = np.zeros((3, len(NAMES), FRAMES))
    for t, (x, y, velocity, depth) in enumerate(samples):
        dx, dy = x - centre[t, 0], y - centre[t, 1]
        r = np.hypot(dx, dy)
        vx, vy = velocity[:2] - velocity[:2].mean(1, keepdims=True)
        parts = np.stack((-(vx * dx + vy * dy) / r, (vx * dy - vy * dx) / r, velocity[2]))
        turn = np.mod(np.degrees(np.arctan2(dy, dx)) - SEPTUM_DEG, 360) / 360
        first = 0
        for index, count in ((turn * 0, 1), (turn * 6, 6), (turn * 24, 24), (np.clip(depth, 0, 0.999) * 3, 3)):
            for k in range(count):
                curves[:, first + k, t] = parts[:, index.astype(int) == k].mean(1)
            first += count
    return curves


@pytest.mark.parametrize(("seed", "spacing"), [(0, (1.3, 1.3)), (8, (1.25, 1.6))])
def test_peaks_within_two_percent_and_times_within_a_frame(seed, spacing):
    dice = Dice(torch.Generator().manual_seed(seed), 1)
    heart, rr = draw_heart(dice, Ranges(outside=0.0, centre=4.0, level=(0.35, 0.6)))
    rr_ms, size = float(rr), tuple(int(108 / mm) for mm in spacing)
    step = rr_ms / FRAMES
    labels, velocity = (np.stack(part) for part in list(zip(*imaged(heart, rr_ms, size, spacing), strict=True))[:2])
    maps = Maps(
        name="phantom",
        magnitude=labels[..., None].astype(np.float32) + 1,
        labels=labels[..., None],
        velocity=np.moveaxis(velocity, 0, 1)[..., None],
        acquired=np.ones(FRAMES, bool),
        rr_ms=np.array([rr_ms]),
        spacing_mm=(*spacing, 8.0),
        affine=apex_view((*spacing, 8.0)),
        kind="measured",
        frame_duration_ms=np.array([step]),
    )
    found = {(m.component, m.region, m.code): m for m in assess_maps(maps, SEPTUM_DEG).slices[0].markers}
    truth = true_curves(heart, rr_ms)
    phases = find_phases({name: truth[k, 0] for k, name in enumerate(COMPONENTS)}, step, rr_ms, True)
    curves = {component: (NAMES, truth[k]) for k, component in enumerate(COMPONENTS)}
    wanted = find_markers(curves, step, rr_ms, phases, True)
    assert len(wanted) > 200
    largest = {c: max(abs(m.value_cm_s) for m in wanted if m.component == c) for c in COMPONENTS}
    for marker in wanted:
        own = found[marker.component, marker.region, marker.code]
        # 2 % of the peak; of a peak that is small beside the component's others, 1 % of the largest.
        allowed = max(0.02 * abs(marker.value_cm_s), 0.01 * largest[marker.component])
        assert abs(own.value_cm_s - marker.value_cm_s) < allowed, marker
        assert abs(own.time_ms - marker.time_ms) < step, marker


def hearts(count):
    """Radial and longitudinal curves of hearts as they move, RR, and the motion behind them."""
    for seed in range(count):
        heart, rr = draw_heart(Dice(torch.Generator().manual_seed(seed), 1), Ranges(outside=0.0))
        waves, rr_ms = heart.motion, float(rr)
        times, scale = torch.arange(50)[None] / 50, 1000 / rr_ms
        radial = waves.contraction.velocity(times)[0].numpy() * float(waves.strain) * 2.4 * scale
        longitudinal = waves.shortening.velocity(times)[0].numpy() * float(waves.descent) * 0.1 * scale
        yield {"radial": radial, "longitudinal": longitudinal}, rr_ms, waves


def test_end_systole_is_when_hearts_are_smallest():
    away = []
    for curves, rr_ms, waves in hearts(60):
        smallest = int(waves.contraction.displacement(torch.arange(2000)[None] / 2000)[0].argmax()) / 2000
        away.append(find_phases(curves, rr_ms / 50, rr_ms, True).systole * rr_ms - smallest * rr_ms)
    assert abs(np.median(away)) < 10
    assert np.abs(away).max() < 80


def test_peaks_of_diastole_are_the_waves_of_those_names():
    counted = 0
    for curves, rr_ms, waves in hearts(60):
        early, atrial = (waves.shortening.centre[0, 2:4] * rr_ms).tolist()
        if rr_ms < 800 or atrial - early < 150:
            continue
        phases = find_phases(curves, rr_ms / 50, rr_ms, True)
        found = find_markers(
            {"longitudinal": (("global",), curves["longitudinal"][None])}, rr_ms / 50, rr_ms, phases, True
        )
        times = {m.code: m.time_ms for m in found}
        assert times["PD"] == pytest.approx(early, abs=2 * rr_ms / 50)
        if "PAS" in times:
            assert times["PAS"] == pytest.approx(atrial, abs=2 * rr_ms / 50)
            counted += 1
    assert counted > 25
