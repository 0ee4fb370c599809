"""The bundle's own inference as an operator of the MONAI Deploy App SDK."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from monai.deploy.core import AppContext, IOType
from monai.deploy.operators.monai_bundle_inference_operator import (
    DISALLOW_LOAD_SAVE,
    IOMapping,
    MonaiBundleInferenceOperator,
)
from monai.transforms import LoadImage

from scripts.cine.nifti import write_study
from scripts.infer import frame_factor

#: What inference.json computes, by its keys: arrays (T', X, Y, Z) on the study's grid.
VELOCITIES = ("velocity_x", "velocity_y", "velocity_z")
RESULTS = ("pred", "cine", "segmentation", *VELOCITIES)  # pred first: the operator calls the network's output so


class CineInferenceOperator(MonaiBundleInferenceOperator):
    """Runs the configs in model.ts on a cine, as `monai.bundle run inference` does on the converted study.

    The stock operator drops the bundle's loading and saving, feeds one 3D image and sends one label image. This one
    loads the converted study with the bundle's reader, sets the two settings that depend on it (frames to add, cyclic),
    and sends every result of the postprocessing. The rest is the stock operator's.

    Args:
        upsampling_factor: F, or auto, as of `python -m scripts infer`.

    Input "image": `Source`. Outputs: the RESULTS.
    """

    def __init__(self, fragment: Any, *args: Any, app_context: AppContext, upsampling_factor: str, **kwargs: Any):
        self._upsampling_factor = upsampling_factor
        self._folder = Path()
        super().__init__(
            fragment,
            *args,
            app_context=app_context,
            input_mapping=[IOMapping("image", object, IOType.IN_MEMORY)],
            output_mapping=[IOMapping(key, np.ndarray, IOType.IN_MEMORY) for key in RESULTS],
            **kwargs,
        )

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Runs inference; the converted study lies in a folder of its own meanwhile."""
        with tempfile.TemporaryDirectory(prefix="hdl_mvm-") as folder:
            self._folder = Path(folder)
            super().compute(op_input, op_output, context)

    def _init_config(self, config_names: list[str]) -> None:
        super()._init_config(config_names)
        self._outputs = {key: {"type": "series"} for key in RESULTS}  # arrays as they are; "image" becomes uint8

    def _receive_input(self, name: str, op_input: Any, context: Any) -> tuple[np.ndarray, dict[str, Any]]:
        study = op_input.receive(name).study
        self._model_network.predictor.upsampling_factor = frame_factor(self._upsampling_factor, study.shape[3])
        self._model_network.predictor.cyclic = int(study.cyclic)
        self.parser.update({"cyclic": int(study.cyclic), "slice_by_slice#progress": False})
        names = self._bundle_config_names
        self._inferer = self.parser.get_parsed_content(names.inferer_name)
        self._preproc = self._get_compose(names.preproc_name, DISALLOW_LOAD_SAVE)
        self._postproc = self._get_compose(names.postproc_name, DISALLOW_LOAD_SAVE)
        image = LoadImage(reader="NibabelReader", image_only=True)(write_study(study, self._folder, "cine"))
        return image.array, image.meta
