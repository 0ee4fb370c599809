"""Real pictures set in motion: the phantom's kinematics carries a patient's end-diastolic picture through a cycle.

The appearance is real and the velocity known, which no other source of training data offers. The outer contour is
drawn at random where nobody drew it.
"""

import torch
from torch import Tensor

from .anatomy import sample_map
from .cine import PhantomCine, pixel_axes
from .draw import Dice, Ranges, draw_motion
from .scanner import acquire, draw_scanner
from .ventricle import Geometry, Ventricle

HARMONICS = 5


def contour_radius(mask: Tensor, pixel_mm: float) -> tuple[Tensor, Tensor]:
    """Describes a filled contour by its centre and the Fourier series of its radius.

    Args:
        mask: [X, Y] bool, one filled region around a centre it contains.
        pixel_mm: pixel size, mm.

    Returns:
        Centre [2] float, mm from the image centre along X and Y, and coefficients [6, 2] float (cosine, sine), mm.
    """
    position = torch.nonzero(mask).float()
    centre = position.mean(0)
    angle = torch.linspace(-torch.pi, torch.pi, 73)[:-1]
    steps = torch.arange(0, max(mask.shape), 0.5)
    x = (centre[0] + steps[None] * torch.cos(angle)[:, None]).round().long().clamp(0, mask.shape[0] - 1)
    y = (centre[1] + steps[None] * torch.sin(angle)[:, None]).round().long().clamp(0, mask.shape[1] - 1)
    radius = mask[x, y].sum(1) * 0.5 * pixel_mm
    order = torch.arange(HARMONICS + 1)[:, None] * angle
    cosine, sine = (radius * torch.cos(order)).mean(1) * 2, (radius * torch.sin(order)).mean(1) * 2
    cosine[0] /= 2
    middle = torch.tensor([(mask.shape[0] - 1) / 2, (mask.shape[1] - 1) / 2])
    return (centre - middle) * pixel_mm, torch.stack((cosine, sine), 1)


def animate(
    generator: torch.Generator,
    picture: Tensor,
    inner: Tensor,
    outer: Tensor | None,
    frames: int,
    size: int,
    pixel_mm: float = 1.5,
    ranges: Ranges | None = None,
) -> PhantomCine:
    """Sets one end-diastolic picture in motion.

    Args:
        generator: the source of randomness.
        picture: [X, Y] float, magnitude at end-diastole.
        inner: [X, Y] bool, the area inside the endocardium.
        outer: [X, Y] bool, the area inside the epicardium; None draws a wall of 6 to 12 mm.
        frames: frames T, evenly spaced over the cycle.
        size: pixels along each side of the result.
        pixel_mm: pixel size of picture and result, mm.
        ranges: what the motion is drawn from.

    Returns:
        A cine of one slice, B = 1.
    """
    ranges = ranges or Ranges()
    dice = Dice(generator, 1)
    centre, inner_radius = contour_radius(inner, pixel_mm)
    outer_radius = inner_radius.clone()
    outer_radius[0, 0] += dice.uniform(6.0, 12.0)[0]
    if outer is not None:
        outer_radius = contour_radius(outer, pixel_mm)[1]
    weak = dice.chance(0.3)
    motion, rr = draw_motion(dice, ranges, dice.chance(0.25), weak, dice.chance(0.15))
    height = dice.uniform(*ranges.height)
    here = Geometry(
        centre=dice.uniform(-12, 12, 2),
        inner=inner_radius[None],
        outer=outer_radius[None],
        height=height,
        cap=torch.full((1,), 8.0),
        tapered=torch.zeros(1, dtype=torch.bool),
        # Low enough that the slice never leaves the ventricle: the picture shows nothing else.
        level=dice.uniform(0.05, 0.75) * height,
    )
    ventricle = Ventricle(here, motion)
    time = torch.arange(frames).expand(1, frames) / frames
    state = ventricle.image(*pixel_axes(size, size, pixel_mm), time)
    x, y = state.reference_x - here.centre[0, 0] + centre[0], state.reference_y - here.centre[0, 1] + centre[1]
    level = picture[inner].mean().clamp_min(1e-3) / 0.9
    image = sample_map(picture[None, None] / level, x, y, pixel_mm)[:, 0]
    inside = (state.epicardium > 0).to(torch.uint8) + (state.endocardium > 0).to(torch.uint8)
    scanner = draw_scanner(dice, (25.0, 120.0))
    scanner = type(scanner)(scanner.point_spread * 0.4, scanner.shading * 0.5, scanner.noise, scanner.gain)
    return PhantomCine(acquire(scanner, image, pixel_mm), inside, state.velocity / 10, rr, scanner)
