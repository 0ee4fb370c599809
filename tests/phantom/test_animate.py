"""Real pictures set in motion."""

import torch

from scripts.phantom.animate import animate, contour_radius


def disc(radius, centre=(30.0, 34.0), size=64):
    x, y = torch.arange(size)[:, None] - centre[0], torch.arange(size)[None] - centre[1]
    return torch.sqrt(x**2 + y**2) < radius


def test_the_radius_of_a_disc():
    centre, radius = contour_radius(disc(12), 1.5)
    assert torch.allclose(centre, torch.tensor([-2.25, 3.75]), atol=0.05)
    assert abs(float(radius[0, 0]) - 18) < 1
    assert radius[1:].abs().max() < 0.5


def test_an_animated_picture_starts_as_it_is():
    picture = disc(12).float() * 0.7 + disc(18).float() * 0.3
    cine = animate(torch.Generator().manual_seed(0), picture, disc(12), disc(18), 12, 64)
    pool = (cine.labels[0, 0] == 2).sum() / disc(12).sum()
    assert abs(float(pool) - 1) < 0.15
    areas = (cine.labels[0] == 2).flatten(1).sum(1)
    assert areas.min() < 0.95 * areas[0], "the ventricle contracts"
