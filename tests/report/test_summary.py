"""Numbers in words, and which figures stand at the top."""

import dataclasses

import pytest

from scripts.assessment import Assessment, Maps
from scripts.assessment.result import Flag
from scripts.report.summary import (
    FIRST,
    first_figures,
    in_unit,
    joined_flags,
    middle_slice,
    missing_words,
    number,
    shown_slices,
    subtitle,
)

Study = tuple[Maps, Assessment]


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [(1.25, 1, "1.2"), (-3.14, 1, "−3.1"), (-0.04, 1, "0.0"), (None, 1, "–"), (float("nan"), 0, "–"), (41.6, 0, "42")],
)
def test_numbers(value: float | None, digits: int, words: str) -> None:
    assert number(value, digits) == words


def test_units_tell_the_decimals() -> None:
    assert in_unit(132.4, "ms") == "132 ms"
    assert in_unit(-18.46, "%") == "−18.5 %"


def test_first_figures_are_those_that_have_a_value(ring: Study) -> None:
    found = first_figures(ring[1])
    assert [figure.key for figure in found] == [key for key in FIRST if key in {f.key for f in found}]
    assert {"ef_percent", "gls_percent", "radial_s_mid_cm_s"} <= {figure.key for figure in found}
    assert all(figure.value is not None for figure in found)
    assert missing_words(ring[1]) == []


def test_what_is_missing_is_named_with_its_reason(nothing: Study) -> None:
    assert first_figures(nothing[1]) == []
    words = " ".join(missing_words(nothing[1]))
    assert "Ejection fraction" in words
    assert "needs" in words


def test_slices_that_are_shown(ring: Study, nothing: Study) -> None:
    assert [one.index for one in shown_slices(ring[1])] == [0, 1, 2]
    assert middle_slice(ring[1]).index == 1
    assert shown_slices(nothing[1]) == []
    assert middle_slice(nothing[1]) is None


def test_subtitle_tells_what_was_acquired_and_what_was_not(ring: Study) -> None:
    words = subtitle(ring[1])
    assert "24 frames (12 acquired)" in words
    assert "synthesised" in words
    assert "RR 1000 ms" in words
    measured = dataclasses.replace(ring[1], study={**ring[1].study, "kind": "measured", "rr_ms": [900.0, 950.0]})
    assert "RR 900 to 950 ms" in subtitle(measured)
    assert "measured" in subtitle(measured)


def test_slices_that_share_a_flag_share_a_line(ring: Study) -> None:
    flags = tuple(Flag("open", "warning", f"slice {z + 1}", z, "the wall is open") for z in range(2))
    flags += (Flag("few", "info", "study", None, "few frames"), Flag("open", "info", "slice 3", 2, "the wall is open"))
    found = joined_flags(dataclasses.replace(ring[1], flags=flags))
    assert [(flag.severity, flag.where) for flag in found] == [
        ("warning", "slice 1, slice 2"),
        ("info", "study"),
        ("info", "slice 3"),
    ]
