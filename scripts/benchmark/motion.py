"""Motion between two pictures by well-known means: optical flow and deformable registration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Estimator = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Two pictures [X, Y] in, 0 to 1; displacement [2, X, Y] in pixels out: first(p) is what second(p + d(p)) is."""

LEVELS, ITERATIONS = (4, 2, 1), 40
"""Resolutions of the registration, as divisors of the picture's, and iterations at each."""


def dis_flow(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dense optical flow by inverse search with variational refinement, its best preset, down to single pixels.

    Source: Kroeger et al., ECCV 2016, arXiv 1603.03590; OpenCV's implementation.
    """
    import cv2

    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)  # the preset stops at half the resolution
    a, b = (np.round(np.clip(image, 0, 1) * 255).astype(np.uint8) for image in (first, second))
    flow = dis.calc(a, b, None)
    return np.stack((flow[..., 1], flow[..., 0]))  # OpenCV's x is the column


def demons(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Deformable registration: demons with symmetric forces, from coarse to fine.

    Source: Vercauteren et al., NeuroImage 2009, doi 10.1016/j.neuroimage.2008.10.040; ITK's implementation.
    """
    import SimpleITK as sitk

    fixed, moving = (sitk.GetImageFromArray(image.astype(np.float32)) for image in (first, second))
    registration = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    registration.SetNumberOfThreads(1)  # threads wait for each other longer than so small a picture takes
    registration.SetNumberOfIterations(ITERATIONS)
    registration.SetStandardDeviations(1.2)
    registration.SetSmoothDisplacementField(True)
    field: sitk.Image | None = None
    for level in LEVELS:
        a, b = (sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, level / 2), [level] * 2) if level > 1 else image
                for image in (fixed, moving))  # fmt: skip
        # Fields are in physical units (full pixels) at every level: only their grid changes.
        start = None if field is None else sitk.Resample(field, a, sitk.Transform(), sitk.sitkLinear)
        field = registration.Execute(a, b) if start is None else registration.Execute(a, b, start)
    d = sitk.GetArrayFromImage(field)
    return np.stack((d[..., 1], d[..., 0])).astype(np.float32)


ESTIMATORS: dict[str, Estimator] = {"flow": dis_flow, "registration": demons}


def unit(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales a cine for motion estimation: its 99.9th percentile becomes 1, so no few bright pixels decide."""
    return (frames / max(float(np.percentile(frames, 99.9)), 1e-9)).astype(np.float32)


def sampled(image: NDArray[np.float32], displacement: NDArray[np.float32]) -> NDArray[np.float32]:
    """Picture [X, Y] at displaced positions, cubic between pixels; outside it the border's value."""
    import cv2

    x, y = np.indices(image.shape, dtype=np.float32)
    rows, columns = (x + displacement[0]).astype(np.float32), (y + displacement[1]).astype(np.float32)
    return cv2.remap(image.astype(np.float32), columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
