"""NIfTI in and out. The frame duration is read from the file itself: MONAI's reader corrupts pixdim[4] of a 4D file."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from .folder import MANIFEST
from .manifest import read_manifest, study_from, write_manifest
from .phase import FULL_SCALE
from .study import EVENLY, LEAST_FRAMES, RR_RANGE_MS, CineError, Study, plausible_rr, require_rr

SUFFIXES = (".nii.gz", ".nii")
UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError)
"""What nibabel raises where a file is missing, truncated or damaged."""
_MILLISECONDS = {"sec": 1000.0, "msec": 1.0, "usec": 1e-3}
_MILLIMETRES = {"meter": 1000.0, "micron": 1e-3}
#: NIfTI's intent code of pixels that follow each other in time. We set it in 3D files, whose shape does not tell.
_TIME_SERIES = 2001
#: The last frame of a cine resembles its first one, even if a part of RR is missing (correlation on patients: 0.96 and
#: above); the last slice of a stack does not resemble its first one (0.26 and below).
_ALIKE = 0.6


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file."""
    return path.name.endswith(SUFFIXES)


def stem(path: str | Path) -> str:
    """File name without `.nii` or `.nii.gz`."""
    return Path(path).name.removesuffix(".gz").removesuffix(".nii")


def read_nifti(path: str | Path, rr_ms: float | None = None) -> Study:
    """Read a 3D (X, Y, T) or 4D (X, Y, Z, T) NIfTI cine.

    A `study.json` beside the file that names it supplies timing and order. Otherwise RR is T times pixdim[4], in the
    unit of xyzt_units; if that is unset, in the unit (s or ms) that gives a plausible RR. A 3D file is a cine only if
    its header states a time unit and a plausible frame duration and its last frame resembles its first one, or `rr_ms`
    is given: a stack of slices must never pass as a cine, not even one with its repetition time in pixdim[4].

    Args:
        path: The file.
        rr_ms: RR interval in ms, in place of what the header says.

    Raises:
        CineError: If the file cannot be read, is no cine, or states no plausible timing.
    """
    path = Path(path)
    pixels, affine, header = load_nifti(path)
    beside = path.parent / MANIFEST
    if beside.is_file():
        content = read_manifest(beside)
        if content.get("image") == path.name:
            rr_ms = None if rr_ms is None else require_rr(rr_ms)
            return study_from(content, pixels if pixels.ndim == 4 else pixels[:, :, None], affine, beside, rr_ms)
    if pixels.shape[-1] < LEAST_FRAMES:
        raise CineError(f"{path}: found {pixels.shape[-1]} frame(s), expected a cine of at least {LEAST_FRAMES}")
    _refuse_phase(pixels, path)
    rr, provenance, notes = _timing(path, header, pixels, rr_ms)
    if pixels.ndim == 3:
        notes.append(f"a 3D file: it was taken as one slice of {pixels.shape[2]} frames")
    known = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    provenance["affine"] = "NIfTI sform or qform" if known else "NIfTI pixdim; sform and qform codes are 0"
    try:
        study = Study.arranged(
            pixels if pixels.ndim == 4 else pixels[:, :, None],
            affine,
            rr,
            provenance=provenance,
            orientation_known=known,
            notes=notes,
        )
    except CineError as error:
        raise CineError(f"{path}: {error}") from error
    if pixels.ndim == 3 and rr_ms is None and int(header["intent_code"]) != _TIME_SERIES:
        _refuse_stack(pixels, path)
    return study


def _refuse_stack(pixels: NDArray, path: Path) -> None:
    """Refuse a 3D image (X, Y, T) whose last frame does not resemble its first one: slices, not frames."""
    likeness = float(np.corrcoef(pixels[..., 0].ravel(), pixels[..., -1].ravel())[0, 1])
    if likeness < _ALIKE:
        raise CineError(
            f"{path}: found a 3D image of shape {pixels.shape} whose first and last frame correlate by {likeness:.2f}, "
            f"expected at least {_ALIKE:g} in a cine: it looks like a static stack of slices; if it is a cine "
            "(X, Y, T) of one slice, give --rr_ms"
        )


def _refuse_phase(pixels: NDArray, path: Path) -> None:
    """Refuse 12-bit phase images: half of full scale is no velocity, and phase of air is anything in every frame."""
    half, sample = FULL_SCALE / 2, pixels[::2, ::2]
    if sample.min() < 0 or sample.max() >= FULL_SCALE or abs(float(np.median(sample)) / half - 1) > 0.05:
        return
    whole = bool((sample == np.rint(sample)).all())
    air = float((sample.std(-1) > 0.4 * half).mean())
    if whole and air > 0.01:
        raise CineError(
            f"{path}: found whole numbers about {half:.0f} that run from {sample.min():g} to {sample.max():g} in "
            f"{100 * air:.0f} % of the pixels, as 12-bit phase images have; expected a magnitude cine"
        )


def read_study_folder(folder: str | Path, rr_ms: float | None = None) -> Study:
    """Read a folder that `write_study` wrote.

    Raises:
        CineError: If the manifest or the image is missing or unreadable, or they do not belong together.
    """
    folder = Path(folder)
    image = folder / str(read_manifest(folder / MANIFEST).get("image"))
    if not image.is_file():
        raise CineError(f"{folder / MANIFEST}: names the image {image.name}, which is missing")
    return read_nifti(image, rr_ms)


def write_study(study: Study, folder: str | Path, name: str) -> Path:
    """Write `NAME.nii.gz`, shape (X, Y, Z, T), and `study.json` into an existing folder; return the image's path."""
    path = write_nifti(
        Path(folder) / f"{name}.nii.gz",
        _compact(study.magnitude),
        study.affine,
        float(study.frame_duration_ms.mean()),
        oriented=study.orientation_known,
    )
    write_manifest(study, folder, path.name)
    return path


def write_slice(study: Study, z: int, path: str | Path) -> Path:
    """Write one slice as a 3D cine (X, Y, T) whose header says that it is one: pixdim[4], time unit, intent code.

    Args:
        study: The study.
        z: Slice, 0 = base.
        path: `*.nii.gz` or `*.nii`.
    """
    affine = study.affine.copy()
    affine[:3, 3] += z * affine[:3, 2]
    step = float(study.frame_duration_ms[z])
    return write_nifti(path, _compact(study.magnitude[:, :, z]), affine, step, oriented=study.orientation_known)


def write_nifti(
    path: str | Path,
    pixels: NDArray,
    affine: NDArray,
    frame_duration_ms: float,
    dtype: DTypeLike | None = None,
    oriented: bool = True,
) -> Path:
    """Write a cine, spatial unit mm, time unit s, frame duration in pixdim[4]; in 3D, the intent is a time series.

    Args:
        path: `*.nii.gz` or `*.nii`.
        pixels: Shape (X, Y, T) or (X, Y, Z, T).
        affine: Voxel to RAS mm, shape (4, 4); its third axis is the slice direction in both cases.
        frame_duration_ms: Time from frame to frame, ms.
        dtype: How to store the pixels, by default as they are; an integer type scales fractions by scl_slope.
        oriented: Whether the affine is known; else the header says that it is not, and holds the voxel sizes alone.
    """
    if not np.isfinite(pixels).all():
        raise CineError(f"{path}: found NaN or infinite values to write, expected finite ones")
    code = "scanner" if oriented else "unknown"
    image = nib.Nifti1Image(pixels, affine)
    image.set_data_dtype(pixels.dtype if dtype is None else dtype)
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code, strip_shears=True)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = frame_duration_ms / 1000
    if pixels.ndim == 3:
        image.header["intent_code"] = _TIME_SERIES
    nib.save(image, path)
    return Path(path)


def _compact(pixels: NDArray) -> NDArray:
    """Whole numbers, which scanners send, as int16: half the size and exactly the same."""
    if pixels.max() <= np.iinfo(np.int16).max and np.array_equal(pixels, np.rint(pixels)):
        return pixels.astype(np.int16)
    return pixels


def load_nifti(path: Path) -> tuple[NDArray[np.float32], NDArray, nib.Nifti1Header]:
    """Pixels, affine (to mm, whatever unit the header states) and header of a 3D or 4D file.

    Raises:
        CineError: If it is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise CineError(f"{path}: no such file")
    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image | nib.Nifti1Pair):
            raise CineError(f"{path}: found {type(image).__name__}, expected NIfTI")
        header: nib.Nifti1Header = image.header
        data = np.asanyarray(image.dataobj)
    except CineError:
        raise
    except UNREADABLE as error:
        raise CineError(f"{path}: cannot be read as NIfTI; the file is truncated or damaged ({error})") from error
    if data.dtype.fields or np.iscomplexobj(data):
        raise CineError(f"{path}: found {data.dtype} pixels, expected one magnitude value a pixel")
    if data.ndim not in (3, 4) or 0 in data.shape:
        raise CineError(f"{path}: found shape {data.shape}, expected (X, Y, T) or (X, Y, Z, T)")
    affine = np.array(image.affine, float)
    affine[:3] *= _MILLIMETRES.get(_units(header)[0], 1.0)
    return data.astype(np.float32), affine, header


def _units(header: nib.Nifti1Header) -> tuple[str, str]:
    """Units of space and of time."""
    try:
        return header.get_xyzt_units()
    except KeyError:  # a code that NIfTI does not define
        return "unknown", "unknown"


def _timing(
    path: Path, header: nib.Nifti1Header, pixels: NDArray, rr_ms: float | None
) -> tuple[float, dict[str, str], list[str]]:
    """RR in ms, where it came from, and what to note about it."""
    frames, step = pixels.shape[-1], float(header["pixdim"][4])
    unit = _units(header)[1]
    stated = f"pixdim[4] = {step:g}, time unit {unit!r}, {frames} frames"
    if unit in _MILLISECONDS:
        choices = {unit: frames * step * _MILLISECONDS[unit]}
    elif pixels.ndim == 4:
        choices = {unit: frames * step * _MILLISECONDS[unit] for unit in ("sec", "msec")}
    else:
        choices = {}  # an unset unit in a 3D file is what every static stack has
    found = {unit: rr for unit, rr in choices.items() if plausible_rr(rr)}
    if rr_ms is not None:
        value = require_rr(rr_ms)
        notes = [
            f"argument rr_ms = {value:g} ms disagrees with the header's RR of {rr:.0f} ms"
            for rr in found.values()
            if abs(rr - value) > 0.1 * value
        ]
        return value, {"rr_ms": "argument rr_ms", "frame_times_ms": EVENLY}, notes[:1]
    if len(found) == 1:
        ((unit, rr),) = found.items()
        notes = (
            []
            if len(choices) == 1
            else [f"the header sets no time unit; {unit} was taken, since it gives RR = {rr:.0f} ms"]
        )
        return rr, {"rr_ms": f"NIfTI pixdim[4] x frames ({stated})", "frame_times_ms": EVENLY}, notes
    if pixels.ndim == 3:
        raise CineError(
            f"{path}: found a 3D image of shape {pixels.shape} whose header states no plausible frame duration "
            f"({stated}): "
            "it may be a static stack of slices; if it is a cine (X, Y, T) of one slice, give --rr_ms"
        )
    limits = f"{RR_RANGE_MS[0]:.0f} to {RR_RANGE_MS[1]:.0f} ms"
    raise CineError(
        f"{path}: found no plausible frame duration ({stated}), expected one that gives RR = {limits}; give --rr_ms"
    )
