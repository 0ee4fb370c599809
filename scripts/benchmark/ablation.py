"""What the network owes to each of its parts: the same short training again and again, each time without one."""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from scripts.cine.folder import whole_folder
from scripts.cine.study import CineError
from scripts.networks import HDLNet
from scripts.training import handlers
from scripts.training.losses import motion_consistency
from scripts.training.mixture import training_sources
from scripts.training.simulated import phantom_sources
from scripts.training.sizes import segmented
from scripts.training.sources import real_sources
from scripts.training.sunnybrook import HELD_OUT, NOT_POOL, load_cines, load_pairs
from scripts.training.windows import Windows

from .tables import table
from .variants import INTERPOLATION, SEED, SYNTHESIS, Batch, Variant, Without

RESULT = "ablation.json"
BATCH, EPOCHS = 6, 4


@dataclass(frozen=True)
class Budget:
    """What every training of a study gets.

    Attributes:
        steps: steps of the optimizer.
        phantoms: phantom slices.
        animated: real pictures set in motion.
        data: folder ``sunnybrook``.
        size: pixels along each side of a sample.
        weights: state dictionary that the synthesis takes interpolation and beat from.
        samples: held-out samples of each kind that it is judged on.
    """

    steps: int
    phantoms: int
    animated: int
    data: str
    size: int = 96
    weights: str = "bundle/models/model.pt"
    samples: int = 160


def ablate(
    out: str,
    data: str = "../shared/data/sunnybrook",
    steps: int = 300,
    phantoms: int = 120,
    animated: int = 60,
    model: str = "bundle/models/model.pt",
) -> str:
    """Trains both stages briefly, each time without one of their parts, and compares.

    The interpolation starts from nothing and is judged by the frames and labels it makes; the synthesis starts over the
    interpolation and the beat of the shipped weights and is judged by its velocities: on held-out phantom seeds,
    held-out patients and single pictures of such.

    Args:
        out: folder to write ablation.json and ablation.md to.
        data: folder sunnybrook.
        steps: optimizer steps of every training.
        phantoms: phantom slices to train on.
        animated: real pictures set in motion to train on.
        model: weights whose interpolation and beat the synthesis stands on.

    Returns:
        One line that says what was written where.

    Raises:
        CineError: if the data or the weights are missing, or a number is too small.
    """
    for name, value, least in (("steps", steps, EPOCHS), ("phantoms", phantoms, 1), ("animated", animated, 0)):
        if value < least:
            raise CineError(f"{name}: found {value}, expected at least {least}")
    if not Path(data, "cine").is_dir() or not Path(model).is_file():
        raise CineError(f"data, model: found no folder {data}/cine or no file {model}, expected both")
    try:
        torch.load(model, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise CineError(f"{model}: found no weights, expected a state dictionary such as models/model.pt") from error
    budget = Budget(steps, phantoms, animated, data, weights=model)
    with whole_folder(out, model, RESULT) as folder:
        result = {
            "about": {"steps": steps, "phantoms": phantoms, "animated": animated, "data": data, "size": budget.size},
            "interpolation": run_stage("interpolation", INTERPOLATION, budget),
            "synthesis": run_stage("synthesis", SYNTHESIS, budget),
        }
        (folder / RESULT).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (folder / "ablation.md").write_text(page(result), encoding="utf-8")
    return f"Wrote {RESULT} and ablation.md to {out}"


def page(result: dict[str, Any]) -> str:
    """The study as Markdown.

    Args:
        result: what ``ablation.json`` holds.
    """
    about = result["about"]
    words = (
        f"Each row is one training of {about['steps']} steps on {about['phantoms']} phantom slices, "
        f"{about['animated']} real pictures set in motion and the patients' own (but those of which readers drew the "
        "pool alone), without what it names: the interpolation from nothing, the synthesis over the shipped "
        "interpolation and beat. Both rows without nothing differ by their seed alone: smaller differences say nothing."
    )
    parts = [words]
    for name, title in (("interpolation", "Temporal interpolation"), ("synthesis", "Phase synthesis")):
        parts += [f"{title}:", table(result[name])]
    return "\n\n".join(parts) + "\n"


def run_stage(stage: str, variants: tuple[Variant, ...], budget: Budget) -> list[dict[str, object]]:
    """Trains and judges all variants of a stage.

    Args:
        stage: interpolation or synthesis.
        variants: what to leave out.
        budget: what each gets.

    Returns:
        A row a variant.
    """
    root, size, velocities = Path(budget.data), budget.size, stage == "synthesis"
    sources = training_sources(root, budget.phantoms, budget.animated, SEED, size + 24, pictures=not velocities)
    # So few steps learn no wall beside many pictures of which readers drew the pool alone.
    sources = [s for s in sources if not (s.labels == NOT_POOL).any()]
    held_out = [s for s in load_cines(root) + load_pairs(root) if s.patient in HELD_OUT]
    tests = {"phantoms": phantom_sources(40, SEED + 100, size + 24)}
    tests["patients"] = real_sources([s for s in held_out if s.cyclic])
    if not velocities:
        tests["pictures"] = real_sources([s for s in held_out if not s.cyclic])
    else:
        network = HDLNet()
        handlers.start_from(network, budget.weights)
        for group in (sources, *tests.values()):
            segmented(group, network)
    # Drawn once: what is left out shall be all that differs.
    samples = {name: Drawn(Windows(found, size, budget.samples, velocities, seed=1)) for name, found in tests.items()}
    rows = []
    for variant in tqdm(variants, desc=stage):
        kept = sources if variant.real else sources[: budget.phantoms]
        windows = Windows(kept, size, budget.steps // EPOCHS * BATCH, velocities, variant.seed)
        with mock.patch("scripts.training.windows.Random", variant.random):
            trained = train(stage, variant, windows, samples["phantoms"], budget)
        measure = velocity_errors if velocities else picture_figures
        row: dict[str, object] = {"without": variant.name}
        for name, drawn in samples.items():
            figures = measure(outputs(trained, drawn))
            if name == "pictures":
                del figures["gain_db"]  # nothing moves between two frames of a single picture
            row |= {f"{key}_{name}": round(value, 3) for key, value in figures.items()}
        rows.append(row)
    return rows


class Drawn(Dataset):
    """Samples that are drawn once.

    Args:
        windows: where from.
    """

    def __init__(self, windows: Windows) -> None:
        self.samples = [windows[k] for k in range(len(windows))]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        return self.samples[index]


def train(stage: str, variant: Variant, windows: Windows, validation: Drawn, budget: Budget) -> nn.Module:
    """Runs the shipped training config with little data, few steps and something left out.

    Args:
        stage: interpolation or synthesis.
        variant: what is left out.
        windows: training samples.
        validation: samples for the config's own validation.
        budget: what the training gets.

    Returns:
        The trained stage, ready to be judged.
    """
    set_determinism(variant.seed)
    with tempfile.TemporaryDirectory() as folder:
        start = ""
        if stage == "synthesis":
            start = f"{folder}/start.pt"
            weights = torch.load(budget.weights, map_location="cpu", weights_only=True)
            torch.save({k: v for k, v in weights.items() if k.startswith(("interpolation", "synthesis.beat"))}, start)
        inner = {"_target_": f"scripts.training.stages.{stage.capitalize()}Stage", "network": "@network"}
        overrides = {
            "output_dir": folder,
            "start": start,
            "max_epochs": EPOCHS,
            "epoch_length": len(windows) // BATCH,
            "batch_size": BATCH,
            "phantoms": 1,
            "fresh": 0,
            "stage": {"_target_": f"{Without.__module__}.{Without.__name__}", "stage": inner, "variant": variant},
            "train#sources": None,
            "train#dataset": windows,
            "validate#sources": None,
            "validate#dataset": Subset(validation, range(2)),
        } | variant.overrides
        config = f"bundle/configs/train_{stage}.json"
        workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, **overrides)
        workflow.initialize()
        workflow.run()
        return workflow.parser.get_parsed_content("stage").eval()


@torch.no_grad()
def outputs(stage: nn.Module, samples: Drawn) -> Iterator[dict[str, Any]]:
    """Runs a stage on samples; yields what the engines' metrics take."""
    for batch in DataLoader(samples, batch_size=32):
        yield {"pred": stage(batch), "label": batch}


def picture_figures(results: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Judges frames and labels: PSNR above linear blending in the ventricle, dB, and Dice; means over batches."""
    rows = [(handlers.interpolation_gain(r), handlers.dice(r, 1), handlers.dice(r, 2)) for r in results]
    gain, myocardium, pool = torch.tensor(rows).mean(0).tolist()
    return {"gain_db": gain, "dice_myocardium": myocardium, "dice_pool": pool}


def velocity_errors(results: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Judges velocities: RMSE over RMS by component where they are known, else by the motion seen, cm/s."""
    names = ("radial", "circumferential", "longitudinal")
    sums: dict[str, list[float]] = {}
    for result in results:
        pairs, target = result["pred"], result["label"]
        shape = target["velocity"].shape[:2]
        if target["velocity"].isfinite().any():
            found = {name: float(handlers.RelativeError(k)(result)) for k, name in enumerate(names)}
        else:
            ventricle = pairs[:, 6:7].unflatten(0, shape)[:, -1]
            found = {"off_seen_motion": float(motion_consistency(pairs[:, :3].unflatten(0, shape), target, ventricle))}
        for name, value in found.items():
            sums.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sums.items()}
