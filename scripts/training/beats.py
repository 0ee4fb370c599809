"""Beats without pictures: how the size of simulated ventricles changes, and how their wall moves meanwhile."""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from scripts.networks import HDLNet, VelocityAssessment
from scripts.networks.beat import describe_beat
from scripts.networks.motion import PIXEL_CM, spline_frames, spline_starts, spline_velocity
from scripts.phantom.cine import pixel_axes
from scripts.phantom.draw import Dice, Ranges, draw_heart

FRAMES = 60
PIXEL_MM = 3.0
BATCH = 8
USUAL = (1.2, 0.8, 2.4)
"""Usual size of radial, circumferential and longitudinal velocity, cm/s at RR = 1000 ms."""


def simulate_beats(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Simulates ventricles at 60 times of a cycle, coarsely, without imaging them.

    Args:
        count: number of ventricles N, rounded up to a multiple of 8.
        seed: seed of the phantom.

    Returns:
        Area of the pool and of pool and wall, [N, 60, 2] float, pixels of the network's grid; and mean radial,
        circumferential and longitudinal velocity, [N, 60, 3] float, cm/s at RR = 1000 ms.
    """
    dice = Dice(torch.Generator().manual_seed(seed), BATCH)
    axes, assess = pixel_axes(44, 44, PIXEL_MM), VelocityAssessment()
    time = torch.arange(FRAMES).expand(BATCH, FRAMES) / FRAMES
    areas, curves = [], []
    for _ in tqdm(range((count + BATCH - 1) // BATCH), desc="beats", mininterval=5):
        ventricle, _ = draw_heart(dice, Ranges(outside=0.0))
        state = ventricle.image(*axes, time)
        below_base = state.reference_z <= ventricle.geometry.height[:, None, None, None]
        outer = torch.sigmoid(state.epicardium / 0.8) * below_base
        inner = torch.sigmoid(state.endocardium / 0.8) * outer
        areas.append(torch.stack((inner, outer), 2).sum((-2, -1)) * (PIXEL_MM / (10 * PIXEL_CM)) ** 2)
        curves.append(assess(outer - inner, state.velocity / 10).movedim(1, 2))
    return torch.cat(areas), torch.cat(curves)


class Beats(Dataset):
    """Random views of simulated beats: some times of acquisition, and times in their gaps.

    Args:
        count: number of ventricles.
        seed: seed of the phantom and of the draws.
        length: samples an epoch.
        views: times V that a sample asks for.
    """

    def __init__(self, count: int, seed: int, length: int, views: int = 64) -> None:
        self.areas, self.curves = simulate_beats(count, seed)
        self.length, self.views = length, views
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, _: int) -> dict[str, Tensor]:
        """Draws a sample of one ventricle.

        Returns:
            A dictionary: tau [V], gap [V], beat [V, 82] as ``describe_beat`` gives it, with errors such as a
            segmentation and an estimate of motion make; seen [V, 2], what a spline says of the same motion; curves
            [V, 3]; both in cm/s at RR = 1000 ms.
        """
        g, draw = self.generator, torch.rand(4, generator=self.generator)
        beat = int(draw[0] * len(self.areas))
        # Six-fold down-sampling of a cine of about 54 frames is the main case.
        frames = 9 if draw[1] < 0.4 else 8 + int(draw[1] * 52)
        first = torch.rand(1, generator=g) + torch.arange(frames) / frames
        seen = segmented_badly(at(self.areas[beat], first), 0.3, float(0.3 * draw[2]), g)
        moves = motion_badly_seen(ways(self.curves[beat][:, :2], first, frames), float(draw[3]), g)
        described = describe_beat(seen[None], moves[None], torch.ones(1, dtype=torch.int64))[0]
        index = torch.randint(frames, (self.views,), generator=g)
        tau = torch.rand(self.views, generator=g)
        wanted = at(self.curves[beat], first[index] + tau / frames)
        gap, smooth = torch.full_like(tau, 1 / frames), smooth_velocity(moves, index, tau)
        return {"tau": tau, "gap": gap, "beat": described[index], "seen": smooth, "curves": wanted}


def three_cycles(moves: Tensor) -> Tensor:
    """Adds motions up over three cycles: an interval may begin in the one before, or end in the one after.

    Args:
        moves: [T, 2] float, mean motion inward and around from each frame to the next, pixels.

    Returns:
        [3 T + 1, 2] float, pixels, the way from the first frame of the first cycle.
    """
    return torch.cat((torch.zeros(1, 2), moves.repeat(3, 1).cumsum(0)))


def smooth_velocity(moves: Tensor, index: Tensor, tau: Tensor) -> Tensor:
    """Reads mean velocities of the wall off the spline that ``PhaseSynthesis`` lays through its motions.

    Args:
        moves: [T, 2] float, mean motion inward and around over each gap of a cycle, pixels.
        index: [V] int64, gaps.
        tau: [V] float, times in them, 0 to 1.

    Returns:
        [V, 2] float, cm/s at RR = 1000 ms.
    """
    frames = len(moves)
    spacing, _ = spline_frames(frames)
    way = three_cycles(moves)
    start = frames + index[:, None] + spline_starts(frames, moves.device)
    steps = (way[start + spacing] - way[start]).flatten(1)[..., None, None]
    return spline_velocity(steps, tau, torch.full_like(tau, 1 / frames))[..., 0, 0] * (PIXEL_CM * frames)


def segmented_badly(areas: Tensor, shared: float, single: float, generator: torch.Generator) -> Tensor:
    """Gives areas the errors of a segmentation, which draws both borders too far out or in, mostly together.

    Args:
        areas: [T, 2] float, pixels.
        shared: standard deviation of the radii's error that all frames share, pixels.
        single: standard deviation of a frame's own error, pixels.
        generator: the source of randomness.

    Returns:
        [T, 2] float, pixels.
    """

    def errors(count: int) -> Tensor:
        both, each = torch.randn(count, 1, generator=generator), torch.randn(count, 2, generator=generator)
        return 0.8 * both + 0.6 * each

    radii = torch.sqrt(areas / math.pi) + shared * errors(1) + single * errors(len(areas))
    return math.pi * radii.clamp_min(0.3) ** 2


def ways(curves: Tensor, first: Tensor, frames: int, samples: int = 6) -> Tensor:
    """Integrates velocity over gaps between frames.

    Args:
        curves: [T, C] float, over one cycle, cm/s at RR = 1000 ms.
        first: [K] float, when the gaps begin, cycles.
        frames: how many gaps a cycle has.
        samples: times in a gap.

    Returns:
        [K, C] float, pixels.
    """
    inside = (torch.arange(samples) + 0.5) / (samples * frames)
    speed = at(curves, (first[:, None] + inside).flatten()).unflatten(0, (-1, samples)).mean(1)
    return speed / (frames * PIXEL_CM)


def motion_badly_seen(moves: Tensor, error: float, generator: torch.Generator) -> Tensor:
    """Gives mean motions of the wall the errors of ``Look.moves``: it sees a share of them, the same all beat long.

    Args:
        moves: [T, 2] float, inward and around, pixels.
        error: size of the single frames' errors, 0 to 1.
        generator: the source of randomness.

    Returns:
        [T, 2] float, pixels.
    """
    # Wide enough to hold what is seen of simulated slices of 9 and of 20 frames: the share varies from heart to heart.
    share = torch.tensor([1.0, 0.95]) - torch.tensor([0.9, 0.5]) * torch.rand(2, generator=generator)
    spread = torch.tensor([1.0, 0.6]) * (0.03 + 0.8 / len(moves)) * error
    return moves * share + spread * torch.randn(moves.shape, generator=generator)


def at(values: Tensor, time: Tensor) -> Tensor:
    """Reads a closed curve linearly: [T, C] values over one cycle, at [K] times in cycles, gives [K, C]."""
    position = torch.remainder(time, 1) * len(values)
    below = position.long()
    weight = (position - below)[:, None]
    return values[below % len(values)] * (1 - weight) + values[(below + 1) % len(values)] * weight


class BeatStage(nn.Module):
    """The stage before the synthesis: ``BeatPrior`` alone.

    Args:
        network: the network whose prior learns.
    """

    def __init__(self, network: HDLNet) -> None:
        super().__init__()
        self.module = network.synthesis.beat

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Predicts the curves of a batch of ``Beats``: [B, V, 3], cm/s at RR = 1000 ms."""
        flat = [batch[k].flatten(0, 1) for k in ("tau", "gap", "beat", "seen")]
        return self.module(*flat)[1].unflatten(0, batch["tau"].shape)


def curve_loss(prediction: Tensor, target: dict[str, Tensor]) -> Tensor:
    """Mean absolute error of the curves, each component by its usual size."""
    return ((prediction - target["curves"]).abs() / prediction.new_tensor(USUAL)).mean()


def curve_error(output: list[dict] | dict, component: int) -> Tensor:
    """Root mean square error of one curve as a share of its root mean square, from engine output; scalar."""
    pred, truth = output["pred"][..., component], output["label"]["curves"][..., component]  # type: ignore[call-overload]
    return ((pred - truth).square().mean() / truth.square().mean()).sqrt()
