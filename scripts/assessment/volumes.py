"""Volumes of the left ventricle by Simpson's summation, and delays between its walls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .maps import MYOCARDIUM, POOL, Maps
from .result import Dyssynchrony, Marker, Segment, SliceAssessment, Volumes

#: Density of myocardium, g/ml.
DENSITY = 1.05


def find_volumes(maps: Maps) -> Volumes | None:
    """Volumes over the stack: area times slice distance, summed over the slices.

    Args:
        maps: The study.

    Returns:
        None with fewer than two slices that show a pool.
    """
    if (maps.labels == POOL).any((0, 1, 2)).sum() < 2:
        return None
    voxel_ml = float(np.prod(maps.spacing_mm)) / 1000
    pool, wall = (voxel_ml * (maps.labels == value).sum((1, 2, 3)) for value in (POOL, MYOCARDIUM))
    largest, smallest = int(pool.argmax()), int(pool.argmin())
    edv, esv = float(pool[largest]), float(pool[smallest])
    return Volumes(
        times_ms=maps.times_ms.mean(0),
        pool_ml=pool,
        myocardium_ml=wall,
        end_diastole_frame=largest,
        end_systole_frame=smallest,
        edv_ml=edv,
        esv_ml=esv,
        stroke_volume_ml=edv - esv,
        ef_percent=100 * (edv - esv) / edv,
        mass_g=DENSITY * float(wall[largest]),
    )


def find_dyssynchrony(slices: Sequence[SliceAssessment], segments: Sequence[Segment]) -> tuple[Dyssynchrony, ...]:
    """Septal to lateral delay and spread of the time to systolic peak: over segments 1 to 12, and in each slice.

    Args:
        slices: Assessed slices.
        segments: AHA segments; may be empty.
    """
    result = []
    for component in ("longitudinal", "radial"):
        twelve = {
            s.number: _time([m for m in s.markers if m.component == component]) for s in segments if s.number <= 12
        }
        if twelve:
            # AHA: 2, 3, 8, 9 are septal; 5, 6, 11, 12 lateral.
            septal, lateral = ([twelve[k] for k in ks if k in twelve] for ks in ((2, 3, 8, 9), (5, 6, 11, 12)))
            result.append(_delays("segments 1 to 12", None, component, septal, lateral, list(twelve.values())))
        for item in slices:
            times = {m.region: m.time_ms for m in item.markers if m.component == component and m.code == "PS"}
            six = [times.get(name) for name in ("AS", "IS", "AL", "IL", "A", "I")]
            if any(t is not None for t in six):
                result.append(_delays(f"slice {item.index + 1}", item.index, component, six[:2], six[2:4], six))
    return tuple(result)


def _time(markers: Sequence[Marker]) -> float | None:
    return next((m.time_ms for m in markers if m.code == "PS"), None)


def _delays(
    where: str,
    index: int | None,
    component: str,
    septal: Sequence[float | None],
    lateral: Sequence[float | None],
    every: Sequence[float | None],
) -> Dyssynchrony:
    def mean(times: Sequence[float | None]) -> float | None:
        known = [t for t in times if t is not None]
        return float(np.mean(known)) if known else None

    known = [t for t in every if t is not None]
    first, second = mean(septal), mean(lateral)
    return Dyssynchrony(
        where=where,
        slice=index,
        component=component,
        septal_ms=first,
        lateral_ms=second,
        septal_lateral_delay_ms=None if first is None or second is None else second - first,
        sd_time_to_peak_ms=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        segments=len(known),
    )
