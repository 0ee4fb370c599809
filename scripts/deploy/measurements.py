"""The assessment's figures as a DICOM structured report: measurement report, TID 1500."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import highdicom as hd
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from scripts.assessment import Assessment
from scripts.assessment.result import Marker

from .objects import MANUFACTURER, MODEL_NAME, Algorithm, Series, adopt, contributing_equipment, patientless, save
from .source import ImageReference, Source, once

#: Scheme of the codes that no public terminology has.
SCHEME = "99HDLMVM"

#: Figures of the whole ventricle, by the key that the assessment gives them. Others get a code of our own.
_FIGURES: dict[str, Code] = {
    "ef_percent": codes.LN.LeftVentricularEjectionFractionByMR,
    "edv_ml": codes.LN.LeftVentricularEndDiastolicVolume,
    "esv_ml": codes.LN.LeftVentricularEndSystolicVolume,
    "stroke_volume_ml": codes.SCT.StrokeVolume,
    "mass_g": codes.LN.LeftVentricleMass,
    "gls_percent": codes.DCM.PeakLongitudinalLagrangianStrain,
    "gcs_percent": codes.DCM.CircumferentialLagrangianStrain,
    "grs_percent": codes.DCM.RadialLagrangianStrain,
}
#: Names of peak velocities and of their times, by component and marker. Others get codes of our own.
_VELOCITIES: dict[tuple[str, str], Code] = {
    ("longitudinal", "PS"): codes.SCT.LeftVentricularPeakSystolicTissueVelocity,
    ("longitudinal", "PD"): codes.SCT.LeftVentricularPeakEarlyDiastolicTissueVelocity,
    # pydicom's meaning of this code is longer than the 64 characters that DICOM allows
    ("longitudinal", "PAS"): Code("399007006", "SCT", "LV Peak Diastolic Tissue Velocity During Atrial Systole"),
}
_TIMES: dict[tuple[str, str], Code] = {
    ("longitudinal", "PS"): codes.LN.TimeToLeftVentricleSTissueVelocity,
    ("longitudinal", "PD"): codes.LN.TimeToLeftVentricleETissueVelocity,
}
_UNITS = {
    "%": "%",
    "ml": "mL",
    "g": "g",
    "cm/s": "cm/s",
    "ms": "ms",
    "°": "deg",
    "°/cm": "deg/cm",
    "°/s/cm": "deg/s/cm",
}
_SEGMENTS: dict[int, Code] = dict(
    enumerate(
        (
            codes.SCT.LeftVentricleBasalAnteriorSegment,
            codes.SCT.LeftVentricleBasalAnteroseptalSegment,
            codes.SCT.LeftVentricleBasalInferoseptalSegment,
            codes.SCT.LeftVentricleBasalInferiorSegment,
            codes.SCT.LeftVentricleBasalInferolateralSegment,
            codes.SCT.LeftVentricleBasalAnterolateralSegment,
            codes.SCT.LeftVentricleMidAnteriorSegment,
            codes.SCT.LeftVentricleMidAnteroseptalSegment,
            codes.SCT.LeftVentricleMidInferoseptalSegment,
            codes.SCT.LeftVentricleMidInferiorSegment,
            codes.SCT.LeftVentricleMidInferolateralSegment,
            codes.SCT.LeftVentricleMidAnterolateralSegment,
            codes.SCT.LeftVentricleApicalAnteriorSegment,
            codes.SCT.LeftVentricleApicalSeptalSegment,
            codes.SCT.LeftVentricleApicalInferiorSegment,
            codes.SCT.LeftVentricleApicalLateralSegment,
        ),
        start=1,
    )
)
_USE = hd.sr.QualitativeEvaluation(
    name=hd.sr.CodedConcept("intended_use", SCHEME, "Intended use"),
    value=hd.sr.CodedConcept("research", SCHEME, "Research: synthesised by a neural network, not for diagnosis"),
)


def write_measurements(
    folder: Path,
    source: Source,
    assessment: Assessment,
    segmentations: Sequence[ImageReference],
    series: Series,
    algorithm: Algorithm,
) -> Path:
    """Write `measurements.dcm`: volumes, EF, strain, twist; peaks and their times in slices and AHA segments.

    Args:
        folder: Where to write.
        source: The acquired cine: patient, and the images that were measured.
        assessment: What was found; figures without a value are left out.
        segmentations: The labels that were measured.
        series: The new series.
        algorithm: What made the figures.

    Returns:
        The file written.
    """
    groups = [_ventricle(assessment, algorithm)]
    for slice_ in assessment.slices:
        peaks = [marker for marker in slice_.markers if marker.region == "global"]
        name = f"slice {slice_.index + 1} of {len(assessment.slices)} from the base"
        images = source.references[slice_.index]
        groups += _peaks(name, peaks, codes.SCT.LeftVentricleMyocardium, algorithm, images)
    for segment in assessment.segments:
        name = f"AHA segment {segment.number}, {segment.name}"
        groups += _peaks(name, segment.markers, _SEGMENTS[segment.number], algorithm)
    report = hd.sr.MeasurementReport(
        observation_context=_observer(algorithm),
        procedure_reported=codes.SCT.CardiacMRI,
        imaging_measurements=groups,
    )
    header = source.headers[0]
    images = [image for row in source.references for image in row]
    made = hd.sr.ComprehensiveSR(
        evidence=[_evidence(image, header) for image in once([*images, *segmentations])],
        content=report,
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        **algorithm.equipment,
        series_description=series.title,
        coding_schemes=[
            CodingSchemeIdentificationItem(SCHEME, name="hdl_mvm codes", responsible_organization="The hdl_mvm authors")
        ],
    )
    adopt(made, header)
    made.ContributingEquipmentSequence = contributing_equipment(header, algorithm)
    return save(made, folder / "measurements.dcm")


def _ventricle(assessment: Assessment, algorithm: Algorithm) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """The figures of the whole ventricle."""
    measurements = [
        _measurement(_FIGURES.get(figure.key) or _own(figure.key, figure.name), figure.value, figure.unit)
        for figure in assessment.summary
        if figure.value is not None
    ]
    return _group(
        "left ventricle",
        codes.SCT.LeftVentricle,
        algorithm,
        measurements,
    )


def _peaks(
    name: str, markers: Iterable[Marker], site: Code, algorithm: Algorithm, images: Sequence[ImageReference] = ()
) -> list[hd.sr.MeasurementsAndQualitativeEvaluations]:
    """Peaks and their times in one place; no group if there are none."""
    measurements = []
    for marker in markers:
        which = marker.component, marker.code
        words, key = f"{marker.component} peak {marker.code}", f"{marker.component}_{marker.code}".lower()
        velocity = _VELOCITIES.get(which) or _own(f"{key}_cm_s", f"Myocardial velocity, {words}")
        time = _TIMES.get(which) or _own(f"{key}_ms", f"Time after the first frame, {words}")
        measurements += [_measurement(velocity, marker.value_cm_s, "cm/s"), _measurement(time, marker.time_ms, "ms")]
    return [_group(name, site, algorithm, measurements, images)] if measurements else []


def _group(
    name: str,
    site: Code,
    algorithm: Algorithm,
    measurements: Sequence[hd.sr.Measurement],
    images: Sequence[ImageReference] = (),
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=generate_uid(), identifier=name),
        finding_sites=[hd.sr.FindingSite(anatomic_location=site)],
        algorithm_id=hd.sr.AlgorithmIdentification(
            name=f"{MANUFACTURER} {MODEL_NAME}",
            version=algorithm.version,
            parameters=[f"weights_sha256: {algorithm.weights}"],
        ),
        measurements=measurements,
        qualitative_evaluations=[_USE],
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(
                image.sop_class, image.sop_uid, None if image.frame is None else [image.frame]
            )
            for image in images
        ]
        or None,
    )


def _measurement(name: Code, value: float, unit: str) -> hd.sr.Measurement:
    ucum = _UNITS.get(unit, unit)
    return hd.sr.Measurement(name=name, value=round(float(value), 4), unit=Code(ucum, "UCUM", ucum))


def _own(key: str, meaning: str) -> Code:
    """A code of our own scheme, of any length (PS3.3 8.1, Long Code Value)."""
    return Code(key, SCHEME, meaning)


def _observer(algorithm: Algorithm) -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[MANUFACTURER, algorithm.version, algorithm.weights]),
        name=f"{MANUFACTURER} {MODEL_NAME}",
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=algorithm.weights,
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _evidence(image: ImageReference, header: Dataset) -> Dataset:
    """What highdicom reads of an image that a report refers to; `adopt` puts the true patient in."""
    evidence = patientless(header)
    evidence.SOPClassUID, evidence.SOPInstanceUID = image.sop_class, image.sop_uid
    evidence.SeriesInstanceUID = image.series_uid
    return evidence
