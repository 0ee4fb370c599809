"""The hybrid network: one graph from a cine of acquired frames to the missing frames, labels and velocities."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import CYCLE_FRAMES, pad_to_multiple
from .motion import gap_view
from .phase_synthesis import BEAT_TIMES, PhaseSynthesis
from .temporal_interpolation import TemporalInterpolation

BLOCKS = 8
"""Blocks of T * F channels in ``pred``: magnitude, 3 probabilities, 3 velocities, tissue."""


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
    return rms.clamp_min(1e-6).to(image.dtype)


def wrap(index: Tensor, frames: int, cyclic: Tensor) -> Tensor:
    """Brings frame indices into a cine: around its end where it is cyclic, else to its first or last frame.

    Args:
        index: int64, any shape.
        frames: number of frames T.
        cyclic: [1] int64, 1 or 0.

    Returns:
        int64, like ``index``, 0 to T - 1.
    """
    count = torch.full_like(index, frames)
    return torch.where(cyclic == 1, torch.remainder(index, count), torch.minimum(index.clamp_min(0), count - 1))


def neighbours(frames: int, cyclic: Tensor) -> Tensor:
    """Indices of the four acquired frames that the network sees for the gap after each frame.

    The inner two enclose the gap; the outer two lie one frame away or, in a cine of many frames, further, about a
    twelfth of the cycle, where motion stands out from noise.

    Args:
        frames: number of acquired frames T.
        cyclic: [1] int64: 1 if the frame after the last is the first, 0 if the cine ends there.

    Returns:
        [T, 4] int64, 0 to T - 1.
    """
    reach = (frames + 9) // 12
    first = torch.arange(frames, device=cyclic.device)
    index = torch.stack((first - reach, first, first + 1, first + 1 + reach), dim=1)
    return wrap(index, frames, cyclic)


def whole_cycle(frames: Tensor, cyclic: Tensor, samples: int = CYCLE_FRAMES) -> Tensor:
    """Samples a cine at eighths of the cycle from each of its frames on, linearly between frames.

    Args:
        frames: [N, T, h, w] float.
        cyclic: [1] int64, as in ``neighbours``.
        samples: how many times of the cycle.

    Returns:
        [N, T, samples, h, w] float.
    """
    count = frames.shape[1]
    start = torch.arange(count, device=frames.device).unsqueeze(1)
    step = torch.arange(samples, device=frames.device).unsqueeze(0) * count
    below = start + torch.div(step, samples, rounding_mode="floor")
    weight = (torch.remainder(step, samples).float() / samples).unsqueeze(-1).unsqueeze(-1)
    first, second = wrap(below, count, cyclic), wrap(below + 1, count, cyclic)
    return frames[:, first] * (1 - weight) + frames[:, second] * weight


def describe_beat(areas: Tensor, cyclic: Tensor, times: int = BEAT_TIMES) -> Tensor:
    """Describes how the ventricle's size changes over the cycle, as seen from each acquired frame.

    Args:
        areas: [N, T, 2] float, area of the blood pool and of pool and myocardium together, pixels.
        cyclic: [1] int64, as in ``neighbours``.
        times: how many times of the cycle.

    Returns:
        [N, T, 34] float: both radii (square root of area), relative to their mean, at the four frames around the gap
        and at twelfths of the cycle from the frame on; then the two mean radii.
    """
    radius = torch.sqrt(areas.float().clamp_min(0) + 1e-3) / 20
    mean = radius.mean(1, keepdim=True)
    change = (radius / (mean + 0.05) - 1) * 4
    near = change[:, neighbours(areas.shape[1], cyclic)].flatten(2)
    cycle = whole_cycle(change.unsqueeze(-1), cyclic, times).flatten(2)
    return torch.cat((near, cycle, (mean - 1).expand_as(radius)), dim=2)


def heart_window(ventricle: Tensor, radius: int = 45) -> Tensor:
    """Finds the one place where the ventricle is over the whole cycle: rings elsewhere are vessels.

    Args:
        ventricle: [N, T, X, Y] float, probability of pool or myocardium in the acquired frames.
        radius: how far the ventricle may reach from its densest spot, pixels.

    Returns:
        [N, 1, X, Y] float, 1 in the window, 0 outside.
    """
    dense = F.avg_pool2d(ventricle.mean(1, keepdim=True), 25, 1, 12)
    best_x = dense.amax(3).argmax(2).unsqueeze(-1)
    best_y = dense.amax(2).argmax(2).unsqueeze(-1)
    dx = torch.arange(dense.shape[2], device=dense.device).unsqueeze(1) - best_x
    dy = torch.arange(dense.shape[3], device=dense.device).unsqueeze(0) - best_y
    return (dx * dx + dy * dy < radius * radius).float().unsqueeze(1)


def steady_areas(logits: Tensor, window: Tensor) -> Tensor:
    """Measures the ventricle in each acquired frame so that a frame that was segmented badly does no harm.

    Half the mean over the cycle is added to each frame, and no frame may differ from the median by more than a
    beating ventricle does.

    Args:
        logits: [N, T, 3, X, Y] float, of the acquired frames.
        window: [N, 1, X, Y] float, from ``heart_window``.

    Returns:
        [N, T, 2] float, area of the pool and of pool and myocardium, pixels.
    """
    blended = (logits + 0.5 * logits.mean(1, keepdim=True)) / 1.5
    probability = torch.softmax(blended, dim=2) * window.unsqueeze(1)
    pool, wall = probability[:, :, 2].sum((2, 3)), probability[:, :, 1].sum((2, 3))
    areas = torch.stack((pool, pool + wall), dim=2)
    order = torch.sort(areas, dim=1).values
    median = order[:, areas.shape[1] // 2].unsqueeze(1)
    least = torch.tensor([0.45, 0.8], dtype=areas.dtype, device=areas.device)
    most = torch.tensor([1.8, 1.25], dtype=areas.dtype, device=areas.device)
    return torch.minimum(torch.maximum(areas, median * least), median * most)


class HDLNet(nn.Module):
    """Synthesises velocity maps of the left ventricle from an ordinary magnitude cine.

    ``upsampling_factor`` (F, frames made of each acquired one; 1 = velocities only) and ``cyclic`` (1: the frame
    after the last is the first; 0: the cine ends) are plain attributes: set them on the module, eager or scripted.

    Source: Xing et al., IEEE JBHI 2022, doi 10.1109/JBHI.2022.3158897.

    Args:
        upsampling_factor: F >= 1.
        cyclic: 1 or 0.
        widths: channels of the four levels of both trunks.
        features: channels that the trunks hand to the heads.
    """

    upsampling_factor: int
    cyclic: int

    def __init__(
        self,
        upsampling_factor: int = 6,
        cyclic: int = 1,
        widths: tuple[int, int, int, int] = (32, 64, 96, 112),
        features: int = 32,
    ) -> None:
        super().__init__()
        self.upsampling_factor = upsampling_factor
        self.cyclic = cyclic
        self.interpolation = TemporalInterpolation(widths, features)
        self.synthesis = PhaseSynthesis(widths, features, features)

    def forward(self, image: Tensor) -> Tensor:
        """Runs the three-module graph.

        Args:
            image: [N, T, X, Y] or [N, T, X, Y, Z] float32: T >= 3 magnitude frames of one RR interval at any scale,
                in-plane spacing 1.5 mm, X and Y >= 32.

        Returns:
            [N, 8 * T * F, X, Y(, Z)] float32, eight blocks of T * F frames: magnitude in the input's scale (at
            multiples of F the acquired frame itself); probability of background, myocardium, blood pool; velocity
            along X, Y and towards the apex, cm/s at RR = 1000 ms; probability of tissue.
        """
        if image.dim() not in (4, 5):
            raise ValueError("image: expected [N, T, X, Y] or [N, T, X, Y, Z]")
        if image.shape[1] < 3 or image.shape[2] < 32 or image.shape[3] < 32:
            raise ValueError("image: expected at least 3 frames (channels) of at least 32 x 32 pixels")
        if self.upsampling_factor < 1:
            raise ValueError("upsampling_factor: expected at least 1")
        fractions = torch.arange(self.upsampling_factor, device=image.device) / self.upsampling_factor
        cyclic = torch.full([1], self.cyclic, device=image.device, dtype=torch.int64)
        if image.dim() == 4:
            return self.synthesise(image, fractions, cyclic)
        # One slice at a time: memory stays that of a slice, whatever the stack.
        slices = [self.synthesise(image[..., z], fractions, cyclic) for z in range(image.shape[4])]
        return torch.stack(slices, dim=-1)

    def synthesise(self, image: Tensor, fractions: Tensor, cyclic: Tensor) -> Tensor:
        """Runs the graph at given times between acquired frames.

        Args:
            image: [N, T, X, Y] float32, as in ``forward``.
            fractions: [F] float32, times within each gap, 0 (the acquired frame) to 1.
            cyclic: [1] int64, 1 or 0.

        Returns:
            [N, 8 * T * F, X, Y] float32, as in ``forward``.
        """
        n, t, x, y = image.shape
        f = fractions.shape[0]
        scale = normalisation(image)
        frames = pad_to_multiple(image / scale)
        keys = frames[:, neighbours(t, cyclic)].flatten(0, 1)
        gap = torch.ones_like(keys[:, 0, 0, 0]) / t
        cycle = whole_cycle(F.avg_pool2d(frames, 8), cyclic).flatten(0, 1)
        view, motions = gap_view(keys)
        seen = self.interpolation.encode(view, cycle, gap)
        moving = self.synthesis.encode(view, seen, cycle, gap)

        _, logits, _ = self.interpolation.decode(keys, seen, motions, torch.zeros_like(gap), gap)
        logits = logits.unflatten(0, (n, t))
        window = heart_window(torch.softmax(logits, dim=2)[:, :, 1:].sum(2))
        beat = describe_beat(steady_areas(logits, window), cyclic).flatten(0, 1)
        elsewhere = repeat(1 - window, t * f)

        tau = fractions.unsqueeze(0).expand(n * t, -1).flatten()
        keys, gap, motions = repeat(keys, f), repeat(gap, f), repeat(motions, f)
        magnitude, logits, motion = self.interpolation.decode(keys, repeat(seen, f), motions, tau, gap)
        background = torch.tensor([30.0, -30.0, -30.0], dtype=logits.dtype, device=logits.device)
        logits = logits + elsewhere * background.unsqueeze(-1).unsqueeze(-1)
        velocity, tissue = self.synthesis.decode(
            repeat(moving, f), motions, magnitude, logits, motion, tau, gap, repeat(beat, f)
        )

        blocks = torch.cat(
            (magnitude.clamp_min(0), torch.softmax(logits, dim=1), velocity, torch.sigmoid(tissue)), dim=1
        )
        blocks = blocks[:, :, :x, :y].unflatten(0, (n, t, f)).movedim(3, 1)
        acquired = (fractions == 0).unsqueeze(-1).unsqueeze(-1)
        magnitude = torch.where(acquired, image.unsqueeze(2), blocks[:, 0] * scale.unsqueeze(-1))
        return torch.cat((magnitude.unsqueeze(1), blocks[:, 1:]), dim=1).flatten(1, 3)


def repeat(x: Tensor, times: int) -> Tensor:
    """Repeats each item of a batch: [B, ...] to [B * times, ...], copies of an item side by side."""
    return x.unsqueeze(1).expand([x.shape[0], times] + list(x.shape[1:])).flatten(0, 1)
