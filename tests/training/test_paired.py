"""A beat between two pictures: its ends are the pictures, and the pool is in between."""

import pytest
import torch

from scripts.training.paired import FRAMES, between, contraction
from scripts.training.sunnybrook import NOT_POOL


def disc(radius, centre, size=96):
    """[X, Y] bool."""
    axis = torch.arange(float(size))
    return (axis[:, None] - centre[0]) ** 2 + (axis[None] - centre[1]) ** 2 <= radius**2


@pytest.fixture
def pair():
    """Bright discs of two sizes in two places, on ground that only moves where the heart is."""
    ground = torch.rand(96, 96, generator=torch.Generator().manual_seed(2))
    pools = torch.stack((disc(18, (46, 50)), disc(11, (48, 48))))
    return ground + 2 * pools.float(), torch.where(pools, 2, NOT_POOL).to(torch.uint8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_ventricle_contracts_once_a_cycle(seed):
    curve, end = contraction(generator(seed))
    assert curve.shape == (FRAMES,)
    assert curve[0] == 0
    assert curve.argmax() == end
    assert curve[end] == 1
    assert (curve[: end + 1].diff() > 0).all()
    assert (curve[end:].diff() <= 1e-6).all()
    assert 0 < curve[-1] < 0.1  # the next frame is end-diastole again


def test_both_ends_of_systole_are_the_pictures_themselves(pair):
    pictures, labels = pair
    frames, told, end = between(pictures, labels, generator())
    assert frames.shape == told.shape == (FRAMES, 96, 96)
    for picture, frame in enumerate((0, end)):
        assert torch.allclose(frames[frame], pictures[picture], atol=1e-3)
        assert torch.equal(told[frame], labels[picture])


def test_the_pool_goes_from_one_contour_to_the_other(pair):
    frames, told, end = between(*pair, generator())
    areas = (told == 2).flatten(1).sum(1).float()
    curve, _ = contraction(generator())
    # Its area goes evenly from that of one contour to that of the other; digitised borders are off by a little.
    assert torch.allclose(areas, areas[0] + curve * (areas[end] - areas[0]), atol=0.03 * float(areas[0]))
    # The picture moves with it: what is drawn as the pool is bright, what lies around it is not.
    for frame, label in zip(frames, told, strict=True):
        assert frame[label == 2].mean() > 2.2
        assert frame[label != 2].mean() < 0.7


def test_what_is_far_from_the_heart_stands_still(pair):
    pictures, labels = pair
    frames, _, _ = between(pictures, labels, generator())
    corner = pictures[0, :4, :4]
    assert (frames[:, :4, :4] - corner).abs().max() < 0.05
    moved = (frames[:, 40:60, 40:60] - pictures[0, 40:60, 40:60]).abs().amax((1, 2))
    assert moved.max() > 1.5
