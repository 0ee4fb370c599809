"""Runs the overlay of a training config over the shipped weights, and tells which of them it changed."""

import subprocess
import sys
from pathlib import Path

import torch


def changed_by(overlay: str, root: Path, out: Path, **settings: object) -> set[str]:
    """Trains two steps with train_beat.json and an overlay; returns the weights that are new or others."""
    files = f"['bundle/configs/train_beat.json','bundle/configs/{overlay}.json']"
    start = root / "bundle/models/model.pt"
    settings |= {"start": start, "output_dir": out, "max_epochs": 1, "epoch_length": 2, "workers": 0}
    options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", files, *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-9000:]
    old, new = (torch.load(path, weights_only=True) for path in (start, out / "model.pt"))
    assert old.keys() <= new.keys()
    return {name for name in new if name not in old or not torch.equal(old[name], new[name])}
