"""The bundle as its users meet it: MONAI's verifiers and commands, in the repository and unzipped elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow, verify_metadata, verify_net_in_out

from scripts.package import package

from .conftest import beating_disc, frame, write

pytestmark = pytest.mark.integration


def bundle_run(folder: Path, config: str, data: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m monai.bundle run inference`` in a folder."""
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", config]
    command += ["--dataset_dir", str(data), "--output_dir", str(out), "--upsampling_factor", "2"]
    environment = {**os.environ, "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "80"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def cines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cines")
    write(folder / "slice.nii.gz", beating_disc((40, 36, 5)), affine=frame((1.37, 1.37, 8)))
    write(folder / "stack.nii", beating_disc((36, 40, 2, 4)), step=200, unit="msec", affine=frame((1.6, 1.6, 10)))
    return folder


def check_outputs(cines: Path, out: Path) -> None:
    for source in cines.iterdir():
        shape = nibabel.load(source).shape
        name = source.name.split(".")[0]
        for key in ("cine", "label", "velocity_x", "velocity_y", "velocity_z", "pred"):
            image = nibabel.load(out / f"{name}_{key}.nii.gz")
            assert image.shape == (*shape[:-1], shape[-1] * (1 if key == "pred" else 2))
            assert np.isfinite(image.get_fdata()).all()


def test_metadata_fits_the_schema(root: Path, shared_data: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"  # what is there is not downloaded
    shutil.copy(shared_data / "schema" / "meta_schema_20240725.json", schema)
    verify_metadata(meta_file=str(root / "bundle/configs/metadata.json"), filepath=str(schema))


def test_metadata_states_the_versions_that_are_pinned(root: Path) -> None:
    metadata = json.loads((root / "bundle/configs/metadata.json").read_text())
    pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
    stated = {key: metadata[f"{name}_version"] for key, name in (("torch", "pytorch"), ("monai",) * 2, ("numpy",) * 2)}
    for name, version in {**stated, **metadata["required_packages_version"]}.items():
        assert pins[name] == version, name
    assert metadata["version"] in metadata["changelog"]


def test_the_network_has_the_channels_that_the_metadata_states(real_bundle: Path) -> None:
    configs = real_bundle / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        bundle_root=str(real_bundle),
        device="cpu",
    )


def test_inference_has_the_properties_that_a_workflow_needs(real_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    config = str(real_bundle / "configs" / "inference.json")
    workflow = ConfigWorkflow(config, workflow_type="infer", logging_file=False, bundle_root=str(real_bundle))
    workflow.initialize()
    assert workflow.check_properties() == []


def test_inference_is_stock_monai(root: Path) -> None:
    text = (root / "bundle/configs/inference.json").read_text()
    assert "scripts." not in text
    assert "@_meta_" not in text  # MONAI Label reads no metadata here


def test_runs_from_the_repository(root: Path, cines: Path, real_bundle: Path, tmp_path: Path) -> None:
    # As the README says it where the repository holds a model, else from the folder of a copy that does.
    folder = root if (root / "bundle/models/model.ts").is_file() else real_bundle.parent
    result = bundle_run(folder, "bundle/configs/inference.json", cines, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "not for diagnosis" in result.stdout
    check_outputs(cines, tmp_path)


def test_the_package_runs_elsewhere_without_this_repository(cines: Path, real_bundle: Path, tmp_path: Path) -> None:
    print(package(str(tmp_path / "dist"), str(real_bundle)))
    (archive,) = (tmp_path / "dist").iterdir()
    ZipFile(archive).extractall(tmp_path / "unzipped")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "scripts.py").write_text("raise ImportError('a package must not need the Python of this repository')")
    result = bundle_run(elsewhere, "../unzipped/hdl_mvm/configs/inference.json", cines, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    check_outputs(cines, tmp_path / "out")


def test_a_bad_input_ends_with_one_line_and_no_traceback(real_bundle: Path, tmp_path: Path) -> None:
    write(tmp_path / "in/still.nii.gz", beating_disc((40, 36, 5))[..., :1].repeat(5, -1))
    result = bundle_run(real_bundle.parent, "bundle/configs/inference.json", tmp_path / "in", tmp_path / "out")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/in/still.nii.gz: found 5 identical frames")
