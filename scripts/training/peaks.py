"""The stage of peaks: whole beats through the whole network, whose longitudinal curves learn to peak as they should.

What is likely at every single time is not likely as a whole: where nobody can tell when a wave comes, the mean of all
possible ones is lower than any of them. Its peak is what a reader takes from a curve.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from scripts.networks import BLOCKS, HDLNet, VelocityAssessment

from .beats import USUAL
from .simulated import Simulated
from .sources import Source, wall_curves


class WholeBeats(Dataset):
    """Simulated slices with a ventricle, six times too few frames of each as a scanner shows them, and their curves.

    Args:
        slices: simulated slices with 6 F frames each, such as ``phantom_slices``.
        seed: seed of the noise.
        workers: processes that simulate, as in ``Simulated.each``.
    """

    def __init__(self, slices: Simulated[Source], seed: int, workers: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        made = tqdm(slices.each(workers), desc="whole beats", total=len(slices), mininterval=5)
        self.beats = [whole_beat(source, generator) for source in made if source.throughout]

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
    curves = wall_curves(source.wall, source.velocity)
    return {"image": source.scanned(generator), "wall": source.wall, "curves": curves}


def longitudinal(slope: Tensor) -> Tensor:
    """Leaves of a gradient [3, ...] that of the longitudinal component alone."""
    kept = torch.zeros_like(slope)
    kept[2] = slope[2]
    return kept


class PeakStage(nn.Module):
    """The stage of peaks: what the beat says of the mean longitudinal velocity, judged by what the whole network makes.

    What it says of both others stays: motion in the plane is seen, and peaks about as high as it should.

    Args:
        network: a network that has been through all other stages.
    """

    def __init__(self, network: HDLNet) -> None:
        super().__init__()
        self.network, self.assessment = network, VelocityAssessment()
        network.requires_grad_(False)
        for parameter in network.synthesis.beat.curves.requires_grad_(True).parameters():
            parameter.register_hook(longitudinal)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Runs the whole network, and averages over the true wall.

        Args:
            batch: image [B, T, X, Y] and wall [B, T F, X, Y], as ``WholeBeats`` gives them.

        Returns:
            [B, T F, 3] float, mean radial, circumferential and longitudinal velocity, cm/s at RR = 1000 ms.
        """
        self.network.upsampling_factor = batch["wall"].shape[1] // batch["image"].shape[1]
        velocity = self.network(batch["image"]).unflatten(1, (BLOCKS, -1))[:, 4:7]
        return self.assessment(batch["wall"].float(), velocity).movedim(1, 2)


def when_highest(curves: Tensor, sharpness: float = 8.0) -> Tensor:
    """Tells when curves are highest, softly, so that it can be learnt: the mean time, where they are high.

    Args:
        curves: [B, T, C] float, about 1 at their peaks, over one cycle.
        sharpness: how much more a time counts where a curve is higher.

    Returns:
        [B, C] float, shares of the cycle.
    """
    time = torch.arange(curves.shape[1], device=curves.device) / curves.shape[1]
    return (torch.softmax(sharpness * curves, dim=1) * time[:, None]).sum(1)


def peak_loss(prediction: Tensor, target: dict[str, Tensor], peaks: float = 0.2, times: float = 5.0) -> Tensor:
    """Mean square error of the curves, of their highest and lowest values, and of when they are highest.

    Args:
        prediction: [B, T, 3] float, cm/s at RR = 1000 ms.
        target: curves, like ``prediction``.
        peaks: weight of the values, by the components' usual size.
        times: weight of the time, shares of the cycle.

    Returns:
        Scalar.
    """
    usual = prediction.new_tensor(USUAL)
    found, wanted = prediction / usual, target["curves"] / usual
    highest, lowest = found.amax(1) - wanted.amax(1), found.amin(1) - wanted.amin(1)
    late = when_highest(found) - when_highest(wanted)
    error = (found - wanted).square().mean() + peaks * (highest.square() + lowest.square()).mean()
    return error + times * late.square().mean()


def peak_bias(output: list[dict] | dict, component: int, highest: bool) -> Tensor:
    """How much higher than the true peak a curve's is on average, cm/s at RR = 1000 ms.

    Args:
        output: engine output with ``pred`` and ``label`` of ``PeakStage``.
        component: 0 radial, 1 circumferential, 2 longitudinal.
        highest: the highest value, else the lowest one.

    Returns:
        Scalar.
    """
    curves = [output["pred"][..., component], output["label"]["curves"][..., component]]  # type: ignore[call-overload]
    found, wanted = (c.amax(1) if highest else c.amin(1) for c in curves)
    return (found - wanted).mean()
