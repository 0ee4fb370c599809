"""The ventricle in the acquired frames: found, measured, and not lost in single frames."""

import math

import pytest
import torch
import torch.nn.functional as F

from scripts.networks.ventricle import heart_window, likelier, median, missed, stays, steady_areas, trust


def test_the_window_lies_where_the_ventricle_is_over_the_whole_cycle():
    ventricle = torch.zeros(2, 4, 128, 120)
    ventricle[0, :, 20:50, 30:60] = 1.0
    ventricle[1, :, 70:100, 80:110] = 1.0
    ventricle[:, 2, 100:128, 0:40] = 1.0  # once, in one frame, somewhere else
    window = heart_window(ventricle, radius=30)
    assert window[0, 0, 35, 45] == 1
    assert window[1, 0, 85, 95] == 1
    assert window[:, 0, 110, 20].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("areas", "there"),
    [
        ([400, 380, 300, 260, 320, 360, 380, 390, 400], True),  # a ventricle that loses a third
        ([400, 380, 300, 0, 320, 360, 380, 390, 400], True),  # one that was missed in a frame
        ([400, 380, 200, 180, 200, 360, 380, 390, 400], False),  # less than two thirds in a third of the frames
        ([400, 380, 262, 260, 262, 360, 380, 390, 400], False),
        ([400, 380, 270, 272, 270, 360, 380, 390, 400], True),
        ([0, 0, 30, 0, 200, 400, 390, 0, 0], False),  # an atrium that fills
        ([0] * 9, True),  # nothing does not come and go
        ([400, 380, 200, 200, 390, 360, 380, 390, 400], False),  # two of nine are more than a fifth
        ([400, 380, 200, 200, 390, 360, 380, 390, 400, 400], True),  # two of ten are not
        ([400, 380, 200, 200, 200, 360, 380, 390, 400, 400], False),
        ([180] * 8 + [400], True),  # one that leaked does not decide, either
        ([400, 0, 390], True),
        ([400, 0, 0], False),
    ],
)
def test_a_ventricle_stays_all_cycle_long(areas, there):
    frames = (torch.arange(400).view(20, 20) < torch.tensor(areas).view(-1, 1, 1)).float()
    other = torch.ones_like(frames)
    assert stays(torch.stack((frames, other))).flatten().tolist() == [float(there), 1]


def test_a_frame_that_was_segmented_badly_does_not_change_the_beat():
    labels = torch.zeros(1, 9, 40, 40, dtype=torch.int64)
    labels[..., 10:30, 10:30] = 1
    labels[..., 15:25, 15:25] = 2
    assert steady_areas(probability(labels))[0].tolist() == [[100, 400]] * 9
    labels[:, 4] = 0
    areas = steady_areas(probability(labels))
    assert areas[0, 4].tolist() == pytest.approx([45, 320])
    assert areas[0, 3].tolist() == [100, 400]


def test_a_thick_ventricle_empties_nearly_if_all_of_it_is_seen():
    labels = torch.zeros(1, 9, 40, 40, dtype=torch.int64)
    labels[..., 10:30, 10:30] = 1
    labels[..., 15:25, 15:25] = 2
    labels[:, 3:5, 15:25, 15:25] = 1
    labels[:, 3:5, 15:19, 15:20] = 2
    assert steady_areas(probability(labels))[0, 2:6].tolist() == [[100, 400], [20, 400], [20, 400], [100, 400]]


def test_what_is_missed_of_the_ventricle_is_missed_of_its_pool_alike():
    labels = torch.zeros(1, 9, 40, 40, dtype=torch.int64)
    labels[..., 10:30, 10:30] = 1
    labels[..., 15:25, 15:25] = 2
    labels[:, 4, 20:30] = 0  # the lower half: of 400 and 100 pixels 200 and 50 are left, of 400 at least 320 would be
    assert steady_areas(probability(labels))[0, 4].tolist() == pytest.approx([80, 320])


@pytest.mark.parametrize(("values", "middle"), [([3, 1, 2], 2), ([4, 1, 3, 2], 3), ([5], 5)])
def test_the_median_of_an_even_number_is_the_upper_one(values, middle):
    assert median(torch.tensor([values, values]).float()).tolist() == [[middle]] * 2


def test_a_view_that_misses_the_ventricle_in_a_frame_is_not_believed_there():
    ventricle = torch.zeros(1, 5, 40, 40, dtype=torch.int64)
    ventricle[..., 10:30, 10:30] = 1
    whole, missing = probability(ventricle), ventricle.clone()
    missing[:, 2] = 0
    window = torch.ones(1, 1, 40, 40)
    weights = trust(torch.stack((whole, probability(missing))), window)
    assert weights.shape == (2, 1, 5)
    assert weights[:, 0, [0, 1, 3, 4]].flatten().tolist() == pytest.approx([0.5] * 8)
    assert weights[:, 0, 2].tolist() == pytest.approx([1, 0], abs=1e-5)
    # A view that finds a little more than is usual in one frame is not believed the more.
    more = ventricle.clone()
    more[:, 2, 10:30, 10:34] = 1
    assert trust(torch.stack((whole, probability(more))), window).flatten().tolist() == pytest.approx([0.5] * 10)
    # One that finds far more, such as what lies beside it, is not believed there.
    leaked = ventricle.clone()
    leaked[:, 2] = 1
    weights = trust(torch.stack((whole, probability(leaked))), window)
    assert weights[:, 0, [0, 1, 3, 4]].flatten().tolist() == pytest.approx([0.5] * 8)
    assert weights[:, 0, 2].tolist() == pytest.approx([1, 0], abs=1e-3)
    # All are alike where nothing is found, and the only one is believed.
    nothing = probability(torch.zeros_like(ventricle))
    assert trust(torch.stack((nothing, nothing)), window).flatten().tolist() == pytest.approx([0.5] * 10)
    assert trust(torch.stack((probability(missing),)), window).flatten().tolist() == pytest.approx([1] * 5)


def test_what_nobody_would_call_a_ventricle_is_none():
    nearly_none = torch.full((1, 3, 3, 20, 20), 1.9e-3)
    assert steady_areas(nearly_none).tolist() == [[[0, 0]] * 3]
    a_little = torch.full((1, 3, 3, 20, 20), 2.5e-3)
    assert steady_areas(a_little).flatten().tolist() == pytest.approx([1, 2] * 3, rel=1e-4)


def probability(labels):
    return F.one_hot(labels, 3).movedim(-1, 2).float()


def disc_probability(ventricle):
    """[1, T, 3, 64, 64] log probabilities: a disc of ``ventricle`` [T] probability, half wall and half pool."""
    x, y = torch.arange(64.0)[:, None] - 32, torch.arange(64.0)[None] - 32
    disc = ((x * x + y * y) < 12**2).float()
    p = torch.tensor(ventricle).view(1, -1, 1, 1) * disc + 1e-6
    return torch.log(torch.stack((1 - p, p / 2, p / 2), 2))


def test_a_frame_that_misses_most_of_the_ventricle_is_made_likelier():
    labels, window = disc_probability([0.9, 0.9, 0.2, 0.9, 0.001, 0.9, 0.9]), torch.ones(1, 1, 64, 64)
    bias = missed(labels, window)
    assert torch.equal(bias[0, [0, 1, 3, 5, 6]], torch.zeros(5))
    # Odds of 0.2 are 1 / 4; those of 0.8 * 0.9 are 18 / 7.
    assert float(bias[0, 2]) == pytest.approx(math.log(18 / 7 * 4), abs=2e-3)
    found = torch.softmax(likelier(labels, bias), 2)[:, :, 1:].sum(2)
    assert float(found[0, 2].sum() / found[0, 0].sum()) == pytest.approx(0.8, abs=1e-3)
    # What is nowhere likely stays away.
    assert float(bias[0, 4]) == pytest.approx(3.0)
    assert float(found[0, 4].max()) < 0.03


def test_what_less_than_two_thirds_of_the_frames_show_is_not_made_likelier():
    labels = disc_probability([0.9, 0.9, 0.02, 0.9, 0.02, 0.9, 0.02])
    assert torch.equal(missed(labels, torch.ones(1, 1, 64, 64)), torch.zeros(1, 7))


def test_where_there_is_no_ventricle_none_is_made():
    labels = disc_probability([0.0] * 5)
    assert torch.equal(missed(labels, torch.ones(1, 1, 64, 64)), torch.zeros(1, 5))
