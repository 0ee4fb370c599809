"""report.pdf: what the page shows, for the record."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from scripts.assessment import Assessment
from scripts.assessment.result import Marker, Reference

from .figures import A4_LANDSCAPE, STYLE
from .overview import COMPONENTS
from .summary import CODES, first_figures, in_unit, joined_flags, marker, missing_words, number, subtitle

#: Lines and characters that a page of text holds.
LINES, CHARACTERS = 52, 150
ROWS = 30
SEVERITIES = {"error": "#A3123A", "warning": "#A04A00", "info": "0.35"}


def write_document(path: Path, assessment: Assessment, figures: Sequence[Figure]) -> Path:
    """Write the PDF.

    Args:
        path: PDF to write.
        assessment: What was found.
        figures: Pages between the summary and the tables.

    Returns:
        The file written.
    """
    about = {
        "Title": f"{assessment.study['name']}: velocity report",
        "Subject": assessment.disclaimer,
        "Creator": "hdl_mvm",
    }
    with matplotlib.rc_context(STYLE), PdfPages(path, metadata=about) as pages:
        pages.savefig(_summary_page(assessment))
        for figure in figures:
            pages.savefig(figure)
        for page in (*_table_pages(assessment), *_text_pages(assessment)):
            pages.savefig(page)
    return path


def _summary_page(assessment: Assessment) -> Figure:
    figure = _page(assessment, "left ventricular velocity report")
    figure.text(0.04, 0.9, _wrapped(subtitle(assessment), 170), fontsize=8.5, color="0.35", va="top")
    for k, one in enumerate(first_figures(assessment)):
        x, y = 0.04 + 0.117 * (k % 8), 0.85 - 0.115 * (k // 8)
        figure.text(x, y, _wrapped(one.name, 26), fontsize=7, color="0.35", va="top")
        figure.text(x, y - 0.062, in_unit(one.value, one.unit), fontsize=13, va="baseline")
        figure.text(x, y - 0.078, one.where, fontsize=6.5, color="0.35", va="top")
    missing = _wrapped(" ".join(missing_words(assessment)), 200)
    figure.text(0.04, 0.625, missing, fontsize=6.5, color="0.35", va="top")
    y = 0.58
    figure.text(0.04, y, "Flags", fontsize=11, fontweight="bold")
    flags = joined_flags(assessment)
    for flag in flags[:12]:
        words = textwrap.wrap(f"{flag.severity}, {flag.where}: {flag.text}", 105)
        figure.text(0.04, y - 0.022, "\n".join(words), fontsize=7, va="top", color=SEVERITIES[flag.severity])
        y -= 0.017 * len(words) + 0.004
    if len(flags) > 12:
        figure.text(0.04, y - 0.022, f"and {len(flags) - 12} more in assessment.json", fontsize=7, va="top")
    if not flags:
        figure.text(0.04, y - 0.022, "none", fontsize=8, va="top")
    _reference_plot(figure, assessment.reference)
    return figure


def _reference_plot(figure: Figure, references: Sequence[Reference]) -> None:
    """Own values over published bands, each on its own scale."""
    shown = [one for one in references if one.value is not None][:11]
    if not shown:
        return
    figure.text(0.53, 0.58, "Beside published values", fontsize=11, fontweight="bold")
    figure.text(0.74, 0.581, "line: this study; band: published; no verdict", fontsize=7, color="0.35")
    for k, one in enumerate(shown):
        y = 0.545 - 0.047 * k
        axes = figure.add_axes((0.85, y - 0.012, 0.12, 0.017))
        _band(axes, one)
        own = f"{one.quantity}: {number(one.value, 1)} {one.unit} ({one.where})"
        figure.text(0.53, y, _short(own, 72), fontsize=7.5)
        figure.text(
            0.53, y - 0.016, _short(f"{_published(one)}; {one.population}. {one.source}", 92), fontsize=6, color="0.35"
        )


def _band(axes: Axes, one: Reference) -> None:
    low, high = one.low, one.high
    if low is None and high is None and one.mean is not None:
        low, high = one.mean - 2 * (one.sd or 0), one.mean + 2 * (one.sd or 0)
    ends = [value for value in (low, high) if value is not None]
    if ends:
        axes.axvspan(min(ends), max(ends), color="#9CC9BB", linewidth=1)
    axes.axvline(float(one.value or 0), color="black", linewidth=2)
    axes.margins(x=0.15)
    axes.set(yticks=[])
    axes.tick_params(labelsize=5, length=2, pad=1)


def _published(one: Reference) -> str:
    if one.mean is not None:
        return f"{number(one.mean, 1)}{'' if one.sd is None else ' ± ' + number(one.sd, 1)} {one.unit}"
    return f"{number(one.low, 1)} to {number(one.high, 1)} {one.unit}"


def _table_pages(assessment: Assessment) -> Iterator[Figure]:
    slices = [
        (f"{one.index + 1}{'' if one.level == 'none' else ' ' + one.level}", "global", one.markers)
        for one in assessment.slices
    ]
    segments = [(f"{one.number} {one.name}", str(one.number), one.markers) for one in assessment.segments]
    for title, first, rows in (("slices", "slice", slices), ("segments", "segment", segments)):
        for start in range(0, len(rows), ROWS):
            head = [first] + [f"{component}\n{code}" for component, *_ in COMPONENTS for code in CODES[component]]
            body = [[name, *_cells(markers, region)] for name, region, markers in rows[start : start + ROWS]]
            yield _table(assessment, f"peaks of {title}, cm/s @ ms", head, body)
    body = [[one.name, in_unit(one.value, one.unit), one.where or one.reason] for one in assessment.summary]
    for start in range(0, len(body), ROWS):
        yield _table(assessment, "summary", ["quantity", "value", "of"], body[start : start + ROWS])


def _cells(markers: tuple[Marker, ...], region: str) -> list[str]:
    found = [marker(markers, component, region, code) for component, *_ in COMPONENTS for code in CODES[component]]
    return ["–" if one is None else f"{number(one.value_cm_s, 1)} @ {one.time_ms:.0f}" for one in found]


def _table(assessment: Assessment, title: str, head: list[str], body: list[list[str]]) -> Figure:
    figure = _page(assessment, title)
    axes = figure.add_axes((0.04, 0.05, 0.92, 0.84))
    axes.axis("off")
    first = 0.28 if len(head) < 5 else 0.2
    rest = min(0.2, (1 - first) / (len(head) - 1))
    table = axes.table(
        body, colLabels=head, loc="upper left", cellLoc="right", colWidths=[first] + [rest] * (len(head) - 1)
    )
    table.auto_set_font_size(False)
    table.set_fontsize(7.5)
    for (row, column), cell in table.get_celld().items():
        cell.set(edgecolor="0.85", linewidth=0.5, height=0.05 if row == 0 else 0.029)
        if column == 0:
            cell.set_text_props(ha="left")
        if row == 0:
            cell.set_text_props(color="0.35", fontweight="bold")
    return figure


def _text_pages(assessment: Assessment) -> Iterator[Figure]:
    """Methods, conventions, notes and versions, as many pages as they take."""
    blocks = [
        ("Notes on this study", list(assessment.study["notes"])),
        ("Flags", [f"{flag.severity}, {flag.where}: {flag.text}" for flag in joined_flags(assessment)]),
        ("Signs, views and units", [f"{key}: {words}" for key, words in assessment.conventions.items()]),
        ("How it was made", [f"{key}: {words}" for key, words in assessment.methods.items()]),
        (
            "Published values",
            [f"{one.quantity}: {_published(one)}; {one.population}. {one.source}" for one in assessment.reference],
        ),
        ("Where values came from", [f"{key}: {words}" for key, words in assessment.study["sources"].items()]),
        ("Versions", [", ".join(f"{key} {words}" for key, words in assessment.software.items())]),
    ]
    lines: list[str] = []
    for title, items in blocks:
        if items:
            lines += [title.upper()]
            lines += [line for item in items for line in textwrap.wrap(item, CHARACTERS, subsequent_indent="    ")]
            lines += [""]
    for start in range(0, len(lines), LINES):
        figure = _page(assessment, "methods")
        figure.text(0.04, 0.9, "\n".join(lines[start : start + LINES]), fontsize=7.5, va="top", linespacing=1.35)
        yield figure


def _page(assessment: Assessment, title: str) -> Figure:
    figure = Figure(figsize=A4_LANDSCAPE)
    figure.text(0.04, 0.94, f"{assessment.study['name']}: {title}", fontsize=14, fontweight="bold")
    figure.text(
        0.96, 0.94, assessment.disclaimer, fontsize=9, ha="right", color=SEVERITIES["warning"], fontweight="bold"
    )
    return figure


def _wrapped(words: str, width: int) -> str:
    return "\n".join(textwrap.wrap(words, width))


def _short(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 1] + "…"
