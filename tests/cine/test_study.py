"""A study is valid once it is made, and knows base from apex."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.cine.study import CineError, Study
from tests.cine.conftest import RR_MS, oblique_affine


def test_a_study_in_order_stays_as_it_is(study: Study) -> None:
    np.testing.assert_array_equal(study.affine, oblique_affine())
    assert study.spacing_mm == pytest.approx((1.25, 1.5, 8))
    assert study.provenance["view"] == "from the apex, as stored"


def test_slices_lie_apart_along_their_normal(study: Study) -> None:
    affine = study.affine.copy()
    affine[:3, 2] += 4 * affine[:3, 0]  # each slice 5 mm aside of the one before
    assert replace(study, affine=affine).spacing_mm == pytest.approx((1.25, 1.5, 8))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=3, max_size=3))
def test_every_voxel_keeps_its_place(flips: list[bool]) -> None:
    pixels = np.random.default_rng(3).uniform(1, 2, (5, 4, 3, 3)).astype(np.float32)
    affine = oblique_affine()
    for axis in np.flatnonzero(flips):
        pixels = np.flip(pixels, axis)
        affine[:3, 3] += (pixels.shape[axis] - 1) * affine[:3, axis]
        affine[:3, axis] *= -1
    study = Study.arranged(pixels, affine, RR_MS)
    grid = np.indices(pixels.shape[:3]).reshape(3, -1)
    places = affine[:3, :3] @ grid + affine[:3, 3:]
    index = np.rint(np.linalg.solve(study.affine[:3, :3], places - study.affine[:3, 3:])).astype(int)
    np.testing.assert_array_equal(study.magnitude[tuple(index)], pixels[tuple(grid)])
    assert np.cross(study.affine[:3, 0], study.affine[:3, 1]) @ [1, -1, 1] > 0
    assert study.affine[:3, 2] @ [1, -1, 1] < 0


def test_slices_keep_their_timing_when_reversed(study: Study) -> None:
    affine = study.affine.copy()
    affine[:3, 2] *= -1
    found = Study.arranged(
        study.magnitude, affine, [700, 800, 900], sop_instance_uids=[["a"] * 8, ["b"] * 8, ["c"] * 8]
    )
    np.testing.assert_array_equal(found.rr_ms, [900, 800, 700])
    assert [row[0] for row in found.sop_instance_uids] == ["c", "b", "a"]


def test_an_unknown_orientation_is_left_alone(study: Study) -> None:
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    found = Study.arranged(study.magnitude, affine, RR_MS, orientation_known=False)
    np.testing.assert_array_equal(found.affine, affine)


@pytest.mark.parametrize(("lean", "mirrored", "doubtful"), [(0, False, True), (0.1, False, True), (-0.1, True, True),
                                                          (0.5, False, False), (-0.5, True, False)])  # fmt: skip
def test_a_plane_that_does_not_tell_its_sides_apart_is_left_as_stored(
    lean: float, mirrored: bool, doubtful: bool, study: Study
) -> None:
    normal = np.array([1.0, 1 - lean, 0])
    x = np.array([0, 0, 1.0])
    y = np.cross(normal, x)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([x, y, -8 * normal])
    found = Study.arranged(study.magnitude, affine, RR_MS)
    if lean == 0:
        np.testing.assert_array_equal(found.affine, affine)
    assert ("mirrored" in found.provenance["view"]) == mirrored
    assert any("undecided" in note for note in found.notes) == doubtful


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rr_ms": np.full(3, 0.8)}, "slice 0: found RR = 0.8, expected 250 to 2500 ms"),
    ({"frame_times_ms": np.tile(np.arange(8) * 30.0, (3, 1)), "cyclic": False}, "cover 240 ms of RR = 800 ms"),
    ({"rr_ms": np.full(2, 800.0)}, r"rr_ms: found shape \(2,\), expected \(3,\)"),
    ({"frame_times_ms": np.zeros((3, 8))}, "frame times do not rise"),
    ({"frame_times_ms": np.tile(np.arange(8) * 200.0, (3, 1))}, "found frames over 1400 ms, expected one RR"),
    ({"affine": np.diag([1.0, 1, 0, 1])}, "affine: found a singular matrix"),
    ({"affine": np.diag([-1.0, 1, 1, 1])}, "expected slices from base to apex, viewed from the apex"),
    ({"affine": np.full((4, 4), np.nan)}, "affine: found NaN"),
    ({"magnitude": np.ones((4, 4, 3))}, r"found shape \(4, 4, 3\), expected \(X, Y, Z, T\)"),
    ({"magnitude": np.ones((4, 4, 3, 2))}, r"found 2 frame\(s\) a slice, expected a cine of at least 3"),
    ({"sop_instance_uids": (("1",),)}, "sop_instance_uids: expected 3 rows of 8"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message[:20] for _, message in BAD])
def test_what_is_wrong_is_said(change: dict[str, Any], message: str, study: Study) -> None:
    with pytest.raises(CineError, match=message):
        replace(study, **change)


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (np.inf, "infinite"), (-5, "signed pixels")])
def test_bad_pixels_are_named_by_slice_and_frame(value: float, message: str, study: Study) -> None:
    pixels = study.magnitude.copy()
    pixels[3, 3, 1, 2] = value
    with pytest.raises(CineError, match=f"slice 1, frame 2: found .*{message}"):
        replace(study, magnitude=pixels)
