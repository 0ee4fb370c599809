"""The very last stage: whole beats through the whole network, whose longitudinal curves learn to peak as they should.

What is likely at every single time is not likely as a whole: where nobody can tell when a wave comes, the mean of all
possible ones is lower than any of them. Its peak is what a reader takes from a curve.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from scripts.networks import BLOCKS, HDLNet, VelocityAssessment
from scripts.phantom.scanner import add_noise

from .sources import Source

USUAL = (1.2, 0.8, 2.4)
"""Usual size of radial, circumferential and longitudinal velocity, cm/s at RR = 1000 ms."""


class WholeBeats(Dataset):
    """Simulated slices with a ventricle, six times too few frames of each as a scanner shows them, and their curves.

    Args:
        slices: simulated slices with 6 F frames each; they are not kept.
        seed: seed of the noise.
    """

    def __init__(self, slices: Iterable[Source], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        found = [source for source in slices if bool((source.areas[:, 1] > 0).all())]
        self.beats = [whole_beat(source, generator) for source in found]

    def __len__(self) -> int:
        return len(self.beats)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Reads a sample: image [T, X, Y] float; wall [6 T, X, Y] bool; curves [6 T, 3], cm/s at RR = 1000 ms."""
        return self.beats[index]


def whole_beat(source: Source, generator: torch.Generator) -> dict[str, Tensor]:
    """Makes a sample of ``WholeBeats``.

    Args:
        source: a simulated slice.
        generator: the source of randomness.

    Returns:
        As ``WholeBeats`` gives it.

    Raises:
        ValueError: if nobody knows how the wall moves.
    """
    if source.velocity is None or source.wall is None:
        raise ValueError("source: found a patient's cine, expected a simulated slice")
    image = add_noise(source.magnitude[:: source.step].float(), torch.tensor(source.noise), generator)
    curves = VelocityAssessment()(source.wall[None].float(), source.velocity[None].float())[0].T
    return {"image": image, "wall": source.wall, "curves": curves}


class PeakStage(nn.Module):
    """The last stage: what the beat says of the mean longitudinal velocity, judged by what the whole network makes.

    What it says of both others stays: motion in the plane is seen, and peaks about as high as it should.

    Args:
        network: a network that has been through all other stages.
    """

    def __init__(self, network: HDLNet) -> None:
        super().__init__()
        self.network, self.assessment = network, VelocityAssessment()
        network.requires_grad_(False)
        learning = torch.tensor([0.0, 0.0, 1.0])
        for parameter in network.synthesis.beat.curves.requires_grad_(True).parameters():
            parameter.register_hook(lambda slope: (slope.movedim(0, -1) * learning.to(slope.device)).movedim(-1, 0))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Runs the network as a user does, and averages over the true wall.

        Args:
            batch: image [B, T, X, Y] and wall [B, T F, X, Y], as ``WholeBeats`` gives them.

        Returns:
            [B, T F, 3] float, mean radial, circumferential and longitudinal velocity, cm/s at RR = 1000 ms.
        """
        self.network.upsampling_factor = batch["wall"].shape[1] // batch["image"].shape[1]
        velocity = self.network(batch["image"]).unflatten(1, (BLOCKS, -1))[:, 4:7]
        return self.assessment(batch["wall"].float(), velocity).movedim(1, 2)


def peak_loss(prediction: Tensor, target: dict[str, Tensor], peaks: float = 0.2) -> Tensor:
    """Mean square error of the curves, and of the highest and lowest value of each, by the components' usual size.

    Args:
        prediction: [B, T, 3] float, cm/s at RR = 1000 ms.
        target: curves, like ``prediction``.
        peaks: weight of the peaks.

    Returns:
        Scalar.
    """
    usual = prediction.new_tensor(USUAL)
    found, wanted = prediction / usual, target["curves"] / usual
    extremes = ((c.amax(1), c.amin(1)) for c in (found, wanted))
    high, low = zip(*extremes, strict=True)
    error = (high[0] - high[1]).square() + (low[0] - low[1]).square()
    return (found - wanted).square().mean() + peaks * error.mean()


def peak_bias(output: list[dict] | dict, component: int, highest: bool) -> Tensor:
    """How much higher than the true peak a curve's is on average, cm/s, from engine output; scalar."""
    curves = [output["pred"][..., component], output["label"]["curves"][..., component]]  # type: ignore[call-overload]
    found, wanted = (c.amax(1) if highest else c.amin(1) for c in curves)
    return (found - wanted).mean()
