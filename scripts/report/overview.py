"""One picture of a result: magnitude, labels, three velocities at two moments, and their curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scripts.assessment.maps import MYOCARDIUM, POOL
from scripts.assessment.wall import cylindrical

MARGIN_MM = 20.0
DISCLAIMER = "Not for diagnosis"
#: Maps of colours that colour-blind people can read: of velocities, with zero in the middle, and of times.
DIVERGING, SEQUENTIAL = "PuOr", "cividis"

#: Name, what positive means, colour (Okabe and Ito: told apart by colour-blind people) and line of each component.
COMPONENTS = (
    ("radial", "inward", "#0072B2", "-"),
    ("circumferential", "counter-clockwise", "#D55E00", "--"),
    ("longitudinal", "base to apex", "#009E73", "-."),
)


def global_curves(components: NDArray) -> NDArray[np.float32]:
    """Mean over the myocardium at each time, shape (3, T), from what `cylindrical` gives; NaN where there is none."""
    present = np.isfinite(components)
    total = np.where(present, components, 0).sum((2, 3))
    count = present.sum((2, 3))
    return np.divide(total, count, out=np.full(total.shape, np.nan, np.float32), where=count > 0)


def key_moments(radial: NDArray) -> tuple[int, int]:
    """Frames of peak systole and of early diastole.

    Peak systole is the fastest inward motion; early diastole the fastest outward motion in the following 55 % of the
    cycle, which leaves out the atrial wave before the next systole.

    Args:
        radial: Global radial curve over one cycle, shape (T,), cm/s, positive inward.
    """
    curve = np.nan_to_num(radial)
    systole = int(curve.argmax())
    later = np.roll(curve, -systole)[: max(2, round(0.55 * len(curve)))]
    return systole, (systole + int(later.argmin())) % len(curve)


def overview(
    path: str | Path,
    cine: NDArray,
    label: NDArray,
    velocity: NDArray,
    spacing_mm: tuple[float, float],
    frame_duration_ms: float,
    title: str = "",
) -> Path:
    """Draw one slice of a result: two moments in rows; magnitude, labels and three velocities in columns; curves below.

    Args:
        path: PNG to write.
        cine: Magnitude, shape (X, Y, T), viewed from the apex.
        label: Labels 0, 1 (myocardium), 2 (blood pool), shape (X, Y, T). Without any, the picture says so.
        velocity: Along +X, +Y and towards the apex, shape (3, X, Y, T), cm/s.
        spacing_mm: Pixel size along X and Y, mm.
        frame_duration_ms: Time from frame to frame, ms.
        title: First words of the heading, such as the study's name and the slice.
    """
    figure = Figure(figsize=(13, 8.2), layout="constrained", dpi=110)
    heading = f"{title}   (view: from the apex)   {DISCLAIMER}"
    figure.suptitle(heading, parse_math=False)  # a study's name may hold dollars
    if not (label == MYOCARDIUM).any():
        axes = figure.add_subplot()
        _gray(axes, cine[:, :, 0], cine.max(), spacing_mm)
        axes.set_title("No left ventricle was found in any slice: no velocities to show", color="#D55E00")
    else:
        _draw(figure, cine, label, velocity, spacing_mm, frame_duration_ms)
    figure.savefig(path)
    return Path(path)


def _draw(
    figure: Figure,
    cine: NDArray,
    label: NDArray,
    velocity: NDArray,
    spacing_mm: tuple[float, float],
    frame_duration_ms: float,
) -> None:
    components = cylindrical(np.moveaxis(label, 2, 0), np.moveaxis(velocity, 3, 1), spacing_mm)
    curves = global_curves(components)
    moments = dict(zip(("peak systole", "early diastole"), key_moments(curves[0]), strict=True))
    window = heart_window(label, spacing_mm)
    cine, label, components = cine[window], label[window], components[:, :, *window]
    white = float(np.percentile(cine, 99.5))
    # One scale a component, for both moments; the few fastest pixels may saturate.
    limits = np.nanpercentile(np.abs(components[:, list(moments.values())]), 99, axis=(1, 2, 3)).clip(1)

    grid = figure.add_gridspec(3, 5, height_ratios=(1, 1, 0.75))
    for row, (name, t) in enumerate(moments.items()):
        axes = [figure.add_subplot(grid[row, column]) for column in range(5)]
        for panel in axes:
            _gray(panel, cine[:, :, t], white, spacing_mm)
        axes[0].set_ylabel(f"{name}\n{t * frame_duration_ms:.0f} ms (frame {t + 1} of {cine.shape[2]})")
        for value, colour in ((MYOCARDIUM, "#56B4E9"), (POOL, "#E69F00")):
            area = label[:, :, t] == POOL if value == POOL else label[:, :, t] > 0
            if area.any():
                axes[1].contour(area.T, levels=[0.5], colors=[colour], linewidths=1.2)
        for column, (component, sign, _, _) in enumerate(COMPONENTS):
            panel, limit = axes[2 + column], limits[column]
            picture = panel.imshow(
                components[column, t].T, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect=panel.get_aspect()
            )
            if row == 0:
                panel.set_title(f"{component}, cm/s\npositive: {sign}", fontsize=8)
            else:
                figure.colorbar(picture, ax=panel, location="bottom", shrink=0.9, pad=0.02)
        if row == 0:
            axes[0].set_title("magnitude", fontsize=9)
            axes[1].set_title("outer wall (blue), blood pool (orange)", fontsize=8)

    axes_curves = figure.add_subplot(grid[2, :])
    times = np.arange(curves.shape[1]) * frame_duration_ms
    for curve, (component, sign, colour, line) in zip(curves, COMPONENTS, strict=True):
        axes_curves.plot(times, curve, line, color=colour, label=f"{component} (+ {sign})")
    axes_curves.margins(y=0.15)  # the moments' names lie above the curves
    for name, t in moments.items():
        axes_curves.axvline(times[t], color="0.6", linewidth=0.8)
        axes_curves.annotate(name, (times[t], 1), xycoords=("data", "axes fraction"), fontsize=8, va="top")
    axes_curves.axhline(0, color="0.3", linewidth=0.8)
    axes_curves.set(xlabel="time from the first frame, ms", ylabel="mean over the wall, cm/s", xlim=(0, times[-1]))
    axes_curves.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)


def _gray(axes: Axes, image: NDArray, white: float, spacing_mm: tuple[float, float]) -> None:
    axes.imshow(image.T, cmap="gray", vmin=0, vmax=white, aspect=spacing_mm[1] / spacing_mm[0])
    axes.set_xticks([])
    axes.set_yticks([])


def heart_window(label: NDArray, spacing_mm: Sequence[float]) -> tuple[slice, slice]:
    """The part of the image that holds the ventricle at any time, and a margin.

    Args:
        label: Labels, shape (X, Y, T), not all 0.
        spacing_mm: Pixel size along X and Y, mm.
    """
    window = []
    for axis, spacing in enumerate(spacing_mm[:2]):
        inside = np.flatnonzero((label > 0).any((1 - axis, 2)))
        margin = round(MARGIN_MM / spacing)
        window.append(slice(max(0, int(inside[0]) - margin), int(inside[-1]) + margin + 1))
    return window[0], window[1]
