"""The application: a graph from the input folder to the output folder."""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, RuntimeEnv, init_app_context, parse_args

from scripts.__main__ import is_about_input
from scripts.cine.study import require_rr

from .inference import VELOCITIES, CineInferenceOperator
from .model import read_algorithm
from .objects import Algorithm
from .operators import (
    AcquiredLabelsWriterOperator,
    AssessmentOperator,
    CineLoaderOperator,
    CineWriterOperator,
    InterpolatedLabelsWriterOperator,
    MeasurementsWriterOperator,
    ReportWriterOperator,
    VelocityWriterOperator,
    Writer,
)
from .output import whole_output

#: Settings that an operator may give the container, and what they are without one.
SETTINGS = {"HDL_MVM_SERIES": "", "HDL_MVM_RR_MS": "", "HDL_MVM_UPSAMPLING_FACTOR": "auto"}


class HDLMVMApplication(Application):
    """Short-axis cine in; labels, interpolated cine, velocities, report and measurements out.

    Args:
        context: Paths and the model, as the platform gives them.
        work: Folder to write to.
        algorithm: What the model is.
        settings: Values of SETTINGS.
    """

    def __init__(self, context: AppContext, work: Path, algorithm: Algorithm, settings: dict[str, str]) -> None:
        self._context, self._work, self._algorithm, self._settings = context, work, algorithm, settings
        self.writers: list[Writer] = []
        super().__init__([sys.argv[0]])

    def compose(self) -> None:
        """The graph."""
        rr_ms = self._settings["HDL_MVM_RR_MS"]
        loader = CineLoaderOperator(
            self,
            CountCondition(self, 1),  # an operator without inputs would run again and again
            name="cine_loader",
            folder=self._context.input_path,
            series=self._settings["HDL_MVM_SERIES"] or None,
            rr_ms=require_rr(rr_ms, "HDL_MVM_RR_MS") if rr_ms else None,
        )
        inference = CineInferenceOperator(
            self,
            name="inference",
            app_context=self._context,
            upsampling_factor=self._settings["HDL_MVM_UPSAMPLING_FACTOR"],
        )
        self.add_flow(loader, inference, {("source", "image")})

        def add(kind: Callable[..., Writer], name: str, **inputs: tuple[Any, str]) -> Writer:
            """Adds a writer; each input port gets (operator, its output)."""
            writer = kind(self, name=name, folder=self._work, algorithm=self._algorithm)
            for port, (operator, output) in {"source": (loader, "source"), **inputs}.items():
                self.add_flow(operator, writer, {(output, port)})
            self.writers.append(writer)
            return writer

        labels = add(AcquiredLabelsWriterOperator, "acquired_labels_writer", labels=(inference, "pred"))
        cine = add(CineWriterOperator, "cine_writer", cine=(inference, "cine"))
        all_labels: dict[str, tuple[Any, str]] = {"labels": (inference, "segmentation")}
        add(InterpolatedLabelsWriterOperator, "interpolated_labels_writer", images=(cine, "images"), **all_labels)
        velocities: dict[str, tuple[Any, str]] = {key: (inference, key) for key in VELOCITIES}
        for key, velocity in velocities.items():
            add(functools.partial(VelocityWriterOperator, key), f"{key}_writer", velocity=velocity)
        assessment = add(AssessmentOperator, "assessment", cine=(inference, "cine"), **all_labels, **velocities)
        results: dict[str, tuple[Any, str]] = {
            "assessed": (assessment, "assessed"),
            "segmentations": (labels, "segmentations"),
        }
        add(ReportWriterOperator, "report_writer", **results)
        add(MeasurementsWriterOperator, "measurements_writer", **results)


def main() -> int:
    """Runs the application; input, output and model are the platform's arguments or HOLOSCAN_* variables.

    Returns:
        The exit code: 0, or 1 if the input cannot be used; one line on stderr says why, and nothing is written.
    """
    # A line for each attribute; for each illegal UID of the source, which must stay; a decoder that is not needed.
    for name in ("highdicom", "pydicom", "monai.data.nvimgcodec_pydicom_plugin"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for words in ("NvImgCodecPydicomReader", "Invalid value for VR UI"):
        warnings.filterwarnings("ignore", message=words)
    try:
        settings = {name: os.environ.get(name) or default for name, default in SETTINGS.items()}
        algorithm = read_algorithm(parse_args(sys.argv).model or RuntimeEnv().model)
        context = init_app_context(sys.argv)
        with whole_output(context.output_path) as work:
            application = HDLMVMApplication(context, work, algorithm, settings)
            application.run()
            idle = [writer.name for writer in application.writers if not writer.done]
            if idle:
                raise RuntimeError(f"the graph ended and {', '.join(idle)} never ran")
            written = sorted(path for path in work.rglob("*") if path.is_file())
        print(f"{context.output_path}: wrote {len(written)} files. Not for diagnosis.")
    except (ValueError, OSError) as error:
        if not is_about_input(error):
            raise
        print(f"error: {error}. Nothing was written.", file=sys.stderr)
        return 1
    return 0
