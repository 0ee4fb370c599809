"""Confidence against errors, on predictions made up for it."""

import pytest
import torch

from scripts.benchmark.cases import Case
from scripts.benchmark.confidence import ConfidenceTally

SIZE = 24


def case_and_pred(confidence: float, wrong: float) -> tuple[Case, torch.Tensor]:
    """A disc of pool in one frame; a share of its rows is called myocardium, all with one confidence."""
    labels = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    labels[6:16, 6:16] = 2
    labels[5, 6:16] = 1
    found = labels.clone()
    found[6 : 6 + round(10 * wrong), 6:16] = 1
    probabilities = torch.full((3, 1, SIZE, SIZE), (1 - confidence) / 2)
    probabilities.scatter_(0, found.long()[None, None], confidence)
    velocity = torch.rand(3, 1, SIZE, SIZE)
    pred = torch.cat(
        (torch.zeros(1, 1, SIZE, SIZE), probabilities, velocity * (1 - wrong), torch.zeros(1, 1, SIZE, SIZE))
    )
    frame = torch.zeros(1, SIZE, SIZE)
    return Case("made up", "nobody", frame, frame, {0: labels}, velocity), pred


def test_a_bin_counts_its_wrong_pixels():
    tally = ConfidenceTally()
    case, pred = case_and_pred(0.7, 0.2)
    tally.add(case, "ours", pred)
    (row,) = tally.figures()
    around = 18 * 19  # the square of 10 x 11 and four pixels on each side
    assert row["confidence"] == "0.6 to 0.8"
    assert row["wrong_percent"] == pytest.approx(100 * 20 / around)
    assert row["wrong_percent_if_calibrated"] == pytest.approx(30, abs=1e-3)
    assert row["pixels_percent"] == 100


def test_less_sure_and_more_wrong_is_a_rank_correlation_of_minus_one():
    tally = ConfidenceTally()
    for confidence, wrong in ((0.97, 0.0), (0.9, 0.2), (0.7, 0.5), (0.5, 0.9)):
        case, pred = case_and_pred(confidence, wrong)
        tally.add(case, "ours", pred)
    (row,) = tally.ranks()
    assert row["confidence_with_wrong_labels"] == pytest.approx(-1)
    assert row["confidence_with_velocity_error"] == pytest.approx(-1)
    assert row["slices"] == 4
