"""Real short-axis cine with manual contours: the Sunnybrook Cardiac Data (CC0), brought to the network's grid.

Source: Radau et al., MIDAS Journal 2009, hdl.handle.net/10380/3070. Not part of this repository.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, shift
from skimage.draw import polygon2mask
from skimage.io import imread
from torch import Tensor
from tqdm import tqdm

PIXEL_MM = 1.5
SOURCE_PIXEL_MM = 1.367188
FRAMES = 20
CINES = {"SCD0000101": "SC-HF-I-01", "SCD0000201": "SC-HF-I-02", "SCD0000501": "SC-HF-I-06"}

HELD_OUT = ("SC-HF-I-02", "SC-N-03", "SC-HF-NI-12", "SC-HYP-12", "SC-HF-I-40", "SC-N-11")
"""Patients that training never sees: one cine with both contours, and five more, of all four groups."""

NOT_POOL = 3
"""Label of a pixel that is background or myocardium: where only the endocardium was drawn."""

UNKNOWN = 255
"""Label of a pixel that nobody looked at."""

# The contours' origin, seen from the pictures' edges: about one pixel off, more on one patient.
ORIGIN = (1.0, 1.0)
OFFSETS = {"SC-HF-I-01": (2.0, 1.5)}

# The masks are the same contours, drawn with their border: too large all around, and from an origin
# of their own.
MASK_ORIGIN = (0.75, 0.75)
MASK_BORDER = 0.3


@dataclass
class RealSlice:
    """One slice of one patient.

    Attributes:
        patient: original id, such as SC-HF-I-01.
        index: slice number as in the file names.
        frames: [T, X, Y] float32, magnitude; 20 frames of a cine, or 2 (end-diastole, end-systole).
        labels: frame number to uint8 [X, Y]: 0 background, 1 myocardium, 2 pool, ``NOT_POOL``, ``UNKNOWN``.
        cyclic: whether the frames are a whole cycle.
        published: frame number to bool [X, Y]: the endocardial mask of a single picture as it was published.
    """

    patient: str
    index: int
    frames: Tensor
    cyclic: bool
    labels: dict[int, Tensor] = field(default_factory=dict)
    published: dict[int, Tensor] = field(default_factory=dict)


def to_grid(image: np.ndarray, pixel_mm: float = SOURCE_PIXEL_MM) -> Tensor:
    """Resamples an image to the network's spacing.

    Args:
        image: [rows, columns] array.
        pixel_mm: its pixel size, mm.

    Returns:
        [X, Y] float32 (columns, rows) at 1.5 mm.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(image.T.astype(np.float32)))[None, None]
    size = [round(n * pixel_mm / PIXEL_MM) for n in tensor.shape[-2:]]
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=False, antialias=False)[0, 0]


def _contours(root: Path, patient: str) -> dict[tuple[int, int, str], np.ndarray]:
    """Polygons in rows and columns by slice, frame, and kind (i: endocardium, o: epicardium)."""
    found = {}
    offset = OFFSETS.get(patient, ORIGIN)
    for path in sorted((root / "contours" / patient).glob("*contour-manual.txt")):
        match = re.match(r"IM-0001-(\d+)-([io])contour", path.name)
        if match:
            number = int(match[1]) - 1
            points = np.loadtxt(path) - offset
            found[number // FRAMES, number % FRAMES, match[2]] = points[:, ::-1]
    return found


def _mask(polygon: np.ndarray, shape: tuple[int, int] = (256, 256)) -> Tensor:
    return to_grid(polygon2mask(shape, polygon).astype(np.float32)) > 0.5


def _without_border(mask: np.ndarray) -> Tensor:
    """Brings a mask of the endocardium to where the contour that it was drawn from lies in the picture."""
    inside = distance_transform_edt(mask) - distance_transform_edt(~mask)
    # The distance to the nearest pixel of the other side: the border lies half-way to it.
    level = np.where(inside > 0, inside - 0.5, inside + 0.5)
    return to_grid(shift(level, (-MASK_ORIGIN[1], -MASK_ORIGIN[0]), order=1, mode="nearest")) > MASK_BORDER


def _label(inner: Tensor, outer: Tensor | None) -> Tensor:
    if outer is None:
        return torch.where(inner, 2, NOT_POOL).to(torch.uint8)
    return outer.to(torch.uint8) + (outer & inner).to(torch.uint8)


def load_cines(root: Path, patients: tuple[str, ...] | None = None) -> list[RealSlice]:
    """Reads the cine of three patients with their contours.

    Args:
        root: folder ``sunnybrook``.
        patients: original ids to read; None reads all.

    Returns:
        All their slices, 20 frames each.

    Raises:
        FileNotFoundError: if the folder holds no cine.
    """
    if not (root / "cine").is_dir():
        raise FileNotFoundError(f"{root}: expected the Sunnybrook folders cine, contours and edes")
    slices = []
    for folder, patient in CINES.items():
        if patients is not None and patient not in patients:
            continue
        paths = sorted((root / "cine" / folder).glob("*.dcm"), key=lambda p: int(p.stem))
        images = [to_grid(pydicom.dcmread(p).pixel_array) for p in tqdm(paths, desc=patient, leave=False)]
        stack = torch.stack(images).unflatten(0, (-1, FRAMES))
        contours = _contours(root, patient)
        for index in range(stack.shape[0]):
            item = RealSlice(patient, index, stack[index], True)
            for (s, frame, kind), polygon in contours.items():
                if s == index and kind == "i":
                    outer = contours.get((s, frame, "o"))
                    item.labels[frame] = _label(_mask(polygon), None if outer is None else _mask(outer))
            if not item.labels:
                # The readers drew the ventricle wherever it was: a slice without a contour shows none.
                item.labels = {f: torch.zeros(stack.shape[-2:], dtype=torch.uint8) for f in range(FRAMES)}
            slices.append(item)
    return slices


def load_pairs(root: Path) -> list[RealSlice]:
    """Reads end-diastolic and end-systolic pictures of 32 patients with their endocardial masks.

    Args:
        root: folder ``sunnybrook``.

    Returns:
        One item a slice; its frames are end-diastole and, where there is one, end-systole.
    """
    groups: dict[tuple[str, int], list[Path]] = {}
    for path in sorted((root / "edes" / "images").glob("*.png")):
        match = re.match(r"(.+)-IM-0001-(\d+)", path.name)
        if match:
            groups.setdefault((match[1], (int(match[2]) - 1) // FRAMES), []).append(path)
    contours = {p.name: _contours(root, p.name) for p in (root / "contours").iterdir()}
    slices = []
    for (patient, index), paths in groups.items():
        frames = []
        for path in paths:
            number = int(re.search(r"-(\d+)\.dcm", path.name)[1]) - 1  # type: ignore[index]
            drawn = contours.get(patient, {})
            polygon, outer = drawn.get((index, number % FRAMES, "i")), drawn.get((index, number % FRAMES, "o"))
            mask = imread(root / "edes" / "endo_masks" / path.name) > 0
            inner = _without_border(mask) if polygon is None else _mask(polygon)
            label = _label(inner, None if outer is None else _mask(outer))
            frames.append((int(inner.sum()), to_grid(imread(path)), label, to_grid(mask.astype(np.float32)) > 0.5))
        frames = [f for f in sorted(frames, key=lambda f: -f[0]) if f[0] >= 12]
        if frames:
            item = RealSlice(patient, index, torch.stack([f[1] for f in frames]), False)
            item.labels = {k: f[2] for k, f in enumerate(frames)}
            item.published = {k: f[3] for k, f in enumerate(frames)}
            slices.append(item)
    return slices
