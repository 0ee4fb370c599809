"""Which of the tags gives the order of the frames, their times and RR, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.cine.convert import read_study
from scripts.cine.dicom import read_dicom
from scripts.cine.nifti import write_study
from scripts.cine.study import CineError, Study
from tests.cine.conftest import edit

Write = Callable[..., Path]


def scaled(factor: float) -> Callable[[pydicom.Dataset], None]:
    """A change of trigger times; the frames are numbered backwards, so that their order shows where it is from."""

    def change(ds: pydicom.Dataset) -> None:
        ds.TriggerTime = f"{factor * float(ds.TriggerTime):.5g}"
        ds.InstanceNumber = 100 - ds.InstanceNumber

    return change


@pytest.mark.parametrize("factor", [0.001, 0.1, 1.5, 2, 3])
def test_trigger_times_in_another_unit_or_of_another_rr_give_the_order(
    factor: float, study: Study, write: Write
) -> None:
    folder = write()
    edit(folder, scaled(factor))
    found = read_dicom(folder)
    np.testing.assert_array_equal(found.magnitude, study.magnitude)
    np.testing.assert_allclose(found.frame_times_ms, study.frame_times_ms)
    assert found.cyclic
    extent = "less than a quarter of RR" if factor < 1 else f"{800 * factor:.0f} ms, more than RR"
    assert f"{extent} (800 ms): not believed as times; order from (0018,1060) TriggerTime" in found.notes[0]


def test_rr_that_is_given_leaves_the_order_of_the_trigger_times(study: Study, write: Write) -> None:
    folder = write()
    edit(folder, scaled(1))
    np.testing.assert_array_equal(read_dicom(folder, rr_ms=600).magnitude, study.magnitude)


@pytest.mark.parametrize(("factor", "words"), [(0.001, "steps by 0.2 ms"), (1, "steps by 200 ms")])
def test_a_frame_is_missing_in_any_unit(factor: float, words: str, write: Write) -> None:
    folder = write(style="siemens")
    edit(folder, scaled(factor))
    for path in folder.glob("*-0004.dcm"):
        path.unlink()
    with pytest.raises(CineError, match=f"ragged frames: .*TriggerTime {words}"):
        read_dicom(folder)


def test_trigger_times_beyond_rr_in_uneven_steps_give_no_order(study: Study, write: Write) -> None:
    folder = write()
    edit(folder, lambda ds: setattr(ds, "TriggerTime", f"{(ds.InstanceNumber * 7 % 8) ** 3 * 4}"))
    found = read_dicom(folder)
    np.testing.assert_array_equal(found.magnitude, study.magnitude)
    assert found.provenance["frame_times_ms"] == "(0020,0013) InstanceNumber, frames evenly over RR"


@pytest.mark.parametrize(("frames", "step"), [(100, 40.0), (40, 35.0)])
def test_several_beats_are_not_squeezed_into_one(frames: int, step: float, write: Write) -> None:
    pixels = np.random.default_rng(3).integers(0, 999, (20, 24, 3, frames))
    folder = write(pixels=pixels, frame_times_ms=step * np.arange(frames))
    with pytest.raises(CineError, match=rf"covers {frames * step:.0f} ms, .* times RR = 800 ms.*found several beats"):
        read_dicom(folder)


@pytest.mark.parametrize(
    ("frames", "step", "rr_ms"),
    [
        (25, 40.0, 1000.0),
        (20, 30.0, 900.0),
        (20, 30.0, 620.0),
        (25, 32.0, 1000.0),
        (20, 40.0, 500.0),
        (20, 40.0, 790.0),
    ],
)
def test_another_rr_is_judged_alike_from_dicom_and_from_a_study_folder(
    frames: int, step: float, rr_ms: float, write: Write, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(3).integers(0, 999, (20, 24, 3, frames))
    folder = write(pixels=pixels, frame_times_ms=step * np.arange(frames))
    expected = read_dicom(folder, rr_ms=rr_ms)
    converted = tmp_path / "converted"
    converted.mkdir()
    write_study(read_dicom(folder), converted, "a")
    found = read_study(converted, rr_ms=rr_ms)
    np.testing.assert_allclose(found.frame_times_ms, expected.frame_times_ms)
    np.testing.assert_allclose(found.frame_duration_ms, expected.frame_duration_ms)
    assert found.cyclic == expected.cyclic


@pytest.mark.parametrize(("rate", "cyclic"), [(75, True), (74, True), (73, True), (72, False), (70, False)])
def test_a_rounded_rr_does_not_make_a_cine_prospective(rate: int, cyclic: bool, write: Write) -> None:
    """40 frames of 20 ms: a step is less than what RR loses to a heart rate in whole beats."""
    pixels = np.random.default_rng(3).integers(0, 999, (20, 24, 3, 40))
    folder = write(pixels=pixels, frame_times_ms=20.0 * np.arange(40))

    def change(ds: pydicom.Dataset) -> None:
        del ds.NominalInterval
        ds.HeartRate = rate

    edit(folder, change)
    assert read_dicom(folder).cyclic == cyclic


@pytest.mark.parametrize(("slices", "cyclic", "taken"), [
    (1, True, "taken as cyclic, as most are"), (2, False, "gated prospectively, not cyclic"),
])  # fmt: skip
def test_most_slices_decide_what_is_cyclic(slices: int, cyclic: bool, taken: str, write: Write) -> None:
    folder = write(style="siemens")
    edit(folder, lambda ds: ds.update({"NominalInterval": 1200, "HeartRate": 50}), f"000[1-{slices}]-*.dcm")
    found = read_dicom(folder)
    assert found.cyclic == cyclic
    assert found.notes == (
        f"in {slices} of 3 slice(s) the frames end before RR does (the first: frames over 800 ms, RR = 1200 ms from "
        f"(0018,1062) NominalInterval): {taken}",
    )


def test_rr_that_no_tag_states_is_noted(write: Write) -> None:
    folder = write()

    def change(ds: pydicom.Dataset) -> None:
        del ds.NominalInterval
        del ds.HeartRate

    edit(folder, change)
    (note,) = read_dicom(folder).notes
    assert note.startswith("no tag states RR: it was taken from what (0018,1060) TriggerTime covers")
