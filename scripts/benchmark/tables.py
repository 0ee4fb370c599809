"""The benchmark as a page of Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

TITLES = {
    "interpolation": "Frames between acquired ones",
    "interpolation_by_patient": "Frames between acquired ones, by patient",
    "segmentation": "Labels",
    "velocity": "Velocity in the wall, by component",
    "velocity_directions": "Velocity in the wall, as a vector",
    "velocity_turned": "Velocity when the picture turns",
    "velocity_peaks": "Peaks of the mean curves",
    "velocity_by_gap": "Velocity by the gap between acquired frames",
    "confidence": "Confidence and errors of labels, pixel by pixel",
    "confidence_by_slice": "Confidence and errors, slice by slice",
    "contours": "Contours carried from end-diastole to end-systole",
}
NOTES = {
    "interpolation": "Only frames that were left out count. Ventricle: within 6 mm of its labels, PSNR and SSIM at the "
    "image's range; full frame at the 12-bit range of the raw values, too. Sharpness lost: gradient of brightness, "
    "percent below the truth's. Means over slices.",
    "segmentation": "Dice is that of all frames and slices of a subject together, and the mean over subjects; "
    "distances are means over frames. Frames without: no such label in the truth; false: something was found there.",
    "velocity": "Errors in the true wall after removal of bulk motion (none along the long axis). RMSE over RMS: 1 is "
    "what zero has. Curves are means over the true wall, or over the peer's own labels where it says so. This network "
    "sees a simulated slice in its stack, or alone where it says so.",
    "velocity_directions": "Bulk motion included. A peer that says zero has no direction: 90 degrees.",
    "velocity_peaks": "Found less true: bias, limits of agreement (1.96 SD); correlation and its 95 % confidence "
    "interval. cm/s at RR = 1000 ms; times in ms. All peers are sought in the windows of the true end-systole. "
    "Missed: the truth has the peak, the peer has none.",
    "velocity_by_gap": "Gap 6: every sixth frame of 54 was acquired, and so on. PS, PD: as among the peaks.",
    "confidence": "Confidence: the probability of the likeliest label. Pixels within 6 mm of a ventricle.",
    "confidence_by_slice": "Spearman's rank correlation: -1 where the least sure slice has the largest error.",
    "contours": "A reader's end-diastolic pool, carried, against the reader's end-systolic pool.",
    "cost": "Factor 6. Multiply-adds: convolutions and matrix products, whole run. Each row in a process of its own; "
    "idle: memory before the run.",
}


def markdown(result: dict[str, Any], figures: Sequence[str]) -> str:
    """Writes the page.

    Args:
        result: what ``run_benchmark`` gave.
        figures: names of picture files beside the page.
    """
    about = result["about"]
    lines = ["# Benchmark", "", "**For research. Not for diagnosis.**", ""]
    phantom = f"Phantom slices: {about['phantom_slices']}, seeds from {about['phantom_seed']}."
    lines += [f"{phantom} Threads: {about['threads']}, {about['machine']}.", ""]
    for name, network in about["networks"].items():
        lines += [f"- {name}: `{network['file']}`, SHA-256 of the weights {network['weights_sha256'][:12]}"]
    lines += ["", "## Bars", "", bars_table(result["bars"])]
    for source, tables in result["data"].items():
        lines += ["", f"# On {source}"]
        for key, title in TITLES.items():
            if key in tables:
                note = NOTES.get(key.removesuffix("_by_patient"), "")
                lines += ["", f"## {title}", "", note, "", table(tables[key])]
    if "cost" in result:
        lines += ["", "# Cost", "", NOTES["cost"], "", table(result["cost"])]
    if figures:
        lines += ["", "# Figures", ""] + [f"![{name}]({name})\n" for name in figures]
    return "\n".join(lines) + "\n"


def bars_table(bars: Sequence[Row]) -> str:
    """What the project asks of its weights, and what was found, as ``bars`` gives it; a Markdown table."""
    return table([row | {"met": "yes" if row["met"] else "no"} for row in bars]) if bars else "None applies to this."


def table(rows: Sequence[Row]) -> str:
    """Rows of the same kind as a Markdown table; what a row lacks stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_words(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _words(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**6:
        return f"{value / 1e6:.1f} M" if abs(value) < 10**9 else f"{value / 1e9:.1f} G"
    return str(value)
