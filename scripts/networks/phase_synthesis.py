"""Second module: neighbouring magnitude frames in, foreground velocity and foreground mask out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import GAP_CHANNELS, ConvPair, TimeModulation, Trunk, gap_view, initialise

PIXEL_CM = 0.15
"""In-plane pixel size that the network works at, cm."""

CYCLE_FRAMES = 8
"""Frames of the whole cycle, starting at the gap, that tell the network where in the cycle it is."""


class PhaseSynthesis(nn.Module):
    """Synthesises the velocity of the tissue that a magnitude cine shows moving.

    A trunk sees the acquired frames around a gap, the interpolation's view of the same gap, and the whole cycle at
    an eighth of the resolution. For every time in the gap a small head turns its features, the magnitude, the
    segmentation and the motion at that time into three velocities. The network thinks in pixels a gap, which is
    what an image can show; the length of the gap turns that into cm/s.

    Source: module (b) of Xing et al., IEEE JBHI 2022, doi 10.1109/JBHI.2022.3158897: the foreground of the
    foreground-background scheme. The background of a phase image is drawn where one is written.

    Args:
        widths: channels of the trunk's four levels.
        features: channels of the features that the trunk hands to the heads.
        interpolation_features: channels of the features that ``TemporalInterpolation`` hands over.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (32, 64, 96, 112),
        features: int = 32,
        interpolation_features: int = 32,
    ) -> None:
        super().__init__()
        self.pixel_cm = PIXEL_CM
        self.trunk = Trunk(GAP_CHANNELS + interpolation_features, widths, features, CYCLE_FRAMES)
        self.head_in = nn.Conv2d(features + 6 + 4 + 4 + 2, features, 3, 1, 1)
        self.head_time = TimeModulation(features)
        self.head_body = ConvPair(features, features)
        self.velocity_out = nn.Conv2d(features, 3, 3, 1, 1)
        self.tissue_out = nn.Conv2d(features, 4, 3, 1, 1)
        initialise(self)
        nn.init.normal_(self.velocity_out.weight, std=1e-3)

    def encode(self, keys: Tensor, interpolation: Tensor, cycle: Tensor, gap: Tensor) -> Tensor:
        """Looks at the acquired frames around a gap and at the whole cycle.

        Args:
            keys: [B, 4, X, Y] float, normalised magnitude, as in ``TemporalInterpolation.encode``.
            interpolation: [B, C, X / 2, Y / 2] float, features of ``TemporalInterpolation.encode``.
            cycle: [B, 8, X / 8, Y / 8] float, magnitude at eighths of the cycle, counted from the gap's first frame.
            gap: [B] float, gap length as a fraction of the cycle.

        Returns:
            [B, features + 6, X / 2, Y / 2] float, the trunk's features and the motion that is plain to see.
        """
        view, motion = gap_view(keys)
        features = self.trunk(torch.cat((view, interpolation.to(view.dtype)), dim=1), gap, cycle)
        return torch.cat((features, (motion / 2).to(features.dtype)), dim=1)

    def decode(
        self, features: Tensor, magnitude: Tensor, logits: Tensor, motion: Tensor, tau: Tensor, gap: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Makes the velocities at one time in the gap.

        Args:
            features: [B, features + 6, X / 2, Y / 2] float, from ``encode``.
            magnitude: [B, 1, X, Y] float, the frame at this time.
            logits: [B, 3, X, Y] float, its segmentation.
            motion: [B, 4, X / 2, Y / 2] float, its motion, pixels a gap; all three from
                ``TemporalInterpolation.decode``.
            tau: [B] float, 0 to 1.
            gap: [B] float, gap length as a fraction of the cycle.

        Returns:
            Velocity [B, 3, X, Y] along X, Y and the long axis towards the apex, cm/s at RR = 1000 ms; logit of the
            foreground (signal, not noise) [B, 1, X, Y]. float32.
        """
        labels = F.avg_pool2d(torch.softmax(logits, dim=1)[:, 1:], 2)
        extras = torch.cat((F.pixel_unshuffle(magnitude, 2), motion / 4, labels), dim=1).to(features.dtype)
        h = torch.cat((features, extras), dim=1)
        h = self.head_body(F.leaky_relu(self.head_time(self.head_in(h), tau, gap), 0.1))
        pixels = self.velocity_out(h).float()
        scale = (self.pixel_cm / gap.float()).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
        velocity = F.interpolate(pixels * scale, scale_factor=2.0, mode="bilinear", align_corners=False)
        return velocity, F.pixel_shuffle(self.tissue_out(h).float(), 2)
