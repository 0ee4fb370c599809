"""Zips the bundle for people who have MONAI and not this repository."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile


def package(out: str = "dist", bundle: str = "bundle") -> str:
    """Writes ``hdl_mvm_vX.zip``: configs, docs, models and licence in a folder ``hdl_mvm``.

    Args:
        out: folder to write to; it is made if needed.
        bundle: folder of the bundle.

    Returns:
        What was written, in words.

    Raises:
        FileNotFoundError: if a file that every bundle needs is missing.
    """
    root = Path(bundle)
    for name in ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "models/model.ts"):
        if not (root / name).is_file():
            raise FileNotFoundError(f"{root / name}: no such file; a bundle needs it (python -m scripts export)")
    version = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"]
    Path(out).mkdir(parents=True, exist_ok=True)
    target = Path(out) / f"hdl_mvm_v{version}.zip"
    files = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, Path("hdl_mvm") / path.relative_to(root))
    size = target.stat().st_size / 1024**2
    return f"{target}: {len(files)} files, {size:.1f} MB; unzip it and run it anywhere with MONAI"
