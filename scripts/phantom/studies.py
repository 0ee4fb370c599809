"""Whole phantom studies on disk: an ordinary cine, the 3Dir MVM scan of the same heart, and the truth."""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydicom.uid import generate_uid
from torch import Tensor
from tqdm import tqdm

from scripts.cine.nifti import write_nifti
from scripts.cine.study import APEX_TO_BASE, CineError
from scripts.cine.write_dicom import Direction, Style, write_dicom_series

from .anatomy import draw_anatomy, film
from .cine import pixel_axes
from .draw import Dice, Ranges, draw_heart
from .scanner import acquire, add_noise, decode_phase, draw_scanner, encode_phase

VENC: dict[Direction, float] = {"x": 20.0, "y": 20.0, "z": 30.0}
"""Velocity encoding of the three directions, cm/s, as in the field's studies."""

STACKS = ("levels", "full")
FORMATS = ("nifti", "dicom")
STYLES: tuple[Style, ...] = ("ge", "siemens", "enhanced")
SUBSLICES = 3
FULL_PIXELS, FULL_PIXEL_MM = 160, (1.25, 1.75)

Item = TypeVar("Item")


def write_phantom_studies(
    out: str,
    studies: int = 1,
    seed: int = 0,
    format: str = "nifti",
    stack: str = "levels",
    frames: int = 54,
    factor: int = 6,
) -> str:
    """Writes simulated studies with known motion.

    Each study is a heart that no patient has: ``NAME`` holds the ordinary cine, with ``factor`` times fewer frames;
    ``measured`` the 3Dir MVM scan of all frames (magnitude and three 12-bit phases, venc 20, 20, 30 cm/s); ``truth``
    the noise-free magnitude, labels and velocities (cm/s) as NIfTI.

    Args:
        out: folder to write to.
        studies: number of studies.
        seed: seed of the first study; the next one has the next seed.
        format: nifti, or dicom (in the style of GE, Siemens or enhanced, drawn from the seed).
        stack: levels (a basal, a middle and an apical slice) or full (slices from above the base to beyond the apex).
        frames: frames of the measured scan.
        factor: how many times fewer frames the ordinary cine has; it must divide ``frames``.

    Returns:
        One line that says what was written where.
    """
    if format not in FORMATS or stack not in STACKS:
        raise CineError(f"format, stack: found {format!r}, {stack!r}, expected one of {FORMATS} and one of {STACKS}")
    if studies < 1 or factor < 1 or frames % factor or frames // factor < 3:
        raise CineError(
            f"studies, frames, factor: found {studies}, {frames}, {factor}, expected at least one study, and a factor "
            "that divides the frames and leaves three"
        )
    root = Path(out)
    root.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(seed, seed + studies), desc="phantom studies", disable=studies == 1):
        _write_study(root, f"phantom-{number:04d}", number, format, stack, frames, factor)
    kinds = "ordinary cine, measured 3Dir MVM, truth"
    return f"Wrote {studies} phantom {'study' if studies == 1 else 'studies'} ({kinds}) to {root}"


def _expand(item: Item, slices: int) -> Item:
    """Repeats the tensors of a drawn dataclass, made for a batch of one, for every slice of a stack."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(item):  # type: ignore[arg-type]
        value = getattr(item, field.name)
        changes[field.name] = (
            value.expand(slices, *value.shape[1:]) if isinstance(value, Tensor) else _expand(value, slices)
        )
    return dataclasses.replace(item, **changes)  # type: ignore[type-var]


def _affine(dice: Dice, size: int, pixel_mm: float, gap_mm: float, slices: int) -> np.ndarray:
    """An oblique short-axis stack, base first, viewed from the apex, around the isocentre."""
    up = torch.tensor(APEX_TO_BASE, dtype=torch.float64) + 0.25 * dice.normal(3)[0].double()
    up = up / up.norm()
    x = dice.normal(3)[0].double()
    x = x - (x @ up) * up
    x = x / x.norm()
    y = torch.linalg.cross(up, x)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.stack((x * pixel_mm, y * pixel_mm, -up * gap_mm), dim=1)
    middle = torch.tensor([(size - 1) / 2, (size - 1) / 2, (slices - 1) / 2], dtype=torch.float64)
    matrix[:3, 3] = -matrix[:3, :3] @ middle
    return matrix.numpy()


def _write_study(root: Path, name: str, seed: int, form: str, stack: str, frames: int, factor: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    dice = Dice(generator, 1)
    heart, rr = draw_heart(dice, Ranges(outside=0.0, centre=10.0))
    anatomy, scanner = draw_anatomy(dice), draw_scanner(dice, (15.0, 40.0))
    height, rr_ms = float(heart.geometry.height), float(rr)
    gap_mm = float(dice.uniform(8.0, 10.0)) if stack == "full" else height * 0.3
    top = height * 1.2 if stack == "full" else height * 0.78
    slices = int((top + height * 0.15) / gap_mm) + 1 if stack == "full" else 3
    pixel_mm = float(dice.uniform(*FULL_PIXEL_MM))
    affine = _affine(dice, FULL_PIXELS, pixel_mm, gap_mm, slices)

    heart = type(heart)(_expand(heart.geometry, slices), _expand(heart.motion, slices))
    anatomy, scanner = _expand(anatomy, slices), _expand(scanner, slices)
    levels = top - gap_mm * torch.arange(slices)
    time = torch.arange(frames).expand(slices, frames) / frames
    axes = pixel_axes(FULL_PIXELS, FULL_PIXELS, pixel_mm)
    pictures, truth = [], {}
    for k, offset in enumerate(torch.linspace(-0.35, 0.35, SUBSLICES) * min(gap_mm, 8.0)):
        picture, labels, motion = film(anatomy, heart.at(levels + offset), axes, time)
        pictures.append(picture)
        if k == SUBSLICES // 2:
            truth = {"label": labels, "velocity": motion / 10 * (1000 / rr_ms)}
    clean = acquire(scanner, torch.stack(pictures).mean(0), pixel_mm)

    def stacked(pixels: Tensor) -> np.ndarray:
        """[Z, T, X, Y] to (X, Y, Z, T)."""
        return pixels.permute(2, 3, 0, 1).numpy()

    gain = float(300 / clean.mean())
    sigma = scanner.noise[:, None, None, None]
    magnitude = torch.round(add_noise(clean, sigma, generator) * gain)
    times = np.arange(frames) * rr_ms / frames
    offset_cm = 0.6 * float(dice.normal()) * (axes[0] + axes[1]) / 100
    phases = {
        direction: encode_phase(truth["velocity"][:, k], clean, scanner.noise, venc, generator, offset_cm)
        for k, (direction, venc) in enumerate(VENC.items())
    }
    cine = stacked(magnitude[:, ::factor])
    if form == "nifti":
        write_nifti(root / f"{name}.nii.gz", cine, affine, rr_ms / (frames // factor))
        measured = root / "measured"
        measured.mkdir(exist_ok=True)
        write_nifti(measured / f"{name}_magnitude.nii.gz", stacked(magnitude), affine, rr_ms / frames)
        for direction, raw in phases.items():
            path = measured / f"{name}_phase_{direction}.nii.gz"
            write_nifti(path, stacked(raw).astype(np.int16), affine, rr_ms / frames)
    else:
        style = STYLES[seed % len(STYLES)]
        write_dicom_series(root / name, cine, affine, rr_ms, times[::factor], style, description="cine SAX")
        uid, folder = generate_uid(), root / "measured" / name
        write_dicom_series(folder, stacked(magnitude), affine, rr_ms, times, style, study_uid=uid, description="MVM")
        for number, (direction, raw) in enumerate(phases.items(), start=2):
            velocity = stacked(decode_phase(raw, VENC[direction]))
            write_dicom_series(
                folder / f"phase_{direction}", velocity, affine, rr_ms, times, style, "phase", VENC[direction],
                direction, f"MVM phase {direction}", uid, number * 100,
            )  # fmt: skip
    _write_truth(root / "truth", name, {"cine": clean * gain, **truth}, affine, rr_ms, frames, stacked)
    _write_manifest(
        root / "truth" / f"{name}.json", seed, rr_ms, frames, factor, levels, heart, float(scanner.noise[0])
    )


def _write_truth(
    folder: Path, name: str, truth: dict[str, Tensor], affine: np.ndarray, rr_ms: float, frames: int, stacked: Any
) -> None:
    folder.mkdir(exist_ok=True)
    step = rr_ms / frames
    write_nifti(folder / f"{name}_cine.nii.gz", stacked(truth["cine"]), affine, step)
    write_nifti(folder / f"{name}_label.nii.gz", stacked(truth["label"]), affine, step)
    for k, direction in enumerate(VENC):
        path = folder / f"{name}_velocity_{direction}.nii.gz"
        write_nifti(path, stacked(truth["velocity"][:, k]), affine, step)


def _write_manifest(
    path: Path, seed: int, rr_ms: float, frames: int, factor: int, levels: Tensor, heart: Any, noise: float
) -> None:
    path.write_text(
        json.dumps(
            {
                "what": "simulated left ventricle; not a patient",
                "seed": seed,
                "rr_ms": round(rr_ms, 2),
                "frames": frames,
                "frames_of_the_ordinary_cine": frames // factor,
                "venc_cm_s": VENC,
                "slice_heights_above_apex_mm": [round(float(v), 2) for v in levels],
                "ventricle_height_mm": round(float(heart.geometry.height[0]), 2),
                "noise_share_of_blood": round(noise, 4),
                "signs": "velocity_x, _y along the image axes +X, +Y; velocity_z positive from base to apex; cm/s",
            },
            indent=4,
        )
        + "\n"
    )
