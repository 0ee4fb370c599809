"""Velocity maps in: what inference or a conversion of measured data wrote becomes one checked object."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from scripts.cine.folder import MANIFEST
from scripts.cine.manifest import read_manifest
from scripts.cine.nifti import SUFFIXES, UNREADABLE
from scripts.cine.study import CineError, base_first, require_rr, seen_from_apex, spacing_of

from .review import with_reviewed

MYOCARDIUM, POOL = 1, 2
VELOCITIES = ("velocity_x", "velocity_y", "velocity_z")
#: What inference.json writes into the description in the header of what it makes of a cine that ends before the beat,
#: and the RR interval in ms, if it was given one.
NOT_CYCLIC = re.compile(r"not cyclic(?:, RR (\d+))?")


@dataclass(frozen=True, eq=False)
class Maps:
    """A cine with labels and velocities, slices from base to apex, viewed from the apex (X x Y points to the base).

    Attributes:
        name: Name of the study's files; no patient's name.
        magnitude: Shape (T, X, Y, Z), float32, any scale.
        labels: 0, 1 myocardium, 2 blood pool of the left ventricle, shape (T, X, Y, Z), uint8.
        velocity: Along +X, +Y and towards the apex, shape (3, T, X, Y, Z), float32, cm/s.
        acquired: Whether a frame was acquired, not interpolated, shape (T,), bool.
        rr_ms: RR interval of each slice, shape (Z,), ms.
        spacing_mm: Pixel size along X and Y, distance between slices, mm.
        affine: Voxel to patient, shape (4, 4), RAS, mm.
        kind: "synthesised" or "measured".
        frame_duration_ms: Time from frame to frame in each slice, shape (Z,), ms.
        cyclic: Whether the first frame follows the last.
        view_known: False if the files have no patient orientation; then the view is as stored.
        venc: Velocity encoding along X, Y and the long axis, cm/s; None if the velocities were not measured.
        label_source: "predicted" by the network, "reviewed" by a reader, or "given" with measured velocities.
        notes: What a reader should know.
        sources: Which tag or header field each value came from.
    """

    name: str
    magnitude: NDArray[np.float32]
    labels: NDArray[np.uint8]
    velocity: NDArray[np.float32]
    acquired: NDArray[np.bool_]
    rr_ms: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    kind: str
    frame_duration_ms: NDArray[np.float64]
    cyclic: bool = True
    view_known: bool = True
    venc: tuple[float, float, float] | None = None
    label_source: str = "predicted"
    notes: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.magnitude.shape
        if len(shape) != 4 or shape[0] < 3:
            raise CineError(f"magnitude: found shape {shape}, expected (T, X, Y, Z) with at least 3 frames")
        expected = {
            "labels": shape,
            "velocity": (3, *shape),
            "acquired": shape[:1],
            "rr_ms": shape[3:],
            "frame_duration_ms": shape[3:],
        }
        for name, size in expected.items():
            found = getattr(self, name).shape
            if found != size:
                raise CineError(f"{name}: found shape {found}, expected {size}")
        if not np.isfinite(self.velocity).all() or not np.isfinite(self.magnitude).all():
            raise CineError("velocity, magnitude: found NaN or infinite values, expected finite ones")
        if self.labels.max(initial=0) > POOL:
            found = np.unique(self.labels).tolist()
            raise CineError(f"labels: found values {found}, expected 0, 1 (myocardium), 2 (blood pool)")
        for z, rr in enumerate(self.rr_ms):
            require_rr(float(rr), f"slice {z + 1}")

    @property
    def times_ms(self) -> NDArray[np.float64]:
        """Time of each frame after the first one, shape (Z, T), ms."""
        return self.frame_duration_ms[:, None] * np.arange(len(self.magnitude))

    def ended(self) -> Maps:
        """The same without frames behind the last acquired one of a cine that is not cyclic: nothing lies beyond."""
        last = int(np.flatnonzero(self.acquired)[-1]) + 1
        if self.cyclic or last == len(self.acquired):
            return self
        stacks = {name: getattr(self, name)[:last] for name in ("magnitude", "labels", "acquired")}
        return replace(self, **stacks, velocity=self.velocity[:, :last])


def load_maps(folder: str | Path, labels: str | Path | None = None) -> Maps:
    """Read what `python -m scripts infer`, `python -m scripts measured` or the bundle's inference wrote.

    A file that is stored mirrored (viewed from the base) is mirrored back, a stack from apex to base is reversed, so
    that Maps are always as their docstring says. Those of a cine that ends before the next beat end with its last
    acquired frame.

    Args:
        folder: Folder with NAME_cine, NAME_label, NAME_velocity_x, _y, _z; `folder/NAME` if it holds several names.
        labels: Reviewed labels in place of NAME_label: a NIfTI file, or a folder that holds NAME_label. On the grid of
            the cine, with as many frames as the cine or as were acquired; corrections of acquired frames are carried
            to the frames between them. Slices that NAME_review.json beside it names as missing stay predicted.

    Raises:
        CineError: If a file is missing, unreadable, or does not fit the others.
    """
    root, name = _named(Path(folder))
    files = {key: _file(root, f"{name}_{key}") for key in ("cine", "label", *VELOCITIES)}
    cine, affine, header = _image(files["cine"])
    label, *velocity = (_image(files[key], cine.shape, affine)[0] for key in ("label", *VELOCITIES))
    frames = cine.shape[3]
    manifest = _manifest(root, name)
    stated = manifest.get("velocity", {})
    pred = _file(root, f"{name}_pred", optional=True)
    keys = _image(pred, cine.shape[:3])[0].shape[3] if pred else frames
    if frames % keys:
        raise CineError(f"{pred}: found {keys} frames, expected a divisor of the {frames} frames of {files['cine']}")
    acquired = np.arange(frames) % (frames // keys) == 0
    step, rr, cyclic, doubts = _timing(manifest, header, frames, keys, cine.shape[2], files["cine"])
    source = str(stated.get("labels", "predicted"))
    notes = (*manifest.get("notes", ()), *doubts)
    if labels is not None:
        path = Path(labels)
        path = _file(path, f"{name}_label") if path.is_dir() else path
        reviewed = with_reviewed(label, _image(path, cine.shape[:3], affine)[0], acquired, str(path), cyclic)
        missing = _not_reviewed(path.parent / f"{name}_review.json", cine.shape[2])
        reviewed[:, :, missing] = label[:, :, missing]
        label, source = reviewed, "reviewed"
        if missing:
            notes += (f"nobody reviewed slice {', '.join(map(str, missing))} (as stored, from 0): predicted labels",)
    known = bool(manifest.get("orientation_known", int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0))
    pixels, slices = slice(None), slice(None)
    if known and not seen_from_apex(affine):
        pixels, velocity[0] = slice(None, None, -1), -velocity[0]
        affine[:3, 3] += (cine.shape[0] - 1) * affine[:3, 0]
        affine[:3, 0] *= -1
    if known and not base_first(affine):
        slices = slice(None, None, -1)
        affine[:3, 3] += (cine.shape[2] - 1) * affine[:3, 2]
        affine[:3, 2] *= -1

    def framed(stack: NDArray, dtype: type) -> NDArray:
        return np.ascontiguousarray(np.moveaxis(stack[pixels, :, slices], 3, 0), dtype)

    venc = stated.get("venc_cm_s")
    return Maps(
        name=name,
        magnitude=framed(cine, np.float32),
        labels=framed(label, np.uint8),
        velocity=np.stack([framed(component, np.float32) for component in velocity]),
        acquired=acquired,
        rr_ms=rr[slices],
        spacing_mm=spacing_of(affine),
        affine=affine,
        kind=str(stated.get("kind", "synthesised")),
        frame_duration_ms=step[slices],
        cyclic=cyclic,
        view_known=known,
        venc=None if venc is None else (float(venc[0]), float(venc[1]), float(venc[2])),
        label_source=source,
        notes=notes,
        sources={**manifest.get("provenance", {}), **stated.get("sources", {})},
    ).ended()


def _not_reviewed(record: Path, slices: int) -> list[int]:
    """Slices that `python -m scripts label collect` names as missing in NAME_review.json; none without that file."""
    if not record.is_file():
        return []
    try:
        missing = json.loads(record.read_text(encoding="utf-8"))["missing_slices"]
    except (ValueError, KeyError, TypeError) as error:
        raise CineError(f"{record}: cannot be read ({error!r}), expected what `label collect` wrote") from error
    if not all(isinstance(z, int) and 0 <= z < slices for z in missing):
        raise CineError(f"{record}: found missing_slices {missing}, expected slices from 0 to {slices - 1}")
    return list(missing)


def _named(folder: Path) -> tuple[Path, str]:
    """Folder and name of the study; `folder` may be the folder alone if it holds one study."""
    if not folder.is_dir():
        if folder.parent.is_dir() and _file(folder.parent, f"{folder.name}_cine", optional=True):
            return folder.parent, folder.name
        raise CineError(
            f"{folder}: no such folder, and no {folder.name}_cine.nii.gz; expected what `python -m scripts infer` wrote"
        )
    found = {p.name.removesuffix(end): 0 for p in folder.iterdir() for end in (f"_cine{s}" for s in SUFFIXES)
             if p.name.endswith(end) and p.name[0] != "."}  # fmt: skip
    whole = [n for n in found if all(_file(folder, n + end, optional=True) for end in ("_label", "_velocity_x"))]
    if len(whole) == 1:  # the study that inference was given may lie beside what it made of it
        return folder, whole[0]
    if len(found) != 1:
        words = f"{len(found)} studies ({', '.join(sorted(found)[:10])})" if found else "no NAME_cine.nii.gz"
        hint = f"; name one: {folder / min(found)}" if found else ", NAME_label, NAME_velocity_x, _y, _z"
        raise CineError(f"{folder}: found {words}, expected one study as inference writes it{hint}")
    return folder, next(iter(found))


def _file(folder: Path, name: str, optional: bool = False) -> Any:
    path = next((folder / (name + suffix) for suffix in SUFFIXES if (folder / (name + suffix)).is_file()), None)
    if path is None and not optional:
        raise CineError(f"{folder / name}.nii.gz: no such file; expected it beside the others of the study")
    return path


def _image(path: Path, shape: tuple[int, ...] = (), affine: NDArray | None = None) -> tuple[NDArray, NDArray, Any]:
    """Pixels (X, Y, Z, T), affine, header; on the grid that is given."""
    try:
        image = nib.load(path)
        pixels = np.asanyarray(image.dataobj)
    except UNREADABLE as error:
        raise CineError(
            f"{path}: cannot be read as NIfTI; the file is missing, truncated or damaged ({error})"
        ) from error
    if pixels.ndim == 3:
        pixels = pixels[:, :, None]
    if pixels.ndim != 4:
        raise CineError(f"{path}: found shape {pixels.shape}, expected (X, Y, T) or (X, Y, Z, T)")
    if pixels.shape[: len(shape)] != shape:
        raise CineError(f"{path}: found shape {pixels.shape}, expected {shape} as in the study's cine")
    if affine is not None and not np.allclose(image.affine, affine, atol=0.05):
        raise CineError(
            f"{path}: lies elsewhere than the study's cine: found the affine {image.affine.round(2).tolist()}, "
            f"expected {affine.round(2).tolist()}"
        )
    return pixels, np.array(image.affine, float), image.header


def _manifest(root: Path, name: str) -> dict[str, Any]:
    """`study.json`, if it is of this study."""
    path = root / MANIFEST
    content = read_manifest(path) if path.is_file() else {}
    return content if str(content.get("image", "")).removesuffix(".gz").removesuffix(".nii") == name else {}


def _timing(
    manifest: dict[str, Any], header: Any, frames: int, keys: int, slices: int, path: Path
) -> tuple[NDArray, NDArray, bool, list[str]]:
    """Frame duration and RR of each slice, ms, whether the cine is cyclic, and what a reader should know of it."""
    if manifest:
        beside = path.parent / MANIFEST
        try:
            shape = list(manifest["shape"][2:])
            step = np.asarray(manifest["frame_duration_ms"], float) * (keys / frames)
            each, cyclic = np.asarray(manifest["rr_ms"], float), bool(manifest["cyclic"])
            late = np.asarray(manifest["frame_times_ms"], float)[:, 0]
            fits = shape == [slices, keys] and step.shape == each.shape == late.shape == (slices,)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CineError(f"{beside}: a field is missing or malformed ({error!r})") from error
        if not fits:
            raise CineError(f"{beside}: found slices and frames {shape}, but {[slices, keys]} in {path.name}")
        words = f"the first frames lie up to {late.max():.0f} ms after the R wave: times count from them, not from it"
        return step, each, cyclic, [words] if (late > step * (frames / keys) / 2).any() else []
    duration = float(header["pixdim"][4]) * (1.0 if header.get_xyzt_units()[1] == "msec" else 1000.0)
    covered = require_rr(duration * frames, f"{path}: {frames} frames of pixdim[4] = {duration:g} ms")
    ends = NOT_CYCLIC.search(header["descrip"].item().decode("utf-8", "replace"))
    rr = float(ends[1]) if ends and ends[1] else covered
    words = f"the RR interval is not known: taken as the {covered:.0f} ms that the cine covers, which is too short"
    return np.full(slices, duration), np.full(slices, rr), not ends, [words] if ends and not ends[1] else []
