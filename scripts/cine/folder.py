"""Output folders that are whole or absent: work happens in a hidden folder beside them, a rename publishes it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .study import CineError

#: Every study folder that we write holds this file; a folder without it is not ours to replace.
MANIFEST = "study.json"


@contextmanager
def whole_folder(out: str | Path, source: str | Path, mark: str = MANIFEST) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` if, and only if, the body completes.

    An earlier result of ours at `out` is replaced.

    Args:
        out: The folder to be made.
        source: What is read meanwhile; it must not lie in `out`.
        mark: File that tells an earlier result of ours from a folder of somebody else's.

    Raises:
        CineError: If `out` holds something else, or holds the source.
    """
    target = Path(out).resolve()
    if Path(source).resolve().is_relative_to(target):
        raise CineError(f"{out}: the output folder holds the input {source}; choose another output folder")
    if target.exists() and not target.is_dir():
        raise CineError(f"{out}: found a file, expected the name of a folder to write")
    if target.is_dir() and any(target.iterdir()) and not (target / mark).is_file():
        raise CineError(
            f"{out}: the folder holds files that are no earlier result (no {mark}); choose an empty or a new folder"
        )
    missing = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        work.chmod(0o755)  # mkdtemp makes 0700; the result should be as readable as any other folder
        yield work
        old = None
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) / target.name
            target.rename(old)
        work.rename(target)
        if old:
            shutil.rmtree(old.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):  # what was made for nothing; a folder that holds something stays
            for parent in missing:
                parent.rmdir()
