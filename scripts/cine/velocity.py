"""Measured 3Dir MVM studies in: magnitude and three phase images become a study with velocities."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from tqdm import tqdm

from .dicom import LPS_TO_RAS, read_dicom, read_pixels, rescale, stack_affine
from .dicom_scan import DERIVED_BY_US, Frame, scan
from .dicom_select import select
from .dicom_timing import timed
from .nifti import is_nifti, load_nifti, read_nifti, stem
from .phase import FULL_SCALE, background_offset, decode, unwrapped
from .study import CineError, Study, base_first, seen_from_apex
from .venc import Encoding, encoding

AXES = ("x", "y", "z")
#: A direction vector within about 25 degrees of an axis is meant to be that axis.
_ALONG = 0.9


@dataclass(frozen=True, eq=False)
class Measured:
    """A measured study.

    Attributes:
        study: Magnitude, geometry and timing.
        velocity: Along +X, +Y and towards the apex, shape (3, X, Y, Z, T), cm/s.
        venc: Velocity encoding of the three, cm/s.
        sources: Where each venc and direction came from, in words.
    """

    study: Study
    velocity: NDArray[np.float32]
    venc: tuple[float, float, float]
    sources: dict[str, str]


def read_measured(
    source: str | Path,
    venc: Sequence[float] = (),
    order: str = "xyz",
    rr_ms: float | None = None,
) -> Measured:
    """Read magnitude and three phases.

    Args:
        source: DICOM folder, or folder with NAME_magnitude and NAME_phase_x, _y, _z as NIfTI (12-bit phase).
        venc: Velocity encoding along X, Y and the long axis, cm/s, in place of what the tags say; NIfTI needs it.
        order: Which components the phase series are, by SeriesNumber, where no tag states a direction.
        rr_ms: RR interval in ms, in place of what the source says.

    Raises:
        CineError: If an image is missing, the venc is not known, or images do not belong together.
    """
    if venc and (len(venc) != 3 or min(venc) <= 0):
        raise CineError(f"argument venc: found {tuple(venc)}, expected three velocities above 0 in cm/s: 20,20,30")
    if sorted(order) != list(AXES):
        raise CineError(f"argument order: found {order!r}, expected the letters x, y, z in some order")
    source = Path(source)
    if source.is_dir() and any(is_nifti(path) for path in source.iterdir()):
        return _read_nifti(source, venc, rr_ms)
    return _read_dicom(source, venc, order, rr_ms)


def corrected(
    measured: Measured, swap: bool = False, flip: str = "", unwrap: bool = False, offset: int = 0
) -> Measured:
    """Correct what a scanner or its export did to the velocities.

    Args:
        measured: What `read_measured` gave.
        swap: Whether to exchange the components along X and Y.
        flip: Letters of the components whose sign to turn, such as "xz".
        unwrap: Whether to undo wrapping.
        offset: Order of the polynomial of the background offset that is subtracted: 0 (none), 1 or 2.

    Raises:
        CineError: If an argument is wrong, or there is too little static tissue for a fit.
    """
    if not set(flip) <= set(AXES):
        raise CineError(f"argument flip: found {flip!r}, expected letters of x, y, z")
    velocity, venc = measured.velocity.copy(), list(measured.venc)
    sources = dict(measured.sources)
    magnitude = np.moveaxis(measured.study.magnitude, 3, 0)
    for axis, name in enumerate(tqdm(AXES, desc="Velocities", unit="component", disable=None) if unwrap else AXES):
        for z in range(velocity.shape[3]):
            component = np.moveaxis(velocity[axis, :, :, z], 2, 0)
            if unwrap:
                component = unwrapped(component, magnitude[..., z], venc[axis], measured.study.cyclic)
            if offset:
                component = component - background_offset(
                    component, magnitude[..., z], offset, f"slice {z + 1}, {name}"
                )
            velocity[axis, :, :, z] = np.moveaxis(component, 0, 2)
    if swap:
        velocity[[0, 1]], venc[:2] = velocity[[1, 0]], venc[1::-1]
    for name in flip:
        velocity[AXES.index(name)] *= -1
    for done, words in (
        (unwrap, "unwrapped in space and time"),
        (offset, f"background offset subtracted: polynomial of order {offset} on static tissue"),
        (swap, "x and y exchanged by argument swap"),
        (flip, f"sign of {flip} turned by argument flip"),
    ):
        if done:
            sources["corrections"] = "; ".join(filter(None, (sources.get("corrections"), words)))
    return Measured(measured.study, velocity, (venc[0], venc[1], venc[2]), sources)


def _read_nifti(folder: Path, venc: Sequence[float], rr_ms: float | None) -> Measured:
    found = sorted(p for p in folder.iterdir() if is_nifti(p) and stem(p).endswith("_magnitude"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CineError(f"{folder}: found the magnitude files {names}, expected one NAME_magnitude.nii.gz")
    if not venc:
        raise CineError(f"{folder}: NIfTI states no velocity encoding; give it as venc, such as 20,20,30 (cm/s)")
    name = stem(found[0]).removesuffix("_magnitude")
    study = read_nifti(found[0], rr_ms)
    velocity, stored = [], load_nifti(found[0])[1]
    for axis, speed in zip(AXES, venc, strict=True):
        path = next((p for p in folder.iterdir() if is_nifti(p) and stem(p) == f"{name}_phase_{axis}"), None)
        if path is None:
            raise CineError(f"{folder / name}_phase_{axis}.nii.gz: no such file; expected it beside the magnitude")
        raw, affine, _ = load_nifti(path)
        raw = raw if raw.ndim == 4 else raw[:, :, None]
        if raw.shape != study.shape or not np.allclose(affine, stored, atol=0.05):
            raise CineError(f"{path}: shape or affine differ from those of {found[0].name}")
        velocity.append(_arranged(decode(raw, speed, str(path)), stored, study.orientation_known))
    if study.orientation_known and not seen_from_apex(stored):
        velocity[0] = -velocity[0]
    sources = {"venc_cm_s": "argument venc", "directions": "NIfTI names; z taken as positive towards the apex"}
    return Measured(study, np.stack(velocity), (venc[0], venc[1], venc[2]), sources)


def _arranged(pixels: NDArray, affine: NDArray, known: bool) -> NDArray:
    """Pixels (X, Y, Z, T) in the order that `Study.arranged` gave the magnitude."""
    if known and not seen_from_apex(affine):
        pixels = pixels[::-1]
    return pixels[:, :, ::-1] if known and not base_first(affine) else pixels


def _read_dicom(source: Path, venc: Sequence[float], order: str, rr_ms: float | None) -> Measured:
    study = read_dicom(source, None, rr_ms)
    phases = [frame for frame in scan(source) if not frame.magnitude]
    groups = _components(source, phases)
    axes, signs, named = _directions(source, [e for e, _ in groups], order, study)
    shape = (3, *study.shape)
    velocity, speeds = np.empty(shape, np.float32), [0.0] * 3
    stated = []
    for axis, sign, (found, frames) in zip(axes, signs, groups, strict=True):
        speed = venc[axis] if venc else found.venc
        if speed is None:
            raise CineError(
                f"{frames[0].where}: no tag states the velocity encoding ((0018,9197), ASCCONV, (0051,1014), "
                "(0021,1129), (0019,10CC), (2001,101A), SequenceName); give it as venc, such as 20,20,30 (cm/s)"
            )
        choice, _ = select(source, [replace(frame, magnitude=True) for frame in frames])
        slices = [timed(plane, rr_ms) for plane in choice.planes]
        pixels = read_pixels(slices, lambda image, where: None)
        affine, _ = stack_affine([timing.frames for timing in slices])
        if pixels.shape != study.shape:
            raise CineError(
                f"{frames[0].where}: the phase series has shape {pixels.shape} (X, Y, Z, T), the magnitude "
                f"{study.shape}"
            )
        # Mirroring moves pixels; only a component along the stored X, not one along a stated vector, changes its sign.
        mirrored = not seen_from_apex(affine) and found.direction is None and axis == 0
        scaled = _scaled(pixels, frames[0], speed)
        velocity[axis] = (-sign if mirrored else sign) * _arranged(scaled, affine, study.orientation_known)
        speeds[axis] = speed
        stated.append(f"{AXES[axis]}: {speed:g} from {'argument venc' if venc else found.source}")
        if venc and found.venc is not None and abs(found.venc - speed) > 0.01 * speed:
            stated.append(f"{AXES[axis]}: {found.source} says {found.venc:g}")
    sources = {"venc_cm_s": "; ".join(stated), "directions": named}
    return Measured(study, velocity, (speeds[0], speeds[1], speeds[2]), sources)


def _components(source: Path, phases: list[Frame]) -> list[tuple[Encoding, list[Frame]]]:
    """Phase images by direction, in order of SeriesNumber."""
    headers: dict[Path, Dataset] = {}
    known: dict[tuple[str, int | None], Encoding] = {}
    groups: dict[object, list[Frame]] = defaultdict(list)
    derived: set[str] = set()  # our own results, sent back with the study
    for frame in sorted(phases, key=lambda f: (f.series_number or 0, f.series_uid)):
        # A classic series has one direction; an enhanced file states one for each frame.
        key = (frame.series_uid, frame.index)
        if key not in known:
            if frame.path not in headers:
                headers = {frame.path: pydicom.dcmread(frame.path, stop_before_pixels=True, force=True)}
            known[key] = encoding(headers[frame.path], frame.index)
            if DERIVED_BY_US in headers[frame.path].get("ImageType", ()):
                derived.add(frame.series_uid)
        if frame.series_uid in derived:
            continue
        found = known[key]
        vector = None if found.direction is None else tuple(found.direction.round(2).tolist())
        groups[vector or _direction_words(found.words) or frame.series_uid].append(frame)
    if len(groups) != 3:
        listed = "; ".join(f"{g[0].description!r} ({len(g)} images)" for g in groups.values()) or "none"
        raise CineError(
            f"{source}: found {len(groups)} phase directions ({listed}), expected three beside the magnitude"
        )
    return [(known[frames[0].series_uid, frames[0].index], frames) for frames in groups.values()]


def _direction_words(words: str) -> str:
    """Letters of a text such as "v20_rl" that name the direction."""
    match = re.search(r"v\d+(?:\.\d+)?_?([a-z]+)", words.lower())
    return match[1] if match else ""


def _directions(source: Path, found: list[Encoding], order: str, study: Study) -> tuple[list[int], list[int], str]:
    """Which axis each component is along, its sign, and how that is known."""
    if all(e.direction is not None for e in found):
        axes = (LPS_TO_RAS @ study.affine)[:3, :2] / np.asarray(study.spacing_mm[:2])
        frame = np.column_stack((axes, -np.cross(axes[:, 0], axes[:, 1])))
        dots = np.array([frame.T @ e.direction for e in found])
        along = np.abs(dots).argmax(1)
        if sorted(along) != [0, 1, 2] or np.abs(dots).max(1).min() < _ALONG:
            raise CineError(
                f"{source}: (0018,9090) VelocityEncodingDirection: found directions that are not along the image's "
                f"axes: {[e.direction.round(2).tolist() for e in found if e.direction is not None]}"
            )
        signs = [int(np.sign(dots[k, axis])) for k, axis in enumerate(along)]
        return along.tolist(), signs, "(0018,9090) VelocityEncodingDirection"
    through = [k for k, e in enumerate(found) if e.through_plane]
    numbers = [AXES.index(letter) for letter in order]
    if len(through) == 1:
        rest = iter(axis for axis in numbers if axis != 2)
        axes_found = [2 if k == through[0] else next(rest) for k in range(3)]
        words = f"'through' in the private text is z; the others by SeriesNumber, taken as {order.replace('z', '')}"
    else:
        axes_found, words = numbers, f"by SeriesNumber, taken as {order}"
    return axes_found, [1, 1, 1], f"{words}; signs as stored, z taken as positive towards the apex"


def _scaled(pixels: NDArray, frame: Frame, venc: float) -> NDArray[np.float32]:
    """Velocity in cm/s of rescaled pixels: the range of 12 bits is the range of phase, else the pixels are in mm/s."""
    header = pydicom.dcmread(frame.path, stop_before_pixels=True, force=True)
    bits, signed = int(header.BitsStored), bool(int(header.get("PixelRepresentation", 0)))
    slope, intercept = rescale(header, frame)
    if bits <= 12:
        low = intercept - (2 ** (bits - 1) * slope if signed else 0)
        return ((pixels - low) / (2**bits * slope) - 0.5).astype(np.float32) * np.float32(2 * venc)
    if np.abs(pixels).max() <= 10.2 * venc and "GE" in frame.vendor.upper():
        return (pixels / 10).astype(np.float32)  # GE: mm/s
    if pixels.min() >= -FULL_SCALE and pixels.max() < FULL_SCALE and np.array_equal(pixels, np.rint(pixels)):
        return decode(pixels, venc, frame.where)
    raise CineError(
        f"{frame.where}: found {bits}-bit phase from {pixels.min():g} to {pixels.max():g}, expected 12 bits, or "
        f"GE's mm/s within the venc of {venc:g} cm/s"
    )
