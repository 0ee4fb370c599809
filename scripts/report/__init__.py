"""Pictures and pages that a person can read."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from scripts.assessment import Assessment, Maps

from .bullseye import bullseye_figure
from .document import write_document
from .figures import curves_figure, region_time_figure, vectors_figure, ventricle_figure
from .page import write_page

__all__ = ["write_pdf", "write_report"]


def write_report(maps: Maps, assessment: Assessment, folder: str | Path) -> list[Path]:
    """Write the report: report.html, report.pdf, and each figure as PNG and SVG.

    Args:
        maps: What was assessed.
        assessment: What was found in it.
        folder: Existing folder to write to.

    Returns:
        The files written.
    """
    folder = Path(folder)
    figures = _figures(maps, assessment)
    (folder / "figures").mkdir(exist_ok=True)
    written = [
        write_page(folder / "report.html", maps, assessment),
        write_document(folder / "report.pdf", assessment, list(figures.values())),
    ]
    for name, figure in figures.items():
        for suffix in ("png", "svg"):
            written.append(folder / "figures" / f"{name}.{suffix}")
            figure.savefig(written[-1], dpi=130)
    return written


def write_pdf(maps: Maps, assessment: Assessment, path: str | Path) -> Path:
    """Write the report's PDF alone, which is what goes into a PACS.

    Args:
        maps: What was assessed.
        assessment: What was found in it.
        path: PDF to write.

    Returns:
        The file written.
    """
    return write_document(Path(path), assessment, list(_figures(maps, assessment).values()))


def _figures(maps: Maps, assessment: Assessment) -> dict[str, Figure]:
    """The report's figures by name, in the order of its pages."""
    return {
        "curves": curves_figure(assessment),
        "bullseyes": bullseye_figure(assessment),
        "region_time": region_time_figure(assessment),
        "vectors": vectors_figure(assessment, maps),
        "ventricle": ventricle_figure(assessment),
    }
