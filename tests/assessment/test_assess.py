"""The whole assessment: levels, volumes, septum, segments, what is flagged, and that its JSON keeps to the schema."""

from __future__ import annotations

import csv
import dataclasses
import json
import zipfile

import jsonschema
import numpy as np
import pytest

from scripts.assessment import SCHEMA, assess_maps
from scripts.assessment.flags import study_flags
from scripts.assessment.motion import stack_motion
from scripts.assessment.septum import find_septum
from scripts.assessment.tables import write_tables
from scripts.cine.study import CineError

from .conftest import FRAMES, INNER_MM, OUTER_MM, wave

TIME = wave()[:, None, None]


def beating(x, y, z=1):
    """Contraction, rotation that grows to the apex, longitudinal motion that shrinks to it; all in one sine."""
    r = np.hypot(x, y)
    inward, turn, down = 3.0 * TIME / r, 0.02 * z * TIME, (7 - 2 * z) * TIME
    return -inward * x + turn * y, -inward * y - turn * x, down


def codes(assessment):
    return {flag.code for flag in assessment.flags}


@pytest.fixture
def stack(ring):
    return ring(beating, slices=3)


def test_the_json_keeps_to_its_schema(stack, ring):
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for maps in (stack, ring(beating), ring(beating, labels=np.zeros((FRAMES, 64, 64, 1), np.uint8))):
        content = assess_maps(maps).to_json()
        jsonschema.validate(json.loads(json.dumps(content, allow_nan=False)), schema)


def test_volumes_by_summation(stack):
    volumes = assess_maps(stack, 0.0).volumes
    assert volumes.edv_ml == pytest.approx(3 * 10 * np.pi * INNER_MM**2 / 1000, rel=0.01)
    assert volumes.mass_g == pytest.approx(1.05 * 3 * 10 * np.pi * (OUTER_MM**2 - INNER_MM**2) / 1000, rel=0.01)
    labels = stack.labels.copy()
    half = labels[10]
    half[half == 2] = np.where(np.arange((half == 2).sum()) % 2 == 0, 2, 1)
    emptied = assess_maps(dataclasses.replace(stack, labels=labels), 0.0).volumes
    assert emptied.end_systole_frame == 10
    assert emptied.ef_percent == pytest.approx(50, abs=0.5)
    assert not study_flags(
        dataclasses.replace(stack, labels=stack.labels), dataclasses.replace(emptied, pool_ml=np.ones(30)), 1.0
    )


def test_segments_are_sectors_of_their_level(stack):
    result = assess_maps(stack, 0.0)
    assert [s.number for s in result.segments] == list(range(1, 17))
    assert [s.slices for s in result.segments[::6]] == [(0,), (1,), (2,)]
    basal = result.slices[0].velocity_cm_s["longitudinal"]["sectors_6"]
    for number, sector in ((1, 1), (2, 0), (3, 5), (4, 4), (5, 3), (6, 2)):  # AHA 1 is anterior, 2 anteroseptal, ...
        assert np.allclose(result.segments[number - 1].velocity_cm_s["longitudinal"], basal[sector])


def test_apical_segments_are_quarters_around_the_septum(ring):
    def field(x, y, z):
        angle = np.degrees(np.arctan2(y, x)) % 360
        return 0.0, 0.0, np.where((angle < 45) | (angle >= 315), 5.0, 0.0) * np.abs(TIME)

    segments = {
        s.number: s.velocity_cm_s["longitudinal"].max() for s in assess_maps(ring(field, slices=3), 0.0).segments
    }
    assert segments[14] > 4.5  # septal
    assert max(segments[k] for k in (13, 15, 16)) < 0.5


@pytest.mark.parametrize("angle", [20.0, 150.0, 285.0])
@pytest.mark.parametrize("dark", [False, True])
def test_the_septum_is_where_blood_lies_beyond_the_wall(ring, angle, dark):
    maps = ring(size=96, centre_mm=(70.0, 72.0))
    blood, muscle, rest = (0.1, 0.8, 0.5) if dark else (1.0, 0.4, 0.15)
    x, y = (np.arange(96) * 1.5 - c for c in (70.0, 72.0))
    distance = np.hypot(x[:, None] - 45 * np.cos(np.deg2rad(angle)), y[None] - 45 * np.sin(np.deg2rad(angle)))
    image = np.where(distance < 24, blood, rest)[None, ..., None] * np.ones_like(maps.magnitude)
    image = np.where(maps.labels == 1, muscle, np.where(maps.labels == 2, blood, image))
    found, clear = find_septum(dataclasses.replace(maps, magnitude=image.astype(np.float32)))
    assert abs((found - angle + 180) % 360 - 180) < 5
    assert clear > 0.5


def test_a_given_septum_is_used_and_said(stack):
    result = assess_maps(stack, -30.0)
    assert result.slices[0].septum_deg == 330.0
    assert "given by a person" in result.methods["septum"]
    with pytest.raises(CineError, match="septum_deg"):
        assess_maps(stack, float("nan"))


def test_late_walls_are_told_by_their_delay(ring):
    late = wave(phase=-1 / 15)  # 60 ms of 900

    def field(x, y, z):
        septal = (x > 0)[None]
        return 0.0, 0.0, np.where(septal, TIME, late[:, None, None]) * 6.0

    delays = {d.where: d for d in assess_maps(ring(field, slices=3), 0.0).dyssynchrony if d.component == "longitudinal"}
    assert delays["segments 1 to 12"].septal_lateral_delay_ms == pytest.approx(60, abs=3)
    assert delays["slice 2"].sd_time_to_peak_ms == pytest.approx(np.std([0, 0, 60, 60, 30, 30], ddof=1), abs=6)


def test_reference_values_stand_beside_their_own(stack):
    result = assess_maps(stack, 0.0)
    keys = {figure.key: figure for figure in result.summary}
    for reference in result.reference:
        assert reference.value == keys[reference.key].value
        assert reference.source
    assert keys["gls_percent"].value < 0
    assert keys["gcs_percent"].value < 0


def test_a_single_slice_says_what_it_cannot_give(ring):
    result = assess_maps(ring(beating), 0.0)
    assert result.volumes is None
    assert result.stack is None
    figures = {figure.key: figure for figure in result.summary}
    assert figures["ef_percent"].value is None
    assert "at least two slices" in figures["ef_percent"].reason
    assert figures["radial_s_mid_cm_s"].value == pytest.approx(3.0, rel=0.05)


def test_flags_of_a_study_whose_labels_stand_still_while_its_velocity_moves(stack):
    # Nothing else is wrong with it, so each flag of the tests below comes from what they change.
    assert codes(assess_maps(stack, 0.0)) == {"contradicts_labels", "volume_implausible"}


def test_labels_that_move_as_the_velocity_says_are_not_flagged(ring):
    maps = ring(lambda x, y: (-2.5 * x / np.hypot(x, y) * TIME, -2.5 * y / np.hypot(x, y) * TIME, 0.0))
    x, y = (np.arange(64) * 1.5 - c for c in (48.3, 47.1))
    radius = np.hypot(x[:, None], y[None])
    shift = 0.01 * 2.5 * 900 / (2 * np.pi) * (1 - np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES))
    labels = np.stack([(radius < OUTER_MM - s) * 1 + (radius < INNER_MM - s) * 1 for s in shift])[..., None].astype(
        np.uint8
    )
    assert "contradicts_labels" not in codes(assess_maps(dataclasses.replace(maps, labels=labels), 0.0))
    for velocity in (-maps.velocity, 0 * maps.velocity):
        wrong = dataclasses.replace(maps, labels=labels, velocity=velocity)
        assert "contradicts_labels" in codes(assess_maps(wrong, 0.0))


def cut(labels, frames):
    labels = labels.copy()
    labels[frames] = 0
    return labels


def without_middle(labels, frame):
    labels = labels.copy()
    labels[frame, ..., 1] = 0
    return labels


def filled(labels, frame):
    labels = labels.copy()
    labels[frame] = np.minimum(labels[frame], 1)
    return labels


def opened(labels):
    labels = labels.copy()
    part = labels[:, 44:, 25:38]
    part[part == 1] = 0
    return labels


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("no_ventricle_in_study", lambda m: {"labels": np.zeros_like(m.labels)}),
        ("no_ventricle", lambda m: {"labels": m.labels * (np.arange(3) < 2).astype(np.uint8)}),
        ("ventricle_missing", lambda m: {"labels": cut(m.labels, 4)}),
        ("touches_border", lambda m: {"labels": np.roll(m.labels, 18, axis=1)}),
        ("above_venc", lambda m: {"venc": (2.5, 20.0, 30.0)}),
        ("too_fast", lambda m: {"venc": None, "velocity": m.velocity * 15}),
        ("not_closed", lambda m: {"velocity": m.velocity + np.float32(0.6)}),
        ("few_frames", lambda m: {"rr_ms": m.rr_ms * 1.5, "frame_duration_ms": m.frame_duration_ms * 1.5}),
        ("interpolated", lambda m: {"acquired": np.arange(FRAMES) % 3 == 0}),
        ("not_cyclic", lambda m: {"cyclic": False}),
        ("view_unknown", lambda m: {"view_known": False}),
        ("rr_varies", lambda m: {"rr_ms": np.array([800.0, 900.0, 1000.0])}),
        ("synthesised", lambda m: {"kind": "synthesised"}),
        ("area_jumps", lambda m: {"labels": filled(m.labels, 7)}),
        ("wall_open", lambda m: {"labels": opened(m.labels)}),
        ("volume_gap", lambda m: {"labels": without_middle(m.labels, 7)}),
    ],
)
def test_what_is_doubtful_is_flagged_in_words(stack, code, change):
    after = assess_maps(dataclasses.replace(stack, **change(stack)), 0.0)
    assert code in codes(after)
    assert all("{" not in flag.text and len(flag.text) > 30 for flag in after.flags)


def test_tables_hold_every_value(stack, tmp_path):
    result = assess_maps(stack, 0.0)
    files = write_tables(result, tmp_path)
    assert [path.name for path in files] == ["curves.csv", "tables.csv", "parameters.xlsx"]
    with files[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [
        r for r in rows if (r["slice"], r["quantity"], r["component"], r["region"]) == ("2", "velocity", "radial", "AL")
    ]
    assert np.allclose(
        [float(r["value"]) for r in chosen], result.slices[1].velocity_cm_s["radial"]["sectors_6"][2], atol=1e-4
    )
    with files[1].open(newline="") as file:
        peaks = list(csv.DictReader(file))
    assert len(peaks) == sum(len(s.markers) for s in (*result.slices, *result.segments))
    assert files[2].read_bytes()[:2] == b"PK"


def test_an_angle_that_is_none_is_refused_in_words(ring):
    with pytest.raises(CineError, match="septum_deg: found 'left', expected degrees"):
        assess_maps(ring(beating), "left")


def test_one_wave_has_one_name_in_the_whole_heart(ring):
    # The wave of the last slice comes late, with a shoulder of its own; alone, it would have another end-systole.
    def waves(x, y, z=0):
        time = np.arange(FRAMES) / FRAMES
        late = (0.0, 0.0, 0.06)[int(z)]
        r = np.maximum(np.hypot(x, y), 1)
        curve = sum(
            height * np.exp(-0.5 * ((time - at - late) / width) ** 2)
            for height, at, width in ((3.0, 0.14, 0.06), (-4.5, 0.5, 0.06), (-1.5, 0.85, 0.04))
        )[:, None, None]
        return -curve * x / r, -curve * y / r, 2 * curve + 0 * x

    result = assess_maps(ring(waves, slices=3, rr_ms=np.array([850.0, 900.0, 950.0])), 0.0)
    fractions = [s.end_systole_ms / s.rr_ms for s in result.slices]
    assert fractions == pytest.approx([fractions[0]] * 3)
    every = [m for part in (*result.slices, *result.segments) for m in part.markers if m.component == "longitudinal"]
    assert {m.code for m in every} == {"PS", "PD", "PAS"}
    assert max(m.time_percent_rr for m in every if m.code == "PD") < 65
    assert min(m.time_percent_rr for m in every if m.code == "PAS") > 80


def test_open_sectors_of_one_slice_leave_the_strain_of_the_others(stack):
    labels = stack.labels.copy()
    x, y = np.arange(64)[:, None] * 1.5 - 48.3, np.arange(64)[None] * 1.5 - 47.1
    # Six of 24 sectors: the most that a wall may lack.
    gap = np.abs(np.degrees(np.arctan2(y, x))) < 44
    labels[:, gap, 1] = np.where(labels[:, gap, 1] == 1, 0, labels[:, gap, 1])
    whole, cut_open = (assess_maps(dataclasses.replace(stack, labels=part), 0.0) for part in (stack.labels, labels))
    assert cut_open.slices[1].found
    assert "wall_open" in codes(cut_open)
    assert whole.stack.peaks["gcs_percent"] < -5
    for name in ("gcs_percent", "grs_percent"):
        assert cut_open.stack.peaks[name] == pytest.approx(whole.stack.peaks[name], rel=0.1, abs=0.5)
    # One slice alone is no stack's strain, and the reason says so.
    for z in (0, 1):
        labels[:, :, :, z][:, x[:, 0] > -5] = 0
    alone = assess_maps(dataclasses.replace(stack, labels=labels), 0.0)
    assert alone.stack is None


def test_the_strain_of_the_stack_is_that_of_two_slices_at_least(stack):
    slices = assess_maps(stack, 0.0).slices

    def without_strain(item):
        curves = {name: {**sets, "global": np.full(FRAMES, np.nan)} for name, sets in item.strain_percent.items()}
        return dataclasses.replace(item, strain_percent=curves)

    levels = [item.level for item in slices]
    two = stack_motion([without_strain(slices[0]), *slices[1:]], levels, True)
    own = [item.strain_percent["circumferential"]["global"] for item in slices[1:]]
    assert np.allclose(two.strain_percent["circumferential"], (own[0] + own[1]) / 2)
    one = stack_motion([*map(without_strain, slices[:2]), slices[2]], levels, True)
    assert np.isnan(one.strain_percent["circumferential"]).all()
    assert np.isnan(one.peaks["gcs_percent"])
    assert np.isfinite(one.peaks["gls_percent"])


def test_volumes_need_two_slices_with_a_pool(stack):
    labels = stack.labels.copy()
    labels[..., 1:] = 0
    assert assess_maps(dataclasses.replace(stack, labels=labels), 0.0).volumes is None
    labels = np.where(stack.labels == 2, 2, 0).astype(np.uint8)
    after = assess_maps(dataclasses.replace(stack, labels=labels), 0.0)
    assert after.volumes is not None
    assert {"no_ventricle_in_study", "pool_without_wall"} <= codes(after)


def test_a_name_that_looks_like_a_formula_stays_a_name(stack, tmp_path):
    write_tables(assess_maps(dataclasses.replace(stack, name="=1+2"), 0.0), tmp_path)
    with zipfile.ZipFile(tmp_path / "parameters.xlsx") as book:
        assert not any(b"<f>" in book.read(name) for name in book.namelist() if name.endswith(".xml"))
        assert b"=1+2" in book.read("xl/sharedStrings.xml")
