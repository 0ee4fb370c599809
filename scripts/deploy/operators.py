"""Reading and writing as operators of the MONAI Deploy App SDK: thin shells around functions that need no SDK."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.deploy.core import Fragment, Operator, OperatorSpec

from scripts.assessment import Assessment, Maps, assess_maps
from scripts.report import write_pdf

from .inference import VELOCITIES
from .measurements import write_measurements
from .mr_images import Axis, Velocity, venc_for, write_mr_series
from .objects import Algorithm, Series
from .report_document import write_report_document
from .segmentations import write_segmentations
from .source import ImageReference, Source

AXES: dict[str, Axis] = {"velocity_x": "x", "velocity_y": "y", "velocity_z": "z"}
#: Name of the study where it is not DICOM: it tells nothing of the patient.
STUDY_NAME = "cine"


class CineLoaderOperator(Operator):
    """Finds the short-axis cine in the input folder. Output "source": `Source`.

    In place of the stock loader, selector and volume operator, which keep one frame a slice.
    """

    def __init__(self, fragment: Fragment, *args: Any, folder: str, series: str | None, rr_ms: float | None, **kw: Any):
        self._arguments = folder, series, rr_ms
        super().__init__(fragment, *args, **kw)

    def setup(self, spec: OperatorSpec) -> None:
        """Ports."""
        spec.output("source")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Reads."""
        source = Source.read(*self._arguments)
        for note in source.study.notes:
            logging.info("Note: %s", note)
        op_output.emit(source, "source")


class Writer(Operator):
    """An operator that writes results: INPUTS, OUTPUTS are its ports.

    Args:
        folder: Folder to write into; a series of several files gets one of its own there.
        algorithm: What made the results.

    Attributes:
        done: Whether it has written. An operator that ran never, or twice, would be no error to the platform.
    """

    INPUTS: Sequence[str] = ()
    OUTPUTS: Sequence[str] = ()

    def __init__(self, fragment: Fragment, *args: Any, folder: Path, algorithm: Algorithm, **kw: Any):
        self._folder, self._algorithm = folder, algorithm
        self.done = False
        super().__init__(fragment, *args, **kw)

    def setup(self, spec: OperatorSpec) -> None:
        """Ports."""
        for name in self.INPUTS:
            spec.input(name)
        for name in self.OUTPUTS:
            spec.output(name)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Receives every input, writes, sends what `write` returns on the only output, if there is one."""
        if self.done:
            raise RuntimeError(f"{self.name} was about to write a second time")
        result = self.write(**{name: op_input.receive(name) for name in self.INPUTS})
        for name in self.OUTPUTS:
            op_output.emit(result, name)
        self.done = True

    def write(self, *args: Any, **inputs: Any) -> Any:
        """Writes."""
        raise NotImplementedError


class CineWriterOperator(Writer):
    """Writes the interpolated cine; with no frames between the acquired ones there is nothing to write."""

    INPUTS = ("source", "cine")
    OUTPUTS = ("images",)

    def write(self, source: Source, cine: Any) -> list[list[ImageReference]]:
        """Returns references to the images, Z rows of T F, empty if there are none."""
        if len(cine) == source.study.shape[3]:
            return []
        series = Series(source.series_number(2), "LV cine interpolated")
        return write_mr_series(self._folder / "cine", source, cine, series, self._algorithm)


class VelocityWriterOperator(Writer):
    """Writes the velocity along one axis."""

    INPUTS = ("source", "velocity")

    def __init__(self, velocity: str, fragment: Fragment, *args: Any, **kw: Any):
        self._key = velocity
        super().__init__(fragment, *args, **kw)

    def write(self, source: Source, velocity: Any) -> None:
        """Writes."""
        axis = AXES[self._key]
        words = {"x": "along image X", "y": "along image Y", "z": "base to apex"}[axis]
        series = Series(source.series_number(4 + "xyz".index(axis)), f"LV velocity {words} synthesised")
        shown = Velocity(axis, venc_for(axis, velocity))
        write_mr_series(self._folder / self._key, source, velocity, series, self._algorithm, velocity=shown)


class AcquiredLabelsWriterOperator(Writer):
    """Writes the labels of the acquired frames."""

    INPUTS = ("source", "labels")
    OUTPUTS = ("segmentations",)

    def write(self, source: Source, labels: Any) -> list[ImageReference]:
        """Returns references to the segmentations, one a frame."""
        series = Series(source.series_number(1), "LV labels acquired frames")
        return write_segmentations(
            self._folder / "segmentation", source, labels, source.references, series, self._algorithm
        )


class InterpolatedLabelsWriterOperator(Writer):
    """Writes the labels of the interpolated cine, if there is one."""

    INPUTS = ("source", "labels", "images")

    def write(self, source: Source, labels: Any, images: list[list[ImageReference]]) -> None:
        """Writes."""
        if images:
            series = Series(source.series_number(3), "LV labels interpolated cine")
            write_segmentations(self._folder / "cine_segmentation", source, labels, images, series, self._algorithm)


class AssessmentOperator(Writer):
    """Assesses the velocity maps and writes assessment.json; sends the maps and what was found in them."""

    INPUTS = ("source", "cine", "labels", *VELOCITIES)
    OUTPUTS = ("assessed",)

    def write(self, source: Source, cine: Any, labels: Any, **velocities: Any) -> tuple[Maps, Assessment]:
        """Returns maps and assessment."""
        study = source.study
        factor = len(cine) // study.shape[3]
        maps = Maps(
            name=STUDY_NAME,
            magnitude=cine,
            labels=labels,
            velocity=np.stack([velocities[key] for key in VELOCITIES]),
            acquired=np.arange(len(cine)) % factor == 0,
            rr_ms=study.rr_ms,
            spacing_mm=study.spacing_mm,
            affine=study.affine,
            kind="synthesised",
            frame_duration_ms=study.frame_duration_ms / factor,
            cyclic=study.cyclic,
            notes=study.notes,
            sources=dict(study.provenance),
        ).ended()
        assessment = assess_maps(maps)
        assessment.write(self._folder / "assessment.json")
        return maps, assessment


class ReportWriterOperator(Writer):
    """Writes the report for people as an encapsulated PDF."""

    INPUTS = ("source", "assessed", "segmentations")

    def write(self, source: Source, assessed: tuple[Maps, Assessment], segmentations: list[ImageReference]) -> None:
        """Writes."""
        with tempfile.TemporaryDirectory(prefix="hdl_mvm-") as folder:
            pdf = write_pdf(*assessed, Path(folder) / "report.pdf")
            series = Series(source.series_number(7), "LV velocity report")
            images = [image for row in source.references for image in row]
            write_report_document(
                self._folder, source, pdf.read_bytes(), [*images, *segmentations], series, self._algorithm
            )


class MeasurementsWriterOperator(Writer):
    """Writes the figures as a structured report."""

    INPUTS = ("source", "assessed", "segmentations")

    def write(self, source: Source, assessed: tuple[Maps, Assessment], segmentations: list[ImageReference]) -> None:
        """Writes."""
        series = Series(source.series_number(8), "LV velocity measurements")
        write_measurements(self._folder, source, assessed[1], segmentations, series, self._algorithm)
