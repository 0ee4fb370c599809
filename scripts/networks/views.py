"""What the network sees of a cine before it makes any frame: each gap as it is and turned, and what all views say."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class View(NamedTuple):
    """What the network sees of all gaps of a picture that is turned by some quarters.

    B gaps of pictures of X' x Y' pixels; X' and Y' change places in every other view.

    Attributes:
        turns: how many quarters.
        keys: [B, 4, X', Y'] float, the four acquired frames around each gap, divided by ``Look.scale``.
        changes: [B, 2, X', Y'] float, slopes of brightness at both ends of the gap, from ``slopes``.
        motions: [B, 6, X' / 2, Y' / 2] float64, pixels: the finest motion before, in and after the gap.
        steps: [B, 10, X' / 2, Y' / 2] float, from ``around_gaps``.
        channels: [B, 54, X' / 2, Y' / 2] float, from ``gap_channels``.
        cycle: [B, 8, X' / 8, Y' / 8] float, eighths of the cycle.
        features: [B, C, X' / 2, Y' / 2] float, from ``TemporalInterpolation.encode``.
        given: the same shape, from there, too: what they give to all times of the gap alike.
    """

    turns: int
    keys: Tensor
    changes: Tensor
    motions: Tensor
    steps: Tensor
    channels: Tensor
    cycle: Tensor
    features: Tensor
    given: Tensor


class Look(NamedTuple):
    """What the network sees of N cines of T acquired frames, padded to X', Y', before it makes any frame.

    Attributes:
        scale: [N, 1, 1, 1] float, what their brightness is divided by.
        gap: [N * T] float, length of a gap as a fraction of the cycle.
        views: of the gaps after all N * T frames, as they are and turned.
        trust: [V, N, T] float, how much each view of a frame is believed, from ``trust``.
        labels: [N, T, 3, X', Y'] float, log probabilities of labels in each frame, from ``with_neighbours``, made
            ``likelier``.
        bias: [N, T] float, from ``missed``.
        window: [N, 1, X', Y'] float, where the ventricle is, from ``heart_window``; in evaluation nowhere unless
            it ``stays``.
        areas: [N, T, 2] float, area of the pool and of pool and myocardium in each frame, pixels.
        moves: [N, T, 2] float, mean motion of the wall inward and around over each gap, pixels.
    """

    scale: Tensor
    gap: Tensor
    views: list[View]
    trust: Tensor
    labels: Tensor
    bias: Tensor
    window: Tensor
    areas: Tensor
    moves: Tensor


def together(seen: Tensor, weight: Tensor) -> Tensor:
    """Joins what views show of frames.

    Probabilities are averaged, not logits: one view that is sure must not outvote the others.

    Args:
        seen: [V, N, T, 3, X, Y] float, probability of labels.
        weight: [V, N, T] float, 1 together over the views.

    Returns:
        [N, T, 3, X, Y] float, log probability.
    """
    mixed = (seen * weight.unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)).sum(0)
    # log(mixed + 1e-8), but ONNX's exporter takes a sum with so little for one with nothing.
    return torch.log(1 + 1e8 * mixed) - math.log(1e8)


def mean(parts: list[Tensor]) -> Tensor:
    """Averages tensors of one shape."""
    return torch.stack(parts).mean(0)
