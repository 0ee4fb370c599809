"""What an ablation leaves out: parts of what the network is shown, of what it learns from, and of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.networks.motion import gap_view
from scripts.training import stages

Batch = dict[str, Tensor]
View = Callable[[Tensor], tuple[Tensor, Tensor]]
SEED = 3000
"""Seed of all variants but the one that shows what a seed is worth."""


def two_frames(keys: Tensor) -> tuple[Tensor, Tensor]:
    """``gap_view`` of one who knows only the two frames around the gap: motion goes on as it is in it."""
    view, motions = gap_view(keys)
    start, per_pair = view.shape[1] - 18, 6
    middle = view[:, start + per_pair : start + 2 * per_pair]
    return torch.cat((view[:, :start], middle, middle, middle), dim=1), motions[:, 2:4].repeat(1, 3, 1, 1)


def no_motion(keys: Tensor) -> tuple[Tensor, Tensor]:
    """``gap_view`` without any estimate of motion: the network has to find it by itself."""
    view, motions = gap_view(keys)
    return torch.cat((view[:, :-18], torch.zeros_like(view[:, -18:])), dim=1), torch.zeros_like(motions)


def no_contrast(keys: Tensor) -> tuple[Tensor, Tensor]:
    """``gap_view`` without the local contrast of the two frames around the gap: eight channels before the motions."""
    view, motions = gap_view(keys)
    return torch.cat((view[:, :-26], torch.zeros_like(view[:, -26:-18]), view[:, -18:]), dim=1), motions


def no_slopes(batch: Batch) -> Batch:
    """Leaves a straight line in time between the two frames around the gap."""
    return batch | {"slopes": (batch["keys"][:, 2:3] - batch["keys"][:, 1:2]).expand(-1, 2, -1, -1)}


def inner_frames(batch: Batch) -> Batch:
    """Shows the two frames around the gap in place of the outer ones."""
    return no_slopes(batch) | {"keys": batch["keys"][:, [1, 1, 2, 2]]}


def no_cycle(batch: Batch) -> Batch:
    """Hides the eighths of the cycle."""
    return batch | {"cycle": torch.zeros_like(batch["cycle"])}


def no_beat(batch: Batch) -> Batch:
    """Hides the ventricle's size and its wall's motion over the cycle."""
    return batch | {"beat": torch.zeros_like(batch["beat"])}


def no_moves(batch: Batch) -> Batch:
    """Hides the mean motion of the wall: the last two of the five numbers told of each time of the beat."""
    beat = batch["beat"].clone()
    beat[:, :-2].unflatten(1, (-1, 5))[..., 3:] = 0
    return batch | {"beat": beat}


def no_spline(batch: Batch) -> Batch:
    """Hides the frames that ``spline_velocity`` passes through."""
    return batch | {"around": batch["around"][:, :1].expand_as(batch["around"])}


def coarse(batch: Batch) -> Batch:
    """Shows acquired frames at half of their resolution."""
    blurred = {
        name: F.interpolate(F.avg_pool2d(batch[name], 2), scale_factor=2.0, mode="bilinear", align_corners=False)
        for name in ("keys", "slopes", "around")
        if name in batch
    }
    return batch | blurred


class Plain(Random):
    """Draws which picture and which of its frames, but nothing that changes how they look."""

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """Shifts, zooms, contrast and shading: none."""
        return mu

    def uniform(self, a: float, b: float) -> float:
        """Angles: the one in the middle."""
        return (a + b) / 2


@dataclass(frozen=True)
class Variant:
    """One training.

    Attributes:
        name: what is left out.
        hide: takes something away from the batches.
        view: what stands for ``gap_view``.
        real: whether real pictures are trained on.
        random: what draws the samples.
        seed: of the draws and of the first weights.
        overrides: values of the training's config.
    """

    name: str
    hide: Callable[[Batch], Batch] = dict
    view: View = gap_view
    real: bool = True
    random: type[Random] = Random
    seed: int = SEED
    overrides: dict[str, Any] = field(default_factory=dict)


class Without(nn.Module):
    """A training stage that is denied something.

    Args:
        stage: the stage.
        variant: what it is denied.
    """

    def __init__(self, stage: nn.Module, variant: Variant) -> None:
        super().__init__()
        self.stage, self.module, self.variant = stage, stage.module, variant

    def forward(self, batch: Batch) -> Any:
        """Runs the stage on what is left."""
        with mock.patch.object(stages, "gap_view", self.variant.view):
            return self.stage(self.variant.hide(batch))


INTERPOLATION = (
    Variant("nothing"),
    Variant("nothing, another seed", seed=SEED + 1),
    Variant("motion compensation", view=no_motion),
    Variant("local contrast", view=no_contrast),
    Variant("frames beyond the gap", hide=inner_frames, view=two_frames),
    Variant("spline in time", hide=no_slopes),
    Variant("cycle context", hide=no_cycle),
    Variant("real pictures", real=False),
    Variant("other looks of a picture", random=Plain),
    Variant("half of the resolution", hide=coarse),
    Variant("half of the width", overrides={"network_def#widths": [16, 32, 48, 56]}),
)
SYNTHESIS = (
    Variant("nothing"),
    Variant("nothing, another seed", seed=SEED + 1),
    Variant("spline through the motions", hide=no_spline),
    Variant("the beat", hide=no_beat),
    Variant("the wall's motion over the beat", hide=no_moves),
    Variant("cycle context", hide=no_cycle),
    Variant("consistency of motion", overrides={"train#loss#consistency": 0.0}),
    Variant("discriminator", overrides={"adversarial": 0.0}),
    Variant("real pictures", real=False),
    Variant("half of the resolution", hide=coarse),
)
