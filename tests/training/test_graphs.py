"""Iterations that a CUDA graph can hold: the same as MONAI's, and nothing in them asks or waits for the processor."""

import copy
from collections import Counter

import pytest
import torch
from monai.engines import AdversarialTrainer
from monai.networks.nets import PatchDiscriminator
from monai.utils.enums import AdversarialIterationEvents
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scripts.networks import HDLNet
from scripts.networks.r2unet import R2UHDL
from scripts.training import paper
from scripts.training.graphs import GraphedTrainer
from scripts.training.handlers import ClipGradients
from scripts.training.losses import TogetherLoss, least_squares
from scripts.training.simulated import phantom_sources
from scripts.training.stages import SynthesisStage, TruePairs, discriminate, prepare_batch
from scripts.training.windows import Windows

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


class Operators(TorchDispatchMode):
    """Counts what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masked = any(isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in tree_leaves(args[1:]))
        self.count["masked_select" if name.startswith("index") and masked else name] += 1
        return func(*args, **(kwargs or {}))


def made(trainer: type[AdversarialTrainer], device: str) -> AdversarialTrainer:
    torch.manual_seed(0)
    windows = Windows(phantom_sources(2, 11, 64), 48, 6, velocities=True, device=device)
    stage = SynthesisStage(HDLNet().to(device), half_precision=False, together=True)
    critic = PatchDiscriminator(spatial_dims=2, channels=8, in_channels=4, num_layers_d=1, norm="INSTANCE").to(device)
    engine = trainer(
        device=torch.device(device),
        max_epochs=1,
        train_data_loader=torch.utils.data.DataLoader(windows, batch_size=2, collate_fn=lambda batch: batch),
        g_network=stage,
        # No decay, which needs no gradient; and steps in proportion to it, where rounding alone would make a whole one.
        g_optimizer=torch.optim.AdamW(stage.parameters(), 1e-2, eps=1.0, weight_decay=0.0),
        g_loss_function=lambda logits: 0.01 * least_squares(logits, True),
        recon_loss_function=TogetherLoss(),
        d_network=critic,
        d_optimizer=torch.optim.Adam(critic.parameters(), 1e-3, eps=1.0),
        d_loss_function=lambda real, fake: least_squares(real, True) + least_squares(fake, False),
        d_inferer=discriminate,
        prepare_batch=prepare_batch,
        decollate=False,
        event_names=list(AdversarialIterationEvents),
    )
    ClipGradients(stage, event=AdversarialIterationEvents.GENERATOR_BACKWARD_COMPLETED).attach(engine)
    TruePairs().attach(engine)
    return engine


@pytest.mark.parametrize("device", DEVICES)
def test_an_iteration_is_that_of_the_plain_trainer(device):
    plain, graphed = made(AdversarialTrainer, device), made(GraphedTrainer, device)
    graphed.WARM_UP = 0 if device == "cpu" else 1
    before = copy.deepcopy(plain.state.g_network.state_dict())
    batches = list(plain.data_loader)
    for batch in [batches[0]] * (device == "cuda") + batches:  # the first one is a warm-up, too
        plain._iteration(plain, batch)
    for batch in batches:
        graphed._iteration(graphed, batch)
    old, new = plain.state.g_network.state_dict(), graphed.state.g_network.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in new.items())
    assert all(torch.allclose(value, old[name], atol=1e-5) for name, value in new.items())


WAITS = {"_local_scalar_dense", "lift_fresh", "nonzero", "masked_select"}
"""Reading a number, making a tensor of one, and shapes that depend on values: a capture fails on each."""


def test_nothing_in_an_iteration_waits_for_the_processor_or_brings_numbers_from_it():
    engine = made(GraphedTrainer, "cpu")
    batch = next(iter(engine.data_loader))
    for optimizer in (engine.state.g_optimizer, engine.state.d_optimizer):
        optimizer.step = lambda: None  # reads its own counters where it is not told to be capturable
    with Operators() as operators:
        engine._iteration(engine, batch)
    assert operators.count["convolution_backward"] > 0
    assert not WAITS & set(operators.count)


@pytest.mark.parametrize(
    "wait", [lambda x: x.sum().item(), lambda x: x + torch.tensor([1.0]), lambda x: x[x > 0], lambda x: x[:, [1, 0]]]
)
def test_what_waits_is_seen(wait):
    with Operators() as operators:
        wait(torch.ones(3, 2))
    assert WAITS & set(operators.count)


def test_neither_does_anything_of_the_published_network():
    windows = paper.NeighbourWindows(phantom_sources(2, 11, 64), 48, 2, velocities=True)
    stage, batch = paper.PaperSynthesisStage(R2UHDL(widths=(4, 4, 8, 8, 8)), False), windows.__getitems__([0, 1])
    with Operators() as operators:
        paper.PaperSynthesisLoss()(stage(batch), batch).backward()
    assert operators.count["convolution_backward"] > 0
    assert not WAITS & set(operators.count)
