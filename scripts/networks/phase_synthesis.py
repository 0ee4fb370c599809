"""Second module: neighbouring magnitude frames in, foreground velocity and foreground mask out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .beat import BeatPrior
from .blocks import CYCLE_FRAMES, ConvPair, Trunk, initialise, modulate
from .motion import PIXEL_CM, STEPS, VIEW_CHANNELS, spline_velocity
from .velocity_assessment import VelocityAssessment


def around_centroid(myocardium: Tensor, curves: Tensor) -> Tensor:
    """Lays out mean velocities about the ventricle's centroid, every wall point alike.

    Args:
        myocardium: [B, 1, X, Y] float, probability, 0 to 1.
        curves: [B, 3] float, radial, circumferential and longitudinal velocity.

    Returns:
        [B, 3, X, Y] float32, velocity along X, Y and towards the apex: ``VelocityAssessment`` undoes it.
    """
    weight = myocardium.float().square()
    total = weight.sum((2, 3), keepdim=True) + 1e-3
    x = torch.arange(weight.shape[2], device=weight.device, dtype=torch.float32).unsqueeze(1)
    y = torch.arange(weight.shape[3], device=weight.device, dtype=torch.float32).unsqueeze(0)
    dx = x - (weight * x).sum((2, 3), keepdim=True) / total
    dy = y - (weight * y).sum((2, 3), keepdim=True) / total
    distance = torch.sqrt(dx * dx + dy * dy + 4)
    dx, dy = dx / distance, dy / distance
    radial, around, along = curves.float().unsqueeze(-1).unsqueeze(-1).split(1, dim=1)
    return torch.cat((around * dy - radial * dx, -around * dx - radial * dy, along.expand_as(dx)), dim=1)


class PhaseSynthesis(nn.Module):
    """Synthesises the velocity of the tissue that a magnitude cine shows moving.

    A trunk sees the acquired frames around a gap, the interpolation's view of the same gap, and the whole cycle at
    an eighth of the resolution. For every time in the gap a small head turns its features, the magnitude, the
    segmentation and the motion at that time into three velocities: in the plane as a difference from the velocity that
    is plain to see, its mean over the wall brought towards what a ventricle of such a beat usually does as far as the
    head finds that nearer; along the axis from the usual velocity alone. In the plane the network thinks in pixels a
    gap, which is what an image can show; the length of the gap turns that into cm/s.

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
        self.trunk = Trunk(VIEW_CHANNELS + interpolation_features, widths, features, CYCLE_FRAMES)
        self.beat = BeatPrior()
        self.assessment = VelocityAssessment()
        self.head_gap = nn.Conv2d(features + 2 * STEPS, features, 3, 1, 1)
        self.head_in = nn.Conv2d(4 + 4 + 2 + 3 + 2 + 2, features, 3, 1, 1)
        self.head_beat = nn.Linear(self.beat.curves.in_features, 2 * features)
        self.head_body = ConvPair(features, features)
        self.velocity_out = nn.Conv2d(features, 4, 3, 1, 1)
        self.tissue_out = nn.Conv2d(features, 4, 3, 1, 1)
        initialise(self)
        nn.init.normal_(self.velocity_out.weight, std=1e-3)

    def encode(self, view: Tensor, interpolation: Tensor, steps: Tensor, cycle: Tensor, gap: Tensor) -> Tensor:
        """Looks at the acquired frames around a gap and at the whole cycle.

        Args:
            view: [B, 54, X / 2, Y / 2] float, from ``gap_view``.
            interpolation: [B, C, X / 2, Y / 2] float, features of ``TemporalInterpolation.encode``.
            steps: [B, 10, X / 2, Y / 2] float, motion around the gap, for ``spline_velocity``.
            cycle: [B, 8, X / 8, Y / 8] float, magnitude at eighths of the cycle, counted from the gap's first frame.
            gap: [B] float, gap length as a fraction of the cycle.

        Returns:
            [B, features, X / 2, Y / 2] float, what all this gives to every time in the gap, alike.
        """
        features = self.trunk(torch.cat((view, interpolation.to(view.dtype)), dim=1), gap, cycle)
        return self.head_gap(torch.cat((features, (steps / 4).to(features.dtype)), dim=1))

    def decode(
        self,
        given: Tensor,
        steps: Tensor,
        magnitude: Tensor,
        logits: Tensor,
        motion: Tensor,
        tau: Tensor,
        gap: Tensor,
        beat: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Makes the velocities at one time in the gap.

        Args:
            given: [B, features, X / 2, Y / 2] float, from ``encode``.
            steps: [B, 10, X / 2, Y / 2] float, motion around the gap, for ``spline_velocity``.
            magnitude: [B, 1, X, Y] float, the frame at this time.
            logits: [B, 3, X, Y] float, its segmentation.
            motion: [B, 4, X / 2, Y / 2] float, its motion, pixels a gap; all three from
                ``TemporalInterpolation.decode``.
            tau: [B] float, 0 to 1.
            gap: [B] float, gap length as a fraction of the cycle.
            beat: [B, 82] float, as ``beat.describe_beat`` gives it.

        Returns:
            Velocity [B, 3, X, Y] along X, Y and the long axis towards the apex, cm/s at RR = 1000 ms; logit of the
            foreground (signal, not noise) [B, 1, X, Y]. float32.
        """
        labels = F.avg_pool2d(torch.softmax(logits, dim=1)[:, 1:], 2)
        scale = (self.pixel_cm / gap.float()).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
        seen = spline_velocity(steps, tau, gap)
        mean = self.assessment.wall_motion(labels[:, :1], seen.unsqueeze(1))[:, 0] * scale[..., 0, 0]
        # A motion over the whole gap hides how it is spread over it; the usual beat tells.
        described, curves = self.beat(tau, gap, beat, mean)
        usual = around_centroid(labels[:, :1], curves)
        unseen = torch.cat((curves[:, :2] - mean, torch.zeros_like(mean[:, :1])), dim=1)
        # Where there is hardly any wall, nobody knows how it moves.
        area = labels[:, :1].sum((2, 3), keepdim=True)
        missing = around_centroid(labels[:, :1], unseen)[:, :2] / scale * (area / (area + 2))
        parts = (F.pixel_unshuffle(magnitude, 2), motion / 4, labels, usual / 4, missing / 4, seen / 4)
        h = given + self.head_in(torch.cat(parts, dim=1).to(given.dtype))
        h = self.head_body(F.leaky_relu(modulate(h, self.head_beat(described)), 0.1))
        out = self.velocity_out(h).float()
        plane = seen + torch.sigmoid(out[:, 3:] * 4) * missing + out[:, :2]
        velocity = torch.cat((plane * scale, usual[:, 2:] + out[:, 2:3] * 4), dim=1)
        velocity = F.interpolate(velocity, scale_factor=2.0, mode="bilinear", align_corners=False)
        return velocity, F.pixel_shuffle(self.tissue_out(h).float(), 2)
