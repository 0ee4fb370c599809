"""Slices of different acquisitions never mix, and no slice of the stack is lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from scripts.cine.dicom import read_dicom
from scripts.cine.study import CineError
from tests.cine.conftest import RR_MS, edit, oblique_affine

Write = Callable[..., Path]


@pytest.fixture
def stack(write: Write) -> Callable[..., Path]:
    """Write slices at given places along the long axis, in units of the 8 mm step, to a folder of that name in one."""

    def write_stack(
        name: str, places: list[float], frames: int = 8, size: tuple[int, int] = (20, 24), tilt: float = 0, **more: Any
    ) -> Path:
        affine, angle = oblique_affine(), np.deg2rad(tilt)
        y, z = affine[:3, 1] / 1.5, affine[:3, 2] / 8
        affine[:3, 3] += places[0] * affine[:3, 2]
        affine[:3, 1] = 1.5 * (np.cos(angle) * y + np.sin(angle) * z)
        affine[:3, 2] *= places[1] - places[0] if len(places) > 1 else 1
        pixels = np.random.default_rng(len(name)).integers(0, 999, (*size, len(places), frames))
        times = np.arange(frames) * RR_MS / frames
        more |= {"pixels": pixels, "affine": affine, "rr_ms": RR_MS, "frame_times_ms": times}
        return write(f"dicom/{name}", **more).parent

    return write_stack


def spacing(folder: Path, slices: int) -> float:
    """Distance between the slices of a stack that is found to have so many, mm."""
    study = read_dicom(folder)
    assert study.shape[2] == slices
    return study.spacing_mm[2]


@pytest.mark.parametrize("frames", [8, 20])
@pytest.mark.parametrize("style", ["ge", "siemens"])
def test_a_parallel_stack_at_other_places_is_left_aside(stack: Write, style: str, frames: int) -> None:
    stack("sax", [0, 1, 2, 3, 4, 5], style=style, series_number=20, description="cine SAX")
    folder = stack("mvm", [0.3, 2.3, 4.3], frames, style=style, series_number=50, description="MVM mag")
    study = read_dicom(folder)
    assert study.shape[2:] == (6, 8)
    np.testing.assert_allclose(study.spacing_mm[2], 8, atol=1e-3)
    assert any("1 other cine" in note and f"3 slice(s) x {frames} frames" in note for note in study.notes)
    assert not any("MVM" in note for note in study.notes)  # a description may name the patient


@pytest.mark.parametrize("places", [[1.5], [2.0]])
@pytest.mark.parametrize("frames", [8, 40])
def test_a_single_slice_does_not_enter_a_series_of_its_own(stack: Write, places: list[float], frames: int) -> None:
    stack("sax", [0, 1, 2, 3, 4])
    assert spacing(stack("x", places, frames, series_number=9), 5) == pytest.approx(8, abs=1e-3)


def test_images_at_one_moment_of_the_beat_are_no_cine(stack: Write) -> None:
    """Perfusion: more slices than the cine, but always at the same time after the R wave."""
    perfusion = stack("perfusion", [0, 1, 2], 12, series_number=3, description="perf") / "perfusion"
    edit(perfusion, lambda ds: setattr(ds, "TriggerTime", "350"))
    alone = read_dicom(perfusion)
    assert any("may be perfusion, not a cine" in note for note in alone.notes)
    study = read_dicom(stack("cine", [1], 8, series_number=9, description="cine"))
    assert study.shape[2:] == (1, 8)
    assert any("series 3 at one moment of the beat" in note for note in study.notes)


def renumbered(stack: Write, order: list[float], **more: Any) -> Path:
    """A folder of slices of one kind, a series each, numbered in this order."""
    for number, place in enumerate(order, 1):
        folder = stack(f"n{number}", [place], series_number=number, **more)
    return folder


@pytest.mark.parametrize("off", [0.5, 0.25])
@pytest.mark.parametrize("more", [{}, {"down": True}])
def test_a_stack_that_was_acquired_again_a_little_off_is_not_merged(
    stack: Write, off: float, more: dict[str, bool]
) -> None:
    again = [place + off for place in range(4)]
    folder = renumbered(stack, [0, 1, 2, 3, *(again[::-1] if more else again)])
    with pytest.raises(CineError, match=r"several candidates.*\[1\] series 1, 2, 3, 4 .*\[2\] series 5, 6, 7, 8 "):
        read_dicom(folder)
    study = read_dicom(folder, series=2)
    assert study.shape[2] == 4
    assert study.spacing_mm[2] == pytest.approx(8, abs=1e-3)


def test_a_slice_that_was_acquired_again_a_little_off_is_left_aside(stack: Write) -> None:
    folder = renumbered(stack, [0, 1, 2, 3, 1.25])
    assert spacing(folder, 4) == pytest.approx(8, abs=1e-3)
    assert read_dicom(folder).notes == ("1 other cine(s) in the folder were left aside: series 5 (1 slice(s) x 8 "
                                        "frames, 20 x 24)",)  # fmt: skip


def test_a_stack_acquired_again_at_the_same_places_and_off_them(stack: Write) -> None:
    folder = renumbered(stack, [0, 1, 2, 2, 1, 0, 0.5, 1.5, 2.5])
    with pytest.raises(CineError, match=r"\[1\] series 1, 2, 3 .*\[2\] series 4, 5, 6 .*\[3\] series 7, 8, 9 "):
        read_dicom(folder)


@pytest.mark.parametrize("order", [[0, 0.5, 1, 1.5], [1.5, 1, 0.5, 0]])
def test_slices_that_overlap_in_order_are_one_stack(stack: Write, order: list[float]) -> None:
    assert spacing(renumbered(stack, order), 4) == pytest.approx(4, abs=1e-3)


def test_slices_that_do_not_overlap_are_one_stack_in_any_order(stack: Write) -> None:
    assert spacing(renumbered(stack, [0, 2, 4, 1, 3, 5]), 6) == pytest.approx(8, abs=1e-3)


def test_a_missing_slice_is_noted(stack: Write) -> None:
    (note,) = read_dicom(renumbered(stack, [0, 1, 3, 4])).notes
    assert note.endswith("mm off an evenly spaced stack, 8.0 to 16.0 mm apart: a slice may be missing")
    (note,) = read_dicom(renumbered(stack, [0, 1, 2.4, 3.4])).notes
    assert note.endswith("mm off an evenly spaced stack")


def test_the_menu_offers_no_hybrids(stack: Write) -> None:
    stack("a", [0, 1, 2], style="siemens", series_number=1, description="rest")
    stack("b", [0, 1, 2], style="siemens", series_number=11, description="stress")
    folder = stack("molli", [1.0], 11, style="siemens", series_number=5, description="MOLLI")
    with pytest.raises(
        CineError, match=r"\[1\] series 1, 2, 3 'rest'.*\[2\] series 11, 12, 13 'stress'.*\[3\] series 5"
    ):
        read_dicom(folder)
    assert read_dicom(folder, series=3).shape[2:] == (1, 11)


def test_descriptions_may_number_the_slices(stack: Write) -> None:
    for number, name in enumerate(["cine SAX base", "cine_SAX_02", "Cine SAX 3", "cine-sax apex"]):
        folder = stack(f"s{number}", [number], series_number=number, description=name)
    assert spacing(folder, 4) == pytest.approx(8, abs=1e-3)


@pytest.mark.parametrize("place", [0, 1, 2, 4])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": (28, 26)}, r"Rows, \(0028,0011\) Columns: found \(26, 28\), but \(24, 20\) in "),
        ({"tilt": 4.0}, r"\(0020,0037\) ImageOrientationPatient: found"),
        ({"frames": 7}, "ragged frames: found 7 frames in this slice, expected 8"),
    ],
)
def test_a_slice_that_differs_is_not_dropped(stack: Write, place: int, change: dict[str, Any], words: str) -> None:
    for number in range(5):
        more = change if number == place else {}
        folder = stack(f"s{number}", [number], series_number=number, style="siemens", **more)
    with pytest.raises(CineError, match=rf"s{place}/.*{words}.*seems to belong to the stack of series") as error:
        read_dicom(folder)
    assert "pick one with series: [1]" in str(error.value)
    assert read_dicom(folder, series=1).shape[2] == 4


def test_the_middle_of_three_slices_is_not_dropped(stack: Write) -> None:
    stack("ends", [0, 2], style="siemens")
    with pytest.raises(CineError, match=r"middle/.*Rows"):
        read_dicom(stack("middle", [1], style="siemens", series_number=9, size=(28, 26)))


def test_a_slice_of_another_name_that_fills_a_gap_is_not_dropped(stack: Write) -> None:
    stack("base", [0, 1], style="siemens")
    stack("apex", [3, 4], style="siemens", series_number=5)
    folder = stack("again", [2], style="siemens", series_number=9, description="repeat")
    with pytest.raises(CineError, match=r"again/.*\(0008,103E\) SeriesDescription: found 'repeat', but 'cine' in"):
        read_dicom(folder)


def test_other_cines_of_the_same_name_are_left_aside(stack: Write) -> None:
    """A coarser stack at the same places and at others, a tilted one, a long axis: none continues the stack."""
    stack("sax", [0, 1, 2, 3, 4], style="siemens")
    stack("coarse", [3.4, 5.4], style="siemens", series_number=20, size=(16, 16))
    stack("same", [1, 2], style="siemens", series_number=30, size=(16, 16))
    stack("tilted", [5], style="siemens", series_number=40, tilt=30)
    folder = stack("long", [2], style="siemens", series_number=50, tilt=90)
    assert spacing(folder, 5) == pytest.approx(8, abs=1e-3)


GEOMETRY = {
    "PixelSpacing": r"\(0028,0030\) PixelSpacing",
    "ImageOrientationPatient": r"\(0020,0037\) ImageOrientationPatient",
    "ImagePositionPatient": r"\(0020,0032\) ImagePositionPatient",
}


@pytest.mark.parametrize("keyword", GEOMETRY)
def test_missing_geometry_is_named(stack: Write, keyword: str) -> None:
    folder = stack("sax", [0, 1, 2])
    edit(folder, lambda ds: delattr(ds, keyword))
    with pytest.raises(CineError, match=f"0001-0001.dcm: no cine found: {GEOMETRY[keyword]}: found no usable value"):
        read_dicom(folder)


@pytest.mark.parametrize("keyword", GEOMETRY)
@pytest.mark.parametrize(("style", "file"), [("ge", "0001-0009"), ("siemens", "0002-0001")])
def test_a_slice_without_geometry_is_not_dropped(stack: Write, keyword: str, style: str, file: str) -> None:
    folder = stack("sax", [0, 1, 2], style=style)
    for path in sorted(folder.rglob("*.dcm"))[8:16]:
        edit(path.parent, lambda ds: delattr(ds, keyword), path.name)
    with pytest.raises(CineError, match=f"{file}.dcm: {GEOMETRY[keyword]}: found no usable value, but one in "):
        read_dicom(folder)


def test_images_without_geometry_beside_the_cine_are_noted(stack: Write) -> None:
    stack("sax", [0, 1, 2])
    folder = stack("screens", [9], series_number=9, description="report")
    edit(folder / "screens", lambda ds: delattr(ds, "ImagePositionPatient"))
    assert "8 images without a usable (0020,0032) ImagePositionPatient were left aside" in read_dicom(folder).notes


@pytest.mark.parametrize("value", [None, 0])
def test_an_image_without_rows_is_named(write: Write, value: int | None) -> None:
    folder = write()

    def empty(ds: pydicom.Dataset) -> None:
        ds.Rows = value

    edit(folder, empty, "0001-0003.dcm")
    with pytest.raises(CineError, match=r"0001-0003.dcm: \(0028,0010\) Rows.*found (None|0), 20, expected numbers"):
        read_dicom(folder)
