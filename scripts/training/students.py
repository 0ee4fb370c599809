"""Labels that nobody drew, as a network that has learnt from those somebody drew sees them.

Source: Xie et al., CVPR 2020, "Self-training with Noisy Student improves ImageNet classification": the teacher looks at
clean pictures from several sides, the student learns from distorted ones.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from scripts.networks import HDLNet
from scripts.networks.blocks import normalisation, pad_to_multiple
from scripts.networks.cycle import neighbours, whole_cycle
from scripts.networks.motion import gap_view
from scripts.networks.ventricle import heart_window

from .sources import Source
from .sunnybrook import NOT_POOL, UNKNOWN

SURE = 0.6
"""Least probability that makes a label."""

FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-1, -2))


def seen_from_all_sides(frames: Tensor, still: bool, network: HDLNet) -> Tensor:
    """Segments acquired frames as they are and mirrored, and averages.

    Args:
        frames: [T, X, Y] float, magnitude of a whole cycle, or one picture that stands still, T = 1.
        still: whether it is one.
        network: a network that has learnt to segment.

    Returns:
        [T, 3, X, Y] float, probability of background, myocardium and pool, none outside ``heart_window``.
    """
    count = len(frames)
    cyclic = torch.ones(1, dtype=torch.int64, device=frames.device)
    image = frames.float().unsqueeze(0)
    image = pad_to_multiple(image / normalisation(image))
    # As in training: a picture that stands still is shown as a gap of a ninth of the cycle.
    gap = torch.full((count,), 1 / 9 if still else 1 / count, device=frames.device)
    total = torch.zeros(count, 3, *image.shape[-2:], device=frames.device)
    for flip in FLIPS:
        turned = image.flip(flip)
        keys = turned[0].expand(4, -1, -1)[None] if still else turned[0, neighbours(count, cyclic)]
        cycle = whole_cycle(F.avg_pool2d(turned, 8), cyclic)[0]
        view, motions = gap_view(keys)
        _, seen = network.interpolation.encode(view, cycle, gap)
        # At the acquired frame itself, how it changes has no weight.
        no_slopes, now = torch.zeros_like(keys[:, :2]), torch.zeros_like(gap)
        _, logits, _ = network.interpolation.decode(keys, no_slopes, seen, motions, now, gap)
        total += torch.softmax(logits, dim=1).flip(flip) / len(FLIPS)
    window = heart_window(total[None, :, 1:].sum(2))[0]
    total = torch.cat((total[:, :1] * window + 1 - window, total[:, 1:] * window), dim=1)
    return total[..., : frames.shape[-2], : frames.shape[-1]]


def complete(labels: Tensor, probability: Tensor) -> Tensor:
    """Fills in what nobody drew, where the teacher is sure; what was drawn stays.

    Args:
        labels: [T, X, Y] uint8: 0, 1, 2, ``NOT_POOL``, ``UNKNOWN``.
        probability: [T, 3, X, Y] float, of the labels 0, 1 and 2.

    Returns:
        [T, X, Y] uint8.
    """
    result = labels.clone()
    outside = probability[:, :2] / probability[:, :2].sum(1, keepdim=True).clamp_min(1e-6)
    for kind, choice in ((NOT_POOL, outside), (UNKNOWN, probability)):
        best, label = choice.max(1)
        where = (labels == kind) & (best > SURE)
        result[where] = label[where].to(torch.uint8)
    return result


def corrected(probability: Tensor, labels: Tensor, drawn: Sequence[int], most: float = 2.0) -> Tensor:
    """Corrects a teacher in a cine by what a reader drew in some of its frames: there it finds as large a ventricle.

    A pool that is taken for too large in two frames is so in those between them, and what is learnt from them would
    outweigh the few that somebody drew.

    Args:
        probability: [T, 3, X, Y] float, of background, myocardium and pool.
        labels: [T, X, Y] uint8: 0, 1, 2, ``NOT_POOL``, ``UNKNOWN``.
        drawn: frames with a drawn pool; the myocardium is drawn in some of them, or none.
        most: largest correction, in log odds.

    Returns:
        Like ``probability``.
    """
    seen = labels[list(drawn)]
    pool = torch.logit(probability[:, 2], 1e-6)
    ventricle = torch.logit(probability[:, 1:].sum(1), 1e-6)
    pool = torch.sigmoid(pool + _lacking(pool[list(drawn)], seen == 2, most))
    whole = (seen == 1).flatten(1).any(1)
    inside = (seen == 1) | (seen == 2)
    ventricle = torch.sigmoid(ventricle + _lacking(ventricle[list(drawn)][whole], inside[whole], most))
    ventricle = torch.maximum(ventricle, pool)
    return torch.stack((1 - ventricle, ventricle - pool, pool), dim=1)


def _lacking(odds: Tensor, drawn: Tensor, most: float) -> float:
    """What log odds lack, so that as many pixels as were drawn have more than none; 0 if none were."""
    count = int(drawn.sum())
    if count == 0:
        return 0.0
    border = torch.sort(odds.flatten(), descending=True).values[count - 1 : count + 1].mean()
    return float((-border).clamp(-most, most))


@torch.no_grad()
def taught(sources: list[Source], teacher: HDLNet) -> list[Source]:
    """Completes the labels of real sources.

    A frame in which the teacher misses the ventricle between two frames in which somebody drew it stays unknown.

    Args:
        sources: slice cines and pictures, changed in place.
        teacher: a network that has learnt to segment.

    Returns:
        The same sources.
    """
    device = next(teacher.parameters()).device
    open_ones = [s for s in sources if ((s.labels == NOT_POOL) | (s.labels == UNKNOWN)).any()]
    for source in tqdm(open_ones, desc="teacher", mininterval=5):
        frames = source.magnitude[:1] if source.still else source.magnitude
        probability = seen_from_all_sides(frames.to(device), source.still, teacher).cpu()
        if not source.still:
            probability = corrected(probability, source.labels, source.labelled)
        filled = complete(source.labels, probability)
        drawn = min(int((source.labels[f] == 2).sum()) for f in source.labelled)
        missed = (filled == 2).flatten(1).sum(1) < 0.5 * drawn
        filled[missed] = source.labels[missed]
        source.labels = filled
    return sources
