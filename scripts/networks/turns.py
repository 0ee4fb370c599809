"""Quarter turns of a picture and of the vectors in it."""

import torch
from torch import Tensor


def turn(picture: Tensor, turns: int) -> Tensor:
    """Turns pictures [..., X, Y] by some quarters: what was along Y then is along -X, what was along X along Y."""
    return torch.rot90(picture, turns, [-2, -1])


def turn_vectors(field: Tensor, turns: int, vectors: int = 1) -> Tensor:
    """Turns a field of vectors with its picture.

    Args:
        field: [B, C, X, Y] float; the first channels are the components along X and Y of one vector after the other,
            those after them do not depend on direction.
        turns: number of quarter turns, 0 or more.
        vectors: number of vectors, C >= 2 * ``vectors``.

    Returns:
        [B, C, X, Y], or [B, C, Y, X] after an odd number of turns.
    """
    field = turn(field, turns)
    inside, rest = field[:, : 2 * vectors], field[:, 2 * vectors :]
    for _ in range(turns):
        inside = torch.stack((-inside[:, 1::2], inside[:, ::2]), dim=2).flatten(1, 2)
    return torch.cat((inside, rest), dim=1)
