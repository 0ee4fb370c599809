"""A study becomes what MONAI Label can show: one (X, Y, T) volume a slice, time as the third axis."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from ..cine.convert import read_study, study_name, summary
from ..cine.folder import MANIFEST
from ..cine.manifest import read_manifest
from ..cine.nifti import is_nifti, write_slice, write_study
from ..cine.study import CineError, Study, require_rr
from .folder import cine_folder, image_id, study_names


def prepare(*paths: str, series: str | None = None, rr_ms: str | None = None) -> Path:
    """Cut studies into slices for MONAI Label: SOURCE... STUDIES.

    Label shows one volume at a time and no 4D cine, so each slice becomes a volume (X, Y, T): scrolling goes through
    time. Studies are added to those that are in STUDIES; reviewed labels there are left alone. A study that comes
    from DICOM gets a number for a name, since a folder of DICOM may be named after the patient.

    Args:
        paths: What to prepare (DICOM folder, NIfTI file, study folder), then the folder to write.
        series: DICOM only: which cine, if a source holds several: a number from the list then printed, or a
            SeriesInstanceUID.
        rr_ms: RR interval in ms, if a source does not state it.

    Returns:
        The folder written.

    Raises:
        CineError: If a source is no cine that can be used, or is in STUDIES already. Then nothing is written.
    """
    *sources, target = paths or ("",)
    if not sources:
        raise CineError(f"arguments: found {len(paths)}, expected what to prepare and the folder to write")
    studies = Path(target)
    if studies.exists() and not studies.is_dir():
        raise CineError(f"{studies}: found a file, expected the name of a folder to write")
    existed = studies.is_dir()
    studies.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".prepare-", dir=studies))
    try:
        done: dict[str, Study] = {}
        for source in tqdm(sources, desc="Preparing", unit="study", disable=None):
            study = read_study(source, series, None if rr_ms is None else require_rr(rr_ms))
            _refuse_twice(study, source, (studies, work))
            name = _name(source, {*study_names(studies), *done})
            _write(study, name, work)
            done[name] = study
        _publish(work, studies, done)
    finally:
        shutil.rmtree(work)
        if not existed and not any(studies.iterdir()):
            studies.rmdir()
    for (name, study), source in zip(done.items(), sources, strict=True):
        for note in study.notes:
            print(f"Note on {name}: {note}")
        print(f"{name}: {summary(study)}; from {source}")
    print(
        f"{studies}: wrote {sum(study.shape[2] for study in done.values())} slice(s) of {len(done)} stud"
        f"{'y' if len(done) == 1 else 'ies'}. Next: python -m scripts label serve {studies}"
    )
    return studies


def _name(source: str, taken: set[str]) -> str:
    """Name of a study: that of its NIfTI file, or the next number.

    Raises:
        CineError: If a study of that name is there already.
    """
    number = next(number for number in range(1, len(taken) + 2) if f"study-{number:03d}" not in taken)
    name = study_name(source, f"study-{number:03d}")
    if name in taken:
        raise CineError(
            f"{source}: a study {name} is prepared already, and its labels may be under review; rename this file, or "
            f"choose another folder"
        )
    return name


def _refuse_twice(study: Study, source: str, folders: Iterable[Path]) -> None:
    """Refuse DICOM images that were prepared before.

    Raises:
        CineError: If a study of the same images is there.
    """
    for folder in folders:
        for name in study_names(folder):
            known = read_manifest(cine_folder(folder) / name / MANIFEST)["sop_instance_uids"]
            if {u for row in known for u in row if u} & {u for row in study.sop_instance_uids for u in row}:
                raise CineError(f"{source}: found the images of {name}, which is prepared already")


def _write(study: Study, name: str, work: Path) -> None:
    folder = cine_folder(work) / name
    folder.mkdir(parents=True)
    write_study(study, folder, name)
    for z in range(study.shape[2]):
        write_slice(study, z, work / f"{image_id(name, z)}.nii.gz")


def _publish(work: Path, studies: Path, names: Iterable[str]) -> None:
    """Move everything into place. A study counts from the moment that its folder with the manifest is there."""
    for path in sorted(work.iterdir()):
        if is_nifti(path):
            path.rename(studies / path.name)
    cine_folder(studies).mkdir(exist_ok=True)
    for name in names:
        (cine_folder(work) / name).rename(cine_folder(studies) / name)
