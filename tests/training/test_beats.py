"""Beats without pictures: sizes and motion belong together."""

import pytest
import torch

from scripts.training.beats import (
    FRAMES,
    Beats,
    at,
    curve_error,
    curve_loss,
    motion_badly_seen,
    segmented_badly,
    smooth_velocity,
    ways,
)


@pytest.fixture(scope="module")
def beats():
    return Beats(8, 3, 4, views=6)


def test_a_closed_curve_is_read_linearly_and_around_its_end():
    values = torch.tensor([[0.0], [4.0], [8.0], [2.0]])
    assert at(values, torch.tensor([0.0, 0.125, 0.75, 0.875, 1.0, 1.125])).flatten().tolist() == [0, 2, 2, 1, 0, 2]


def test_the_wall_moves_inward_while_the_ventricle_shrinks(beats):
    radius = beats.areas.sqrt().mean(-1)
    shrinking = radius.roll(1, 1) - radius.roll(-1, 1)
    both = torch.stack((shrinking.flatten(), beats.curves[..., 0].flatten()))
    assert torch.corrcoef(both)[0, 1] > 0.9


def test_motion_returns_to_where_it_started(beats):
    # A fixed slice shows other material in systole, so its mean along the long axis closes only roughly.
    size = beats.curves.abs().mean(1)
    assert (beats.curves.mean(1).abs()[:, 2] < 0.25 * size[:, 2]).all()


def test_samples_have_the_shapes_that_the_stage_reads(beats):
    sample = beats[0]
    shapes = {"tau": (6,), "gap": (6,), "beat": (6, 82), "seen": (6, 2), "curves": (6, 3)}
    assert {k: tuple(v.shape) for k, v in sample.items()} == shapes
    assert 8 <= 1 / float(sample["gap"][0]) <= FRAMES


def test_a_steady_motion_has_a_steady_velocity():
    for frames in (3, 9, 40, 65):
        index = torch.arange(frames)
        seen = smooth_velocity(torch.tensor([[2.0, -1.0]]).expand(frames, 2), index, index / frames)
        # A pixel of 1.5 mm a gap is 0.15 cm times as many gaps as a cycle of 1000 ms has.
        assert torch.allclose(seen, torch.tensor([0.3, -0.15]).expand(frames, 2) * frames, rtol=1e-5)


def test_a_smooth_motion_is_read_off_between_its_frames():
    time = torch.arange(FRAMES) / FRAMES * 2 * torch.pi
    curves = torch.stack((torch.cos(time) * 3, torch.sin(time)), dim=1)
    moves = ways(curves, torch.arange(12) / 12, 12)
    index, tau = torch.tensor([0, 3, 11]), torch.tensor([0.5, 0.0, 0.9])
    seen = smooth_velocity(moves, index, tau)
    assert torch.allclose(seen, at(curves, (index + tau) / 12), atol=0.06)


def test_the_loss_weighs_components_by_their_size():
    truth = {"curves": torch.zeros(1, 1, 3)}
    assert curve_loss(torch.tensor([[[1.2, 0.8, 2.4]]]), truth).item() == pytest.approx(1.0)


def test_the_error_is_a_share_of_the_curve():
    curves = torch.tensor([[[3.0, 0.0, 4.0], [3.0, 0.0, -4.0]]])
    output = {"pred": curves * 0.5, "label": {"curves": curves}}
    assert curve_error(output, 2).item() == pytest.approx(0.5)


def test_a_segmentation_errs_by_pixels_at_both_borders():
    true = torch.tensor([[400.0, 900.0]]).expand(4000, 2)
    seen = (segmented_badly(true, 0.0, 0.15, torch.Generator().manual_seed(0)) / torch.pi).sqrt()
    error = seen - (true / torch.pi).sqrt()
    assert error.std(0).tolist() == pytest.approx([0.15, 0.15], rel=0.05)
    assert torch.corrcoef(error.T)[0, 1].item() == pytest.approx(0.64, abs=0.04)
    shared = segmented_badly(true, 0.3, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(shared, shared[:1].expand(4000, 2))


def test_ways_are_the_integral_of_the_velocity():
    time = torch.arange(FRAMES) / FRAMES * 2 * torch.pi
    curves = torch.stack((torch.cos(time) * 3, torch.full_like(time, 1.5)), dim=1)
    first = torch.arange(9) / 9 + 0.05
    edges = torch.cat((first, first[-1:] + 1 / 9))
    # cm/s times a cycle of 1000 ms is cm; a pixel is 0.15 cm.
    wanted = (3 * torch.sin(edges * 2 * torch.pi) / (2 * torch.pi) / 0.15).diff()
    found = ways(curves, first, 9)
    assert torch.allclose(found[:, 0], wanted, atol=0.01)
    assert torch.allclose(found[:, 1], torch.full((9,), 1.5 / 9 / 0.15), atol=1e-4)


def test_motion_is_seen_in_part_and_the_part_is_the_same_all_beat_long():
    moves = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    share = motion_badly_seen(moves, 0.0, torch.Generator().manual_seed(1)) / moves
    assert torch.allclose(share, share[:1].expand(9, 2), atol=1e-5)
    assert (share > 0.05).all()
    assert (share <= 1).all()
    seen = motion_badly_seen(torch.zeros(900, 2), 1.0, torch.Generator().manual_seed(0))
    assert seen.std(0).tolist() == pytest.approx([0.031, 0.0185], rel=0.1)
