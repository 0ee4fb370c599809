"""MONAI Label's own `monaibundle` app, with what the review of a cine needs beyond it.

`label serve` copies this file, as `main.py`, into the folder that MONAI Label runs: it works in Label's environment,
without this package. The stock app has no plug-in points for what is added here (its strategies are a fixed list, its
datastore overwrites, its errors reach the client as "Internal Server Error"), but MONAI Label runs any app:

- every save of a reviewer is kept with who and when, and one that does not fit its image is refused in words;
- a study that is no cine gives an error in words;
- the strategy `uncertain` offers the slice first whose frames the network is least sure of.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import nibabel as nib
import numpy as np
import torch
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.utils.others.class_utils import module_from_file
from monailabel.utils.others.generic import name_to_device
from nibabel.filebasedimages import ImageFileError

logger = logging.getLogger(__name__)


#: What MONAI Label installs; its folder is not a package.
stock: Any = module_from_file("monaibundle", f"{sys.prefix}/monailabel/sample-apps/monaibundle/main.py")


def refuse(words: str, status: int = 422) -> NoReturn:
    """Ends a request with an error that the client sees."""
    logger.error(words)
    raise HTTPException(status_code=status, detail=words)


def canonical(path: str, cine: nib.Nifti1Image, ids: dict[str, int], label_info: list[dict] | None) -> np.ndarray:
    """Reads what a reviewer saved, with the bundle's label ids.

    3D Slicer numbers segments by their place in its list: without the myocardium, the blood pool would be saved as 1.
    It sends the names along, and these decide.

    Args:
        path: The file that was sent.
        cine: The image that it belongs to, shape (X, Y, T).
        ids: Label id of each name, from 1.
        label_info: What the client sent along: name and idx of each segment; None if it sent nothing.

    Returns:
        Labels, the shape of the cine, uint8.
    """
    expected = ", ".join(f"{value} {name}" for name, value in ids.items())
    try:
        label = nib.load(path)
        found = np.asanyarray(label.dataobj)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError) as error:
        refuse(f"the label cannot be read as NIfTI ({error}); in 3D Slicer, set the file extension to .nii.gz")
    if found.shape != cine.shape:
        refuse(f"the label has the shape {found.shape}, expected that of its image, {cine.shape}")
    corners = np.array(np.meshgrid(*([0, n - 1] for n in cine.shape), [1], indexing="ij")).reshape(4, -1)
    apart = np.linalg.norm(((label.affine - cine.affine) @ corners)[:3], axis=0).max()
    if apart > 0.5 * np.linalg.norm(cine.affine[:3, :3], axis=0).min():
        refuse(f"the label lies elsewhere than its image: its corners are up to {apart:.1f} mm away (affine)")
    labels = np.zeros(cine.shape, np.uint8)
    numbers = _numbers(label_info, ids, expected)
    for value in np.unique(found):
        if value != 0 and value not in numbers:
            refuse(f"the label holds the value {value:g}, expected 0 background, {expected}")
        labels[found == value] = numbers.get(value, 0)
    return labels


def _numbers(label_info: list[dict] | None, ids: dict[str, int], expected: str) -> dict[int, int]:
    """Label id of each number in a file."""
    if not label_info:
        return {value: value for value in ids.values()}
    names = [str(segment["name"]).lower() for segment in label_info]
    unknown = [name for name in names if name not in ids]
    if unknown:
        refuse(f"found segments called {', '.join(unknown)}, expected {expected}")
    numbers = [int(segment["idx"]) for segment in label_info]
    if len(set(names)) < len(names) or (
        numbers != list(range(1, len(names) + 1)) and numbers != [ids[name] for name in names]
    ):
        refuse("names and numbers of the segments do not fit; keep one segment a label and remove all others")
    return {number: ids[name] for number, name in zip(numbers, names, strict=True)}


class ReviewDatastore(LocalDatastore):
    """MONAI Label's folder of images and labels, that keeps every save in `reviews/IMAGE`.

    Args:
        studies: The folder.
        ids: Label id of each name, from 1.
        **options: As of `LocalDatastore`.
    """

    def __init__(self, studies: str, ids: dict[str, int], **options: Any) -> None:
        self.ids = ids
        super().__init__(studies, **options)

    def get_image_uri(self, image_id: str) -> str:
        """Path of an image, or an empty text; finds what `label prepare` added since the start, too."""
        path = super().get_image_uri(image_id)
        if not path:
            self.refresh()  # Label's own watch misses files that are renamed into the folder
            path = super().get_image_uri(image_id)
        return path

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Images without a reviewed label, those that were added since the start among them."""
        self.refresh()
        return super().get_unlabeled_images(label_tag, labels)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Checks a label, keeps it, and makes it the current one of its tag.

        Args:
            image_id: The image.
            label_filename: File with the label.
            label_tag: `final` for a reviewer's label, `original` for what the network found, or any other.
            label_info: What the client sent along; `client_id` tells who.

        Returns:
            The label's id, which is the image's.
        """
        path = self.get_image_uri(image_id)
        if not path:
            refuse(f"{image_id}: no such image on this server", 404)
        if not label_tag.replace("_", "").replace("-", "").isalnum():
            refuse(f"found the tag {label_tag!r}, expected letters, digits, - and _: it names a folder")
        cine = nib.load(path)
        labels = canonical(label_filename, cine, self.ids, label_info.get("label_info"))
        with tempfile.TemporaryDirectory() as scratch:
            clean = Path(scratch) / "label.nii.gz"
            nib.save(nib.Nifti1Image(labels, cine.affine), clean)
            if label_tag != DefaultLabelTag.ORIGINAL:
                self._keep(image_id, clean, label_tag, label_info)
            return super().save_label(image_id, str(clean), label_tag, label_info)

    def _keep(self, image_id: str, label: Path, tag: str, info: dict[str, Any]) -> None:
        folder = Path(self._datastore_path) / "reviews" / image_id
        folder.mkdir(parents=True, exist_ok=True)
        when = datetime.now(UTC)
        version = folder / f"{when:%Y%m%dT%H%M%S.%fZ}.nii.gz"
        with version.open("xb") as file:  # fails rather than replaces
            file.write(label.read_bytes())
        record = {
            "by": str(info.get("client_id") or "unknown"),
            "at": when.isoformat(),
            "tag": tag,
            "file": version.name,
        }
        unfinished = folder / f".{version.name}.json"
        unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(folder / version.name.replace(".nii.gz", ".json"))


class UncertainFirst(Strategy):
    """Offers the slice first whose frames the network is least sure of.

    What was offered within the last hour goes to the end: a second reviewer gets another slice, and so does somebody
    who skips one. Slices that are not scored yet come after those that are.
    """

    def __init__(self) -> None:
        super().__init__("The slice first whose frames the network is least sure of")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Chooses an image without a reviewed label; None if there is none left."""

        def rank(image: str) -> tuple[bool, float, str]:
            info = datastore.get_image_info(image)
            offered = info.get("strategy", {}).get(request["strategy"], {}).get("ts", 0)
            return time.time() - offered < 3600, -info.get("uncertainty", 0.0), image

        images = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        if not images:
            return None
        image = min(images, key=rank)
        return {"id": image, "uncertainty": datastore.get_image_info(image).get("uncertainty")}


def uncertainty(probabilities: torch.Tensor) -> float:
    """How unsure a segmentation is: entropy summed over the picture, a pixel of ventricle, mean over frames.

    Args:
        probabilities: [3, T, X, Y] float, of background, myocardium and blood pool.

    Returns:
        Nats a pixel. A slice without a ventricle gets little: 100 pixels are added to each ventricle.
    """
    entropy = torch.special.entr(probabilities).sum((0, 2, 3))
    ventricle = (1 - probabilities[0]).sum((1, 2))
    return float((entropy / (ventricle + 100)).mean())


# Label finds an app by its direct base MONAILabelApp.
class ReviewApp(stock.MyApp, MONAILabelApp):
    """The app `monaibundle` for one bundle of this project."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self._one_at_a_time = threading.Lock()  # Label's tasks change sys.path and their configuration as they run
        self._scoring: threading.Thread | None = None
        super().__init__(app_dir, studies, conf)

    def init_datastore(self) -> Datastore:
        """Opens the folder of studies."""
        (bundle,) = self.models.values()
        metadata = json.loads((Path(bundle) / "configs" / "metadata.json").read_text(encoding="utf-8"))
        names = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        ids = {name.lower(): int(value) for value, name in names.items() if name != "background"}
        return ReviewDatastore(
            self.studies, ids, extensions=("*.nii.gz", "*.nii"), auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD
        )

    def init_infers(self) -> dict[str, BundleInferTask]:
        """Loads the bundle; refuses weights that do not fit its network, which Label would replace by random ones."""
        tasks: dict[str, BundleInferTask] = super().init_infers()
        for name, task in tasks.items():
            weights = torch.load(task.get_path(), map_location="cpu", weights_only=True)
            task.network.load_state_dict(weights)
            task.load_strict = True
            logger.info(f"{name}: weights fit")
        return tasks

    def init_strategies(self) -> dict[str, Strategy]:
        """The stock app's strategies and `uncertain`, which comes first: clients offer it by default."""
        return {"uncertain": UncertainFirst(), **super().init_strategies()}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segments an image, or says in words why not.

        Args:
            request: `model` and `image` (id or path), as of `MONAILabelApp.infer`.
            datastore: As of `MONAILabelApp.infer`.

        Returns:
            As `MONAILabelApp.infer`.
        """
        image, task = str(request["image"]), self._infers.get(request.get("model"))
        path = image if Path(image).exists() else self.datastore().get_image_uri(image)
        if not path:
            refuse(f"{image}: no such image on this server", 404)
        try:
            with self._one_at_a_time:
                # The checks that `bundle run` makes before it starts.
                words = task.bundle_config.get_parsed_content("attempt")(path) if task else ""
                if words:
                    raise ValueError(words)
                return super().infer(request, datastore)
        except MONAILabelException as error:  # an unknown model, say
            refuse(error.msg, 404)
        except ValueError as error:
            refuse(str(error).replace(str(Path(path).parent) + os.sep, ""))

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Chooses the next slice; scores what is new or was scored by other weights, beside the work."""
        self.score()
        return super().next_sample(request)

    def on_init_complete(self) -> None:
        """Starts to score when the server is up."""
        super().on_init_complete()
        self.score()

    def score(self) -> None:
        """Scores all slices without a reviewed label in a thread, unless one is at it."""
        if self._scoring is None or not self._scoring.is_alive():
            self._scoring = threading.Thread(target=self._score_all, daemon=True)
            self._scoring.start()

    def _score_all(self) -> None:
        (task,) = self._infers.values()
        for image in self.datastore().get_unlabeled_images():
            weights = Path(task.get_path()).stat().st_mtime
            if self.datastore().get_image_info(image).get("scored_by") == weights:
                continue
            score = -1.0  # after those that are not scored yet
            try:
                with self._one_at_a_time:
                    score = self._score(task, self.datastore().get_image_uri(image))
            except Exception as error:  # one bad file must not end the thread; infer says in words what is wrong
                logger.warning(f"{image}: not scored ({error})")
            self.datastore().update_image_info(image, {"uncertainty": score, "scored_by": weights})

    @staticmethod
    def _score(task: BundleInferTask, path: str) -> float:
        data = {**task.config(), "image": path, "image_path": path, "device": name_to_device("cuda")}
        data = task.run_pre_transforms(data, task.pre_transforms(data))
        data = task.run_inferer(data, device=data["device"])
        return uncertainty(data["pred"].unflatten(0, (8, -1))[1:4, ..., 0])
