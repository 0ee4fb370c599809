"""What the weights are trained on: how often each kind comes, and what can be left out."""

import pytest
import torch

from scripts.cine.study import CineError
from scripts.training import mixture
from scripts.training.mixture import mixed, training_sources
from scripts.training.simulated import beating_sources, phantom_sources
from scripts.training.sources import real_sources
from scripts.training.sunnybrook import RealSlice


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
    beating = beating_sources([[still[0], still[0]]], 1)
    found = mixed(phantoms, moving, still, beating, still, 100)

    def count(wanted):
        return sum(source is wanted for source in found)

    # 100 phantoms; 0.3 of them cine, 15 each; 20 pictures; 40 made of two; a tenth of 190 for those with both
    # contours; and 0.03 of 209 for what is empty.
    assert count(moving[1]) == 15
    assert count(still[0]) == 20 + 19
    assert count(beating[0]) == 40
    assert count(moving[0]) == 15 + 6
    assert len(found) == 215


def test_a_patient_to_hold_out_whom_nobody_knows_is_refused(monkeypatch):
    monkeypatch.setattr(mixture, "load_pairs", lambda root: [RealSlice("SC-N-05", 0, torch.ones(2, 8, 8), False, {})])
    with pytest.raises(CineError, match=r"held_out: found SC-HF-I-1, expected patients of data"):
        training_sources("data", 1, 0, 3, 32, ("SC-HF-I-1", "SC-HF-I-01", "SC-N-05"))


def test_single_pictures_can_be_left_out(monkeypatch):
    pool = torch.zeros(32, 32, dtype=torch.uint8)
    pool[8:16, 8:16] = 2
    frames = torch.rand(20, 32, 32) + 1
    cines = [RealSlice("p", 0, frames, True, {1: pool, 8: pool})]
    monkeypatch.setattr(mixture, "load_cines", lambda root, patients: cines)
    monkeypatch.setattr(mixture, "load_pairs", lambda root: [RealSlice("q", 0, frames[:2], False, {0: pool, 1: pool})])
    every, moving = (training_sources("data", 4, 0, 11, 48, (), pictures=pictures) for pictures in (True, False))
    assert any(s.still for s in every)
    assert any(not s.acquired for s in every)
    assert not any(s.still or not s.acquired for s in moving)
    assert any(s.velocity is None for s in moving)
