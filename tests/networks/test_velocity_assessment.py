"""Cylindrical velocities of fields worked out by hand, and that they do not mind how the picture lies."""

import pytest
import torch

from scripts.networks import VelocityAssessment

SIZE = 41
ASSESS = VelocityAssessment()


def ring(centre=(20.0, 20.0)):
    x = torch.arange(SIZE)[:, None] - centre[0]
    y = torch.arange(SIZE)[None] - centre[1]
    r = torch.sqrt(x**2 + y**2)
    return x, y, r, ((r > 8) & (r < 14)).float()[None, None]


def field(vx, vy, vz=0.0):
    zero = torch.zeros(SIZE, SIZE)
    return torch.stack([zero + vx, zero + vy, zero + vz])[None, :, None]


def test_translation_is_bulk_motion():
    *_, wall = ring()
    assert torch.allclose(ASSESS(wall, field(3.0, -2.0)), torch.zeros(1, 3, 1), atol=1e-5)


def test_contraction_is_positive_radial():
    x, y, r, wall = ring()
    curves = ASSESS(wall, field(-2 * x / r.clamp_min(1), -2 * y / r.clamp_min(1)))[0, :, 0]
    assert torch.allclose(curves, torch.tensor([2.0, 0.0, 0.0]), atol=1e-4)


def test_counter_clockwise_seen_from_the_apex_is_positive():
    # X to the right, Y down, as displayed: the point on the right (+X) moves up (-Y).
    x, y, r, wall = ring()
    curves = ASSESS(wall, field(y / r.clamp_min(1), -x / r.clamp_min(1)))[0, :, 0]
    assert torch.allclose(curves, torch.tensor([0.0, 1.0, 0.0]), atol=1e-4)


def test_longitudinal_passes_through():
    *_, wall = ring()
    assert torch.allclose(ASSESS(wall, field(0.0, 0.0, 7.0))[0, :, 0], torch.tensor([0.0, 0.0, 7.0]), atol=1e-4)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_has_the_same_curves(turns):
    generator = torch.Generator().manual_seed(0)
    *_, wall = ring((18.0, 22.0))
    velocity = torch.randn(1, 3, 1, SIZE, SIZE, generator=generator)
    turned = torch.rot90(velocity, turns, (-2, -1))
    for _ in range(turns):
        turned = torch.stack((-turned[:, 1], turned[:, 0], turned[:, 2]), 1)
    assert torch.allclose(ASSESS(wall, velocity), ASSESS(torch.rot90(wall, turns, (-2, -1)), turned), atol=1e-4)


def test_no_myocardium_gives_zero():
    assert torch.equal(ASSESS(torch.zeros(1, 2, 8, 8), torch.ones(1, 3, 2, 8, 8)), torch.zeros(1, 3, 2))


def test_it_is_differentiable_in_both_inputs():
    *_, wall = ring()
    wall = (wall * 0.9).requires_grad_()
    velocity = torch.randn(1, 3, 1, SIZE, SIZE).requires_grad_()
    ASSESS(wall, velocity).square().sum().backward()
    assert wall.grad.abs().sum() > 0
    assert velocity.grad.abs().sum() > 0


def test_wall_motion_is_that_of_the_wall_and_nothing_where_there_is_none():
    x, y, r, wall = ring()
    inward = torch.stack((-2 * x / r.clamp_min(1), -2 * y / r.clamp_min(1)))[None, None]
    area = float(wall.sum())
    found = ASSESS.wall_motion(wall, inward + 5.0)[0, 0]
    assert found.tolist() == pytest.approx([2.0 * area / (area + 5), 0.0], abs=1e-3)
    assert ASSESS.wall_motion(wall * 9e-4, inward).tolist() == [[[0, 0]]]


def test_gradients_are_finite_where_there_is_no_wall():
    wall = torch.zeros(1, 1, 9, 9, requires_grad=True)
    ASSESS.wall_motion(wall, torch.ones(1, 1, 2, 9, 9)).sum().backward()
    assert wall.grad.isfinite().all()
    ASSESS(wall, torch.ones(1, 3, 1, 9, 9)).sum().backward()
    assert wall.grad.isfinite().all()
