"""A beat between two pictures of a patient's slice, end-diastole and end-systole, both as a reader drew them.

Readers drew many single pictures and few cine. But what is to be segmented moves: a network that knows how patients
look from pictures that stand still alone draws their cine as it draws the phantom's.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.phantom.animate import contour_radius

FRAMES = 20
WALL = 8.0
"""Pixels around the pool that move as its border does; what is further away moves less."""
REACH = 12.0
"""Pixels over which the motion around the wall falls to a third."""


def contraction(generator: torch.Generator) -> tuple[Tensor, int]:
    """Draws how a ventricle contracts, fills, rests and is filled by the atrium.

    Args:
        generator: the source of randomness.

    Returns:
        [FRAMES] float, 0 at end-diastole, the first frame, and 1 at end-systole; and the frame of end-systole.
    """
    end, filling = (int(torch.randint(*of, (), generator=generator)) for of in ((6, 10), (3, 6)))
    rest = 0.15 + 0.25 * float(torch.rand((), generator=generator))
    curve = torch.zeros(FRAMES)
    moments = [(0, 0.0), (end, 1.0), (end + filling, rest), (FRAMES - 4, rest), (FRAMES, 0.0)]
    for (first, high), (last, low) in pairwise(moments):
        step = torch.arange(last - first) / (last - first)
        curve[first:last] = high + (low - high) * (1 - torch.cos(torch.pi * step)) / 2
    return curve, end


def between(pictures: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, int]:
    """Makes a cine of two pictures of one slice.

    The pool's border moves from one contour to the other, what is around it less the further away it is, and one
    picture fades into the other. Both ends of systole are the pictures themselves.

    Args:
        pictures: [2, X, Y] float, magnitude at end-diastole and at end-systole.
        labels: [2, X, Y] uint8, 2 where the pool is.
        generator: the source of randomness.

    Returns:
        [FRAMES, X, Y] float, a cycle from end-diastole on; its labels, uint8; and the frame of end-systole.
    """
    phases, end = contraction(generator)
    outlines = [contour_radius(label == 2, 1.0) for label in labels]
    frames, told = [], []
    for phase in phases.tolist():
        grids = _grids(outlines, phase, pictures.shape[-2:])
        seen = F.grid_sample(pictures[:, None], grids, padding_mode="border", align_corners=True)[:, 0]
        frames.append((1 - phase) * seen[0] + phase * seen[1])
        near = int(phase > 0.5)
        of = labels[near, None, None].float()
        told.append(F.grid_sample(of, grids[near, None], "nearest", "border", True)[0, 0].to(torch.uint8))
    return torch.stack(frames), torch.stack(told), end


def _grids(outlines: list[tuple[Tensor, Tensor]], phase: float, shape: torch.Size) -> Tensor:
    """Where each pixel of a frame at ``phase`` lies in both pictures: [2, X, Y, 2], as ``grid_sample`` takes it."""
    last = torch.tensor(shape) - 1
    centres = [centre + last / 2 for centre, _ in outlines]
    centre = torch.lerp(centres[0], centres[1], phase)
    offset = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij"), -1) - centre
    r, angle = offset.norm(dim=-1).clamp_min(1e-3), torch.atan2(offset[..., 1], offset[..., 0])
    borders = [_radius(coefficients, angle).clamp_min(1).square() for _, coefficients in outlines]
    border = torch.lerp(borders[0], borders[1], phase)
    share = torch.exp(-(r - border.sqrt() - WALL).clamp_min(0) / REACH)
    grids = []
    for origin, there in zip(centres, borders, strict=True):
        # The pool is stretched; around it areas are kept, as of a wall that thickens.
        outside = (r * r + (there - border) * share).clamp_min(1e-3).sqrt()
        ratio = torch.where(r * r < border, r * (there / border).sqrt(), outside) / r
        at = centre + offset * ratio[..., None] + (origin - centre) * share[..., None]
        grids.append((at / last * 2 - 1).flip(-1))
    return torch.stack(grids)


def _radius(coefficients: Tensor, angle: Tensor) -> Tensor:
    order = torch.arange(len(coefficients))[:, None, None] * angle
    cosine, sine = coefficients.unsqueeze(-1).unsqueeze(-1).unbind(1)
    return (cosine * torch.cos(order) + sine * torch.sin(order)).sum(0)
