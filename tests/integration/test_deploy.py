"""The packaged MONAI Deploy application, run for real: DICOM of two vendors in, checked DICOM out; refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import jsonschema
import nibabel
import numpy as np
import pydicom
import pytest
from monai.bundle import ConfigWorkflow
from pydicom.sr.codedict import codes

from scripts.assessment import SCHEMA
from scripts.cine.convert import convert
from scripts.cine.write_dicom import write_dicom_series
from scripts.deploy.run import ENVIRONMENT
from scripts.deploy.source import Source
from scripts.phantom.studies import write_phantom_studies
from tests.deploy.conftest import assert_valid  # noqa: F401  a fixture

from .conftest import beating_disc, frame

pytestmark = [pytest.mark.integration, pytest.mark.deploy, pytest.mark.slow]

FACTOR = 2
SERIES = ("segmentation", "cine", "cine_segmentation", "velocity_x", "velocity_y", "velocity_z")
VELOCITIES = SERIES[3:]


@pytest.fixture(scope="module")
def context(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an image would be built of."""
    if not (ENVIRONMENT / "bin" / "python").is_file():
        pytest.skip(f"{ENVIRONMENT} is absent (make deploy-env)")
    out = tmp_path_factory.mktemp("package") / "hdl_mvm"
    subprocess.run([sys.executable, "-m", "scripts", "deploy", "package", str(out)], cwd=root, check=True)
    return out / "context"


def environment(context: Path, source: Path, out: Path, **settings: str) -> dict[str, str]:
    return {
        **os.environ,
        "HOLOSCAN_INPUT_PATH": str(source),
        "HOLOSCAN_OUTPUT_PATH": str(out),
        "HOLOSCAN_MODEL_PATH": str(context / "models"),
        "HOLOSCAN_LOG_LEVEL": "WARN",
        "PYTHONPATH": "",
        **settings,
    }


def real_slices(shared: Path, folder: Path) -> None:
    """Two mid-ventricular slices of a patient, as the scanner sent them (GE, one series)."""
    for number in range(81, 121):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared / "sunnybrook" / "cine" / "SCD0000101" / f"{number}.dcm", folder / f"{number}.dcm")


@dataclass(frozen=True)
class Run:
    """One study through the application, and through the bundle directly."""

    source: Source
    out: Path
    direct: Path
    log: str


@pytest.fixture(scope="module", params=["ge", "siemens"])
def run(request: pytest.FixtureRequest, context: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp(request.param)
    shared = root.parent / "shared" / "data"
    study = folder / "dicom"
    if request.param == "ge" and shared.is_dir():
        real_slices(shared, study)
    else:  # an oblique phantom with anisotropic voxels; the style follows from the seed
        seed = {"ge": 0, "siemens": 1}[request.param]
        write_phantom_studies(str(folder), studies=1, seed=seed, format="dicom", frames=12, factor=4)
        study = folder / f"phantom-{seed:04d}"
    done = subprocess.run(
        [str(ENVIRONMENT / "bin" / "python"), str(context / "app")],
        env=environment(context, study, folder / "out", HDL_MVM_UPSAMPLING_FACTOR=str(FACTOR)),
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-4000:]

    converted, direct = folder / "study", folder / "direct"
    convert(str(study), str(converted))
    workflow = ConfigWorkflow(
        config_file=str(root / "bundle" / "configs" / "inference.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(root / "bundle"),
        dataset_dir=str(converted),
        output_dir=str(direct),
        upsampling_factor=FACTOR,
    )
    workflow.initialize()
    workflow.run()
    return Run(Source.read(study), folder / "out", direct, done.stdout + done.stderr)


def expected(run: Run, key: str) -> np.ndarray:
    """What the bundle wrote, on the source's own pixels: (T', Z, rows, columns)."""
    (path,) = run.direct.glob(f"*_{key}.nii.gz")
    return run.source.as_stored(nibabel.load(path).get_fdata().transpose(3, 0, 1, 2))


def images(folder: Path) -> list[pydicom.Dataset]:
    with pydicom.config.disable_value_validation():
        return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def test_pixels_are_those_of_the_bundle(run: Run) -> None:
    for series in ("cine", *VELOCITIES):
        pixels = expected(run, series)
        count, slices = pixels.shape[:2]
        found = images(run.out / series)
        assert len(found) == count * slices
        for image in found:
            z, k = divmod(image.InstanceNumber - 1, count)
            slope = float(image.get("RescaleSlope", 1))
            values = image.pixel_array * slope + float(image.get("RescaleIntercept", 0))
            np.testing.assert_allclose(values, pixels[k, z], atol=slope / 2 + (0.002 if series != "cine" else 0.05))
            if series == "cine" and k % FACTOR == 0:
                with pydicom.config.disable_value_validation():
                    acquired = pydicom.dcmread(run.source.frames[z][k // FACTOR].path).pixel_array
                np.testing.assert_array_equal(values, acquired)


@pytest.mark.parametrize(("series", "key"), [("segmentation", "pred"), ("cine_segmentation", "label")])
def test_labels_are_those_of_the_bundle(run: Run, series: str, key: str) -> None:
    labels = expected(run, key)
    assert labels.any()
    heights = np.array([row[0].position for row in run.source.frames])
    paths = sorted((run.out / series).glob("*.dcm"))
    assert len(paths) == len(labels)
    for path, frame_labels in zip(paths, labels, strict=True):
        with pydicom.config.disable_value_validation():
            seg = hd.seg.segread(path)
        found = np.zeros(frame_labels.shape)
        pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
        for groups, mask in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
            position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            z = int(np.argmin(np.linalg.norm(heights - position, axis=1)))
            assert np.linalg.norm(heights[z] - position) < 0.5
            found[z][mask > 0] = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        np.testing.assert_array_equal(found, frame_labels)


def test_everything_is_new_and_of_the_sources_study(run: Run) -> None:
    files = [pydicom.dcmread(path, stop_before_pixels=True) for path in run.out.rglob("*.dcm")]
    header = run.source.headers[0]
    frames = [f for row in run.source.frames for f in row]
    assert {str(f.StudyInstanceUID) for f in files} == {str(header.StudyInstanceUID)}
    assert {str(f.PatientID) for f in files} == {str(header.PatientID)}
    assert len({f.SeriesInstanceUID for f in files}) == len({f.SeriesNumber for f in files}) == len(SERIES) + 2
    assert len({f.SOPInstanceUID for f in files}) == len(files)
    assert {f.SeriesInstanceUID for f in files}.isdisjoint(f.series_uid for f in frames)
    assert {f.SOPInstanceUID for f in files}.isdisjoint(f.sop_uid for f in frames)
    assert all("not for diagnosis" in f.SeriesDescription for f in files)
    sources = {f.sop_uid for f in frames}
    named = {r.ReferencedSOPInstanceUID for f in files for s in f.get("ReferencedSeriesSequence", [])
             for r in s.ReferencedInstanceSequence}  # fmt: skip
    assert sources <= named
    assert named <= sources | {f.SOPInstanceUID for f in files}


def test_report_and_measurements_read_back(run: Run) -> None:
    assessment = json.loads((run.out / "assessment.json").read_text())
    jsonschema.validate(assessment, json.loads(SCHEMA.read_text()))
    assert str(run.source.headers[0].get("PatientName")) not in (run.out / "assessment.json").read_text()
    report = pydicom.dcmread(run.out / "report.dcm")
    assert report.EncapsulatedDocument.startswith(b"%PDF")
    measurements = hd.sr.srread(run.out / "measurements.dcm")
    whole = measurements.content.get_image_measurement_groups()[0]
    found = {m.name.value: m.value for m in whole.get_measurements()}
    figures = {f["key"]: f["value"] for f in assessment["summary"] if f["value"] is not None}
    assert found[codes.LN.LeftVentricularEjectionFractionByMR.value] == pytest.approx(figures["ef_percent"], abs=1e-3)
    assert len(found) == len(figures)


def test_a_validator_finds_no_error(run: Run, assert_valid: Callable[..., None]) -> None:  # noqa: F811
    frames = [frame for row in run.source.frames for frame in row]
    elements = [element for frame in frames for element in pydicom.dcmread(frame.path, force=True).iterall()]
    inherited = frozenset(str(element.value) for element in elements if element.VR == "UI")
    for series in SERIES:
        paths = sorted((run.out / series).glob("*.dcm"))
        assert_valid(paths[0], inherited)
        assert_valid(paths[-1], inherited)
    assert_valid(run.out / "report.dcm", inherited)
    assert_valid(run.out / "measurements.dcm", inherited)


# Starting the runtime takes longer than a refusal: one process tries them all.
DRIVER = """
import contextlib, io, json, os, resource, sys
from scripts.deploy.application import main
for case in json.load(sys.stdin):
    os.environ.update(case["environment"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if case["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (case["largest_file"], hard))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    print("CASE", json.dumps({"code": code, "said": said.getvalue()}), flush=True)
"""


def small(folder: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {
        "pixels": beating_disc((48, 48, 1, 3)),
        "affine": frame((1.5, 1.5, 8)),
        "rr_ms": 800,
        "frame_times_ms": np.arange(3) * 800 / 3,
        "style": "ge",
    }
    write_dicom_series(folder, **{**arguments, **changes})
    return folder


def undecodable(folder: Path) -> Path:
    for path in small(folder).glob("*.dcm"):
        image = pydicom.dcmread(path)
        image.compress("1.2.840.10008.1.2.5")
        image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # a video
        image.save_as(path)
    return folder


def ragged(folder: Path) -> Path:
    small(folder, pixels=beating_disc((48, 48, 3, 6)), frame_times_ms=np.arange(6) * 800 / 6)
    max(folder.glob("*.dcm")).unlink()
    return folder


def repeated(folder: Path) -> Path:
    uid = pydicom.dcmread(min(small(folder).glob("*.dcm"))).StudyInstanceUID
    small(folder / "again", study_uid=uid, series_number=9)
    return folder


def foreign_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.ts").write_bytes(b"PK no archive")
    return folder


def test_refusals_are_words_and_leave_nothing_behind(context: Path, tmp_path: Path) -> None:
    phase = {"kind": "phase", "venc": 20.0, "direction": "x", "pixels": beating_disc((48, 48, 1, 3)) / 100 - 2}
    static = {"pixels": beating_disc((48, 48, 3, 1)), "frame_times_ms": [0.0]}
    good = small(tmp_path / "good")
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "notes.txt").write_text("mine")
    cases = {
        "no such folder": (tmp_path / "absent", {}, "absent: no such file or folder"),
        "no cine": (small(tmp_path / "static", **static), {}, "no cine found: a static stack"),
        "ragged": (ragged(tmp_path / "ragged"), {}, "ragged frames: found 5 frames in this slice, expected 6"),
        "several": (repeated(tmp_path / "several"), {}, "several candidates for the short-axis cine, expected one"),
        "phase": (small(tmp_path / "phase", **phase), {}, "found only phase images"),
        "undecodable": (undecodable(tmp_path / "odd"), {}, "found the transfer syntax MPEG-4 AVC/H.264 High Profile"),
        "bad RR": (good, {"HDL_MVM_RR_MS": "3"}, "HDL_MVM_RR_MS: found RR = '3', expected 250 to 2500 ms"),
        "factor": (good, {"HDL_MVM_UPSAMPLING_FACTOR": "0"}, "argument upsampling_factor: found '0'"),
        "model": (
            good,
            {"HOLOSCAN_MODEL_PATH": str(foreign_model(tmp_path / "foreign"))},
            "found a damaged file or no TorchScript",
        ),
        "occupied": (good, {"HOLOSCAN_OUTPUT_PATH": str(occupied)}, "the output folder is not empty"),
        "full disk": (good, {}, "File too large"),
    }
    neutral = {"HDL_MVM_RR_MS": "", "HDL_MVM_UPSAMPLING_FACTOR": "1"}
    given = [
        {
            "environment": environment(context, source, tmp_path / "out" / name, **{**neutral, **settings}),
            "largest_file": 20_000 if name == "full disk" else 0,
        }
        for name, (source, settings, _) in cases.items()
    ]
    done = subprocess.run(
        [str(ENVIRONMENT / "bin" / "python"), "-c", DRIVER],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": str(context / "app"), "HOLOSCAN_LOG_LEVEL": "OFF"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    answers = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("CASE ")]
    assert len(answers) == len(cases), done.stderr[-4000:]
    for (name, (_, _, words)), answer in zip(cases.items(), answers, strict=True):
        assert answer["code"] == 1, name
        assert words in answer["said"], (name, answer["said"])
        last = answer["said"].strip().splitlines()[-1]
        assert last.startswith("error: "), name
        assert last.endswith("Nothing was written."), name
        out = tmp_path / "out" / name
        assert not out.exists() or list(out.iterdir()) == [], name
    assert [path.name for path in occupied.iterdir()] == ["notes.txt"]


def test_a_refusal_ends_the_process_with_1(context: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = subprocess.run(
        [str(ENVIRONMENT / "bin" / "python"), str(context / "app")],
        env=environment(context, tmp_path / "in", tmp_path / "out"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no cine found: none of the 0 file(s) is a DICOM MR image. Nothing was written." in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
