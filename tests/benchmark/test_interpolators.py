"""Peers that make frames, on motion that is known."""

import numpy as np
import pytest
import torch

from scripts.benchmark.interpolators import INTERPOLATORS, cubic, flow, linear, nearest, registration
from scripts.benchmark.motion import ESTIMATORS


def blob(x, y, size=64, width=6.0):
    a, b = torch.arange(size)[:, None] - x, torch.arange(size)[None] - y
    return torch.exp(-(a**2 + b**2) / (2 * width**2))


def texture(shift_x, shift_y):
    """A smooth picture, moved by some pixels along X and Y."""
    a, b = torch.arange(64.0)[:, None] - shift_x, torch.arange(64.0)[None] - shift_y
    return 0.5 + 0.2 * torch.sin(a / 4) * torch.cos(b / 5) + 0.2 * torch.cos(a / 7 + b / 6)


@pytest.mark.parametrize("name", INTERPOLATORS)
@pytest.mark.parametrize("cyclic", [True, False])
def test_acquired_frames_stay_as_they_are(name, cyclic):
    keys = torch.stack([blob(32 + k, 30) for k in range(4)])
    frames = INTERPOLATORS[name](keys, 3, cyclic)
    assert frames.shape == (12, 64, 64)
    assert torch.allclose(frames[::3], keys, atol=1e-6)
    assert torch.allclose(INTERPOLATORS[name](keys, 1, cyclic), keys, atol=1e-6)


def test_linear_wraps_around_or_holds():
    keys = torch.tensor([0.0, 3.0]).view(2, 1, 1)
    assert linear(keys, 3).flatten().tolist() == pytest.approx([0, 1, 2, 3, 2, 1])
    assert linear(keys, 3, False).flatten().tolist() == pytest.approx([0, 1, 2, 3, 3, 3])


def test_nearest_by_hand():
    keys = torch.tensor([0.0, 4.0]).view(2, 1, 1)
    assert nearest(keys, 4).flatten().tolist() == [0, 0, 0, 4, 4, 4, 4, 0]


def test_cubic_follows_a_wave_better_than_linear():
    time = torch.arange(36) / 36
    wave = (2 + torch.cos(2 * np.pi * time)).view(36, 1, 1)
    errors = [float((f(wave[::4], 4) - wave).abs().max()) for f in (cubic, linear)]
    assert errors[0] < 0.2 * errors[1]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_motion_has_the_direction_and_size_of_the_shift(name):
    first, second = texture(0, 0).numpy(), texture(1.5, -2).numpy()
    motion = ESTIMATORS[name](first, second)[:, 12:-12, 12:-12]
    assert np.median(motion[0]) == pytest.approx(1.5, abs=0.3)
    assert np.median(motion[1]) == pytest.approx(-2, abs=0.3)


@pytest.mark.parametrize("peer", [flow, registration])
def test_what_moves_is_halfway_at_half_the_time(peer):
    keys = torch.stack([blob(28, 32), blob(34, 32), blob(28, 32)])
    middle = peer(keys, 2)[1]
    assert float((middle - blob(31, 32)).abs().max()) < 0.4 * float((linear(keys, 2)[1] - blob(31, 32)).abs().max())
