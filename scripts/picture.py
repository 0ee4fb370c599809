"""A picture of what the bundle's inference wrote."""

from __future__ import annotations

import numpy as np

from .assessment.maps import MYOCARDIUM, load_maps
from .report.overview import overview


def picture(result: str, out: str = "") -> str:
    """Draws the slice with the most myocardium: magnitude, labels and velocities at two moments, and their curves.

    Args:
        result: the outputs to draw, as folder and name: ``OUT/NAME`` of ``OUT/NAME_cine.nii.gz``.
        out: PNG to write; by default ``OUT/NAME_overview.png``.

    Returns:
        What was written, in words.

    Raises:
        CineError: if an output is missing or damaged.
    """
    maps = load_maps(result)
    z = int((maps.labels == MYOCARDIUM).sum((0, 1, 2)).argmax())
    cine, label, velocity = (np.moveaxis(a[..., z], -3, -1) for a in (maps.magnitude, maps.labels, maps.velocity))
    target = overview(
        out or f"{result}_overview.png",
        cine,
        label,
        velocity,
        maps.spacing_mm[:2],
        float(maps.frame_duration_ms[z]),
        f"{maps.name}, slice {z + 1} of {maps.labels.shape[3]}",
    )
    return f"{target}: picture of the result. Not for diagnosis."
