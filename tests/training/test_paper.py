"""The published configuration: samples, losses, and the configs that train it with MONAI's engines."""

import subprocess
import sys

import pytest
import torch

from scripts.networks.r2unet import R2UHDL
from scripts.training import paper
from scripts.training.simulated import phantom_sources
from scripts.training.windows import Windows

WIDTHS = (4, 4, 6, 6, 8)


@pytest.fixture(scope="module")
def sources():
    """Two small simulated slices."""
    return phantom_sources(2, 5, 64)


def batch_of(dataset, count=3):
    samples = [dataset[k] for k in range(count)]
    return {key: torch.stack([s[key] for s in samples]) for key in samples[0]}


def test_neighbours_are_around_the_frame_whose_velocity_is_asked(sources):
    source = sources[0]
    source.noise = 0.0
    windows = paper.NeighbourWindows([source], 48, 10, velocities=True, seed=1)
    for draw in range(5):
        sample = windows[draw]
        now, before, after, again = sample["keys"]
        assert torch.allclose(now, again)
        assert torch.allclose(now, sample["magnitude"][0], atol=1e-6)
        assert not torch.allclose(before, after)
        assert sample["velocity"].shape == (1, 3, 48, 48)
        assert sample["velocity"].isfinite().all()
        frames = source.magnitude.shape[0]
        assert 1 <= round(float(sample["gap"]) * frames / 2) <= frames // 16


@pytest.mark.parametrize("part", ["interpolation", "synthesis"])
def test_a_few_steps_reduce_the_loss(sources, part):
    torch.manual_seed(0)
    network = R2UHDL(widths=WIDTHS)
    if part == "interpolation":
        stage, loss, data = paper.PaperInterpolationStage, paper.PaperInterpolationLoss(), Windows(sources, 48, 9)
    else:
        stage, loss = paper.PaperSynthesisStage, paper.PaperSynthesisLoss()
        data = paper.NeighbourWindows(sources, 48, 9, velocities=True)
    learner, batch = stage(network, half_precision=False), batch_of(data)
    optimizer = torch.optim.Adam(learner.parameters(), 0.01)
    values = []
    for _ in range(12):
        optimizer.zero_grad()
        value = loss(learner(batch), batch)
        value.backward()
        optimizer.step()
        values.append(float(value))
    assert values[-1] < 0.8 * values[0]
    learner.eval()
    out = learner(batch)
    expected = (3, 6, 48, 48)
    if part == "interpolation":
        out, expected = out["magnitude"], (9, 1, 48, 48)
    assert out.shape == expected


def test_frames_that_nobody_acquired_teach_labels_alone():
    labels = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    labels[..., 4:12, 4:12] = 2
    target = {"magnitude": torch.full((1, 1, 16, 16), torch.nan), "label": labels}
    magnitude, logits = (torch.randn(1, n, 16, 16, requires_grad=True) for n in (1, 3))
    loss = paper.PaperInterpolationLoss()({"magnitude": magnitude, "logits": logits}, target)
    loss.backward()
    assert loss.isfinite()
    assert magnitude.grad.abs().max() == 0
    assert logits.grad.abs().max() > 0


def test_half_of_the_samples_learn_without_masks():
    torch.manual_seed(0)
    stage = paper.PaperInterpolationStage(R2UHDL(widths=WIDTHS), half_precision=False).train()
    masks = stage.masks(torch.rand(40, 2, 32, 32), torch.full((40,), 0.1))
    empty = (masks == 0).flatten(1).all(1)
    assert 8 < int(empty.sum()) < 32
    assert not (stage.eval().masks(torch.rand(4, 2, 32, 32), torch.full((4,), 0.1)) == 0).all()


def test_a_perfect_velocity_costs_nothing_but_the_mask(sources):
    batch = batch_of(paper.NeighbourWindows(sources, 48, 9, velocities=True))
    signal = (batch["magnitude"] > 3 * batch["noise"][:, None, None, None]).float()
    pairs = torch.cat((batch["velocity"][:, 0], 40 * signal - 20, batch["magnitude"], torch.ones_like(signal)), dim=1)
    assert float(paper.PaperSynthesisLoss()(pairs, batch)) == pytest.approx(0, abs=1e-4)
    pairs[:, 0] += 0.2  # one of three components, 1 % of venc: 100 x 0.01 / 3 in either map
    wall = float(batch["wall"].any())
    assert float(paper.PaperSynthesisLoss()(pairs, batch)) == pytest.approx((1 + wall) / 3, abs=2e-2)


@pytest.mark.slow
@pytest.mark.integration
def test_the_configs_train_stop_in_time_and_export(root, tmp_path):
    """As ``make paper`` does, each in a process of its own: what a config forgets to import is missed."""
    small = {
        "widths": list(WIDTHS), "max_epochs": 2, "epoch_length": 2, "batch_size": 2, "size": 48, "phantoms": 2,
        "animated": 0, "dataset_dir": "", "real_dir": "None", "workers": 0,
        "fresh": 1, "validate#sources": "$simulated.phantom_sources(1, 3, @size + 16)", "limit_seconds": 60,
    }  # fmt: skip

    def run(run_id, names, **options):
        files = [f"bundle/configs/{name}.json" for name in names]
        options |= {"weights": tmp_path / "model.pt"}
        arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(files), *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    start = ""
    for part in ("interpolation", "synthesis"):
        out = tmp_path / part
        run("training", (f"train_{part}", "paper", f"paper_{part}"), **small, output_dir=out, start=start)
        (start,) = out.glob("checkpoint_final_iteration=*.pt")
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    R2UHDL(widths=WIDTHS).load_state_dict(weights)
    run("export", ("paper", "paper_export"), widths=list(WIDTHS))
    assert (tmp_path / "model.ts").is_file()
    assert (tmp_path / "model.onnx").is_file()
