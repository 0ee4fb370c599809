"""What an assessment holds, and its JSON form; `assessment.schema.json` describes the same for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT, VERSION = "hdl_mvm assessment", 1
SCHEMA = Path(__file__).with_name("assessment.schema.json")
DIGITS = 4

#: Component: region set ("global", "sectors_6", "sectors_24", "layers_3") to curves, shape (T,) or (regions, T).
Curves = dict[str, dict[str, NDArray]]


@dataclass(frozen=True)
class Marker:
    """A peak of a velocity curve.

    Attributes:
        component: "radial", "circumferential" or "longitudinal".
        region: "global", a sector of six ("AS", ...), of 24 ("1" to "24"), or a layer ("endo", "mid", "epi").
        code: PS, PD, PAS (radial, longitudinal); PC1, PC2, PC3 (circumferential).
        value_cm_s: Peak velocity, cm/s.
        time_ms: Time after the first frame, between frames by a parabola, ms.
        time_percent_rr: The same in % of RR.
        time_normalised_ms: The same with systole stretched to 350 ms and diastole to 650 ms.
    """

    component: str
    region: str
    code: str
    value_cm_s: float
    time_ms: float
    time_percent_rr: float
    time_normalised_ms: float


@dataclass(frozen=True)
class SliceAssessment:
    """One slice. Curves hold NaN (null in JSON) where the wall is missing.

    Attributes:
        index: Slice, 0 = base.
        level: "base", "mid", "apex"; "none" if it has no complete ventricle or the stack is too short to tell.
        found: Whether the slice shows the ventricle in every frame.
        position_mm: Distance from the first slice towards the apex, mm.
        rr_ms: RR interval, ms.
        times_ms: Time of each frame after the first, shape (T,), ms.
        septum_deg: Direction from the centroid to the middle of the septum: degrees from +X towards +Y.
        centroid_pixels: Centre of the wall, smoothed over three frames, shape (T, 2), pixels along X and Y.
        end_systole_ms: End-systole of the heart at this slice's RR, ms, or None.
        velocity_cm_s: Curves of the three components, cm/s.
        markers: Peaks of every region.
        strain_percent: "radial", "circumferential": region set to curves, %, 0 at the first frame.
        strain_rate_per_s: Their rate of change, 1/s.
        rotation_deg: Mean rotation of the wall since the first frame, counter-clockwise seen from the apex, shape (T,).
        rotation_rate_deg_s: Its rate of change, degrees/s.
        pool_area_mm2: Area of the blood pool, shape (T,), mm^2.
        myocardium_area_mm2: Area of the myocardium, shape (T,), mm^2.
    """

    index: int
    level: str
    found: bool
    position_mm: float
    rr_ms: float
    times_ms: NDArray
    septum_deg: float | None
    centroid_pixels: NDArray | None
    end_systole_ms: float | None
    velocity_cm_s: Curves
    markers: tuple[Marker, ...]
    strain_percent: Curves
    strain_rate_per_s: Curves
    rotation_deg: NDArray
    rotation_rate_deg_s: NDArray
    pool_area_mm2: NDArray
    myocardium_area_mm2: NDArray


@dataclass(frozen=True)
class Segment:
    """One of the 16 segments of the AHA (Cerqueira 2002, doi 10.1161/hc0402.102975).

    Attributes:
        number: 1 to 16.
        name: Such as "basal anterior".
        level: "base", "mid" or "apex".
        slices: Slices that it was averaged over.
        velocity_cm_s: Component to mean curve over the segment, shape (T,), cm/s.
        markers: Its peaks; `region` is the segment's number.
    """

    number: int
    name: str
    level: str
    slices: tuple[int, ...]
    velocity_cm_s: dict[str, NDArray]
    markers: tuple[Marker, ...]


@dataclass(frozen=True)
class StackMotion:
    """Motion of the whole ventricle, from two slices or more; times are those of the mean RR.

    Attributes:
        rr_ms: Mean RR of the slices, ms.
        times_ms: Shape (T,), ms.
        basal_slices, apical_slices: Which slices twist compares.
        length_cm: Distance between their mean positions, cm.
        twist_deg: Rotation at the apex less that at the base, shape (T,), degrees.
        twist_rate_deg_s: Its rate of change, degrees/s.
        torsion_deg_cm: Twist a cm of length.
        torsion_rate_deg_s_cm: Its rate of change.
        strain_percent: "longitudinal" (slope of displacement over the stack), "circumferential", "radial" (means of the
            slices): curves, shape (T,), %.
        strain_rate_per_s: Their rates of change, 1/s.
        peaks: What the curves reach, by name with the unit in it: gls_percent, gcs_percent, grs_percent, twist_deg,
            twist_time_ms, torsion_deg_cm, torsion_rate_systolic_deg_s_cm, torsion_rate_diastolic_deg_s_cm, and others.
    """

    rr_ms: float
    times_ms: NDArray
    basal_slices: tuple[int, ...]
    apical_slices: tuple[int, ...]
    length_cm: float
    twist_deg: NDArray
    twist_rate_deg_s: NDArray
    torsion_deg_cm: NDArray
    torsion_rate_deg_s_cm: NDArray
    strain_percent: dict[str, NDArray]
    strain_rate_per_s: dict[str, NDArray]
    peaks: dict[str, float]


@dataclass(frozen=True)
class Volumes:
    """Volumes by Simpson's summation: area times slice distance, summed.

    Attributes:
        times_ms: Shape (T,), ms, of the mean RR.
        pool_ml: Blood pool, shape (T,), ml.
        myocardium_ml: Myocardium, shape (T,), ml.
        end_diastole_frame, end_systole_frame: Frames of the largest and the smallest pool.
        edv_ml, esv_ml, stroke_volume_ml, ef_percent: What follows from them.
        mass_g: Myocardium at end-diastole times 1.05 g/ml.
    """

    times_ms: NDArray
    pool_ml: NDArray
    myocardium_ml: NDArray
    end_diastole_frame: int
    end_systole_frame: int
    edv_ml: float
    esv_ml: float
    stroke_volume_ml: float
    ef_percent: float
    mass_g: float


@dataclass(frozen=True)
class Dyssynchrony:
    """How far the walls' systolic peaks lie apart.

    Attributes:
        where: "segments 1 to 12" or "slice 3".
        slice: Slice, or None for the stack.
        component: "radial" or "longitudinal".
        septal_ms, lateral_ms: Time of the systolic peak PS of the septum (AS, IS) and the lateral wall (AL, IL), ms.
        septal_lateral_delay_ms: Lateral less septal, ms.
        sd_time_to_peak_ms: Standard deviation of the time of PS over the segments, ms.
        segments: How many segments had a peak.
    """

    where: str
    slice: int | None
    component: str
    septal_ms: float | None
    lateral_ms: float | None
    septal_lateral_delay_ms: float | None
    sd_time_to_peak_ms: float | None
    segments: int


@dataclass(frozen=True)
class Figure:
    """One of the figures that a reader wants first.

    Attributes:
        key: Name with the unit in it, such as "ef_percent".
        name: What it is, in words.
        value: Its value, or None.
        unit: Its unit.
        where: What it is of: "stack", "slice 2", "mid slices".
        reason: Why there is no value; empty if there is one.
    """

    key: str
    name: str
    value: float | None
    unit: str
    where: str
    reason: str


@dataclass(frozen=True)
class Reference:
    """A published value beside the study's own; never a verdict.

    Attributes:
        key: Key of the figure in the summary that it belongs to.
        quantity: What it is, in words.
        unit: Unit of the values.
        mean, sd: Published mean and standard deviation, or None.
        low, high: Published limits, or None.
        population: Who was measured.
        source: Publication, and how.
        value: The study's own value, or None.
        where: Which slice or segment the own value is of.
    """

    key: str
    quantity: str
    unit: str
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    population: str
    source: str
    value: float | None
    where: str


@dataclass(frozen=True)
class Flag:
    """Something that a reader should doubt.

    Attributes:
        code: Such as "touches_border"; the codes are in `flags.py`.
        severity: "info", "warning" or "error".
        where: "study", "slice 3" (counted from 1), ...
        slice: Slice, 0 = base, or None.
        text: What was found and what it means, in words.
    """

    code: str
    severity: str
    where: str
    slice: int | None
    text: str


@dataclass(frozen=True)
class Assessment:
    """Everything that the report shows. Arrays are NumPy; `to_json` turns them into lists.

    Attributes:
        study: name, kind ("synthesised" or "measured"), slices, frames, acquired (T bool), spacing_mm, cyclic,
            view_known, venc_cm_s (three or None), labels ("predicted", "reviewed" or "given"), rr_ms (Z), notes,
            sources.
        software: Versions by name.
        conventions: Signs, views and units, in words, by name.
        methods: How each quantity was made, in words, by name.
        sectors: Names of the six sectors, from the septum's middle clockwise as seen from the apex.
        slices: One entry a slice, base first.
        segments: AHA segments; empty if the stack has fewer than three slices with a ventricle.
        stack: Motion of the whole ventricle, or None with a single slice.
        volumes: Volumes, or None with a single slice.
        dyssynchrony: Delays, over the stack and in each slice.
        summary: The figures that a reader wants first.
        reference: Published values beside the study's own.
        flags: What to doubt, worst first.
        disclaimer: "Not for diagnosis" in words.
    """

    study: dict[str, Any]
    software: dict[str, str]
    conventions: dict[str, str]
    methods: dict[str, str]
    sectors: tuple[str, ...]
    slices: tuple[SliceAssessment, ...]
    segments: tuple[Segment, ...]
    stack: StackMotion | None
    volumes: Volumes | None
    dyssynchrony: tuple[Dyssynchrony, ...]
    summary: tuple[Figure, ...]
    reference: tuple[Reference, ...]
    flags: tuple[Flag, ...]
    disclaimer: str = "For research. Not for diagnosis."

    def to_json(self) -> dict[str, Any]:
        """The whole as what JSON can hold: lists in place of arrays, None in place of NaN, four decimals."""
        return {"format": FORMAT, "version": VERSION, **_plain(self)}

    def write(self, path: str | Path) -> Path:
        """Write `assessment.json`."""
        path = Path(path)
        path.write_text(json.dumps(self.to_json(), allow_nan=False) + "\n", encoding="utf-8")
        return path


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value
