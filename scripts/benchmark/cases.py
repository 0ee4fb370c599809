"""What is measured on: slices whose truth is known, simulated or drawn by readers."""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.cine.nifti import is_nifti, load_nifti, stem
from scripts.cine.study import CineError, seen_from_apex
from scripts.phantom.cine import image_cines, image_stack
from scripts.training.losses import region
from scripts.training.sunnybrook import HELD_OUT, NOT_POOL, PIXEL_MM, RealSlice, load_cines, load_pairs

FRAMES = 54
"""Frames of a phantom's cycle; at gaps that do not divide it, the next smaller number that they do."""

SIZE = 128
"""Pixels along each side of a phantom slice."""

LEAST_FIELD_MM = 48.0
"""The network takes 32 pixels of 1.5 mm or more."""

NOISE_SEED = 10**6
"""Added to a heart's seed for its noise, so that no heart is drawn with the numbers of another one's noise."""

RAW_MEAN = 300.0
"""Mean raw value of a phantom picture of 12 bits, as ``python -m scripts phantom`` writes it."""

RAW_RANGE = 4095.0
"""Range of a 12-bit picture."""


@dataclass(frozen=True, eq=False)
class Case:
    """A slice cine with what is known of it.

    Attributes:
        name: what to call it.
        subject: whose it is; slices of one subject are not independent.
        frames: [T, X, Y] float32, as a scanner gives them, 12-bit raw values.
        truth: [T, X, Y] float32, what frames are compared with: without noise where that is known.
        labels: frame to [X, Y] uint8: 0 background, 1 myocardium, 2 pool, ``NOT_POOL`` (0 or 1).
        velocity: [3, T, X, Y] float32 along X, Y and towards the apex, cm/s at RR = 1000 ms; None where unknown.
        cyclic: whether the first frame follows the last; else the frames are single pictures.
        published: frame to [X, Y] uint8: labels of single pictures from masks as they were published, where ``labels``
            are those brought to where the same readers' contours lie.
    """

    name: str
    subject: str
    frames: Tensor
    truth: Tensor
    labels: dict[int, Tensor] = field(default_factory=dict)
    velocity: Tensor | None = None
    cyclic: bool = True
    published: dict[int, Tensor] = field(default_factory=dict)

    @property
    def has_ventricle(self) -> bool:
        """Whether any labelled frame shows a ventricle."""
        return any(bool((label == 2).any() | (label == 1).any()) for label in self.labels.values())

    @property
    def wall(self) -> Tensor:
        """[T, X, Y] float, 1 in the myocardium; every frame must be labelled."""
        return torch.stack([self.labels[t] == 1 for t in range(len(self.frames))]).float()

    def region(self) -> Tensor:
        """Where the ventricle is: within 6 mm of its labels, [T, X, Y] bool.

        Of a frame without labels it is where any labelled frame has the ventricle.
        """
        every = torch.stack(list(self.labels.values()))
        places = region(every[:, None])[:, 0].bool()
        result = places.any(0).expand(self.frames.shape).clone()
        for frame, place in zip(self.labels, places, strict=True):
            result[frame] = place if len(self.labels) == len(self.frames) else result[frame]
        return result


def phantom_case(seed: int, frames: int = FRAMES, size: int = SIZE) -> Case:
    """Draws a phantom slice; the same seed gives the same heart at any number of frames.

    Args:
        seed: seed of heart, scanner and noise.
        frames: frames of the cycle.
        size: pixels along each side.

    Returns:
        The slice with labels and velocities of every frame.
    """
    cine = image_cines(torch.Generator().manual_seed(seed), 1, frames, size)
    gain = RAW_MEAN / float(cine.magnitude.mean())
    name, noisy = f"phantom-{seed}", cine.scanned(torch.Generator().manual_seed(NOISE_SEED + seed))[0]
    return Case(name, name, noisy * gain, cine.magnitude[0] * gain, dict(enumerate(cine.labels[0])), cine.velocity[0])


def phantom_stack(seed: int, frames: int = FRAMES, size: int = SIZE) -> tuple[Tensor, int]:
    """Draws the whole stack, 8 to 10 mm a slice, that ``phantom_case`` of the same seed is a slice of.

    Args:
        seed: as of ``phantom_case``.
        frames: as of ``phantom_case``.
        size: as of ``phantom_case``.

    Returns:
        [Z, T, X, Y] float32, slices from base to apex, as a scanner gives them; and the number of the case's own one.
    """
    gap_mm = 8 + 2 * float(torch.rand(1, generator=torch.Generator().manual_seed(2 * NOISE_SEED + seed)))
    slices, own = image_stack(torch.Generator().manual_seed(seed), frames, size, gap_mm)
    gain = RAW_MEAN / float(slices[own].magnitude.mean())
    # The case's own slice has the case's own noise.
    seeds = [NOISE_SEED * (1 if z == own else 3 + z) + seed for z in range(len(slices))]
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    return torch.cat([cine.scanned(g) * gain for cine, g in zip(slices, generators, strict=True)]), own


def patient_cases(folder: str | Path, patients: tuple[str, ...] = HELD_OUT) -> list[Case]:
    """Reads patients: the Sunnybrook folders, or any studies with labels beside them.

    Args:
        folder: folder ``sunnybrook`` (cine, contours, edes), or a folder of cine ``NAME.nii.gz``, (X, Y, T) or
            (X, Y, Z, T), each with ``NAME_label.nii.gz`` (0, 1 myocardium, 2 pool; frames that are all 0 in every
            slice do not count) if there are labels.
        patients: of Sunnybrook, original ids.

    Returns:
        One case a slice.

    Raises:
        CineError: if there is nothing to measure on.
    """
    root = Path(folder)
    if (root / "cine").is_dir() and (root / "contours").is_dir():
        slices = load_cines(root, patients)
        still = set(patients) - {s.patient for s in slices}
        slices += [s for s in load_pairs(root) if s.patient in still] if still else []
        missing = still - {s.patient for s in slices}
        if missing or not slices:
            raise CineError(f"patients: found no {', '.join(sorted(missing))} in {root}, expected ids as in its README")
        return [_sunnybrook_case(s) for s in slices]
    found = sorted(p for p in root.glob("*.nii*") if is_nifti(p) and not stem(p).endswith("_label"))
    if not found:
        raise CineError(f"{root}: found no cine, expected the Sunnybrook folders or NAME.nii.gz with NAME_label.nii.gz")
    return [case for path in found for case in _study_cases(path)]


def _sunnybrook_case(item: RealSlice) -> Case:
    published = {f: torch.where(mask, 2, NOT_POOL).to(torch.uint8) for f, mask in item.published.items()}
    name = f"{item.patient}/{item.index}"
    return Case(name, item.patient, item.frames, item.frames, item.labels, None, item.cyclic, published)


def _study_cases(path: Path) -> list[Case]:
    name, (pixels, affine, _) = stem(path), load_nifti(path)
    cine = _four_axes(pixels, path)
    labels: np.ndarray | None = None
    beside = next(iter(sorted(path.parent.glob(f"{glob.escape(name)}_label.nii*"))), None)
    if beside is not None:
        labels = _four_axes(load_nifti(beside)[0], beside)
        if labels.shape != cine.shape:
            raise CineError(f"{beside}: found shape {labels.shape}, expected {cine.shape} as {path}")
    if not seen_from_apex(affine):  # the network expects this view; labels go with their pictures
        cine, labels = cine[::-1], None if labels is None else labels[::-1]
    counted = [] if labels is None else [t for t in range(labels.shape[3]) if labels[..., t].any()]
    x, y = (float(mm) for mm in np.linalg.norm(affine[:3, :2], axis=0))
    field = min(cine.shape[0] * x, cine.shape[1] * y)
    if field < LEAST_FIELD_MM:
        raise CineError(f"{path}: found a field of {field:.0f} mm, expected at least {LEAST_FIELD_MM:.0f} mm each way")
    cases = []
    for z in range(cine.shape[2]):
        frames = _to_grid(cine[:, :, z], (x, y), "bilinear")
        marks: dict[int, Tensor] = {}
        if labels is not None:
            marks = {t: _to_grid(labels[:, :, z, t, None], (x, y), "nearest")[0].to(torch.uint8) for t in counted}
        cases.append(Case(f"{name}/{z}", name, frames, frames, marks))
    return cases


def _four_axes(pixels: np.ndarray, path: Path) -> np.ndarray:
    """(X, Y, T) or (X, Y, Z, T) to (X, Y, Z, T), at least three frames."""
    pixels = pixels[:, :, None] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[3] < 3:
        raise CineError(f"{path}: found shape {pixels.shape}, expected (X, Y, T) or (X, Y, Z, T), T at least 3")
    return pixels


def _to_grid(stack: np.ndarray, spacing_mm: tuple[float, float], mode: str) -> Tensor:
    """(X, Y, T) at any spacing to [T, X, Y] at the network's."""
    tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(stack, 2, 0), np.float32))[:, None]
    size = [round(n * mm / PIXEL_MM) for n, mm in zip(tensor.shape[-2:], spacing_mm, strict=True)]
    corners = {"align_corners": False} if mode == "bilinear" else {}
    return F.interpolate(tensor, size=size, mode=mode, **corners)[:, 0]
