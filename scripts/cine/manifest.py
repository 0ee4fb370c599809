"""`study.json`: what a NIfTI header cannot say about a study.

Fields (version 1):

| field | content |
|---|---|
| format, version | `"hdl_mvm study"`, 1 |
| image | name of the NIfTI file beside the manifest |
| shape | [X, Y, Z, T] |
| affine | 4 x 4, voxel to RAS mm |
| rr_ms | RR of each slice, base to apex, ms |
| frame_times_ms | Z rows of T times after the R wave, ms |
| frame_duration_ms | step from frame to frame of each slice, ms |
| cyclic | whether the first frame follows the last |
| orientation_known | whether order and view were decided from a true affine |
| vendor | manufacturer, as the source states it |
| provenance | which tag or header field each value came from |
| notes | what was assumed, which tags disagree |
| sop_instance_uids | source SOP instance UIDs, Z rows of T; empty if the source is not DICOM |
| velocity | only beside measured velocities: kind "measured", venc_cm_s, sources, labels "given" or "predicted" |

Nothing that names a patient is written: no name, ID, birth date, accession number, series description or path.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .dicom_timing import retimed
from .folder import MANIFEST
from .study import EVENLY, CineError, Study, require_rr

FORMAT = "hdl_mvm study"
VERSION = 1


def write_manifest(study: Study, folder: str | Path, image: str, velocity: dict[str, Any] | None = None) -> Path:
    """Write `study.json` into a folder.

    Args:
        study: The study.
        folder: Where the NIfTI file lies.
        image: Name of that file.
        velocity: What is known of measured velocities beside it, as the table above says; None if there are none.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "image": image,
        "shape": list(study.shape),
        "affine": study.affine.tolist(),
        "rr_ms": study.rr_ms.round(4).tolist(),
        "frame_times_ms": study.frame_times_ms.round(4).tolist(),
        "frame_duration_ms": study.frame_duration_ms.round(4).tolist(),
        "cyclic": study.cyclic,
        "orientation_known": study.orientation_known,
        "vendor": study.vendor,
        "provenance": dict(study.provenance),
        "notes": list(study.notes),
        "sop_instance_uids": [list(row) for row in study.sop_instance_uids],
    }
    if velocity is not None:
        content["velocity"] = velocity
    path = Path(folder) / MANIFEST
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read a `study.json`; `study_from` turns it into a study.

    Raises:
        CineError: If the file is not a manifest of a version that we know.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CineError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CineError(f'{path}: found no manifest of a study, expected "format": "{FORMAT}"')
    if content.get("version") != VERSION:
        raise CineError(f"{path}: found version {content.get('version')!r}, expected {VERSION}")
    return content


def study_from(
    content: dict[str, Any], pixels: np.ndarray, affine: np.ndarray, path: str | Path, rr_ms: float | None = None
) -> Study:
    """Join a manifest and its image.

    Args:
        content: What `read_manifest` returned.
        pixels: Image, shape (X, Y, Z, T).
        affine: Of the image, voxel to RAS mm, shape (4, 4).
        path: Of the manifest, for messages.
        rr_ms: RR of every slice in ms, in place of the manifest's.

    Raises:
        CineError: If a field is missing or does not fit the image, or the study is not a valid one.
    """
    try:
        if list(pixels.shape) != list(content["shape"]):
            raise CineError(f"shape is {content['shape']}, but the image's is {list(pixels.shape)}")
        if not np.allclose(affine, np.asarray(content["affine"], float), rtol=0, atol=0.01):
            raise CineError(
                f"found another affine than that of {content['image']}, expected the same: the image was changed after "
                "the manifest was written"
            )
        times, rr = np.asarray(content["frame_times_ms"], float), np.asarray(content["rr_ms"], float)
        for z, value in enumerate(rr):
            require_rr(value, f"slice {z}")
        provenance, cyclic = dict(content["provenance"]), bool(content["cyclic"])
        if rr_ms is not None:
            if EVENLY in provenance.get("frame_times_ms", EVENLY):
                times = times * (rr_ms / rr)[:, None]
            else:
                times, cyclic = retimed(times, rr_ms)
            rr, provenance["rr_ms"] = np.full_like(rr, rr_ms), "argument rr_ms"
        return Study(
            magnitude=pixels,
            affine=np.asarray(content["affine"], float),
            rr_ms=rr,
            frame_times_ms=times,
            cyclic=cyclic,
            orientation_known=bool(content["orientation_known"]),
            provenance=provenance,
            notes=tuple(content["notes"]),
            sop_instance_uids=tuple(tuple(row) for row in content["sop_instance_uids"]),
            vendor=str(content["vendor"]),
        )
    except CineError as error:
        raise CineError(f"{path}: {error}") from error
    except KeyError as error:
        raise CineError(f"{path}: the field {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise CineError(f"{path}: a field is malformed ({error})") from error
