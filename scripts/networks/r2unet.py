"""The published network: recurrent residual U-Nets with two encoders and a time map, defects mended.

Source: Xing et al., IEEE JBHI 2022, doi 10.1109/JBHI.2022.3158897, with the blocks of Alom et al., arXiv 1802.06955.
What the authors' release cannot do and this does: it runs; the recurrence feeds back what it made, not its input twice;
each encoder and each output has weights of its own; time is relative to the acquired frames, so a cine need not begin
at end-diastole; masks of acquired frames come from the network itself, not from a reader; nothing at inference is
drawn from measured velocities.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .blocks import normalisation, repeat
from .cycle import neighbours, wrap
from .hdlnet import HDLNet

Widths = tuple[int, int, int, int, int]

FULL_WIDTH: Widths = (64, 128, 256, 512, 1024)
"""Channels of the published network at 1, 1/2, 1/4, 1/8 and 1/16 of the resolution."""

VENC = (20.0, 20.0, 30.0)
"""Velocity encoding of the published data, cm/s: the network's outputs are shares of it."""

PUBLISHED_FRAMES = 50
"""Frames of a cycle in the published data."""


class Recurrent(nn.Module):
    """A convolution that is applied to its input and, added to that, to its own result.

    Every step normalises by statistics of its own: those of the input and of the sums have little in common, and with
    one set for all the network would do something else at inference than in training.

    Args:
        channels: channels in and out.
        steps: how often the result is fed back.
    """

    def __init__(self, channels: int, steps: int = 2) -> None:
        super().__init__()
        shared = nn.Conv2d(channels, channels, 3, 1, 1)
        self.steps = nn.ModuleList(nn.Sequential(shared, nn.BatchNorm2d(channels), nn.ReLU()) for _ in range(steps + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the same shape."""
        state = torch.zeros_like(x)
        for step in self.steps:
            state = step(x + state)
        return state


class RecurrentResidual(nn.Module):
    """Two recurrent convolutions with a residual connection.

    Args:
        inputs: input channels.
        outputs: output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, 1)
        self.body = nn.Sequential(Recurrent(outputs), Recurrent(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, inputs, H, W] to [B, outputs, H, W]."""
        x = self.project(x)
        return x + self.body(x)


class Encoder(nn.Module):
    """The contracting path.

    Args:
        inputs: input channels.
        widths: channels of the five levels.
    """

    def __init__(self, inputs: int, widths: Widths) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            RecurrentResidual(before, after) for before, after in zip((inputs, *widths[:-1]), widths, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps [B, inputs, H, W], both divisible by 16, to the features of the five levels, finest first."""
        features: list[Tensor] = []
        for level in self.levels:
            if len(features) > 0:
                x = F.max_pool2d(x, 2)
            x = level(x)
            features.append(x)
        return features


class Up(nn.Module):
    """One step of the expanding path: twice the resolution, joined with the features of that level.

    Args:
        inputs: channels from below.
        skipped: channels of the features that join.
        outputs: output channels.
    """

    def __init__(self, inputs: int, skipped: int, outputs: int) -> None:
        super().__init__()
        self.enlarge = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU())
        self.join = RecurrentResidual(skipped + outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Maps [B, inputs, h, w] and [B, skipped, 2 h, 2 w] to [B, outputs, 2 h, 2 w]."""
        # A size, not a factor: a product with a float is more than the ONNX export can reason about in minutes.
        x = self.enlarge(F.interpolate(x, size=[skip.shape[2], skip.shape[3]], mode="nearest"))
        return self.join(torch.cat((skip, x), dim=1))


class Decoder(nn.Module):
    """The expanding path up to half the resolution, and from there one path for each output.

    Args:
        widths: channels of the five levels.
        encoders: how many encoders' features join at each level.
        extra: channels that join at the coarsest level.
        outputs: channels of each output.
    """

    def __init__(self, widths: Widths, encoders: int, extra: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.up4 = Up(encoders * e + extra, encoders * d, d)
        self.up3 = Up(d, encoders * c, c)
        self.up2 = Up(c, encoders * b, b)
        self.up1 = nn.ModuleList(Up(b, encoders * a, a) for _ in outputs)
        self.out = nn.ModuleList(nn.Conv2d(a, channels, 1) for channels in outputs)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Maps the features of the five levels, finest first, to the outputs, each [B, channels, H, W]."""
        x = self.up4(features[4], features[3])
        x = self.up3(x, features[2])
        x = self.up2(x, features[1])
        results: list[Tensor] = []
        for up, out in zip(self.up1, self.out):  # noqa: B905 - TorchScript knows no strict
            results.append(out(up(x, features[0])))
        return results


class R2UInterpolation(nn.Module):
    """Magnitude and segmentation at any time between two acquired frames.

    Args:
        widths: channels of the five levels.
    """

    def __init__(self, widths: Widths = FULL_WIDTH) -> None:
        super().__init__()
        self.magnitude_encoder = Encoder(2, widths)
        self.mask_encoder = Encoder(4, widths)
        self.decoder = Decoder(widths, 2, 2, (1, 3))

    def encode(self, pair: Tensor, masks: Tensor) -> list[Tensor]:
        """Looks at the two acquired frames around a gap.

        Args:
            pair: [B, 2, X, Y] float, normalised magnitude; X, Y divisible by 16.
            masks: [B, 4, X, Y] float, probability of myocardium and pool in the first, then in the second frame; zero
                where unknown.

        Returns:
            Features of the five levels, of both encoders, finest first.
        """
        magnitude, mask = self.magnitude_encoder(pair), self.mask_encoder(masks)
        return [torch.cat((magnitude[k], mask[k]), dim=1) for k in range(5)]

    def decode(self, features: list[Tensor], tau: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Makes a frame at one time in the gap; the time map joins at the coarsest level.

        Args:
            features: from ``encode``.
            tau: [B] float, 0 (first frame) to 1 (second).
            gap: [B] float, length of the gap as a fraction of the cycle.

        Returns:
            Magnitude [B, 1, X, Y] in the scale of the pair, and segmentation logits [B, 3, X, Y]; float32.
        """
        coarse = features[4]
        time = torch.stack((tau, gap), dim=1).unsqueeze(-1).unsqueeze(-1).to(coarse.dtype)
        time = time.expand([-1, -1, coarse.shape[2], coarse.shape[3]])
        out = self.decoder(features[:4] + [torch.cat((coarse, time), dim=1)])
        return out[0].float(), out[1].float()


class R2UPhaseSynthesis(nn.Module):
    """Three neighbouring magnitude frames in, foreground velocity and foreground mask of the middle one out.

    A map of the time between them joins the three: the published network only ever saw 50 frames a cycle.

    Args:
        widths: channels of the five levels.
    """

    def __init__(self, widths: Widths = FULL_WIDTH) -> None:
        super().__init__()
        self.usual_frames = PUBLISHED_FRAMES
        self.encoder = Encoder(4, widths)
        self.decoder = Decoder(widths, 1, 0, (4,))
        self.register_buffer("venc", torch.tensor(VENC).view(1, 3, 1, 1), persistent=False)

    def forward(self, frames: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Makes velocities.

        Args:
            frames: [B, 3, X, Y] float, normalised magnitude: before, now, after; X, Y divisible by 16.
            step: [B] float, time between neighbours as a fraction of the cycle.

        Returns:
            Velocity [B, 3, X, Y] along X, Y and the long axis towards the apex, cm/s at RR = 1000 ms; logit of tissue
            [B, 1, X, Y]. float32.
        """
        time = (step * self.usual_frames).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
        time = time.expand([-1, 1, frames.shape[2], frames.shape[3]]).to(frames.dtype)
        out = self.decoder(self.encoder(torch.cat((frames, time), dim=1)))[0].float()
        return out[:, :3] * self.venc, out[:, 3:]


class R2UHDL(HDLNet):
    """The published configuration behind HDLNet's interface: the same input, ``pred`` and settings.

    Args:
        upsampling_factor: F >= 1.
        cyclic: 1 or 0.
        widths: channels of the five levels of every network.
    """

    def __init__(self, upsampling_factor: int = 6, cyclic: int = 1, widths: Widths = FULL_WIDTH) -> None:
        nn.Module.__init__(self)  # of HDLNet only the interface is wanted, not its modules
        self.upsampling_factor = upsampling_factor
        self.cyclic = cyclic
        self.interpolator = R2UInterpolation(widths)
        self.generator = R2UPhaseSynthesis(widths)

    @torch.jit.export
    def in_stack(self, pred: Tensor) -> Tensor:
        """Leaves a stack as it is: the published network knows slices alone."""
        return pred

    def synthesise(self, image: Tensor, fractions: list[Tensor], cyclic: Tensor) -> Tensor:
        """Runs the graph at given times between acquired frames, all together: see ``HDLNet.synthesise``."""
        n, t, x, y = image.shape
        times = torch.cat(fractions)
        f = times.shape[0]
        scale = normalisation(image)
        # Whole sixteenths, written so that the ONNX export can tell that halves of halves fit together again.
        pad = [0, (y + 15) // 16 * 16 - y, 0, (x + 15) // 16 * 16 - x]
        frames = F.pad(image / scale, pad, mode="replicate")
        around = neighbours(t, cyclic)[:, 1:3]
        pair = frames[:, around].flatten(0, 1)
        gap = torch.ones_like(pair[:, 0, 0, 0]) / t

        # First the acquired frames are segmented without masks; their masks then guide what lies between.
        unknown = torch.zeros_like(pair).repeat(1, 2, 1, 1)
        logits = self.interpolator.decode(self.interpolator.encode(pair, unknown), torch.zeros_like(gap), gap)[1]
        masks = torch.softmax(logits, dim=1)[:, 1:].unflatten(0, (n, t))
        seen = self.interpolator.encode(pair, masks[:, around].flatten(0, 1).flatten(1, 2))
        tau = times.unsqueeze(0).expand(n * t, -1).flatten()
        magnitude, logits = self.interpolator.decode([repeat(s, f) for s in seen], tau, repeat(gap, f))

        acquired = (times == 0).unsqueeze(-1).unsqueeze(-1)
        cine = magnitude.clamp_min(0).view(n, t, f, frames.shape[2], frames.shape[3])
        cine = torch.where(acquired, frames.unsqueeze(2), cine).flatten(1, 2)
        now = torch.arange(cine.shape[1], device=image.device)
        index = wrap(torch.stack((now - 1, now, now + 1), dim=1), cine.shape[1], cyclic)
        step = repeat(gap, f) / f
        velocity, tissue = self.generator(cine[:, index].flatten(0, 1), step)

        blocks = torch.cat((torch.softmax(logits, dim=1), velocity, torch.sigmoid(tissue)), dim=1)
        blocks = blocks[:, :, :x, :y].unflatten(0, (n, t * f)).movedim(2, 1)
        magnitude = cine[:, :, :x, :y].unflatten(1, (t, f)) * scale.unsqueeze(-1)
        magnitude = torch.where(acquired, image.unsqueeze(2), magnitude).flatten(1, 2)
        return torch.cat((magnitude.unsqueeze(1), blocks), dim=1).flatten(1, 2)


def folded(network: R2UHDL) -> R2UHDL:
    """A copy for inference and export whose batch normalisation is part of the convolutions: the same output, faster.

    Args:
        network: in evaluation mode.
    """
    result = copy.deepcopy(network)
    for module in result.modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(module[0], module[1])  # type: ignore[type-var]
            module[1] = nn.Identity()
    return result
