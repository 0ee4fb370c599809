"""Contours and masks of the same ventricle must tell the same."""

import re

import cv2
import numpy as np
import pytest
from skimage.io import imread

from scripts.training import sunnybrook


@pytest.mark.parametrize("radius", [9.0, 20.0, 35.0])
def test_a_mask_is_brought_to_the_contour_it_was_drawn_from(radius):
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    points = np.stack((120.25 + radius * np.cos(angle), 101.5 + radius * np.sin(angle)), -1)  # columns, rows
    points = np.round(points * 2) / 2  # as the files give them
    drawn = np.zeros((256, 256), np.uint8)
    cv2.fillPoly(drawn, [points.astype(int)], 1)
    found = sunnybrook._without_border(drawn > 0)
    wanted = sunnybrook._mask((points - sunnybrook.ORIGIN)[:, ::-1])
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.95
    shift = found.nonzero().float().mean(0) - wanted.nonzero().float().mean(0)
    assert shift.abs().max() < 0.3
    assert abs(float(found.sum().sqrt() - wanted.sum().sqrt())) / np.pi**0.5 < 0.3  # radius, pixels


def test_masks_and_contours_of_patients_agree(shared_data):
    root = shared_data / "sunnybrook"
    contours, overlaps = sunnybrook._contours(root, "SC-HF-I-09"), []
    for path in sorted((root / "edes" / "endo_masks").glob("SC-HF-I-09*.png")):
        number = int(re.search(r"IM-0001-(\d+)", path.name)[1]) - 1
        polygon = contours.get((number // sunnybrook.FRAMES, number % sunnybrook.FRAMES, "i"))
        if polygon is not None:
            one, other = sunnybrook._mask(polygon), sunnybrook._without_border(imread(path) > 0)
            overlaps.append(float(2 * (one & other).sum() / (one.sum() + other.sum())))
    assert len(overlaps) > 20
    assert np.mean(overlaps) > 0.97


def test_as_many_pictures_as_the_card_says(shared_data):
    pairs = sunnybrook.load_pairs(shared_data / "sunnybrook")
    assert sum(len(pair.labels) for pair in pairs) == 578
    assert sum(len(pair.labels) for pair in pairs if pair.patient in sunnybrook.HELD_OUT) == 112


def test_a_pair_carries_the_contour_where_one_was_drawn(shared_data):
    root = shared_data / "sunnybrook"
    pairs = {p.index: p for p in sunnybrook.load_pairs(root) if p.patient == "SC-HF-I-02"}
    (cine,) = [c for c in sunnybrook.load_cines(root, ("SC-HF-I-02",)) if c.index == 5]
    diastole = max(cine.labels.values(), key=lambda label: int((label == 2).sum()))
    assert (pairs[5].labels[0] == diastole).all()
