"""The model card's figures, taken from a benchmark."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.cine.study import CineError
from scripts.training.sunnybrook import HELD_OUT

from .ablation import RESULT as ABLATION
from .ablation import page as describe
from .bars import OURS, PUBLISHED
from .network import Network
from .tables import Row, bars_table, table
from .tallies import AGREEMENT

BEGIN, END = "<!-- python -m scripts card writes from here -->", "<!-- to here -->"


@dataclass(frozen=True)
class Shown:
    """A table of the benchmark as the card shows it.

    Attributes:
        name: its name in ``benchmark.json``.
        words: what is said above it.
        columns: those that are shown.
        where: the rows that are shown.
    """

    name: str
    words: str
    columns: tuple[str, ...]
    where: Row = field(default_factory=dict)


LABELS = ("frames_are", "label", "dice", "hd95_mm", "surface_distance_mm", "missed", "frames_without", "false")
PEAKS = (
    *("component", "marker", "n", "missed", "value_correlation", "value_correlation_from", "value_correlation_to"),
    *("value_bias", "value_low", "value_high", "time_bias", "time_low", "time_high"),
)
SHOWN = (
    Shown(
        "interpolation",
        "Frames between every gap-th one (gap 6: 54 cut to 9 and back), against the noise-free truth:",
        ("gap", "peer", "slices_with_ventricle", "psnr_ventricle_db", "psnr_full_12_bit_db", "sharpness_lost_percent"),
    ),
    Shown(
        "interpolation_by_patient",
        "Frames between every gap-th one, against the acquired ones:",
        ("gap", "subject", "peer", "slices_with_ventricle", "psnr_ventricle_db"),
    ),
    Shown(
        "segmentation",
        "Labels of this network (of patients: readers' contours; endocardial masks of single pictures are brought to "
        "where the same readers' contours lie, and measured as they were published, too):",
        ("subject", *LABELS),
        {"peer": OURS},
    ),
    Shown("segmentation", "Labels of the published network:", LABELS, {"peer": PUBLISHED, "subject": "all"}),
    Shown(
        "velocity",
        "Velocity in the true wall at gap 6, of slices in their stacks and alone; a relative error of 1 is what an "
        "answer of zero has:",
        ("peer", "component", "rmse_cm_s", "rmse_over_rms", "curve_correlation"),
    ),
    Shown(
        "velocity_directions",
        "The same as a vector, bulk motion included (what has no direction is 90 degrees off):",
        ("peer", "end_point_error_in_plane_cm_s", "end_point_error_cm_s", "angle_above_1_cm_s_deg"),
    ),
    Shown(
        "velocity_turned",
        "The same velocities when the picture is turned, as a share of their root mean square:",
        ("peer", "change_when_turned_by_90_degrees"),
    ),
    Shown(
        "velocity_peaks",
        "Peaks of this network's mean curves over its own labels, less the true ones: correlation and its 95 % "
        "confidence interval, bias and limits of agreement, cm/s and ms at RR = 1000 ms:",
        PEAKS,
        {"peer": f"{OURS}, own labels"},
    ),
    Shown(
        "velocity_peaks",
        "Those along the axis when the network sees the slice alone:",
        PEAKS,
        {"peer": f"{OURS}, slice alone, own labels", "component": "longitudinal"},
    ),
    Shown(
        "velocity_by_gap",
        "What more acquired frames give (gap 2: 27 of 54, gap 3: 18, gap 4: 13 of 52, gap 6: 9): error in the true "
        "wall, and the peaks of the mean curves over this network's own labels, as above:",
        ("gap", "component", "rmse_over_rms", *(f"{m}_{key}" for m in ("PS", "PD") for key in AGREEMENT)),
        {"peer": f"{OURS}, own labels"},
    ),
    Shown(
        "confidence",
        "Labels by confidence (probability of the likeliest label), pixels within 6 mm of a ventricle:",
        ("confidence", "pixels_percent", "wrong_percent"),
        {"peer": OURS},
    ),
    Shown(
        "confidence_by_slice",
        "Rank correlation over slices of mean confidence with errors (-1 is perfect):",
        ("slices", "confidence_with_wrong_labels", "confidence_with_velocity_error"),
        {"peer": OURS},
    ),
    Shown(
        "contours",
        "A reader's end-diastolic contour of the pool, carried to end-systole by the in-plane velocity:",
        ("patient", "peer", "slices", "dice", "slices_better_carried"),
    ),
)


def card(result: str, bundle: str = "bundle", ablation: str = "") -> str:
    """Puts a benchmark's figures into the model card and into metadata.json.

    Args:
        result: folder that ``benchmark`` wrote, or its benchmark.json.
        bundle: the bundle whose docs/README.md and configs/metadata.json are brought up to date.
        ablation: folder that ``ablate`` wrote; without it the card keeps the ablation that it has.

    Returns:
        One line that says what was written.

    Raises:
        CineError: if a file is missing, or the card has no place for the figures.
    """
    source = Path(result) / "benchmark.json" if Path(result).is_dir() else Path(result)
    page, metadata = Path(bundle) / "docs" / "README.md", Path(bundle) / "configs" / "metadata.json"
    model = Path(bundle) / "models" / "model.ts"
    study = [Path(ablation) / ABLATION] if ablation else []
    for path in (source, page, metadata, model, *study):
        if not path.is_file():
            raise CineError(f"{path}: no such file; expected what benchmark (and ablate) wrote, and a bundle")
    text = page.read_text(encoding="utf-8")
    found = _result(source, ("about", "data", "bars"))
    figures = section(found, Network.load(OURS, model).about()["weights_sha256"])
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise CineError(f"{page}: found no single pair of {BEGIN} and {END}, expected the figures' place between them")
    before, old, after = text.split(BEGIN)[0], text.split(BEGIN)[1].split(END)[0], text.split(END)[1]
    if not study and "### Ablation" in old:
        figures += "\n\n" + old[old.index("### Ablation") :].strip()
    for path in study:
        ablated = _result(path, ("about", "interpolation", "synthesis"))
        figures += f"\n\n### Ablation\n\nFrom `python -m scripts ablate OUT --steps {ablated['about']['steps']}`. "
        figures += describe(ablated).rstrip()
    page.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")
    about = json.loads(metadata.read_text(encoding="utf-8"))
    about["eval_metrics"] = metrics(found)
    metadata.write_text(json.dumps(about, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"Wrote the figures of {source} into {page} and {metadata}"


def _result(path: Path, parts: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CineError(f"{path}: found no JSON ({error}), expected what benchmark or ablate wrote") from error
    missing = [part for part in parts if part not in found]
    if missing:
        raise CineError(f"{path}: found no {', '.join(missing)}, expected what benchmark or ablate wrote")
    return found


def section(result: dict[str, Any], shipped: str) -> str:
    """The card's Performance section as Markdown.

    Args:
        result: what ``benchmark.json`` holds.
        shipped: SHA-256 of the bundle's weights.
    """
    about = result["about"]
    options = {key: about[key] for key in ("data", "patients", "peers", "parts", "gaps")}
    command = " ".join(f"--{key} {','.join(map(str, values))}" for key, values in options.items())
    command = f"benchmark OUT --slices {about['phantom_slices']} --seed {about['phantom_seed']} {command}"
    measured = about["networks"][OURS]["weights_sha256"]
    whose = "the shipped weights" if measured == shipped else f"other weights than are shipped ({measured[:12]})"
    lines = [
        f"From `python -m scripts {command}` on {whose}, {about['threads']} threads. "
        "What the paper reports was measured on private data and is not comparable.",
        "What the project asks of its weights (must, aim), and what was found:",
        bars_table(result["bars"]),
    ]
    for data, tables in result["data"].items():
        hearts = "Simulated hearts of seeds that training never drew"
        lines.append(f"### {hearts if data == 'phantom' else f'Patients: {Path(data).name}'}")
        for shown in SHOWN:
            rows = [row for row in tables.get(shown.name, []) if shown.where.items() <= row.items()]
            if shown.name == "interpolation" and data != "phantom":
                continue  # patient by patient follows, and no patient's noise-free truth is known
            if rows:
                lines += [shown.words, table([{c: row.get(c) for c in shown.columns} for row in rows])]
    if "cost" in result:
        columns = ("network", "engine", "parameters", "frames", "pixels", "slices", "multiply_adds", "seconds_a_slice")
        lines += ["### Cost", table([{c: row.get(c) for c in columns} for row in result["cost"]])]
    return "\n\n".join(lines)


def metrics(result: dict[str, Any]) -> dict[str, object]:
    """The few figures that metadata.json states.

    Args:
        result: what ``benchmark.json`` holds.
    """
    about = result["about"]
    chosen: dict[str, object] = {"data": ", ".join(about["data"]) + f"; seed {about['phantom_seed']} and on"}
    if set(about["patients"]) <= set(HELD_OUT):
        chosen["data"] = f"{chosen['data']}; seeds and patients held out"
    for data, tables in result["data"].items():
        kind = "phantom" if data == "phantom" else "patients"
        rows: list[Row] = [r for r in tables.get("segmentation", []) if (r["peer"], r["subject"]) == (OURS, "all")]
        chosen |= {
            f"dice_{r['label']}_{r['frames_are']}_frames_{kind}": r["dice"]
            for r in rows
            if r["frames_are"] in ("acquired", "interpolated")
        }
        rows = [r for r in tables.get("velocity", []) if r["peer"] == OURS]
        chosen |= {f"velocity_rmse_over_rms_{r['component']}_{kind}": r["rmse_over_rms"] for r in rows}
    return chosen
