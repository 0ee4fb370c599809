"""What a slice looks like: the ventricle below its base, an atrium and the aorta's root above."""

from dataclasses import replace

import pytest
import torch

from scripts.phantom.anatomy import AT_ONCE, draw_anatomy, film, render
from scripts.phantom.cine import pixel_axes
from scripts.phantom.draw import Dice, Ranges, draw_heart

PIXEL = 0.5


def still_slice(level: float, atrium: tuple[float, float], aorta: tuple[float, float, float, float], at: float = 0.0):
    """A round bright pool in the dark at a time of the cycle: magnitude and labels [X, Y], and its outer radius, mm."""
    dice = Dice(torch.Generator().manual_seed(4), 1)
    ventricle, _ = draw_heart(dice, Ranges(ellipticity=0.0, travel=0.0, centre=0.0), torch.tensor([level]))
    ventricle.geometry.outer[:, 1:] = 0
    drawn = draw_anatomy(dice, dark_blood=0.0)
    anatomy = replace(
        drawn,
        blood=torch.ones(1),
        muscle=torch.tensor([0.4]),
        surroundings=torch.zeros_like(drawn.surroundings),
        texture=torch.zeros_like(drawn.texture),
        flow=torch.zeros(1, 2),
        right=torch.tensor([[torch.pi, 3.0, 0.1, 0.0]]),
        papillary=torch.zeros(1, 3, 4),
        fat=torch.zeros(1, 3),
        trabeculae=torch.zeros(1),
        atrium=torch.tensor([atrium]),
        aorta=torch.tensor([aorta]),
        blur=torch.tensor([0.05]),
    )
    time = torch.full((1, 1), at)
    state = ventricle.image(*pixel_axes(257, 257, PIXEL), time)
    picture, labels = render(anatomy, ventricle, state, time)
    return picture[0, 0], labels[0, 0], float(ventricle.geometry.outer[0, 0, 0])


def along_y(picture: torch.Tensor, radius: float) -> float:
    """Brightness at a distance from the centre, mm, along +Y."""
    return float(picture[128, 128 + round(radius / PIXEL)])


def test_above_the_base_lies_an_atrium_with_a_wall_of_its_own_and_no_label():
    picture, labels, outer = still_slice(1.3, (2.0, 6.0), (0.0, 0.5, 0.0, 1.0))
    assert int(labels.sum()) == 0
    assert along_y(picture, 0.0) == pytest.approx(1.0, abs=0.02)
    assert along_y(picture, outer - 9.5) == pytest.approx(1.0, abs=0.02)
    assert along_y(picture, outer - 7.0) == pytest.approx(0.4, abs=0.02)
    assert along_y(picture, outer - 4.5) == pytest.approx(0.0, abs=0.02)


def test_the_atrium_lies_furthest_inside_where_the_aorta_is():
    # Towards the aorta, here along +Y, 1.8 times the mean: 10.8 mm inside, a wall of 3.6 mm; opposite a fifth of it.
    picture, _, outer = still_slice(1.3, (2.0, 6.0), (torch.pi / 2, 0.5, 0.0, 1.0))
    assert along_y(picture, outer - 11.8) == pytest.approx(0.4, abs=0.02)
    assert along_y(picture, outer - 9.8) == pytest.approx(0.0, abs=0.02)
    assert along_y(picture, -(outer - 0.2)) == pytest.approx(0.0, abs=0.02)
    assert along_y(picture, -(outer - 2.6)) == pytest.approx(1.0, abs=0.02)


def test_the_atrium_fills_while_the_ventricle_empties():
    bright = [
        int((still_slice(1.4, (2.0, 6.0), (0.0, 0.5, 0.0, 1.0), at)[0] > 0.9).sum()) for at in (0.0, 0.2, 0.35, 0.7)
    ]
    assert bright[0] < bright[1] < bright[2]
    assert bright[3] < bright[2]


def test_below_the_base_neither_is_seen():
    plain, labels, _ = still_slice(0.6, (2.0, 6.0), (0.0, 0.5, 0.0, 1.0))
    other, _, _ = still_slice(0.6, (0.5, 1.0), (1.0, 0.8, 14.0, 1.1))
    assert set(labels.unique().tolist()) == {0, 1, 2}
    assert torch.allclose(plain, other, atol=1e-4)


def test_the_root_of_the_aorta_is_a_bright_disc_with_a_thin_wall():
    # Its centre lies along +Y at 0.8 of the outer radius, out of the atrium's middle.
    picture, labels, outer = still_slice(1.3, (2.0, 6.0), (torch.pi / 2, 0.8, 12.0, 1.1))
    assert int(labels.sum()) == 0
    assert along_y(picture, 0.8 * outer) == pytest.approx(1.1, abs=0.02)
    assert along_y(picture, 0.8 * outer + 12.75) == pytest.approx(0.4, abs=0.02)
    assert along_y(picture, 0.8 * outer + 14.5) == pytest.approx(0.0, abs=0.02)


def test_a_film_is_all_frames_at_once():
    dice = Dice(torch.Generator().manual_seed(2), 2)
    ventricle, _ = draw_heart(dice, Ranges())
    anatomy = draw_anatomy(dice)
    time, axes = torch.arange(2 * AT_ONCE + 2).expand(2, -1) / (2 * AT_ONCE + 2), pixel_axes(40, 36, 3.0)
    state = ventricle.image(*axes, time)
    wanted = (*render(anatomy, ventricle, state, time), state.velocity)
    for found, whole in zip(film(anatomy, ventricle, axes, time), wanted, strict=True):
        assert found.shape == whole.shape
        assert torch.allclose(found.float(), whole.float(), atol=1e-5)
