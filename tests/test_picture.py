"""The picture of a result is seen from the apex, however the result is stored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import picture
from scripts.cine.study import CineError

from .integration.conftest import beating_disc, frame, write


def write_result(prefix: Path, mirrored: bool) -> None:
    """Outputs of inference: a cine, its labels (myocardium in the second slice only) and three velocities."""
    pixels = beating_disc((40, 36, 3, 4))
    label = np.zeros_like(pixels)
    label[5:9, 5:9, 1] = 1
    stacks = {
        "cine": pixels,
        "label": label,
        "velocity_x": pixels + 1,
        "velocity_y": pixels + 2,
        "velocity_z": pixels + 3,
    }
    for key, stack in stacks.items():
        if mirrored:
            stack = stack[::-1] * (-1 if key == "velocity_x" else 1)
        write(Path(f"{prefix}_{key}.nii.gz"), stack, 0.2, affine=frame((1.5, 2, 8), mirrored))


def test_shows_the_slice_with_most_myocardium_seen_from_the_apex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(picture, "overview", lambda *arguments: drawn.append(arguments) or arguments[0])
    for mirrored in (False, True):
        write_result(tmp_path / "a", mirrored)
        assert "a_overview.png" in picture.picture(str(tmp_path / "a"))
    plain, turned = drawn
    for expected, found in zip(plain[1:4], turned[1:4], strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(plain[1], beating_disc((40, 36, 3, 4))[:, :, 1])
    assert plain[4] == pytest.approx((1.5, 2))
    assert plain[5] == pytest.approx(200)
    assert "slice 2 of 3" in plain[6]


def test_a_missing_output_is_named(tmp_path: Path) -> None:
    with pytest.raises(CineError, match=r"a_cine\.nii\.gz"):
        picture.picture(str(tmp_path / "a"))


def test_a_damaged_output_and_one_of_another_shape_are_named(tmp_path: Path) -> None:
    write_result(tmp_path / "a", mirrored=False)
    path = tmp_path / "a_velocity_y.nii.gz"
    write(path, beating_disc((40, 36, 2, 4)), 0.05, affine=frame((1.5, 2, 8), False))
    with pytest.raises(CineError, match=r"a_velocity_y.*\(40, 36, 2, 4\), expected \(40, 36, 3, 4\)"):
        picture.picture(str(tmp_path / "a"))
    content = bytearray(path.read_bytes())
    content[200:400] = b"0" * 200  # the gzip stream goes on, but says nothing
    path.write_bytes(content)
    with pytest.raises(CineError, match=r"a_velocity_y.*damaged"):
        picture.picture(str(tmp_path / "a"))
