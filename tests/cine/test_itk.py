"""Other programs see the same cine: ITK is what 3D Slicer, and with it a MONAI Label user, reads files with."""

import itk
import numpy as np
import pytest

from scripts.cine.nifti import write_nifti


def test_itk_sees_a_slice_in_time_as_a_volume(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 900, (12, 10, 5)).astype(np.int16)
    image = itk.imread(str(write_nifti(tmp_path / "slice.nii.gz", pixels, np.diag([1.4, 1.4, 9.0, 1.0]), 40.0)))
    assert np.array_equal(np.asarray(image).transpose(2, 1, 0), pixels)


def test_itk_sees_the_same_grid_and_timing(tmp_path):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 900, (12, 10, 3, 5)).astype(np.int16)
    affine = np.diag([-1.4, -1.4, 9.0, 1.0])
    affine[:3, 3] = (20, 30, -40)
    path = write_nifti(tmp_path / "cine.nii.gz", pixels, affine, 40.0)
    image = itk.imread(str(path))
    assert np.array_equal(np.asarray(image).transpose(3, 2, 1, 0), pixels)
    assert np.allclose(list(image.GetSpacing()), [1.4, 1.4, 9.0, 0.04], atol=1e-4)
    # ITK counts in LPS: the first two patient axes change sign.
    assert list(image.GetOrigin())[:3] == pytest.approx([-20, -30, -40], abs=1e-3)
