"""Which part of the wall is which: sectors, layers and the segments of the AHA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .wall import DEPTHS, LAYERS, SECTORS, Wall

COMPONENTS = ("radial", "circumferential", "longitudinal")
#: From the septum's middle on, clockwise as seen from the apex: anteroseptal, anterior, anterolateral, ...
SECTOR_NAMES = ("AS", "A", "AL", "IL", "I", "IS")
LAYER_NAMES = ("endo", "mid", "epi")
REGION_NAMES: dict[str, tuple[str, ...]] = {
    "global": ("global",),
    "sectors_6": SECTOR_NAMES,
    "sectors_24": tuple(str(k + 1) for k in range(SECTORS)),
    "layers_3": LAYER_NAMES,
}
#: A region counts if at least this share of its sectors of 24 has a wall.
COMPLETE = 0.75

LEVELS = ("base", "mid", "apex")
_LEVEL_WORDS = {"base": "basal", "mid": "mid", "apex": "apical"}
_BASAL = ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
#: AHA segment: level, name, sectors of 24 (the septum's middle lies between 23 and 0). Cerqueira 2002.
SEGMENTS: dict[int, tuple[str, str, tuple[int, ...]]] = {}
for _level, _first in (("base", 1), ("mid", 7)):
    for _number, _name in enumerate(_BASAL):
        _start = 4 * (1, 0, 5, 4, 3, 2)[_number]
        SEGMENTS[_first + _number] = (_level, f"{_LEVEL_WORDS[_level]} {_name}", tuple(range(_start, _start + 4)))
for _number, _name, _start in ((13, "anterior", 3), (14, "septal", 21), (15, "inferior", 15), (16, "lateral", 9)):
    SEGMENTS[_number] = ("apex", f"apical {_name}", tuple(k % SECTORS for k in range(_start, _start + 6)))


def sector_sums(wall: Wall, values: NDArray) -> tuple[NDArray, NDArray]:
    """Weighted sums over the sectors of 24 and three layers.

    Args:
        wall: Samples of a slice.
        values: Shape (..., T, ANGLES, DEPTHS).

    Returns:
        Sums, shape (..., T, 24, 3), and the area behind them, shape (T, 24, 3).
    """

    def pooled(samples: NDArray) -> NDArray:
        shape = (*samples.shape[:-2], SECTORS, samples.shape[-2] // SECTORS, LAYERS, DEPTHS // LAYERS)
        return samples.reshape(shape).sum((-3, -1))

    return pooled(values * wall.weight), pooled(wall.weight)


def pooled_mean(sums: NDArray, area: NDArray, sectors: Sequence[int], layers: Sequence[int] = range(LAYERS)) -> NDArray:
    """Mean over some sectors and layers, shape (..., T); NaN where too little of the region has a wall."""
    sums, area = sums[..., sectors, :][..., layers], area[..., sectors, :][..., layers]
    complete = (area.sum(-1) > 0).mean(-1) >= COMPLETE
    mean = sums.sum((-2, -1)) / np.maximum(area.sum((-2, -1)), 1e-9)
    return np.where(complete, mean, np.nan)


def region_curves(sums: NDArray, area: NDArray) -> dict[str, NDArray]:
    """Mean curves of every region set.

    Args:
        sums: Shape (T, 24, 3).
        area: Shape (T, 24, 3).

    Returns:
        "global", shape (T,); "sectors_6", "sectors_24", "layers_3", shape (regions, T).
    """
    every = range(SECTORS)
    return {
        "global": pooled_mean(sums, area, every),
        "sectors_6": np.stack([pooled_mean(sums, area, range(4 * k, 4 * k + 4)) for k in range(6)]),
        "sectors_24": np.stack([pooled_mean(sums, area, [k]) for k in every]),
        "layers_3": np.stack([pooled_mean(sums, area, every, [k]) for k in range(LAYERS)]),
    }


def levels(complete: Sequence[bool]) -> list[str]:
    """Level of each slice: thirds of the slices that show a complete wall, from the base.

    Args:
        complete: Whether a slice shows a complete wall, base first.

    Returns:
        "base", "mid", "apex", or "none"; all "none" with fewer than three complete slices.
    """
    found = np.flatnonzero(complete)
    names = ["none"] * len(complete)
    if len(found) >= 3:
        for name, part in zip(LEVELS, np.array_split(found, 3), strict=True):
            for z in part:
                names[z] = name
    return names
