"""Stacks: what the network sees of the slices of simulated ventricles, and how their walls move along the long axis."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from scripts.networks import BLOCKS, HDLNet
from scripts.networks.stack import STACK_TIMES, places
from scripts.phantom.cine import image_stack

from .beats import USUAL
from .simulated import HEARTS, Simulated
from .sources import wall_curves

Stack = dict[str, Tensor]
"""measured [Z, 7, 36], as ``StackPrior.measure`` gives it; curves [Z, 36], true mean longitudinal velocity, cm/s at
RR = 1000 ms; known [Z], 1 where it is."""

MOST_SLICES = 20
"""Slices of a stack of a batch, empty ones at its end: the largest heart, 8 mm a slice, has 17."""

ACQUIRED = (9, 9, 9, 9, 9, 9, 12, 18, 18, 36)
"""Acquired frames of imaged stacks, as often as they come: six-fold down-sampling is the main case."""


def imaged_stacks(network: HDLNet, count: int, seed: int, size: int = 96) -> Simulated[Stack]:
    """Stacks of simulated slices, imaged and seen by a network, to be made.

    Args:
        network: the network that sees them, slice by slice.
        count: how many.
        seed: seed of the phantom.
        size: pixels along each side.

    Returns:
        ``count`` stacks.
    """
    return Simulated(partial(_imaged, network=network.eval(), size=size), count, seed)


@torch.no_grad()
def _imaged(_: int, generator: torch.Generator, network: HDLNet, size: int) -> Stack:
    wide, draw = torch.rand(2, generator=generator).tolist()
    gap_mm = 8 + 2 * draw if wide < 0.7 else 10 + 12 * draw
    step = STACK_TIMES // ACQUIRED[int(torch.randint(len(ACQUIRED), (1,), generator=generator))]
    slices = image_stack(generator, STACK_TIMES, size, gap_mm, ranges=replace(HEARTS, outside=0.0))[0]
    network.upsampling_factor = step
    measured, curves, known = [], [], []
    for cine in slices:
        blocks = network(cine.scanned(generator)[:, ::step]).unflatten(1, (BLOCKS, -1))
        wall = cine.labels[0] == 1
        measured.append(network.stack.measure(blocks)[0])
        curves.append(wall_curves(wall, cine.velocity[0])[:, 2])
        known.append(float(wall.flatten(1).any(1).all()))
    return {"measured": torch.stack(measured), "curves": torch.stack(curves), "known": torch.tensor(known)}


class Stacks(Dataset):
    """Random views of stacks: without an end, with every second slice alone, in either order.

    Args:
        imaged: stacks as ``imaged_stacks`` makes them.
        seed: seed of the draws.
        length: samples an epoch.
    """

    def __init__(self, imaged: list[Stack], seed: int, length: int) -> None:
        self.imaged, self.length = imaged, length
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, _: int) -> Stack:
        """Draws a stack, as ``padded`` gives it."""
        stack = self.imaged[int(torch.randint(len(self.imaged), (1,), generator=self.generator))]
        first, last, thin, reverse = torch.rand(4, generator=self.generator).tolist()
        # Who plans a scan leaves out a slice at an end at times.
        kept = slice(int(first < 0.15), len(stack["known"]) - int(last < 0.15))
        stack = {k: v[kept] for k, v in stack.items()}
        if thin < 0.3 and len(stack["known"]) >= 7:
            stack = {k: v[int(thin < 0.15) :: 2] for k, v in stack.items()}
        return padded({k: v.flip(0) for k, v in stack.items()} if reverse < 0.5 else stack)


def padded(stack: Stack) -> Stack:
    """Fills a stack up to 20 slices with empty ones; known is what the network has seen a ventricle of, too."""
    known = stack["known"] * places(stack["measured"][None, :, :2])[0][0]
    missing = MOST_SLICES - len(known)
    return {k: torch.cat((v, v.new_zeros(missing, *v.shape[1:]))) for k, v in (stack | {"known": known}).items()}


class StackStage(nn.Module):
    """The stage of ``StackPrior`` alone.

    Args:
        network: the network whose stack learns.
    """

    def __init__(self, network: HDLNet) -> None:
        super().__init__()
        self.module = network.stack

    def forward(self, batch: Stack) -> Tensor:
        """Predicts the curves of a batch of ``Stacks``: [B, 20, 36], cm/s at RR = 1000 ms."""
        return batch["measured"][:, :, 6] + self.module(batch["measured"])


def stack_loss(prediction: Tensor, target: Stack, peaks: float = 0.2) -> Tensor:
    """Mean absolute error of the curves, and of their highest and lowest values, by the usual size.

    Args:
        prediction: [B, Z, 36] float, cm/s at RR = 1000 ms.
        target: curves, like ``prediction``, and known [B, Z].
        peaks: weight of the highest and lowest values.

    Returns:
        Scalar.
    """
    found, wanted = prediction / USUAL[2], target["curves"] / USUAL[2]
    highest, lowest = (found.amax(2) - wanted.amax(2)).abs(), (found.amin(2) - wanted.amin(2)).abs()
    error = (found - wanted).abs().mean(2) + peaks * (highest + lowest)
    return (error * target["known"]).sum() / target["known"].sum().clamp_min(1)


def stack_error(output: list[dict] | dict) -> Tensor:
    """Root mean square error of the curves as a share of their root mean square, from engine output; scalar."""
    target = output["label"]  # type: ignore[call-overload]
    wanted, known = target["curves"], target["known"].unsqueeze(2)
    pred = output["pred"]  # type: ignore[call-overload]
    return (((pred - wanted).square() * known).sum() / (wanted.square() * known).sum()).sqrt()


def peak_correlation(output: list[dict] | dict, highest: bool) -> Tensor:
    """Correlation of the curves' highest, or lowest, values with the true ones, from engine output; scalar."""
    target = output["label"]  # type: ignore[call-overload]
    curves = [c[target["known"] > 0] for c in (output["pred"], target["curves"])]  # type: ignore[call-overload]
    return torch.corrcoef(torch.stack([c.amax(1) if highest else c.amin(1) for c in curves]))[0, 1]
