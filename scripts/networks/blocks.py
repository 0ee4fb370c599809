"""What the modules of HDLNet share: their convolutional parts, and how a batch of pictures is prepared for them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CYCLE_FRAMES = 8
"""Frames of the whole cycle, starting at the gap, that the trunks see coarsely."""

SLOPE = 0.1
"""Slope of the leaky rectifier below zero."""


def initialise(module: nn.Module) -> None:
    """Draws convolution weights so that signals keep their size through the network, which has no normalisation.

    Source: He et al., ICCV 2015, "Delving Deep into Rectifiers". PyTorch's default shrinks them layer by layer.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    for layer in module.modules():
        if isinstance(layer, ConvPair):
            with torch.no_grad():
                layer.second.weight.mul_(0.5)


def time_in_gap(tau: Tensor, gap: Tensor) -> Tensor:
    """Describes times in gaps, [B] each (as in ``TimeModulation``), by [B, 4] numbers of about unit size."""
    return torch.stack((tau, 1 - tau, 4 * tau * (1 - tau), torch.log(gap) + 2.5), dim=1)


def modulate(features: Tensor, embedding: Tensor) -> Tensor:
    """Scales and shifts features [B, C, H, W] by the halves of an embedding [B, 2 C]."""
    scale, shift = embedding.unsqueeze(-1).unsqueeze(-1).chunk(2, dim=1)
    return features * (1 + scale) + shift


class TimeModulation(nn.Module):
    """Scales and shifts feature channels by the time within a gap and the length of that gap (FiLM).

    Source: Perez et al., AAAI 2018, "FiLM: Visual Reasoning with a General Conditioning Layer".

    Args:
        channels: number of feature channels to modulate.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 2 * channels))

    def forward(self, features: Tensor, tau: Tensor, gap: Tensor) -> Tensor:
        """Modulates features.

        Args:
            features: [B, C, H, W] float.
            tau: [B] float, time within the gap, 0 (earlier acquired frame) to 1 (later one).
            gap: [B] float, length of the gap as a fraction of the cardiac cycle.

        Returns:
            [B, C, H, W], like ``features``.
        """
        return modulate(features, self.embed(time_in_gap(tau, gap)))


class ConvPair(nn.Module):
    """Two 3x3 convolutions, the second one residual; no normalisation, so a crop and a full image agree.

    Args:
        inputs: input channels.
        outputs: output channels.
        stride: stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        x = F.leaky_relu(self.first(x), 0.1)
        return F.leaky_relu(x + self.second(x), 0.1)


class Trunk(nn.Module):
    """A U-shaped network of four levels, run once for each gap between acquired frames.

    Args:
        inputs: input channels.
        widths: channels at 1, 1/2, 1/4 and 1/8 of the input's resolution.
        outputs: channels of the result.
        context: channels of an extra input at 1/4 of the resolution.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int], outputs: int, context: int) -> None:
        super().__init__()
        a, b, c, d = widths
        self.modulation = TimeModulation(a)
        self.stem = nn.Conv2d(inputs, a, 3, 1, 1)
        self.level1 = ConvPair(a, a)
        self.level2 = ConvPair(a, b, 2)
        self.level3 = ConvPair(b, c, 2)
        self.context = nn.Conv2d(context, c, 3, 1, 1)
        self.level4 = nn.Sequential(ConvPair(c, d, 2), ConvPair(d, d))
        self.up3 = ConvPair(c + d, c)
        self.up2 = ConvPair(b + c, b)
        self.up1 = ConvPair(a + b, outputs)

    def forward(self, x: Tensor, gap: Tensor, context: Tensor) -> Tensor:
        """Computes features.

        Args:
            x: [B, inputs, h, w] float; h and w divisible by 8.
            gap: [B] float, gap length as a fraction of the cycle.
            context: [B, context, h / 4, w / 4] float.

        Returns:
            [B, outputs, h, w] float.
        """
        x1 = self.level1(F.leaky_relu(self.modulation(self.stem(x), torch.zeros_like(gap), gap), 0.1))
        x2 = self.level2(x1)
        x3 = self.level3(x2)
        x3 = F.leaky_relu(x3 + self.context(context), 0.1)
        x4 = self.level4(x3)
        x3 = self.up3(torch.cat((F.interpolate(x4, scale_factor=2.0, mode="nearest"), x3), dim=1))
        x2 = self.up2(torch.cat((F.interpolate(x3, scale_factor=2.0, mode="nearest"), x2), dim=1))
        return self.up1(torch.cat((F.interpolate(x2, scale_factor=2.0, mode="nearest"), x1), dim=1))


def pad_to_multiple(image: Tensor, multiple: int = 16) -> Tensor:
    """Repeats the last row and column until both sizes suit the trunk: half resolution and three halvings.

    Args:
        image: [N, C, X, Y] float.
        multiple: what X and Y shall be divisible by.

    Returns:
        [N, C, X', Y'] with X <= X' < X + multiple, likewise Y'.
    """
    x, y = image.shape[-2], image.shape[-1]
    pad = [0, (multiple - y % multiple) % multiple, 0, (multiple - x % multiple) % multiple]
    return F.pad(image, pad, mode="replicate")


def normalisation(image: Tensor) -> Tensor:
    """Finds the scale that brings a magnitude cine to unit brightness.

    The root mean square, taken again with bright pixels clipped at twice its first value, so that fat near the coil
    does not decide. Zero means no signal, so there is no offset.

    Args:
        image: [N, T, X, Y] float, magnitude.

    Returns:
        [N, 1, 1, 1] float, positive.
    """
    dims = (1, 2, 3)
    # In float64, so that every engine divides by the same number.
    exact = image.double()
    rms = exact.square().mean(dims, keepdim=True).sqrt()
    rms = torch.minimum(exact, 2 * rms).square().mean(dims, keepdim=True).sqrt()
    return rms.clamp_min(1e-30).to(image.dtype)


def repeat(x: Tensor, times: int) -> Tensor:
    """Repeats each item of a batch: [B, ...] to [B * times, ...], copies of an item side by side."""
    return x.unsqueeze(1).expand([x.shape[0], times] + list(x.shape[1:])).flatten(0, 1)
