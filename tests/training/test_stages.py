"""The stages: what each hands to its loss, and which weights learn."""

import pytest
import torch
from torch.utils.data import default_collate

from scripts.networks import HDLNet
from scripts.training.losses import SynthesisLoss
from scripts.training.sources import phantom_sources
from scripts.training.stages import SynthesisStage, in_bfloat16
from scripts.training.windows import Windows


@pytest.fixture(scope="module")
def batch():
    windows = Windows(phantom_sources(2, 11, 64), 48, 2, velocities=True)
    return default_collate([windows[k] for k in range(2)])


def test_the_synthesis_learns_and_the_interpolation_does_not(batch):
    network = HDLNet()
    pairs = SynthesisStage(network)(batch)
    assert pairs.shape == (2 * 3, 10, 48, 48)
    SynthesisLoss()(pairs, batch).backward()
    assert all(p.grad is None for p in network.interpolation.parameters())
    assert network.synthesis.velocity_out.weight.grad.abs().sum() > 0
    assert network.synthesis.beat.curves.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("can", "wanted", "enabled"),
    [
        ({"avx2": True}, True, False),
        ({"avx2": True, "avx512_bf16": True}, True, True),
        ({"avx512_bf16": True}, False, False),
        ({"neon": True, "bf16": True}, True, True),
    ],
)
def test_a_processor_without_bfloat16_computes_in_float32(monkeypatch, can, wanted, enabled):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    with in_bfloat16(torch.device("cpu"), wanted):
        product = torch.rand(2, 2) @ torch.rand(2, 2)
    assert product.dtype == (torch.bfloat16 if enabled else torch.float32)
