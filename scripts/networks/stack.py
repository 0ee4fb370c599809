"""The stack: what the slices of one ventricle together tell of its motion along the long axis."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .motion import PIXEL_CM
from .velocity_assessment import VelocityAssessment

STACK_TIMES = 36
"""Times of the cycle at which a stack is looked at."""

LEAST_SLICES = 3
"""Slices with a ventricle that a stack holds at least: fewer do not tell where apex and base are."""

LEAST_WALL = 20.0
"""Mean area of myocardium from which on a slice holds a ventricle, pixels."""

FOLLOWING = 15.0
"""Distance over which what surrounds the ventricle stops following it along its axis, pixels."""


def resample(curves: Tensor, times: int) -> Tensor:
    """Reads closed curves linearly at other times.

    Args:
        curves: [..., T] float, over one cycle.
        times: how many times of the cycle, the first one that of the curves.

    Returns:
        [..., times] float.
    """
    count = curves.shape[-1]
    step = torch.arange(times, device=curves.device) * count
    below = torch.div(step, times, rounding_mode="floor")
    weight = (step - below * times).to(curves.dtype) / times
    after = torch.remainder(below + 1, count)
    return curves.index_select(-1, below) * (1 - weight) + curves.index_select(-1, after) * weight


def places(
    areas: Tensor, least_wall: float = LEAST_WALL, least_slices: int = LEAST_SLICES
) -> tuple[Tensor, Tensor, Tensor]:
    """Finds which slices of a stack hold the ventricle, and how high they cut it.

    The slices lie side by side, equally far apart; the apex is where they are smaller.

    Args:
        areas: [N, Z, 2, T] float, area of the pool and of pool and myocardium, pixels.
        least_wall: mean area of myocardium of a slice that holds the ventricle, pixels.
        least_slices: how many of them are enough.

    Returns:
        [N, Z] float, 1 in slices that hold the ventricle if there are enough of them, else 0; [N, Z] float, their
        levels, -1 in the one next to the apex to 1 in the one next to the base; and [N, 1] float, how many slices lie
        from the one to the other.
    """
    wall, whole = (areas[:, :, 1] - areas[:, :, 0]).mean(2), areas[:, :, 1].mean(2)
    shown = (wall > least_wall).to(areas.dtype)
    shown = shown * (shown.sum(1, keepdim=True) >= least_slices)
    index = torch.arange(areas.shape[1], device=areas.device, dtype=areas.dtype).unsqueeze(0).expand_as(shown)
    last = torch.where(shown > 0, index, torch.zeros_like(index)).amax(1, keepdim=True)
    first = torch.where(shown > 0, index, last).amin(1, keepdim=True)
    height = (index - (first + last) / 2) / ((last - first) / 2).clamp_min(1)
    larger = (height * whole * shown).sum(1, keepdim=True) > 0
    return shown, torch.where(larger, height, -height) * shown, last - first + 1


def growth(labels: Tensor, velocity: Tensor, pixel_cm: float = PIXEL_CM) -> Tensor:
    """How fast sections grow by the motion in the plane that is seen of them.

    Args:
        labels: [N, T, X, Y] float, probability of a section, 0 at the picture's edges.
        velocity: [N, 2, T, X, Y] float, along X and Y, cm/s at RR = 1000 ms.
        pixel_cm: pixel size, cm.

    Returns:
        [N, T] float, pixels a cycle: the divergence of the velocity, summed over the section.
    """
    x = velocity[:, 0].roll(-1, 2) - velocity[:, 0].roll(1, 2)
    y = velocity[:, 1].roll(-1, 3) - velocity[:, 1].roll(1, 3)
    return ((x + y) * labels).sum((2, 3)) / (2 * pixel_cm)


class StackPrior(nn.Module):
    """Tells how each slice's wall moves along the long axis on average, from what was seen of all slices.

    A slice alone does not show how high it cuts the ventricle, and the base descends two to three times as far as the
    apex. Where its section of wall grows, the ventricle has become shorter, in all slices alike: together they tell it
    better than each for itself. Mean velocities are taken to change from apex to base as a parabola does, so all slices
    tell the same few curves. Before it has learnt, it agrees with what each slice by itself has.

    Args:
        channels: number of features.
        reach: times of the cycle, of 36, that are looked at together.
    """

    def __init__(self, channels: int = 32, reach: int = 5) -> None:
        super().__init__()
        self.times, self.reach = STACK_TIMES, reach
        self.assessment = VelocityAssessment()
        self.cycle = nn.Conv1d(20, channels, reach)
        self.heart = nn.Linear(3 + 20, channels)
        self.body = nn.Linear(channels, channels)
        self.curves = nn.Linear(channels, 4)
        self.own = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(0.2)
        nn.init.zeros_(self.curves.weight)
        nn.init.zeros_(self.curves.bias)

    def measure(self, blocks: Tensor) -> Tensor:
        """Measures a slice.

        Args:
            blocks: [N, 8, T, X, Y] float, blocks of ``HDLNet``.

        Returns:
            [N, 7, T] float: area of the pool, and of pool and myocardium, pixels; growth of both by the motion in the
            plane, pixels a cycle; mean radial, circumferential and longitudinal velocity of the myocardium, cm/s at
            RR = 1000 ms.
        """
        # What is less is no ventricle, and engines round it differently.
        blocks = blocks.float()
        labels = torch.where(blocks[:, 2:4] > 2e-3, blocks[:, 2:4], torch.zeros_like(blocks[:, 2:4]))
        pool, whole, plane = labels[:, 1], labels.sum(1), blocks[:, 4:6]
        sizes = (pool.sum((2, 3)), whole.sum((2, 3)), growth(pool, plane), growth(whole, plane))
        return torch.cat((torch.stack(sizes, dim=1), self.assessment(labels[:, 0], blocks[:, 4:7])), dim=1)

    def describe(self, measured: Tensor, shown: Tensor, level: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Describes a stack as a whole: the mean over its slices of what changes, and its slope from apex to base.

        Args:
            measured: [N, Z, 7, 36] float, as ``measure`` gives it.
            shown: [N, Z] float, from ``places``, like the other two.
            level: [N, Z] float.
            count: [N, 1] float.

        Returns:
            [N, 20, 36] float, what changes over the cycle, and [N, 23] float, what does not.
        """
        areas = measured[:, :, :2].clamp_min(0)
        wall, pool = areas[:, :, 1:] - areas[:, :, :1], areas[:, :, :1]
        radius = torch.sqrt(areas.clamp_min(1e-3)) / 20
        size, usual = radius.mean(3, keepdim=True), wall.mean(3, keepdim=True) + 1
        faster = (measured[:, :, 3:4] - measured[:, :, 2:3]) / usual
        wider = measured[:, :, 2:3] / (pool.mean(3, keepdim=True) + 20)
        # The same wall, twice: by its labels, and by the motion of its tissue.
        thicker = (faster - faster.mean(3, keepdim=True)).cumsum(3) / self.times
        thicker = (thicker - thicker.mean(3, keepdim=True)) * 10
        change = ((radius / (size + 0.05) - 1) * 4, (wall / usual - 1) * 10, thicker)
        rates = (measured[:, :, 4:], faster.clamp(-8, 8), wider.clamp(-20, 20) / 3)
        # No single slice that was segmented badly may say more than a ventricle does.
        own = torch.cat((torch.cat(change, dim=2).clamp(-2.5, 2.5), torch.cat(rates, dim=2)), dim=2)
        volume = mean_over(torch.cat((wall, pool), dim=2), shown)
        volume = (volume / (volume.mean(2, keepdim=True) + 1) - 1) * torch.tensor([10.0, 4.0]).to(areas).unsqueeze(1)
        changing = torch.cat((mean_over(own, shown), slope_over(own, shown, level), volume), dim=1)
        lasting = (count / 10 - 0.8, mean_over(size - 1, shown).squeeze(2), changing.std(2))
        return changing, torch.cat(lasting, dim=1)

    def forward(self, measured: Tensor) -> Tensor:
        """Tells how far the mean velocities along the axis are off.

        Args:
            measured: [N, Z, 7, T] float, as ``measure`` gives it, of slices side by side and equally far apart.

        Returns:
            [N, Z, T] float, what to add to the mean longitudinal velocities, cm/s at RR = 1000 ms; none where a slice
            holds no ventricle.
        """
        shown, level, count = places(measured[:, :, :2])
        seen = resample(measured, self.times)
        changing, lasting = self.describe(seen, shown, level, count)
        around = F.pad(changing, [self.reach // 2, (self.reach - 1) // 2], mode="circular")
        features = F.silu(self.cycle(around).transpose(1, 2) + self.heart(lasting).unsqueeze(1))
        curves = self.curves(self.dropout(F.silu(self.body(self.dropout(features))))).movedim(2, 0).unsqueeze(2)
        along, height = seen[:, :, 6], level.unsqueeze(2)
        even = mean_over(along, shown).unsqueeze(1) + height * slope_over(along, shown, level).unsqueeze(1)
        told = even * (1 + curves[0] + height * curves[1]) + curves[2] + height * curves[3]
        told = told + self.own * (along - even)
        return resample((told - along) * shown.unsqueeze(2), measured.shape[3])


def mean_over(values: Tensor, shown: Tensor) -> Tensor:
    """Mean over the slices that are shown: values [N, Z, ...] and shown [N, Z] to [N, ...]."""
    share = shown / shown.sum(1, keepdim=True).clamp_min(1)
    return torch.einsum("nz...,nz->n...", values, share)


def slope_over(values: Tensor, shown: Tensor, level: Tensor) -> Tensor:
    """Slope over the level of the slices that are shown: values [N, Z, ...], shown and level [N, Z] to [N, ...]."""
    share = shown * level / (shown * level * level).sum(1, keepdim=True).clamp_min(1)
    return torch.einsum("nz...,nz->n...", values, share)


def following(ventricle: Tensor, reach: float = FOLLOWING) -> Tensor:
    """How much each place goes along with the ventricle along its axis: it does, what is far from it does not.

    Args:
        ventricle: [N, T, X, Y] float, probability of pool or myocardium.
        reach: distance over which it stops, pixels.

    Returns:
        [N, T, X, Y] float, 0 to 1; 0 in frames without a ventricle.
    """
    there = (ventricle.sum((2, 3), keepdim=True) > 1).to(ventricle.dtype)
    area = ventricle.sum((2, 3), keepdim=True).clamp_min(1)
    x = torch.arange(ventricle.shape[2], device=ventricle.device, dtype=ventricle.dtype).unsqueeze(1)
    y = torch.arange(ventricle.shape[3], device=ventricle.device, dtype=ventricle.dtype).unsqueeze(0)
    dx = x - (ventricle * x).sum((2, 3), keepdim=True) / area
    dy = y - (ventricle * y).sum((2, 3), keepdim=True) / area
    beyond = torch.sqrt(dx * dx + dy * dy) - torch.sqrt(area / math.pi) * 1.2
    return torch.exp(-beyond.clamp_min(0) / reach) * there
