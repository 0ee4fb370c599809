"""What a reader should doubt, found in the maps and said in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .maps import MYOCARDIUM, POOL, Maps
from .motion import MM_PER_MS
from .result import Flag, SliceAssessment, Volumes

SEVERITIES = ("error", "warning", "info")
#: Frames longer than this blur peaks; good velocity mapping has 19 to 24 ms (Simpson 2013).
LONG_FRAME_MS = 40.0
#: A wall's area, or a pool's volume, cannot leave the line between its neighbours by more than this share.
JUMP = 0.25
#: Area of the myocardium of one slice that hearts have, mm^2.
WALL_AREA_MM2 = (150.0, 6000.0)
#: Ranges outside which a figure says more about the labels than about a heart: field, name, unit, range.
PLAUSIBLE = (
    ("ef_percent", "ejection fraction", "%", 5.0, 90.0),
    ("edv_ml", "end-diastolic volume", "ml", 30.0, 600.0),
    ("mass_g", "mass", "g", 25.0, 500.0),
)
#: Distance by which a wall may miss its start after one cycle, mm.
CLOSES_WITHIN_MM = 4.0
#: No myocardium moves faster, cm/s: what synthesised velocities are held against, which have no venc.
FASTEST_CM_S = 40.0
#: Share of the wall's pixels that may lie at the limit of velocity.
AT_LIMIT = 0.01
#: Contours that the velocity carries end less than this share as far off as unmoved ones.
CONTRADICTS = 1.0
#: Below this the septum was hardly told from other directions: on phantoms, most that were wrong by 45 degrees.
CLEAR_SEPTUM = 0.35
#: Slices whose RR differ by more than this share are worth a word.
RR_SPREAD = 0.15

#: Code: severity and words.
WORDS = {
    "no_ventricle_in_study": ("error", "No myocardium is labelled in any slice: there is no motion to assess."),
    "no_ventricle": ("info", "No left ventricle is labelled in this slice: it takes no part in the results."),
    "pool_without_wall": (
        "warning",
        "A blood pool without myocardium is labelled in this slice: it takes part in volumes alone.",
    ),
    "ventricle_missing": (
        "error",
        "No myocardium is labelled in frame(s) {frames}: curves have gaps; neither peaks nor strain are given.",
    ),
    "wall_incomplete": (
        "warning",
        "The labelled wall is open over more than a quarter of its circumference, as at the outflow tract: global "
        "curves, peaks and strain are not given.",
    ),
    "wall_open": (
        "warning",
        "The labelled wall is open in {open} of 24 sectors in some frames, as at the outflow tract: these sectors have "
        "no curves, and those of their neighbours and of the whole slice are less exact.",
    ),
    "touches_border": ("error", "The labels touch the border of the image: a part of the ventricle is cut off."),
    "area_implausible": (
        "warning",
        "The myocardium's area is {area:.0f} mm²; hearts have {low:.0f} to {high:.0f} mm².",
    ),
    "area_jumps": (
        "warning",
        "The myocardium's area jumps by {jump:.0f} % in one frame, which no wall does: the labels are unsteady.",
    ),
    "above_venc": (
        "warning",
        "{share:.1f} % of the wall's pixels reach the venc of {limit:g} cm/s along {axis}: velocities are clipped or "
        "wrapped, unless wrapping was undone.",
    ),
    "too_fast": (
        "warning",
        "{share:.1f} % of the wall's pixels move faster than {limit:g} cm/s along {axis}, which myocardium does not.",
    ),
    "not_closed": (
        "warning",
        "After one cycle the wall would be {drift:+.1f} mm from where it started ({name}): an offset of {offset:+.2f} "
        "cm/s. Strain and rotation are freed of it, velocities are not.",
    ),
    "contradicts_labels": (
        "warning",
        "Contours that the velocity moves end no nearer to the labels of later frames than contours that stay "
        "({ratio:.2f} times as far): velocities or labels are wrong.",
    ),
    "synthesised": ("info", "The velocities were synthesised from magnitude images, not measured."),
    "interpolated": (
        "info",
        "{kept} of {frames} frames were acquired, {gap:.0f} ms apart; the others are interpolated. Motion shorter than "
        "that, such as isovolumic spikes, is not in the data.",
    ),
    "few_frames": (
        "warning",
        "The acquired frames lie {gap:.0f} ms apart (good velocity mapping has 19 to 24 ms): peaks are too low, and "
        "their times uncertain.",
    ),
    "not_cyclic": (
        "warning",
        "The cine ends before the next beat: displacement cannot be made to close; the atrial wave may be missing.",
    ),
    "view_unknown": (
        "warning",
        "The files state no patient orientation. If the view is not from the apex, circumferential velocity, rotation "
        "and twist have the wrong sign, and the sectors run the wrong way.",
    ),
    "septum_unclear": (
        "warning",
        "The right ventricle was hardly told from other tissue: the sectors may be turned. Give the septum's direction "
        "(--septum_deg).",
    ),
    "rr_varies": (
        "warning",
        "RR differs between the slices ({low:.0f} to {high:.0f} ms): they are compared at equal fractions of it.",
    ),
    "volume_implausible": (
        "warning",
        "The {name} is {value:.0f} {unit}, outside {low:.0f} to {high:.0f}: check labels and slices.",
    ),
    "volume_gap": (
        "warning",
        "A slice between labelled ones has no ventricle in frame(s) {frames}: volumes are too low there, and the "
        "ejection fraction may be wrong.",
    ),
    "volume_jumps": (
        "warning",
        "The pool's volume jumps by {jump:.0f} % in one frame, which no heart does: the labels are unsteady.",
    ),
}


def _flag(code: str, z: int | None = None, **values: object) -> Flag:
    severity, words = WORDS[code]
    return Flag(code, severity, "study" if z is None else f"slice {z + 1}", z, words.format(**values))


def slice_flags(maps: Maps, z: int, item: SliceAssessment, bulk: NDArray | None, disagrees: float | None) -> list[Flag]:
    """Flags of one slice.

    Args:
        maps: The study.
        z: Slice, 0 = base.
        item: Its assessment.
        bulk: Bulk motion that was removed, shape (2, T), cm/s; None without a ventricle.
        disagrees: What `carry.disagreement` gave; None without a complete wall.
    """
    labels = maps.labels[..., z]
    shown = (labels == MYOCARDIUM).any((1, 2))
    if not shown.any():
        return [_flag("pool_without_wall" if (labels == POOL).any() else "no_ventricle", z)]
    found: list[Flag] = []
    open_sectors = int((~np.isfinite(item.velocity_cm_s["radial"]["sectors_24"])).any(1).sum())
    if not shown.all():
        found.append(_flag("ventricle_missing", z, frames=_numbers(~shown)))
    elif not item.found:
        found.append(_flag("wall_incomplete", z))
    elif open_sectors:
        found.append(_flag("wall_open", z, open=open_sectors))
    if any((labels[:, edge] > 0).any() or (labels[:, :, edge] > 0).any() for edge in (0, -1)):
        found.append(_flag("touches_border", z))
    area = item.myocardium_area_mm2[shown]
    low, high = WALL_AREA_MM2
    if not low <= np.median(area) <= high:
        found.append(_flag("area_implausible", z, area=np.median(area), low=low, high=high))
    if shown.all() and _largest_jump(area) > JUMP:
        found.append(_flag("area_jumps", z, jump=100 * _largest_jump(area)))
    inside = np.abs(maps.velocity[..., z][:, labels == MYOCARDIUM])
    for axis, values, limit in zip("xyz", inside, maps.venc or (FASTEST_CM_S,) * 3, strict=True):
        share = float((values >= 0.98 * limit).mean())
        if share > AT_LIMIT:
            found.append(_flag("above_venc" if maps.venc else "too_fast", z, share=100 * share, limit=limit, axis=axis))
    if maps.cyclic:
        found.extend(_drifts(z, item, bulk))
    if disagrees is not None and disagrees >= CONTRADICTS:
        found.append(_flag("contradicts_labels", z, ratio=disagrees))
    return found


def _drifts(z: int, item: SliceAssessment, bulk: NDArray | None) -> list[Flag]:
    """Motion that does not return to its start."""
    curves = {name: item.velocity_cm_s[name]["global"] for name in ("radial", "longitudinal")}
    if bulk is not None:
        curves |= {"bulk motion along x": bulk[0], "bulk motion along y": bulk[1]}
    offsets = {name: float(np.mean(curve)) for name, curve in curves.items() if np.isfinite(curve).all()}
    drifts = {name: offset * MM_PER_MS * item.rr_ms for name, offset in offsets.items()}
    return [
        _flag("not_closed", z, name=name, drift=drift, offset=offsets[name])
        for name, drift in drifts.items()
        if abs(drift) > CLOSES_WITHIN_MM
    ]


def study_flags(maps: Maps, volumes: Volumes | None, septum_clear: float | None) -> list[Flag]:
    """Flags of the study as a whole.

    Args:
        maps: The study.
        volumes: Volumes, or None.
        septum_clear: How clear the septum was, 0 to 1; None if a person gave it.
    """
    if not (maps.labels == MYOCARDIUM).any():
        return [_flag("no_ventricle_in_study")]
    found: list[Flag] = []
    frames, kept = len(maps.acquired), int(maps.acquired.sum())
    gap = float(maps.frame_duration_ms.mean()) * (int(np.flatnonzero(maps.acquired)[1]) if kept > 1 else frames)
    low, high = float(maps.rr_ms.min()), float(maps.rr_ms.max())
    if maps.kind == "synthesised":
        found.append(_flag("synthesised"))
    if kept < frames:
        found.append(_flag("interpolated", kept=kept, frames=frames, gap=gap))
    elif gap > LONG_FRAME_MS:
        found.append(_flag("few_frames", gap=gap))
    if not maps.cyclic:
        found.append(_flag("not_cyclic"))
    if not maps.view_known:
        found.append(_flag("view_unknown"))
    if septum_clear is not None and septum_clear < CLEAR_SEPTUM:
        found.append(_flag("septum_unclear"))
    if high > (1 + RR_SPREAD) * low:
        found.append(_flag("rr_varies", low=low, high=high))
    if volumes is not None:
        for field, name, unit, least, most in PLAUSIBLE:
            value = getattr(volumes, field)
            if not least <= value <= most:
                found.append(_flag("volume_implausible", name=name, value=value, unit=unit, low=least, high=most))
        gaps = _frames_with_a_gap(maps.labels)
        if gaps.any():
            found.append(_flag("volume_gap", frames=_numbers(gaps)))
        if _largest_jump(volumes.pool_ml) > JUMP:
            found.append(_flag("volume_jumps", jump=100 * _largest_jump(volumes.pool_ml)))
    return found


def _frames_with_a_gap(labels: NDArray) -> NDArray[np.bool_]:
    """Frames in which a slice without a ventricle lies between slices with one, shape (T,); labels (T, X, Y, Z)."""
    there = np.max(labels, axis=(1, 2)) > 0
    before = np.maximum.accumulate(there, axis=1)
    after = np.maximum.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    return np.any(before & after & ~there, axis=1)


def _numbers(chosen: NDArray) -> str:
    """Numbers of the chosen frames, from 1, at most 12."""
    frames = [str(t + 1) for t in np.flatnonzero(chosen)]
    return ", ".join(frames[:12]) + ", ..." * (len(frames) > 12)


def _largest_jump(curve: NDArray) -> float:
    """Largest distance of a frame from the line between its neighbours, as a share of the mean."""
    away = curve[1:-1] - (curve[:-2] + curve[2:]) / 2
    return float(np.abs(away).max() / max(curve.mean(), 1e-9)) if len(away) else 0.0
