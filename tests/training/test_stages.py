"""The stages: what each hands to its loss, and which weights learn."""

import pytest
import torch
from torch.utils.data import default_collate

from scripts.networks import HDLNet
from scripts.training.losses import InterpolationLoss, SynthesisLoss, TogetherLoss
from scripts.training.simulated import phantom_sources
from scripts.training.stages import InterpolationStage, SynthesisStage, discriminate, favour_wall, in_bfloat16
from scripts.training.windows import Windows


@pytest.fixture(scope="module")
def batch():
    windows = Windows(phantom_sources(2, 11, 64), 48, 2, velocities=True)
    return default_collate([windows[k] for k in range(2)])


def test_the_synthesis_learns_and_the_interpolation_does_not(batch):
    network = HDLNet()
    pairs = SynthesisStage(network)(batch)
    assert pairs.shape == (2 * 3, 14, 48, 48)
    SynthesisLoss()(pairs, batch).backward()
    assert all(p.grad is None for p in network.interpolation.parameters())
    assert network.synthesis.velocity_out.weight.grad.abs().sum() > 0
    assert network.synthesis.beat.curves.weight.grad.abs().sum() > 0


def test_together_both_learn(batch):
    network = HDLNet()
    pairs = SynthesisStage(network, together=True)(batch)
    loss = TogetherLoss()(pairs, batch)
    alone = InterpolationStage(network)(batch)
    # The interpolation's part is that of its own stage.
    rest = loss - SynthesisLoss()(pairs, batch)
    assert rest.item() == pytest.approx(InterpolationLoss(segmentation=0.5)(alone, batch).item(), rel=1e-4)
    loss.backward()
    for layer in (network.interpolation.image_out, network.interpolation.motion_out, network.synthesis.velocity_out):
        assert layer.weight.grad.abs().sum() > 0


def test_pictures_alone_can_learn_over_features_and_motion_that_stay(batch):
    network = HDLNet()
    InterpolationLoss()(InterpolationStage(network, pictures_only=True)(batch), batch).backward()
    learnt = {name for name, p in network.interpolation.named_parameters() if p.grad is not None}
    assert {name.split(".")[0] for name in learnt} == {"image_in", "image_time", "image_body", "image_out"}
    assert all(network.interpolation.get_parameter(name).grad.any() for name in learnt)


def test_the_wall_can_be_made_likelier_and_nothing_else_changes(batch):
    torch.manual_seed(0)
    network = HDLNet()
    stage = InterpolationStage(network, half_precision=False)
    before = stage(batch)
    favour_wall(network.interpolation, 0.6)
    after = stage(batch)
    change = after["logits"] - before["logits"]
    assert torch.allclose(change, torch.tensor([0.0, 0.6, 0.0])[:, None, None].expand_as(change), atol=1e-5)
    assert torch.equal(after["magnitude"], before["magnitude"])
    assert torch.equal(after["motion"], before["motion"])


def test_velocities_teach_what_the_interpolation_sees_but_not_its_labels(batch):
    network = HDLNet()
    torch.nn.init.normal_(network.synthesis.velocity_out.weight)
    SynthesisLoss()(SynthesisStage(network, together=True)(batch), batch).backward()
    assert network.interpolation.trunk.stem.weight.grad.abs().sum() > 0
    for layer in (network.interpolation.image_out, network.interpolation.motion_out):
        assert layer.weight.grad is None or not layer.weight.grad.any()


def test_the_discriminator_teaches_velocities_alone(batch):
    network = HDLNet()
    judge = torch.nn.Conv2d(4, 1, 3)
    pairs = SynthesisStage(network, together=True)(batch)
    discriminate(pairs, lambda shown: [judge(shown)]).mean().backward()
    assert network.synthesis.velocity_out.weight.grad.abs().sum() > 0
    assert network.interpolation.image_out.weight.grad is None or not network.interpolation.image_out.weight.grad.any()


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
