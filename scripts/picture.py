"""A picture of what the bundle's inference wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .assessment.maps import MYOCARDIUM, VELOCITIES
from .cine.nifti import load_nifti
from .cine.study import APEX_TO_BASE, CineError
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
    files = {key: Path(f"{result}_{key}.nii.gz") for key in ("cine", "label", *VELOCITIES)}
    for path in files.values():
        if not path.is_file():
            raise CineError(f"{path}: no such file; expected what inference writes")
    read = {key: load_nifti(path) for key, path in files.items()}
    _, affine, header = read["cine"]
    stacks = {key: as_stack(pixels) for key, (pixels, *_) in read.items()}
    label = stacks.pop("label")
    for key, stack in stacks.items():
        if stack.shape != label.shape:
            raise CineError(f"{files[key]}: found shape {stack.shape}, expected {label.shape} as in {files['label']}")
    z = int((label == MYOCARDIUM).sum((0, 1, 3)).argmax())
    cine, *velocity = (stack[:, :, z] for stack in stacks.values())
    if np.cross(*affine[:3, :2].T) @ APEX_TO_BASE < 0:  # stored as seen from the base: turn it over
        cine, *velocity, label = (pixels[::-1] for pixels in (cine, *velocity, label))
        velocity[0] = -velocity[0]
    target = overview(
        out or f"{result}_overview.png",
        cine,
        label[:, :, z],
        np.stack(velocity),
        header.get_zooms()[:2],
        1000 * float(header["pixdim"][4]),
        f"{Path(result).name}, slice {z + 1} of {label.shape[2]}",
    )
    return f"{target}: picture of the result. Not for diagnosis."


def as_stack(pixels: NDArray) -> NDArray:
    """Pixels (X, Y, Z, T) of a stack, or of one slice (X, Y, T)."""
    return pixels if pixels.ndim == 4 else pixels[:, :, None]
