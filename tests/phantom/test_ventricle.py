"""The moving ventricle: its velocity is its motion's derivative, it closes, and its wall keeps its volume."""

import pytest
import torch

from scripts.phantom.cine import pixel_axes
from scripts.phantom.draw import Dice, Ranges, draw_heart

SIZE, PIXEL_MM, BATCH = 64, 2.0, 12


def seen(seed: int = 0):
    """Ventricles, times, what the slices show, and the pixels well inside the wall."""
    dice = Dice(torch.Generator().manual_seed(seed), BATCH)
    ventricle, rr = draw_heart(dice, Ranges(outside=0.0))
    time = torch.rand(BATCH, 4, generator=dice.generator)
    state = ventricle.image(*pixel_axes(SIZE, SIZE, PIXEL_MM), time)
    height = ventricle.geometry.height[:, None, None, None]
    wall = (state.endocardium < -0.2) & (state.epicardium > 0.2) & (state.reference_z < height)
    wall &= state.reference_z > -0.9 * ventricle.geometry.cap[:, None, None, None]
    return ventricle, time, state, wall, rr


def test_the_forward_map_inverts_the_image_map():
    ventricle, time, state, wall, _ = seen()
    x, y = pixel_axes(SIZE, SIZE, PIXEL_MM)
    position = ventricle.position(state.radius, state.angle, state.reference_z, time)
    assert wall.sum() > 5000
    assert (position[:, 0] - x).abs()[wall].max() < 1e-3
    assert (position[:, 1] - y).abs()[wall].max() < 1e-3
    level = ventricle.geometry.level[:, None, None, None].expand_as(wall)
    assert (position[:, 2] - level).abs()[wall].max() < 1e-3


def test_velocity_is_the_derivative_of_the_tracked_position():
    ventricle, time, state, wall, _ = seen(1)
    step = 2e-4
    material = [v.double() for v in (state.radius, state.angle, state.reference_z)]
    ahead, behind = (ventricle.position(*material, time.double() + s) for s in (step, -step))
    velocity = (ahead - behind) / (2 * step)
    velocity[:, 2] *= -1  # towards the apex is positive, height is counted from the apex
    error = (velocity - state.velocity).abs().amax(1)[wall]
    assert error.max() < 0.01, "mm a cycle, where the wall moves at up to 100"


def test_material_returns_after_a_cycle():
    ventricle, _, state, wall, _ = seen(2)
    ends = [torch.full((BATCH, 4), t) for t in (0.0, 1.0)]
    first, last = (ventricle.position(state.radius, state.angle, state.reference_z, t) for t in ends)
    assert (first - last).abs().amax(1)[wall].max() < 0.05


def test_the_wall_keeps_its_volume():
    ventricle, time, state, wall, _ = seen(3)
    material = [v.double() for v in (state.radius, state.angle, state.reference_z)]
    time = time.double()
    columns = []
    for k, step in enumerate((1e-3, 1e-4, 1e-3)):
        more, less = list(material), list(material)
        more[k], less[k] = more[k] + step, less[k] - step
        columns.append((ventricle.position(*more, time) - ventricle.position(*less, time)) / (2 * step))
    # Volume of a reference cell is R dR dTheta dZ.
    volume = torch.linalg.det(torch.stack(columns, -1).movedim(1, -2)) / material[0]
    # Where the contraction meets its limit the wall has a crease of no width; leave out the pixels it cuts.
    ratio = volume.abs()[wall]
    assert ((ratio - 1).abs() < 0.01).float().mean() > 0.995


def test_turning_the_reference_angle_does_not_change_speeds_of_a_round_ventricle():
    ranges = Ranges(outside=0.0, ellipticity=0.0, wall_variation=0.0, travel=0.0, centre=0.0, kinds=(0, 0, 1, 0, 0))
    dice = Dice(torch.Generator().manual_seed(5), 2)
    ventricle, _ = draw_heart(dice, ranges)
    ventricle.geometry.outer[:, 1:] = 0
    ventricle.motion.scar[:, 2] = 0
    time = torch.tensor([[0.1, 0.5]]).expand(2, 2)
    state = ventricle.image(*pixel_axes(SIZE, SIZE, PIXEL_MM), time)
    turned = torch.rot90(state.velocity, 1, (-2, -1))
    expected = torch.stack((-turned[:, 1], turned[:, 0], turned[:, 2]), 1)
    assert torch.allclose(state.velocity, expected, atol=1e-2)


@pytest.mark.parametrize("seed", [0, 1])
def test_waves_stay_within_the_field_s_ranges(seed):
    """Peaks of normal hearts in cm/s at RR = 1000 ms, against field values with a margin of two spreads."""
    ranges = Ranges(outside=0.0, kinds=(1, 0, 0, 0, 0), rr=(990.0, 1010.0))
    dice = Dice(torch.Generator().manual_seed(seed), 64)
    ventricle, _ = draw_heart(dice, ranges)
    m, time = ventricle.motion, torch.arange(200).expand(64, 200) / 200
    longitudinal = m.shortening.velocity(time) * m.descent[:, None] / 10
    assert 3.0 < longitudinal.amax(1).median() < 10.0
    assert -16.0 < longitudinal.amin(1).median() < -5.0
    peak = longitudinal.argmax(1) / 200
    assert 0.08 < peak.median() < 0.25
    middle = (ventricle.geometry.inner[:, 0, 0] + ventricle.geometry.outer[:, 0, 0]) / 2
    radial = m.contraction.velocity(time) * (m.strain * middle)[:, None] / 10
    assert 1.5 < radial.amax(1).median() < 5.0
    assert -8.0 < radial.amin(1).median() < -2.0
