"""A cohort shared out by torchrun gives what one process gives."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .conftest import beating_disc, read, write
from .test_inference import Run

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("count", [1, 3])  # one file for two processes leaves one without work
def test_two_processes_write_what_one_writes(stand_in_bundle: Path, run: Run, tmp_path: Path, count: int) -> None:
    for k in range(count):
        write(tmp_path / "in" / f"cine{k}.nii.gz", beating_disc((36 + 2 * k, 40, 4)))
    run(tmp_path / "in", tmp_path / "one", upsampling_factor=2)
    configs = [str(stand_in_bundle / "configs" / f"{name}.json") for name in ("inference", "inference_distributed")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--"]
    command += ["monai.bundle", "run", "inference", "--config_file", str(configs), "--upsampling_factor", "2"]
    command += ["--bundle_root", str(stand_in_bundle), "--dataset_dir", str(tmp_path / "in")]
    command += ["--output_dir", str(tmp_path / "two")]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-5000:]
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 6 * count
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == names
    for name in names:
        np.testing.assert_array_equal(read(tmp_path / "two" / name), read(tmp_path / "one" / name))
