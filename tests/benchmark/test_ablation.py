"""The ablation: every variant is trained and judged."""

import pytest

from scripts.benchmark import ablation, variants
from scripts.cine.study import CineError


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
    chosen = (variants.Variant("nothing"), variants.Variant("cycle context", hide=variants.no_cycle))
    rows = ablation.run_stage(stage, chosen, budget)
    assert [row["without"] for row in rows] == ["nothing", "cycle context"]
    measured = [{k: v for k, v in row.items() if k != "without"} for row in rows]
    assert measured[0] != measured[1]
    names = "gain_db_phantoms" if stage == "interpolation" else "off_seen_motion_patients"
    assert names in measured[0]
    page = ablation.page(
        {"about": {"steps": 4, "phantoms": 2, "animated": 1}, "interpolation": rows, "synthesis": rows}
    )
    assert "cycle context" in page
