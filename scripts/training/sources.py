"""What training samples are cut from: a slice cine, what is measured of it, and those of patients."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scripts.networks import VelocityAssessment
from scripts.phantom.scanner import add_noise

from .beats import ways
from .sunnybrook import UNKNOWN, RealSlice


@dataclass
class Source:
    """A slice cine that samples are cut from.

    Attributes:
        magnitude: [T, X, Y] float16, noise-free where known. A picture that stands still has T = 2: itself, and the
            same slice at the other end of systole.
        noise: standard deviation of each channel to add, 0 for real cine, in the unit of ``magnitude``.
        labels: [T, X, Y] uint8: 0 background, 1 myocardium, 2 pool, NOT_POOL, UNKNOWN.
        velocity: [3, T, X, Y] float16, cm/s at RR = 1000 ms; None where unknown.
        wall: [T, X, Y] bool, the wall that moves by ``velocity``; None where unknown.
        labelled: frames that carry labels.
        areas: [T, 2] float, area of the pool and of the whole ventricle, pixels, zero where unknown.
        moves: [T, 2] float, mean motion of the wall inward and around from each frame to the next, pixels, zero where
            unknown.
        acquired: whether its frames show what there was; else its labels alone are to be learnt.
    """

    magnitude: Tensor
    noise: float
    labels: Tensor
    velocity: Tensor | None
    wall: Tensor | None
    labelled: list[int]
    areas: Tensor
    moves: Tensor
    acquired: bool = True

    @property
    def still(self) -> bool:
        """Whether it is a single picture."""
        return len(self.labels) == 1

    @property
    def step(self) -> int:
        """Every how many-th frame ``sizes.segmented`` measures."""
        return 1 if self.velocity is None else 6

    @property
    def throughout(self) -> bool:
        """Whether the ventricle is there all cycle long."""
        return bool((self.areas[:, 1] > 0).all())

    def scanned(self, generator: torch.Generator) -> Tensor:
        """Every ``step``-th frame as a scanner shows it, noise from the generator: [T / step, X, Y] float, CPU."""
        frames = self.magnitude[:: self.step].float().cpu()
        return add_noise(frames, torch.tensor(self.noise), generator) if self.noise > 0 else frames

    @cached_property
    def centres(self) -> list[tuple[float, float] | None]:
        """Where the pool's middle is in each frame of ``labels``, pixels; None where there is no pool."""
        pools = [torch.nonzero(label == 2).float() for label in self.labels.cpu()]
        return [(float(p[:, 0].mean()), float(p[:, 1].mean())) if len(p) else None for p in pools]

    def to(self, device: torch.device | str) -> "Source":
        """Brings what is as large as pictures to a device; the same source if it is there."""
        names = ("magnitude", "labels", "velocity", "wall")
        moved: dict[str, Any] = {n: t.to(device) for n in names if isinstance(t := getattr(self, n), Tensor)}
        return self if moved["magnitude"] is self.magnitude else replace(self, **moved)


def areas(labels: Tensor) -> Tensor:
    """Measures the ventricle: [T, X, Y] uint8 labels to [T, 2] float, pixels, CPU, of the pool and of pool and wall."""
    pool, both = (labels == 2).flatten(1).sum(1), ((labels == 1) | (labels == 2)).flatten(1).sum(1)
    return torch.stack((pool, both), 1).float().cpu()


def wall_curves(wall: Tensor, velocity: Tensor) -> Tensor:
    """Averages velocities over a wall.

    Args:
        wall: [T, X, Y] bool.
        velocity: [3, T, X, Y] float, cm/s at RR = 1000 ms.

    Returns:
        [T, 3] float, cm/s at RR = 1000 ms: radial, circumferential, longitudinal.
    """
    return VelocityAssessment()(wall[None].float(), velocity[None].float())[0].T


def wall_moves(wall: Tensor, velocity: Tensor) -> Tensor:
    """Measures how far a wall moves on average from each frame to the next.

    Args:
        wall: [T, X, Y] bool.
        velocity: [3, T, X, Y] float, cm/s at RR = 1000 ms.

    Returns:
        [T, 2] float, pixels, CPU: inward and around.
    """
    curves = wall_curves(wall, velocity)[:, :2].cpu()
    return ways(curves, torch.arange(len(curves)) / len(curves), len(curves))


def real_sources(slices: list[RealSlice]) -> list[Source]:
    """Turns real slices into sources; a pair of frames becomes two pictures that stand still."""
    sources = []
    for item in slices:
        if item.cyclic:
            labels = torch.full(item.frames.shape, UNKNOWN, dtype=torch.uint8)
            for frame, label in item.labels.items():
                labels[frame] = label
            known = sorted(item.labels)
            if known and not any(labels[f].any() for f in known):
                # What is empty at both ends of systole is empty between them: no teacher shall find an atrium there.
                labels[:] = 0
                known = list(range(len(labels)))
            none = torch.zeros(len(labels), 2)
            sources.append(Source(_unit(item.frames).half(), 0.0, labels, None, None, known, none, none))
            continue
        for frame, label in item.labels.items():
            both = item.frames[[frame, (frame + 1) % len(item.frames)]]
            none = torch.zeros(1, 2)
            sources.append(Source(_unit(both).half(), 0.01, label[None], None, None, [0], none, none))
    return sources


def _unit(frames: Tensor) -> Tensor:
    return frames / frames.float().square().mean().sqrt().clamp_min(1e-3)
