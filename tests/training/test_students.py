"""Labels that a teacher adds: what was drawn stays, what it is not sure of stays open."""

import pytest
import torch

from scripts.networks import HDLNet
from scripts.training import students
from scripts.training.sources import real_sources
from scripts.training.sunnybrook import NOT_POOL, UNKNOWN, RealSlice


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return HDLNet(widths=(8, 8, 8, 8), features=8).eval()


@pytest.mark.parametrize("flip", [(-1,), (-2,), (-1, -2)])
@pytest.mark.parametrize("still", [True, False])
def test_a_mirrored_picture_has_a_mirrored_segmentation(network, flip, still):
    frames = torch.rand(1 if still else 5, 48, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen = students.seen_from_all_sides(frames, still, network)
        mirrored = students.seen_from_all_sides(frames.flip(flip), still, network)
    assert seen.shape == (len(frames), 3, 48, 64)
    assert torch.allclose(seen.sum(1), torch.ones(len(frames), 48, 64), atol=1e-5)
    # Without the window, whose densest spot may tie between two pixels.
    inside = (seen[:, 1:].sum(1) > 0) & (mirrored.flip(flip)[:, 1:].sum(1) > 0)
    assert inside.any()
    assert torch.allclose(seen.movedim(1, -1)[inside], mirrored.flip(flip).movedim(1, -1)[inside], atol=1e-4)


def test_what_was_drawn_stays_and_what_nobody_is_sure_of_stays_open():
    labels = torch.tensor([[[0, 1, 2, NOT_POOL, NOT_POOL, NOT_POOL, UNKNOWN, UNKNOWN, UNKNOWN]]], dtype=torch.uint8)
    # Background, myocardium, pool for each pixel.
    odds = [[0, 0, 1]] * 3 + [[0.05, 0.15, 0.8], [0.3, 0.1, 0.6], [0.5, 0.5, 0]] + [
        [0.1, 0.2, 0.7], [0.7, 0.2, 0.1], [0.4, 0.3, 0.3]
    ]  # fmt: skip
    probability = torch.tensor(odds, dtype=torch.float32).T.reshape(1, 3, 1, 9)
    assert students.complete(labels, probability).flatten().tolist() == [0, 1, 2, 1, 0, NOT_POOL, 2, 0, UNKNOWN]


def test_a_frame_in_which_the_teacher_misses_the_ventricle_stays_unknown(monkeypatch, network):
    drawn = torch.zeros(32, 32, dtype=torch.uint8)
    drawn[10:20, 10:20] = 2
    frames = torch.rand(4, 32, 32)
    (source,) = real_sources([RealSlice("p", 0, frames, cyclic=True, labels={0: drawn, 2: drawn})])
    probability = torch.zeros(4, 3, 32, 32)
    probability[:, 0] = 1
    probability[3, :, 10:20, 10:18] = torch.tensor([0.0, 0.0, 1.0])[:, None, None]
    monkeypatch.setattr(students, "seen_from_all_sides", lambda *_: probability)
    students.taught([source], network)
    assert torch.equal(source.labels[0], drawn)
    assert torch.equal(source.labels[2], drawn)
    assert (source.labels[1] == UNKNOWN).all()
    assert int((source.labels[3] == 2).sum()) == 80
    assert (source.labels[3] != UNKNOWN).all()
    assert source.labelled == [0, 2]


def discs(radius):
    """[T, 3, 64, 64] probability: a disc of pool in a ring of myocardium, 4 pixels wide, with soft borders."""
    x, y = torch.arange(64.0)[:, None] - 32, torch.arange(64.0)[None] - 32
    away = (x * x + y * y).sqrt() - torch.tensor(radius)[:, None, None]
    pool, ventricle = torch.sigmoid(-away), torch.sigmoid(4 - away)
    return torch.stack((1 - ventricle, ventricle - pool, pool), 1)


def sizes(probability):
    """Pixels of the pool and of the ventricle in each frame, [T, 2]."""
    likeliest = probability.argmax(1)
    return torch.stack(((likeliest == 2).flatten(1).sum(1), (likeliest > 0).flatten(1).sum(1)), 1)


def test_a_teacher_learns_from_drawn_frames_how_large_the_others_are():
    truth, seen = discs([10.0, 9.0, 8.0, 9.0]), discs([11.0, 10.0, 9.0, 10.0])
    labels = torch.full((4, 64, 64), UNKNOWN, dtype=torch.uint8)
    labels[0] = truth[0].argmax(0)
    labels[2] = torch.where(truth[2].argmax(0) == 2, 2, NOT_POOL)
    corrected = students.corrected(seen, labels, [0, 2])
    assert torch.allclose(corrected.sum(1), torch.ones(4, 64, 64), atol=1e-5)
    assert corrected.min() >= 0
    wrong = (sizes(seen) - sizes(truth)).abs()
    assert (wrong > 40).all()
    assert ((sizes(corrected) - sizes(truth)).abs() < 0.3 * wrong).all()


def test_a_teacher_that_nobody_corrects_stays_as_it_is():
    seen = discs([11.0, 10.0])
    labels = torch.full((2, 64, 64), UNKNOWN, dtype=torch.uint8)
    labels[0] = torch.where(seen[0].argmax(0) == 2, 2, NOT_POOL)
    assert (students.corrected(seen, labels, [0]) - seen).abs().max() < 0.05


def test_no_correction_makes_a_ventricle_of_nothing():
    nothing = torch.zeros(1, 3, 64, 64)
    nothing[:, 0] = 1
    labels = discs([10.0]).argmax(1).to(torch.uint8)
    assert (students.corrected(nothing, labels, [0]).argmax(1) == 0).all()
