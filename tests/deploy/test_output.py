"""All results or none; a model that is ours or words."""

from __future__ import annotations

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

from scripts.cine.study import CineError
from scripts.deploy.model import read_algorithm
from scripts.deploy.output import whole_output


def fill(work: Path) -> None:
    (work / "series").mkdir()
    (work / "series" / "1.dcm").write_bytes(b"1")
    (work / "report.dcm").write_bytes(b"2")


def test_results_appear_when_all_are_there(tmp_path: Path) -> None:
    with whole_output(tmp_path / "out") as work:
        fill(work)
        assert [path.name[0] for path in (tmp_path / "out").iterdir()] == ["."]
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert found == ["report.dcm", "series", "series/1.dcm"]


def test_nothing_stays_after_an_error(tmp_path: Path) -> None:
    def break_off() -> None:
        with whole_output(tmp_path) as work:
            fill(work)
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_if_publishing_fails_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fails_at_series(self: Path, target: Path) -> Path:
        if self.name == "series":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_at_series)
    with pytest.raises(OSError, match="No space left"), whole_output(tmp_path) as work:
        fill(work)
    assert list(tmp_path.iterdir()) == []


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CineError, match="the output folder is not empty"), whole_output(tmp_path):
        pass
    with pytest.raises(CineError, match="found a file, expected a folder"), whole_output(tmp_path / "notes.txt"):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_shipped_model_is_ours(root: Path, tmp_path: Path) -> None:
    model = root / "bundle" / "models" / "model.ts"
    algorithm = read_algorithm(model)
    assert len(algorithm.weights) == 16
    (tmp_path / "model").mkdir()
    shutil.copyfile(model, tmp_path / "model" / "model.ts")
    assert read_algorithm(tmp_path) == algorithm


def test_other_models_are_refused_in_words(root: Path, tmp_path: Path) -> None:
    def refused(path: Path, words: str) -> None:
        with pytest.raises(CineError, match=words):
            read_algorithm(path)

    refused(tmp_path / "absent", "found 0 model files")
    refused(tmp_path, "found 0 model files")
    other = tmp_path / "other.ts"
    with ZipFile(other, "w") as archive:
        archive.writestr("other/extra/metadata.json", '{"name": "spleen"}')
    refused(tmp_path, "found the bundle 'spleen', expected model.ts of the bundle 'hdl_mvm'")
    whole = (root / "bundle" / "models" / "model.ts").read_bytes()
    other.write_bytes(whole[: len(whole) // 2])
    refused(other, "found a damaged file or no TorchScript")
    other.write_bytes(whole[: len(whole) // 2] + b"\xff" * 64 + whole[len(whole) // 2 + 64 :])
    refused(other, "found a damaged part")
