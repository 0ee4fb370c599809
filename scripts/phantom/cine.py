"""A phantom cine of slices: everything the scanner would see, and the truth behind it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .anatomy import Anatomy, draw_anatomy, film
from .draw import Dice, Ranges, draw_heart
from .scanner import Scanner, acquire, add_noise, draw_scanner
from .ventricle import Ventricle


@dataclass(frozen=True)
class PhantomCine:
    """A batch of slice cines.

    Attributes:
        magnitude: [B, T, X, Y] float, noise-free, blurred and shaded; brightness of blood is about 1.
        labels: [B, T, X, Y] uint8: 0 background, 1 myocardium, 2 pool.
        velocity: [B, 3, T, X, Y] float, along X, Y and towards the apex, cm/s at RR = 1000 ms.
        rr: [B] float, RR interval, ms.
        scanner: how it was imaged.
    """

    magnitude: Tensor
    labels: Tensor
    velocity: Tensor
    rr: Tensor
    scanner: Scanner

    def scanned(self, generator: torch.Generator) -> Tensor:
        """The magnitude as a scanner shows it, with noise from the generator: [B, T, X, Y] float."""
        return add_noise(self.magnitude, self.scanner.noise[:, None, None, None], generator)


def pixel_axes(height: int, width: int, pixel_mm: float) -> tuple[Tensor, Tensor]:
    """Positions of pixels from the image centre, mm: X [1, 1, height, width] and Y, the same."""
    x = (torch.arange(height) - (height - 1) / 2) * pixel_mm
    y = (torch.arange(width) - (width - 1) / 2) * pixel_mm
    shape = (1, 1, height, width)
    return x[:, None].expand(shape).contiguous(), y[None].expand(shape).contiguous()


def image_cines(
    generator: torch.Generator,
    batch: int,
    frames: int,
    size: int,
    pixel_mm: float = 1.5,
    ranges: Ranges | None = None,
) -> PhantomCine:
    """Draws and images a batch of independent slices.

    Args:
        generator: the source of randomness; the same state gives the same cines.
        batch: number of slices B.
        frames: frames T, evenly spaced over the cycle from end-diastole.
        size: pixels along each side.
        pixel_mm: pixel size, mm.
        ranges: what the numbers are drawn from.

    Returns:
        The cines with their truth.
    """
    dice = Dice(generator, batch)
    ventricle, rr = draw_heart(dice, ranges or Ranges())
    return _image(draw_anatomy(dice), draw_scanner(dice), ventricle, rr, frames, size, pixel_mm)


def image_stack(
    generator: torch.Generator,
    frames: int,
    size: int,
    gap_mm: float,
    pixel_mm: float = 1.5,
    ranges: Ranges | None = None,
) -> tuple[list[PhantomCine], int]:
    """Draws the slice that ``image_cines`` draws, and images the whole stack that it is one of.

    Args:
        generator: the source of randomness; its state gives the slice.
        frames: frames T, evenly spaced over the cycle from end-diastole.
        size: pixels along each side.
        gap_mm: distance of the slices, mm.
        pixel_mm: pixel size, mm.
        ranges: what the numbers are drawn from.

    Returns:
        Cines of one slice each, from just above the base to the apex, beyond them if the drawn slice is; and the
        number of the drawn one.
    """
    dice = Dice(generator, 1)
    ventricle, rr = draw_heart(dice, ranges or Ranges())
    anatomy, scanner = draw_anatomy(dice), draw_scanner(dice)
    own, height = float(ventricle.geometry.level), float(ventricle.geometry.height)
    above = max(0, math.floor((1.12 * height - own) / gap_mm))
    below = max(0, math.floor((own + float(ventricle.geometry.cap)) / gap_mm))
    cines = []
    for step in range(above, -below - 1, -1):
        section = ventricle.at(ventricle.geometry.level + step * gap_mm)
        cines.append(_image(anatomy, scanner, section, rr, frames, size, pixel_mm))
    return cines, above


def _image(
    anatomy: Anatomy, scanner: Scanner, ventricle: Ventricle, rr: Tensor, frames: int, size: int, pixel_mm: float
) -> PhantomCine:
    time = torch.arange(frames).expand(len(rr), frames) / frames
    picture, labels, velocity = film(anatomy, ventricle, pixel_axes(size, size, pixel_mm), time)
    return PhantomCine(acquire(scanner, picture, pixel_mm), labels, velocity / 10, rr, scanner)
