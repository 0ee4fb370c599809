"""A beat between two pictures of a patient's slice, end-diastole and end-systole, both as a reader drew them.

Readers drew many single pictures and few cine. But what is to be segmented moves: a network that knows how patients
look from pictures that stand still alone draws their cine as it draws the phantom's.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.phantom.animate import contour_radius
from scripts.phantom.ventricle import fourier

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
    centres, radii = zip(*(contour_radius(label == 2, 1.0) for label in labels), strict=True)
    frames, told = [], []
    for phase in phases.tolist():
        grids = _grids(torch.stack(centres), torch.stack(radii), phase, pictures.shape[-2:])
        seen = F.grid_sample(pictures[:, None], grids, padding_mode="border", align_corners=True)[:, 0]
        frames.append((1 - phase) * seen[0] + phase * seen[1])
        nearer = slice(1, 2) if phase > 0.5 else slice(1)
        label = labels[nearer, None].float()
        label = F.grid_sample(label, grids[nearer], mode="nearest", padding_mode="border", align_corners=True)
        told.append(label[0, 0].to(torch.uint8))
    return torch.stack(frames), torch.stack(told), end


def _grids(centres: Tensor, radii: Tensor, phase: float, shape: torch.Size) -> Tensor:
    """Where each pixel of a frame at ``phase`` lies in both pictures.

    Args:
        centres: [2, 2] float, of both contours, pixels from the pictures' middle.
        radii: [2, 6, 2] float, Fourier coefficients of their radius, pixels.
        phase: from the first picture (0) to the second (1).
        shape: X and Y.

    Returns:
        [2, X, Y, 2] float, as ``grid_sample`` takes it.
    """
    last = torch.tensor(shape) - 1
    centres = centres + last / 2
    centre = torch.lerp(centres[0], centres[1], phase)
    offset = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij"), -1) - centre
    r = offset.norm(dim=-1).clamp_min(1e-3)
    cos, sin = (offset / r[..., None])[None, None].unbind(-1)
    borders = fourier(radii, cos, sin)[:, 0].clamp_min(1).square()
    border = torch.lerp(borders[0], borders[1], phase)
    share = torch.exp(-(r - border.sqrt() - WALL).clamp_min(0) / REACH)
    # The pool is stretched; around it areas are kept, as of a wall that thickens.
    outside = (r * r + (borders - border) * share).clamp_min(1e-3).sqrt()
    ratio = torch.where(r * r < border, r * (borders / border).sqrt(), outside) / r
    shift = (centres - centre)[:, None, None] * share[..., None]
    return ((centre + offset * ratio[..., None] + shift) / last * 2 - 1).flip(-1)
