"""Measured studies as each vendor sends them: which images are the phases, their directions, and their magnitude."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest

from scripts.cine.dicom import read_dicom
from scripts.cine.manifest import read_manifest
from scripts.cine.study import CineError
from scripts.cine.velocity import read_measured
from scripts.cine.venc import ge_magnitude
from scripts.cine.write_dicom import write_dicom_series
from scripts.measured import measured as measured_command

from .conftest import FRAMES, RR_MS, edit, oblique_affine
from .test_velocity import SHAPE, VENC, header, phases, velocity_of


def write_phases(root, style="siemens", number=lambda k: 100 * (k + 2)):
    """Three phase series, or three times three for Siemens; returns the files of each."""
    times = np.arange(FRAMES) * RR_MS / FRAMES
    return {
        axis: write_dicom_series(
            root / axis, velocity_of(raw, VENC[axis]), oblique_affine(), RR_MS, times, style, "phase", VENC[axis],
            axis, f"phase {axis}", None, number(k),
        )
        for k, (axis, raw) in enumerate(phases().items())
    }  # fmt: skip


def write_magnitude(root, style="siemens", number=1, seed=7, slices=3, frames=FRAMES):
    pixels = np.random.default_rng(seed).integers(0, 1200, (20, 24, slices, frames)).astype(float)
    times = np.arange(frames) * RR_MS / frames
    write_dicom_series(root, pixels, oblique_affine(), RR_MS, times, style, series_number=number)
    return pixels


def assert_velocities(measured, tolerance=1 / 4096):
    for axis, found in zip(VENC, measured.velocity, strict=True):
        assert np.abs(found - velocity_of(phases()[axis], VENC[axis])).max() < VENC[axis] * tolerance, axis


@pytest.mark.parametrize("style", ["ge", "siemens", "enhanced"])
def test_the_magnitude_just_before_the_phases_is_taken(tmp_path, style):
    write_magnitude(tmp_path / "sax", style, 1, seed=1)
    write_magnitude(tmp_path / "sax with more slices", style, 11, seed=2, slices=5)
    pixels = write_magnitude(tmp_path / "mvm", style, 31)
    write_magnitude(tmp_path / "later", style, 901, seed=3)
    write_phases(tmp_path, style)
    measured = read_measured(tmp_path)
    assert np.array_equal(measured.study.magnitude, pixels)
    assert_velocities(measured)
    assert any("left aside" in note for note in measured.study.notes)


def test_a_magnitude_with_fewer_frames_does_not_belong_to_the_phases(tmp_path):
    write_magnitude(tmp_path / "mvm")
    write_magnitude(tmp_path / "sax", number=50, frames=4)
    write_phases(tmp_path)
    assert read_measured(tmp_path).study.shape[3] == FRAMES
    shutil.rmtree(tmp_path / "mvm")
    with pytest.raises(CineError, match=f"no magnitude cine of {FRAMES} frames"):
        read_measured(tmp_path)


def test_the_magnitude_can_be_chosen_as_convert_does(tmp_path):
    write_magnitude(tmp_path / "mvm", "ge", 31)
    other = write_magnitude(tmp_path / "other", "ge", 901, seed=3)
    write_phases(tmp_path, "ge")
    assert np.array_equal(read_measured(tmp_path, series=2).study.magnitude, other)
    with pytest.raises(CineError, match="argument series"):
        read_measured(tmp_path, series=3)


def test_three_magnitudes_one_before_each_phase(tmp_path):
    for k in range(3):
        write_magnitude(tmp_path / f"magnitude {k}", number=100 * k + 150, seed=k)
    write_phases(tmp_path)
    assert_velocities(read_measured(tmp_path))


@pytest.mark.parametrize("description", ["phase {axis}", "flow", "flow slice {slice}"])
def test_siemens_series_of_one_slice_without_a_word_for_the_direction(tmp_path, description):
    write_magnitude(tmp_path / "mvm")
    files = write_phases(tmp_path)
    for axis in VENC:

        def change(ds, axis=axis):
            del ds[0x0051, 0x1014]
            ds.SeriesDescription = description.format(axis=axis, slice=ds.SeriesNumber % 100)

        edit(tmp_path / axis, change)
    with pytest.raises(CineError, match="no tag states the velocity encoding"):
        read_measured(tmp_path)
    assert_velocities(read_measured(tmp_path, venc=(20, 25, 30)))
    for path in files["y"][:FRAMES]:
        path.unlink()
    with pytest.raises(CineError, match=r"expected three .* 3 place"):
        read_measured(tmp_path, venc=(20, 25, 30))


@pytest.mark.parametrize(
    "words", [("rl", "fh", "in"), ("rl", "ap", "out"), ("ap", "rl", "through"), ("rl", "ap", "fh")]
)
@pytest.mark.parametrize("where", ["text", "SequenceName"])
def test_siemens_words_for_through_the_plane(tmp_path, words, where):
    write_magnitude(tmp_path / "mvm")
    write_phases(tmp_path, number=lambda k: (500, 600, 200)[k])
    for axis, word in zip(VENC, words, strict=True):

        def change(ds, axis=axis, word=word):
            if where == "text":
                ds[0x0051, 0x1014].value = f"v{VENC[axis]:g}_{word}"
            else:
                del ds[0x0051, 0x1014]
                ds.SequenceName = f"fl2d1_v{VENC[axis]:g}{word}"

        edit(tmp_path / axis, change)
    measured = read_measured(tmp_path)
    assert measured.venc == (20.0, 25.0, 30.0)
    assert_velocities(measured)
    assert repr(words[2]) in measured.sources["directions"]


@pytest.mark.parametrize(("vencs", "doubt"), [((30, 20, 20), "here it is x"), ((20, 20, 30), ""), ((20, 25, 30), "")])
def test_a_through_plane_venc_that_is_not_the_odd_one_is_noted(tmp_path, vencs, doubt):
    write_magnitude(tmp_path / "mvm", "ge")
    write_phases(tmp_path, "ge")
    for axis, venc in zip(VENC, vencs, strict=True):
        edit(tmp_path / axis, lambda ds, venc=venc: setattr(ds[0x0019, 0x10CC], "value", 10 * venc))
    notes = " ".join(read_measured(tmp_path).study.notes)
    assert (doubt in notes) if doubt else "odd one" not in notes


def as_ge_sends_it(ds, code, kind=None):
    """16 bits, signed, phase in mm/s, and an ImageType that says nothing."""
    phase = "RescaleSlope" in ds
    values = ds.pixel_array.astype(float)
    if phase:
        values = 10 * (values * float(ds.RescaleSlope) + float(ds.RescaleIntercept))
        del ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType
    ds.PixelData = np.rint(values).astype("<i2").tobytes()
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 15, 1
    ds.add_new("SmallestImagePixelValue", "SS", int(np.rint(values).min()))
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    if not phase:
        ds.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xCC, "SS", 200)
    block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
    if code is not None:
        block.add_new(0x30, "SS", code)
    if kind is not None:
        block.add_new(0x2F, "SS", kind)


CODES = {
    "straight": ((2, None), (3, None), (4, None), (5, None)),
    "oblique": ((8, None), (9, None), (10, None), (11, None)),
    "image type": ((None, 0), (None, 1), (None, 1), (None, 1)),
    "signed": ((None, None), (None, None), (None, None), (None, None)),
}


@pytest.mark.parametrize("codes", CODES.values(), ids=CODES)
def test_ge_phases_that_image_type_does_not_tell(tmp_path, codes):
    write_magnitude(tmp_path / "mvm", "ge")
    write_phases(tmp_path, "ge")
    for name, code in zip(("mvm", *VENC), codes, strict=True):
        edit(tmp_path / name, lambda ds, code=code: as_ge_sends_it(ds, *code))
    assert read_dicom(tmp_path).shape == SHAPE
    measured = read_measured(tmp_path)
    assert measured.venc == (20.0, 25.0, 30.0)
    assert_velocities(measured, tolerance=0.01)


def test_ge_sends_all_in_one_series(tmp_path):
    write_magnitude(tmp_path / "mvm", "ge")
    write_phases(tmp_path, "ge")
    for number, (name, code) in enumerate(zip(("z", "mvm", "y", "x"), (11, 8, 10, 9), strict=True)):

        def change(ds, number=number, code=code):
            as_ge_sends_it(ds, code)
            ds.SeriesInstanceUID, ds.SeriesNumber, ds.SeriesDescription = "1.2.3", 7, "TPM"
            ds.InstanceNumber += 1000 * number

        edit(tmp_path / name, change)
    measured = read_measured(tmp_path)
    assert measured.venc == (20.0, 25.0, 30.0)
    assert_velocities(measured, tolerance=0.01)
    assert "(0043,1030)" in measured.sources["directions"]


def test_ge_codes_mean_nothing_in_a_file_of_another_vendor_or_without_velocity_encoding():
    ge = header(Manufacturer="GE MEDICAL SYSTEMS")
    ge.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x30, "SS", 3)
    assert not ge_magnitude(ge)
    ge.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xCC, "SS", 0)
    assert ge_magnitude(ge)  # diffusion
    ge[0x0019, 0x10CC].value = 200
    assert not ge_magnitude(ge)
    ge.add_new((0x0043, 0x1030), "UN", b"\x02\x00")  # VR lost
    assert ge_magnitude(ge)
    ge.Manufacturer, ge[0x0043, 0x1030].value = "SIEMENS", b"\x03\x00"
    assert ge_magnitude(ge)


def test_rescale_type_cm_s_is_velocity_whatever_the_bits(tmp_path):
    write_magnitude(tmp_path / "mvm", "ge")
    write_phases(tmp_path, "ge")

    def change(ds, wide):
        ds.Manufacturer, ds.RescaleType = "Philips Medical Systems", "cm/s"
        if wide:
            ds.BitsStored, ds.HighBit = 16, 15
        else:  # 12 bits, of which the velocities fill a part
            velocity = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
            ds.RescaleSlope, ds.RescaleIntercept = "0.05", "-102.4"
            ds.PixelData = np.rint((velocity + 102.4) / 0.05).astype("<u2").tobytes()

    for axis in VENC:
        edit(tmp_path / axis, lambda ds, axis=axis: change(ds, axis == "x"))
    assert_velocities(read_measured(tmp_path, venc=(20, 25, 30)), tolerance=0.002)


def test_one_enhanced_file_with_magnitude_and_phases(tmp_path):
    write_magnitude(tmp_path / "parts", "enhanced")
    write_phases(tmp_path / "parts", "enhanced")
    items, pixels = [], []
    for path in sorted((tmp_path / "parts").rglob("*.dcm")):
        part = pydicom.dcmread(path)
        shared = part.SharedFunctionalGroupsSequence[0]
        for own, image in zip(part.PerFrameFunctionalGroupsSequence, part.pixel_array, strict=True):
            for element in shared:
                own[element.tag] = element
            items.append(own)
            pixels.append(image)
    del part.SharedFunctionalGroupsSequence, part.ComplexImageComponent
    part.PerFrameFunctionalGroupsSequence, part.NumberOfFrames = items, len(items)
    part.PixelData = np.stack(pixels).astype("<u2").tobytes()
    part.BitsStored, part.HighBit = 12, 11
    part.save_as(tmp_path / "all.dcm")
    assert_velocities(read_measured(tmp_path / "all.dcm"))
    labels = np.ones(SHAPE, np.uint8)
    affine = read_measured(tmp_path / "all.dcm").study.affine
    nib.Nifti1Image(labels, affine).to_filename(tmp_path / "label.nii")
    out = measured_command(str(tmp_path / "all.dcm"), str(tmp_path / "maps"), labels=str(tmp_path / "label.nii"))
    assert len(list(out.glob("maps_velocity_?.nii.gz"))) == 3
    assert read_manifest(out / "study.json")["velocity"]["labels"] == "given"
    with pytest.raises(CineError, match=r"label\.nii: found one NIfTI file"):
        read_measured(tmp_path / "label.nii")
