"""The application from the command line, in the environment that has the MONAI Deploy App SDK."""

from __future__ import annotations

import os
from pathlib import Path

from scripts.cine.study import CineError

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "bundle" / "models" / "model.ts"
ENVIRONMENT = ROOT / ".venv-deploy"


def run(
    source: str,
    out: str,
    series: str = "",
    rr_ms: str = "",
    upsampling_factor: str = "auto",
    model: str | None = None,
    environment: str | None = None,
) -> None:
    """Run the MONAI Deploy application on a DICOM folder: DICOM in, DICOM out.

    Writes into OUT, in the study of the source, each series new: segmentation (labels of the acquired frames), cine and
    cine_segmentation (interpolated frames), velocity_x, _y, _z, report.dcm (PDF), measurements.dcm (structured report);
    and assessment.json. All of them or none.

    Args:
        source: Folder of DICOM files, as a scanner or a PACS sends it.
        out: Empty or new folder.
        series: Which cine, if there are several: a number from the list then printed, or a SeriesInstanceUID.
        rr_ms: RR interval in ms, if the headers do not state it.
        upsampling_factor: Frames made of each acquired one; auto brings the cine to about 50 frames.
        model: Another model.ts than this repository's.
        environment: Virtual environment with the MONAI Deploy App SDK; by default .venv-deploy (`make deploy-env`).

    Raises:
        CineError: If the SDK is missing. Other errors end the application with exit code 1.
    """
    python = python_with_sdk(environment)
    settings = {
        "HOLOSCAN_INPUT_PATH": str(Path(source).resolve()),
        "HOLOSCAN_OUTPUT_PATH": str(Path(out).resolve()),
        "HOLOSCAN_MODEL_PATH": str(Path(model or MODEL).resolve()),
        "HDL_MVM_SERIES": series,
        "HDL_MVM_RR_MS": rr_ms,
        "HDL_MVM_UPSAMPLING_FACTOR": upsampling_factor,
        "HOLOSCAN_LOG_LEVEL": os.environ.get("HOLOSCAN_LOG_LEVEL", "WARN"),
        "PYTHONPATH": str(ROOT),
    }
    os.execve(python, [str(python), "-m", "scripts.deploy"], {**os.environ, **settings})


def python_with_sdk(environment: str | None) -> Path:
    """Python of the environment with the MONAI Deploy App SDK.

    Raises:
        CineError: If there is none.
    """
    python = (ENVIRONMENT if environment is None else Path(environment)) / "bin" / "python"
    if not python.is_file():
        raise CineError(f"{python}: no such file; the MONAI Deploy App SDK has its own environment: make deploy-env")
    return python
