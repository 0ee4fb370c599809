"""From what a scanner or a data set holds to a study on disk."""

from __future__ import annotations

from pathlib import Path

from pydicom.misc import is_dicom

from .dicom import read_dicom
from .dicom_scan import visible_files
from .folder import MANIFEST, whole_folder
from .manifest import read_manifest
from .nifti import is_nifti, read_nifti, read_study_folder, stem, write_study
from .study import CineError, Study, require_rr


def read_study(source: str | Path, series: str | int | None = None, rr_ms: float | None = None) -> Study:
    """Read a short-axis cine, whatever holds it.

    Args:
        source: Study folder (`study.json` and NIfTI), NIfTI file, folder with one NIfTI file and no DICOM, DICOM folder
            or DICOM file.
        series: DICOM only: which cine, if there are several; a number from the list in the message, or a
            SeriesInstanceUID.
        rr_ms: RR interval in ms, in place of what the source says.

    Raises:
        CineError: If the source is no cine that can be used; the message says what was found and expected.
    """
    source = Path(source)
    if rr_ms is not None:
        rr_ms = require_rr(rr_ms)
    if source.is_file() and is_nifti(source):
        return read_nifti(source, rr_ms)
    if (source / MANIFEST).is_file():
        return read_study_folder(source, rr_ms)
    images = _nifti_files(source)
    dicom = next(filter(is_dicom, visible_files(source)), None) if images else None
    if dicom:
        raise CineError(
            f"{source}: found NIfTI ({images[0].name}) and DICOM ({dicom.relative_to(source)}), expected one kind; "
            "name the file, or a folder of one kind"
        )
    if len(images) > 1:
        names = ", ".join(path.name for path in images[:10])
        raise CineError(f"{source}: found {len(images)} NIfTI files ({names}), expected one; name the file")
    if images:
        return read_nifti(images[0], rr_ms)
    return read_dicom(source, series, rr_ms)


def study_name(source: str | Path, out: str | Path) -> str:
    """Name of a study's files: the NIfTI file's, else the output folder's (a DICOM folder may name the patient)."""
    source = Path(source)
    if is_nifti(source):
        return stem(source)
    if (source / MANIFEST).is_file():
        return stem(str(read_manifest(source / MANIFEST).get("image")))
    images = _nifti_files(source)
    return stem(images[0]) if len(images) == 1 else Path(out).resolve().name


def convert(source: str, out: str, series: str | int | None = None, rr_ms: float | None = None) -> Path:
    """Convert a cine (DICOM folder, NIfTI) to a study: OUT/NAME.nii.gz, shape (X, Y, Z, T), and OUT/study.json.

    Args:
        source: DICOM folder or file, NIfTI file, or study folder.
        out: Folder to write. It appears when it is complete; an earlier study there is replaced.
        series: Which cine, if the folder holds several: its number in the list that is then printed, or a
            SeriesInstanceUID.
        rr_ms: RR interval in ms, if the source does not state it.

    Returns:
        The folder written.

    Raises:
        CineError: If the source is no cine that can be used.
    """
    with whole_folder(out, source) as work:
        study = read_study(source, series, rr_ms)
        image = write_study(study, work, study_name(source, out))
    for note in study.notes:
        print(f"Note: {note}")
    print(f"{out}: wrote {image.name} and {MANIFEST}: {summary(study)}")
    return Path(out)


def summary(study: Study) -> str:
    """One line on a study: slices x frames, spacing, RR and where it came from."""
    x, y, z = study.spacing_mm
    low, high = study.rr_ms.min(), study.rr_ms.max()
    rr = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
    return (
        f"{study.shape[2]} slice(s) x {study.shape[3]} frames, {study.shape[0]} x {study.shape[1]} pixels, "
        f"{x:.2f} x {y:.2f} x {z:.2f} mm, RR {rr} ms from {study.provenance.get('rr_ms', 'an unknown source')}"
    )


def _nifti_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if is_nifti(p) and p.name[0] != ".") if folder.is_dir() else []
