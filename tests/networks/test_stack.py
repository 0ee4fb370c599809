"""What a stack tells: where its slices are, in either order, whenever it begins; and what becomes of velocities."""

import math

import pytest
import torch

from scripts.networks import HDLNet, VelocityAssessment
from scripts.networks.motion import PIXEL_CM
from scripts.networks.stack import STACK_TIMES, StackPrior, following, growth, mean_over, places, resample, slope_over

TIME = torch.arange(STACK_TIMES) / STACK_TIMES


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    prior = StackPrior().eval()
    torch.nn.init.normal_(prior.curves.weight, std=0.3)  # as it begins it says nothing
    return prior


@pytest.fixture(scope="module")
def stack():
    """What is measured [1, 7, 7, 36] of a stack, base first: none above the base, none below the apex."""
    radius = torch.tensor([0.0, 26, 25, 23, 20, 15, 0])[:, None] * (1 - 0.2 * torch.sin(math.pi * TIME) ** 2)
    there = (radius > 0).float()
    areas = math.pi * torch.stack((radius**2, (radius + 6 * there) ** 2), 1)
    waves = torch.stack([torch.sin(2 * math.pi * k * TIME) for k in range(1, 4)]) * radius[:, None, :1] / 10
    return torch.cat((areas, areas.roll(-1, 2) - areas, waves), 1)[None]


def test_curves_are_read_at_other_times():
    curve = torch.tensor([0.0, 4.0, 2.0])
    assert resample(curve, 3).tolist() == [0, 4, 2]
    assert resample(curve, 6).tolist() == [0, 2, 4, 3, 2, 1]  # round the end
    assert resample(resample(curve, 12), 3).tolist() == [0, 4, 2]


def test_the_apex_is_where_slices_are_smaller(stack):
    areas = stack[:, :, :2]
    for order in (1, -1):
        shown, level, count = places(areas if order == 1 else areas.flip(1))
        assert shown[0].tolist() == [0, 1, 1, 1, 1, 1, 0]
        assert level[0].tolist() == [0, order, order / 2, 0, -order / 2, -order, 0]
        assert count.item() == 5


def test_a_slice_that_was_missed_in_between_changes_no_level(stack):
    areas = stack[:, :, :2].clone()
    areas[:, 3] = 0
    shown, level, count = places(areas)
    assert shown[0].tolist() == [0, 1, 1, 0, 1, 1, 0]
    assert level[0].tolist() == [0, 1, 0.5, 0, -0.5, -1, 0]
    assert count.item() == 5


def test_two_slices_do_not_tell_their_levels(stack):
    assert places(stack[:, 3:, :2])[0].sum() == 3
    assert places(stack[:, 4:, :2])[0].sum() == 0


def test_a_disc_grows_as_fast_as_its_edge_moves():
    x, y = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    disc = (x**2 + y**2 < 20**2).float()
    away = torch.stack((x, y))[None, :, None] * 0.06  # 0.4 pixels a cycle and pixel
    assert growth(disc[None, None], away).item() == pytest.approx(2 * 0.06 / PIXEL_CM * float(disc.sum()), rel=1e-4)
    around = torch.stack((-y, x))[None, :, None]
    assert growth(disc[None, None], around + 3).abs().item() < 1e-2  # what turns and shifts does not grow


def test_means_and_slopes_of_the_slices_that_are_shown():
    values = torch.tensor([[[9.0], [1.0], [2.0], [6.0], [9.0]]])
    shown, level = torch.tensor([[0.0, 1, 1, 1, 0]]), torch.tensor([[0.0, 1, 0, -1, 0]])
    assert mean_over(values, shown).tolist() == [[3]]
    assert slope_over(values, shown, level).tolist() == [[-2.5]]
    assert mean_over(values, 0 * shown).tolist() == [[0]]


@torch.no_grad()
def test_either_order_gives_the_same(prior, stack):
    torch.testing.assert_close(prior(stack), prior(stack.flip(1)).flip(1))


@torch.no_grad()
def test_slices_without_a_ventricle_change_nothing(prior, stack):
    change = prior(stack)
    torch.testing.assert_close(prior(stack[:, 1:6]), change[:, 1:6])
    assert (change[:, [0, 6]] == 0).all()
    assert (change[:, 1:6].abs().amax(2) > 0).all()


@torch.no_grad()
def test_a_cine_may_begin_anywhere(prior, stack):
    torch.testing.assert_close(prior(stack.roll(7, 3)), prior(stack).roll(7, 2), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_before_it_has_learnt_it_agrees_with_the_slices(stack):
    torch.testing.assert_close(StackPrior().eval()(stack), torch.zeros(1, 7, 36), atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_is_told_changes_smoothly_from_apex_to_base(prior, stack):
    """As a parabola does, but for the part of each slice's own that it leaves."""
    only = StackPrior().eval()
    only.load_state_dict(prior.state_dict())
    only.own.zero_()
    told = (stack[:, :, 6] + only(stack))[0, 1:6]
    torch.testing.assert_close(told.diff(n=3, dim=0), torch.zeros(2, 36), atol=1e-4, rtol=0)


@torch.no_grad()
def test_what_is_measured_is_what_the_assessment_finds(prior):
    blocks = torch.rand(1, 8, 3, 32, 36)
    blocks[:, 1:4] = torch.softmax(4 * blocks[:, 1:4], dim=1)
    measured = prior.measure(blocks)
    torch.testing.assert_close(measured[:, 0], blocks[:, 3].sum((2, 3)))
    torch.testing.assert_close(measured[:, 1], blocks[:, 2:4].sum((1, 3, 4)))
    torch.testing.assert_close(measured[:, 2], growth(blocks[:, 3], blocks[:, 4:6]))
    torch.testing.assert_close(measured[:, 4:], VelocityAssessment()(blocks[:, 2], blocks[:, 4:7]))


def test_tissue_follows_the_ventricle_less_with_distance():
    disc = ((torch.arange(64) - 20.0)[:, None] ** 2 + (torch.arange(64) - 20.0) ** 2 < 100).float()[None, None]
    follow = following(disc)[0, 0]
    assert (follow[disc[0, 0] > 0] == 1).all()
    row = follow[20, 20:]
    assert (row.diff() <= 0).all()
    assert row[-1] == pytest.approx(math.exp(-(43 - 1.2 * math.sqrt(disc.sum() / math.pi)) / 15), rel=1e-4)


def test_a_frame_without_a_ventricle_moves_nothing():
    assert (following(torch.zeros(1, 2, 40, 40)) == 0).all()
    assert (following(torch.full((1, 1, 40, 40), 5e-4)) == 0).all()


@pytest.fixture(scope="module")
def pred():
    """What a network could make of a stack of five round walls, two frames by three: [1, 8 * 6, 48, 48, 5]."""
    blocks = torch.zeros(1, 8, 6, 48, 48, 5)
    away = torch.hypot(*torch.meshgrid(torch.arange(48) - 23.5, torch.arange(48) - 23.5, indexing="ij"))
    for z, radius in enumerate((14, 13, 12, 10, 7)):
        blocks[:, 3, ..., z] = (away < radius).float()
        blocks[:, 2, ..., z] = (away < radius + 4).float() - blocks[:, 3, ..., z]
    blocks[:, 1] = 1 - blocks[:, 2] - blocks[:, 3]
    blocks[:, 4:7] = torch.randn(3, 6, 48, 48, 5, generator=torch.Generator().manual_seed(0))
    return blocks.flatten(1, 2)


@torch.no_grad()
def test_the_mean_along_the_axis_becomes_what_the_stack_says_and_nothing_else_changes(prior, pred):
    network = HDLNet().eval()
    network.stack.load_state_dict(prior.state_dict())
    before, after = (x.unflatten(1, (8, -1)) for x in (pred, network.in_stack(pred.clone())))
    assert torch.equal(after[:, :6], before[:, :6])
    assert torch.equal(after[:, 7], before[:, 7])
    measured = torch.stack([network.stack.measure(before[..., z]) for z in range(5)], 1)
    told = network.stack(measured)
    assert told.abs().max() > 0.1
    for z in range(5):
        wanted = measured[:, z, 6] + told[:, z]
        torch.testing.assert_close(network.stack.measure(after[..., z])[:, 6], wanted, atol=1e-4, rtol=1e-4)
        change = (after - before)[0, 6, ..., z][:, before[0, 2, 0, ..., z] > 0]
        assert change.std(1).max() < 1e-5  # alike all around the wall


@torch.no_grad()
def test_in_training_slices_stay_by_themselves(prior, pred):
    network = HDLNet()
    network.stack.load_state_dict(prior.state_dict())
    assert torch.equal(network.train().in_stack(pred.clone()), pred)
    assert not torch.equal(network.eval().in_stack(pred.clone()), pred)


@torch.no_grad()
def test_half_precision_is_corrected_alike(prior, pred):
    network = HDLNet().eval()
    network.stack.load_state_dict(prior.state_dict())
    coarse = network.in_stack(pred.half()).float()
    torch.testing.assert_close(coarse, network.in_stack(pred.clone()), atol=0.02, rtol=0.01)


@torch.no_grad()
def test_two_slices_stay_as_they_are_in_any_engine(prior, pred):
    network = HDLNet().eval()
    network.stack.load_state_dict(prior.state_dict())
    scripted = torch.jit.script(network)
    assert torch.equal(network.in_stack(pred[..., :2].clone()), pred[..., :2])
    assert torch.equal(scripted.in_stack(pred[..., :2].clone()), pred[..., :2])
    torch.testing.assert_close(scripted.in_stack(pred.clone()), network.in_stack(pred.clone()))


@torch.no_grad()
def test_a_stack_is_its_slices_and_what_they_say_together(prior):
    torch.manual_seed(0)
    network = HDLNet(upsampling_factor=2).eval()
    network.stack.load_state_dict(prior.state_dict())
    image = torch.rand(1, 3, 32, 32, 3)
    slices = torch.stack([network(image[..., z]) for z in range(3)], dim=-1)
    stack = network(image)
    assert not torch.equal(stack, slices)
    assert torch.equal(stack, network.in_stack(slices))


def test_a_loss_reaches_the_network_through_a_stack():
    network = HDLNet(upsampling_factor=1).eval()
    pred = network(torch.rand(1, 3, 32, 32, 3))
    pred.unflatten(1, (8, -1))[:, 6].square().mean().backward()
    assert network.synthesis.velocity_out.weight.grad.abs().max() > 0
