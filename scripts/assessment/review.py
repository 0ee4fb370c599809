"""Labels that a reader corrected on the acquired frames, carried to the frames between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from scripts.cine.study import CineError

#: Signed distances beyond this many pixels count alike: only what is near a contour moves it.
REACH = 8.0


def with_reviewed(
    labels: NDArray, reviewed: NDArray, acquired: NDArray, where: str, cyclic: bool = True
) -> NDArray[np.uint8]:
    """Labels of every frame from reviewed ones.

    Reviewed labels of all frames replace the others. Of acquired frames alone, each reader's shift of a contour
    (difference of signed distances) is spread linearly over the frames between, so that motion between them is kept.

    Args:
        labels: Predicted, shape (X, Y, Z, T): 0, 1 myocardium, 2 pool.
        reviewed: Shape (X, Y, Z, T) or (X, Y, Z, number of acquired frames).
        acquired: Which frames were acquired, shape (T,), bool; evenly spaced.
        where: File, for the message.
        cyclic: Whether the first frame follows the last; else the last shift is held to the end.

    Raises:
        CineError: If the number of frames or a value does not fit.
    """
    keys, frames = int(acquired.sum()), len(acquired)
    if reviewed.shape[3] not in (keys, frames):
        raise CineError(f"{where}: found {reviewed.shape[3]} frames, expected {keys} (acquired) or {frames} (all)")
    if not np.isin(reviewed, (0, 1, 2)).all():
        raise CineError(
            f"{where}: found values {np.unique(reviewed)[:9].tolist()}, expected 0, 1 (myocardium), 2 (pool)"
        )
    reviewed = np.asarray(reviewed, np.uint8)
    if reviewed.shape[3] == frames:
        return reviewed
    factor = frames // keys
    result = np.zeros(labels.shape, np.uint8)
    for z in range(labels.shape[2]):
        for least in (1, 2):  # whole ventricle, then its pool
            before = _signed_distance(labels[:, :, z] >= least)
            change = _signed_distance(reviewed[:, :, z] >= least) - before[..., ::factor]
            following = np.concatenate((change[..., 1:], change[..., :1] if cyclic else change[..., -1:]), axis=2)
            for part in range(factor):
                share = part / factor
                now = before[..., part::factor] + (1 - share) * change + share * following
                result[:, :, z, part::factor] += now > 0
    return result


def _signed_distance(mask: NDArray) -> NDArray[np.float32]:
    """Distance in pixels inside (positive) each frame's mask, shape (X, Y, T), limited."""
    result = np.full(mask.shape, -REACH, np.float32)
    for t in range(mask.shape[2]):
        if mask[..., t].any():
            inside, outside = distance_transform_edt(mask[..., t]), distance_transform_edt(~mask[..., t])
            # Half a pixel: the contour runs between the pixels.
            result[..., t] = np.clip(inside - outside - np.sign(inside - outside) * 0.5, -REACH, REACH)
    return result
