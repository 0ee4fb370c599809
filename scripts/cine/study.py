"""A study: a short-axis magnitude cine, its geometry, its timing and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: RR intervals that a human heart can have, in ms (24 to 240 beats a minute). Else the unit or the tag is wrong.
RR_RANGE_MS = (250.0, 2500.0)

#: Frames of a cine: fewer show no beat, and the network looks at the one before and the one after.
LEAST_FRAMES = 3

#: What the provenance says of times that nothing states.
EVENLY = "evenly over RR"

#: Right, posterior, head in RAS: where the base lies. X x Y of an image viewed from the apex points there.
APEX_TO_BASE = np.array([1.0, -1.0, 1.0])
#: A plane whose normal has less than this cosine to that direction does not tell its two sides apart.
_UNDECIDED = 0.1


class CineError(ValueError):
    """Input that is no usable cine; the message names file or argument, tag, what was found, what was expected."""


def plausible_rr(rr_ms: float | None) -> bool:
    """Whether a value in ms can be the RR interval of a human heart."""
    return rr_ms is not None and RR_RANGE_MS[0] <= rr_ms <= RR_RANGE_MS[1]


def require_rr(rr_ms: float | str | None, where: str = "argument rr_ms") -> float:
    """Return `rr_ms` as a float, or say in words what is wrong with it.

    Args:
        rr_ms: RR interval in ms.
        where: What to name in the message.

    Raises:
        CineError: If it is not a number between 250 and 2500.
    """
    try:
        value = float(rr_ms)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = float("nan")
    if not plausible_rr(value):
        found = rr_ms.item() if isinstance(rr_ms, np.generic) else rr_ms
        raise CineError(f"{where}: found RR = {found!r}, expected {RR_RANGE_MS[0]:.0f} to {RR_RANGE_MS[1]:.0f} ms")
    return value


def check_image(pixels: NDArray, where: str) -> None:
    """Refuse one image that cannot be a magnitude frame.

    Args:
        pixels: One frame, any shape, any scale.
        where: What to name in the message: a file, or "slice 3, frame 7".

    Raises:
        CineError: If the frame holds NaN or infinity, is constant, or is signed (a phase image).
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise CineError(f"{where}: found NaN or infinite pixels, expected a finite magnitude in every pixel")
    if low == high:
        raise CineError(f"{where}: found a constant image (every pixel is {low:g}), expected a magnitude image")
    if low < 0:
        raise CineError(
            f"{where}: found signed pixels ({low:g} to {high:g}), as phase images have; expected a magnitude "
            f"image (0 and above)"
        )


def evenly(frames: int, rr_ms: NDArray | float) -> NDArray[np.float64]:
    """Times of frames that are spread evenly over RR from the R wave on, ms.

    Args:
        frames: How many.
        rr_ms: RR interval, ms: a number, or shape (Z, 1).

    Returns:
        Shape (T,) or (Z, T), ms.
    """
    return np.asarray(rr_ms * np.arange(frames) / frames)


def spacing_of(affine: NDArray) -> tuple[float, float, float]:
    """Pixel size along X and Y, and distance between slices, mm.

    The distance is that along the slices' normal: a stack may be shifted in its plane from slice to slice.

    Args:
        affine: Voxel to patient, shape (4, 4), mm.
    """
    x, y, z = affine[:3, :3].T
    normal = np.cross(x, y)
    return float(np.linalg.norm(x)), float(np.linalg.norm(y)), float(abs(z @ normal) / np.linalg.norm(normal))


@dataclass(frozen=True, eq=False)
class Study:
    """A checked short-axis cine. Once the constructor has completed, the study is valid.

    Slices run from base to apex. The view is from the apex: with +X and +Y the image axes, X x Y points from apex to
    base. `Study.arranged` brings any stack into this form.

    Attributes:
        magnitude: Cine, shape (X, Y, Z, T), float32, in the scanner's scale, no negative values.
        affine: Voxel (x, y, z) to patient coordinates, shape (4, 4), RAS, mm (nibabel's convention).
        rr_ms: RR interval of each slice, shape (Z,), ms. Slices may differ: each had its own breath-hold.
        frame_times_ms: Time of each frame after the R wave, shape (Z, T), ms.
        cyclic: True if the frames cover the RR interval, so that the first frame follows the last; False for a
            prospectively gated cine that misses the end of diastole.
        orientation_known: False if the source has no true affine; then order and view are as stored, unchecked.
        provenance: Which tag or header field each value came from, in words.
        notes: What a reader of the result should know: tags that disagree, values that were assumed.
        sop_instance_uids: Source SOP instance UIDs, Z rows of T; empty if the source is not DICOM. They name images,
            not patients; no other identifier is kept.
        vendor: Manufacturer as the source states it.
    """

    magnitude: NDArray[np.float32]
    affine: NDArray[np.float64]
    rr_ms: NDArray[np.float64]
    frame_times_ms: NDArray[np.float64]
    cyclic: bool = True
    orientation_known: bool = True
    provenance: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sop_instance_uids: tuple[tuple[str, ...], ...] = ()
    vendor: str = "unknown"

    def __post_init__(self) -> None:
        for name, dtype in (("magnitude", np.float32), ("affine", float), ("rr_ms", float), ("frame_times_ms", float)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        self._check_shapes()
        self._check_pixels()
        self._check_timing()
        if self.orientation_known and not (seen_from_apex(self.affine) and base_first(self.affine)):
            raise CineError("affine: expected slices from base to apex, viewed from the apex; use Study.arranged")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(X, Y, Z, T)."""
        x, y, z, t = self.magnitude.shape
        return x, y, z, t

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along X, Y and between slices, mm."""
        return spacing_of(self.affine)

    @property
    def frame_duration_ms(self) -> NDArray[np.float64]:
        """Time from frame to frame in each slice, shape (Z,), ms: RR / T of a cyclic cine, else the measured step."""
        if self.cyclic:
            return self.rr_ms / self.shape[3]
        return np.median(np.diff(self.frame_times_ms, axis=1), axis=1)

    @classmethod
    def arranged(
        cls,
        magnitude: ArrayLike,
        affine: ArrayLike,
        rr_ms: ArrayLike,
        frame_times_ms: ArrayLike | None = None,
        *,
        sop_instance_uids: Sequence[Sequence[str]] = (),
        provenance: Mapping[str, str] | None = None,
        orientation_known: bool = True,
        cyclic: bool = True,
        notes: Sequence[str] = (),
        vendor: str = "unknown",
    ) -> Study:
        """Make a study of a stack in any slice order and either view.

        A mirrored stack (viewed from the base) is mirrored back along its first axis, a stack from apex to base is
        reversed; the affine follows, so that every voxel keeps its place in the patient. Both are recorded in
        `provenance`.

        Args:
            magnitude: Cine, shape (X, Y, Z, T).
            affine: Voxel to patient, shape (4, 4), RAS, mm.
            rr_ms: RR interval, a number or shape (Z,), ms.
            frame_times_ms: Shape (Z, T), ms; by default T frames evenly over RR, from 0.
            sop_instance_uids: Source UIDs, Z rows of T, or empty.
            provenance: As in `Study`.
            orientation_known: As in `Study`; False leaves order and view as they are.
            cyclic: As in `Study`.
            notes: As in `Study`.
            vendor: As in `Study`.

        Raises:
            CineError: If the result is not a valid study.
        """
        pixels, matrix = np.asarray(magnitude, np.float32), np.array(affine, float)
        if pixels.ndim != 4 or matrix.shape != (4, 4):
            raise CineError(
                f"magnitude, affine: found shapes {pixels.shape}, {matrix.shape}, expected (X, Y, Z, T), (4, 4)"
            )
        width, _, slices, frames = pixels.shape
        rr = np.broadcast_to(np.asarray(rr_ms, float), (slices,))
        times = evenly(frames, rr[:, None]) if frame_times_ms is None else np.asarray(frame_times_ms, float)
        uids = tuple(tuple(row) for row in sop_instance_uids)
        sources = dict(provenance or {})
        remarks = list(notes)
        if orientation_known:
            sources["view"] = "from the apex, as stored"
            sources.setdefault("slice_order", "base to apex, as stored")
            if not seen_from_apex(matrix):
                pixels = pixels[::-1]
                matrix[:3, 3] += (width - 1) * matrix[:3, 0]
                matrix[:3, 0] *= -1
                sources["view"] = "from the apex; stored mirrored, so the first axis was mirrored"
            if not base_first(matrix):
                matrix[:3, 3] += (slices - 1) * matrix[:3, 2]
                matrix[:3, 2] *= -1
                pixels, rr, times, uids = pixels[:, :, ::-1], rr[::-1], times[::-1], uids[::-1]
                if sources["slice_order"] == "base to apex, as stored" and slices > 1:
                    sources["slice_order"] = "base to apex; stored from apex to base, so the slices were reversed"
            if np.abs(_normal(matrix)).max() > np.cos(np.deg2rad(2)):
                remarks.append(
                    "the slices lie along a body axis, which a short axis does not: the affine may be a placeholder; "
                    "check the view and the slice order"
                )
            if abs(_normal(matrix) @ APEX_TO_BASE) < _UNDECIDED * np.linalg.norm(APEX_TO_BASE):
                remarks.append(
                    "the image plane lies along the usual direction of the long axis, so that the view, from the apex "
                    "or from the base, is undecided; check the view and the slice order"
                )
        else:
            sources["view"] = sources["slice_order"] = "as stored: the source has no patient orientation"
        return cls(
            np.ascontiguousarray(pixels),
            matrix,
            rr,
            times,
            cyclic,
            orientation_known,
            sources,
            tuple(remarks),
            uids,
            vendor,
        )

    def _check_shapes(self) -> None:
        if self.magnitude.ndim != 4 or 0 in self.magnitude.shape:
            raise CineError(f"magnitude: found shape {self.magnitude.shape}, expected (X, Y, Z, T)")
        _, _, slices, frames = self.magnitude.shape
        if frames < LEAST_FRAMES:
            raise CineError(f"magnitude: found {frames} frame(s) a slice, expected a cine of at least {LEAST_FRAMES}")
        expected = {"affine": (4, 4), "rr_ms": (slices,), "frame_times_ms": (slices, frames)}
        for name, shape in expected.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise CineError(f"{name}: found shape {found.shape}, expected {shape}")
            if not np.isfinite(found).all():
                raise CineError(f"{name}: found NaN or infinite values, expected finite ones")
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-6 or not np.array_equal(self.affine[3], [0, 0, 0, 1]):
            raise CineError("affine: found a singular matrix, expected voxel axes in mm that span space")
        if self.sop_instance_uids and [len(row) for row in self.sop_instance_uids] != [frames] * slices:
            raise CineError(f"sop_instance_uids: expected {slices} rows of {frames}")

    def _check_pixels(self) -> None:
        low, high = self.magnitude.min((0, 1)), self.magnitude.max((0, 1))
        for z, t in np.argwhere(~np.isfinite(low + high) | (low == high) | (low < 0)):
            check_image(self.magnitude[:, :, z, t], f"slice {z}, frame {t}")
        moving = (self.magnitude != self.magnitude[..., :1]).any((0, 1, 3))
        for z in np.flatnonzero(~moving):
            raise CineError(
                f"slice {z}: found {self.shape[3]} identical frames (a static stack), expected a cine that moves"
            )

    def _check_timing(self) -> None:
        covered = self.frame_duration_ms * self.shape[3]
        for z, (rr, times) in enumerate(zip(self.rr_ms, self.frame_times_ms, strict=True)):
            require_rr(rr, f"slice {z}")
            steps = np.diff(times)
            if (steps <= 0).any():
                raise CineError(f"slice {z}: frame times do not rise ({np.round(times, 1).tolist()} ms)")
            if times[-1] - times[0] > 1.1 * rr:
                raise CineError(
                    f"slice {z}: found frames over {times[-1] - times[0]:.0f} ms, expected one RR ({rr:.0f} ms)"
                )
            # The frames' duration is all that a NIfTI header says of time: its readers would refuse this as RR.
            if not self.cyclic and covered[z] < RR_RANGE_MS[0]:
                raise CineError(
                    f"slice {z}: found frames that cover {covered[z]:.0f} ms of RR = {rr:.0f} ms and are not cyclic, "
                    f"expected at least {RR_RANGE_MS[0]:.0f} ms"
                )


def _normal(affine: NDArray) -> NDArray:
    """Unit vector along X x Y, RAS."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return normal / max(float(np.linalg.norm(normal)), 1e-12)


def seen_from_apex(affine: NDArray) -> bool:
    """Whether X x Y points from apex to base. Where both sides are alike, the view as stored counts."""
    return bool(_normal(affine) @ APEX_TO_BASE >= 0)


def base_first(affine: NDArray) -> bool:
    """Whether the third axis runs from base to apex. The side of the image plane decides."""
    normal = _normal(affine)
    return bool((affine[:3, 2] @ normal) * (normal @ APEX_TO_BASE) <= 0)
