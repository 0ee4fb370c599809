"""Training samples: four acquired frames around a gap, and the truth at some times in it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from scripts.networks.beat import describe_beat
from scripts.networks.blocks import CYCLE_FRAMES
from scripts.networks.cycle import SLOPE_REACH, slopes
from scripts.networks.motion import PIXEL_CM, STEPS, outer_reach, spline_starts, warp
from scripts.networks.turns import turn, turn_vectors
from scripts.phantom.scanner import add_noise

from .beats import three_cycles
from .sources import Source
from .sunnybrook import NOT_POOL, UNKNOWN

GAP_SLOPES = slopes(torch.eye(2 * SLOPE_REACH + 2)[None, :, None], torch.zeros(1, dtype=torch.int64))[SLOPE_REACH, :, 0]
"""What each frame of a row gives to the slopes at both ends of the gap in its middle, [2, frames of the row]."""


def displacements(velocity: Tensor, targets: list[int], frames: int) -> Tensor:
    """Where the material at a target frame was in the first frame of a gap, and will be in the last one.

    Args:
        velocity: [G + 1, 2, X, Y] float, in-plane velocity in all frames of the gap, cm/s at RR = 1000 ms.
        targets: frames of the gap, 0 to G.
        frames: frames of the whole cycle.

    Returns:
        [K, 4, X, Y] float, pixels: displacement along X and Y to the first frame, and to the last one.
    """
    pixels = velocity / (PIXEL_CM * frames)
    gap = velocity.shape[0] - 1
    result = []
    for target in targets:
        both = []
        for end, step in ((0, -1), (gap, 1)):
            moved = torch.zeros_like(pixels[:1])
            for k in range(target, end, step):
                # Midpoint rule: the mean of the velocity here and where a first guess arrives a frame further.
                here = warp(pixels[k : k + 1], moved)
                there = warp(pixels[k + step : k + step + 1], moved + step * here)
                moved = moved + step * (here + there) / 2
            both.append(moved[0])
        result.append(torch.cat(both))
    return torch.stack(result)


class Windows(Dataset):
    """Random windows of a list of sources; ``epoch`` and a sample's number decide its draw, whoever reads it.

    Args:
        sources: slice cines.
        size: pixels along each side of a sample.
        length: samples an epoch.
        velocities: whether samples carry what the synthesis learns from.
        seed: seed of the draws.
    """

    def __init__(self, sources: list[Source], size: int, length: int, velocities: bool = False, seed: int = 0) -> None:
        if not sources:
            raise ValueError("sources: expected at least one slice cine, found none")
        self.sources, self.size, self.length, self.velocities = sources, size, length, velocities
        self.seed, self.epoch, self.generator = seed, 0, torch.Generator()

    def __len__(self) -> int:
        return self.length

    def _integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=self.generator))

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=self.generator))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Draws a sample.

        Args:
            index: its number within the epoch.

        Returns:
            A dictionary: keys [4, X, Y], the acquired frames; slopes [2, X, Y], change of the inner two, a gap; gap [],
            as a share of the cycle; tau [K]; cycle [8, X / 8, Y / 8], eighths of the cycle; magnitude [K, X, Y] (NaN
            where nobody acquired a frame); label [K, X, Y] uint8; motion [K, 4, X, Y], true displacement to both
            frames, pixels (NaN where unknown); noise [], standard deviation of the noise (0 where unknown). With
            ``velocities`` also around [6, X, Y], the acquired frames at both ends of the intervals of
            ``spline_starts``; beat [82]; velocity [K, 3, X, Y], cm/s at RR = 1000 ms (NaN where unknown); and wall [K,
            X, Y] bool, the wall that moves so.
        """
        self.generator.manual_seed((self.seed * 9973 + self.epoch) * 1_000_003 + index)
        return self._draw(self.sources[self._integer(0, len(self.sources))])

    def _draw(self, source: Source) -> dict[str, Tensor]:
        frames = source.magnitude.shape[0]
        if source.still:
            # A patient's cycle, as far as two pictures tell of it, or a cine that stands still.
            cycle = [0] + [self._integer(0, 2)] * (CYCLE_FRAMES - 1)
            row, around = [0] * (2 * SLOPE_REACH + 2), [0] * (STEPS + 1)
            index = {"keys": [0] * 4, "targets": [0, 0, 0], "cycle": cycle, "row": row, "around": around}
            return self._cut(source, index, [0.0, 0.5, 1.0], 1 / 9)
        gaps = [g for g in (1, 2, 3, 4, 5, 6, 8) if frames // g >= 3 and (frames % g == 0 or frames == 20)]
        # Six-fold down-sampling of a cine of about 54 frames is the main case.
        weights = torch.tensor([3.0 if g * 9 == frames or g == 6 or frames == 20 else 1.0 for g in gaps])
        gap = gaps[int(torch.multinomial(weights, 1, generator=self.generator))]
        seen = round(frames / gap)
        reach, starts = outer_reach(seen), spline_starts(seen, source.magnitude.device).tolist()
        inside = [self._integer(0, gap + 1), self._integer(0, gap)]
        if self._uniform(0, 1) < 0.7 and len(source.labelled) < frames:
            inside[0] = inside[1]
            start = source.labelled[self._integer(0, len(source.labelled))] - inside[0]
        else:
            start = self._integer(0, frames)
        at = [self._integer(0, 2) * gap, inside[0], inside[1]]
        if self.velocities and source.velocity is None:
            # Neighbouring frames, for the consistency of motion.
            at[1:] = [inside[1], inside[1] + 1]
        count = frames / gap
        index = {
            "keys": [start - reach * gap, start, start + gap, start + gap * (1 + reach)],
            "targets": [start + a for a in at],
            "cycle": [start + round(k * count / CYCLE_FRAMES) * gap for k in range(CYCLE_FRAMES)],
            # Where the gap does not divide the frames, the last one is longer or shorter.
            "row": [start + gap * (k % round(count)) for k in range(-SLOPE_REACH, SLOPE_REACH + 2)],
            "around": [start + gap * k for k in (*starts, 2 * starts[-1] - starts[-2])],
        }
        return self._cut(source, index, [a / gap for a in at], gap / frames)

    def _cut(self, source: Source, index: dict[str, list[int]], tau: list[float], gap: float) -> dict[str, Tensor]:
        frames = source.magnitude.shape[0]
        keys, targets = index["keys"], index["targets"]
        wanted = [k % frames for part in index.values() for k in part]
        # A frame that is wanted twice is one acquisition; of a picture that stands still every frame is another.
        acquired = wanted if source.still else list(dict.fromkeys(wanted))
        images = source.magnitude[acquired].float()
        labels = source.labels[[t % len(source.labels) for t in targets]]
        count = len(targets)
        wall = torch.zeros((count, self.size, self.size), dtype=torch.bool)
        velocity = torch.full((count, 3, self.size, self.size), torch.nan)
        motion = torch.full((count, 4, self.size, self.size), torch.nan)
        if source.velocity is not None and source.wall is not None:
            window, turns = self._square(images.shape[-1])
            images, labels, wall = (
                turn(v[(..., *window)], turns) for v in (images, labels, source.wall[[t % frames for t in targets]])
            )
            steps = [t % frames for t in range(keys[1], keys[2] + 1)]
            field = turn_vectors(source.velocity[(slice(None), steps, *window)].float().movedim(0, 1), turns)
            inner = [t - keys[1] for t in targets]
            velocity, motion = field[inner], displacements(field[:, :2], inner, frames)
        else:
            images, labels = self._affine(images, labels)
        noisy = images
        if source.noise > 0:
            noisy = add_noise(images, torch.tensor(source.noise), self.generator)
        if not source.still:
            row = [acquired.index(k) for k in wanted]
            images, noisy = images[row], noisy[row]
        sizes = [len(part) for part in index.values()]
        seen = dict(zip(index, noisy.split(sizes), strict=True))
        coarse = F.avg_pool2d(seen["cycle"][None], 8)[0]
        if source.still:
            # From this picture to the other one and back.
            weight = torch.sin(torch.arange(CYCLE_FRAMES) * math.pi / CYCLE_FRAMES)[:, None, None] ** 2
            coarse = coarse[:1] + weight * (coarse[-1:] - coarse[:1])
        scale = seen["keys"].square().mean().sqrt().clamp_min(1e-3) * math.exp(0.3 * float(self._normal()))
        sample = {
            "keys": seen["keys"] / scale,
            "slopes": torch.einsum("sk,kxy->sxy", GAP_SLOPES, seen["row"]) / scale,
            "cycle": coarse / scale,
            "magnitude": images[4 : 4 + count] / scale if source.acquired else torch.full(labels.shape, torch.nan),
            "gap": torch.tensor(gap),
            "tau": torch.tensor(tau),
            "label": labels,
            "motion": motion,
            "noise": torch.tensor(source.noise if source.velocity is not None else 0.0) / scale,
        }
        if self.velocities:
            sample["around"] = seen["around"] / scale
            sample["wall"] = wall
            sample["beat"] = self._beat(source, keys[1], round(1 / gap), gap * frames)
            sample["velocity"] = velocity
        return sample

    def _beat(self, source: Source, start: int, count: int, step: float) -> Tensor:
        """Describes the beat, [82] float, as ``count`` frames see it, ``step`` apart from frame ``start`` on."""
        index = torch.tensor([round(start + k * step) for k in range(count + 1)])
        frames = len(source.areas)
        moves = three_cycles(source.moves)[index + frames].diff(dim=0)
        cyclic = torch.ones(1, dtype=torch.int64)
        return describe_beat(source.areas[None, index[:-1] % frames], moves[None], cyclic)[0, 0]

    def _normal(self) -> Tensor:
        return torch.randn((), generator=self.generator)

    def _square(self, size: int) -> tuple[tuple[slice, slice], int]:
        """Draws a square of the source, and how many times it is turned by 90 degrees."""
        spare = size - self.size
        x, y = self._integer(0, spare + 1), self._integer(0, spare + 1)
        return (slice(x, x + self.size), slice(y, y + self.size)), self._integer(0, 4)

    def _affine(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts a turned and scaled square from real frames, mostly near the ventricle, and changes the contrast."""
        height, width = images.shape[-2:]
        pool = (labels == 2).flatten(1).any(1)
        centre = torch.tensor([height / 2, width / 2])
        if pool.any() and self._uniform(0, 1) < 0.85:
            centre = torch.nonzero(labels[int(pool.nonzero()[0])] == 2).float().mean(0)
            centre = centre + 14 * torch.randn(2, generator=self.generator)
        else:
            centre = centre + 45 * torch.randn(2, generator=self.generator)
        if self._uniform(0, 1) < 0.5:
            # On the pixels' own grid: to resample is to smooth, and the scanner's noise would be gone.
            angle, zoom, centre = self._integer(0, 4) * math.pi / 2, 1.0, centre.floor() + (self.size - 1) / 2 % 1
        else:
            angle, zoom = self._uniform(-math.pi, math.pi), math.exp(0.16 * float(self._normal()))
        cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
        axis = torch.arange(self.size) - (self.size - 1) / 2
        x, y = axis[:, None], axis[None]
        rows, columns = centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y
        grid = torch.stack((columns / (width - 1) * 2 - 1, rows / (height - 1) * 2 - 1), -1)[None]
        images = F.grid_sample(images[None], grid, padding_mode="zeros", align_corners=True)[0]
        # One-hot, so that labels are sampled as smoothly as the picture and 255 stays a class of its own.
        classes = torch.stack([(labels == c).float() for c in (0, 1, 2, NOT_POOL, UNKNOWN)], 1).flatten(0, 1)
        sampled = F.grid_sample(classes[None], grid, padding_mode="border", align_corners=True)[0].unflatten(0, (-1, 5))
        labels = torch.tensor([0, 1, 2, NOT_POOL, UNKNOWN], dtype=torch.uint8)[sampled.argmax(1)]
        top = images.amax().clamp_min(1e-3)
        images = (images / top) ** math.exp(0.3 * float(self._normal())) * top
        # The coil's shading, which differs from scanner to scanner.
        shade = 0.25 * self._normal() * x / self.size + 0.25 * self._normal() * y / self.size
        return images * torch.exp(2 * shade), labels
