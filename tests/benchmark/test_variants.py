"""What an ablation hides stays hidden."""

from unittest import mock

import pytest
import torch

from scripts.benchmark import variants
from scripts.networks.beat import describe_beat
from scripts.networks.motion import gap_view
from scripts.training.simulated import phantom_sources
from scripts.training.windows import Windows


def keys():
    return torch.rand(2, 4, 48, 48, generator=torch.Generator().manual_seed(0))


def test_who_knows_two_frames_is_not_told_of_the_others():
    batch = {"keys": keys()}
    view, motions = variants.two_frames(variants.inner_frames(batch)["keys"])
    changed = {"keys": batch["keys"] + torch.tensor([1.0, 0, 0, 2]).view(1, 4, 1, 1) * keys()}
    other, same = variants.two_frames(variants.inner_frames(changed)["keys"])
    assert torch.equal(view, other)
    assert torch.equal(motions, same)
    assert torch.equal(motions[:, :2], motions[:, 2:4])


def test_without_motion_only_the_pictures_are_left():
    view, motions = variants.no_motion(keys())
    assert torch.equal(view[:, :36], gap_view(keys())[0][:, :36])
    assert view[:, 36:].abs().max() == motions.abs().max() == 0


def test_without_contrast_frames_and_motions_are_left():
    whole, (view, motions) = gap_view(keys()), variants.no_contrast(keys())
    assert torch.equal(view[:, :28], whole[0][:, :28])
    assert view[:, 28:36].abs().max() == 0
    assert torch.equal(view[:, 36:], whole[0][:, 36:])
    assert torch.equal(motions, whole[1])


def test_without_the_wall_s_motion_sizes_are_left():
    areas = torch.rand(1, 9, 2, generator=torch.Generator().manual_seed(0)) * 400 + 400
    cyclic = torch.ones(1, dtype=torch.int64)
    told = describe_beat(areas, areas / 400, cyclic)[0]
    assert torch.equal(variants.no_moves({"beat": told})["beat"], describe_beat(areas, 0 * areas, cyclic)[0])


def test_at_half_of_the_resolution_single_pixels_are_gone_and_means_stay():
    pixel = torch.zeros(1, 4, 8, 8)
    pixel[..., 3, 3] = 4.0
    batch = {"keys": pixel, "slopes": pixel[:, :2], "tau": torch.rand(1, 3), "magnitude": pixel[:, :3]}
    seen = variants.coarse(batch)
    assert seen["keys"].max() < 1
    assert torch.allclose(seen["keys"].sum((-2, -1)), pixel.sum((-2, -1)))
    assert torch.equal(seen["slopes"], seen["keys"][:, :2])
    # What is to be learnt stays as it is.
    assert seen["magnitude"] is batch["magnitude"]
    assert set(seen) == set(batch)


def test_other_looks_are_not_drawn_but_frames_are():
    (source,) = phantom_sources(1, 11, 64)
    plain, other = (Windows([source], 48, 8, seed=2) for _ in range(2))
    with mock.patch("scripts.training.windows.Random", variants.Plain):
        drawn = [plain[k] for k in range(8)]
    # The scale is one of a picture's looks: as it is, keys have a mean square of 1.
    assert all(s["keys"].square().mean() == pytest.approx(1, rel=1e-3) for s in drawn)
    assert any(abs(float(other[k]["keys"].square().mean()) - 1) > 0.1 for k in range(8))
    assert len({float(s["gap"]) for s in drawn}) > 1
