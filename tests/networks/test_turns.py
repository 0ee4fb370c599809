"""Quarter turns: vectors point where their picture turns, and what is estimated from a picture turns with it."""

import pytest
import torch

from scripts.networks.motion import gap_channels, gap_view, motions_between
from scripts.networks.turns import turn, turn_vectors

from .pictures import texture


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_vectors_point_where_the_picture_turns(turns):
    x, y = torch.meshgrid(torch.arange(5.0) - 2, torch.arange(5.0) - 2, indexing="ij")
    outward = torch.stack((x, y))[None]
    assert torch.equal(turn_vectors(outward, turns), outward)


def test_a_quarter_turn_by_hand():
    picture = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert turn(picture, 1).tolist() == [[2, 4], [1, 3]]
    # Along Y becomes along -X, along X becomes along Y; the third channel is no vector.
    field = torch.stack((torch.full((2, 3), 5.0), torch.full((2, 3), 7.0), torch.full((2, 3), 9.0)))[None]
    assert turn_vectors(field, 1)[0, :, 0, 0].tolist() == [-7, 5, 9]
    assert turn_vectors(field, 1).shape == (1, 3, 3, 2)


def test_four_quarters_are_none_and_every_vector_turns_alike():
    field = torch.rand(2, 7, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(turn_vectors(turn_vectors(field, 1, 3), 3, 3), field)
    pairs = [turn_vectors(field[:, k : k + 2], 1) for k in (0, 2, 4)]
    assert torch.equal(turn_vectors(field, 1, 3)[:, :6], torch.cat(pairs, 1))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_motion_of_a_turned_picture_is_the_motion_turned(turns):
    keys = torch.cat([texture(48, shift=(x, -0.5 * x)) for x in (0.0, 1.0, 2.5, 4.0)], 1)[..., :32]
    motions = motions_between(keys).flatten(1, 2)
    there = motions_between(turn(keys, turns)).flatten(1, 2)
    assert torch.allclose(there, turn_vectors(motions, turns, 9), atol=1e-6)
    # What the network puts together from motion that was turned is what it would see of the turned picture.
    view = gap_channels(turn(keys, turns), turn_vectors(motions, turns, 9))
    assert torch.allclose(view, gap_view(turn(keys, turns))[0], atol=1e-5)
