"""Reviewed labels come back: stacked to (X, Y, Z, T) on the true affine, with who reviewed which slice, and when."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..cine.folder import MANIFEST, whole_folder
from ..cine.nifti import UNREADABLE, read_study_folder, write_nifti
from ..cine.study import CineError
from .folder import cine_folder, image_id, prepared, slice_count

LABELS = (0, 1, 2)
"""Background, LV myocardium, LV blood pool."""


@dataclass(frozen=True)
class Review:
    """One save of one slice.

    Attributes:
        file: NIfTI, (X, Y, T).
        by: Who saved it, as the viewer says.
        at: When, ISO 8601, UTC.
    """

    file: Path
    by: str
    at: str


def collect(studies: str, out: str, reviewer: str | None = None) -> Path:
    """Collect what reviewers saved: a folder OUT/NAME for each study with a reviewed slice.

    OUT/NAME is a study folder (NAME.nii.gz, study.json) with NAME_label.nii.gz, shape (X, Y, Z, T), 1 LV myocardium,
    2 LV blood pool, and NAME_review.json: who reviewed which slice and when, earlier saves, missing slices. Missing
    slices are 0 in the labels.

    Args:
        studies: Folder that was served.
        out: Folder to write. What was collected there before is replaced, study by study.
        reviewer: Take this reviewer's last save of each slice; by default the last of all.

    Returns:
        The folder written.

    Raises:
        CineError: If no slice is reviewed, or a label does not fit its image.
    """
    names = prepared(studies)
    chosen = {name: _reviews(Path(studies), name, reviewer) for name in names}
    if not any(review for slices in chosen.values() for review, _ in slices):
        who = "" if reviewer is None else f" by {reviewer}"
        raise CineError(f"{studies}: found no slice reviewed{who}; submit labels first: python -m scripts label serve")
    for name in tqdm(names, desc="Collecting", unit="study", disable=None):
        if any(review for review, _ in chosen[name]):
            with whole_folder(Path(out) / name, studies) as work:
                _write(work, Path(studies), name, chosen[name], reviewer)
    for name in names:
        _tell(name, chosen[name])
    print(
        f"{out}: wrote reviewed labels of {sum(any(r for r, _ in s) for s in chosen.values())} of {len(names)} "
        f"stud{'y' if len(names) == 1 else 'ies'}. Not for diagnosis."
    )
    return Path(out)


def _reviews(studies: Path, name: str, reviewer: str | None) -> list[tuple[Review | None, list[Review]]]:
    """For each slice the save that counts, and all others."""
    slices = []
    for z in range(slice_count(studies, name)):
        saves = _saves(studies, image_id(name, z))
        if reviewer is None:
            chosen = _current(studies, image_id(name, z), saves)
        else:
            chosen = next((save for save in reversed(saves) if save.by == reviewer), None)
        slices.append((chosen, [save for save in saves if save != chosen]))
    return slices


def _saves(studies: Path, image: str) -> list[Review]:
    """Every save of a slice, oldest first."""
    folder = studies / "reviews" / image
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [Review(folder / record["file"], record["by"], record["at"]) for record in records]


def _current(studies: Path, image: str, saves: list[Review]) -> Review | None:
    """What MONAI Label has as the final label of a slice; None if it has none."""
    final = next((studies / "labels" / "final").glob(f"{image}.nii*"), None)
    if final is None:
        return None
    same = (save for save in reversed(saves) if save.file.read_bytes() == final.read_bytes())
    return next(same, None) or _unrecorded(studies, image, final)


def _unrecorded(studies: Path, image: str, final: Path) -> Review:
    """A label that did not come through `label serve`: Label's own record tells what it knows."""
    record = studies / "datastore_v2.json"
    info: dict[str, Any] = {}
    if record.is_file():
        objects = json.loads(record.read_text(encoding="utf-8"))["objects"]
        info = objects.get(image, {}).get("labels", {}).get("final", {}).get("info", {})
    at = datetime.fromtimestamp(info.get("ts") or final.stat().st_mtime, UTC)
    return Review(final, str(info.get("client_id") or "unknown"), at.isoformat())


def _read(review: Review, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Labels of one slice, shape (X, Y, T).

    Raises:
        CineError: If they do not fit the slice.
    """
    try:
        labels = np.asanyarray(nib.load(review.file).dataobj)
    except UNREADABLE as error:
        raise CineError(f"{review.file}: cannot be read as NIfTI ({error})") from error
    if labels.shape != shape:
        raise CineError(f"{review.file}: found shape {labels.shape}, expected that of its slice, {shape}")
    if not np.isin(labels, LABELS).all():
        raise CineError(f"{review.file}: found values {np.unique(labels)}, expected only {', '.join(map(str, LABELS))}")
    return labels.astype(np.uint8)


def _write(
    work: Path, studies: Path, name: str, slices: list[tuple[Review | None, list[Review]]], reviewer: str | None
) -> None:
    source = cine_folder(studies) / name
    study = read_study_folder(source)
    labels = np.zeros(study.shape, np.uint8)
    for z, (review, _) in enumerate(slices):
        if review:
            labels[:, :, z] = _read(review, (*study.shape[:2], study.shape[3]))
    for file in (MANIFEST, f"{name}.nii.gz"):
        shutil.copyfile(source / file, work / file)
    step = float(study.frame_duration_ms.mean())
    write_nifti(work / f"{name}_label.nii.gz", labels, study.affine, step, oriented=study.orientation_known)

    def told(review: Review) -> dict[str, str]:
        return {"by": review.by, "at": review.at, "file": review.file.relative_to(studies).as_posix()}

    content = {
        "format": "hdl_mvm review",
        "version": 1,
        "labels": f"{name}_label.nii.gz",
        "label_names": {"1": "LV myocardium", "2": "LV blood pool"},
        "reviewer": reviewer or "the last to save",
        "missing_slices": [z for z, (review, _) in enumerate(slices) if review is None],
        "slices": [
            {"slice": z, **told(review), "other_saves": [told(other) for other in others]}
            for z, (review, others) in enumerate(slices)
            if review
        ],
        "notice": "Research only. Not for diagnosis.",
    }
    (work / f"{name}_review.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _tell(name: str, slices: list[tuple[Review | None, list[Review]]]) -> None:
    missing = [str(z) for z, (review, _) in enumerate(slices) if review is None]
    people = sorted({review.by for review, _ in slices if review})
    words = f"{name}: {len(slices) - len(missing)} of {len(slices)} slice(s) reviewed"
    if people:
        words += f" by {', '.join(people)}"
        if missing:
            words += f"; missing, and 0 in the labels (assess keeps the predicted ones): slice {', '.join(missing)}"
    else:
        words += "; nothing is written"
    print(words)
    for z, (review, others) in enumerate(slices):
        theirs = sorted({other.by for other in others if review and other.by != review.by})
        if theirs:
            print(f"Note: slice {z} was saved by {', '.join(theirs)}, too; --reviewer takes one reviewer's labels")
