"""The published network, defects mended."""

import pytest
import torch

from scripts.networks.r2unet import FULL_WIDTH, R2UHDL, Recurrent, RecurrentResidual, folded

WIDTHS = (4, 4, 6, 6, 8)


@pytest.fixture(scope="module")
def network():
    """A narrow one with random weights."""
    torch.manual_seed(0)
    return R2UHDL(2, widths=WIDTHS).eval()


def run(network, image, factor=2, cyclic=1):
    network.upsampling_factor, network.cyclic = factor, cyclic
    with torch.inference_mode():
        return network(image).unflatten(1, (8, -1))


def test_recurrence_feeds_back_its_result():
    block = Recurrent(1).eval()
    convolution = block.steps[0][0]
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    convolution.weight.data[0, 0, 1, 1] = 0.5
    # x = 1: 0.5; (1 + 0.5) / 2 = 0.75; (1 + 0.75) / 2 = 0.875. Twice its input would give 1.
    assert float(block(torch.ones(1, 1, 1, 1))) == pytest.approx(0.875, abs=1e-4)


def test_steps_share_a_convolution_and_do_in_evaluation_what_they_did_in_training():
    torch.manual_seed(1)
    block = torch.nn.Sequential(*(RecurrentResidual(8, 8) for _ in range(3)))
    recurrent = block[0].body[0]
    assert all(step[0] is recurrent.steps[0][0] for step in recurrent.steps)
    x = torch.randn(8, 8, 24, 24)
    with torch.no_grad():
        for _ in range(60):
            block(torch.randn(8, 8, 24, 24))
        trained, used = block(x), block.eval()(x)
    # Statistics of one batch differ a little from their average; one set for all steps is no statistics of any of them.
    assert (used - trained).abs().mean() < 0.25 * trained.abs().mean()


def test_acquired_frames_stay_and_probabilities_add_up(network):
    image = 300 * torch.rand(2, 4, 32, 41)
    pred = run(network, image, 3)
    assert pred.shape == (2, 8, 12, 32, 41)
    assert torch.equal(pred[:, 0, ::3], image)
    assert torch.allclose(pred[:, 1:4].sum(1), torch.ones(()), atol=1e-5)
    assert pred.isfinite().all()


def test_a_cyclic_cine_may_begin_anywhere(network):
    image = torch.rand(1, 5, 32, 32)
    there, here = run(network, image), run(network, image.roll(2, 1))
    assert torch.allclose(here, there.roll(4, 2), atol=1e-4)
    assert not torch.allclose(run(network, image.roll(2, 1), cyclic=0), there.roll(4, 2), atol=1e-4)


def test_brightness_does_not_matter(network):
    image = torch.rand(1, 4, 32, 32)
    a, b = run(network, image), run(network, 1000 * image)
    assert torch.allclose(1000 * a[:, 0], b[:, 0], rtol=1e-3, atol=1e-1)
    assert torch.allclose(a[:, 1:], b[:, 1:], atol=1e-4)


def test_the_time_map_and_the_masks_matter(network):
    pair, masks = torch.rand(1, 2, 32, 32), torch.zeros(1, 4, 32, 32)
    module, gap = network.interpolator, torch.full((1,), 0.1)
    with torch.inference_mode():
        first, second = (
            module.decode(module.encode(pair, m), torch.full((1,), t), gap)[0] for m, t in ((masks, 0.2), (masks, 0.8))
        )
        guided = module.decode(module.encode(pair, masks + 1), torch.full((1,), 0.2), gap)[0]
    assert not torch.allclose(first, second, atol=1e-6)
    assert not torch.allclose(first, guided, atol=1e-6)


def test_torchscript_agrees(network, tmp_path):
    path = tmp_path / "model.ts"
    torch.jit.script(network).save(str(path))
    scripted = torch.jit.load(str(path))
    for shape, factor, cyclic in (((1, 3, 32, 32), 6, 1), ((2, 4, 33, 48), 1, 0)):
        image = torch.rand(shape)
        assert torch.allclose(run(network, image, factor, cyclic), run(scripted, image, factor, cyclic), atol=1e-4)


def test_folding_the_normalisation_changes_nothing():
    network = R2UHDL(2, widths=WIDTHS)
    with torch.no_grad():
        for _ in range(3):  # statistics of its own
            network(torch.rand(1, 3, 32, 32))
    network.eval()
    plain, quick = network, folded(network)
    image = torch.rand(1, 4, 32, 32)
    assert torch.allclose(run(plain, image), run(quick, image), atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in quick.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in plain.modules())


def test_full_width_has_the_published_size():
    with torch.device("meta"):
        network = R2UHDL()
    assert [level.project.out_channels for level in network.generator.encoder.levels] == list(FULL_WIDTH)
    assert sum(p.numel() for p in network.parameters()) > 60e6


@torch.no_grad()
def test_a_stack_is_its_slices():
    network = R2UHDL(upsampling_factor=2, widths=(4, 4, 4, 4, 4)).eval()
    image = torch.rand(1, 3, 32, 32, 3)
    slices = torch.stack([network(image[..., z]) for z in range(3)], dim=-1)
    assert torch.equal(network(image), slices)
