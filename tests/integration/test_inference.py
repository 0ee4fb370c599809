"""What inference.json does around the network, with a network whose outputs can be worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import SaveImaged

from scripts.cine.nifti import write_nifti

from .conftest import beating_disc, frame, read, write

pytestmark = pytest.mark.integration

OUTPUTS = ("cine", "label", "velocity_x", "velocity_y", "velocity_z", "pred")
STEP = 0.01  # cm/s: half of it is the rounding of velocities, which are stored as 16-bit integers with a scale

Run = Callable[..., None]


def labels_of(pixels: np.ndarray) -> np.ndarray:
    """The stand-in's labels of one slice (X, Y, T)."""
    percent = 100 * pixels / pixels.max()
    return (percent > 30).astype(int) + (percent > 60)


@pytest.mark.parametrize("shape", [(40, 36, 5), (40, 36, 1, 5), (36, 40, 3, 4)])
def test_outputs_lie_on_the_grid_of_the_input_and_state_their_frame_duration(run: Run, tmp_path: Path, shape) -> None:
    source = write(tmp_path / "in" / "a.nii.gz", beating_disc(shape), step=1 / shape[-1], affine=frame((1.4, 1.6, 9)))
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=3)

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"a_{key}.nii.gz" for key in OUTPUTS)
    for key in OUTPUTS:
        image = nibabel.load(tmp_path / "out" / f"a_{key}.nii.gz")
        factor = 1 if key == "pred" else 3
        assert image.shape == (*shape[:-1], factor * shape[-1])
        assert image.header["pixdim"][4] == pytest.approx(1 / shape[-1] / factor)
        assert image.header.get_xyzt_units() == ("mm", "sec")
        np.testing.assert_allclose(image.affine, nibabel.load(source).affine, atol=1e-5)
        assert "not for diagnosis" in image.header["descrip"].item().decode()
        assert (image.get_data_dtype() == np.uint8) == (key in ("label", "pred"))


def test_values_come_out_as_the_network_gives_them(run: Run, tmp_path: Path) -> None:
    pixels = beating_disc((40, 36, 4))
    write(tmp_path / "in" / "a.nii", pixels, step=200, unit="msec")  # RR = 800 ms
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=2)

    between = (pixels + np.roll(pixels, -1, -1)) / 2
    blended = np.stack([pixels, between], -1).reshape(*pixels.shape[:2], 8)
    percent = 100 * blended / pixels.max()
    np.testing.assert_allclose(read(tmp_path / "out/a_cine.nii.gz"), blended, rtol=1e-5)
    np.testing.assert_array_equal(read(tmp_path / "out/a_label.nii.gz"), labels_of(blended))
    np.testing.assert_array_equal(read(tmp_path / "out/a_pred.nii.gz"), labels_of(pixels))
    for axis, key in enumerate(("velocity_x", "velocity_y")):
        expected = (np.roll(percent, -1, axis) - percent) * 1000 / 800
        np.testing.assert_allclose(read(tmp_path / f"out/a_{key}.nii.gz"), expected, atol=STEP)
    np.testing.assert_allclose(read(tmp_path / "out/a_velocity_z.nii.gz"), percent * 1000 / 800, atol=STEP)


def test_a_mirrored_view_gives_mirrored_outputs_and_opposite_velocity_along_x(run: Run, tmp_path: Path) -> None:
    pixels = beating_disc((41, 36, 2, 4), (1.37, 1.37))
    write(tmp_path / "in/plain.nii.gz", pixels, affine=frame((1.37, 1.37, 8)))
    write(tmp_path / "in/mirrored.nii.gz", pixels[::-1], affine=frame((1.37, 1.37, 8), mirrored=True))
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=2)
    for key in OUTPUTS:
        plain = read(tmp_path / f"out/plain_{key}.nii.gz")
        mirrored = read(tmp_path / f"out/mirrored_{key}.nii.gz")[::-1]
        sign = -1 if key == "velocity_x" else 1
        exact = key in ("label", "pred")
        np.testing.assert_allclose(sign * mirrored, plain, rtol=0, atol=0 if exact else STEP)


def test_without_an_affine_the_view_is_left_as_it_is(run: Run, tmp_path: Path) -> None:
    pixels = beating_disc((40, 36, 4))
    image = nibabel.Nifti1Image(pixels, None)
    image.header.set_zooms((1.5, 1.5, 8))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 0.25
    (tmp_path / "in").mkdir()
    nibabel.save(image, tmp_path / "in/a.nii.gz")
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=1)
    percent = 100 * pixels / pixels.max()
    expected = np.roll(percent, -1, 0) - percent
    np.testing.assert_allclose(read(tmp_path / "out/a_velocity_x.nii.gz"), expected, atol=STEP)
    for key in OUTPUTS:  # and nobody is told that it is known
        written = nibabel.load(tmp_path / f"out/a_{key}.nii.gz")
        assert (written.header["sform_code"], written.header["qform_code"]) == (0, 0)
        assert written.header.get_zooms()[:2] == pytest.approx((1.5, 1.5))
        assert written.header["pixdim"][4] == pytest.approx(0.25)


def test_slices_that_are_shifted_in_their_plane_are_not_mixed(run: Run, tmp_path: Path) -> None:
    """A scanner may shift each slice of a stack; what lies at one pixel of it stays there."""
    pixels = beating_disc((40, 36, 4, 4), (1.2, 1.2))
    straight, shifted = frame((1.2, 1.2, 8)), frame((1.2, 1.2, 8))
    shifted[:3, 2] += 4 * shifted[:3, 0] / 1.2
    for name, affine in (("straight", straight), ("shifted", shifted)):
        write(tmp_path / f"in/{name}.nii.gz", pixels, affine=affine)
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=2)
    for key in OUTPUTS:
        written = nibabel.load(tmp_path / f"out/shifted_{key}.nii.gz")
        np.testing.assert_allclose(written.get_sform(), shifted, atol=1e-4)
        expected = read(tmp_path / f"out/straight_{key}.nii.gz")
        np.testing.assert_allclose(read(tmp_path / f"out/shifted_{key}.nii.gz"), expected, atol=STEP)


def test_a_cine_that_its_manifest_calls_prospective_is_not_wrapped_unasked(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/a.nii.gz", beating_disc((40, 36, 4)))
    manifest = {"image": "a.nii.gz", "cyclic": False, "frame_duration_ms": [100]}
    (tmp_path / "in/study.json").write_text(json.dumps(manifest))
    with pytest.raises(SystemExit, match=r"found cyclic = 0 in the study.json beside it, expected 1; give --cyclic 0"):
        run(tmp_path / "in", tmp_path / "out")
    run(tmp_path / "in", tmp_path / "out", cyclic=0)
    assert nibabel.load(tmp_path / "out/a_label.nii.gz").header["pixdim"][4] == pytest.approx(0.1 / 6)


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [((0.9, 0.9, 8), (70, 66, 5)), ((2.1, 1.1, 6), (32, 60, 2, 5)), ((1.0, 1.0, 8), (34, 37, 5))],
    ids=["fine", "anisotropic", "smaller than the network takes"],
)
def test_other_spacings_are_resampled_and_brought_back(run: Run, tmp_path: Path, spacing, shape) -> None:
    pixels = beating_disc(shape, spacing[:2])
    write(tmp_path / "in/a.nii.gz", pixels, affine=frame(spacing))
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=2)
    np.testing.assert_allclose(read(tmp_path / "out/a_cine.nii.gz")[..., ::2], pixels, rtol=1e-5)
    slices = pixels.reshape(*shape[:2], -1, shape[-1])
    expected = np.stack([labels_of(slices[:, :, z]) for z in range(slices.shape[2])], 2).reshape(shape)
    found = read(tmp_path / "out/a_pred.nii.gz")
    for label in (1, 2):
        a, b = found == label, expected == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > (
            0.7 if label == 1 else 0.97
        )  # 1 is a ring of one or two pixels


def test_a_cine_that_does_not_wrap_ends_with_its_last_frame(run: Run, tmp_path: Path) -> None:
    pixels = beating_disc((40, 36, 4), (1.2, 1.2))
    write(tmp_path / "in/a.nii.gz", pixels, affine=frame((1.2, 1.2, 8)))
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=4, cyclic=0)
    found = read(tmp_path / "out/a_cine.nii.gz")
    np.testing.assert_allclose(found[..., -4:], pixels[..., -1:].repeat(4, -1), rtol=1e-5)
    # Without a manifest, this is how an assessment learns of it.
    assert nibabel.load(tmp_path / "out/a_label.nii.gz").header["descrip"].item().endswith(b"; not cyclic")
    # An RR that is given is that of the beat; the frames last as their header says.
    run(tmp_path / "in", tmp_path / "beat", upsampling_factor=4, cyclic=0, rr_ms=1000)
    header = nibabel.load(tmp_path / "beat/a_velocity_x.nii.gz").header
    assert header["descrip"].item().endswith(b"; not cyclic, RR 1000")
    assert header["pixdim"][4] == pytest.approx(0.05)
    np.testing.assert_array_equal(
        read(tmp_path / "beat/a_velocity_x.nii.gz"), read(tmp_path / "out/a_velocity_x.nii.gz")
    )


@pytest.mark.parametrize(
    ("step", "unit", "shape", "settings", "rr_ms"),
    [
        (0.1, "sec", (40, 36, 5), {}, 500),
        (0.2, "sec", (40, 36, 5), {}, 1000),
        (200, "msec", (40, 36, 1, 5), {}, 1000),
        (200_000, "usec", (40, 36, 5), {}, 1000),
        (0.2, "unknown", (40, 36, 1, 5), {}, 1000),
        (200, "unknown", (40, 36, 1, 5), {}, 1000),
        (1, "unknown", (40, 36, 5), {"rr_ms": 500}, 500),
        (0.2, "sec", (40, 36, 5), {"rr_ms": 500}, 500),
    ],
)
def test_velocities_scale_with_rr_wherever_it_comes_from(
    run: Run, tmp_path: Path, step, unit, shape, settings, rr_ms
) -> None:
    pixels = beating_disc(shape)
    write(tmp_path / "in/a.nii.gz", pixels, step, unit)
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=1, **settings)
    expected = 100 * pixels / pixels.max() * 1000 / rr_ms
    np.testing.assert_allclose(read(tmp_path / "out/a_velocity_z.nii.gz"), expected, atol=STEP)
    assert nibabel.load(tmp_path / "out/a_pred.nii.gz").header["pixdim"][4] == pytest.approx(rr_ms / 1000 / 5)


def test_the_manifest_gives_each_slice_its_own_rr(run: Run, tmp_path: Path) -> None:
    pixels = beating_disc((40, 36, 2, 4))
    write(tmp_path / "in/a.nii.gz", pixels, step=1, unit="unknown")
    study = {"image": "a.nii.gz", "frame_duration_ms": [250, 125]}
    (tmp_path / "in/study.json").write_text(json.dumps(study))
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=1)
    found = read(tmp_path / "out/a_velocity_z.nii.gz")
    percent = 100 * pixels / pixels.max((0, 1, 3), keepdims=True)
    np.testing.assert_allclose(found, percent * np.array([1, 2])[:, None], atol=STEP)


BAD = {
    "static": (lambda: (beating_disc((40, 36, 8)), 1, "unknown"), "static stack of slices"),
    "slices": (lambda: (np.random.default_rng(0).integers(0, 999, (40, 36, 8)), 0.1, "sec"), "static stack of slices"),
    "no time": (lambda: (beating_disc((40, 36, 2, 8)), 40, "sec"), "no plausible frame duration"),
    "few": (lambda: (beating_disc((40, 36, 2, 2)), 0.5, "sec"), "found 2 frame"),
    "flat": (lambda: (beating_disc((40, 36, 5))[:, :, None, None], 0.2, "sec"), "expected a cine"),
    "nan": (lambda: (np.where(np.arange(5) == 2, np.nan, beating_disc((40, 36, 5))), 0.2, "sec"), "NaN"),
    "constant": (lambda: (np.full((40, 36, 5), 7.0), 0.2, "sec"), "every pixel is 7"),
    "signed": (lambda: (beating_disc((40, 36, 5)) - 200, 0.2, "sec"), "phase images"),
    "still": (lambda: (beating_disc((40, 36, 5))[..., :1].repeat(5, -1), 0.2, "sec"), "5 identical frames"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_cine_is_refused_in_words_that_name_the_file(run: Run, tmp_path: Path, name: str) -> None:
    make, words = BAD[name]
    write(tmp_path / "in/good.nii.gz", beating_disc((40, 36, 5)))
    write(tmp_path / f"in/{name}.nii.gz", *make())
    with pytest.raises(SystemExit) as refusal:
        run(tmp_path / "in", tmp_path / "out")
    (line,) = str(refusal.value.code).splitlines()
    assert line.startswith(f"error: {tmp_path}/in/{name}.nii.gz: ")
    assert words in line
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("told", "settings", "words"),
    [
        ("", {}, "whose first and last frame correlate by -0.0"),
        ("rr_ms", {"rr_ms": 800}, ""),
        ("manifest", {}, ""),
        ("intent", {}, ""),
        ("dark", {}, ""),
    ],
)
def test_a_3d_file_of_unlike_frames_is_a_cine_only_if_it_is_called_one(
    stand_in_bundle: Path, tmp_path: Path, told: str, settings: dict, words: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (40, 36, 8))
    if told == "dark":
        pixels[..., 0] = 0
    path = write(tmp_path / "a.nii", pixels, step=0.1)
    if told == "manifest":
        (tmp_path / "study.json").write_text(json.dumps({"image": "a.nii", "frame_duration_ms": [100]}))
    if told == "intent":
        write_nifti(path, pixels.astype(np.int16), frame(), 100.0)
    parser = ConfigParser()
    parser.read_config(str(stand_in_bundle / "configs" / "inference.json"))
    parser.update(settings)
    found = parser.get_parsed_content("inspect")(str(path))
    assert words in found
    assert bool(found) == bool(words)


def test_a_truncated_file_and_an_empty_folder_are_refused_in_words(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(SystemExit, match="found no cine"):
        run(tmp_path / "in", tmp_path / "out")
    path = write(tmp_path / "in/a.nii.gz", beating_disc((40, 36, 5)))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(SystemExit, match=r"a\.nii\.gz: cannot be read"):
        run(tmp_path / "in", tmp_path / "out")


def test_an_implausible_rr_is_refused(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/a.nii.gz", beating_disc((40, 36, 5)))
    with pytest.raises(SystemExit, match="expected 250 to 2500"):
        run(tmp_path / "in", tmp_path / "out", rr_ms=0.8)


def test_earlier_outputs_are_not_taken_for_cine(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", beating_disc((40, 36, 5)))
    write(tmp_path / "b_cine.nii.gz", beating_disc((40, 36, 5)))  # somebody's name for a cine
    for _ in range(2):
        run(tmp_path, tmp_path, upsampling_factor=1)
    expected = [f"{name}.nii.gz" for name in ("a", "b_cine")]
    expected += [f"{name}_{key}.nii.gz" for name in ("a", "b_cine") for key in OUTPUTS]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)


@pytest.fixture
def label_request(stand_in_bundle: Path) -> Callable[[Path], torch.Tensor]:
    """Runs the three parts of inference.json that MONAI Label takes, as it takes them."""

    def infer(path: Path) -> torch.Tensor:
        parser = ConfigParser()
        parser.read_config(str(stand_in_bundle / "configs" / "inference.json"))
        parser["bundle_root"] = str(stand_in_bundle)
        pre, post, inferer, network = (
            parser.get_parsed_content(key) for key in ("preprocessing", "postprocessing", "inferer", "network_def")
        )
        data = {"image": str(path), "image_path": str(path)}
        for transform in pre.transforms:
            data = transform(data)
        data["pred"] = inferer(data["image"][None], network)[0]
        for transform in post.transforms:
            data = data if isinstance(transform, SaveImaged) else transform(data)
        return data["pred"]

    return infer


def test_monai_label_gets_labels_on_the_grid_of_its_image(run: Run, label_request, tmp_path: Path) -> None:
    pixels = beating_disc((50, 40, 5), (1.2, 1.3))
    path = write(tmp_path / "in/a.nii.gz", pixels, affine=frame((1.2, 1.3, 8), mirrored=True))
    pred = label_request(path)
    run(tmp_path / "in", tmp_path / "out", upsampling_factor=2)
    assert pred.dtype == torch.uint8
    np.testing.assert_array_equal(pred[0].numpy(), read(tmp_path / "out/a_pred.nii.gz"))


def test_monai_label_refuses_a_4d_cine_in_words(label_request, tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", beating_disc((40, 36, 2, 5)))
    with pytest.raises(ValueError, match="one study a slice"):
        label_request(path)


def test_evaluate_measures_dice_on_the_frames_that_are_labelled(run: Run, tmp_path: Path) -> None:
    for name, shape in (("a", (40, 36, 2, 5)), ("b", (40, 36, 5))):
        pixels = beating_disc(shape)
        write(tmp_path / f"in/{name}.nii.gz", pixels)
        labels = labels_of(pixels) if name == "b" else np.stack([labels_of(pixels[:, :, z]) for z in range(2)], 2)
        labels[..., [0, 2, 4]] = 0  # nobody drew these
        if name == "b":
            labels[labels == 2] = 1  # a mistake, apart from one pixel
            labels[16, 20, 1] = 2
        write(tmp_path / f"in/{name}_label.nii.gz", labels)
    run(tmp_path / "in", tmp_path / "out", overlay="evaluate.json", upsampling_factor=2)
    first, second = (tmp_path / "out/val_dice_raw.csv").read_text().splitlines()[1:]
    assert [float(value) for value in first.split(",")[1:]] == [1, 1, 1]
    assert 0 < float(second.split(",")[2]) < 0.1


def test_evaluate_says_which_labels_are_missing(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/a.nii.gz", beating_disc((40, 36, 5)))
    with pytest.raises(SystemExit, match=r"no labels .*a\.nii\.gz"):
        run(tmp_path / "in", tmp_path / "out", overlay="evaluate.json")
