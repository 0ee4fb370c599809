"""The assessment as tables: CSV for programs, xlsx as users of StrainMap know it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xlsxwriter

from .markers import WINDOWS
from .regions import COMPONENTS, REGION_NAMES
from .result import Assessment, Marker

Row = Sequence[Any]
CURVE_HEADER = ("slice", "level", "quantity", "unit", "component", "region", "frame", "time_ms", "value")
TABLE_HEADER = (
    "part", "level", "component", "region", "marker", "value_cm_s", "time_ms", "time_percent_rr", "time_normalised_ms",
)  # fmt: skip
_QUANTITIES = (
    ("velocity_cm_s", "velocity", "cm/s"),
    ("strain_percent", "strain", "%"),
    ("strain_rate_per_s", "strain rate", "1/s"),
)
_SHEETS = {"global": "GLOBAL", "sectors_6": "ANGULAR_x6", "sectors_24": "ANGULAR_x24", "layers_3": "RADIAL_x3"}


def write_tables(assessment: Assessment, folder: str | Path) -> list[Path]:
    """Write curves.csv (a value a line), tables.csv (a peak a line) and parameters.xlsx.

    Args:
        assessment: What to write.
        folder: An existing folder.

    Returns:
        The files written.
    """
    root = Path(folder)
    return [
        _write_csv(root / "curves.csv", CURVE_HEADER, _curve_rows(assessment)),
        _write_csv(root / "tables.csv", TABLE_HEADER, _peak_rows(assessment)),
        _write_xlsx(root / "parameters.xlsx", assessment),
    ]


def _write_csv(path: Path, header: Row, rows: Iterable[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_plain(cell) for cell in row] for row in rows)
    return path


def _plain(value: Any) -> Any:
    """A cell: numbers with four decimals, nothing where there is no number."""
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if np.isfinite(value) else None
    return value


def _curve_rows(assessment: Assessment) -> Iterator[Row]:
    for item in assessment.slices:
        head = (item.index + 1, item.level)
        for field, quantity, unit in _QUANTITIES:
            for component, sets in getattr(item, field).items():
                for key, curves in sets.items():
                    for region, curve in zip(REGION_NAMES[key], np.atleast_2d(curves), strict=True):
                        for t, value in enumerate(curve):
                            yield *head, quantity, unit, component, region, t + 1, item.times_ms[t], value
        for quantity, unit, curve in (
            ("rotation", "deg", item.rotation_deg),
            ("rotation rate", "deg/s", item.rotation_rate_deg_s),
            ("pool area", "mm2", item.pool_area_mm2),
            ("myocardium area", "mm2", item.myocardium_area_mm2),
        ):
            for t, value in enumerate(curve):
                yield *head, quantity, unit, "", "global", t + 1, item.times_ms[t], value
    for segment in assessment.segments:
        times = np.mean([assessment.slices[z].times_ms for z in segment.slices], axis=0)
        for component, curve in segment.velocity_cm_s.items():
            for t, value in enumerate(curve):
                region = f"segment {segment.number}"
                yield "stack", segment.level, "velocity", "cm/s", component, region, t + 1, times[t], value
    if assessment.stack is not None:
        stack = assessment.stack
        for quantity, unit, curve in (
            ("twist", "deg", stack.twist_deg),
            ("twist rate", "deg/s", stack.twist_rate_deg_s),
            ("torsion", "deg/cm", stack.torsion_deg_cm),
            ("torsion rate", "deg/s/cm", stack.torsion_rate_deg_s_cm),
            *((f"{name} strain", "%", curve) for name, curve in stack.strain_percent.items()),
            *((f"{name} strain rate", "1/s", curve) for name, curve in stack.strain_rate_per_s.items()),
        ):
            for t, value in enumerate(curve):
                yield "stack", "", quantity, unit, "", "global", t + 1, stack.times_ms[t], value
    if assessment.volumes is not None:
        volumes = assessment.volumes
        for quantity, curve in (("pool volume", volumes.pool_ml), ("myocardium volume", volumes.myocardium_ml)):
            for t, value in enumerate(curve):
                yield "stack", "", quantity, "ml", "", "global", t + 1, volumes.times_ms[t], value


def _peak_rows(assessment: Assessment) -> Iterator[Row]:
    def row(part: str, level: str, m: Marker) -> Row:
        return (
            *(part, level, m.component, m.region, m.code),
            *(m.value_cm_s, m.time_ms, m.time_percent_rr, m.time_normalised_ms),
        )

    for item in assessment.slices:
        yield from (row(f"slice {item.index + 1}", item.level, marker) for marker in item.markers)
    for segment in assessment.segments:
        yield from (row(f"segment {segment.number}", segment.level, marker) for marker in segment.markers)


def _write_xlsx(path: Path, assessment: Assessment) -> Path:
    """A sheet of parameters, then for each slice one of markers and one of curves for each set of regions."""
    # Words stay words: a study's name may begin with an equals sign.
    options = {"in_memory": True, "nan_inf_to_errors": False, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(path), options) as book:
        bold = book.add_format({"bold": True})

        def fill(name: str, rows: Iterable[Row], widths: tuple[int, int] = (24, 14)) -> None:
            sheet = book.add_worksheet(name)
            sheet.set_column(0, 0, widths[0])
            sheet.set_column(1, 60, widths[1])
            sheet.freeze_panes(1, 1)
            for index, row in enumerate(rows):
                for column, cell in enumerate(row):
                    value = _plain(cell)
                    if value is not None:
                        sheet.write(index, column, value, bold if index == 0 or column == 0 else None)

        fill("Parameters", _parameter_rows(assessment), (38, 20))
        for item in assessment.slices:
            if not item.markers and not item.found:
                continue
            fill(f"Slice {item.index + 1} markers", _marker_rows(item.markers))
            for key, sheet in _SHEETS.items():
                rows: list[Row] = [["Frame", "Time (ms)", *(
                    f"{component} {region} (cm/s)" for component in COMPONENTS for region in REGION_NAMES[key]
                )]]  # fmt: skip
                curves = np.concatenate([np.atleast_2d(item.velocity_cm_s[c][key]) for c in COMPONENTS])
                rows += [[t + 1, item.times_ms[t], *curves[:, t]] for t in range(len(item.times_ms))]
                fill(f"Slice {item.index + 1} {sheet}", rows)
    return path


def _parameter_rows(assessment: Assessment) -> Iterator[Row]:
    yield "Velocity assessment", assessment.disclaimer
    yield from ((name, str(value)) for name, value in assessment.study.items() if name not in ("acquired", "sources"))
    yield ()
    yield "Figure", "Value", "Unit", "Of", "Reason if there is none"
    yield from ((f.name, f.value, f.unit, f.where, f.reason) for f in assessment.summary)
    yield ()
    yield "Reference", "Mean", "SD", "Low", "High", "Population", "Source"
    yield from ((r.quantity, r.mean, r.sd, r.low, r.high, r.population, r.source) for r in assessment.reference)
    yield ()
    yield "AHA segment", *(f"{c} {w.code} {q}" for c, w, q in _columns())
    for segment in assessment.segments:
        yield f"{segment.number} {segment.name}", *_cells(segment.markers)
    yield ()
    yield "Dyssynchrony", "Component", "Septal PS (ms)", "Lateral PS (ms)", "Delay (ms)", "SD (ms)", "Segments"
    yield from (
        (d.where, d.component, d.septal_ms, d.lateral_ms, d.septal_lateral_delay_ms, d.sd_time_to_peak_ms, d.segments)
        for d in assessment.dyssynchrony
    )
    yield ()
    yield "Flag", "Severity", "Where", "Text"
    yield from ((f.code, f.severity, f.where, f.text) for f in assessment.flags)
    yield ()
    for title, words in (("Convention", assessment.conventions), ("Method", assessment.methods)):
        yield from ((f"{title}: {name}", text) for name, text in words.items())
    yield from ((f"Version: {name}", text) for name, text in assessment.software.items())


def _columns() -> list[tuple[str, Any, str]]:
    quantities = ("(cm/s)", "(ms)", "(norm. ms)")
    return [(c, w, q) for c in COMPONENTS for w in WINDOWS if c in w.components for q in quantities]


def _cells(markers: Sequence[Marker]) -> list[float | None]:
    """Values and times of one region's peaks, in the order of `_columns`."""
    found = {(m.component, m.code): m for m in markers}
    fields = {"(cm/s)": "value_cm_s", "(ms)": "time_ms", "(norm. ms)": "time_normalised_ms"}
    return [getattr(found.get((c, w.code)), fields[q], None) for c, w, q in _columns()]


def _marker_rows(markers: Sequence[Marker]) -> Iterator[Row]:
    yield "Region", *(f"{c} {w.code} {q}" for c, w, q in _columns())
    for regions in REGION_NAMES.values():
        for region in regions:
            yield region, *_cells([m for m in markers if m.region == region])
