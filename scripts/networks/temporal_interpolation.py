"""First module: acquired frames in, magnitude and segmentation at any time between them out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import CYCLE_FRAMES, ConvPair, TimeModulation, Trunk, initialise
from .motion import VIEW_CHANNELS, cubic_in_time, path, to_both_ends, warp


class TemporalInterpolation(nn.Module):
    """Motion-compensated frame interpolation and segmentation of the left ventricle.

    A trunk sees four acquired frames of a gap (two on each side, so acceleration is visible) once, and the whole cycle
    at an eighth of the resolution, where the heart is what beats. For every time in the gap a small head turns its
    features into two motion fields, as a difference from the path that is plain to see, carries both neighbouring
    frames along them, mixes in what a spline in time makes of the frames where that is nearer (motion too small to be
    worth a warp, noise that is better averaged), and refines and segments. At the acquired frames it gives these.

    Source: module (a) of Xing et al., IEEE JBHI 2022, doi 10.1109/JBHI.2022.3158897, with motion compensation after
    Jiang et al., CVPR 2018 (Super SloMo).

    Args:
        widths: channels of the trunk's four levels.
        features: channels of the features that the trunk hands to the heads.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 96, 112), features: int = 32) -> None:
        super().__init__()
        self.trunk = Trunk(VIEW_CHANNELS, widths, features, CYCLE_FRAMES)
        self.motion_gap = nn.Conv2d(features, features, 3, 1, 1)
        self.motion_in = nn.Conv2d(4, features, 3, 1, 1)
        self.motion_time = TimeModulation(features)
        self.motion_out = nn.Conv2d(features, 4, 3, 1, 1)
        self.image_in = nn.Conv2d(features + 12, features, 3, 1, 1)
        self.image_time = TimeModulation(features)
        self.image_body = ConvPair(features, features)
        self.image_out = nn.Conv2d(features, 24, 3, 1, 1)
        initialise(self)
        for layer in (self.motion_out, self.image_out):
            nn.init.normal_(layer.weight, std=1e-3)

    def encode(self, view: Tensor, cycle: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Looks at the acquired frames around a gap and at the whole cycle.

        Args:
            view: [B, 54, X / 2, Y / 2] float, from ``gap_view``.
            cycle: [B, 8, X / 8, Y / 8] float, magnitude at eighths of the cycle, counted from the gap's first frame.
            gap: [B] float, gap length as a fraction of the cycle.

        Returns:
            Features [B, features, X / 2, Y / 2] float; and what they give to every time in the gap, alike.
        """
        features = self.trunk(view, gap, cycle)
        return features, self.motion_gap(features)

    def decode(
        self, keys: Tensor, slopes: Tensor, given: Tensor, motions: Tensor, tau: Tensor, gap: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Makes a frame at one time in the gap.

        Args:
            keys: [B, 4, X, Y] float, normalised magnitude: outer, first, second, outer frame. X, Y divisible by 16.
            slopes: [B, 2, X, Y] float, how fast brightness changes at both ends of the gap, from ``cycle.slopes``.
            given: [B, features, X / 2, Y / 2] float, the second of what ``encode`` returns.
            motions: [B, 6, X / 2, Y / 2] float, from ``gap_view``.
            tau: [B] float, 0 to 1.
            gap: [B] float, gap length as a fraction of the cycle.

        Returns:
            Magnitude [B, 1, X, Y], in the scale of ``keys``; segmentation logits [B, 3, X, Y] (background,
            myocardium, blood pool); motion [B, 4, X / 2, Y / 2] in pixels a gap: along X and Y to the first frame
            (times tau) and to the second one (times 1 - tau). float32.
        """
        seen = path(motions, tau, gap)
        h = given + self.motion_in((seen / 4).to(given.dtype))
        h = F.leaky_relu(self.motion_time(h, tau, gap), 0.1)
        motion = seen + self.motion_out(h).float() * 4
        to_first, to_second = to_both_ends(motion, tau)
        first, second = warp(keys[:, 1:2], to_first), warp(keys[:, 2:3], to_second)
        still = cubic_in_time(keys, slopes, tau)
        h = torch.cat((F.pixel_unshuffle(torch.cat((first, second, still), dim=1), 2).to(h.dtype), h), dim=1)
        h = self.image_body(F.leaky_relu(self.image_time(self.image_in(h), tau, gap), 0.1))
        out = F.pixel_shuffle(self.image_out(h).float(), 2)
        time = tau.float().unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
        visible = torch.sigmoid(out[:, :1] * 4)
        weight = (1 - time) * visible / ((1 - time) * visible + time * (1 - visible) + 1e-6)
        carried = weight * first + (1 - weight) * second
        magnitude = carried + torch.sigmoid(out[:, 5:] * 4) * (still - carried) + 4 * time * (1 - time) * out[:, 1:2]
        return magnitude, out[:, 2:5] * 4, motion
