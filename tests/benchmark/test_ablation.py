"""The ablation: what is hidden stays hidden, and every variant is trained and judged."""

import pytest
import torch

from scripts.benchmark import ablation
from scripts.cine.study import CineError
from scripts.networks.beat import describe_beat
from scripts.networks.motion import gap_view


def keys():
    return torch.rand(2, 4, 48, 48, generator=torch.Generator().manual_seed(0))


def test_who_knows_two_frames_is_not_told_of_the_others():
    batch = {"keys": keys()}
    view, motions = ablation.two_frames(ablation.inner_frames(batch)["keys"])
    changed = {"keys": batch["keys"] + torch.tensor([1.0, 0, 0, 2]).view(1, 4, 1, 1) * keys()}
    other, same = ablation.two_frames(ablation.inner_frames(changed)["keys"])
    assert torch.equal(view, other)
    assert torch.equal(motions, same)
    assert torch.equal(motions[:, :2], motions[:, 2:4])


def test_without_motion_only_the_pictures_are_left():
    view, motions = ablation.no_motion(keys())
    assert torch.equal(view[:, :36], gap_view(keys())[0][:, :36])
    assert view[:, 36:].abs().max() == motions.abs().max() == 0


def test_without_contrast_frames_and_motions_are_left():
    whole, (view, motions) = gap_view(keys()), ablation.no_contrast(keys())
    assert torch.equal(view[:, :28], whole[0][:, :28])
    assert view[:, 28:36].abs().max() == 0
    assert torch.equal(view[:, 36:], whole[0][:, 36:])
    assert torch.equal(motions, whole[1])


def test_without_the_wall_s_motion_sizes_are_left():
    areas = torch.rand(1, 9, 2, generator=torch.Generator().manual_seed(0)) * 400 + 400
    cyclic = torch.ones(1, dtype=torch.int64)
    told = describe_beat(areas, areas / 400, cyclic)[0]
    assert torch.equal(ablation.no_moves({"beat": told})["beat"], describe_beat(areas, 0 * areas, cyclic)[0])


def test_a_file_without_weights_is_refused_before_any_work(root, tmp_path):
    (tmp_path / "data" / "cine").mkdir(parents=True)
    with pytest.raises(CineError, match=r"model\.ts: found no weights"):
        ablation.ablate(str(tmp_path / "out"), str(tmp_path / "data"), model=str(root / "bundle/models/model.ts"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("stage", ["interpolation", "synthesis"])
def test_each_variant_is_trained_and_judged(root, shared_data, monkeypatch, stage):
    monkeypatch.chdir(root)
    monkeypatch.setattr("scripts.training.sunnybrook.CINES", {"SCD0000201": "SC-HF-I-02"})  # the one held out
    budget = ablation.Budget(4, 2, 1, str(shared_data / "sunnybrook"), size=48, samples=8)
    variants = (ablation.Variant("nothing"), ablation.Variant("cycle context", hide=ablation.no_cycle))
    rows = ablation.run_stage(stage, variants, budget)
    assert [row["without"] for row in rows] == ["nothing", "cycle context"]
    measured = [{k: v for k, v in row.items() if k != "without"} for row in rows]
    assert measured[0] != measured[1]
    names = "gain_db_phantoms" if stage == "interpolation" else "off_seen_motion_patients"
    assert names in measured[0]
    page = ablation.page(
        {"about": {"steps": 4, "phantoms": 2, "animated": 1}, "interpolation": rows, "synthesis": rows}
    )
    assert "cycle context" in page
