"""The model card says what the benchmark found, and nothing else of it changes."""

import json

import pytest
import torch

from scripts.benchmark.card import BEGIN, END, card
from scripts.benchmark.network import Network
from scripts.cine.study import CineError

RESULT = {
    "about": {
        "data": ["phantom"], "phantom_slices": 3, "threads": 2, "peers": ["hdlnet"], "parts": ["velocity"], "gaps": [6],
        "networks": {"hdlnet": {"file": "models/model.ts", "weights_sha256": "0123456789abcdef"}},
        "phantom_seed": 90000, "patients": ["SC-N-03"],
    },
    "bars": [{"row": "a bar", "must": 0.4, "aim": 0.3, "better": "lower", "found": 0.456, "met": False}],
    "data": {
        "phantom": {
            "segmentation": [
                {"peer": peer, "subject": "all", "frames_are": "acquired", "label": "pool", "dice": dice}
                for peer, dice in (("hdlnet", 0.912), ("r2unet", 0.777))
            ]
            + [{"peer": "r2unet", "subject": "one", "frames_are": "acquired", "label": "pool", "dice": 0.555}],
            "velocity": [{"peer": "hdlnet", "component": "radial", "rmse_over_rms": 0.456}],
        }
    },
}  # fmt: skip


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "docs/README.md").write_text(f"# Card\n\n{BEGIN}\nold 0.999\n{END}\n\n## Limits\n")
    (tmp_path / "configs/metadata.json").write_text('{"version": "0.1.0", "eval_metrics": {"old": 1}}')
    (tmp_path / "benchmark.json").write_text(json.dumps(RESULT))
    (tmp_path / "models").mkdir()
    torch.jit.script(torch.nn.Linear(2, 1)).save(tmp_path / "models/model.ts")
    return tmp_path


def test_figures_replace_the_old_ones(bundle):
    card(str(bundle / "benchmark.json"), str(bundle))
    text = (bundle / "docs/README.md").read_text()
    assert text.startswith("# Card\n")
    assert text.endswith("\n\n## Limits\n")
    assert "0.999" not in text
    assert "| a bar | 0.400 | 0.300 | lower | 0.456 | no |" in text
    assert "0.912" in text
    assert "on other weights than are shipped (0123456789ab)" in text
    assert "benchmark OUT --slices 3 --seed 90000 --data phantom --patients SC-N-03 --peers hdlnet --parts" in text
    ours, theirs = text.split("Labels of the published network")
    assert "0.777" not in ours
    assert "0.777" in theirs
    assert "0.555" not in text  # of the published network's labels the means alone
    assert "not comparable" in text
    about = json.loads((bundle / "configs/metadata.json").read_text())
    assert about["version"] == "0.1.0"
    assert about["eval_metrics"]["dice_pool_acquired_frames_phantom"] == 0.912
    assert about["eval_metrics"]["velocity_rmse_over_rms_radial_phantom"] == 0.456
    assert "old" not in about["eval_metrics"]
    assert "patients held out" in about["eval_metrics"]["data"]
    about = Network.load("hdlnet", bundle / "models/model.ts").about()
    seen = RESULT | {"about": RESULT["about"] | {"patients": ["SC-HF-I-01"], "networks": {"hdlnet": about}}}
    (bundle / "seen.json").write_text(json.dumps(seen))
    card(str(bundle / "seen.json"), str(bundle))
    assert "on the shipped weights" in (bundle / "docs/README.md").read_text()
    about = json.loads((bundle / "configs/metadata.json").read_text())
    assert "held out" not in about["eval_metrics"]["data"]
    again = card(str(bundle), str(bundle))
    assert (bundle / "docs/README.md").read_text() == text
    assert "benchmark.json" in again


def test_an_ablation_stays_until_another_one_is_given(bundle):
    rows = [{"without": "cycle context", "gain_db_phantoms": 1.234}]
    about = {"steps": 200, "phantoms": 9, "animated": 3}
    (bundle / "study").mkdir()
    (bundle / "study/ablation.json").write_text(json.dumps({"about": about, "interpolation": rows, "synthesis": rows}))
    card(str(bundle), str(bundle), str(bundle / "study"))
    text = (bundle / "docs/README.md").read_text()
    assert "200 steps on 9 phantom slices" in text
    assert "| cycle context | 1.234 |" in text
    card(str(bundle), str(bundle))
    assert (bundle / "docs/README.md").read_text() == text
    rows[0]["without"] = "motion"
    (bundle / "study/ablation.json").write_text(json.dumps({"about": about, "interpolation": rows, "synthesis": rows}))
    card(str(bundle), str(bundle), str(bundle / "study"))
    assert "cycle context" not in (bundle / "docs/README.md").read_text()


def test_a_card_without_a_place_is_left_alone(bundle):
    (bundle / "docs/README.md").write_text("# Card\n")
    with pytest.raises(CineError, match="no single pair"):
        card(str(bundle), str(bundle))
    assert (bundle / "docs/README.md").read_text() == "# Card\n"


def test_a_missing_benchmark_is_named(bundle):
    with pytest.raises(CineError, match="elsewhere"):
        card(str(bundle / "elsewhere"), str(bundle))


@pytest.mark.parametrize(("text", "words"), [("{", "no JSON"), ('{"interpolation": []}', "no about, data, bars")])
def test_what_is_no_benchmark_is_refused_in_words(bundle, text, words):
    (bundle / "other.json").write_text(text)
    before = (bundle / "docs/README.md").read_text()
    with pytest.raises(CineError, match=words):
        card(str(bundle / "other.json"), str(bundle))
    assert (bundle / "docs/README.md").read_text() == before


def test_patients_have_no_noise_free_truth(bundle):
    seen = {"peer": "hdlnet", "slices_with_ventricle": 3}
    frames = [seen | {"gap": gap, "psnr_ventricle_db": 30.0 + gap} for gap in (4, 6)]
    of_patient = [seen | {"gap": 4, "subject": "SC-1", "psnr_ventricle_db": 34.5}]
    tables = {"interpolation": frames, "interpolation_by_patient": of_patient}
    result = RESULT | {"data": {"phantom": {"interpolation": frames}, "some/where/cines": tables}}
    (bundle / "benchmark.json").write_text(json.dumps(result))
    card(str(bundle / "benchmark.json"), str(bundle))
    phantom, patients = (bundle / "docs/README.md").read_text().split("### Patients: cines")
    assert "noise-free" in phantom
    assert "| 6 | hdlnet | 3 | 36.00 |" in phantom
    assert "noise-free" not in patients
    assert "36.00" not in patients
    assert "| 4 | SC-1 | hdlnet | 3 | 34.50 |" in patients
