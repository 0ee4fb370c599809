"""The model file: is it ours, and which version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from scripts.cine.study import CineError

from .objects import Algorithm

NAME = "hdl_mvm"


def read_algorithm(model: str | Path) -> Algorithm:
    """Check the model that the platform gives, and say what to call it.

    Args:
        model: model.ts, or a folder that holds it (and nothing else that ends in .ts).

    Raises:
        CineError: If it is not a model.ts of this bundle.
    """
    path = Path(model)
    found = sorted(path.rglob("*.ts")) if path.is_dir() else [path]
    if len(found) != 1 or not found[0].is_file():
        raise CineError(f"{model}: found {len(found) if path.exists() else 0} model files (*.ts), expected model.ts")
    try:
        with ZipFile(found[0]) as archive:
            inside = [name for name in archive.namelist() if name.endswith("extra/metadata.json")]
            metadata = json.loads(archive.read(inside[0])) if inside else {}
            damaged = archive.testzip()
    except (BadZipFile, ValueError, EOFError) as error:
        raise CineError(f"{found[0]}: found a damaged file or no TorchScript ({error}), expected model.ts") from error
    if damaged or metadata.get("name") != NAME:
        what = f"a damaged part ({damaged})" if damaged else f"the bundle {metadata.get('name')!r}"
        raise CineError(f"{found[0]}: found {what}, expected model.ts of the bundle {NAME!r}")
    return Algorithm(str(metadata["version"]), hashlib.sha256(found[0].read_bytes()).hexdigest()[:16])
