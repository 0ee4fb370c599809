"""Labels as SEG: on the source's images, in the right place, one object a frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from scripts.deploy.mr_images import write_mr_series
from scripts.deploy.objects import Series
from scripts.deploy.segmentations import write_segmentations
from scripts.deploy.source import Source

from .conftest import ALGORITHM, SHAPE, write_view


def points(seg: hd.seg.Segmentation, segment: int) -> np.ndarray:
    """Centres of a segment's pixels in the patient, LPS mm, from what the file alone says."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    down, right = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = []
    for groups, pixels in zip(seg.PerFrameFunctionalGroupsSequence, np.atleast_3d(seg.pixel_array), strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment:
            position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            rows, columns = np.nonzero(pixels)
            found.append(position + np.outer(columns * right, orientation[:3]) + np.outer(rows * down, orientation[3:]))
    return np.concatenate(found)


def test_labels_lie_where_the_studys_affine_puts_them(source: Source, labels: np.ndarray, tmp_path: Path) -> None:
    references = write_segmentations(
        tmp_path / "seg", source, labels[::2], source.references, Series(3, "labels"), ALGORITHM
    )
    paths = sorted((tmp_path / "seg").iterdir())
    assert len(paths) == len(references) == SHAPE[3]
    for t, (path, reference) in enumerate(zip(paths, references, strict=True)):
        seg = hd.seg.segread(path)
        assert (seg.SOPInstanceUID, seg.InstanceNumber) == (reference.sop_uid, t + 1)
        for segment in (1, 2):
            voxels = np.argwhere(labels[2 * t] == segment)
            ras = voxels @ source.study.affine[:3, :3].T + source.study.affine[:3, 3]
            found = points(seg, segment)
            assert len(found) == len(ras)
            np.testing.assert_allclose(found.mean(0), (ras * [-1, -1, 1]).mean(0), atol=0.02)


def test_each_frame_refers_to_its_own_image(source: Source, labels: np.ndarray, tmp_path: Path) -> None:
    write_segmentations(tmp_path / "seg", source, labels[::2], source.references, Series(3, "labels"), ALGORITHM)
    for t, path in enumerate(sorted((tmp_path / "seg").iterdir())):
        seg = hd.seg.segread(path)
        for groups in seg.PerFrameFunctionalGroupsSequence:
            position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            z = int(np.argmin([np.linalg.norm(row[t].position - position) for row in source.frames]))
            (image,) = groups.DerivationImageSequence[0].SourceImageSequence
            expected = source.reference(z, t)
            assert image.ReferencedSOPInstanceUID == expected.sop_uid
            assert image.ReferencedSOPClassUID == expected.sop_class
            assert image.get("ReferencedFrameNumber") == expected.frame
        named = {group.SeriesInstanceUID for group in seg.ReferencedSeriesSequence}
        assert named == {row[t].series_uid for row in source.frames}
        assert seg.StudyInstanceUID == source.headers[0].StudyInstanceUID
        assert seg.PatientName == source.headers[0].PatientName
        algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmVersion == "1.2.3"
        assert "0123456789abcdef" in algorithm.AlgorithmParameters


def test_labels_of_the_interpolated_cine_refer_to_it(source: Source, labels: np.ndarray, tmp_path: Path) -> None:
    cine = source.study.magnitude.transpose(3, 0, 1, 2).repeat(2, 0)
    images = write_mr_series(tmp_path / "cine", source, cine, Series(2, "cine"), ALGORITHM)
    write_segmentations(tmp_path / "seg", source, labels, images, Series(3, "labels"), ALGORITHM)
    paths = sorted((tmp_path / "seg").iterdir())
    assert len(paths) == 2 * SHAPE[3]
    for k, path in enumerate(paths):
        seg = hd.seg.segread(path)
        uids = {r.ReferencedSOPInstanceUID for r in seg.SourceImageSequence}
        assert uids == {row[k].sop_uid for row in images}


def test_slices_whose_orientation_differs_in_the_last_digits_are_one_stack(labels: np.ndarray, tmp_path: Path) -> None:
    write_view("ge", tmp_path / "dicom")
    for path in sorted((tmp_path / "dicom").rglob("*.dcm"))[: SHAPE[3]]:
        ds = pydicom.dcmread(path)
        ds.ImageOrientationPatient = [f"{float(v) + 1e-6:.7f}" for v in ds.ImageOrientationPatient]
        ds.save_as(path)
    source = Source.read(tmp_path / "dicom")
    assert len({frame.orientation.tobytes() for row in source.frames for frame in row}) == 2
    made = write_segmentations(tmp_path / "seg", source, labels[::2], source.references, Series(3, "labels"), ALGORITHM)
    assert len(made) == SHAPE[3]


def test_frames_without_a_ventricle_are_written_too(source: Source, tmp_path: Path) -> None:
    nothing = np.zeros((SHAPE[3], *SHAPE[:3]), np.uint8)
    write_segmentations(tmp_path / "seg", source, nothing, source.references, Series(3, "labels"), ALGORITHM)
    assert [int(hd.seg.segread(path).pixel_array.sum()) for path in (tmp_path / "seg").iterdir()] == [0] * SHAPE[3]


@pytest.mark.parametrize("empty", [False, True])
def test_a_validator_finds_no_error(
    empty: bool, source: Source, labels: np.ndarray, tmp_path: Path, assert_valid: Callable[[Path], None]
) -> None:
    labels = labels[::2] * (not empty)
    write_segmentations(tmp_path / "seg", source, labels, source.references, Series(3, "labels"), ALGORITHM)
    assert_valid(min((tmp_path / "seg").iterdir()))
