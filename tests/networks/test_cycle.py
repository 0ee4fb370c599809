"""Which frames lie around a gap, and what they say of it."""

import pytest
import torch
from scipy.interpolate import CubicSpline

from scripts.networks.cycle import around_gaps, neighbours, slopes, whole_cycle, with_neighbours
from scripts.networks.motion import gap_view, spline_frames

from .pictures import centre, texture

CYCLIC = torch.ones(1, dtype=torch.int64)


def test_the_whole_cycle_is_sampled_between_frames():
    frames = torch.arange(4.0).view(1, 4, 1, 1)
    cycle = whole_cycle(frames, CYCLIC)[0, :, :, 0, 0]
    assert cycle[0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 1.5]
    assert cycle[1, 0] == 1


@pytest.mark.parametrize("frames", [3, 9, 20, 54])
def test_slopes_are_those_of_the_periodic_spline_through_all_frames(frames):
    cine = torch.rand(2, frames, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = slopes(cine, CYCLIC).unflatten(0, (2, frames))
    around = torch.cat((cine, cine[:, :1]), dim=1).numpy()
    wanted = torch.from_numpy(CubicSpline(range(frames + 1), around, axis=1, bc_type="periodic")(range(frames + 1), 1))
    assert torch.allclose(found[:, :, 0], wanted[:, :-1], atol=3e-3)
    assert torch.allclose(found[:, :, 1], wanted[:, 1:], atol=3e-3)


def test_slopes_of_a_cine_that_ends_do_not_look_around_its_end():
    cine = torch.arange(20.0).view(1, 20, 1, 1).expand(-1, -1, 2, 2)
    found = slopes(cine, torch.zeros(1, dtype=torch.int64))[:, :, 0, 0]
    assert torch.allclose(found[7:12], torch.ones(5, 2), atol=5e-3)
    assert found.min() >= 0


@pytest.mark.parametrize(("frames", "cyclic"), [(6, 1), (6, 0), (33, 1)])
def test_each_gap_is_given_the_motions_around_it(frames, cyclic):
    """A picture that moves by its own amount over each interval; a cine that ends stands still there."""
    spacing, before = spline_frames(frames)
    place = torch.cat((torch.zeros(1), torch.rand(frames - 1, generator=torch.Generator().manual_seed(2)) * 3))
    cine = torch.cat([texture(64, shift=(float(x), 0.0)) for x in place], 1)
    steps = around_gaps(cine, torch.tensor([cyclic])).view(frames, 5, 2, 32, 32)
    found = centre(steps, 12).mean((3, 4))

    def frame(k: int) -> int:
        return k % frames if cyclic else min(max(k, 0), frames - 1)

    for gap in range(frames):
        starts = [frame(gap - before + k * spacing) for k in range(-2, 3)]
        wanted = [float(place[frame(k + spacing)] - place[k]) for k in starts]
        assert found[gap, :, 0].tolist() == pytest.approx(wanted, abs=0.12)
        assert found[gap, :, 1].tolist() == pytest.approx([0] * 5, abs=0.12)


@pytest.mark.parametrize("cyclic", [1, 0])
def test_labels_of_neighbours_are_carried_along_the_motion(cyclic):
    """A picture and its label that go to and fro: the neighbours' labels come to lie on the frame's own."""
    place = torch.tensor([0.0, 2.0, 4.0, 4.0, 2.0, 0.0])
    cine = torch.cat([texture(64, shift=(float(x), 0.0)) for x in place], 1)
    labels = cine.unsqueeze(2).expand(-1, -1, 3, -1, -1)
    where = torch.tensor([cyclic])
    _, motions = gap_view(cine[0, neighbours(6, where)])
    together = with_neighbours(labels, motions, torch.full((6,), 1 / 6), where)
    still = (labels + labels.roll(1, 1) + labels.roll(-1, 1)) / 3
    # Frames 1 to 4 have two neighbours whether the cine ends or not.
    apart, blurred = (centre(x - labels)[:, 1:5].square().mean().sqrt() for x in (together, still))
    assert apart < 0.3 * blurred


def test_a_frame_that_shows_nothing_is_told_by_its_neighbours():
    cine = texture(64).expand(1, 6, -1, -1)
    labels = torch.zeros(1, 6, 3, 64, 64)
    labels[:, 2] = 3.0
    _, motions = gap_view(cine[0, neighbours(6, CYCLIC)])
    together = with_neighbours(labels, motions, torch.full((6,), 1 / 6), CYCLIC)
    assert together[0, :, 0, 32, 32].tolist() == pytest.approx([0, 1, 1, 1, 0, 0], abs=1e-5)
