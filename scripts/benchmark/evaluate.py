"""Measures the shipped weights on held-out phantom slices and held-out patients; the numbers of the model card."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from scripts.assessment.regions import COMPONENTS
from scripts.networks import VelocityAssessment
from scripts.phantom.cine import image_cines
from scripts.phantom.scanner import add_noise
from scripts.training.losses import region
from scripts.training.sunnybrook import HELD_OUT, NOT_POOL, RealSlice, load_cines, load_pairs
from scripts.training.windows import turn_vectors

from .contours import contour_figures
from .interpolators import linear
from .metrics import dice, psnr, velocity_sums
from .network import run, ventricle

FACTOR = 6
FRAMES = 54
GAP_REAL = 4


def evaluate(
    out: str = "runs/evaluation",
    model: str = "bundle/models/model.ts",
    dataset_dir: str = "../shared/data/sunnybrook",
    slices: int = 60,
    seed: int = 90000,
) -> Path:
    """Measures a model on data that training never saw, and writes ``evaluation.json``.

    Args:
        out: folder to write to.
        model: TorchScript file.
        dataset_dir: folder ``sunnybrook``; where it is absent only the phantom is measured, and said so.
        slices: number of phantom slices.
        seed: seed of the phantom slices; training uses other ones.

    Returns:
        The file written.
    """
    network = torch.jit.load(model, map_location="cpu").eval()
    result: dict[str, object] = {"model": Path(model).name, "phantom": phantom_figures(network, slices, seed)}
    result["speed"] = speed_figures(network)
    root = Path(dataset_dir)
    if root.is_dir():
        result["patients"] = patient_figures(network, root)
        result["contours"] = contour_figures(network, root)
    else:
        result["patients"] = result["contours"] = f"not measured: {dataset_dir} is absent"
    path = Path(out)
    path.mkdir(parents=True, exist_ok=True)
    path = path / "evaluation.json"
    path.write_text(json.dumps(result, indent=4) + "\n")
    print(json.dumps(result, indent=4))
    print(f"Wrote {path}")
    return path


def phantom_figures(network: torch.nn.Module, slices: int, seed: int) -> dict[str, object]:
    """Interpolation, segmentation and velocity at gap 6 on phantom slices with a ventricle in them.

    Args:
        network: a loaded model.
        slices: how many slices.
        seed: seed of the first one.

    Returns:
        Figures by name; what each is, is in the name.
    """
    generator = torch.Generator().manual_seed(seed)
    sums, overlap, rotation = torch.zeros(3, 2), torch.zeros(2, 2), torch.zeros(2)
    gains, full, truths, founds = [], [], [], []
    empty_found = empty = 0
    for _ in tqdm(range(slices), desc="phantom"):
        cine = image_cines(generator, 1, FRAMES, 128)
        noisy = add_noise(cine.magnitude, cine.scanner.noise[:, None, None, None], generator)[0]
        keys, truth, labels = noisy[::FACTOR], cine.magnitude[0], cine.labels[0]
        pred = run(network, keys, FACTOR)
        found = ventricle(pred)
        if not (labels == 1).any():
            empty, empty_found = empty + 1, empty_found + int((found > 0).sum() > 20 * FRAMES)
            continue
        between = torch.arange(FRAMES) % FACTOR != 0
        where = region(labels[:, None])[:, 0].bool() & between[:, None, None]
        blended, peak = linear(keys, FACTOR), float(truth.max())
        gains.append(psnr(pred[0], truth, peak, where) - psnr(blended, truth, peak, where))
        full.append(psnr(pred[0][between], truth[between], peak))
        for k in (1, 2):
            ours, theirs = found == k, labels == k
            overlap[k - 1] += torch.tensor([2.0 * (ours & theirs).sum(), 1.0 * ours.sum() + theirs.sum()])
        wall = (labels == 1).float()
        sums += velocity_sums(pred[4:7], cine.velocity[0], wall)
        turned = run(network, torch.rot90(keys, 1, (-2, -1)), FACTOR)[4:7].movedim(0, 1)
        turned = turn_vectors(turned, 3).movedim(0, 1)
        rotation += torch.stack((((turned - pred[4:7]).square() * wall).sum(), (pred[4:7].square() * wall).sum()))
        assess = VelocityAssessment()
        truths.append(assess(wall[None], cine.velocity)[0])
        founds.append(assess((found == 1).float()[None], pred[None, 4:7])[0])
    correlation = [
        float(torch.corrcoef(torch.stack((torch.cat(founds, 1)[c], torch.cat(truths, 1)[c])))[0, 1]) for c in range(3)
    ]
    gain = torch.tensor(gains)
    return {
        "slices": slices,
        "psnr_gain_over_linear_in_ventricle_db": round(float(gain.mean()), 2),
        "psnr_gain_worst_slice_db": round(float(gain.min()), 2),
        "psnr_full_frame_db_at_image_range": round(float(torch.tensor(full).mean()), 2),
        "dice_myocardium": round(float(overlap[0, 0] / overlap[0, 1]), 4),
        "dice_pool": round(float(overlap[1, 0] / overlap[1, 1]), 4),
        "slices_without_ventricle": empty,
        "of_these_with_a_false_one": empty_found,
        "velocity_rmse_over_rms": {
            n: round(float(v), 3) for n, v in zip(COMPONENTS, (sums[:, 0] / sums[:, 1]).sqrt(), strict=False)
        },
        "velocity_change_when_the_image_turns_by_90_degrees": round(float((rotation[0] / rotation[1]).sqrt()), 3),
        "curve_correlation": {n: round(v, 3) for n, v in zip(COMPONENTS, correlation, strict=False)},
    }


def speed_figures(network: torch.nn.Module) -> dict[str, object]:
    """Seconds on this machine: the network on one slice of 9 frames, and the phantom on one slice of 54.

    Args:
        network: a loaded model.

    Returns:
        Seconds by name, the better of three runs.
    """

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return round(min(times), 3)

    frames, generator = torch.rand(9, 192, 192), torch.Generator().manual_seed(0)
    return {
        "threads": torch.get_num_threads(),
        "network_9_to_54_frames_192x192_s": best(lambda: run(network, frames, FACTOR)),
        "phantom_54_frames_96x96_s": best(lambda: image_cines(generator, 1, FRAMES, 96)),
    }


def patient_figures(network: torch.nn.Module, root: Path) -> dict[str, object]:
    """Interpolation at gap 4 and segmentation against manual contours, by patient, held-out patients only.

    Args:
        network: a loaded model.
        root: folder ``sunnybrook``.

    Returns:
        Figures by patient.
    """
    result: dict[str, object] = {}
    for patient in HELD_OUT:
        slices = load_cines(root, (patient,)) or [s for s in load_pairs(root) if s.patient == patient]
        result[patient] = _patient(network, slices)
    return result


def _patient(network: torch.nn.Module, slices: list[RealSlice]) -> dict[str, object]:
    found, wanted, walls, true_walls, gains, false = [], [], [], [], [], 0
    for item in tqdm(slices, desc=slices[0].patient):
        # Of a pair only the two pictures exist: each is shown as a cine that stands still.
        cines = {0: item.frames} if item.cyclic else {f: item.frames[f : f + 1].expand(3, -1, -1) for f in item.labels}
        preds = {f: ventricle(run(network, c, 1)) for f, c in cines.items()}
        for frame, label in item.labels.items():
            pred = preds[0][frame] if item.cyclic else preds[frame][0]
            if not label.any():
                false += int((pred > 0).sum() > 20)
                continue
            found.append((pred == 2).flatten())
            wanted.append((label == 2).flatten())
            if not (label == NOT_POOL).any():
                walls.append((pred == 1).flatten())
                true_walls.append((label == 1).flatten())
        if item.cyclic and any(v.any() for v in item.labels.values()):
            gains.append(_interpolation_gain(network, item, preds[0]))
    figures: dict[str, object] = {"dice_pool": round(dice(torch.cat(found), torch.cat(wanted)), 4)}
    if walls:
        figures["dice_myocardium_end_diastole"] = round(dice(torch.cat(walls), torch.cat(true_walls)), 4)
    if gains:
        figures["psnr_gain_over_linear_gap_4_db"] = round(sum(gains) / len(gains), 2)
        figures["psnr_gain_worst_slice_db"] = round(min(gains), 2)
        figures["frames_without_ventricle_with_a_false_one"] = false
    return figures


def _interpolation_gain(network: torch.nn.Module, item: RealSlice, labels: Tensor) -> float:
    """PSNR above linear blending at gap 4, within 6 mm of the ventricle as segmented on all frames."""
    keys, truth = item.frames[::GAP_REAL], item.frames
    between = torch.arange(len(truth)) % GAP_REAL != 0
    where = region(labels[:, None].to(torch.uint8))[:, 0].bool() & between[:, None, None]
    pred, blended, peak = run(network, keys, GAP_REAL)[0], linear(keys, GAP_REAL), float(truth.max())
    return psnr(pred, truth, peak, where) - psnr(blended, truth, peak, where)
