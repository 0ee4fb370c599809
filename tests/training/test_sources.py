"""Slice cines for training: whose size is measured, and how."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scripts.training.sources import areas, phantom_sources, real_sources, segmented_areas
from scripts.training.sunnybrook import RealSlice


class Measures(nn.Module):
    """Stands where a network does, and finds the true ventricle times a factor, frame by frame."""

    def __init__(self, truth: torch.Tensor, factor: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.truth, self.factor = truth, factor

    def look(self, image, cyclic):
        step = len(self.truth) // image.shape[1]
        return SimpleNamespace(areas=(self.truth[::step] * self.factor[: image.shape[1], None])[None])


@pytest.fixture
def source():
    (found,) = phantom_sources(1, 11, 64)
    assert (found.areas > 0).all()
    return found


def test_the_error_of_every_sixth_frame_is_carried_to_those_between(source):
    truth = source.areas.clone()
    factor = torch.ones(8)
    factor[1] = 1.3
    segmented_areas([source], Measures(truth, factor))
    ratio = source.areas / truth
    assert torch.allclose(ratio[0], torch.tensor(1.0))
    assert torch.allclose(ratio[6], torch.tensor(1.3))
    assert torch.allclose(ratio[3], torch.tensor(1.15))
    assert torch.allclose(ratio[12:], torch.tensor(1.0))


def test_a_patient_is_measured_in_every_frame():
    (source,) = real_sources([RealSlice("p", 0, torch.rand(20, 32, 32) + 1, cyclic=True)])
    truth = torch.arange(1.0, 41.0).view(20, 2)
    segmented_areas([source], Measures(truth, torch.ones(20)))
    assert torch.equal(source.areas, truth)


def test_areas_count_the_pool_and_the_whole_ventricle():
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[0, :2], labels[0, 2] = 1, 2
    assert areas(labels).tolist() == [[4.0, 12.0]]
