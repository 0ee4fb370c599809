"""The whole assessment of a study: each part in its own module, put together here."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib import metadata

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.cine.study import CineError

from .carry import disagreement
from .flags import SEVERITIES, slice_flags, study_flags
from .maps import MYOCARDIUM, POOL, Maps
from .markers import Phases, find_markers, find_phases
from .motion import derivative, integrated, rotation_rate_deg_s, slice_strain, stack_motion, step_of
from .reference import find_reference, find_summary
from .regions import COMPONENTS, REGION_NAMES, SEGMENTS, levels, pooled_mean, region_curves, sector_sums
from .result import Assessment, Curves, Flag, Marker, Segment, SliceAssessment
from .septum import find_septum
from .volumes import find_dyssynchrony, find_volumes
from .wall import crop, extended, find_contours, sample_wall

CONVENTIONS = {
    "view": "from the apex: X to the right, Y down; slices from base to apex",
    "radial": "positive inward (contraction)",
    "circumferential": "positive counter-clockwise seen from the apex",
    "longitudinal": "positive from base to apex",
    "rotation": "positive counter-clockwise seen from the apex, 0 in the first frame; twist is apex less base",
    "strain": "0 in the first frame; shortening is negative",
    "angles": "septum_deg runs from +X towards +Y, clockwise as seen from the apex",
    "sectors_6": "AS, A, AL, IL, I, IS: sector i spans septum_deg + 60 i to septum_deg + 60 (i + 1)",
    "sectors_24": "sector i spans septum_deg + 15 i to septum_deg + 15 (i + 1)",
    "layers_3": "thirds of the wall: endocardial, middle, epicardial",
    "segments": "AHA 1 to 16; apical segments span 90 degrees, the septal one centred on the septum's middle",
    "times": "ms after the first frame; percent of the slice's RR; normalised: systole 350 ms, diastole 650 ms",
}
METHODS = {
    "definitions": "StrainMap's (Imperial College London): velocities about the myocardium's centroid (smoothed over 3 "
    "frames), mean in-plane velocity of the wall removed in each frame, not along the long axis",
    "regions": "contours from the labels' area moments (6 harmonics, smoothed over a seventh of the cycle); "
    "velocities of the wall's pixels, continued straight beyond its edge, interpolated at 144 angles x 9 depths and "
    "averaged by area",
    "markers": "turning points of a periodic cubic spline. PS: maximum at 20 to 300 ms, PD: minimum at 300 to 700 ms, "
    "PAS: minimum at 700 to 940 ms of normalised time (StrainMap's frames 1-15, 15-35, 35-47 of 50); where the mean "
    "curve of the heart has two waves in diastole, the last within 230 ms of the next beat, the least motion between "
    "them parts PD from PAS, not 700 ms. PC1: minimum at 20 to 100 ms, PC2: maximum at 120 to 240 ms, PC3: the larger "
    "peak within 20 % of RR after end-systole, from 0.5 cm/s",
    "end_systole": "one for the heart: flattest point of the mean radial curve of all slices at 280 to 420 ms of "
    "normalised time, where systole is first taken as 350 ms times the cube root of RR in s, among those at which the "
    "wall goes inward with at most a fifth, or outward with at most half, of its greatest velocity; without such a "
    "shoulder, the velocity nearest to zero",
    "strain": "paths of 24 x 3 superpixels: mean velocity, temporal mean removed, integrated; change of distance "
    "between neighbours. GLS: slope of longitudinal displacement over slice position",
    "septum": "the arc beyond the epicardium that looks most like the left ventricle's blood, without a gap, over all "
    "frames and slices",
    "volumes": "Simpson's summation: area times slice distance; mass at 1.05 g/ml, papillary muscles in the pool",
    "dyssynchrony": "lateral less septal time of the systolic peak; SD over the segments",
}


def assess_maps(maps: Maps, septum_deg: float | None = None, progress: bool = False) -> Assessment:
    """Assess a study.

    Args:
        maps: The study.
        septum_deg: Direction from the centroid to the septum's middle, degrees from +X towards +Y; by default it is
            found from the image.
        progress: Whether to show a progress bar.

    Raises:
        CineError: If `septum_deg` is no angle.
    """
    clear: float | None = None
    if septum_deg is None:
        septum_deg, clear = find_septum(maps)
    elif not isinstance(septum_deg, (int, float)) or not np.isfinite(septum_deg):
        raise CineError(f"argument septum_deg: found {septum_deg!r}, expected degrees")
    flags: list[Flag] = []
    slices: list[SliceAssessment] = []
    sums: list[tuple[NDArray, NDArray]] = []
    count = maps.labels.shape[3]
    for z in tqdm(range(count), desc="Assessment", unit="slice", disable=None if progress else True):
        item, parts, bulk, disagrees = _assess_slice(maps, z, float(septum_deg) % 360)
        slices.append(item)
        sums.append(parts)
        flags.extend(slice_flags(maps, z, item, bulk, disagrees))
    # A slice through the apex alone, without a pool at any time, is segment 17: no wall around a cavity.
    complete = [s.found and bool((maps.labels[..., z] == POOL).any()) for z, s in enumerate(slices)]
    names = levels(complete)
    phases = _phases(slices, maps.cyclic)
    slices = [
        replace(
            item,
            level=name,
            end_systole_ms=phases.systole * item.rr_ms if item.found and phases.systole else None,
            markers=_markers(item, phases, maps.cyclic),
        )
        for item, name in zip(slices, names, strict=True)
    ]
    segments = _segments(maps, sums, names, phases)
    stack = stack_motion(
        [s for s, whole in zip(slices, complete, strict=True) if whole], names, maps.cyclic, phases.systole
    )
    volumes = find_volumes(maps)
    dyssynchrony = find_dyssynchrony(slices, segments)
    flags.extend(study_flags(maps, volumes, clear))
    summary = find_summary(slices, stack, volumes, dyssynchrony)
    return Assessment(
        study=_study(maps),
        software={name: metadata.version(name) for name in ("hdl_mvm", "numpy", "scipy")}
        | {"python": platform.python_version()},
        conventions=CONVENTIONS,
        methods=METHODS | {"septum": METHODS["septum"] if clear is not None else "direction given by a person"},
        sectors=REGION_NAMES["sectors_6"],
        slices=tuple(slices),
        segments=segments,
        stack=stack,
        volumes=volumes,
        dyssynchrony=dyssynchrony,
        summary=summary,
        reference=find_reference(summary),
        flags=tuple(sorted(flags, key=lambda flag: SEVERITIES.index(flag.severity))),
    )


def _assess_slice(
    maps: Maps, z: int, septum_deg: float
) -> tuple[SliceAssessment, tuple[NDArray, NDArray], NDArray | None, float | None]:
    """One slice; with the sums behind its regions, the removed bulk motion, and how labels and velocity disagree."""
    labels, velocity, spacing = maps.labels[..., z], maps.velocity[..., z], maps.spacing_mm[:2]
    frames, step, rr = len(labels), float(maps.frame_duration_ms[z]), float(maps.rr_ms[z])
    contours = find_contours(labels, spacing, maps.cyclic)
    shown = bool(contours.present.any())
    wall = sample_wall(labels, velocity, spacing, contours, septum_deg)
    components = np.stack((wall.radial, wall.circumferential, wall.longitudinal))
    total, area = sector_sums(wall, components)
    curves: Curves = {name: region_curves(part, area) for name, part in zip(COMPONENTS, total, strict=True)}
    found = bool(np.isfinite(curves["radial"]["global"]).all())
    strain: Curves = {}
    rotation_rate = rotation = np.full(frames, np.nan)
    disagrees = None
    if found:
        strain = slice_strain(wall, step, maps.cyclic)
        rotation_rate = rotation_rate_deg_s(wall)
        rotation = integrated(rotation_rate / 1000, step, maps.cyclic)
        window = crop(labels)
        near = extended(velocity[:2, :, *window], labels[:, *window] == MYOCARDIUM)
        corner = (window[0].start * spacing[0], window[1].start * spacing[1])
        disagrees = disagreement(contours.shifted(corner), near, spacing, step)
    pixel_mm2 = float(np.prod(spacing))
    item = SliceAssessment(
        index=z,
        level="none",
        found=found,
        position_mm=z * maps.spacing_mm[2],
        rr_ms=rr,
        times_ms=maps.times_ms[z],
        septum_deg=septum_deg if shown else None,
        centroid_pixels=np.where(contours.present[:, None], contours.centre / spacing, np.nan) if shown else None,
        end_systole_ms=None,  # that and the markers are told once the whole heart is known
        velocity_cm_s=curves,
        markers=(),
        strain_percent=strain,
        strain_rate_per_s={
            name: {key: derivative(part, step, maps.cyclic) / 100 for key, part in sets.items()}
            for name, sets in strain.items()
        },
        rotation_deg=rotation,
        rotation_rate_deg_s=rotation_rate,
        pool_area_mm2=pixel_mm2 * (labels == POOL).sum((1, 2)),
        myocardium_area_mm2=pixel_mm2 * (labels == MYOCARDIUM).sum((1, 2)),
    )
    return item, (total, area), wall.bulk if shown else None, disagrees


def _phases(slices: list[SliceAssessment], cyclic: bool) -> Phases:
    """Phases of the heart, from the mean curves of its complete slices, each with the weight of its wall."""
    used = [s for s in slices if s.found] or slices
    rr = float(np.mean([s.rr_ms for s in used]))
    weights = [float(s.myocardium_area_mm2.mean()) + 1e-6 for s in used]
    curves = {
        name: np.average([s.velocity_cm_s[name]["global"] for s in used], axis=0, weights=weights)
        for name in COMPONENTS
    }
    step = float(np.mean([step_of(s) / s.rr_ms for s in used])) * rr
    return find_phases(curves, step, rr, cyclic)


def _markers(item: SliceAssessment, phases: Phases, cyclic: bool) -> tuple[Marker, ...]:
    """Peaks of all curves of a slice."""
    regions = tuple(region for names in REGION_NAMES.values() for region in names)
    curves = {
        name: (regions, np.concatenate([np.atleast_2d(sets[key]) for key in REGION_NAMES]))
        for name, sets in item.velocity_cm_s.items()
    }
    return find_markers(curves, step_of(item), item.rr_ms, phases, cyclic)


def _segments(maps: Maps, sums: list[tuple[NDArray, NDArray]], names: list[str], phases: Phases) -> tuple[Segment, ...]:
    """AHA segments: sums over the slices of a level, at equal fractions of RR."""
    result = []
    for number, (level, name, sectors) in SEGMENTS.items():
        chosen = [z for z, own in enumerate(names) if own == level]
        if not chosen:
            continue
        total = np.sum([sums[z][0] for z in chosen], axis=0)
        area = np.sum([sums[z][1] for z in chosen], axis=0)
        curves = pooled_mean(total, area, sectors)
        rr, step = float(maps.rr_ms[chosen].mean()), float(maps.frame_duration_ms[chosen].mean())
        markers = find_markers(
            {c: ((str(number),), curve[None]) for c, curve in zip(COMPONENTS, curves, strict=True)},
            step, rr, phases, maps.cyclic,
        )  # fmt: skip
        velocity = dict(zip(COMPONENTS, curves, strict=True))
        result.append(Segment(number, name, level, tuple(chosen), velocity, markers))
    return tuple(result)


def _study(maps: Maps) -> dict[str, object]:
    return {
        "name": maps.name,
        "kind": maps.kind,
        "labels": maps.label_source,
        "slices": maps.labels.shape[3],
        "frames": maps.labels.shape[0],
        "acquired": maps.acquired,
        "rr_ms": maps.rr_ms,
        "spacing_mm": maps.spacing_mm,
        "cyclic": maps.cyclic,
        "view_known": maps.view_known,
        "venc_cm_s": maps.venc,
        "notes": maps.notes,
        "sources": maps.sources,
    }
