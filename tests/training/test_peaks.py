"""The stage of peaks: longitudinal peaks as high as they are, by one row of one layer, through the whole network."""

from dataclasses import replace

import pytest
import torch

from scripts.networks import HDLNet, VelocityAssessment
from scripts.training.beats import USUAL
from scripts.training.peaks import PeakStage, WholeBeats, peak_bias, peak_loss, when_highest, whole_beat
from scripts.training.simulated import HEARTS, Simulated, phantom_sources
from scripts.training.sources import real_sources
from scripts.training.sunnybrook import RealSlice

from .overlay import changed_by

LAYER = {"synthesis.beat.curves.weight", "synthesis.beat.curves.bias"}


@pytest.fixture(scope="module")
def slices():
    torch.manual_seed(0)
    return phantom_sources(6, 11, 48, HEARTS)


def whole_beats(slices):
    return WholeBeats(Simulated(lambda number, _: slices[number], len(slices), 0), 0)


def test_slices_that_the_ventricle_leaves_take_no_part(slices):
    left = slices[0].areas.clone()
    left[5] = 0
    stays = [source for source in slices if (source.areas[:, 1] > 0).all()]
    assert len(whole_beats([*stays, replace(slices[0], areas=left)])) == len(stays) > 0


def test_a_beat_shows_every_sixth_frame_with_noise_and_knows_all_curves(slices):
    source = slices[0]
    beat = whole_beat(source, torch.Generator().manual_seed(0))
    assert beat["image"].shape[0] * 6 == beat["wall"].shape[0] == beat["curves"].shape[0]
    apart = (beat["image"] - source.magnitude[::6].float()).std()
    assert 0.4 * source.noise < apart < 1.2 * source.noise
    frame = 7
    wall, velocity = source.wall[frame].float(), source.velocity[:, frame].float()
    mean = (velocity[2] * wall).sum() / wall.sum()
    assert torch.allclose(beat["curves"][frame, 2], mean, atol=1e-4)


def test_of_a_patient_nobody_knows_the_curves():
    frames = torch.rand(3, 32, 32)
    patient = RealSlice("P", 0, frames, cyclic=True, labels={0: torch.zeros(32, 32, dtype=torch.uint8)})
    (source,) = real_sources([patient])
    with pytest.raises(ValueError, match="expected a simulated slice"):
        whole_beat(source, torch.Generator())


def test_the_loss_by_hand():
    truth = torch.zeros(1, 4, 3)
    truth[0, 1, 2] = 2 * USUAL[2]
    assert peak_loss(truth, {"curves": truth}) == 0
    # Half as high a peak: one of twelve errors is 1, one of three components peaks 1 too low.
    assert peak_loss(truth / 2, {"curves": truth}, 0.2, 0.0) == pytest.approx(1 / 12 + 0.2 / 3)
    # As high, but at another time: the curve is wrong, and a quarter of the cycle late.
    later = truth.roll(1, 1)
    assert peak_loss(later, {"curves": truth}, 0.2, 0.0) == pytest.approx(8 / 12)
    late = peak_loss(later, {"curves": truth}, 0.2, 3.0) - peak_loss(later, {"curves": truth}, 0.2, 0.0)
    assert late == pytest.approx(3 * 0.25**2 / 3, rel=1e-3)
    assert peak_bias({"pred": truth / 2, "label": {"curves": truth}}, 2, True) == pytest.approx(-USUAL[2])
    assert peak_bias({"pred": truth / 2, "label": {"curves": truth}}, 2, False) == 0


def test_a_curve_is_highest_where_its_peak_is_and_between_two_that_are_as_high():
    curve = torch.zeros(1, 20, 2)
    curve[0, 5, 0] = 2.0
    curve[0, [4, 8], 1] = 2.0
    assert when_highest(curve)[0] == pytest.approx(torch.tensor([5 / 20, 6 / 20]), abs=1e-3)
    curve.requires_grad_()
    (gradient,) = torch.autograd.grad(when_highest(curve, 2.0)[0, 0], curve)
    assert gradient[0, 8, 0] > 0 > gradient[0, 2, 0]  # what rises later makes it later


def test_the_longitudinal_velocity_learns_from_what_the_whole_network_makes(slices):
    torch.manual_seed(0)
    network = HDLNet()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    stage = PeakStage(network).train()
    beat = {k: v[None] for k, v in whole_beats(slices)[0].items()}
    made = stage(beat)
    with torch.no_grad():
        network.upsampling_factor = 6
        velocity = network(beat["image"]).unflatten(1, (8, -1))[:, 4:7]
    wanted = VelocityAssessment()(beat["wall"].float(), velocity).movedim(1, 2)
    assert torch.allclose(made, wanted, atol=1e-5)
    optimizer = torch.optim.AdamW(stage.parameters(), 0.01, weight_decay=0.0)
    loss = peak_loss(made, beat)
    loss.backward()
    optimizer.step()
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == LAYER
    for name in LAYER:
        same = [torch.equal(*rows) for rows in zip(network.state_dict()[name], before[name], strict=True)]
        assert same == [True, True, False]
    assert peak_loss(stage(beat), beat) < loss


@pytest.mark.slow
@pytest.mark.integration
def test_the_config_writes_weights_of_which_one_layer_is_new(root, tmp_path):
    assert changed_by("train_peaks", root, tmp_path, phantoms=10, size=48) == LAYER
