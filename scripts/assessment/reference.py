"""The figures that a reader wants first, and published values beside them. Never a verdict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .result import Dyssynchrony, Figure, Reference, SliceAssessment, StackMotion, Volumes

_VOLUMES = (
    ("ef_percent", "Ejection fraction", "%"),
    ("edv_ml", "End-diastolic volume", "ml"),
    ("esv_ml", "End-systolic volume", "ml"),
    ("stroke_volume_ml", "Stroke volume", "ml"),
    ("mass_g", "Myocardial mass", "g"),
)
_MOTION = (
    ("gls_percent", "Global longitudinal strain", "%"),
    ("gcs_percent", "Global circumferential strain", "%"),
    ("grs_percent", "Global radial strain", "%"),
    ("twist_deg", "Peak twist", "°"),
    ("torsion_deg_cm", "Peak torsion", "°/cm"),
    ("torsion_rate_systolic_deg_s_cm", "Peak systolic torsion rate", "°/s/cm"),
    ("torsion_rate_diastolic_deg_s_cm", "Peak diastolic torsion rate", "°/s/cm"),
)
_WAVES = (("PS", "s", "systolic"), ("PD", "e", "early diastolic"), ("PAS", "a", "atrial"))
_LEVEL_WORDS = {"base": "basal", "mid": "mid", "apex": "apical"}

_CODREANU = "Codreanu 2014, tissue phase mapping"
_MANGION = "Mangion 2019"
_DOPPLER = "Doppler tissue imaging, n = 35"
_TIMES = "tissue phase mapping, times after the R wave"
_DELAY = "limits in use for septal to lateral delay: below 30, 30 to 60, above 60 ms"

#: Key, mean, SD, low, high, population, source; the values of the project's docs/field.md, section 4.
PUBLISHED: tuple[tuple[str, float | None, float | None, float | None, float | None, str, str], ...] = (
    ("longitudinal_s_mid_cm_s", 8.5, 0.8, None, None, "healthy, 23 years", _CODREANU),
    ("longitudinal_s_mid_cm_s", 5.9, 0.5, None, None, "healthy, 66 years", _CODREANU),
    ("longitudinal_e_mid_cm_s", -15.2, 0.9, None, None, "healthy, 23 years", _CODREANU),
    ("longitudinal_e_mid_cm_s", -10.7, 0.7, None, None, "healthy, 66 years", _CODREANU),
    ("torsion_rate_systolic_deg_s_cm", 14.5, 1.0, None, None, "healthy, young", _CODREANU),
    ("torsion_rate_systolic_deg_s_cm", 20.6, 2.0, None, None, "healthy, old", _CODREANU),
    ("longitudinal_s_base_cm_s", 7.35, 1.64, None, None, "healthy", _DOPPLER),
    ("longitudinal_s_mid_cm_s", 5.26, 1.88, None, None, "healthy", _DOPPLER),
    ("longitudinal_s_apex_cm_s", 3.33, 1.58, None, None, "healthy", _DOPPLER),
    ("longitudinal_e_base_cm_s", -10.56, 2.34, None, None, "healthy", _DOPPLER),
    ("longitudinal_e_mid_cm_s", -7.92, 2.37, None, None, "healthy", _DOPPLER),
    ("longitudinal_e_apex_cm_s", -3.98, 1.64, None, None, "healthy", _DOPPLER),
    ("longitudinal_s_mid_time_ms", 132.0, 19.0, None, None, "healthy", _TIMES),
    ("longitudinal_e_mid_time_ms", 459.0, 18.0, None, None, "healthy", _TIMES),
    ("radial_s_mid_cm_s", 4.2, None, None, None, "healthy, posterior wall", "Palka 1996, M-mode"),
    ("radial_e_mid_cm_s", -6.6, None, None, None, "healthy, posterior wall", "Palka 1996, M-mode"),
    ("radial_a_mid_cm_s", -2.8, None, None, None, "healthy, posterior wall", "Palka 1996, M-mode"),
    ("gls_percent", -18.5, None, None, None, "healthy men", _MANGION),
    ("gls_percent", -21.9, None, None, None, "healthy women", _MANGION),
    ("gcs_percent", -25.4, None, None, None, "healthy men", _MANGION),
    ("gcs_percent", -27.9, None, None, None, "healthy women", _MANGION),
    ("septal_lateral_delay_longitudinal_ms", None, None, -30.0, 30.0, "walls in step", _DELAY),
)


def find_summary(
    slices: Sequence[SliceAssessment],
    stack: StackMotion | None,
    volumes: Volumes | None,
    dyssynchrony: Sequence[Dyssynchrony],
) -> tuple[Figure, ...]:
    """The figures that a reader wants first.

    Args:
        slices: Assessed slices.
        stack: Motion of the stack, or None.
        volumes: Volumes, or None.
        dyssynchrony: Delays.
    """
    figures = []

    def add(key: str, name: str, unit: str, value: float | None, where: str, reason: str) -> None:
        known = value is not None and bool(np.isfinite(value))
        figures.append(Figure(key, name, value if known else None, unit, where, "" if known else reason))

    for key, name, unit in _VOLUMES:
        add(key, name, unit, getattr(volumes, key, None), "stack", "needs a stack of at least two slices with a pool")
    for key, name, unit in _MOTION:
        value = stack.peaks[key] if stack else None
        add(key, name, unit, value, "stack", "needs at least two slices with a complete wall")
    for level in ("mid", "base", "apex"):
        chosen = [s for s in slices if s.level == level]
        where = f"{_LEVEL_WORDS[level]} slices"
        if level == "mid" and all(s.level == "none" for s in slices):
            chosen, where = [s for s in slices if s.found], "all slices: too few to tell levels"
        if level != "mid" and not chosen:
            continue
        for component in ("longitudinal", "radial"):
            for code, letter, words in _WAVES:
                peaks = [
                    m for s in chosen for m in s.markers
                    if (m.component, m.region, m.code) == (component, "global", code)
                ]  # fmt: skip
                key, name = f"{component}_{letter}_{level}", f"{component.capitalize()} {words} peak, {level}"
                reason = "no peak of its own in the curve" if chosen else "no slice with a complete wall"
                value = float(np.mean([m.value_cm_s for m in peaks])) if peaks else None
                add(f"{key}_cm_s", name, "cm/s", value, where, reason)
                time = float(np.mean([m.time_ms for m in peaks])) if peaks else None
                add(f"{key}_time_ms", f"{name}: time", "ms", time, where, reason)
    for item in (d for d in dyssynchrony if d.slice is None):
        for key, name, value in (
            ("septal_lateral_delay", "Septal to lateral delay", item.septal_lateral_delay_ms),
            ("sd_time_to_peak", "SD of time to systolic peak", item.sd_time_to_peak_ms),
        ):
            add(f"{key}_{item.component}_ms", f"{name}, {item.component}", "ms", value, item.where, "no systolic peaks")
    return tuple(figures)


def find_reference(summary: Sequence[Figure]) -> tuple[Reference, ...]:
    """Published values of the figures in a summary, each beside the study's own."""
    figures = {figure.key: figure for figure in summary}
    return tuple(
        Reference(key, figures[key].name, figures[key].unit, mean, sd, low, high, population, source,
                  figures[key].value, figures[key].where)
        for key, mean, sd, low, high, population, source in PUBLISHED
        if key in figures
    )  # fmt: skip
