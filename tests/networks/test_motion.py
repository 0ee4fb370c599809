"""Motion from brightness, on pictures moved by a known amount, and the cubic through four frames."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import CubicSpline

from scripts.networks.motion import (
    cubic_in_time,
    gap_view,
    image_motion,
    local_contrast,
    outer_reach,
    path,
    spline_frames,
    spline_velocity,
    warp,
    window_mean,
)

from .pictures import centre, texture


def test_a_bright_pixel_is_spread_over_its_window():
    x = torch.zeros(1, 1, 12, 14, dtype=torch.float64)
    x[0, 0, 5, 6] = 25
    mean = window_mean(x, 2)
    expected = torch.zeros_like(x)
    expected[0, 0, 3:8, 4:9] = 1
    assert torch.allclose(mean, expected)
    # In a corner it counts for what lies beyond: nine of 25 pixels.
    x = torch.zeros_like(x)
    x[0, 0, 0, 0] = 25
    assert float(window_mean(x, 2)[0, 0, 0, 0]) == pytest.approx(9)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.6, -0.3), (4.0, 2.5), (-6.0, 5.0)])
def test_a_shift_is_found_at_the_finest_scale(shift):
    motion = image_motion(texture(), texture(shift=shift))
    assert motion.shape == (1, 6, 48, 48)
    expected = torch.tensor(shift)[:, None, None]
    assert (centre(motion)[0, :2] - expected).abs().max() < 0.1


def test_motion_turns_with_the_picture():
    first, second = texture(), texture(shift=(3.0, 1.0))
    upright = image_motion(first, second)[:, :2]
    turned = image_motion(torch.rot90(first, 1, (-2, -1)), torch.rot90(second, 1, (-2, -1)))[:, :2]
    back = torch.rot90(turned, -1, (-2, -1))
    # rot90 carried +X to +Y and +Y to -X.
    assert torch.allclose(torch.stack((back[:, 1], -back[:, 0]), 1), upright, atol=1e-3)


def test_nothing_to_see_does_not_move():
    assert image_motion(torch.ones(1, 1, 32, 32), torch.ones(1, 1, 32, 32)).abs().max() == 0


def test_a_change_of_brightness_is_no_motion():
    assert image_motion(texture(), texture() + 0.5)[:, :2].abs().max() < 1e-6
    moving = image_motion(texture(), texture(shift=(2.0, -1.0)) + 0.5)
    assert (centre(moving)[0, :2] - torch.tensor([2.0, -1.0])[:, None, None]).abs().max() < 0.1


def test_a_dim_picture_looks_like_a_bright_one():
    bright = local_contrast(texture())
    assert torch.allclose(local_contrast(texture() / 3), bright, rtol=0.02)
    assert bright.square().mean().sqrt().item() == pytest.approx(1, abs=0.1)


def test_view_tells_before_in_and_after_the_gap():
    keys = torch.cat([texture(shift=(x, 0.0)) for x in (0.0, 1.0, 3.0, 6.0)], 1)
    view, motions = gap_view(keys)
    assert view.shape == (1, 54, 48, 48)
    assert centre(motions)[0, ::2].mean((1, 2)).tolist() == pytest.approx([1, 2, 3], abs=0.1)
    assert torch.equal(view[:, 42:44], motions[:, 2:4].float())


@pytest.mark.parametrize(("frames", "reach"), [(9, 1), (14, 1), (15, 2), (20, 2), (50, 4)])
@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_path_of_a_cubic_motion_is_exact(frames, reach, tau):
    def where(t: float) -> float:
        return 0.7 * t - 0.4 * t**2 + 0.1 * t**3

    steps = [where(0) - where(-reach), where(1) - where(0), where(1 + reach) - where(1)]
    motions = torch.tensor([v for s in steps for v in (s, -2 * s)])[None, :, None, None].expand(1, 6, 8, 8)
    ways = path(motions, torch.tensor([tau]), torch.tensor([1 / frames]))
    speed = 0.7 - 0.8 * tau + 0.3 * tau**2
    to_first = (where(0) - where(tau)) / tau if tau else -speed
    to_second = (where(1) - where(tau)) / (1 - tau) if tau < 1 else speed
    assert ways[0, :, 4, 4].tolist() == pytest.approx([to_first, -2 * to_first, to_second, -2 * to_second], abs=1e-4)


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.5, 1.0])
def test_brightness_that_is_a_cubic_in_time_is_followed_exactly(tau):
    def brightness(t: float) -> torch.Tensor:
        return torch.tensor([[3.0 + 0.7 * t - 0.4 * t**2 + 0.1 * t**3, 2.0 - t]])

    keys = torch.stack([brightness(t) for t in (-1, 0, 1, 2)])[None]
    changes = torch.tensor([[[[0.7, -1.0]], [[0.7 - 0.8 + 0.3, -1.0]]]])
    found = cubic_in_time(keys, changes, torch.tensor([tau]))
    assert torch.allclose(found[0, 0], brightness(tau), atol=1e-5)
    if tau in (0.0, 1.0):
        assert torch.equal(found[:, 0], keys[:, 1 + int(tau)])


def test_path_of_a_turning_picture_follows_the_tissue():
    # Half a degree a frame about the middle: a path that forgot to follow the tissue would miss by its curvature.
    axis = torch.arange(0.5, 48) * 2 - 48
    x, y = axis[:, None].expand(48, 48), axis[None].expand(48, 48)
    turn = math.radians(6)
    chord = 2 * math.sin(turn / 2)
    motion = torch.stack((-y, x)) * chord
    motions = motion.repeat(3, 1, 1)[None] / math.cos(turn / 2)
    ways = path(motions, torch.tensor([0.0]), torch.tensor([1 / 9]))
    where = torch.stack((x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)))
    assert torch.allclose(centre(ways)[0, 2:], centre(where - torch.stack((x, y))), atol=0.05)


def test_warp_shifts_and_keeps_the_border():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    moved = warp(image, torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 3, 4))
    assert torch.allclose(moved[0, 0], F.pad(image[0, :, 1:], (0, 0, 0, 1), mode="replicate")[0], atol=1e-5)


@pytest.mark.parametrize("frames", range(3, 61))
def test_what_moves_steadily_is_seen_so_at_every_number_of_frames(frames):
    """Path and spline look as far as the frames that the network picks for them."""
    speed, gap, tau = torch.tensor([1.5, -0.5]).view(1, 2, 1, 1).expand(1, 2, 8, 8), torch.tensor([1 / frames]), 0.3
    reach, (spacing, _) = outer_reach(frames), spline_frames(frames)
    ways = path(torch.cat((speed * reach, speed, speed * reach), 1).double(), torch.tensor([tau]), gap)
    assert torch.allclose(ways, torch.cat((-speed, speed), 1), atol=1e-5)
    velocity = spline_velocity((speed * spacing).repeat(1, 5, 1, 1), torch.tensor([tau]), gap)
    assert torch.allclose(velocity, speed, atol=1e-5)


@pytest.mark.parametrize("frames", [9, 20, 50, 54])
@pytest.mark.parametrize("tau", [0.0, 0.4, 1.0])
def test_velocity_is_that_of_the_natural_spline_through_the_sum_of_motions(frames, tau):
    steps = torch.randn(1, 10, 1, 1, generator=torch.Generator().manual_seed(frames))
    spacing, before = spline_frames(frames)
    sums = np.concatenate((np.zeros((1, 2)), np.cumsum(steps.view(5, 2).numpy(), 0)))
    spline = CubicSpline(np.arange(-2, 4) * spacing - before, sums, bc_type="natural")
    found = spline_velocity(steps, torch.tensor([tau]), torch.tensor([1 / frames]))
    assert found.flatten().tolist() == pytest.approx(spline(tau, 1).tolist(), abs=1e-5)
