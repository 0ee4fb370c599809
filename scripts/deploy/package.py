"""Everything that makes a MONAI Application Package, and the context that docker would build."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from scripts.cine.folder import whole_folder
from scripts.cine.study import CineError

from .model import NAME
from .run import MODEL, ROOT, python_with_sdk

BUNDLE = ROOT / "bundle"
CONFIG = "app.yaml"
#: What of this package runs in the application; the rest trains, measures and serves elsewhere.
PARTS = ("__init__.py", "__main__.py", "infer.py", "cine", "assessment", "report", "deploy")
FILES = ("models/model.ts", "configs/metadata.json", "docs/README.md", "docs/how-to-deploy.md")


def package(out: str, environment: str | None = None) -> Path:
    """Write what `monai-deploy package` takes, and the context that it would build an image of.

    OUT gets app (the application's Python), models, docs, app.yaml, requirements.txt and context: Dockerfile and all
    that it copies. `python OUT/context/app` runs without docker.

    Args:
        out: Folder to write. It appears when it is complete; an earlier package there is replaced.
        environment: Virtual environment with the MONAI Deploy App SDK; by default .venv-deploy (`make deploy-env`).

    Returns:
        The folder written.

    Raises:
        CineError: If the SDK or a part of the bundle is missing.
    """
    python = python_with_sdk(environment)
    for file in FILES:
        if not (BUNDLE / file).is_file():
            raise CineError(f"{BUNDLE / file}: no such file; the package needs it (python -m scripts export)")
    version = str(json.loads((BUNDLE / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"])
    with whole_folder(out, BUNDLE, CONFIG) as work:
        _write_application(work / "app", version)
        (work / "models" / "model").mkdir(parents=True)
        shutil.copyfile(MODEL, work / "models" / "model" / "model.ts")
        (work / "docs").mkdir()
        for name in ("README.md", "how-to-deploy.md"):
            shutil.copyfile(BUNDLE / "docs" / name, work / "docs" / name)
        config = (Path(__file__).with_name(CONFIG)).read_text(encoding="utf-8").replace("{version}", version)
        (work / CONFIG).write_text(config, encoding="utf-8")
        shutil.copyfile(ROOT / "requirements" / "deploy.txt", work / "app" / "requirements.txt")
        done = subprocess.run(
            [str(python), "-m", "scripts.deploy.context", str(work)], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise CineError(f"monai-deploy's packager failed: {done.stderr.strip()[-2000:]}")
    print(f"{out}: wrote the application package {NAME} {version}; context/ runs without docker. Not for diagnosis.")
    return Path(out)


def _write_application(folder: Path, version: str) -> None:
    """The application's Python: the parts of this package that it needs, and a main program."""
    scripts = folder / "scripts"
    scripts.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / "scripts" / part
        if source.is_dir():
            shutil.copytree(source, scripts / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, scripts / part)
    shutil.copyfile(ROOT / "scripts" / "deploy" / "__main__.py", folder / "__main__.py")
    # Reports state the version, which Python finds in the metadata of an installed package.
    information = folder / f"{NAME}-{version}.dist-info"
    information.mkdir()
    text = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n"
    (information / "METADATA").write_text(text, encoding="utf-8")
