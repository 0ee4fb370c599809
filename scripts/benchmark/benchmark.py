"""This project beside what a user would pick instead: the same data, the same run, one command."""

from __future__ import annotations

import importlib.util
import json
import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from scripts.cine.folder import whole_folder
from scripts.cine.study import LEAST_FRAMES, CineError
from scripts.training.sunnybrook import HELD_OUT

from .bars import MAIN_GAP, OURS, PUBLISHED, REAL_GAP, find_bars
from .cases import FRAMES, Case, patient_cases, phantom_case, phantom_stack
from .confidence import ConfidenceTally
from .contours import ContourTally, carried_overlaps, end_frames
from .cost import FULL_WIDTH, Load, cost_rows, loads
from .figures import draw_figures
from .interpolators import INTERPOLATORS
from .motion import ESTIMATORS
from .network import Network, ventricle
from .tables import markdown
from .tallies import InterpolationTally, SegmentationTally, VelocityTally, velocity_by_gap
from .velocities import velocity_peers

PEERS = (*INTERPOLATORS, "population", PUBLISHED, OURS)
PARTS = ("interpolation", "segmentation", "velocity", "contours", "cost")
GAPS = (2, 3, 4, 6)
RESULT = "benchmark.json"
REQUIRED = {"flow": "opencv-python-headless", "registration": "SimpleITK"}
"""Packages that a peer needs and the project itself does not; warping needs the first one, too."""


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes:
        peers: names from ``PEERS``.
        parts: names from ``PARTS``.
        gaps: every how-many-th frame is given; labels of phantoms, and what is said of velocities, are those at gap 6.
        slices: phantom slices.
        seed: seed of the first.
        size: pixels along each side of phantom slices.
    """

    peers: tuple[str, ...] = PEERS
    parts: tuple[str, ...] = PARTS
    gaps: tuple[int, ...] = GAPS
    slices: int = 24
    seed: int = 90000
    size: int = 128

    def frame_peers(self) -> list[str]:
        """Peers that only make frames."""
        return [name for name in INTERPOLATORS if name in self.peers]


@dataclass
class Tallies:
    """The tables of one kind of data; velocities gap by gap."""

    interpolation: InterpolationTally = field(default_factory=InterpolationTally)
    segmentation: SegmentationTally = field(default_factory=SegmentationTally)
    velocity: dict[int, VelocityTally] = field(default_factory=lambda: defaultdict(VelocityTally))
    contours: ContourTally = field(default_factory=ContourTally)
    confidence: ConfidenceTally = field(default_factory=ConfidenceTally)


def benchmark(
    out: str,
    data: str = "phantom",
    peers: str = "all",
    parts: str = "all",
    slices: int = 24,
    seed: int = 90000,
    patients: str = ",".join(HELD_OUT),
    gaps: str = "2,3,4,6",
    model: str = "bundle/models/model.ts",
    published: str = "runs/paper/model.ts",
) -> str:
    """Measures the weights beside peers, and writes benchmark.json, benchmark.md and figures.

    Peers that make frames: nearest (copy), linear, cubic (spline), flow (optical flow, OpenCV's DIS), registration
    (ITK's demons); population (mean velocities of simulated hearts); r2unet (the published network, trained with
    bundle/configs/paper*.json; of "all" it is left out where its weights are absent, but for the cost at full width);
    hdlnet (this project).

    Args:
        out: folder to write.
        data: phantom, or a folder of real cine, or several of these with commas: a folder is Sunnybrook's, or holds
            NAME.nii.gz with NAME_label.nii.gz.
        peers: names with commas, or all.
        parts: interpolation, segmentation, velocity, contours, cost, with commas, or all.
        slices: phantom slices.
        seed: seed of the first phantom slice; training uses other ones.
        patients: of Sunnybrook, ids with commas; by default those that training never saw.
        gaps: every how-many-th frame is given, with commas; phantoms' labels and most of what is said of velocities
            are those at gap 6.
        model: TorchScript file of this project.
        published: TorchScript file of the published network.

    Returns:
        One line that says what was written where.
    """
    chosen = _names("peers", peers, PEERS)
    absent = _absent(chosen)
    if absent:
        words = "install hdl_mvm[benchmark], or leave out flow and registration"
        raise CineError(f"peers: {', '.join(absent)} not installed; {words}")
    numbers = _names("gaps", gaps, tuple(str(g) for g in range(1, 13)))
    if slices < 1:
        raise CineError(f"slices: found {slices}, expected at least 1")
    if peers == "all" and not Path(published).is_file():
        chosen = tuple(name for name in chosen if name != PUBLISHED)
    settings = Settings(chosen, _names("parts", parts, PARTS), tuple(int(g) for g in numbers), slices, seed)
    files = {OURS: model, PUBLISHED: published}
    networks = [Network.load(name, files[name]) for name in (PUBLISHED, OURS) if name in chosen]
    sources = _listed(data)
    with whole_folder(out, model, RESULT) as folder:
        result = run_benchmark(settings, networks, sources, _listed(patients))
        write_result(result, folder)
    missed = sum(not bar["met"] for bar in result["bars"])
    return f"Wrote {RESULT}, benchmark.md and figures to {out}; {missed} of {len(result['bars'])} bars missed"


def _absent(peers: Sequence[str]) -> list[str]:
    """Packages that some peers need and nobody installed."""
    modules = {"opencv-python-headless": "cv2", "SimpleITK": "SimpleITK"}
    needed = [package for peer, package in REQUIRED.items() if peer in peers]
    if "registration" in peers:
        needed.append(REQUIRED["flow"])
    return [name for name in dict.fromkeys(needed) if importlib.util.find_spec(modules[name]) is None]


def _names(argument: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    if text == "all":
        return tuple(known)
    names = tuple(dict.fromkeys(_listed(text)))
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise CineError(
            f"{argument}: found {', '.join(wrong) or 'nothing'}, expected all or some of {', '.join(known)}"
        )
    return names


def _listed(text: str) -> tuple[str, ...]:
    """Words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def run_benchmark(
    settings: Settings, networks: Sequence[Network], sources: Sequence[str], patients: tuple[str, ...] = HELD_OUT
) -> dict[str, Any]:
    """Runs all parts.

    Args:
        settings: what is run.
        networks: loaded networks.
        sources: "phantom" and folders.
        patients: of Sunnybrook.

    Returns:
        What ``benchmark.json`` holds.
    """
    result: dict[str, Any] = {"about": _about(settings, networks, sources, patients)}
    cases = {source: patient_cases(source, patients) for source in sources if source != "phantom"}
    data: dict[str, Any] = {}
    for source in sources:
        tallies = Tallies()
        if source == "phantom":
            _phantoms(settings, networks, tallies)
        else:
            for case in tqdm(cases[source], desc=Path(source).name):
                _patient(settings, networks, tallies, case)
        data[source] = _tables(tallies, real=source != "phantom")
    result["data"] = data
    if "cost" in settings.parts:
        work = [row for network in networks for row in loads(network.name, str(network.path))]
        # What the published network costs at its full width needs no weights.
        work.append(Load(f"{PUBLISHED} ({FULL_WIDTH})", FULL_WIDTH, repeats=1))
        result["cost"] = cost_rows(work)
    result["bars"] = find_bars(result)
    return result


def _phantoms(settings: Settings, networks: Sequence[Network], tallies: Tallies) -> None:
    velocities = velocity_peers(list(settings.peers)) if "velocity" in settings.parts else {}
    gaps = settings.gaps if {"interpolation", "velocity"} & set(settings.parts) else ()
    if {"segmentation", "velocity"} & set(settings.parts):
        gaps = tuple(dict.fromkeys((*gaps, MAIN_GAP)))
    for seed in tqdm(range(settings.seed, settings.seed + settings.slices), desc="phantom"):
        for gap in gaps:
            case = phantom_case(seed, FRAMES // gap * gap, settings.size)
            keys = case.frames[::gap]
            preds = {network.name: network(keys, gap) for network in networks}
            if "interpolation" in settings.parts and gap in settings.gaps and gap > 1:
                for name in settings.frame_peers():
                    tallies.interpolation.add(case, gap, name, INTERPOLATORS[name](keys, gap, True))
                for name, pred in preds.items():
                    tallies.interpolation.add(case, gap, name, pred[0])
            if "velocity" in settings.parts and case.has_ventricle:
                for name, peer in velocities.items():
                    tallies.velocity[gap].add(case, name, peer(case, gap))
                for network in networks:
                    pred = _velocities(network, tallies.velocity[gap], case, gap, seed, preds[network.name])
                    if gap == MAIN_GAP:
                        tallies.confidence.add(case, network.name, pred)
            if gap == MAIN_GAP and "segmentation" in settings.parts:
                wanted, between = torch.stack(list(case.labels.values())), torch.arange(len(case.frames)) % gap != 0
                for name, pred in preds.items():
                    labels = ventricle(pred)
                    tallies.segmentation.add(case, name, "acquired", labels[~between], wanted[~between])
                    tallies.segmentation.add(case, name, "interpolated", labels[between], wanted[between])


def _velocities(network: Network, tally: VelocityTally, case: Case, gap: int, seed: int, alone: Tensor) -> Tensor:
    """Velocities of a slice, in its stack if the network knows stacks; its labels are the same in it and alone."""
    name, own = network.name, (ventricle(alone) == 1).float()
    stack, place = case.frames[None], 0
    if network.knows_stacks:
        stack, place = phantom_stack(seed, len(case.frames), len(case.frames[0]))
    keys = stack[:, ::gap]

    def see(keys: Tensor) -> Tensor:
        return network.in_stack(keys, gap)[..., place] if network.knows_stacks else network(keys[0], gap)

    pred = alone
    if network.knows_stacks:
        pred = see(keys)
        tally.add(case, f"{name}, slice alone", alone[4:7])
        tally.add(case, f"{name}, slice alone, own labels", alone[4:7], own)
    tally.add(case, name, pred[4:7])
    tally.add(case, f"{name}, own labels", pred[4:7], own)
    if gap == MAIN_GAP:
        tally.add_turned(case, name, pred[4:7], see(torch.rot90(keys, 1, (-2, -1)))[4:7])
    return pred


def _patient(settings: Settings, networks: Sequence[Network], tallies: Tallies, case: Case) -> None:
    count = len(case.frames)
    if "interpolation" in settings.parts and case.cyclic:
        for gap in settings.gaps:
            keys, cyclic = case.frames[::gap], count % gap == 0
            if len(keys) < LEAST_FRAMES:
                continue
            for name in settings.frame_peers():
                tallies.interpolation.add(case, gap, name, INTERPOLATORS[name](keys, gap, cyclic))
            for network in networks:
                tallies.interpolation.add(case, gap, network.name, network(keys, gap, cyclic)[0])
    if "segmentation" in settings.parts:
        for network in networks:
            _segment(network, tallies, case)
    if "contours" in settings.parts and case.cyclic and end_frames(case.labels):
        peers = [name for name in ESTIMATORS if name in settings.peers]
        carriers = {network.name: network.module for network in networks}
        tallies.contours.add(case.subject, carried_overlaps(case.frames, case.labels, peers, carriers))


def _segment(network: Network, tallies: Tallies, case: Case) -> None:
    """Labels of the labelled frames: as acquired, and as interpolated half-way between others."""
    tally = tallies.segmentation
    if not case.cyclic:  # single pictures: each is shown as a cine that stands still
        for frame, label in case.labels.items():
            still = case.frames[frame : frame + 1].expand(3, -1, -1)
            found = ventricle(network(still, 1))[:1]
            tally.add(case, network.name, "acquired", found, label[None])
            if frame in case.published:
                tally.add(case, network.name, "acquired, masks as published", found, case.published[frame][None])
        return
    pred = network(case.frames, 1)
    if case.has_ventricle:
        tallies.confidence.add(case, network.name, pred)
    labels = ventricle(pred)
    for frame, label in case.labels.items():
        tally.add(case, network.name, "acquired", labels[frame : frame + 1], label[None])
    count, half = len(case.frames), REAL_GAP // 2
    shown = [f for f, label in case.labels.items() if label.any()]
    for frame in shown:
        keys = case.frames.roll(half - frame, 0)[::REAL_GAP]
        if len(keys) < LEAST_FRAMES:
            continue
        found = ventricle(network(keys, REAL_GAP, count % REAL_GAP == 0))
        tally.add(case, network.name, "interpolated", found[half : half + 1], case.labels[frame][None])


def _tables(tallies: Tallies, real: bool) -> dict[str, Any]:
    """What is written of one kind of data; empty tables are left out."""
    velocity = tallies.velocity[MAIN_GAP]
    tables = {
        "interpolation": tallies.interpolation.figures(),
        "interpolation_by_patient": tallies.interpolation.figures(("gap", "subject", "peer")) if real else [],
        "segmentation": [row for row in tallies.segmentation.figures() if real or row["subject"] == "all"],
        "velocity": velocity.figures(),
        "velocity_directions": velocity.directions(),
        "velocity_turned": velocity.turns(),
        "velocity_peaks": velocity.peaks(),
        "velocity_by_gap": velocity_by_gap(tallies.velocity),
        "confidence": tallies.confidence.figures(),
        "confidence_by_slice": tallies.confidence.ranks(),
        "contours": tallies.contours.figures(),
        "interpolation_slices": tallies.interpolation.slices,
        "velocity_slices": [row for sums in velocity.peers.values() for row in sums.slices],
    }
    return {name: rows for name, rows in tables.items() if rows}


def _about(
    settings: Settings, networks: Sequence[Network], sources: Sequence[str], patients: Sequence[str]
) -> dict[str, Any]:
    packages = ("torch", "monai", "numpy", "scipy", "onnxruntime", *REQUIRED.values())
    return {
        "not_for_diagnosis": True,
        "data": list(sources),
        "patients": list(patients),
        "peers": list(settings.peers),
        "parts": list(settings.parts),
        "gaps": list(settings.gaps),
        "phantom_slices": settings.slices,
        "phantom_seed": settings.seed,
        "networks": {network.name: network.about() for network in networks},
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages if name not in _absent(tuple(REQUIRED))},
    }


def write_result(result: dict[str, Any], folder: Path) -> None:
    """Writes benchmark.json (NaN as null), benchmark.md and figures into a folder."""
    (folder / RESULT).write_text(json.dumps(_plain(result), indent=1) + "\n")
    figures = draw_figures(result, folder)
    (folder / "benchmark.md").write_text(markdown(result, figures))


def _plain(value: Any) -> Any:
    """The same for JSON: no NaN, floats of five digits."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value
