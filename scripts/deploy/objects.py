"""What every written DICOM object has in common: patient and study of the source, new UIDs, who made it from what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MANUFACTURER = "hdl_mvm"
MODEL_NAME = "HDLNet"
#: Part of the description of every series: what is shown must not be taken for a measurement.
NOT_FOR_DIAGNOSIS = "not for diagnosis"
#: DICOM's words for who made an image (PS3.3 C.7.6.16.2.5.1 and others).
AI = codes.DCM.ArtificialIntelligence


@dataclass(frozen=True)
class Algorithm:
    """What made the results.

    Attributes:
        version: Version of the bundle.
        weights: First 16 digits of the model file's SHA-256.
    """

    version: str
    weights: str

    @property
    def equipment(self) -> dict[str, str]:
        """General equipment module (PS3.3 C.7.5.1), as highdicom names it."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": self.version,
            "device_serial_number": self.weights,
        }

    def identification(self) -> hd.AlgorithmIdentificationSequence:
        """Algorithm identification macro (PS3.3 10.26)."""
        return hd.AlgorithmIdentificationSequence(
            name=f"{MANUFACTURER} {MODEL_NAME}",
            family=AI,
            version=self.version,
            source="https://doi.org/10.1109/JBHI.2022.3158897",
            parameters={"weights_sha256": self.weights},
        )


@dataclass(frozen=True)
class Series:
    """A new series.

    Attributes:
        number: SeriesNumber.
        description: What it shows; "not for diagnosis" is added.
        uid: SeriesInstanceUID.
    """

    number: int
    description: str
    uid: str = field(default_factory=generate_uid)

    @property
    def title(self) -> str:
        """SeriesDescription."""
        return f"{self.description}, {NOT_FOR_DIAGNOSIS}"


def new_object(
    sop_class: str, modality: str, series: Series, instance: int, header: Dataset, algorithm: Algorithm
) -> hd.SOPClass:
    """A DICOM object without content, in the study of the source.

    Args:
        sop_class: SOPClassUID.
        modality: Modality.
        series: The series it belongs to.
        instance: InstanceNumber.
        header: Of a source image: its patient and study are copied.
        algorithm: What made the content.
    """
    made = hd.SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=generate_uid(),
        sop_class_uid=sop_class,
        instance_number=instance,
        modality=modality,
        **algorithm.equipment,
        series_description=series.title,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    adopt(made, header)
    return made


def adopt(made: hd.SOPClass, header: Dataset) -> None:
    """Copy patient, study and the text's character set of a source image as they stand; no birth date if it is none."""
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "SpecificCharacterSet"):
        if keyword in made:
            del made[keyword]
    made.copy_patient_and_study_information(header)
    if "SpecificCharacterSet" in header:
        made.add(header["SpecificCharacterSet"])
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        if keyword not in made:
            setattr(made, keyword, "")  # type 2: present, if empty
    try:
        datetime.strptime(str(made.PatientBirthDate or "19000101"), "%Y%m%d")
    except ValueError:  # 00000000 is what some de-identifiers leave; DA allows only a date (PS3.5 6.2)
        made.PatientBirthDate = ""


def patientless(header: Dataset) -> Dataset:
    """An image of the source's study as highdicom wants it, without the patient: `adopt` puts that in as it stands."""
    made = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(made, keyword, "")
    made.StudyInstanceUID, made.StudyDate, made.StudyTime = header.StudyInstanceUID, None, None
    return made


def frame_of_reference(header: Dataset) -> str:
    """The source's FrameOfReferenceUID, or where it has none, one that all written objects share."""
    return str(
        header.get("FrameOfReferenceUID")
        or generate_uid(entropy_srcs=[str(header.StudyInstanceUID), "frame of reference"])
    )


def contributing_equipment(header: Dataset, algorithm: Algorithm) -> list[hd.ContributingEquipment]:
    """Scanner and algorithm (PS3.3 C.12.1, Contributing Equipment Sequence)."""
    scanner = hd.ContributingEquipment(
        manufacturer=str(header.get("Manufacturer") or "unknown"),
        purpose_of_reference=codes.DCM.AcquisitionEquipment,
        manufacturer_model_name=str(header.get("ManufacturerModelName") or "unknown"),
    )
    ours = hd.ContributingEquipment(
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        contribution_description="Made by a neural network; not measured, not for diagnosis",
        **algorithm.equipment,
    )
    return [scanner, ours]


def source_purpose() -> list[Dataset]:
    """Purpose of reference of a source image."""
    return [hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)]


def save(made: Dataset, path: Path) -> Path:
    """Write a DICOM file."""
    made.save_as(path, enforce_file_format=True)
    return path
