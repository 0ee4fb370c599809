"""Slice cines for training: whose size is measured, and how."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scripts.training.sources import areas, mixed, phantom_sources, real_sources, segmented_areas
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


def test_patients_without_a_ventricle_and_with_both_contours_come_more_often():
    frames = torch.rand(20, 32, 32) + 1
    nothing, pool, both = (torch.zeros(32, 32, dtype=torch.uint8) for _ in range(3))
    pool[8:16, 8:16] = 2
    both[4:20, 4:20] = 1
    cines = [
        RealSlice("p", k, frames, True, dict.fromkeys(range(20), label)) for k, label in enumerate((nothing, pool))
    ]
    moving = real_sources(cines)
    still = real_sources([RealSlice("q", 0, frames[:2], False, {0: both})])
    phantoms = phantom_sources(2, 11, 48) * 50
    found = mixed(phantoms, moving, still, still, 100)

    def count(wanted):
        return sum(source is wanted for source in found)

    # 100 phantoms; 0.3 of them cine, 15 each; 20 pictures; a tenth of 150 for those with both contours; and
    # 0.06 of 165 for what is empty.
    assert count(moving[1]) == 15
    assert count(still[0]) == 20 + 15
    assert count(moving[0]) == 15 + 10
    assert len(found) == 175
