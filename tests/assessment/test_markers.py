"""Peaks of curves whose peaks are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.assessment.markers import (
    EARLY_END,
    Phases,
    denormalised,
    end_systole_ms,
    expected_systole_ms,
    find_markers,
    find_phases,
    normalised,
)


def curve(rr, frames, *peaks):
    time = np.arange(frames) * rr / frames
    return sum(
        height * np.exp(-0.5 * ((time - at + turn * rr) / width) ** 2)
        for height, at, width in peaks
        for turn in (-1, 0, 1)
    )


def markers(values, rr, component="longitudinal", systole=350.0, cyclic=True):
    phases = Phases(systole / rr, {})
    found = find_markers({component: (("global",), values[None])}, rr / len(values), rr, phases, cyclic)
    return {m.code: m for m in found}


def phases_of(values, rr):
    return find_phases({"radial": values, "longitudinal": values}, rr / len(values), rr, True)


@pytest.mark.parametrize("rr", [600.0, 1000.0, 1300.0])
def test_peaks_between_frames(rr):
    es = expected_systole_ms(rr)
    s, e, a = 0.38 * es, es + 0.14 * rr, rr - 0.13 * rr
    found = markers(curve(rr, 50, (7.5, s, 0.2 * es), (-10.5, e, 35), (-5.0, a, 33)), rr, systole=es)
    for code, value, time in (("PS", 7.5, s), ("PD", -10.5, e), ("PAS", -5.0, a)):
        assert found[code].value_cm_s == pytest.approx(value, rel=0.02)
        assert found[code].time_ms == pytest.approx(time, abs=0.3 * rr / 50)
        assert found[code].time_percent_rr == pytest.approx(100 * found[code].time_ms / rr)


@settings(max_examples=40, deadline=None)
@given(at=st.floats(80, 220), frames=st.integers(40, 60))
def test_the_time_of_a_peak_does_not_follow_the_frames(at, frames):
    found = markers(curve(1000.0, frames, (6.0, at, 60)), 1000.0)["PS"]
    assert found.time_ms == pytest.approx(at, abs=1.0)
    assert found.value_cm_s == pytest.approx(6.0, rel=0.005)


def test_an_edge_is_no_peak():
    # A tail that only falls through the window of the atrial wave has no atrial peak.
    found = markers(curve(1000.0, 50, (7.0, 140, 60), (-9.0, 470, 60)), 1000.0)
    assert set(found) == {"PS", "PD"}


def test_a_late_systolic_peak_is_found_beyond_its_window():
    found = markers(curve(1000.0, 50, (5.0, 345, 40), (-6.0, 520, 40)), 1000.0, systole=380.0)
    assert found["PS"].time_ms == pytest.approx(345, abs=2)


def test_circumferential_peaks_and_the_least_third():
    values = curve(1000.0, 50, (-1.5, 60, 20), (2.0, 180, 40), (-1.2, 430, 40))
    found = markers(values, 1000.0, "circumferential")
    assert [round(found[c].value_cm_s, 1) for c in ("PC1", "PC2", "PC3")] == [-1.5, 2.0, -1.2]
    small = curve(1000.0, 50, (-1.5, 60, 20), (2.0, 180, 40), (-0.4, 430, 40))
    assert "PC3" not in markers(small, 1000.0, "circumferential")
    upward = curve(1000.0, 50, (-1.5, 60, 20), (2.0, 180, 40), (1.2, 430, 40))
    assert markers(upward, 1000.0, "circumferential")["PC3"].value_cm_s == pytest.approx(1.2, rel=0.02)


def test_incomplete_curves_have_no_peaks():
    values = curve(1000.0, 50, (7.0, 140, 60))
    values[20] = np.nan
    assert markers(values, 1000.0) == {}
    assert end_systole_ms(values, 20.0, 1000.0, True) is None


def test_end_systole_is_the_shoulder_between_contraction_and_filling():
    values = curve(1000.0, 50, (3.0, 140, 60), (-4.5, 500, 35))
    assert end_systole_ms(values, 20.0, 1000.0, True) == pytest.approx(350, abs=30)
    # Without a shoulder it is where the curve crosses zero, not the early diastolic peak.
    steep = curve(1000.0, 50, (3.0, 230, 60), (-6.0, 410, 45))
    found = end_systole_ms(steep, 20.0, 1000.0, True)
    assert abs(np.interp(found, np.arange(50) * 20, steep)) < 0.3


@settings(max_examples=50, deadline=None)
@given(time=st.floats(0, 1), rr=st.floats(500, 1500))
def test_normalised_time_has_an_inverse(time, rr):
    systole = expected_systole_ms(rr)
    assert float(denormalised(normalised(time * rr, systole, rr), systole, rr)) == pytest.approx(time * rr, abs=1e-6)
    assert float(normalised(systole, systole, rr)) == pytest.approx(350.0)
    assert float(normalised(rr, systole, rr)) == pytest.approx(1000.0)


def test_the_waves_of_a_fast_heart_keep_their_names():
    # At 92 beats a minute the atrial wave, 180 ms before the next beat, comes before StrainMap's boundary.
    rr = 650.0
    values = curve(rr, 50, (7.0, 120, 50), (-5.0, 385, 25), (-4.0, 470, 22))
    phases = phases_of(values, rr)
    assert 400 < phases.early["longitudinal"] * rr < 460
    assert float(denormalised(EARLY_END, phases.systole * rr, rr)) > 470
    found = find_markers({"longitudinal": (("global",), values[None])}, rr / 50, rr, phases, True)
    times = {m.code: m.time_ms for m in found}
    assert times["PD"] == pytest.approx(385, abs=5)
    assert times["PAS"] == pytest.approx(470, abs=5)


@pytest.mark.parametrize(
    "waves",
    [
        [(-5.0, 500, 30)],  # both waves are one
        [(-8.0, 460, 40), (-2.0, 600, 30)],  # a wave in the middle of diastole is no atrial one
        [(-0.5, 600, 20), (-5.0, 860, 33)],  # nor is what comes before the only one an early one
    ],
)
def test_without_two_waves_the_usual_boundary_stands(waves):
    values = curve(1000.0, 50, (7.0, 140, 60), *waves)
    phases = phases_of(values, 1000.0)
    usual = float(denormalised(EARLY_END, phases.systole * 1000, 1000.0))
    assert phases.early == pytest.approx({"radial": usual / 1000, "longitudinal": usual / 1000})


@pytest.mark.parametrize(("at", "code"), [(470, "PD"), (485, "PD"), (540, "PAS")])
def test_a_wave_at_the_boundary_is_one_wave(at, code):
    # Regions whose peaks lie to either side of the boundary have the same wave under the same name.
    rr = 600.0
    mean = curve(rr, 50, (7.0, 110, 40), (-5.0, at, 30))
    regions = np.stack([curve(rr, 50, (7.0, 110, 40), (-5.0, at + away, 30)) for away in (-25, 0, 25)])
    found = find_markers({"radial": (("1", "2", "3"), regions)}, rr / 50, rr, phases_of(mean, rr), True)
    assert [m.code for m in found if m.value_cm_s < 0] == [code] * 3


def test_phases_of_a_slow_heart_part_the_same_waves_as_the_usual_boundary():
    values = curve(1000.0, 50, (7.0, 140, 60), (-9.0, 460, 40), (-2.0, 600, 25), (-4.0, 850, 33))
    phases = phases_of(values, 1000.0)
    assert 640 < phases.early["radial"] * 1000 < 790


def test_the_top_of_a_late_systolic_peak_is_no_end_systole():
    # Flat at 280 ms, where the wall still contracts; it turns back at 390 ms.
    values = curve(1000.0, 50, (3.0, 280, 60), (-5.0, 480, 45))
    assert end_systole_ms(values, 20.0, 1000.0, True) == pytest.approx(375, abs=25)


def test_a_shallow_early_wave_is_no_end_systole():
    values = curve(1000.0, 50, (2.0, 140, 60), (-0.9, 400, 40))
    assert end_systole_ms(values, 20.0, 1000.0, True) < 340


def test_a_cine_that_is_not_cyclic_has_peaks_only_inside():
    time = np.arange(50) * 16.0
    falling = np.linspace(2, -2, 50) + 4 * np.exp(-0.5 * ((time - 140) / 60) ** 2)
    found = markers(falling, 800.0, cyclic=False)
    assert "PAS" not in found
    assert found["PS"].time_ms == pytest.approx(140, abs=8)
