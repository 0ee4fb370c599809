"""The folder that the platform gives for results: it gets all of them or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.cine.study import CineError


@contextmanager
def whole_output(out: str | Path) -> Iterator[Path]:
    """Yield a folder whose content moves to `out` if, and only if, the body completes.

    Unlike `whole_folder`, it never renames `out` itself, which in a container is a mount.

    Args:
        out: An empty or a new folder.

    Raises:
        CineError: If `out` is a file or holds any.
    """
    target = Path(out)
    if target.exists() and not target.is_dir():
        raise CineError(f"{out}: found a file, expected a folder to write results to")
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise CineError(f"{out}: the output folder is not empty; choose an empty or a new one")
    work = Path(tempfile.mkdtemp(prefix=".hdl_mvm-", dir=target))
    moved: list[Path] = []
    try:
        yield work
        for entry in sorted(work.iterdir()):
            moved.append(entry.rename(target / entry.name))
    except BaseException:
        for entry in moved:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
