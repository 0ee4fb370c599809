"""Measured 3Dir MVM studies in: magnitude and three phase images become a study with velocities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from tqdm import tqdm

from .dicom import LPS_TO_RAS, read_pixels, stack_affine, study_of
from .dicom_scan import DERIVED_BY_US, Frame, scan
from .dicom_select import select
from .dicom_stacks import SAME_PLACE_MM, alike, series_number
from .dicom_timing import Timing, timed
from .nifti import is_nifti, load_nifti, read_nifti, stem
from .phase import background_offset, decode, decode_dicom, unwrapped
from .study import CineError, Study, base_first, require_rr, seen_from_apex
from .venc import GE_DIRECTIONS, Encoding, encoding, is_ge, odd_one_out

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
    series: str | int | None = None,
) -> Measured:
    """Read magnitude and three phases.

    Args:
        source: DICOM folder or file, or folder with NAME_magnitude and NAME_phase_x, _y, _z as NIfTI (12-bit phase).
        venc: Velocity encoding along X, Y and the long axis, cm/s, in place of what the tags say; NIfTI needs it.
        order: Which components the phase series are, by SeriesNumber or GE's codes, where no tag states a direction.
        rr_ms: RR interval in ms, in place of what the source says.
        series: Which magnitude cine of a DICOM source, as `read_dicom` takes it; by default the one at the phases'
            places with as many frames, of several the last series before the phases.

    Raises:
        CineError: If an image is missing, the venc is not known, or images do not belong together.
    """
    if venc and (len(venc) != 3 or not all(0 < speed < np.inf for speed in venc)):
        raise CineError(f"argument venc: found {tuple(venc)}, expected three velocities above 0 in cm/s: 20,20,30")
    if sorted(order) != list(AXES):
        raise CineError(f"argument order: found {order!r}, expected the letters x, y, z in some order")
    source = Path(source)
    if rr_ms is not None:
        rr_ms = require_rr(rr_ms)
    if is_nifti(source):
        raise CineError(f"{source}: found one NIfTI file, expected the folder that holds magnitude and phases")
    if source.is_dir() and any(is_nifti(path) for path in source.iterdir()):
        return _read_nifti(source, venc, rr_ms)
    return _read_dicom(source, venc, order, rr_ms, series)


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


def _read_dicom(
    source: Path, venc: Sequence[float], order: str, rr_ms: float | None, series: str | int | None
) -> Measured:
    images = scan(source)
    groups = _components(source, [frame for frame in images if not frame.magnitude])
    magnitudes = [frame for frame in images if frame.magnitude]
    if series is None:
        found = _beside(magnitudes, groups)
        slices, notes = _slices(source, _joined(found), rr_ms)
        notes += _left_aside(magnitudes, found)
    else:
        slices, notes = _slices(source, magnitudes or images, rr_ms, series)
    study, stored = study_of(slices, "DICOM, measured phase contrast", notes)
    axes, signs, named = _directions(source, [e for e, _ in groups], order, study)
    velocity, speeds = np.empty((3, *study.shape), np.float32), [0.0] * 3
    stated = []
    for axis, sign, (stating, frames) in zip(axes, signs, groups, strict=True):
        speed = venc[axis] if venc else stating.venc
        if speed is None:
            raise CineError(
                f"{frames[0].where}: no tag states the velocity encoding ((0018,9197), ASCCONV, (0051,1014), "
                "(0021,1129), (0019,10CC), (2001,101A), SequenceName); give it as venc, such as 20,20,30 (cm/s)"
            )
        slices, _ = _slices(source, _joined(frames), rr_ms)
        pixels = read_pixels(slices, lambda image, where: None)
        affine, _ = stack_affine([timing.frames for timing in slices])
        if pixels.shape != study.shape:
            raise CineError(
                f"{frames[0].where}: the phase series has shape {pixels.shape} (X, Y, Z, T), the magnitude "
                f"{study.shape}"
            )
        if not np.allclose(affine, stored, atol=[0.05, 0.05, 0.05, SAME_PLACE_MM]):
            raise CineError(f"{frames[0].where}: the phase series lies elsewhere than the magnitude")
        # Mirroring moves pixels; only a component along the stored X, not one along a stated vector, changes its sign.
        mirrored = not seen_from_apex(affine) and stating.direction is None and axis == 0
        scaled = decode_dicom(pixels, frames[0], speed)
        velocity[axis] = (-sign if mirrored else sign) * _arranged(scaled, affine, study.orientation_known)
        speeds[axis] = speed
        stated.append(f"{AXES[axis]}: {speed:g} from {'argument venc' if venc else stating.source}")
        if venc and stating.venc is not None and abs(stating.venc - speed) > 0.01 * speed:
            stated.append(f"{AXES[axis]}: {stating.source} says {stating.venc:g}")
    sources = {"venc_cm_s": "; ".join(stated), "directions": named}
    doubt = "" if groups[0][0].direction is not None else odd_one_out([groups[axes.index(k)][0].venc for k in range(3)])
    study = replace(study, notes=(*study.notes, doubt)) if doubt else study
    return Measured(study, velocity, (speeds[0], speeds[1], speeds[2]), sources)


def _joined(frames: list[Frame]) -> list[Frame]:
    """Images that are known to belong together, as one series of magnitude images, which `select` takes as it is."""
    return [replace(frame, magnitude=True, series_uid="", description="") for frame in frames]


def _slices(
    source: Path, frames: list[Frame], rr_ms: float | None, series: str | int | None = None
) -> tuple[list[Timing], list[str]]:
    """Short-axis cine among images, its frames in order, and notes on the choice."""
    choice, notes = select(source, frames, series)
    return [timed(plane, rr_ms) for plane in choice.planes], notes


def _beside(magnitudes: list[Frame], groups: list[tuple[Encoding, list[Frame]]]) -> list[Frame]:
    """Magnitude images that belong to the phases: at their places, with as many frames, of the series before them."""
    places, chosen = _places(magnitudes), []
    for phases in _places(frame for _, frames in groups for frame in frames):
        count = sum(_together(frame, phases[0]) for frame in groups[0][1])
        here = next((place for place in places if _together(place[0], phases[0])), [])
        series = [frames for frames in _by_series(here) if len(frames) == count]
        if not series:
            raise CineError(
                f"{phases[0].where}: found no magnitude cine of {count} frames at the place of this phase image, "
                "expected one beside the three phases"
            )
        first = min(series_number(frame) for frame in phases)
        before = [frames for frames in series if series_number(frames[0]) <= first]
        chosen += before[-1] if before else series[0]
    return chosen


def _left_aside(magnitudes: list[Frame], taken: list[Frame]) -> list[str]:
    """A note on other magnitude series than those taken."""
    others = {frame.series_uid for frame in magnitudes} - {frame.series_uid for frame in taken}
    numbers = ", ".join(str(series_number(series[0])) for series in _by_series(taken))
    return [f"magnitude from series {numbers}; {len(others)} other magnitude series left aside"] if others else []


def _places(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Images by place: one plane, one size."""
    places: list[list[Frame]] = []
    for frame in frames:
        place = next((place for place in places if _together(place[0], frame)), None)
        if place is None:
            places.append([frame])
        else:
            place.append(frame)
    return places


def _together(a: Frame, b: Frame) -> bool:
    return alike(a, b) and bool((np.abs(a.position - b.position) < SAME_PLACE_MM).all())


def _by_series(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Images by series, in order of SeriesNumber and InstanceNumber."""
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: (series_number(frame), frame.series_uid, frame.instance or 0)):
        series[frame.series_uid].append(frame)
    return list(series.values())


def _components(source: Path, phases: list[Frame]) -> list[tuple[Encoding, list[Frame]]]:
    """Phase images by direction, in the order of GE's codes, else of SeriesNumber.

    What tells directions apart, the first that finds three of them at every place: stated vectors, the vendor's words,
    SeriesDescription, the order of the series at each place.
    """
    known = _encodings(phases)
    frames = [frame for series in _by_series(phases) for frame in series if frame in known]
    places = _places(frames)
    ranks = {frame: rank for place in places for rank, one in enumerate(_by_series(place)) for frame in one}
    splits: list[list[list[Frame]]] = []
    keys: tuple[Callable[[Frame], Hashable], ...] = (
        lambda frame: known[frame].vector,
        lambda frame: known[frame].word,
        lambda frame: frame.description,
        lambda frame: ranks[frame],
    )
    for key in keys:
        groups: dict[Hashable, list[Frame]] = defaultdict(list)
        for frame in frames:
            groups[key(frame)].append(frame)
        splits.append(list(groups.values()))
        if len(groups) == 3 and all(len(_places(group)) == len(places) for group in groups.values()):
            found = [(known[group[0]], group) for group in groups.values()]
            return sorted(found, key=lambda f: GE_DIRECTIONS.index(f[0].word) if f[0].word in GE_DIRECTIONS else -1)
    best = min(splits, key=lambda split: abs(len(split) - 3))
    listed = "; ".join(f"{group[0].description!r} ({len(group)} images)" for group in best) or "none"
    raise CineError(
        f"{source}: found {len(best)} phase directions ({listed}), expected three beside the magnitude, each at "
        f"{len(places)} place(s)"
    )


def _encodings(phases: list[Frame]) -> dict[Frame, Encoding]:
    """What the headers say of velocity; without our own results, sent back with the study."""
    headers: dict[Path, Dataset] = {}
    read: dict[tuple[str, int | None, Path | None], Encoding | None] = {}
    for frame in phases:
        key = _encoding_key(frame)
        if key not in read:
            if frame.path not in headers:
                headers = {frame.path: pydicom.dcmread(frame.path, stop_before_pixels=True, force=True)}
            header = headers[frame.path]
            read[key] = None if DERIVED_BY_US in header.get("ImageType", ()) else encoding(header, frame.index)
    return {frame: found for frame in phases if (found := read[_encoding_key(frame)]) is not None}


def _encoding_key(frame: Frame) -> tuple[str, int | None, Path | None]:
    """A classic series has one direction, but GE's may hold all; an enhanced file states one for each frame."""
    return frame.series_uid, frame.index, frame.path if is_ge(frame.vendor) else None


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
    words = [e.word for e in found]
    # Of rl, ap and fh, which Siemens takes from the nearest body axes, fh is the one through a transverse plane.
    through = [k for k, e in enumerate(found) if e.through_plane] or [k for k in range(3) if words[k] in ("fh", "hf")]
    axes_found = [AXES.index(letter) for letter in order]
    if len(through) == 1 and len(set(words)) == 3:
        rest = iter(axis for axis in axes_found if axis != 2)
        axes_found = [2 if k == through[0] else next(rest) for k in range(3)]
        named = f"{words[through[0]]!r} in the private text is z; the others by SeriesNumber, taken as "
        named += order.replace("z", "")
    elif tuple(words) == GE_DIRECTIONS:
        named = f"(0043,1030), GE: {', '.join(GE_DIRECTIONS)}, taken as {order}"
    else:
        named = f"by SeriesNumber, taken as {order}"
    return axes_found, [1, 1, 1], f"{named}; signs as stored, z taken as positive towards the apex"
