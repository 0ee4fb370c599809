"""The scanner: point spread, coil shading and noise on magnitude; noise, offset, wrapping and 12 bits on phase."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .draw import Dice

FULL_SCALE = 4096
"""Raw values of a 12-bit phase image; half of it is zero velocity."""


@dataclass(frozen=True)
class Scanner:
    """How a batch is imaged. All tensors [B] unless said.

    Attributes:
        point_spread: standard deviation of the point spread, mm.
        shading: [B, 5], coefficients of coil shading: X, Y, X^2, XY, Y^2, over 100 mm.
        noise: standard deviation of each channel's noise, in the brightness of the picture.
        gain: brightness of the stored picture.
    """

    point_spread: Tensor
    shading: Tensor
    noise: Tensor
    gain: Tensor


def draw_scanner(dice: Dice, snr: tuple[float, float] = (8.0, 60.0)) -> Scanner:
    """Draws scanners; ``snr`` is the range of the signal (brightness 0.7) to noise ratio."""
    scale = torch.tensor([0.3, 0.3, 0.12, 0.12, 0.12])
    ratio = snr[0] * (snr[1] / snr[0]) ** dice.uniform(0, 1)
    return Scanner(
        point_spread=dice.uniform(0.3, 1.25),
        shading=dice.normal(5) * scale,
        noise=0.7 / ratio,
        gain=10 ** dice.uniform(1.5, 3.3),
    )


def acquire(scanner: Scanner, picture: Tensor, pixel_mm: float) -> Tensor:
    """Applies point spread and coil shading, without noise: the truth that a frame is compared with.

    Args:
        scanner: how the batch is imaged.
        picture: [B, T, X, Y] float, brightness.
        pixel_mm: pixel size, mm.

    Returns:
        [B, T, X, Y] float, brightness.
    """
    batch, _frames, height, width = picture.shape
    offset = torch.arange(-3, 4) * pixel_mm
    kernel = torch.exp(-0.5 * (offset / scanner.point_spread.clamp_min(0.1)[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    padded = F.pad(picture.transpose(0, 1), (3, 3, 3, 3), mode="replicate")
    blurred = F.conv2d(padded, kernel[:, None, :, None], groups=batch)
    blurred = F.conv2d(blurred, kernel[:, None, None, :], groups=batch).transpose(0, 1)
    x = ((torch.arange(height) - (height - 1) / 2) * pixel_mm / 100)[:, None].expand(height, width)
    y = ((torch.arange(width) - (width - 1) / 2) * pixel_mm / 100)[None].expand(height, width)
    terms = torch.stack((x, y, x * x, x * y, y * y))
    return blurred * torch.exp(torch.einsum("bk,kxy->bxy", scanner.shading, terms))[:, None]


def add_noise(picture: Tensor, noise: Tensor | float, generator: torch.Generator) -> Tensor:
    """Makes a magnitude image noisy as a scanner does (Rician).

    Source: Gudbjartsson and Patz, Magn Reson Med 1995, doi 10.1002/mrm.1910340618.

    Args:
        picture: [..., X, Y] float, noise-free magnitude.
        noise: float, broadcastable to ``picture``: standard deviation of each of the two channels.
        generator: the source of randomness, where ``picture`` is.

    Returns:
        Like ``picture``, non-negative.
    """
    first, second = (torch.randn(picture.shape, generator=generator, device=picture.device) for _ in range(2))
    return torch.sqrt((picture + noise * first) ** 2 + (noise * second) ** 2)


def encode_phase(
    velocity: Tensor,
    magnitude: Tensor,
    noise: Tensor,
    venc: float,
    generator: torch.Generator,
    offset: Tensor | None = None,
    wrap: bool = False,
) -> Tensor:
    """Images a velocity component as a 12-bit phase image.

    Phase noise follows from the magnitude's signal to noise ratio; where there is no signal, phase is uniform.

    Args:
        velocity: [B, T, X, Y] float, cm/s.
        magnitude: [B, T, X, Y] float, noise-free, in the unit of ``noise``.
        noise: [B] float, standard deviation of each channel.
        venc: velocity, cm/s, that turns the phase by pi.
        generator: the source of randomness.
        offset: [B, 1, X, Y] float, background phase offset, cm/s.
        wrap: whether velocities beyond venc wrap around (True) or stay at the limit (False).

    Returns:
        [B, T, X, Y] int16, 0 to 4095: raw = round((v / (2 venc) + 0.5) 4096).
    """
    if offset is not None:
        velocity = velocity + offset
    angle = velocity / venc * torch.pi
    if not wrap:
        angle = angle.clamp(-torch.pi, torch.pi)
    sigma = noise[:, None, None, None]
    real = magnitude * torch.cos(angle) + sigma * torch.randn(angle.shape, generator=generator)
    imaginary = magnitude * torch.sin(angle) + sigma * torch.randn(angle.shape, generator=generator)
    measured = torch.atan2(imaginary, real)
    if not wrap:
        # Noise must not carry a clipped velocity across the limit to the other sign.
        measured = torch.where((measured - angle).abs() > torch.pi, angle, measured)
    raw = torch.round((measured / (2 * torch.pi) + 0.5) * FULL_SCALE)
    return raw.clamp(0, FULL_SCALE - 1).to(torch.int16)


def decode_phase(raw: Tensor, venc: float) -> Tensor:
    """Turns raw 12-bit phase into velocity, cm/s: v = (raw / 4096 - 0.5) 2 venc."""
    return (raw.float() / FULL_SCALE - 0.5) * 2 * venc
