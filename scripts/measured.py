"""One command for people: a measured 3Dir MVM study goes in; velocity maps come out, as inference writes them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .cine.convert import summary
from .cine.folder import whole_folder
from .cine.manifest import write_manifest
from .cine.nifti import is_nifti, load_nifti, stem, write_nifti
from .cine.study import CineError, Study
from .cine.velocity import AXES, corrected, read_measured
from .infer import BUNDLE, ENGINES, run_bundle, stacked


def measured(
    source: str,
    out: str,
    venc: str = "",
    labels: str = "",
    offset: int = 0,
    unwrap: bool = False,
    swap: bool = False,
    flip: str = "",
    order: str = "xyz",
    rr_ms: float | None = None,
    series: str | int | None = None,
) -> Path:
    """Convert a measured 3Dir MVM study (magnitude and three phases) to velocity maps that `assess` takes.

    Writes into OUT, on the grid of the study (slices from base to apex, viewed from the apex), shape (X, Y, Z, T):
    NAME_cine, NAME_label (0, 1 myocardium, 2 blood pool), NAME_velocity_x, _y, _z (cm/s: along the image axes +X, +Y,
    and from base to apex), and study.json, which says where the venc came from.

    Args:
        source: DICOM folder or file; or folder with NAME_magnitude, NAME_phase_x, _y, _z as NIfTI (12-bit phase).
        out: Folder to write. It appears when it is complete; an earlier result there is replaced.
        venc: Velocity encoding along X, Y and the long axis, cm/s, such as 20,20,30; in place of what the tags say.
        labels: NIfTI file with labels of the left ventricle, on the grid of the study; by default the bundle's network
            segments the magnitude.
        offset: Background offset to subtract, a polynomial fitted to static tissue: 0 none, 1 plane, 2 quadratic.
        unwrap: Undo wrapping of velocities beyond the venc.
        swap: Exchange the components along X and Y.
        flip: Turn the sign of components, such as z or xy.
        order: Components of the phase series by SeriesNumber or GE's codes, where no tag states a direction.
        rr_ms: RR interval in ms, if the source does not state it.
        series: Which magnitude cine of a DICOM source, as `convert` takes it; by default the one at the phases' places
            with as many frames, of several the last series before the phases.

    Returns:
        The folder written.

    Raises:
        CineError: If the source is no such study, or an argument is wrong.
    """
    with whole_folder(out, source) as work:
        found = corrected(read_measured(source, _speeds(venc), order, rr_ms, series), swap, flip, unwrap, offset)
        study, name = found.study, _name(Path(source), out)
        known = _given(labels, study) if labels else _segmented(study)
        step, oriented = float(study.frame_duration_ms.mean()), study.orientation_known
        stacks: dict[str, NDArray] = {"cine": study.magnitude, "label": known}
        stacks |= {f"velocity_{axis}": component for axis, component in zip(AXES, found.velocity, strict=True)}
        for key, pixels in stacks.items():
            dtype = np.int16 if key.startswith("velocity") else None
            write_nifti(work / f"{name}_{key}.nii.gz", pixels, study.affine, step, dtype, oriented)
        velocity = {"kind": "measured", "venc_cm_s": list(found.venc), "sources": found.sources}
        velocity["labels"] = "given" if labels else "predicted"
        write_manifest(study, work, f"{name}.nii.gz", velocity)
    for note in study.notes:
        print(f"Note: {note}")
    for words in (*found.sources.items(), ("labels", labels or "by the bundle's network")):
        print(f"{words[0]}: {words[1]}")
    print(f"{out}: wrote {name}_(cine, label, velocity_x, velocity_y, velocity_z).nii.gz: {summary(study)}. "
          "Not for diagnosis.")  # fmt: skip
    return Path(out)


def _speeds(venc: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in venc.split(",")) if venc else ()
    except ValueError as error:
        raise CineError(f"argument venc: found {venc!r}, expected three velocities in cm/s: 20,20,30") from error


def _name(source: Path, out: str) -> str:
    """Name of NIfTI files, else of the output folder: a DICOM folder may name the patient."""
    names = [stem(path) for path in source.iterdir() if is_nifti(path)] if source.is_dir() else []
    magnitudes = [name.removesuffix("_magnitude") for name in names if name.endswith("_magnitude")]
    return magnitudes[0] if magnitudes else Path(out).resolve().name


def _given(path: str, study: Study) -> NDArray[np.uint8]:
    """Labels of a file, in the study's order and view."""
    pixels, affine, _ = load_nifti(Path(path))
    pixels = pixels if pixels.ndim == 4 else pixels[:, :, None]
    if pixels.shape != study.shape:
        raise CineError(f"{path}: found shape {pixels.shape}, expected {study.shape} as the magnitude has")
    if not np.isin(pixels, (0, 1, 2)).all():
        raise CineError(f"{path}: found values {np.unique(pixels)[:9].tolist()}, expected 0, 1 (myocardium), 2 (pool)")
    # The study may have been mirrored or reversed when it was read: the file's affine says how the labels lie.
    turn = np.linalg.inv(study.affine) @ affine
    signs = np.sign(np.diag(turn)[:3]).astype(int)
    shift = [0 if sign > 0 else size - 1 for sign, size in zip(signs, study.shape, strict=False)]
    if not np.allclose(turn[:3, :3], np.diag(signs), atol=0.02) or not np.allclose(turn[:3, 3], shift, atol=0.1):
        raise CineError(f"{path}: lies elsewhere than the magnitude: found the affine {affine.round(2).tolist()}")
    return pixels[tuple(slice(None, None, sign) for sign in signs)].astype(np.uint8)


def _segmented(study: Study) -> NDArray[np.uint8]:
    """Labels by the bundle's network, on the measured frames alone."""
    if not (BUNDLE / "models" / ENGINES["torch"]).is_file():
        raise CineError(f"{BUNDLE / 'models' / ENGINES['torch']}: no such file; give labels, or run: make export")
    with tempfile.TemporaryDirectory(prefix="hdl_mvm-") as folder:
        return stacked(run_bundle(study, Path(folder), BUNDLE, "torch", 1), "label").astype(np.uint8)
