"""Pictures of a benchmark: error against gap, velocity error by peer, agreement of peaks, growth of cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Row = dict[str, Any]

DISCLAIMER = "For research. Not for diagnosis."


def draw_figures(result: dict[str, Any], folder: Path) -> list[str]:
    """Draws what the result has data for.

    Args:
        result: what ``run_benchmark`` gave.
        folder: where PNG files go.

    Returns:
        Names of the files.
    """
    drawn = {"interpolation": _interpolation, "velocity": _velocity, "velocity_peaks": _peaks}
    work: list[tuple[str, Callable[[Figure, Any], None], Any]] = []
    for source, tables in result["data"].items():
        name = Path(source).name
        work += [(f"{key}_{name}.png", draw, tables[key]) for key, draw in drawn.items() if tables.get(key)]
    if result.get("cost"):
        work.append(("cost.png", _cost, result["cost"]))
    for name, draw, rows in work:
        figure = Figure(figsize=(9, 4), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, rows)
        figure.supxlabel(DISCLAIMER, fontsize=7, color="0.4")  # has room of its own in the layout
        figure.savefig(folder / name, dpi=130)
    return [name for name, _, _ in work]


def _lines(axes: Axes, rows: list[Row], x: str, y: str, by: str = "peer") -> None:
    """One line a peer, for rows that have both figures."""
    for name in dict.fromkeys(row[by] for row in rows):
        points = sorted((row[x], row[y]) for row in rows if row[by] == name and row.get(y) is not None)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)


def _interpolation(figure: Figure, rows: list[Row]) -> None:
    kinds = (("psnr_ventricle_db", "PSNR in the ventricle, dB"), ("sharpness_lost_percent", "sharpness lost, %"))
    for axes, (key, words) in zip(figure.subplots(1, 2), kinds, strict=True):
        _lines(axes, rows, "gap", key)
        axes.set(xlabel="gap: every how-many-th frame was given", ylabel=words)
        axes.grid(alpha=0.3)
    if figure.axes[0].lines:
        figure.axes[0].legend(fontsize=7)


def _velocity(figure: Figure, rows: list[Row]) -> None:
    axes = figure.subplots()
    rows = [row for row in rows if "," not in row["peer"]]  # the same velocities; only their curves differ
    peers, components = (list(dict.fromkeys(row[key] for row in rows)) for key in ("peer", "component"))
    width = 0.8 / len(peers)
    for k, peer in enumerate(peers):
        values = [next(r["rmse_cm_s"] for r in rows if (r["peer"], r["component"]) == (peer, c)) for c in components]
        axes.bar(np.arange(len(components)) + k * width, values, width, label=peer)
    axes.set_xticks(np.arange(len(components)) + 0.4 - width / 2, components)
    axes.set_ylabel("RMSE in the wall, cm/s at RR = 1000 ms")
    axes.legend(fontsize=7)


def _peaks(figure: Figure, rows: list[Row]) -> None:
    kinds = (("value", "cm/s"), ("time", "ms at RR = 1000 ms"))
    rows = [row for row in rows if row["n"] > 0]
    names = [f"{row['component']} {row['marker']}, {row['peer']}" for row in rows]
    figure.set_size_inches(9, 1 + 0.16 * len(names))
    for axes, (key, unit) in zip(figure.subplots(1, 2, sharey=True), kinds, strict=True):
        for k, row in enumerate(rows):
            axes.plot([row[f"{key}_low"], row[f"{key}_high"]], [k, k], color="0.6")
            axes.plot(row[f"{key}_bias"], k, "o", color="C0", markersize=4)
        axes.axvline(0, color="k", linewidth=0.6)
        axes.set_xlabel(f"{key}: bias and limits of agreement, {unit}", fontsize=8)
    figure.axes[0].set_yticks(range(len(names)), names, fontsize=6)
    figure.axes[0].invert_yaxis()


def _cost(figure: Figure, rows: list[Row]) -> None:
    named = [row | {"peer": f"{row['network']}, {row['engine']}"} for row in rows]
    usual = {"frames": (("pixels", 96), ("slices", 1)), "pixels": (("frames", 9), ("slices", 1)),
             "slices": (("frames", 9), ("pixels", 96))}  # fmt: skip
    for axes, (x, fixed) in zip(figure.subplots(1, 3), usual.items(), strict=True):
        _lines(axes, [row for row in named if all(row[k] == v for k, v in fixed)], x, "seconds_a_slice")
        axes.set(xlabel=f"{x} ({', '.join(f'{v} {k}' for k, v in fixed)})", ylabel="s a slice", yscale="log")
        axes.grid(alpha=0.3)
    if figure.axes[0].lines:
        figure.axes[0].legend(fontsize=6)
