"""report.html: one file that plays the cine, draws every curve and asks nothing of the network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.assessment import Assessment, Maps, cylindrical

from .overview import COMPONENTS, DIVERGING, SEQUENTIAL, heart_window
from .pixels import NO_WALL, PARTS, STEPS, columns, encode_slice, velocity_limits
from .summary import WHOLE_UNITS, first_figures, joined_flags, middle_slice, missing_words, subtitle

#: Negative direction of each component, in words; the positive one is in COMPONENTS.
NEGATIVE = {"radial": "outward", "circumferential": "clockwise", "longitudinal": "apex to base"}
#: In this order they become one script, so that the page is one file.
PARTS_OF_SCRIPT = ("state.js", "viewer.js", "charts.js", "bullseye.js", "tables.js", "main.js")
#: How far the sectors' lines reach beyond the wall, as a share of its outer radius.
REACH = 1.25


def write_page(path: Path, maps: Maps, assessment: Assessment) -> Path:
    """Write the page.

    Args:
        path: HTML file to write.
        maps: What was assessed.
        assessment: What was found in it.

    Returns:
        The file written.
    """
    parts = resources.files(__package__) / "page"

    def read(name: str) -> str:
        return (parts / name).read_text(encoding="utf-8")

    content = {
        "STYLE": read("page.css"),
        # "<" would let a name end the script; as an escape it is the same JSON.
        "DATA": json.dumps(page_data(maps, assessment), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "SCRIPT": "\n".join(read(name) for name in PARTS_OF_SCRIPT),
    }
    page = re.sub(r"/\*(STYLE|DATA|SCRIPT)\*/", lambda found: content[found[1]], read("page.html"))
    path.write_text(page, encoding="utf-8")
    return path


def page_data(maps: Maps, assessment: Assessment) -> dict[str, Any]:
    """What the page's script reads: the assessment as JSON, the pictures, and words.

    Args:
        maps: What was assessed.
        assessment: What was found in it.
    """
    found = maps.labels.max((0, 3))[..., None]
    window = heart_window(found, maps.spacing_mm) if found.any() else (slice(None), slice(None))
    magnitude, labels = maps.magnitude[:, *window], maps.labels[:, *window]
    velocity = maps.velocity[:, :, *window]
    components = [
        cylindrical(labels[..., z], velocity[..., z], maps.spacing_mm[:2], maps.cyclic) for z in range(labels.shape[3])
    ]
    limits = velocity_limits(components)
    white = max(float(np.percentile(magnitude, 99.5)), 1e-6)
    slices = [
        {**encode_slice(magnitude[..., z], labels[..., z], components[z], white, limits), "reach_mm": reach}
        for z, reach in tqdm(
            list(enumerate(_reaches(labels, maps.spacing_mm))), desc="Report", unit="slice", disable=None
        )
    ]
    first = middle_slice(assessment)
    return {
        "assessment": assessment.to_json(),
        "width": magnitude.shape[1],
        "height": magnitude.shape[2],
        "pixel_mm": maps.spacing_mm[:2],
        "origin": [window[0].start or 0, window[1].start or 0],
        "columns": columns(len(magnitude)),
        "steps": STEPS,
        "no_wall": NO_WALL,
        "parts": PARTS,
        "slices": slices,
        "components": [
            {"key": name, "name": name, "positive": positive, "negative": NEGATIVE[name], "limit": float(limit)}
            for (name, positive, *_), limit in zip(COMPONENTS, limits, strict=True)
        ],
        "diverging": _palette(DIVERGING),
        "sequential": _palette(SEQUENTIAL),
        "first_slice": first.index if first else 0,
        "first_frame": _peak_frame(assessment),
        "first_component": 0,
        "subtitle": subtitle(assessment),
        "flags": [{"severity": f.severity, "where": f.where, "text": f.text} for f in joined_flags(assessment)],
        "first_figures": [one.key for one in first_figures(assessment)],
        "missing": missing_words(assessment),
        "whole_units": WHOLE_UNITS,
        "display": {
            "pictures": "cropped to the heart and compressed; the acquired pixels are in the study's own files.",
            "colours": f"the diverging map {DIVERGING}, zero in its middle, drawn smoothly between pixels. Velocities "
            f"are kept in steps of 1/{STEPS} of the scale; the fastest 0.2 % of the wall lie beyond it. Values at the "
            "pointer are of the pixel.",
            "arrows": "radial and circumferential velocity, so without the ventricle's bulk motion.",
            "outlines": "of the labels, smoothed by half a pixel.",
        },
    }


def _reaches(labels: NDArray, spacing_mm: tuple[float, float, float]) -> Iterator[float]:
    """Length of the sectors' lines in each slice, mm."""
    for z in range(labels.shape[3]):
        pixels = int((labels[..., z] > 0).sum((1, 2)).max())
        yield round(REACH * float(np.sqrt(pixels * spacing_mm[0] * spacing_mm[1] / np.pi)), 2)


def _palette(name: str) -> list[int]:
    """256 colours of a map: red, green, blue, red, ..."""
    return np.rint(matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(int).ravel().tolist()


def _peak_frame(assessment: Assessment) -> int:
    """Frame of the fastest inward motion of the slice that is shown first."""
    first = middle_slice(assessment)
    curve = None if first is None else first.velocity_cm_s.get("radial", {}).get("global")
    return 0 if curve is None or not np.isfinite(curve).any() else int(np.nanargmax(curve))
