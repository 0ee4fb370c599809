"""The network's contract: shapes, acquired frames, scale, cycles, and what bad input is told."""

import copy

import pytest
import torch
import torch.nn.functional as F

from scripts.networks import HDLNet, hdlnet
from scripts.networks.cycle import neighbours, whole_cycle
from scripts.networks.motion import gap_view, warp
from scripts.networks.turns import turn, turn_vectors


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = HDLNet().eval()
    # An untrained head says next to nothing; louder ones make differences show.
    with torch.no_grad():
        for layer in (net.interpolation.motion_out, net.interpolation.image_out, net.synthesis.velocity_out):
            layer.weight.normal_(std=0.05)
    return net


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 5, 48, 52, generator=torch.Generator().manual_seed(1)) * 900


CYCLIC = torch.ones(1, dtype=torch.int64)


def test_parameters_stay_within_the_budget(network):
    assert sum(p.numel() for p in network.parameters()) <= 2_500_000


@pytest.mark.parametrize(
    ("shape", "factor"), [((1, 3, 32, 32), 6), ((2, 4, 33, 47), 2), ((1, 7, 64, 40), 1), ((1, 3, 32, 35, 2), 3)]
)
@torch.no_grad()
def test_shapes(network, shape, factor):
    network.upsampling_factor = factor
    pred = network(torch.rand(shape))
    assert pred.shape == (shape[0], 8 * shape[1] * factor, *shape[2:])
    network.upsampling_factor = 6


@torch.no_grad()
def test_acquired_frames_come_out_unchanged(network, image):
    pred = network(image).unflatten(1, (8, -1))
    assert torch.equal(pred[:, 0, ::6], image)


@torch.no_grad()
def test_probabilities_are_probabilities(network, image):
    pred = network(image).unflatten(1, (8, -1))
    assert torch.allclose(pred[:, 1:4].sum(1), torch.ones_like(pred[:, 0]), atol=1e-5)
    assert pred[:, [1, 2, 3, 7]].min() >= 0
    assert pred[:, [1, 2, 3, 7]].max() <= 1


@torch.no_grad()
@pytest.mark.parametrize("scale", [2, 1e-12, 1e12])
def test_brightness_scales_the_magnitude_and_nothing_else(network, image, scale):
    once, scaled = (network(image * k).unflatten(1, (8, -1)) for k in (1, scale))
    assert torch.allclose(once[:, 0], scaled[:, 0] / scale, rtol=1e-3, atol=0.05)
    assert torch.allclose(once[:, 1:], scaled[:, 1:], atol=1e-3)


@torch.no_grad()
def test_a_cycle_may_start_anywhere(network, image):
    exact = copy.deepcopy(network).double()  # in double precision nothing but the order of frames can differ
    pred = exact(image.double()).unflatten(1, (8, -1))
    rolled = exact(image.double().roll(2, 1)).unflatten(1, (8, -1))
    assert torch.allclose(pred.roll(12, 2), rolled, atol=1e-6)


@torch.no_grad()
def test_a_cine_that_ends_does_not_look_around_its_end(network, image):
    other = image.clone()
    other[:, 0] = image[:, 0].flip(-1)
    open_ended = torch.zeros(1, dtype=torch.int64)
    seen = []
    for cine in (image[..., :48], other[..., :48]):
        view, _ = gap_view(cine[:, neighbours(5, open_ended)[4]])
        cycle = whole_cycle(F.avg_pool2d(cine, 8), open_ended)[:, 4]
        seen.append(network.interpolation.encode(view, cycle, torch.full((1,), 0.2))[0])
    assert torch.equal(*seen)
    assert neighbours(5, CYCLIC)[4].tolist() == [3, 4, 0, 1]
    assert neighbours(5, open_ended)[4].tolist() == [3, 4, 4, 4]


@torch.no_grad()
def test_what_comes_and_goes_is_no_ventricle_but_in_training(network, image, monkeypatch):
    monkeypatch.setattr(hdlnet, "stays", lambda ventricle: torch.zeros(len(ventricle), 1, 1, 1))
    pred = network(image).unflatten(1, (8, -1))
    assert pred[:, 1].min() > 0.999
    look = network.look(image, CYCLIC)
    assert not look.window.any()
    assert not look.areas.any()
    learning = copy.deepcopy(network).train()
    assert learning.look(image, CYCLIC).window.any()


@torch.no_grad()
def test_whether_a_ventricle_stays_is_said_by_all_views_alike(network, image, monkeypatch):
    shown, labels = [], []
    monkeypatch.setattr(hdlnet, "stays", lambda ventricle: shown.append(ventricle) or torch.ones(1, 1, 1, 1))
    for believed in ([1.0, 0.0], [0.0, 1.0]):
        weights = torch.tensor(believed)[:, None, None].expand(-1, 1, image.shape[1])
        monkeypatch.setattr(hdlnet, "trust", lambda *_, weights=weights: weights)
        labels.append(network.look(image, CYCLIC).labels)
    assert torch.equal(*shown)
    assert (labels[0] - labels[1]).abs().max() > 0.1


@pytest.mark.parametrize("turns", [1, 2, 3])
@torch.no_grad()
def test_who_looks_at_all_turns_of_a_picture_turns_everything_with_it(network, turns):
    everywhere = HDLNet(views=4).eval()
    everywhere.load_state_dict(network.state_dict())
    # Sizes that need no padding, so that turning moves no pixel against the coarser levels.
    image = torch.rand(1, 4, 48, 64, generator=torch.Generator().manual_seed(3)) * 500
    here, there = (everywhere(x).unflatten(1, (8, -1))[0] for x in (image, turn(image, turns)))
    assert torch.allclose(turn(here[0], turns), there[0], atol=0.05)
    assert torch.allclose(turn(here[[1, 2, 3, 7]], turns), there[[1, 2, 3, 7]], atol=1e-4)
    velocity = turn_vectors(here[4:7].movedim(0, 1), turns).movedim(0, 1)
    assert torch.allclose(velocity, there[4:7], atol=1e-3)
    once = network(image).unflatten(1, (8, -1))[0]
    assert (once[4:7] - here[4:7]).abs().max() > 0.1  # two of the four views are not the mean of all


@torch.no_grad()
def test_frames_are_the_mean_of_what_is_made_of_each_view(network):
    image = torch.rand(1, 4, 48, 32, generator=torch.Generator().manual_seed(3)) * 500
    alone = HDLNet(views=1).eval()
    alone.load_state_dict(network.state_dict())
    one, two = alone(image)[0, :24], turn(alone(turn(image, 1))[0, :24], 3)
    both = network(image)[0, :24]
    seen = (one > 0) & (two > 0)  # nothing is darker than no signal: what would be is cut off
    assert seen.float().mean() > 0.3
    assert torch.allclose(((one + two) / 2)[seen], both[seen], atol=0.02)
    assert (one - both).abs().max() > 1


@pytest.mark.parametrize("views", [0, 5])
def test_a_number_of_views_that_is_none_is_refused(views):
    with pytest.raises(ValueError, match="views: expected 1 to 4"):
        HDLNet(views=views)(torch.rand(1, 3, 32, 32))


def test_a_stack_is_its_slices(network):
    stack = torch.rand(1, 3, 32, 32, 2)
    together = network(stack)
    for z in range(2):
        assert torch.allclose(together[..., z], network(stack[..., z]), atol=1e-4)


@torch.no_grad()
def test_scripting_changes_nothing_and_takes_another_factor(network, image):
    scripted = torch.jit.script(network)
    assert torch.allclose(network(image), scripted(image), atol=1e-4)
    scripted.upsampling_factor = 2
    assert scripted(image).shape[1] == 8 * 5 * 2


@pytest.mark.parametrize(
    ("shape", "words"), [((1, 2, 32, 32), "3 frames"), ((1, 3, 31, 32), "32 x 32"), ((3, 32, 32), r"\[N, T, X, Y\]")]
)
def test_bad_input_is_told_why(network, shape, words):
    with pytest.raises(ValueError, match=words):
        network(torch.rand(shape))


def test_warp_samples_where_it_is_sent():
    image = torch.arange(30.0).view(1, 1, 5, 6)
    one_down = torch.zeros(1, 2, 5, 6)
    one_down[:, 0] = 1
    assert torch.allclose(warp(image, one_down)[..., :4, :], image[..., 1:, :], atol=1e-4)
    half_right = torch.zeros(1, 2, 5, 6)
    half_right[:, 1] = 0.5
    assert torch.allclose(warp(image, half_right)[..., :5], image[..., :5] + 0.5, atol=1e-4)
