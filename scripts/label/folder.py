"""The folder STUDIES: where what lies (see the package's docstring)."""

from __future__ import annotations

from pathlib import Path

from ..cine.folder import MANIFEST
from ..cine.manifest import read_manifest
from ..cine.study import CineError


def cine_folder(studies: str | Path) -> Path:
    """Where the whole studies lie."""
    return Path(studies) / "cines"


def study_names(studies: str | Path) -> list[str]:
    """Names of the studies that `label prepare` put into the folder, sorted."""
    return sorted(path.parent.name for path in cine_folder(studies).glob(f"*/{MANIFEST}"))


def prepared(studies: str | Path) -> list[str]:
    """Names of the studies in the folder.

    Raises:
        CineError: If there is none.
    """
    names = study_names(studies)
    if not names:
        raise CineError(f"{studies}: found no study for review; make the folder with: python -m scripts label prepare")
    return names


def image_id(name: str, z: int) -> str:
    """What MONAI Label calls slice `z` (0 = base) of a study; such names sort from base to apex."""
    return f"{name}_slice-{z:02d}"


def slice_count(studies: str | Path, name: str) -> int:
    """Number of slices of a prepared study."""
    return int(read_manifest(cine_folder(studies) / name / MANIFEST)["shape"][2])
