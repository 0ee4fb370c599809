"""The hybrid network: one graph from a cine of acquired frames to the missing frames, labels and velocities."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .beat import describe_beat
from .blocks import normalisation, pad_to_multiple, repeat
from .cycle import around_gaps, neighbours, slopes, whole_cycle, with_neighbours
from .motion import gap_channels, motions_between, to_both_ends, warp
from .phase_synthesis import PhaseSynthesis
from .stack import StackPrior, following
from .temporal_interpolation import TemporalInterpolation
from .turns import turn, turn_vectors
from .ventricle import heart_window, likelier, missed, stays, steady_areas, trust
from .views import Look, View, mean, together

BLOCKS = 8
"""Blocks of T * F channels in ``pred``: magnitude, 3 probabilities, 3 velocities, tissue."""


class HDLNet(nn.Module):
    """Synthesises velocity maps of the left ventricle from an ordinary magnitude cine.

    ``upsampling_factor`` (F, frames made of each acquired one; 1 = velocities only), ``cyclic`` (1: the frame after the
    last is the first; 0: the cine ends) and ``views`` are plain attributes: set them on the module, eager or scripted.

    Source: Xing et al., IEEE JBHI 2022, doi 10.1109/JBHI.2022.3158897.

    Args:
        upsampling_factor: F >= 1.
        cyclic: 1 or 0.
        widths: channels of the four levels of both trunks.
        features: channels that the trunks hand to the heads.
        views: how many quarter turns of the picture the network looks at, 1 to 4; what it makes is their mean.
    """

    upsampling_factor: int
    cyclic: int
    views: int

    def __init__(
        self,
        upsampling_factor: int = 6,
        cyclic: int = 1,
        widths: tuple[int, int, int, int] = (32, 64, 96, 112),
        features: int = 32,
        views: int = 2,
    ) -> None:
        super().__init__()
        self.upsampling_factor = upsampling_factor
        self.cyclic = cyclic
        self.views = views
        self.interpolation = TemporalInterpolation(widths, features)
        self.synthesis = PhaseSynthesis(widths, features, features)
        self.stack = StackPrior()

    def forward(self, image: Tensor) -> Tensor:
        """Runs the three-module graph.

        Args:
            image: [N, T, X, Y] or [N, T, X, Y, Z] float32: T >= 3 magnitude frames of one RR interval at any scale,
                in-plane spacing 1.5 mm, X and Y >= 32. The Z slices of a stack lie side by side, equally far apart, in
                either order: what they say together changes their velocities along the axis, see ``in_stack``.

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
        groups: list[Tensor] = list(fractions.split(1))
        cyclic = torch.full([1], self.cyclic, device=image.device, dtype=torch.int64)
        if image.dim() == 4:
            return self.synthesise(image, groups, cyclic)
        # One slice at a time: what it takes to make one stays that of a slice, whatever the stack.
        slices = [self.synthesise(image[..., z], groups, cyclic) for z in range(image.shape[4])]
        return self.in_stack(torch.stack(slices, dim=-1))

    @torch.jit.export
    def in_stack(self, pred: Tensor) -> Tensor:
        """Corrects velocities along the long axis by what all slices of a stack say together.

        ``forward`` does so with stacks. Who runs it slice by slice calls this afterwards, once: slices by themselves
        do not tell how high they cut the ventricle. A cine that ends is looked at as if it were closed. In training
        slices stay by themselves.

        Args:
            pred: [N, 8 * T * F, X, Y, Z] float32, what ``forward`` makes of slices that lie side by side, equally far
                apart, in either order; changed in place.

        Returns:
            The same tensor; with fewer than three slices that hold a ventricle as it was.
        """
        if self.training:
            return pred
        # In place, since stacks are large; no gradient flows through the correction.
        blocks = pred.detach().unflatten(1, (8, -1))  # BLOCKS: TorchScript knows no constants of a module
        measured = torch.stack([self.stack.measure(blocks[..., z]) for z in range(pred.shape[4])], dim=1)
        change = self.stack(measured.to(self.stack.own.device)).to(pred.device)
        for z in range(pred.shape[4]):
            follow = following(blocks[:, 2:4, ..., z].sum(1))
            blocks[:, 6, ..., z] += change[:, z].unsqueeze(-1).unsqueeze(-1) * follow
        return pred

    def look(self, image: Tensor, cyclic: Tensor) -> Look:
        """Sees the motion around every gap of a cine, and finds the ventricle in its acquired frames.

        Args:
            image: [N, T, X, Y] float32, as in ``forward``.
            cyclic: [1] int64, 1 or 0.

        Returns:
            Everything that does not depend on the time within a gap.
        """
        t = image.shape[1]
        scale = normalisation(image)
        frames = pad_to_multiple(image / scale)
        gap = torch.ones_like(frames[:, :, 0, 0]).flatten() / t
        views = self.see(frames, gap, cyclic)
        motions = views[0].motions
        _, found, _ = self.interpolate(views, 1, torch.zeros_like(gap), gap)
        seen = torch.stack(found).unflatten(1, (image.shape[0], t))
        window = heart_window(seen[:, :, :, 1:].sum(3).mean(0))
        believed = trust(seen, window)
        logits = together(seen, believed)
        labels, bias = steadied(logits, motions, gap, window, cyclic)
        steady = torch.softmax(labels, dim=2)
        if not self.training:  # what is shut out could not be learnt
            # All views have their say here: by the one that shows most of it, an outflow tract stays.
            alike = together(seen, torch.ones_like(believed) / len(found))
            plain, _ = steadied(alike, motions, gap, window, cyclic)
            window = window * stays(torch.softmax(plain, dim=2)[:, :, 1:].sum(2) * window)
        wall = F.avg_pool2d(steady[:, :, 1] * window, 2)
        half_way = (wall + wall[:, neighbours(t, cyclic)[:, 2]]) / 2
        moved = motions[:, 2:4].float().unflatten(0, (image.shape[0], t))
        moves = self.synthesis.assessment.wall_motion(half_way, moved)
        # Areas are each frame's own: a mean with its neighbours would take from the height of a beat.
        probability = torch.softmax(likelier(logits, bias), dim=2)
        areas = steady_areas(probability * window.unsqueeze(1))
        return Look(scale, gap, views, believed, labels, bias, window, areas, moves)

    def see(self, frames: Tensor, gap: Tensor, cyclic: Tensor) -> list[View]:
        """Looks at all gaps of a cine, as it is and turned.

        Args:
            frames: [N, T, X', Y'] float, normalised magnitude; X' and Y' divisible by 16.
            gap: [N * T] float, length of a gap as a fraction of the cycle.
            cyclic: [1] int64, 1 or 0.

        Returns:
            ``views`` of them.
        """
        if self.views < 1 or self.views > 4:
            raise ValueError("views: expected 1 to 4")
        keys = frames[:, neighbours(frames.shape[1], cyclic)].flatten(0, 1)
        changes, steps = slopes(frames, cyclic), around_gaps(frames, cyclic)
        cycle = whole_cycle(F.avg_pool2d(frames, 8), cyclic).flatten(0, 1)
        # Motion turns with the picture, so it is estimated once.
        motions = motions_between(keys)
        every, finest = motions.flatten(1, 2), motions[:, :, :2].flatten(1, 2)
        views: list[View] = []
        for k in range(self.views):
            turned, coarse = turn(keys, k), turn(cycle, k)
            channels = gap_channels(turned, turn_vectors(every, k, 9))
            features, given = self.interpolation.encode(channels, coarse, gap)
            motion, step = turn_vectors(finest, k, 3), turn_vectors(steps, k, 5)
            views.append(View(k, turned, turn(changes, k), motion, step, channels, coarse, features, given))
        return views

    def interpolate(
        self, views: list[View], times: int, tau: Tensor, gap: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Makes frames as the mean of what the interpolation makes of a picture and of its turns.

        Args:
            views: of all gaps.
            times: how many frames to make in each gap, B in all, those of a gap side by side.
            tau: [B] float, time in the gap, 0 to 1.
            gap: [B] float, length of the gap as a share of the cycle.

        Returns:
            Magnitude [B, 1, X, Y]; probability of labels [B, 3, X, Y] as each view shows them; and motion
            [B, 4, X / 2, Y / 2], pixels a gap.
        """
        magnitudes: list[Tensor] = []
        probabilities: list[Tensor] = []
        motions: list[Tensor] = []
        for view in views:
            magnitude, logits, motion = self.interpolation.decode(
                repeat(view.keys, times),
                repeat(view.changes, times),
                repeat(view.given, times),
                repeat(view.motions, times),
                tau,
                gap,
            )
            back = (4 - view.turns) % 4
            magnitudes.append(turn(magnitude, back))
            probabilities.append(turn(torch.softmax(logits, dim=1), back))
            motions.append(turn_vectors(motion, back, 2))
        return mean(magnitudes), probabilities, mean(motions)

    def move(
        self,
        views: list[View],
        moving: list[Tensor],
        times: int,
        magnitude: Tensor,
        logits: Tensor,
        motion: Tensor,
        tau: Tensor,
        gap: Tensor,
        beat: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Makes velocities as the mean of what the synthesis makes of a picture and of its turns.

        Args:
            views: of all gaps.
            moving: [gaps, C, X' / 2, Y' / 2] float for each view, from ``PhaseSynthesis.encode``.
            times: how many frames were made in each gap, B in all.
            magnitude: [B, 1, X, Y] float, the frames made by ``interpolate``.
            logits: [B, 3, X, Y] float, their segmentation.
            motion: [B, 4, X / 2, Y / 2] float, their motion, pixels a gap.
            tau: [B] float, time in the gap, 0 to 1.
            gap: [B] float, length of the gap as a share of the cycle.
            beat: [B, 82] float, from ``describe_beat``.

        Returns:
            Velocity [B, 3, X, Y], cm/s at RR = 1000 ms, and logit of tissue [B, 1, X, Y].
        """
        velocities: list[Tensor] = []
        tissues: list[Tensor] = []
        for view, given in zip(views, moving):  # noqa: B905 - TorchScript knows no strict
            k = view.turns
            velocity, tissue = self.synthesis.decode(
                repeat(given, times),
                repeat(view.steps, times),
                turn(magnitude, k),
                turn(logits, k),
                turn_vectors(motion, k, 2),
                tau,
                gap,
                beat,
            )
            velocities.append(turn_vectors(velocity, (4 - k) % 4))
            tissues.append(turn(tissue, (4 - k) % 4))
        return mean(velocities), mean(tissues)

    def synthesise(self, image: Tensor, fractions: list[Tensor], cyclic: Tensor) -> Tensor:
        """Runs the graph at given times between acquired frames.

        Args:
            image: [N, T, X, Y] float32, as in ``forward``.
            fractions: groups [F1], [F2], ... float32 of F times in all within each gap, 0 (the acquired frame) to 1.
                Those of a group are made together: one time after the other takes the least memory.
            cyclic: [1] int64, 1 or 0.

        Returns:
            [N, 8 * T * F, X, Y] float32, as in ``forward``.
        """
        look = self.look(image, cyclic)
        moving = [self.synthesis.encode(v.channels, v.features, v.steps, v.cycle, look.gap) for v in look.views]
        beat = describe_beat(look.areas, look.moves, cyclic).flatten(0, 1)
        parts = [self.at(times, image, look, moving, beat, cyclic) for times in fractions]
        return torch.cat(parts, dim=3).flatten(1, 3)

    def at(
        self, times: Tensor, image: Tensor, look: Look, moving: list[Tensor], beat: Tensor, cyclic: Tensor
    ) -> Tensor:
        """Makes the frames at some times in every gap.

        Args:
            times: [F] float32, 0 to 1.
            image: [N, T, X, Y] float32, as in ``forward``.
            look: what ``look`` saw of it.
            moving: [N * T, C, X' / 2, Y' / 2] float for each view, from ``PhaseSynthesis.encode``.
            beat: [N * T, 82] float, from ``describe_beat``.
            cyclic: [1] int64, 1 or 0.

        Returns:
            [N, 8, T, F, X, Y] float32, the blocks of ``forward``.
        """
        n, t, x, y = image.shape
        f = times.shape[0]
        tau = times.unsqueeze(0).expand(n * t, -1).flatten()
        gap, beat = repeat(look.gap, f), repeat(beat, f)
        later = neighbours(t, cyclic)[:, 2]
        magnitude, seen, motion = self.interpolate(look.views, f, tau, gap)
        first, second = to_both_ends(motion, tau)
        before = warp(repeat(look.labels.flatten(0, 1), f), first)
        after = warp(repeat(look.labels[:, later].flatten(0, 1), f), second)
        time = tau.unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
        # One frame alone may miss a ventricle that its neighbours show.
        bias = (1 - times) * look.bias.unsqueeze(2) + times * look.bias[:, later].unsqueeze(2)
        believed = (1 - times) * look.trust.unsqueeze(3) + times * look.trust[:, :, later].unsqueeze(3)
        logits = together(torch.stack(seen).unsqueeze(2), believed.reshape(len(seen), n * t * f, 1))
        own = likelier(logits, bias.reshape(n * t * f, 1)).squeeze(1)
        logits = (own + (1 - time) * before + time * after) / 2
        background = torch.tensor([30.0, -30.0, -30.0], dtype=logits.dtype, device=logits.device)
        logits = logits + repeat(1 - look.window, t * f) * background.unsqueeze(-1).unsqueeze(-1)
        velocity, tissue = self.move(look.views, moving, f, magnitude, logits, motion, tau, gap, beat)
        blocks = torch.cat(
            (magnitude.clamp_min(0), torch.softmax(logits, dim=1), velocity, torch.sigmoid(tissue)), dim=1
        )
        blocks = blocks[:, :, :x, :y].unflatten(0, (n, t, f)).movedim(3, 1)
        acquired = (times == 0).unsqueeze(-1).unsqueeze(-1)
        magnitude = torch.where(acquired, image.unsqueeze(2), blocks[:, 0] * look.scale.unsqueeze(-1))
        return torch.cat((magnitude.unsqueeze(1), blocks[:, 1:]), dim=1)


def steadied(logits: Tensor, motions: Tensor, gap: Tensor, window: Tensor, cyclic: Tensor) -> tuple[Tensor, Tensor]:
    """Makes labels of acquired frames steady: with their neighbours', and likelier where a frame misses the ventricle.

    Args:
        logits: [N, T, 3, X, Y] float, log probabilities of labels.
        motions: [N * T, 6, X / 2, Y / 2] float64, pixels, as in ``View``.
        gap: [N * T] float, length of a gap as a fraction of the cycle.
        window: [N, 1, X, Y] float, from ``heart_window``.
        cyclic: [1] int64, 1 or 0.

    Returns:
        Like ``logits``; and [N, T] float, from ``missed``, by how much likelier.
    """
    labels = with_neighbours(logits, motions, gap, cyclic)
    bias = missed(labels, window)
    return likelier(labels, bias), bias
