"""Pictures that move by a known amount."""

import torch


def texture(size: int = 96, shift: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
    """A smooth picture, moved by ``shift`` pixels along X and Y."""
    x = torch.arange(size)[:, None] - shift[0]
    y = torch.arange(size)[None] - shift[1]
    waves = torch.sin(x / 5) * torch.cos(y / 7) + torch.sin((x + 2 * y) / 11) + torch.cos((x - y) / 17)
    return (waves + 3)[None, None]


def centre(field: torch.Tensor, margin: int = 16) -> torch.Tensor:
    """Leaves a margin out, pixels."""
    return field[..., margin:-margin, margin:-margin]
