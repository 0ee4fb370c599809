"""What the benchmark adds up over slices, one class a table: interpolation, segmentation, velocity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from scripts.assessment.markers import find_markers, find_phases
from scripts.assessment.regions import COMPONENTS
from scripts.networks import VelocityAssessment
from scripts.networks.turns import turn_vectors
from scripts.training.sunnybrook import NOT_POOL, PIXEL_MM

from .cases import RAW_RANGE, Case
from .metrics import (
    bland_altman,
    correlation,
    direction_sums,
    psnr,
    sharpness_lost,
    ssim,
    surface_distances,
    velocity_sums,
)

Row = dict[str, object]

LABELS = {"myocardium": (1,), "pool": (2,), "ventricle": (1, 2)}
"""What is measured: the labels that make it up. The ventricle is all inside the epicardium."""

AGREEMENT = ("correlation", "correlation_from", "correlation_to", "bias")
"""What is said of peaks gap by gap."""

FALSE_PIXELS = 20
"""Pixels in a frame without a ventricle from which on one was found (45 square mm)."""


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


@dataclass
class InterpolationTally:
    """Frames between acquired ones, against the truth.

    Attributes:
        slices: one row a slice, gap and peer.
    """

    slices: list[Row] = field(default_factory=list)

    def add(self, case: Case, gap: int, peer: str, frames: Tensor) -> None:
        """Measures one slice.

        Args:
            case: the slice.
            gap: every gap-th frame was given.
            peer: who made the frames.
            frames: [T', X, Y] float, T' >= T - gap + 1 from the first on.
        """
        last = len(case.frames) if case.cyclic and len(case.frames) % gap == 0 else (len(case.frames) - 1) // gap * gap
        between = torch.arange(last) % gap != 0
        found, truth = frames[:last][between], case.truth[:last][between]
        peak, everywhere = float(case.truth.max()), torch.ones_like(truth, dtype=torch.bool)
        row: Row = {
            "case": case.name,
            "subject": case.subject,
            "gap": gap,
            "peer": peer,
            "psnr_full_12_bit_db": psnr(found, truth, RAW_RANGE),
            "ssim_full_12_bit": ssim(found, truth, RAW_RANGE, everywhere),
            "psnr_full_image_range_db": psnr(found, truth, peak),
        }
        if case.has_ventricle:
            where = case.region()[:last][between]
            row |= {
                "psnr_ventricle_db": psnr(found, truth, peak, where),
                "ssim_ventricle": ssim(found, truth, peak, where),
                "sharpness_lost_percent": sharpness_lost(found, truth, where),
            }
        self.slices.append(row)

    def figures(self, by: tuple[str, ...] = ("gap", "peer")) -> list[Row]:
        """Means over slices, and the worst slice; one row for each value of ``by``."""
        groups: dict[tuple, list[Row]] = defaultdict(list)
        for row in self.slices:
            groups[tuple(row[k] for k in by)].append(row)
        result = []
        for key, rows in groups.items():
            figures: Row = dict(zip(by, key, strict=True)) | {"slices": len(rows)}
            names = dict.fromkeys(k for row in rows for k, v in row.items() if isinstance(v, float))
            figures |= {name: _mean([float(r[name]) for r in rows if name in r]) for name in names}  # type: ignore[arg-type]
            inside = [float(r["psnr_ventricle_db"]) for r in rows if "psnr_ventricle_db" in r]  # type: ignore[arg-type]
            if inside:
                figures["slices_with_ventricle"] = len(inside)
                figures["psnr_ventricle_worst_slice_db"] = min(inside)
            result.append(figures)
        return result


@dataclass
class SegmentationTally:
    """Labels against the truth, by peer, subject, kind of frame (acquired or interpolated) and label."""

    values: dict[tuple[str, str, str, str], dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, case: Case, peer: str, kind: str, found: Tensor, wanted: Tensor) -> None:
        """Measures some frames of a slice.

        Args:
            case: the slice.
            peer: who made the labels.
            kind: "acquired" or "interpolated".
            found: [T, X, Y] int, labels.
            wanted: [T, X, Y] uint8; frames with ``NOT_POOL`` count for the pool alone.
        """
        for name, labels in LABELS.items():
            sure = torch.ones(len(wanted), dtype=torch.bool)
            if 1 in labels:
                sure = ~(wanted >= NOT_POOL).flatten(1).any(1)
            a, b = (torch.isin(x[sure], torch.tensor(labels)) for x in (found, wanted))
            if not len(a):
                continue
            there = b.flatten(1).any(1)
            sums = self.values[peer, case.subject, kind, name]
            empty, seen = a[~there].flatten(1).sum(1), a.flatten(1).any(1)
            sums["frames_without"].append(float((~there).sum()))
            sums["false"].append(float((empty > FALSE_PIXELS).sum()))
            sums["frames"].append(float(there.sum()))
            sums["missed"].append(float((there & ~seen).sum()))
            if there.any():
                sums["overlap"].append(float((a & b)[there].sum()))
                sums["size"].append(float(a[there].sum() + b.sum()))
                for key, mm in zip(("hd95", "surface"), surface_distances(a[there], b[there], PIXEL_MM), strict=True):
                    sums[key] += mm[mm.isfinite()].tolist()

    def figures(self) -> list[Row]:
        """One row a peer, subject, kind of frame and label, after those of subject "all", the mean over subjects.

        Dice is that of all frames and slices of a subject together, as of a volume; distances are means over frames.
        """
        rows: list[Row] = []
        groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for (peer, subject, kind, name), sums in self.values.items():
            size = sum(sums["size"])
            row: Row = {"peer": peer, "subject": subject, "frames_are": kind, "label": name}
            row["dice"] = 2 * sum(sums["overlap"]) / size if size else float("nan")
            row |= {"hd95_mm": _mean(sums["hd95"]), "surface_distance_mm": _mean(sums["surface"])}
            row |= {key: int(sum(sums[key])) for key in ("frames", "missed", "frames_without", "false")}
            rows.append(row)
            groups[peer, kind, name].append(row)
        means: list[Row] = []
        for (peer, kind, name), group in groups.items():
            columns: dict[str, list] = {key: [row[key] for row in group] for key in group[0]}
            found = [v for v in columns["dice"] if np.isfinite(v)]
            mean: Row = {"peer": peer, "subject": "all", "frames_are": kind, "label": name, "subjects": len(found)}
            mean |= {key: _mean(columns[key]) for key in ("dice", "hd95_mm", "surface_distance_mm")}
            mean["dice_worst_subject"] = min(found, default=float("nan"))
            means.append(mean | {k: sum(columns[k]) for k in ("frames", "missed", "frames_without", "false")})
        return means + rows


@dataclass
class _Velocity:
    """Sums of one peer."""

    errors: Tensor = field(default_factory=lambda: torch.zeros(3, 2))
    pixels: float = 0.0
    directions: Tensor = field(default_factory=lambda: torch.zeros(3, 2))
    curves: list[np.ndarray] = field(default_factory=list)
    true_curves: list[np.ndarray] = field(default_factory=list)
    peaks: dict[tuple[str, str], list[tuple[float, float, float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    peaks_missed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    slices: list[Row] = field(default_factory=list)
    turned: Tensor = field(default_factory=lambda: torch.zeros(2))


@dataclass
class VelocityTally:
    """Velocities in the true wall, their mean curves and the peaks of these, against the truth."""

    peers: dict[str, _Velocity] = field(default_factory=lambda: defaultdict(_Velocity))

    def add(self, case: Case, peer: str, velocity: Tensor, wall: Tensor | None = None) -> None:
        """Measures one slice.

        Args:
            case: a slice with velocities and labels in every frame.
            peer: who made the velocities.
            velocity: [3, T, X, Y] float, cm/s at RR = 1000 ms.
            wall: [T, X, Y] float, the wall that curves are taken in: the peer's own; None takes the true one.
        """
        truth, sums = case.velocity, self.peers[peer]
        if truth is None:
            raise ValueError(f"{case.name}: expected a case with velocities")
        true_wall, assess = case.wall, VelocityAssessment()
        errors = velocity_sums(velocity, truth, true_wall)
        sums.errors += errors
        sums.pixels += float(true_wall.sum())
        sums.directions += direction_sums(velocity, truth, true_wall)
        found = assess((true_wall if wall is None else wall)[None], velocity[None])[0].numpy()
        wanted = assess(true_wall[None], truth[None])[0].numpy()
        sums.curves.append(found)
        sums.true_curves.append(wanted)
        mine, true = _peaks(found, wanted), _peaks(wanted, wanted)
        for key, (value, time) in true.items():
            if key in mine:
                sums.peaks[key].append((mine[key][0], value, mine[key][1], time))
            else:
                sums.peaks_missed[key] += 1
        rmse = (errors[:, 0] / float(true_wall.sum())).sqrt().tolist()
        sums.slices.append(
            {"case": case.name, "peer": peer, **dict(zip((f"rmse_{c}_cm_s" for c in COMPONENTS), rmse, strict=True))}
        )

    def figures(self) -> list[Row]:
        """One row a peer and component: error in the wall, and of the mean curves."""
        rows: list[Row] = []
        for peer, sums in self.peers.items():
            found, wanted = (np.concatenate(curves, axis=1) for curves in (sums.curves, sums.true_curves))
            for k, component in enumerate(COMPONENTS):
                rows.append(
                    {
                        "peer": peer,
                        "component": component,
                        "slices": len(sums.curves),
                        "rmse_cm_s": float((sums.errors[k, 0] / sums.pixels).sqrt()),
                        "rmse_over_rms": float((sums.errors[k, 0] / sums.errors[k, 1]).sqrt()),
                        "curve_correlation": correlation(found[k], wanted[k]),
                        "curve_rmse_cm_s": float(np.sqrt(np.mean((found[k] - wanted[k]) ** 2))),
                    }
                )
        return rows

    def add_turned(self, case: Case, peer: str, velocity: Tensor, turned: Tensor) -> None:
        """Compares velocities with those of the turned picture.

        Args:
            case: a slice with labels in every frame.
            peer: who made the velocities.
            velocity: [3, T, X, Y] float, X = Y.
            turned: the same, of the picture turned by 90 degrees as ``torch.rot90`` turns it.
        """
        back = turn_vectors(turned.movedim(0, 1), 3).movedim(0, 1)
        sums = [((x.square()) * case.wall).sum() for x in (back - velocity, velocity)]
        self.peers[peer].turned += torch.stack(sums)

    def turns(self) -> list[Row]:
        """One row a peer: how much its velocities change, as a share of their RMS, bulk motion included."""
        return [
            {"peer": peer, "change_when_turned_by_90_degrees": float((s.turned[0] / s.turned[1]).sqrt())}
            for peer, s in self.peers.items()
            if s.turned[1] > 0
        ]

    def directions(self) -> list[Row]:
        """One row a peer: end-point errors and angle, bulk motion included."""
        names = ("end_point_error_in_plane_cm_s", "end_point_error_cm_s", "angle_above_1_cm_s_deg")
        return [
            {"peer": peer} | {n: float(s[0] / s[1].clamp_min(1)) for n, s in zip(names, sums.directions, strict=True)}
            for peer, sums in self.peers.items()
        ]

    def peaks(self) -> list[Row]:
        """One row a peer, component and marker: agreement of value (cm/s) and time (ms at RR = 1000 ms)."""
        rows: list[Row] = []
        for peer, sums in self.peers.items():
            for key in sorted(set(sums.peaks) | set(sums.peaks_missed)):
                value, true, time, true_time = np.array(sums.peaks[key]).reshape(-1, 4).T
                agreement = {f"value_{k}": v for k, v in bland_altman(value, true).items() if k != "n"}
                times = {f"time_{k}": v for k, v in bland_altman(time, true_time).items() if k != "n"}
                head: Row = {"peer": peer, "component": key[0], "marker": key[1], "n": len(value)}
                rows.append(head | {"missed": sums.peaks_missed[key]} | agreement | times)
        return rows


def velocity_by_gap(tallies: Mapping[int, VelocityTally]) -> list[Row]:
    """Tells what more acquired frames give.

    Args:
        tallies: what was measured at each gap.

    Returns:
        One row a gap, peer and component: error in the wall, and how the peaks PS and PD of the mean curves go with the
        true ones (correlation, its 95 % confidence interval, bias in cm/s).
    """
    rows: list[Row] = []
    for gap, tally in sorted(tallies.items()):
        peaks = {(row["peer"], row["component"], row["marker"]): row for row in tally.peaks()}
        for row in tally.figures():
            found: Row = {"gap": gap} | {key: row[key] for key in ("peer", "component", "slices", "rmse_over_rms")}
            for marker in ("PS", "PD"):
                peak = peaks.get((row["peer"], row["component"], marker), {})
                found |= {f"{marker}_{key}": peak.get(f"value_{key}") for key in AGREEMENT}
            rows.append(found)
    return rows


def _peaks(curves: np.ndarray, truth: np.ndarray) -> dict[tuple[str, str], tuple[float, float]]:
    """Value and time of each marker; windows follow the true phases, so all peers are sought in the same."""
    step = 1000 / curves.shape[1]
    phases = find_phases(dict(zip(COMPONENTS, truth, strict=True)), step, 1000.0, True)
    named = {component: (("global",), curves[k : k + 1]) for k, component in enumerate(COMPONENTS)}
    found = find_markers(named, step, 1000.0, phases, True)
    return {(m.component, m.code): (m.value_cm_s, m.time_ms) for m in found}
