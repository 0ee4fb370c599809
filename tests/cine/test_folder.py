"""Output folders are whole or absent, and so are the folders that they lie in."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cine.folder import MANIFEST, whole_folder


def test_a_body_that_fails_leaves_no_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "kept" / "x" / "y", tmp_path / "in"):
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]


def test_a_body_that_fails_spares_what_others_wrote_meanwhile(tmp_path: Path) -> None:
    def body() -> None:
        with whole_folder(tmp_path / "x" / "y" / "z", tmp_path / "in"):
            (tmp_path / "x" / "other").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        body()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["other", "x"]


def test_a_body_that_completes_makes_all_folders(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "x" / "y", tmp_path / "in") as work:
        (work / MANIFEST).touch()
    assert (tmp_path / "x" / "y" / MANIFEST).is_file()
