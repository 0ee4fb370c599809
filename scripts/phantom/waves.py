"""Waves of motion over the cardiac cycle: sums of Gaussians in velocity, so displacement is exact, too."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Wave:
    """A periodic motion that returns to where it started.

    Attributes:
        centre: [B, K] float, times of the velocity peaks, fractions of the cycle.
        width: [B, K] float, standard deviations of the peaks, fractions of the cycle.
        area: [B, K] float, displacement that each peak brings; sums to zero, so that the motion closes.
    """

    centre: Tensor
    width: Tensor
    area: Tensor

    def _phase(self, time: Tensor) -> Tensor:
        turns = torch.tensor([-1.0, 0.0, 1.0, 2.0], device=time.device)
        # [B, T, K, turns]: how many widths each peak, in this cycle and its neighbours, lies behind.
        distance = time[:, :, None, None] - self.centre[:, None, :, None] + turns
        return distance / self.width[:, None, :, None]

    def displacement(self, time: Tensor) -> Tensor:
        """Displacement since time 0.

        Args:
            time: [B, T] float, fraction of the cycle, 0 to 1 (and up to one cycle before).

        Returns:
            [B, T] float, in the unit of ``area``.
        """

        def total(t: Tensor) -> Tensor:
            return (torch.special.ndtr(self._phase(t)).sum(-1) * self.area[:, None]).sum(-1)

        return total(time) - total(torch.zeros_like(time[:, :1]))

    def velocity(self, time: Tensor) -> Tensor:
        """Time derivative of ``displacement``, in the unit of ``area`` a cycle: [B, T] to [B, T]."""
        density = torch.exp(-0.5 * self._phase(time) ** 2).sum(-1) / (2.5066282746 * self.width[:, None])
        return (density * self.area[:, None]).sum(-1)

    def delayed(self, delay: Tensor) -> "Wave":
        """The same motion later by ``delay`` [B], fractions of the cycle."""
        return Wave(self.centre + delay[:, None], self.width, self.area)


def closed_wave(centre: Tensor, width: Tensor, weight: Tensor) -> Wave:
    """Builds a wave that reaches a displacement of one and returns.

    Args:
        centre: [B, K] float, fractions of the cycle.
        width: [B, K] float, fractions of the cycle.
        weight: [B, K] float, signed share of each peak; positive ones are scaled to a total of 1, negative to -1.

    Returns:
        A ``Wave`` of displacement 0 to about 1.
    """
    up, down = weight.clamp_min(0), weight.clamp_max(0)
    area = up / up.sum(1, keepdim=True) - down / down.sum(1, keepdim=True)
    return Wave(centre, width, area)
