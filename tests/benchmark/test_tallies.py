"""What is added up, on a phantom whose truth is known, and on labels worked by hand."""

import pytest
import torch

from scripts.benchmark.cases import Case, phantom_case
from scripts.benchmark.interpolators import linear
from scripts.benchmark.tallies import InterpolationTally, SegmentationTally, VelocityTally, velocity_by_gap
from scripts.benchmark.velocities import UsualHeart, flow, zero


@pytest.fixture(scope="module")
def case():
    """A slice with a ventricle in it."""
    found = next(c for c in (phantom_case(seed, 54, 96) for seed in range(7, 40)) if c.has_ventricle)
    assert (found.wall.sum((1, 2)) > 50).all()
    return found


def test_the_same_seed_is_the_same_heart_at_any_number_of_frames(case):
    seed = int(case.subject.removeprefix("phantom-"))
    fewer = phantom_case(seed, 27, 96)
    assert torch.allclose(fewer.truth / fewer.truth.max(), case.truth[::2] / case.truth[::2].max(), atol=1e-3)
    assert torch.equal(torch.stack(list(fewer.labels.values())), torch.stack(list(case.labels.values()))[::2])


def test_the_region_follows_the_labels(case):
    region, wall = case.region(), case.wall.bool()
    assert region[wall].all()
    assert not region.all()
    still = Case("a", "a", case.frames, case.truth, {3: case.labels[3], 9: case.labels[9]})
    assert torch.equal(still.region()[0], still.region()[5])
    assert still.region()[0][case.wall[9].bool()].all()


def test_the_truth_is_perfect_and_linear_blending_is_not(case):
    tally = InterpolationTally()
    tally.add(case, 6, "truth", case.truth)
    tally.add(case, 6, "linear", linear(case.frames[::6], 6))
    best, blended = tally.figures()
    assert (best["gap"], best["peer"], best["slices"]) == (6, "truth", 1)
    assert best["psnr_ventricle_db"] > 100 > 45 > blended["psnr_ventricle_db"] > 10
    assert best["ssim_ventricle"] == pytest.approx(1, abs=1e-5)
    assert abs(best["sharpness_lost_percent"]) < 1e-3
    # The 12-bit range is wider than the picture's, so the same error counts for less.
    assert blended["psnr_full_12_bit_db"] > blended["psnr_full_image_range_db"]


def test_acquired_frames_do_not_count(case):
    frames = torch.full_like(case.truth, 1e6)
    between = torch.arange(54) % 6 != 0
    frames[between] = case.truth[between]
    tally = InterpolationTally()
    tally.add(case, 6, "all but acquired", frames)
    assert tally.figures()[0]["psnr_full_12_bit_db"] > 100


def test_more_acquired_frames_are_told_apart(case):
    tallies = {6: VelocityTally(), 2: VelocityTally()}
    tallies[6].add(case, "found", case.velocity / 2)
    tallies[2].add(case, "found", case.velocity)
    rows = velocity_by_gap(tallies)
    assert [row["gap"] for row in rows] == [2, 2, 2, 6, 6, 6]
    errors = [row["rmse_over_rms"] for row in rows]
    assert errors == pytest.approx([0, 0, 0, 0.5, 0.5, 0.5], abs=1e-3)
    biases = {(row["gap"], row["component"]): (row["PS_bias"], row["PD_bias"]) for row in rows}
    peaks = {(row["component"], row["marker"]): row["value_bias"] for row in tallies[6].peaks()}
    assert biases[6, "radial"] == (peaks["radial", "PS"], peaks["radial", "PD"])
    assert biases[2, "radial"] == pytest.approx((0, 0), abs=1e-6)
    assert biases[2, "circumferential"] == (None, None)  # what has no such peaks


def test_true_velocities_have_no_error_and_the_true_peaks(case):
    tally = VelocityTally()
    tally.add(case, "truth", case.velocity)
    tally.add(case, "zero", zero(case, 6))
    tally.add(case, "half", case.velocity / 2)
    rows = {(row["peer"], row["component"]): row for row in tally.figures()}
    for component in ("radial", "circumferential", "longitudinal"):
        assert rows["truth", component]["rmse_cm_s"] < 1e-4
        assert rows["zero", component]["rmse_over_rms"] == pytest.approx(1, abs=1e-4)
        assert rows["half", component]["rmse_over_rms"] == pytest.approx(0.5, abs=1e-3)
        assert rows["half", component]["curve_correlation"] == pytest.approx(1, abs=1e-3)
    directions = {row["peer"]: row for row in tally.directions()}
    assert directions["truth"]["angle_above_1_cm_s_deg"] < 0.1
    assert directions["zero"]["angle_above_1_cm_s_deg"] == pytest.approx(90)
    assert directions["half"]["end_point_error_cm_s"] == pytest.approx(
        directions["zero"]["end_point_error_cm_s"] / 2, rel=1e-3
    )
    peaks = {(row["peer"], row["component"], row["marker"]): row for row in tally.peaks()}
    key = next(k for k in peaks if k[0] == "truth" and k[2] == "PS")
    assert peaks[key]["value_bias"] == pytest.approx(0, abs=1e-6)
    assert peaks["half", *key[1:]]["time_bias"] == pytest.approx(0, abs=0.5)
    assert peaks["half", *key[1:]]["value_bias"] < 0
    assert peaks["zero", *key[1:]]["missed"] == 1


def test_flow_and_the_usual_heart_beat_zero_where_they_say_something(case):
    tally = VelocityTally()
    for name, peer in (("zero", zero), ("flow", flow), ("population", UsualHeart(4))):
        tally.add(case, name, peer(case, 6))
    rows = {(row["peer"], row["component"]): row for row in tally.figures()}
    assert rows["flow", "radial"]["curve_correlation"] > 0.5
    assert rows["flow", "longitudinal"]["rmse_over_rms"] == pytest.approx(1, abs=1e-4)
    assert rows["population", "radial"]["curve_correlation"] > 0.3
    assert rows["population", "longitudinal"]["rmse_over_rms"] != pytest.approx(1, abs=1e-3)


def test_segmentation_counts_what_is_false_and_what_is_missed():
    case = Case("a/0", "a", torch.rand(4, 32, 32), torch.rand(4, 32, 32))
    wanted = torch.zeros(4, 32, 32, dtype=torch.uint8)
    wanted[:2, 8:20, 8:20] = 1
    wanted[:2, 11:17, 11:17] = 2
    found = wanted.clone()
    found[1] = 0
    found[3, :10, :10] = 2
    tally = SegmentationTally()
    tally.add(case, "me", "acquired", found, wanted)
    rows = {row["label"]: row for row in tally.figures() if row["subject"] == "all"}
    assert rows["pool"]["dice"] == pytest.approx(2 / 3)
    assert (rows["pool"]["frames"], rows["pool"]["missed"]) == (2, 1)
    assert (rows["pool"]["frames_without"], rows["pool"]["false"]) == (2, 1)
    assert rows["myocardium"]["false"] == 0
    assert rows["ventricle"]["dice"] == pytest.approx(2 / 3)
    assert rows["myocardium"]["hd95_mm"] == 0


def test_without_an_epicardial_contour_only_the_pool_counts():
    case = Case("a/0", "a", torch.rand(1, 32, 32), torch.rand(1, 32, 32))
    wanted = torch.full((1, 32, 32), 3, dtype=torch.uint8)
    wanted[0, 8:16, 8:16] = 2
    tally = SegmentationTally()
    tally.add(case, "me", "acquired", (wanted == 2) * 2, wanted)
    (row,) = (r for r in tally.figures() if r["subject"] == "all")
    assert row["label"] == "pool"
    assert row["dice"] == 1
