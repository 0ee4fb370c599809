"""Training configs as commands: two processes as one (torchrun, gloo), a resumed run as an unbroken one."""

import os
import subprocess
import sys

import pytest
import torch

SAMPLES = 12

SMALL = {
    "max_epochs": 1, "size": 32, "phantoms": 2, "animated": 0, "fresh": 1,
    "dataset_dir": "", "real_dir": "None", "start": "", "workers": 0,
    "stage#half_precision": False, "train#optimizer#_target_": "torch.optim.SGD", "learning_rate": 1.0,
    "validate#sources": "$simulated.phantom_sources(1, 3, 48)",
    "validate#dataset": "$[windows.Windows(@validate#sources, @size, 2, velocities=True, seed=1)[k] for k in range(2)]",
}  # fmt: skip
# Steepest descent: Adam makes a whole step of a gradient that is nothing but rounding.
# Losses that are plain means over the batch: means over unequal halves differ from one over the whole.
PLAIN = {
    "interpolation": {"train#loss#segmentation": 0.0, "train#loss#motion": 0.0},
    "synthesis": {
        "train#loss": "$lambda pairs, target: (pairs[:, :3] ** 2).mean()",
        "adversarial": 0.01,
        # Another discriminator would come out where other objects are made before it.
        "discriminator": "$(torch.manual_seed(1), monai.networks.nets.PatchDiscriminator(spatial_dims=2, channels=8, "
        "in_channels=4, num_layers_d=1, norm='INSTANCE'))[1]",
        "train#discriminator_optimizer": {
            "_target_": "torch.optim.SGD", "params": "$@discriminator.parameters()", "lr": 0.01
        },
    },
}  # fmt: skip


def train(root, out, stage: str, processes=1, batch=4, overlays=(), **more) -> dict[str, torch.Tensor]:
    """Runs a training config in one process, or its overlays under torchrun; returns the weights that it saved."""
    configs, launcher = [f"train_{stage}", *overlays], [sys.executable, "-m"]
    if processes > 1:
        configs += ["train_distributed"] + ["train_distributed_synthesis"] * (stage == "synthesis")
        # The bare -- keeps torchrun from taking --start for one of its own options.
        launcher += ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m", "--"]
    files = [f"bundle/configs/{name}.json" for name in configs]
    options = SMALL | PLAIN[stage] | {"batch_size": batch, "epoch_length": SAMPLES // batch, "output_dir": out} | more
    if stage == "interpolation":
        options["validate#dataset"] = options["validate#dataset"].replace("velocities=True, ", "")
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    command = [*launcher, "monai.bundle", "run", "training", "--config_file", str(files), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-9000:]
    final = max(out.glob("checkpoint_final_iteration=*.pt"), key=os.path.getmtime)
    saved = torch.load(final, weights_only=True)
    parts = [saved[key] for key in ("network", "discriminator") if key in saved]
    return {f"{k}.{name}": value for k, part in enumerate(parts) for name, value in part.items()}


def difference(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """How far two sets of weights are apart, as a share of their size."""
    assert one.keys() == two.keys()
    apart = sum(float((one[k] - two[k]).square().sum()) for k in one)
    return (apart / sum(float(v.square().sum()) for v in one.values())) ** 0.5


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize(
    ("stage", "overlays"), [("interpolation", ()), ("synthesis", ()), ("synthesis", ("train_together",))]
)
def test_two_processes_give_the_weights_of_one(root, tmp_path, stage, overlays):
    one = train(root, tmp_path / "one", stage, overlays=overlays)
    two = train(root, tmp_path / "two", stage, 2, 2, overlays)
    assert difference(one, two) < 1e-5


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize(
    ("stage", "overlays"),
    [("interpolation", ("train_student",)), ("synthesis", ()), ("synthesis", ("train_together",))],
)
def test_a_run_that_is_resumed_ends_where_it_would_have(root, tmp_path, stage, overlays):
    constant = {"train#scheduler#lr_lambda": "$lambda epoch: 0.5"}  # the schedule knows how long a run is meant to be
    # From the third epoch on a network that went on learning would measure other sizes in the fresh slices.
    whole = train(root, tmp_path / "whole", stage, overlays=overlays, max_epochs=3, **constant)
    half = train(root, tmp_path / "half", stage, overlays=overlays, max_epochs=2, **constant)
    (checkpoint,) = (tmp_path / "half").glob("checkpoint_final_iteration=*.pt")
    resumed = train(root, tmp_path / "half", stage, overlays=overlays, max_epochs=3, resume=str(checkpoint), **constant)
    assert difference(half, whole) > 1e-4
    assert difference(resumed, whole) < 1e-6


@pytest.mark.slow
@pytest.mark.integration
def test_all_learns_together_by_its_own_loss(root, tmp_path):
    own = {"train#loss": {"_target_": "scripts.training.losses.TogetherLoss"}, "learning_rate": 0.01}
    own["train#optimizer#weight_decay"] = 0.0  # it moves what learns nothing, too
    once = train(root, tmp_path / "once", "synthesis", overlays=("train_together",), **own)
    twice = train(root, tmp_path / "twice", "synthesis", overlays=("train_together",), max_epochs=2, **own)
    assert all(value.isfinite().all() for value in twice.values())
    for layer in ("interpolation.image_out", "interpolation.motion_out", "synthesis.velocity_out"):
        assert (once[f"0.{layer}.weight"] - twice[f"0.{layer}.weight"]).abs().max() > 0


@pytest.mark.slow
@pytest.mark.integration
def test_the_last_stage_leaves_what_the_synthesis_is_used_to(root, tmp_path):
    overlays = ("train_student", "train_labels")
    once = train(root, tmp_path / "once", "interpolation", overlays=overlays)
    twice = train(root, tmp_path / "twice", "interpolation", overlays=overlays, max_epochs=2)
    changed = {name for name in once if not torch.equal(once[name], twice[name])}
    assert changed
    assert all(".image_" in name for name in changed)
    # What ``make train`` takes for the bundle.
    weights = torch.load(tmp_path / "twice" / "model.pt", weights_only=True)
    bias = weights.pop("interpolation.image_out.bias") - twice["0.interpolation.image_out.bias"]
    assert torch.allclose(bias, 0.6 / 4 * (torch.arange(24) // 4 == 3), atol=1e-6)  # the wall, favoured
    assert all(torch.equal(value, twice[f"0.{name}"]) for name, value in weights.items())
