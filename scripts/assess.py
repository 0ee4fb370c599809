"""One command for people: velocity maps go in; tables, figures and a report come out."""

from __future__ import annotations

from pathlib import Path

from .assessment import assess_maps, load_maps
from .assessment.tables import write_tables
from .cine.folder import whole_folder
from .report import write_report

ASSESSMENT = "assessment.json"


def assess(source: str, out: str, labels: str = "", septum_deg: float | None = None) -> Path:
    """Assess velocity maps: curves, peaks, strain, twist, volumes, and what to doubt.

    Writes into OUT: assessment.json (its schema is scripts/assessment/assessment.schema.json), curves.csv, tables.csv,
    parameters.xlsx, the figures, and the report as report.html and PDF.

    Args:
        source: Folder that infer, measured or the bundle wrote; FOLDER/NAME if it holds several studies.
        out: Folder to write. It appears when it is complete; an earlier report there is replaced.
        labels: Reviewed labels in place of the predicted ones: NAME_label.nii.gz or the folder that holds it.
        septum_deg: Direction from the ventricle's centre to the middle of the septum, degrees from +X (right) towards
            +Y (down) as seen from the apex; by default it is found from the image.

    Returns:
        The folder written.

    Raises:
        CineError: If a file is missing or does not fit the others.
    """
    maps = load_maps(source, labels or None)
    with whole_folder(out, source, ASSESSMENT) as work:
        assessment = assess_maps(maps, septum_deg, progress=True)
        assessment.write(work / ASSESSMENT)
        files = [ASSESSMENT, *(path.name for path in write_tables(assessment, work))]
        files += [str(path.relative_to(work)) for path in write_report(maps, assessment, work)]
    for flag in assessment.flags:
        if flag.severity != "info":
            print(f"{flag.severity.capitalize()}, {flag.where}: {flag.text}")
    found = sum(item.found for item in assessment.slices)
    print(f"{out}: wrote {', '.join(files)}: {found} of {len(assessment.slices)} slice(s) assessed. Not for diagnosis.")
    return Path(out)
