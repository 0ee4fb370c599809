"""What is checked before MONAI Label starts, and what happens to the served copy of the bundle."""

import socket
from pathlib import Path

import pytest

from scripts.cine.study import CineError
from scripts.label.prepare import prepare
from scripts.label.serve import _copy_bundle, serve

from .conftest import write_cine


@pytest.fixture
def studies(tmp_path: Path) -> str:
    return str(prepare(str(write_cine(tmp_path / "a.nii.gz", (36, 40, 4), (1.5, 1.5, 8.0))), str(tmp_path / "studies")))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What of a bundle is copied; the content does not matter here."""
    for file in ("models/model.pt", "models/model.ts", "configs/inference.json", "configs/metadata.json"):
        path = tmp_path / "bundle" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"shipped {file}")
    return tmp_path / "bundle"


def test_a_folder_that_was_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(CineError, match=r"found no study for review; make the folder with"):
        serve(str(tmp_path))


def test_a_missing_environment_is_told_with_its_cure(studies: str, tmp_path: Path) -> None:
    with pytest.raises(CineError, match=r"no such file; MONAI Label has its own environment, make it with: make label"):
        serve(studies, environment=str(tmp_path / "nowhere"))
    assert not (Path(studies) / "server").exists()


def test_a_port_that_is_taken(studies: str, tmp_path: Path) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CineError, match=rf"127.0.0.1:{port}: cannot listen there .*; give another --port"):
            serve(studies, port=port, environment=str(python.parents[1]))


def test_trained_weights_outlive_a_restart_and_configs_are_renewed(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "server" / "model" / "hdl_mvm"
    _copy_bundle(bundle, copy)
    (copy / "models" / "model.pt").write_text("trained on reviewed labels")
    (bundle / "configs" / "inference.json").write_text("newer")
    _copy_bundle(bundle, copy)
    assert (copy / "models" / "model.pt").read_text() == "trained on reviewed labels"
    assert (copy / "configs" / "inference.json").read_text() == "newer"
    assert (bundle / "models" / "model.pt").read_text() == "shipped models/model.pt"


def test_new_shipped_weights_move_the_old_copy_aside(bundle: Path, tmp_path: Path, capsys) -> None:
    copy = tmp_path / "server" / "model" / "hdl_mvm"
    _copy_bundle(bundle, copy)
    (copy / "models" / "model.pt").write_text("trained on reviewed labels")
    (bundle / "models" / "model.ts").write_text("another network")
    _copy_bundle(bundle, copy)
    assert (copy / "models" / "model.pt").read_text() == "shipped models/model.pt"
    (aside,) = (tmp_path / "server" / "earlier").iterdir()
    assert (aside / "models" / "model.pt").read_text() == "trained on reviewed labels"
    assert str(aside) in capsys.readouterr().out


def test_an_incomplete_bundle(bundle: Path, tmp_path: Path) -> None:
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(CineError, match=r"models/model.pt: no such file; make it with: python -m scripts export"):
        _copy_bundle(bundle, tmp_path / "copy")
