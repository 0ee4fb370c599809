"""The figures that a reader wants first, chosen from an assessment; the page and the PDF show the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scripts.assessment import Assessment
from scripts.assessment.result import Figure, Flag, Marker, SliceAssessment

MARKER_WORDS = {
    "PS": "peak systolic",
    "PD": "peak early diastolic",
    "PAS": "peak atrial systolic",
    "PC1": "first circumferential peak",
    "PC2": "second circumferential peak",
    "PC3": "third circumferential peak",
}
CODES = {
    "radial": ("PS", "PD", "PAS"),
    "circumferential": ("PC1", "PC2", "PC3"),
    "longitudinal": ("PS", "PD", "PAS"),
}

#: Keys of the summary that stand at the top, as far as they have a value; all others are in its table.
FIRST = (
    "ef_percent",
    "edv_ml",
    "esv_ml",
    "mass_g",
    "gls_percent",
    "gcs_percent",
    "grs_percent",
    "twist_deg",
    "torsion_rate_systolic_deg_s_cm",
    "longitudinal_s_mid_cm_s",
    "longitudinal_e_mid_cm_s",
    "longitudinal_a_mid_cm_s",
    "radial_s_mid_cm_s",
    "radial_e_mid_cm_s",
    "septal_lateral_delay_longitudinal_ms",
    "sd_time_to_peak_longitudinal_ms",
)
#: Units that are shown without decimals.
WHOLE_UNITS = ("ms", "ml", "g")


def number(value: float | None, digits: int) -> str:
    """A number as people read it: fixed digits, a true minus sign, a dash for what is absent."""
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def in_unit(value: float | None, unit: str) -> str:
    """A number with its unit."""
    return f"{number(value, 0 if unit in WHOLE_UNITS else 1)} {unit}"


def first_figures(assessment: Assessment) -> list[Figure]:
    """The figures for the top of the report: those of FIRST that have a value."""
    by_key = {figure.key: figure for figure in assessment.summary}
    return [by_key[key] for key in FIRST if key in by_key and by_key[key].value is not None]


def missing_words(assessment: Assessment) -> list[str]:
    """For each reason why figures of FIRST have no value: which they are, and the reason."""
    reasons: dict[str, list[str]] = {}
    for figure in assessment.summary:
        if figure.key in FIRST and figure.value is None:
            reasons.setdefault(figure.reason, []).append(figure.name)
    return [f"Not available: {', '.join(names)}: {reason}." for reason, names in reasons.items()]


def joined_flags(assessment: Assessment) -> list[Flag]:
    """The flags, worst first, where slices that share one share a line: "slice 3, slice 4"."""
    places: dict[tuple[str, str], list[Flag]] = {}
    for flag in assessment.flags:
        places.setdefault((flag.severity, flag.text), []).append(flag)
    return [replace(flags[0], where=", ".join(flag.where for flag in flags)) for flags in places.values()]


def marker(markers: tuple[Marker, ...], component: str, region: str, code: str) -> Marker | None:
    """One peak out of many, or None."""
    return next((m for m in markers if (m.component, m.region, m.code) == (component, region, code)), None)


def middle_slice(assessment: Assessment) -> SliceAssessment | None:
    """The middle one of the slices at mid level, or of those that show a ventricle; None if none does."""
    found = [one for one in assessment.slices if one.level == "mid"] or [one for one in assessment.slices if one.found]
    return found[len(found) // 2] if found else None


def shown_slices(assessment: Assessment) -> list[SliceAssessment]:
    """A slice of each level, base first; without levels, up to three that show a ventricle."""
    by_level = [[one for one in assessment.slices if one.level == level] for level in ("base", "mid", "apex")]
    if all(by_level):
        return [some[len(some) // 2] for some in by_level]
    return [one for one in assessment.slices if one.found][:3]


def subtitle(assessment: Assessment) -> str:
    """What was looked at, in one line."""
    study = assessment.study
    rr, spacing, acquired = study["rr_ms"], study["spacing_mm"], int(np.sum(study["acquired"]))
    frames = f"{study['frames']} frames" + (f" ({acquired} acquired)" if acquired < study["frames"] else "")
    slices = f"{study['slices']} slice" + ("s" if study["slices"] != 1 else "")
    beat = f"RR {min(rr):.0f} ms" if max(rr) - min(rr) < 1 else f"RR {min(rr):.0f} to {max(rr):.0f} ms"
    kind = "velocities measured" if study["kind"] == "measured" else "velocities synthesised from the magnitude cine"
    size = f"{spacing[0]:.2f} × {spacing[1]:.2f} mm, slices {spacing[2]:.1f} mm apart"
    return f"Left ventricle, short axis · {slices} · {frames} · {beat} · {size} · {kind} · labels {study['labels']}"
