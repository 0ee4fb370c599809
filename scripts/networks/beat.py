"""The beat: how the ventricle's size and its wall's motion over the cycle are told, and how the wall moves by that."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import time_in_gap
from .cycle import neighbours, whole_cycle
from .motion import PIXEL_CM

BEAT_TIMES = 12
"""Times of the whole cycle, starting at the gap, at which the ventricle's size is told."""

BEAT_NUMBERS = 5 * (4 + BEAT_TIMES) + 2
"""Numbers that describe the beat: two radii, the wall's area and its motion inward and around, each around the gap and
over the cycle; and mean radii."""


def describe_beat(
    areas: Tensor, moves: Tensor, cyclic: Tensor, times: int = BEAT_TIMES, pixel_cm: float = PIXEL_CM
) -> Tensor:
    """Describes how the ventricle's size changes and its wall moves over the cycle, as seen from each acquired frame.

    Args:
        areas: [N, T, 2] float, area of the blood pool and of pool and myocardium together, pixels.
        moves: [N, T, 2] float, mean motion of the wall inward and around from each frame to the next, pixels.
        cyclic: [1] int64, as in ``neighbours``.
        times: how many times of the cycle.
        pixel_cm: pixel size, cm.

    Returns:
        [N, T, 82] float: both radii (square root of area) and the area of the wall alone, relative to their mean, and
        the mean velocity of both moves, in 3 cm/s at RR = 1000 ms; all at (the moves: after) the four frames around
        the gap and at twelfths of the cycle from the frame on; then the two mean radii.
    """
    areas = areas.float().clamp_min(0)
    radius = torch.sqrt(areas + 1e-3) / 20
    mean = radius.mean(1, keepdim=True)
    # The wall keeps its volume: where its section grows, the ventricle has become shorter.
    wall = areas[:, :, 1:] - areas[:, :, :1]
    usual = wall.mean(1, keepdim=True)
    thicker = (wall - usual) / (usual + 1)
    speed = moves.float() * (areas.shape[1] * pixel_cm / 3)
    change = torch.cat(((radius / (mean + 0.05) - 1) * 4, thicker * 10, speed), dim=2)
    near = change[:, neighbours(areas.shape[1], cyclic)].flatten(2)
    cycle = whole_cycle(change.unsqueeze(-1), cyclic, times).flatten(2)
    return torch.cat((near, cycle, (mean - 1).expand_as(radius)), dim=2)


class BeatPrior(nn.Module):
    """Tells from the ventricle's size and its wall's motion over the beat how the wall moves on average at any time.

    Velocity along the long axis leaves little trace in a short-axis picture, and an E wave is shorter than a gap of
    six frames: how far the ventricle has contracted by then, how far its wall goes within the gap, and how it goes on
    is what tells both. In the plane it is told what a smooth path through the frames says of that time, and corrects
    it.

    Args:
        channels: number of feature channels of its description of the beat.
    """

    def __init__(self, channels: int = 192) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(4 + 2 + BEAT_NUMBERS, channels),
            nn.SiLU(),
            nn.Linear(channels, channels),
            nn.SiLU(),
            nn.Linear(channels, channels),
            nn.SiLU(),
        )
        self.curves = nn.Linear(channels, 3)

    def forward(self, tau: Tensor, gap: Tensor, beat: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Describes times in a beat.

        Args:
            tau: [B] float, time within the gap, 0 to 1.
            gap: [B] float, length of the gap as a fraction of the cycle.
            beat: [B, 82] float, as ``describe_beat`` gives it.
            seen: [B, 2] float, mean radial and circumferential velocity of the myocardium as a spline through its
                motions says, cm/s at RR = 1000 ms.

        Returns:
            Features [B, channels] float, and mean radial, circumferential and longitudinal velocity of the
            myocardium, [B, 3] float, cm/s at RR = 1000 ms, signs as in ``VelocityAssessment``.
        """
        features = self.embed(torch.cat((time_in_gap(tau, gap), seen / 3, beat), dim=1))
        return features, self.curves(features) + F.pad(seen, [0, 1])
