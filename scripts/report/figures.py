"""Figures of an assessment, for slides and papers and as the pages of the PDF: A4, landscape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from scripts.assessment import Assessment, Maps, cylindrical
from scripts.assessment.result import SliceAssessment, StackMotion

from .overview import COMPONENTS, DISCLAIMER, DIVERGING, heart_window
from .summary import CODES, marker, shown_slices

A4_LANDSCAPE = (11.69, 8.27)
STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.6",
    "axes.titlesize": 9.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a study's name may hold dollars
}
#: One for each of six sectors (Okabe and Ito).
SECTOR_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00")
#: Moments of the vector overlays: marker of the longitudinal curve, or else of the radial one.
MOMENTS = (("PS", "peak systole"), ("PD", "early diastole"), ("PAS", "atrial systole"))
ROTATION = "rotation, + counter-clockwise seen from the apex"
NOTHING = "Nothing to draw: no slice shows a complete ventricle."
#: Arrows are drawn about every so many mm.
ARROW_MM = 4.0


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function so that what it draws has the report's style, and its final layout."""

    def drawn(assessment: Assessment, *arguments: object) -> Figure:
        with matplotlib.rc_context(STYLE):
            figure = draw(assessment, *arguments)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not again for each file
            return figure

    drawn.__doc__ = draw.__doc__
    return drawn


def sheet(assessment: Assessment, title: str) -> Figure:
    """An empty sheet with the study's name and the disclaimer at its top."""
    figure = Figure(figsize=A4_LANDSCAPE, layout=ConstrainedLayoutEngine(w_pad=0.2, h_pad=0.15))
    figure.suptitle(f"{assessment.study['name']}: {title}      ({DISCLAIMER})", fontsize=11)
    return figure


def empty(figure: Figure, words: str = NOTHING) -> Figure:
    """The sheet with words in place of a picture."""
    figure.text(0.5, 0.5, words, ha="center", fontsize=11, color="#D55E00")
    return figure


@styled
def curves_figure(assessment: Assessment) -> Figure:
    """Velocity curves of a basal, a middle and an apical slice: the wall's mean with its markers, and six sectors."""
    figure = sheet(assessment, "velocity curves")
    shown = shown_slices(assessment)
    if not shown:
        return empty(figure)
    grid = figure.subplots(3, len(shown), sharey="row", squeeze=False)
    for column, one in enumerate(shown):
        for axes, (name, sign, colour, _) in zip(grid[:, column], COMPONENTS, strict=True):
            curves = one.velocity_cm_s[name]
            if one.end_systole_ms is not None:
                axes.axvspan(0, one.end_systole_ms, color="0.95", linewidth=0)
            for values, sector, line in zip(curves["sectors_6"], assessment.sectors, SECTOR_COLOURS, strict=True):
                axes.plot(one.times_ms, values, color=line, linewidth=0.8, label=sector)
            axes.plot(one.times_ms, curves["global"], color=colour, linewidth=2.2, label="global")
            axes.axhline(0, color="0.4", linewidth=0.6)
            _mark(axes, one, name, colour)
            axes.set_xlim(0, one.rr_ms)
            if column == 0:
                axes.set_ylabel(f"{name}, cm/s\n+ {sign}")
        grid[0, column].set_title(slice_words(one))
        grid[-1, column].set_xlabel("time after the first frame, ms")
    figure.legend(*grid[0, -1].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=7)
    return figure


def _mark(axes: Axes, one: SliceAssessment, component: str, colour: str) -> None:
    for code in CODES[component]:
        peak = marker(one.markers, component, "global", code)
        if peak is not None:
            axes.plot(peak.time_ms, peak.value_cm_s, "o", color="white", markeredgecolor=colour, markersize=5, zorder=5)
            offset = (5, 3 if peak.value_cm_s >= 0 else -9)
            at = (peak.time_ms, peak.value_cm_s)
            axes.annotate(f"{code} {peak.value_cm_s:.1f}", at, offset, textcoords="offset points", fontsize=7)


@styled
def region_time_figure(assessment: Assessment) -> Figure:
    """Velocity of 24 sectors (rows) over the cycle (columns), for a basal, a middle and an apical slice."""
    figure = sheet(assessment, "24 sectors over the cycle")
    shown = shown_slices(assessment)
    if not shown:
        return empty(figure)
    grid = figure.subplots(3, len(shown), sharey=True, squeeze=False)
    for row, (name, sign, _, _) in zip(grid, COMPONENTS, strict=True):
        limit = reach([one.velocity_cm_s[name]["sectors_24"] for one in shown])
        for axes, one in zip(row, shown, strict=True):
            values = one.velocity_cm_s[name]["sectors_24"]
            axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest",
                        extent=(0, len(one.times_ms) * one.times_ms[1], 24, 0))  # fmt: skip
            axes.set_yticks(np.arange(2, 24, 4), assessment.sectors)
        row[0].set_ylabel(name)
        scale(figure, list(row), limit, f"cm/s, + {sign}")
    for axes, one in zip(grid[0], shown, strict=True):
        axes.set_title(slice_words(one))
    for axes in grid[-1]:
        axes.set_xlabel("time after the first frame, ms")
    return figure


@styled
def vectors_figure(assessment: Assessment, maps: Maps) -> Figure:
    """Colour: longitudinal velocity; arrows: motion in the plane; at three peaks of the longitudinal curve."""
    figure = sheet(assessment, "motion at three moments")
    shown = shown_slices(assessment)
    if not shown:
        return empty(figure)
    grid = figure.subplots(len(MOMENTS), len(shown), squeeze=False)
    fields = [
        cylindrical(maps.labels[..., z], maps.velocity[..., z], maps.spacing_mm[:2], maps.cyclic)
        for z in (one.index for one in shown)
    ]
    limit = max(1.0, *(float(np.nanpercentile(np.abs(field[2]), 99)) for field in fields))
    fastest = max(1.0, *(float(np.nanpercentile(np.hypot(field[0], field[1]), 99)) for field in fields))
    window = heart_window(maps.labels.max((0, 3))[..., None], maps.spacing_mm)
    for column, (one, field) in enumerate(zip(shown, fields, strict=True)):
        for axes, (code, name) in zip(grid[:, column], MOMENTS, strict=True):
            t = _moment(one, code)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if column == 0:
                axes.set_ylabel(name)
            if t is None:
                axes.text(0.5, 0.5, "no such peak", ha="center", transform=axes.transAxes)
                continue
            image = maps.magnitude[t, *window, one.index]
            _vectors(axes, image, field[:, t, *window], one, t, window, maps.spacing_mm, (limit, fastest))
            axes.set_title(f"{slice_words(one)}, {one.times_ms[t]:.0f} ms", fontsize=8)
    scale(figure, list(grid.ravel()), limit, f"longitudinal velocity, cm/s; longest arrow {fastest:.1f} cm/s")
    return figure


def _moment(one: SliceAssessment, code: str) -> int | None:
    """Frame of a marker of the longitudinal, or else of the radial curve."""
    found = marker(one.markers, "longitudinal", "global", code) or marker(one.markers, "radial", "global", code)
    return None if found is None else int(np.abs(one.times_ms - found.time_ms).argmin())


def _vectors(
    axes: Axes,
    image: NDArray,
    field: NDArray,
    one: SliceAssessment,
    t: int,
    window: tuple[slice, slice],
    spacing_mm: Sequence[float],
    limits: tuple[float, float],
) -> None:
    """One frame: image (X, Y), cylindrical velocities (3, X, Y) of the same window, and the largest to be shown."""
    aspect = spacing_mm[1] / spacing_mm[0]
    axes.imshow(image.T, cmap="gray", vmin=0, vmax=np.percentile(image, 99.5), aspect=aspect)
    axes.imshow(field[2].T, cmap=DIVERGING, vmin=-limits[0], vmax=limits[0], aspect=aspect, alpha=0.85)
    if one.centroid_pixels is None:
        return
    x, y = np.nonzero(np.isfinite(field[0]))
    every = [max(1, round(ARROW_MM / spacing)) for spacing in spacing_mm[:2]]
    chosen = (x % every[0] == 0) & (y % every[1] == 0)
    x, y = x[chosen], y[chosen]
    dx = (x + window[0].start - one.centroid_pixels[t, 0]) * spacing_mm[0]
    dy = (y + window[1].start - one.centroid_pixels[t, 1]) * spacing_mm[1]
    distance = np.maximum(np.hypot(dx, dy), 1e-6)
    inward, turn = field[:2, x, y]
    u, v = (-inward * dx + turn * dy) / distance, (-inward * dy - turn * dx) / distance
    # A pixel of Y is aspect times as high as one of X is wide, and arrows are drawn in pixels of X.
    axes.quiver(x, y, u, v / aspect, angles="xy", scale_units="xy", scale=limits[1] * spacing_mm[0] / (2.2 * ARROW_MM),
                width=0.006, color="black", edgecolor="white", linewidth=0.4)  # fmt: skip


@styled
def ventricle_figure(assessment: Assessment) -> Figure:
    """Strain, twist, torsion rate and volumes of the whole ventricle."""
    figure = sheet(assessment, "whole ventricle")
    stack, volumes = assessment.stack, assessment.volumes
    if stack is None and volumes is None:
        return empty(figure, "Strain along the axis, twist and volumes need at least two slices with a ventricle.")
    grid = figure.subplots(2, 2)
    for axes, title in zip(grid.ravel(), ("strain", ROTATION, "torsion rate", "volume"), strict=True):
        axes.set(title=title, xlabel="time after the first frame, ms")
        axes.axhline(0, color="0.4", linewidth=0.6)
    sources = (stack, stack, stack, volumes)
    for axes in (panel for panel, source in zip(grid.ravel(), sources, strict=True) if source is None):
        axes.text(0.5, 0.6, "needs two whole slices", ha="center", color="0.4", transform=axes.transAxes)
    if stack is not None:
        _draw_motion(grid.ravel(), assessment, stack)
    if volumes is not None:
        grid[1, 1].plot(volumes.times_ms, volumes.pool_ml, color="#E69F00", label="blood pool")
        grid[1, 1].plot(volumes.times_ms, volumes.myocardium_ml, color="#56B4E9", label="myocardium")
        grid[1, 1].set(ylabel="ml", ylim=(0, None))
        grid[1, 1].legend()
    for axes in grid.ravel():
        axes.set_xlim(0, np.mean([one.rr_ms for one in assessment.slices]))
    return figure


def _draw_motion(panels: Sequence[Axes], assessment: Assessment, stack: StackMotion) -> None:
    """Strain, rotation and twist, torsion rate."""
    strain, rotation, rate = panels[:3]
    for name, _, colour, line in COMPONENTS:
        strain.plot(stack.times_ms, stack.strain_percent[name], line, color=colour, label=name)
    strain.set_ylabel("%")
    strain.legend()
    ends, others = (*stack.basal_slices[:1], *stack.apical_slices[-1:]), iter(("other slices",))
    few = len(assessment.slices) <= 3
    for one in assessment.slices:
        share = one.index / max(1, len(assessment.slices) - 1)
        words = f"slice {one.index + 1}" if few or one.index in ends else next(others, None)
        rotation.plot(
            one.times_ms, one.rotation_deg, color=matplotlib.colormaps["cividis"](share), linewidth=1, label=words
        )
    rotation.plot(stack.times_ms, stack.twist_deg, color="#D55E00", linewidth=2.2, label="twist, apex less base")
    rotation.set_ylabel("degrees")
    rotation.legend()
    rate.plot(stack.times_ms, stack.torsion_rate_deg_s_cm, color="#0072B2")
    rate.set_ylabel("degrees/s/cm")


def slice_words(one: SliceAssessment) -> str:
    """A slice in words, counted from 1."""
    return f"slice {one.index + 1}" + ("" if one.level == "none" else f", {one.level}")


def reach(curves: Sequence[NDArray]) -> float:
    """Largest absolute value, at least 0.1: the end of a scale with zero in its middle."""
    every = np.concatenate([np.ravel(values) for values in curves])
    every = np.abs(every[np.isfinite(every)])
    return max(0.1, float(every.max())) if every.size else 1.0


def scale(figure: Figure, axes: list[Axes], limit: float, words: str) -> None:
    """A colour bar of the diverging map beside some axes."""
    colours = ScalarMappable(Normalize(-limit, limit), DIVERGING)
    figure.colorbar(colours, ax=axes, label=words, shrink=0.8, pad=0.01, aspect=30)
