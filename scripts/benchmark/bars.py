"""The bars that the weights have to clear, and whether they did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]

OURS, PUBLISHED = "hdlnet", "r2unet"
MAIN_GAP, REAL_GAP = 6, 4
STRONG_FRAMES, STRONG_VELOCITIES = {"linear", "flow"}, {"flow", "population"}
"""Peers that must have been measured before anything is said of the best peer."""
RELATIVE = (("radial", 0.40, 0.30), ("circumferential", 0.85, 0.70), ("longitudinal", 0.50, 0.40))
"""Component, and what its error must and shall be at most; 1 is what an answer of zero has."""


def find_bars(result: dict[str, Any]) -> list[Row]:
    """Compares a benchmark with the bars of the project.

    Args:
        result: "data" (source to tables) and "cost", as ``run_benchmark`` makes them; what was not run is left out.

    Returns:
        One row a bar: row (words), must, aim, better ("higher" or "lower"), found, met (at least what it must).
    """
    bars: list[Row] = []

    def bar(row: str, must: float, aim: float, found: float | None, better: str = "higher") -> None:
        if found is None or not math.isfinite(found):
            return
        met = found >= must if better == "higher" else found <= must
        bars.append({"row": row, "must": must, "aim": aim, "better": better, "found": found, "met": met})

    for source, tables in result.get("data", {}).items():
        if source == "phantom":
            _phantom(tables, bar)
        else:
            _patients(tables, source, bar)
    _cost(result.get("cost", []), bar)
    return bars


def _pick(rows: Iterable[Row], name: str, **where: object) -> float | None:
    """The figure of the first row that fits; None where none does."""
    found = (row.get(name) for row in rows if all(row.get(k) == v for k, v in where.items()))
    return next((value for value in found if value is not None), None)


def _phantom(tables: dict[str, list[Row]], bar: Callable[..., None]) -> None:
    rows = [row for row in tables.get("interpolation", []) if row["gap"] == MAIN_GAP]
    ours = _pick(rows, "psnr_ventricle_db", peer=OURS)
    others = [row["psnr_ventricle_db"] for row in rows if row["peer"] != OURS and "psnr_ventricle_db" in row]
    if ours is not None and {row["peer"] for row in rows} >= STRONG_FRAMES:
        bar("phantom, gap 6, ventricle: dB above the best peer", 2.0, 4.0, ours - max(others))
    linear = _pick(rows, "psnr_ventricle_db", peer="linear")
    if ours is not None and linear is not None:
        bar("phantom, gap 6, ventricle: dB above linear blending", 2.5, 4.0, ours - linear)
    bar(
        "phantom, gap 6, full frame at the 12-bit range: dB", 42.32, 45.0, _pick(rows, "psnr_full_12_bit_db", peer=OURS)
    )
    kind = {"peer": OURS, "subject": "all", "frames_are": "interpolated"}
    dice = _pick(tables.get("segmentation", []), "dice", label="myocardium", **kind)
    bar("phantom, interpolated frames: Dice of the myocardium", 0.92, 0.95, dice)
    velocity = tables.get("velocity", [])
    for component, must, aim in RELATIVE:
        found = _pick(velocity, "rmse_over_rms", peer=OURS, component=component)
        bar(f"{component} velocity: RMSE as a share of its RMS", must, aim, found, "lower")
    for component in dict.fromkeys(row["component"] for row in velocity):
        mine = _pick(velocity, "rmse_cm_s", peer=OURS, component=component)
        rest = {
            row["peer"]: row["rmse_cm_s"]
            for row in velocity
            if row["component"] == component and not row["peer"].startswith(OURS)
        }
        if mine is not None and set(rest) >= STRONG_VELOCITIES:
            share = mine / min(rest.values())
            bar(f"{component} velocity: RMSE as a share of the best peer's", 0.6, 0.4, share, "lower")
    for row in tables.get("velocity_peaks", []):
        if row["peer"] != f"{OURS}, own labels" or row["marker"] not in ("PS", "PD"):
            continue
        name = f"{row['component']} {row['marker']}"
        bar(f"{name}: correlation with truth", 0.90, 0.97, row["value_correlation"])
        bar(f"{name}: bias, cm/s", 0.5, 0.2, abs(row["value_bias"]), "lower")
        bar(f"{name}: bias of its time, frames of 54", 1.0, 0.5, abs(row["time_bias"]) * 54 / 1000, "lower")


def _patients(tables: dict[str, list[Row]], source: str, bar: Callable[..., None]) -> None:
    rows = [row for row in tables.get("interpolation_by_patient", []) if row["gap"] == REAL_GAP]
    for subject in dict.fromkeys(row["subject"] for row in rows):
        ours = _pick(rows, "psnr_ventricle_db", subject=subject, peer=OURS)
        found = [_pick(rows, "psnr_ventricle_db", subject=subject, peer=peer) for peer in ("linear", "flow")]
        others = [value for value in found if value is not None]
        if ours is not None and len(others) == 2:
            words = f"{subject}, gap 4, ventricle: dB above the better of linear and flow"
            bar(words, 0.5, 1.5, ours - max(others))
    kind = {"peer": OURS, "subject": "all"}
    segmentation = tables.get("segmentation", [])
    dice = _pick(segmentation, "dice", label="myocardium", frames_are="interpolated", **kind)
    bar(f"{source}, interpolated frames: Dice of the myocardium", 0.82, 0.88, dice)
    for frames in ("acquired", "interpolated"):
        dice = _pick(segmentation, "dice", label="pool", frames_are=frames, **kind)
        bar(f"{source}, {frames} frames: Dice of the pool", 0.90, 0.94, dice)
    carried = tables.get("contours", [])
    mine = [row for row in carried if row["peer"] == OURS]
    if mine:
        share = sum(row["slices_better_carried"] for row in mine) / sum(row["slices"] for row in mine)
        bar(f"{source}: share of slices whose contour is better carried than left", 0.9, 1.0, share)
    for subject in dict.fromkeys(row["patient"] for row in carried):
        ours, flow = (_pick(carried, "dice", patient=subject, peer=peer) for peer in (OURS, "flow"))
        if ours is not None and flow is not None:
            bar(f"{subject}: Dice of the carried contour, less optical flow's", -0.01, 0.02, ours - flow)


def _cost(rows: list[Row], bar: Callable[..., None]) -> None:
    usual = {"frames": 9, "pixels": 192, "slices": 1}
    ours = _pick(rows, "seconds_a_slice", network=OURS, engine="torch", **usual)
    full = _pick(rows, "seconds_a_slice", engine="torch (eager)", **usual)
    if ours is not None and full is not None:
        bar(
            "seconds a slice, as a share of the published network's at full width",
            1 / 30,
            1 / 100,
            ours / full,
            "lower",
        )
