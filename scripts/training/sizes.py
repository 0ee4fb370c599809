"""How large a source's ventricle is and how its wall moves, as a network segments and sees them."""

import torch
from torch import Tensor
from tqdm import tqdm

from scripts.networks import HDLNet

from .beats import at
from .sources import Source


@torch.no_grad()
def segmented(sources: list[Source], network: HDLNet) -> list[Source]:
    """Measures each ventricle as the network segments it and sees it move, since that is what the synthesis is told.

    Real frames are measured all; of other cines every sixth, and the error is carried to the frames between.

    Args:
        sources: slice cines, changed in place.
        network: a network that has learnt to segment.

    Returns:
        The same sources.
    """
    device = next(network.parameters()).device
    cyclic = torch.ones(1, dtype=torch.int64, device=device)
    generator = torch.Generator().manual_seed(0)
    moving = list({id(s): s for s in sources if not s.still}.values())
    with tqdm(total=len(moving), desc="segmented", mininterval=5) as progress:
        # As many at once as keep a GPU busy, or as fit a processor's cache.
        for alike in batches(moving, 240 if device.type == "cuda" else 80):
            scanned = torch.stack([s.scanned(generator) for s in alike])
            look = network.look(scanned.to(device), cyclic)
            for source, found, moves in zip(alike, look.areas.cpu(), look.moves.cpu(), strict=True):
                _tell(source, found, moves)
            progress.update(len(alike))
    return sources


def batches(sources: list[Source], frames: int) -> list[list[Source]]:
    """Puts together cines of one kind and shape, with at most about ``frames`` frames to measure in all."""
    alike: dict[tuple, list[Source]] = {}
    for source in sources:
        alike.setdefault((source.velocity is None, *source.magnitude.shape), []).append(source)
    made = []
    for group in alike.values():
        size = max(1, frames // len(group[0].magnitude[:: group[0].step]))
        made += [group[k : k + size] for k in range(0, len(group), size)]
    return made


def _tell(source: Source, found: Tensor, moves: Tensor) -> None:
    """Replaces true sizes and motions of a source, [T, 2] each, by those found in every ``step``-th frame."""
    if source.velocity is None:
        source.areas, source.moves = found, moves
    elif source.throughout:
        error = (found / source.areas[:: source.step].clamp_min(1)).clamp(0.2, 5)
        source.areas = source.areas * at(error, torch.arange(len(source.areas)) / len(source.areas))
        wrong = moves - source.moves.unflatten(0, (-1, source.step)).sum(1)
        source.moves = source.moves + wrong.repeat_interleave(source.step, 0) / source.step
