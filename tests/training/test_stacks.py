"""Stacks to learn from: what is known of them, which views of them are drawn; and the stage."""

import itertools

import pytest
import torch

from scripts.networks import HDLNet
from scripts.networks.stack import places
from scripts.training import stacks
from scripts.training.beats import USUAL

from .overlay import changed_by


@pytest.fixture(scope="module")
def made():
    """Stacks whose slices are told apart by their curves; the first slice shows nothing, nobody knows the last."""
    generator, result = torch.Generator().manual_seed(0), []
    for slices in (9, 6):
        measured = torch.randn(slices, 7, 36, generator=generator)
        radius = torch.arange(slices, 0, -1.0) + 20
        measured[:, 0], measured[:, 1] = radius[:, None] ** 2, 2 * radius[:, None] ** 2
        measured[0] = 0
        known = torch.ones(slices)
        known[-1] = 0
        curves = torch.arange(slices)[:, None] + torch.sin(torch.arange(36.0))
        result.append({"measured": measured, "curves": curves, "known": known})
    return result


@pytest.fixture
def one_thread():
    """Processes of ``Simulated.all`` have one thread each; more would add up in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@torch.no_grad()
@pytest.mark.usefixtures("one_thread")
def test_an_imaged_stack_is_what_the_network_sees_of_it():
    torch.manual_seed(0)
    imaged = stacks.imaged_stacks(HDLNet(views=1), 2, 3, size=48)
    first, second = imaged[0], imaged[1]
    assert {k: v.shape[1:] for k, v in first.items()} == {"measured": (7, 36), "curves": (36,), "known": ()}
    assert len({len(v) for v in first.values()}) == 1
    assert first["known"][0] == 0  # above the base
    moved = first["curves"].abs().mean(1)[first["known"] > 0]
    assert moved[0] > moved[-1]
    again = imaged.all(2, "stacks")
    assert all(torch.equal(again[1][k], second[k]) for k in second)


def test_a_batch_holds_slices_of_one_stack_evenly_apart_in_either_order(made):
    data = stacks.Stacks(made, 0, 60)
    steps, counts = set(), set()
    for stack in torch.utils.data.DataLoader(data, batch_size=None):
        assert stack["measured"].shape == (stacks.MOST_SLICES, 7, 36)
        shown, level, _ = places(stack["measured"][None, :, :2])
        assert (shown[0, stack["known"] > 0] == 1).all()
        numbers = stack["curves"][:, 0][stack["curves"].abs().sum(1) > 0].tolist()
        apart = {int(b - a) for a, b in itertools.pairwise(numbers)}
        assert len(apart) == 1
        steps |= apart
        counts.add(len(numbers))
        assert (level[0][shown[0] > 0].diff() * min(apart) < 0).all()  # the first slices are the base's
    assert steps == {-2, -1, 1, 2}
    assert {9, 8, 7, 6, 5, 4} <= counts


def test_known_is_what_somebody_knows_of_slices_that_are_seen(made):
    assert stacks.padded(made[1])["known"].tolist() == [0, 1, 1, 1, 1, 0] + [0] * 14


def test_the_loss_by_hand():
    truth = torch.zeros(1, 2, 4)
    truth[0, :, 1] = 2 * USUAL[2]
    target = {"curves": truth, "known": torch.tensor([[1.0, 0.0]])}
    found = truth.clone()
    found[0, 1] = 99  # nobody knows of this slice
    assert stacks.stack_loss(found, target) == 0
    found[0, 0] /= 2
    assert stacks.stack_loss(found, target, 0.2) == pytest.approx(1 / 4 + 0.2)
    assert stacks.stack_error({"pred": found, "label": target}) == pytest.approx(0.5)


def test_a_correlation_of_peaks_by_hand():
    curves = torch.tensor([[[0.0, 1, -3], [0, 2, -2], [0, 3, -7], [0, 9, 9]]])
    output = {"pred": 2 * curves + 1, "label": {"curves": curves, "known": torch.tensor([[1.0, 1, 1, 0]])}}
    assert stacks.peak_correlation(output, True) == pytest.approx(1)
    output["pred"] = -curves
    assert stacks.peak_correlation(output, False) == pytest.approx(
        float(torch.corrcoef(torch.tensor([[-1.0, -2, -3], [-3, -2, -7]]))[0, 1]), abs=1e-5
    )


def test_the_stage_learns_what_the_stack_says_and_nothing_else(made):
    torch.manual_seed(0)
    network = HDLNet()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    stage = stacks.StackStage(network)
    batch = next(iter(torch.utils.data.DataLoader(stacks.Stacks(made, 0, 4), batch_size=4)))
    optimizer = torch.optim.Adam(stage.parameters(), 0.01)
    losses = []
    for _ in range(20):
        loss = stacks.stack_loss(stage(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {k for k in before if k.startswith("stack.")}


@pytest.mark.slow
@pytest.mark.integration
def test_the_config_writes_weights_of_which_the_stack_is_new(root, tmp_path):
    stack = {name for name in HDLNet().state_dict() if name.startswith("stack.")}
    assert changed_by("train_stack", root, tmp_path, imaged=8, size=48) == stack
