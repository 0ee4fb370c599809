"""Draws ventricles, tissues and scanners from a seed; ``Ranges`` names what they are drawn from."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .ventricle import Geometry, Motion, Ventricle
from .waves import closed_wave

Range = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """Ranges of all numbers of the phantom; mm, ms, degrees.

    Kinds are normal, infarct, dilated, hypertrophic, dyssynchronous. Times of waves follow field values at RR = 1000 ms
    (Codreanu 2014, Palka 1996); systole shortens less than the cycle as the heart beats faster. Shares are fractions.
    """

    kinds: tuple[float, ...] = (0.46, 0.2, 0.12, 0.12, 0.1)
    inner_radius: Range = (19.0, 29.0)
    dilated_radius: Range = (28.0, 38.0)
    hypertrophic_radius: Range = (14.0, 22.0)
    wall: Range = (6.5, 11.0)
    hypertrophic_wall: Range = (12.0, 18.0)
    thin_wall: Range = (5.0, 8.0)
    height: Range = (65.0, 105.0)
    ellipticity: float = 0.06
    strain: Range = (0.14, 0.27)
    weak_strain: Range = (0.04, 0.13)
    descent: Range = (8.0, 19.0)
    weak_descent: Range = (3.0, 9.0)
    apex_share: Range = (0.3, 0.6)
    twist_apex: Range = (3.0, 17.0)
    twist_base: Range = (-7.0, 1.0)
    swing: Range = (-1.0, 6.0)
    shear: Range = (0.0, 0.5)
    wall_variation: float = 0.3
    delay: Range = (50.0, 130.0)
    travel: float = 1.6
    rr: Range = (550.0, 1350.0)
    end_systole: Range = (310.0, 390.0)
    level: Range = (0.07, 0.9)
    outside: float = 0.08
    centre: float = 18.0


class Dice:
    """Random numbers of one batch, all from one generator.

    Args:
        generator: the source of randomness.
        batch: how many samples are drawn at once.
    """

    def __init__(self, generator: torch.Generator, batch: int) -> None:
        self.generator = generator
        self.batch = batch

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers: [B, *shape]."""
        return low + (high - low) * torch.rand(self.batch, *shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers: [B, *shape]."""
        return torch.randn(self.batch, *shape, generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        """True with a probability: [B] bool."""
        return torch.rand(self.batch, generator=self.generator) < probability


def draw_heart(dice: Dice, ranges: Ranges, level: Tensor | None = None) -> tuple[Ventricle, Tensor]:
    """Draws a batch of ventricles, each cut by one slice.

    Args:
        dice: the source of random numbers; its batch is B.
        ranges: what they are drawn from.
        level: [B] float, height of the slice above the apex as a share of the ventricle's; None draws it.

    Returns:
        The ventricles, and their RR interval [B] in ms.
    """
    kind = torch.multinomial(
        torch.tensor(ranges.kinds, dtype=torch.float), dice.batch, replacement=True, generator=dice.generator
    )
    infarct, dilated, hypertrophic, late = (kind == k for k in range(1, 5))
    weak = dilated | (late & dice.chance(0.5))
    motion, rr = draw_motion(dice, ranges, infarct, weak, late)
    return Ventricle(_draw_geometry(dice, ranges, dilated, hypertrophic, level), motion), rr


def _draw_geometry(dice: Dice, ranges: Ranges, dilated: Tensor, hypertrophic: Tensor, level: Tensor | None) -> Geometry:
    radius = torch.where(dilated, dice.uniform(*ranges.dilated_radius), dice.uniform(*ranges.inner_radius))
    radius = torch.where(hypertrophic, dice.uniform(*ranges.hypertrophic_radius), radius)
    wall = torch.where(dilated, dice.uniform(*ranges.thin_wall), dice.uniform(*ranges.wall))
    wall = torch.where(hypertrophic, dice.uniform(*ranges.hypertrophic_wall), wall)
    inner, outer = torch.zeros(dice.batch, 7, 2), torch.zeros(dice.batch, 7, 2)
    decay = 1 / torch.tensor([1.0, 1.0, 1.2, 2.0, 4.0, 6.0, 8.0])[:, None]
    ripple = dice.normal(7, 2) * decay * ranges.ellipticity
    ripple[:, :2] = 0
    inner[:] = ripple * radius[:, None, None]
    inner[:, 0, 0] = radius
    # The wall's thickness varies along the circumference on its own, most with the first harmonics.
    outer[:] = inner + dice.normal(7, 2) * decay * 0.09 * wall[:, None, None]
    outer[:, 0, 0] = radius + wall
    height = dice.uniform(*ranges.height)
    if level is None:
        level = dice.uniform(*ranges.level)
        # More above the base than below the apex: an atrium is what passes for a ventricle.
        beyond = torch.where(dice.chance(0.35), dice.uniform(-0.35, -0.14), dice.uniform(1.03, 1.6))
        level = torch.where(dice.chance(ranges.outside), beyond, level)
    return Geometry(
        centre=dice.uniform(-ranges.centre, ranges.centre, 2),
        inner=inner,
        outer=outer,
        height=height,
        cap=wall * dice.uniform(0.6, 1.0),
        tapered=torch.ones(dice.batch, dtype=torch.bool),
        level=level * height,
    )


def draw_motion(dice: Dice, ranges: Ranges, infarct: Tensor, weak: Tensor, late: Tensor) -> tuple[Motion, Tensor]:
    """Draws motions.

    Args:
        dice: the source of random numbers; its batch is B.
        ranges: what they are drawn from.
        infarct: [B] bool, a sector moves less.
        weak: [B] bool, the whole ventricle moves less.
        late: [B] bool, a sector moves later.

    Returns:
        The motions, and their RR interval [B] in ms.
    """
    rr = dice.uniform(*ranges.rr)
    es = dice.uniform(*ranges.end_systole) * (rr / 1000) ** 0.4
    early = es + dice.uniform(85, 145)
    atrial = torch.maximum(rr - dice.uniform(115, 190), early + 60)
    share_e = dice.uniform(0.45, 0.88)
    spike = dice.chance(0.7).float()

    def at(*columns: Tensor) -> Tensor:
        return torch.stack(columns, 1)

    def filling(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Times, widths and weights of the E and A waves; the two walls differ a little."""
        share = (share_e * dice.uniform(0.9, 1.1)).clamp(0.3, 0.95)
        centres = at(early + dice.uniform(-12, 12), atrial + dice.uniform(-10, 10))
        return centres, at(dice.uniform(34, 56), dice.uniform(28, 45)), at(-share, share - 1) * scale

    def systole() -> tuple[Tensor, Tensor, Tensor]:
        centres = at(es * dice.uniform(0.34, 0.46), es * dice.uniform(0.65, 0.85))
        return (
            centres,
            at(es * dice.uniform(0.2, 0.27), es * dice.uniform(0.13, 0.22)),
            at(torch.ones(dice.batch), dice.uniform(0.0, 0.45)),
        )

    def wave(*parts: tuple[Tensor, Tensor, Tensor]):  # type: ignore[no-untyped-def]
        centre, width, weight = (torch.cat(p, 1) for p in zip(*parts, strict=True))
        return closed_wave(centre / rr[:, None], width / rr[:, None], weight)

    isovolumic = (
        at(dice.uniform(25, 50), es + dice.uniform(15, 45)),
        at(dice.uniform(9, 14), dice.uniform(11, 18)),
        at(-dice.uniform(0.02, 0.07) * spike, -dice.uniform(0.03, 0.12) * spike),
    )
    recoil = (
        at(es + dice.uniform(35, 85), early, atrial),
        at(dice.uniform(26, 45), dice.uniform(40, 70), dice.uniform(40, 60)),
        at(-dice.uniform(0.3, 0.7), -dice.uniform(0.15, 0.45), -dice.uniform(0.02, 0.15)),
    )
    wringing = (
        at(es * dice.uniform(0.4, 0.55), es * dice.uniform(0.7, 0.9)),
        at(es * dice.uniform(0.18, 0.26), es * dice.uniform(0.12, 0.2)),
        at(torch.ones(dice.batch), dice.uniform(0.1, 0.6)),
    )
    swing = (
        at(dice.uniform(35, 80), es * dice.uniform(0.5, 0.75), early),
        at(dice.uniform(18, 35), dice.uniform(45, 90), dice.uniform(35, 70)),
        at(torch.ones(dice.batch), -dice.uniform(0.5, 1.0), -dice.uniform(0.0, 0.6)),
    )
    strain = torch.where(weak, dice.uniform(*ranges.weak_strain), dice.uniform(*ranges.strain))
    descent = torch.where(weak, dice.uniform(*ranges.weak_descent), dice.uniform(*ranges.descent))
    degrees = torch.pi / 180
    motion = Motion(
        contraction=wave(systole(), filling(), isovolumic),
        strain=strain,
        shortening=wave(systole(), filling(), (isovolumic[0], isovolumic[1], isovolumic[2] * 0.5)),
        descent=descent,
        apex_share=dice.uniform(*ranges.apex_share),
        torsion=wave(wringing, recoil),
        twist=at(dice.uniform(*ranges.twist_apex), dice.uniform(*ranges.twist_base)) * degrees,
        swing=wave(swing),
        swing_angle=dice.uniform(*ranges.swing) * degrees,
        shear=dice.uniform(*ranges.shear),
        scar=at(
            dice.uniform(-torch.pi, torch.pi),
            dice.uniform(1.0, 5.0),
            torch.where(infarct, dice.uniform(0.4, 0.95), dice.uniform(0.0, 0.15)),
        ),
        wall=dice.normal(2) * ranges.wall_variation / 2,
        delay=torch.where(late, dice.uniform(*ranges.delay), torch.zeros(dice.batch)) / rr,
        late=at(dice.uniform(-torch.pi, torch.pi), dice.uniform(0.8, 3.0)),
        travel=dice.normal(2, 3, 2) * ranges.travel / torch.tensor([1.0, 2.0, 4.0])[:, None],
    )
    return motion, rr
