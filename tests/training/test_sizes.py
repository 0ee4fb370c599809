"""Sizes and motions of training slices, as a network finds them."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scripts.training.simulated import phantom_sources
from scripts.training.sizes import segmented
from scripts.training.sources import real_sources
from scripts.training.sunnybrook import RealSlice


class Measures(nn.Module):
    """Stands where a network does, and finds the true ventricle times a factor, frame by frame, and given moves."""

    def __init__(self, truth: torch.Tensor, factor: torch.Tensor, moves: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.truth, self.factor, self.moves = truth, factor, moves

    def look(self, image, cyclic):
        step = len(self.truth) // image.shape[1]
        areas = (self.truth[::step] * self.factor[: image.shape[1], None])[None]
        return SimpleNamespace(areas=areas, moves=self.moves[None])


@pytest.fixture
def source():
    (found,) = phantom_sources(1, 11, 64)
    assert (found.areas > 0).all()
    return found


def test_the_error_of_every_sixth_frame_is_carried_to_those_between(source):
    truth, moves = source.areas.clone(), source.moves.clone()
    factor = torch.ones(8)
    factor[1] = 1.3
    seen = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    segmented([source], Measures(truth, factor, seen))
    ratio = source.areas / truth
    assert torch.allclose(ratio[0], torch.tensor(1.0))
    assert torch.allclose(ratio[6], torch.tensor(1.3))
    assert torch.allclose(ratio[3], torch.tensor(1.15))
    assert torch.allclose(ratio[12:], torch.tensor(1.0))
    assert torch.allclose(source.moves.view(8, 6, 2).sum(1), seen, atol=1e-5)
    error = (source.moves - moves).view(8, 6, 2)
    assert torch.allclose(error, error[:, :1].expand(-1, 6, -1), atol=1e-5)


class Brightness(nn.Module):
    """Stands where a network does, and finds areas and moves that tell each cine by its first frame."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.shapes: list[tuple[int, ...]] = []

    def look(self, image, cyclic):
        self.shapes.append(tuple(image.shape))
        told = image[:, :1].mean((2, 3)).unsqueeze(-1).expand(-1, image.shape[1], 2)
        return SimpleNamespace(areas=told, moves=-told)


def test_cines_of_one_shape_are_measured_together_and_each_is_told_its_own():
    def cine(level, frames, size):
        (made,) = real_sources([RealSlice("p", 0, torch.rand(20, 32, 32) + 1, cyclic=True)])
        made.magnitude = torch.full((frames, size, size), level).half()
        return made

    slices = [cine(1.0, 20, 32), cine(2.0, 30, 32), cine(3.0, 20, 32), cine(4.0, 20, 40), cine(5.0, 20, 32)]
    network = Brightness()
    segmented(slices, network)
    assert [float(s.areas[0, 0]) for s in slices] == [1, 2, 3, 4, 5]
    assert [float(s.moves[-1, 1]) for s in slices] == [-1, -2, -3, -4, -5]
    assert [len(s.areas) for s in slices] == [20, 30, 20, 20, 20]
    assert sorted(network.shapes) == [(1, 20, 40, 40), (1, 30, 32, 32), (3, 20, 32, 32)]


def test_a_pool_that_is_not_there_stays_so_whatever_is_found(source):
    truth = source.areas.clone()
    source.areas[6] = torch.tensor([0.0, 50.0])
    segmented([source], Measures(0 * truth, torch.ones(8), torch.zeros(8, 2)))
    assert source.areas.isfinite().all()
    assert source.areas[6].tolist() == [0, 10]  # a fifth of what is true at least
    assert source.moves.isfinite().all()


def test_a_patient_is_measured_in_every_frame():
    (source,) = real_sources([RealSlice("p", 0, torch.rand(20, 32, 32) + 1, cyclic=True)])
    truth = torch.arange(1.0, 41.0).view(20, 2)
    segmented([source], Measures(truth, torch.ones(20), truth + 1))
    assert torch.equal(source.areas, truth)
    assert torch.equal(source.moves, truth + 1)
