"""MONAI Label with the bundle, on a folder that `label prepare` made."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path

from ..cine.nifti import is_nifti, stem
from ..cine.study import CineError
from ..infer import BUNDLE
from .folder import image_id, prepared, slice_count

ENVIRONMENT = BUNDLE.parent / ".venv-label"
MODEL = "hdl_mvm"
#: Which shipped weights a served copy was made from.
ORIGIN = "shipped.sha256"


def serve(
    studies: str, port: int = 8000, host: str = "127.0.0.1", environment: str | None = None, bundle: str | None = None
) -> None:
    """Serve STUDIES for review, until Ctrl-C.

    MONAI Label runs a copy of the bundle in STUDIES/server. "Train" changes that copy, which is kept from one start to
    the next; the bundle itself is never touched.

    Args:
        studies: Folder that `label prepare` wrote.
        port: Port to listen on.
        host: Address to listen on. 127.0.0.1 is this machine alone; 0.0.0.0 is everybody who can reach it: MONAI Label
            asks for no password.
        environment: Virtual environment with MONAI Label; by default .venv-label, which `make label-env` makes.
        bundle: Another bundle folder than this repository's.

    Raises:
        CineError: If the folder holds no prepared study, MONAI Label is missing, or the port is taken.
    """
    names = prepared(studies)
    python = (ENVIRONMENT if environment is None else Path(environment)) / "bin" / "python"
    if not python.is_file():
        raise CineError(f"{python}: no such file; MONAI Label has its own environment, make it with: make label-env")
    _check_port(host, port)
    root = Path(studies).resolve()
    server = root / "server"
    shutil.rmtree(server / "tmp", ignore_errors=True)  # Label leaves uploads behind that ended in an error
    for folder in ("model", "sessions", "tmp"):
        (server / folder).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("app.py"), server / "main.py")
    _copy_bundle(BUNDLE if bundle is None else Path(bundle), server / "model" / MODEL)

    ids = {image_id(name, z) for name in names for z in range(slice_count(root, name))}
    others = sorted(path.name for path in root.iterdir() if is_nifti(path) and stem(path) not in ids)
    if others:
        print(f"Note: not from label prepare, so label collect leaves it out: {', '.join(others)}")
    print(
        f"{studies}: {len(ids)} slice(s) of {', '.join(names)} at http://{host}:{port}; stop with Ctrl-C. "
        f"Log: {server / 'logs' / 'app.log'}. Not for diagnosis.",
        flush=True,
    )
    settings = {
        "MONAI_LABEL_SESSION_PATH": str(server / "sessions"),
        "TMPDIR": str(server / "tmp"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [str(python), "-m", "monailabel.main", "start_server", "--app", str(server), "--studies", str(root)]
    command += ["--host", host, "--port", str(port)]
    # Any source but the default works without internet for a bundle that is there; sam2 would be downloaded.
    for key, value in {"models": MODEL, "zoo_source": "ngc", "sam2": "false"}.items():
        command += ["--conf", key, value]
    os.execve(python, command, {**os.environ, **settings})  # this process becomes the server: one pid to stop


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise CineError(f"{host}:{port}: cannot listen there ({error}); give another --port") from error


def _copy_bundle(bundle: Path, copy: Path) -> None:
    """Copy the bundle for the server; weights that were trained on reviewed labels stay.

    If the shipped weights changed since, the copy is moved aside as a whole: trained weights of another network would
    not fit.

    Args:
        bundle: Folder of the bundle.
        copy: Folder to write.

    Raises:
        CineError: If the bundle is incomplete.
    """
    for file in ("models/model.pt", "models/model.ts", "configs/inference.json", "configs/metadata.json"):
        if not (bundle / file).is_file():
            raise CineError(f"{bundle / file}: no such file; make it with: python -m scripts export")
    shipped = hashlib.sha256(
        b"".join((bundle / "models" / f).read_bytes() for f in ("model.pt", "model.ts"))
    ).hexdigest()
    origin = copy / ORIGIN
    if origin.is_file() and origin.read_text() != shipped:
        aside = copy.parents[1] / "earlier" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        aside.parent.mkdir(exist_ok=True)
        copy.rename(aside)
        print(f"Note: the bundle has other weights than at the last start; the copy of then is in {aside}")
    shutil.copytree(bundle / "configs", copy / "configs", dirs_exist_ok=True)
    if not origin.is_file():
        shutil.copytree(bundle / "models", copy / "models", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.onnx"))
        origin.write_text(shipped)
