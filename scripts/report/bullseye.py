"""Bullseyes of the 16 segments of the AHA: peaks and their times."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from scripts.assessment import Assessment

from .figures import empty, reach, sheet, styled
from .overview import COMPONENTS, DIVERGING, SEQUENTIAL
from .summary import CODES, MARKER_WORDS, marker, number

#: Outer radius and width of each level's ring.
RINGS = {"base": (1.0, 0.32), "mid": (0.68, 0.3), "apex": (0.38, 0.28)}
#: Degrees counter-clockwise from the right at which segments 1 to 6 (7 to 12) and 13 to 16 are centred: anterior up,
#: septum left, as the AHA draws it (Cerqueira 2002, doi 10.1161/hc0402.102975).
SIXTHS, QUARTERS = (90, 150, 210, 270, 330, 30), (90, 180, 270, 0)
#: Distance between bullseyes; least width of the scale of times, ms.
STEP, LEAST_SPAN = 2.6, 60.0


@styled
def bullseye_figure(assessment: Assessment) -> Figure:
    """Value and time of each peak, a row for each component."""
    figure = sheet(assessment, "segments")
    if not assessment.segments:
        return empty(figure, "The 16 segments need at least three slices with a complete ventricle.")
    axes = figure.add_subplot(aspect="equal", xlim=(-1.6, 4.5 * STEP + 1.1), ylim=(-2 * STEP - 1.2, 1.6))
    axes.axis("off")  # one for all bullseyes: eighteen would take ten times as long to lay out
    for row, (component, sign, _, _) in enumerate(COMPONENTS):
        y = -STEP * row
        axes.text(-1.35, y, component, rotation=90, va="center", ha="center", fontsize=10, fontweight="bold")
        for k, code in enumerate(CODES[component]):
            peaks = {one.number: marker(one.markers, component, str(one.number), code) for one in assessment.segments}
            values = {key: peak.value_cm_s for key, peak in peaks.items() if peak is not None}
            times = {key: peak.time_ms for key, peak in peaks.items() if peak is not None}
            limit = 1.2 * reach([np.array(list(values.values()))])
            left, right = (STEP * (2 * k) * 0.9, y), (STEP * (2 * k + 1) * 0.9, y)
            bullseye(axes, left, values, (-limit, limit), DIVERGING, 1)
            _title(axes, left, f"{code}, {MARKER_WORDS[code]}\ncm/s, + {sign}")
            bullseye(axes, right, times, _time_span(times), SEQUENTIAL, 0)
            _title(axes, right, f"time of {code}\nms")
    return figure


def _time_span(times: dict[int, float]) -> tuple[float, float]:
    """Ends of the scale of times, ms, at least LEAST_SPAN apart: a frame's difference must not look like a delay."""
    low, high = min(times.values(), default=0.0), max(times.values(), default=0.0)
    half = max(LEAST_SPAN, high - low) / 2
    return (low + high) / 2 - half, (low + high) / 2 + half


def _title(axes: Axes, at: tuple[float, float], words: str) -> None:
    axes.text(at[0], at[1] + 1.06, words, ha="center", va="bottom", fontsize=7)


def bullseye(
    axes: Axes,
    at: tuple[float, float],
    values: dict[int, float],
    span: tuple[float, float],
    colours: str,
    digits: int,
) -> None:
    """Draw one bullseye of radius 1; segments without a value stay gray.

    Args:
        axes: Where.
        at: Its centre.
        values: Segment, 1 to 16, to its value.
        span: Values of the first and the last colour.
        colours: Name of the map of colours.
        digits: Decimals of the values that are printed.
    """
    for segment in range(1, 17):
        level = "base" if segment <= 6 else "mid" if segment <= 12 else "apex"
        middle = QUARTERS[segment - 13] if level == "apex" else SIXTHS[(segment - 1) % 6]
        half = 45 if level == "apex" else 30
        outer, width = RINGS[level]
        value = values.get(segment)
        share = 0.0 if value is None else (value - span[0]) / (span[1] - span[0])
        colour = (0.9, 0.9, 0.9, 1.0) if value is None else matplotlib.colormaps[colours](share)
        axes.add_patch(Wedge(at, outer, middle - half, middle + half, width=width, facecolor=colour, edgecolor="white"))
        dark = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] < 0.5
        angle, ink = np.deg2rad(middle), "white" if dark else "black"
        x, y = at + (outer - width / 2) * np.array([np.cos(angle), np.sin(angle)])
        axes.text(x, y, number(value, digits), ha="center", va="center", fontsize=6, color=ink)
