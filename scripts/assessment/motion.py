"""From velocity to where the wall goes: displacement that closes, strain, rotation, twist and torsion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .markers import FineCurves, expected_systole_ms, fine_curves
from .regions import pooled_mean, sector_sums
from .result import SliceAssessment, StackMotion
from .wall import SECTORS, Wall

#: 1 cm/s is 0.01 mm a ms.
MM_PER_MS = 0.01


def integrated(rate: NDArray, step_ms: float, cyclic: bool) -> NDArray[np.float64]:
    """Integral over time from the first frame on, by trapezoids.

    Of a cyclic curve the temporal mean is removed first (a wall that returns to its start has none), so forward and
    backward integration agree and the curve closes. A cine that misses the end of diastole is integrated as it is.

    Args:
        rate: Shape (T, ...), a ms.
        step_ms: Time from frame to frame, ms.
        cyclic: Whether the first frame follows the last.
    """
    rate = rate - rate.mean(0) if cyclic else rate
    steps = (rate[1:] + rate[:-1]) * (step_ms / 2)
    return np.concatenate((np.zeros_like(rate[:1]), np.cumsum(steps, axis=0)))


def derivative(curves: NDArray, step_ms: float, cyclic: bool) -> NDArray[np.float64]:
    """Rate of change a second, of the spline through curves of shape (..., T)."""
    flat = np.asarray(curves, float).reshape(-1, np.shape(curves)[-1])
    whole = np.isfinite(flat).all(1)
    result = np.full(flat.shape, np.nan)
    if whole.any():
        fine = fine_curves(flat[whole].T, step_ms, cyclic)
        every = (len(fine.times_ms) - (not cyclic)) // (flat.shape[1] - (not cyclic))
        result[whole] = 1000 * fine.slopes[::every].T
    return result.reshape(np.shape(curves))


def slice_strain(wall: Wall, step_ms: float, cyclic: bool) -> dict[str, dict[str, NDArray]]:
    """Radial and circumferential strain from the paths of 24 x 3 superpixels.

    Each superpixel's mean velocity is integrated; strain is the change of the distances between neighbours, in % of
    that in the first frame: along the circumference between sectors, across the wall between the innermost and the
    outermost layer.

    Args:
        wall: Samples of a slice.
        step_ms: Time from frame to frame, ms.
        cyclic: Whether the first frame follows the last.

    Returns:
        "radial" and "circumferential": "global", shape (T,), "sectors_6", "sectors_24"; circumferential "layers_3".
    """
    velocity, area = sector_sums(wall, wall.in_plane)
    there = area > 0
    velocity = np.where(there, velocity / np.maximum(area, 1e-9), np.nan)
    ends = wall.radius * np.stack((np.cos(wall.angles), np.sin(wall.angles)))[:, None, :, None]
    start, _ = sector_sums(wall, ends)
    start = (start / np.maximum(area, 1e-9))[:, 0]
    path = start[:, None] + integrated(np.moveaxis(velocity, 0, 1) * MM_PER_MS, step_ms, cyclic).swapaxes(0, 1)
    across = np.linalg.norm(path[..., -1] - path[..., 0], axis=0)
    along = np.linalg.norm(np.roll(path, -1, axis=2) - path, axis=0)

    def strain(length: NDArray, sectors: Sequence[int]) -> NDArray:
        """Change of the summed length of some sectors, %."""
        part = length[:, sectors]
        known = np.isfinite(part).all(0)
        if known.mean() < 0.75:
            return np.full(len(part), np.nan)
        total = part[:, known].sum(1)
        return 100 * (total / total[0] - 1)

    sixths = [range(4 * k, 4 * k + 4) for k in range(6)]
    every = range(SECTORS)
    # An edge belongs to both sectors that it joins, so a sector of 24 has the mean of its two edges; beside an open
    # sector, of the one that there is.
    before = np.roll(along, 1, axis=1)
    centred = (np.where(np.isnan(along), before, along) + np.where(np.isnan(before), along, before)) / 2
    middle = centred.mean(2)
    sets: dict[str, dict[str, NDArray]] = {}
    for name, length in (("radial", across), ("circumferential", middle)):
        sets[name] = {
            "global": strain(length, every),
            "sectors_6": np.stack([strain(length, part) for part in sixths]),
            "sectors_24": np.stack([strain(length, [k]) for k in every]),
        }
    sets["circumferential"]["layers_3"] = np.stack([strain(centred[..., k], every) for k in range(along.shape[2])])
    return sets


def rotation_rate_deg_s(wall: Wall) -> NDArray[np.float64]:
    """Mean angular velocity of the wall, shape (T,), degrees/s, counter-clockwise seen from the apex."""
    rate = np.rad2deg(10 * wall.circumferential / np.maximum(wall.radius, 1e-6))
    return pooled_mean(*sector_sums(wall, rate), range(SECTORS))


def stack_motion(
    slices: Sequence[SliceAssessment], levels: Sequence[str], cyclic: bool, systole: float | None = None
) -> StackMotion | None:
    """Twist, torsion and global strain of the whole ventricle.

    Slices are compared at equal fractions of their RR. Twist is the mean rotation of the apical slices less that of the
    basal ones (of two slices: the last less the first); longitudinal strain is the slope of longitudinal displacement
    over the slices' positions.

    Args:
        slices: Assessed slices, base first.
        levels: Their levels.
        cyclic: Whether the first frame follows the last.
        systole: End-systole as a fraction of RR; by default what is to be expected at the RR.

    Returns:
        None with fewer than two slices that move as a whole.
    """
    used = [s for s in slices if np.isfinite(s.rotation_deg).all()]
    if len(used) < 2:
        return None
    by_level = {name: [s for s in used if levels[s.index] == name] for name in ("base", "apex")}
    basal, apical = by_level["base"] or used[:1], by_level["apex"] or used[-1:]
    rr = float(np.mean([s.rr_ms for s in used]))
    times = np.mean([s.times_ms for s in used], axis=0)
    step = float(times[1] - times[0])
    length = float(np.mean([s.position_mm for s in apical]) - np.mean([s.position_mm for s in basal])) / 10
    twist = np.mean([s.rotation_deg for s in apical], axis=0) - np.mean([s.rotation_deg for s in basal], axis=0)
    # Each slice's rate is per its own second; on the mean RR the same motion takes another time.
    twist_rate = derivative(twist, step, cyclic)
    position = np.array([s.position_mm for s in used])
    depth = np.stack(
        [integrated(s.velocity_cm_s["longitudinal"]["global"] * MM_PER_MS, step_of(s), cyclic) for s in used]
    )
    away = position - position.mean()
    strain = {"longitudinal": 100 * (away @ depth) / (away @ away)}
    for name in ("circumferential", "radial"):
        known = [c for c in (s.strain_percent[name]["global"] for s in used) if np.isfinite(c).all()]
        strain[name] = np.mean(known, axis=0) if len(known) > 1 else np.full(len(times), np.nan)
    rates = {name: derivative(curve, step, cyclic) for name, curve in strain.items()}
    motion = StackMotion(
        rr_ms=rr,
        times_ms=times,
        basal_slices=tuple(s.index for s in basal),
        apical_slices=tuple(s.index for s in apical),
        length_cm=length,
        twist_deg=twist,
        twist_rate_deg_s=twist_rate,
        torsion_deg_cm=twist / length,
        torsion_rate_deg_s_cm=twist_rate / length,
        strain_percent=strain,
        strain_rate_per_s={name: rate / 100 for name, rate in rates.items()},
        peaks={},
    )
    motion.peaks.update(_peaks(motion, step, cyclic, rr * systole if systole else expected_systole_ms(rr)))
    return motion


def step_of(item: SliceAssessment) -> float:
    """Frame duration of a slice, ms."""
    return float(item.times_ms[1] - item.times_ms[0])


def _peaks(motion: StackMotion, step: float, cyclic: bool, systole_ms: float) -> dict[str, float]:
    """What the curves reach, between frames by a spline, and when; rates on the side of end-systole that they name.

    A heart that twists the other way has a negative peak, and its torsion rate in systole is the fastest that way.
    """
    twist = motion.twist_deg[np.abs(motion.twist_deg).argmax()]
    way = -1 if twist < 0 else 1
    whole, before, after = (0.0, np.inf), (0.0, systole_ms), (systole_ms, np.inf)
    gls, gcs = (motion.strain_rate_per_s[name] for name in ("longitudinal", "circumferential"))
    torsion = motion.torsion_rate_deg_s_cm
    curves = {
        "gls_percent": (motion.strain_percent["longitudinal"], -1, whole, "gls_time_ms"),
        "gcs_percent": (motion.strain_percent["circumferential"], -1, whole, "gcs_time_ms"),
        "grs_percent": (motion.strain_percent["radial"], 1, whole, "grs_time_ms"),
        "twist_deg": (motion.twist_deg, way, whole, "twist_time_ms"),
        "torsion_deg_cm": (motion.torsion_deg_cm, way, whole, ""),
        "torsion_rate_systolic_deg_s_cm": (torsion, way, before, "torsion_rate_systolic_time_ms"),
        "torsion_rate_diastolic_deg_s_cm": (torsion, -way, after, "torsion_rate_diastolic_time_ms"),
        "gls_rate_systolic_per_s": (gls, -1, before, ""),
        "gls_rate_diastolic_per_s": (gls, 1, after, ""),
        "gcs_rate_systolic_per_s": (gcs, -1, before, ""),
        "gcs_rate_diastolic_per_s": (gcs, 1, after, ""),
    }
    found: dict[str, float] = {}
    for name, (curve, sign, (first, last), time_name) in curves.items():
        if not np.isfinite(curve).all():
            found[name] = float("nan")
            continue
        fine: FineCurves = fine_curves(curve[:, None], step, cyclic)
        inside = (fine.times_ms >= first) & (fine.times_ms <= last)
        if not inside.any():  # the cine ends before
            found[name] = float("nan")
            continue
        best = int(np.where(inside, sign * fine.values[:, 0], -np.inf).argmax())
        found[name] = float(fine.values[best, 0])
        if time_name:
            found[time_name] = float(fine.times_ms[best])
    return found
