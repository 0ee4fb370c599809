"""Contours carried by a velocity that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scripts.benchmark.contours import ContourTally, carried_overlaps
from scripts.training.sunnybrook import PIXEL_MM

SIZE, FRAMES = 64, 12


def disc(radius):
    x = torch.arange(SIZE)[:, None] - 31.0
    y = torch.arange(SIZE)[None] - 32.0
    return torch.hypot(x, y) < radius


class Contracting(torch.nn.Module):
    """A ring whose radius shrinks at a known speed, in the layout of the network's output."""

    def __init__(self, sign):
        super().__init__()
        self.sign = sign
        self.upsampling_factor = 1

    def forward(self, image):
        frames = image.shape[1] * self.upsampling_factor
        x = (torch.arange(SIZE)[:, None] - 31.0).expand(SIZE, SIZE)
        y = (torch.arange(SIZE)[None] - 32.0).expand(SIZE, SIZE)
        r = torch.hypot(x, y).clamp_min(1)
        blocks = torch.zeros(8, frames, SIZE, SIZE)
        for t in range(frames):
            radius = 18 - self.sign * 12 * t / frames * 0.5
            blocks[2, t] = ((r < radius + 8) & (r >= radius)).float()
            blocks[3, t] = (r < radius).float()
            blocks[1, t] = 1 - blocks[2, t] - blocks[3, t]
        speed = -self.sign * 6 * PIXEL_MM / 10  # pixels a second to cm/s at RR = 1000 ms
        blocks[4], blocks[5] = speed * x / r, speed * y / r
        return blocks.flatten(0, 1)[None]


@pytest.mark.parametrize(("sign", "better"), [(1, True), (-1, False)])
def test_a_contour_goes_where_the_velocity_takes_it(sign, better):
    last = 8
    labels = {0: disc(18).to(torch.uint8) * 2, last: disc(18 - 6 * last / FRAMES).to(torch.uint8) * 2}
    overlaps = carried_overlaps(torch.rand(FRAMES, SIZE, SIZE), labels, (), {"known": Contracting(sign)})
    assert (overlaps["known"] > overlaps["unmoved"]) == better
    if better:
        assert overlaps["known"] > 0.97
    assert np.isfinite(overlaps["unmoved"])


def test_slices_better_left_unmoved_are_counted():
    tally = ContourTally()
    for moved, still in ((0.9, 0.8), (0.7, 0.8), (0.95, 0.6)):
        tally.add("patient", {"unmoved": still, "flow": moved})
    rows = {row["peer"]: row for row in tally.figures()}
    assert rows["flow"]["slices_better_carried"] == 2
    assert rows["flow"]["dice"] == pytest.approx(0.85)
    assert rows["unmoved"]["slices_better_carried"] == 0
