"""Training samples: four acquired frames around a gap, and the truth at some times in it."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from scripts.networks import HDLNet
from scripts.networks.blocks import pad_to_multiple, warp
from scripts.networks.hdlnet import describe_beat, neighbours, normalisation
from scripts.networks.phase_synthesis import PIXEL_CM
from scripts.phantom.animate import animate
from scripts.phantom.cine import image_cines
from scripts.phantom.scanner import add_noise

from .beats import segmented_badly
from .sunnybrook import HELD_OUT, NOT_POOL, UNKNOWN, RealSlice, load_cines, load_pairs

TARGETS = 3
"""Times of a gap that a sample asks for: an acquired frame and two between."""

CYCLE = 8
"""Times of the whole cycle, as in ``PhaseSynthesis``."""


@dataclass
class Source:
    """A slice cine that samples are cut from.

    Attributes:
        magnitude: [T, X, Y] float16, noise-free where known.
        noise: standard deviation of each channel to add, 0 for real cine, in the unit of ``magnitude``.
        labels: [T, X, Y] uint8: 0 background, 1 myocardium, 2 pool, NOT_POOL, UNKNOWN.
        velocity: [3, T, X, Y] float16, cm/s at RR = 1000 ms; None where unknown.
        wall: [T, X, Y] bool, the wall that moves by ``velocity``; None where unknown.
        labelled: frames that carry labels.
        areas: [T, 2] float, area of the pool and of the whole ventricle, pixels, zero where unknown.
    """

    magnitude: Tensor
    noise: float
    labels: Tensor
    velocity: Tensor | None
    wall: Tensor | None
    labelled: list[int]
    areas: Tensor


def phantom_sources(count: int, seed: int, size: int) -> list[Source]:
    """Images ``count`` phantom slices of 48, 54 or 60 frames and ``size`` x ``size`` pixels."""
    generator = torch.Generator().manual_seed(seed)
    sources = []
    for k in tqdm(range(count), desc="phantom", mininterval=5):
        cine = image_cines(generator, 1, (48, 54, 60)[k % 3], size)
        sources.append(_source(cine.magnitude, cine.labels, cine.velocity, float(cine.scanner.noise)))
    return sources


def _source(magnitude: Tensor, labels: Tensor, velocity: Tensor, noise: float) -> Source:
    frames = list(range(magnitude.shape[1]))
    wall = labels[0] == 1
    return Source(magnitude[0].half(), noise, labels[0], velocity[0].half(), wall, frames, areas(labels[0]))


def areas(labels: Tensor) -> Tensor:
    """Measures the ventricle: [T, X, Y] uint8 labels to [T, 2] float, pixels, of the pool and of pool and wall."""
    return torch.stack(((labels == 2).flatten(1).sum(1), ((labels == 1) | (labels == 2)).flatten(1).sum(1)), 1).float()


@torch.no_grad()
def segmented_areas(sources: list[Source], network: HDLNet) -> list[Source]:
    """Measures the ventricle where no label tells its size: on real frames, as the network segments them.

    Args:
        sources: slice cines; those of patients are changed in place.
        network: a network that has learnt to segment.

    Returns:
        The same sources.
    """
    module, cyclic = network.interpolation, torch.ones(1, dtype=torch.int64)
    for source in {id(s): s for s in sources if s.velocity is None}.values():
        frames = pad_to_multiple(source.magnitude[None].float())
        frames = frames / normalisation(frames)
        keys = frames[0][neighbours(frames.shape[1], cyclic)]
        gap = torch.full((len(keys),), 1 / max(len(keys), 9))
        logits = module.decode(keys, module.encode(keys, gap), torch.zeros_like(gap), gap)[1]
        source.areas = areas(logits.argmax(1))
    return sources


def animated_sources(slices: list[RealSlice], count: int, seed: int, size: int) -> list[Source]:
    """Sets ``count`` real end-diastolic pictures in motion; ``slices`` are real slices with contours."""
    generator = torch.Generator().manual_seed(seed)
    pictures = []
    for item in slices:
        frame = max(item.labels, key=lambda f: int((item.labels[f] == 2).sum()))
        if int((item.labels[frame] == 2).sum()) >= 60:
            pictures.append((item.frames[frame], item.labels[frame]))
    sources = []
    for k in tqdm(range(count if pictures else 0), desc="animated", mininterval=5):
        picture, label = pictures[k % len(pictures)]
        outer = None if (label == NOT_POOL).any() else label > 0
        cine = animate(generator, picture, label == 2, outer, 48, size)
        # Without a contour of the epicardium the drawn wall moves as drawn but is not where the real one is.
        labels = cine.labels if outer is not None else torch.where(cine.labels == 2, 2, NOT_POOL).to(torch.uint8)
        source = _source(cine.magnitude, labels, cine.velocity, float(cine.scanner.noise))
        source.wall, source.areas = cine.labels[0] == 1, areas(cine.labels[0])
        sources.append(source)
    return sources


def real_sources(slices: list[RealSlice]) -> list[Source]:
    """Turns real slices into sources; a pair of frames becomes two still cines."""
    sources = []
    for item in slices:
        if item.cyclic:
            labels = torch.full(item.frames.shape, UNKNOWN, dtype=torch.uint8)
            for frame, label in item.labels.items():
                labels[frame] = label
            size = torch.zeros(len(labels), 2)
            sources.append(Source(_unit(item.frames).half(), 0.0, labels, None, None, sorted(item.labels), size))
            continue
        for frame, label in item.labels.items():
            still = _unit(item.frames[frame][None]).half()
            sources.append(Source(still, 0.01, label[None], None, None, [0], torch.zeros(1, 2)))
    return sources


def _unit(frames: Tensor) -> Tensor:
    return frames / frames.float().square().mean().sqrt().clamp_min(1e-3)


def turn_vectors(field: Tensor, turns: int) -> Tensor:
    """Turns a field of vectors with its picture, as ``torch.rot90`` turns a picture.

    Args:
        field: [T, C, X, Y] float; the first two of C channels are the components along X and Y.
        turns: number of turns by 90 degrees.

    Returns:
        The same shape (square pictures).
    """
    field = torch.rot90(field, turns, (-2, -1))
    for _ in range(turns):
        # rot90 carries what was along Y to -X, and what was along X to Y.
        field = torch.cat((-field[:, 1:2], field[:, :1], field[:, 2:]), dim=1)
    return field


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
    """Random windows of a list of sources; each read is a new draw.

    Args:
        sources: slice cines.
        size: pixels along each side of a sample.
        length: samples an epoch.
        cycle: whether samples carry the whole cycle at an eighth of the resolution (the synthesis needs it).
        seed: seed of the draws.
    """

    def __init__(self, sources: list[Source], size: int, length: int, cycle: bool = False, seed: int = 0) -> None:
        if not sources:
            raise ValueError("sources: expected at least one slice cine, found none")
        self.sources, self.size, self.length, self.cycle = sources, size, length, cycle
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.length

    def _integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=self.generator))

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=self.generator))

    def __getitem__(self, _: int) -> dict[str, Tensor]:
        """Draws a sample.

        Returns:
            A dictionary: keys [4, X, Y], the acquired frames; gap [], as a share of the cycle; tau [K];
            magnitude [K, X, Y]; label [K, X, Y] uint8; motion [K, 4, X, Y], true displacement to both frames, pixels
            (NaN where unknown); noise [], standard deviation of the noise (0 where unknown); real [], 1 where the
            frames are a patient's own. With ``cycle`` also cycle [8, X / 8, Y / 8], beat [34], velocity [K, 3, X, Y],
            cm/s at RR = 1000 ms (NaN where unknown), and wall [K, X, Y] bool, the wall that moves so.
        """
        source = self.sources[self._integer(0, len(self.sources))]
        frames = source.magnitude.shape[0]
        if frames == 1:
            return self._cut(source, [0] * 4, [0, 0, 0], [0.0, 0.5, 1.0], 1 / 9, [0] * CYCLE)
        gaps = [g for g in (1, 2, 3, 4, 5, 6, 8) if frames // g >= 3 and (frames % g == 0 or frames == 20)]
        # Six-fold down-sampling of a cine of about 54 frames is the main case.
        weights = torch.tensor([3.0 if g * 9 == frames or g == 6 or frames == 20 else 1.0 for g in gaps])
        gap = gaps[int(torch.multinomial(weights, 1, generator=self.generator))]
        reach = (round(frames / gap) + 9) // 12
        inside = [self._integer(0, gap + 1), self._integer(0, gap)]
        if self._uniform(0, 1) < 0.7 and len(source.labelled) < frames:
            inside[0] = inside[1]
            start = source.labelled[self._integer(0, len(source.labelled))] - inside[0]
        else:
            start = self._integer(0, frames)
        at = [self._integer(0, 2) * gap, inside[0], inside[1]]
        if self.cycle and source.velocity is None:
            # Neighbouring frames, for the consistency of motion.
            at[1:] = [inside[1], inside[1] + 1]
        index = [start - reach * gap, start, start + gap, start + gap * (1 + reach)]
        count = frames / gap
        cycle = [start + round(k * count / CYCLE) * gap for k in range(CYCLE)]
        return self._cut(source, index, [start + a for a in at], [a / gap for a in at], gap / frames, cycle)

    def _cut(
        self, source: Source, keys: list[int], targets: list[int], tau: list[float], gap: float, cycle: list[int]
    ) -> dict[str, Tensor]:
        frames = source.magnitude.shape[0]
        wanted = [k % frames for k in keys + targets + cycle * self.cycle]
        images = source.magnitude[wanted].float()
        labels = source.labels[[t % frames for t in targets]]
        count = len(targets)
        wall = torch.zeros((count, self.size, self.size), dtype=torch.bool)
        velocity = torch.full((count, 3, self.size, self.size), torch.nan)
        motion = torch.full((count, 4, self.size, self.size), torch.nan)
        if source.velocity is not None and source.wall is not None:
            window, turns = self._square(images.shape[-1])
            images, labels, wall = (
                torch.rot90(v[(..., *window)], turns, (-2, -1))
                for v in (images, labels, source.wall[[t % frames for t in targets]])
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
        scale = noisy[:4].square().mean().sqrt().clamp_min(1e-3) * math.exp(0.3 * float(self._normal()))
        sample = {
            "keys": noisy[:4] / scale,
            "magnitude": images[4 : 4 + len(targets)] / scale,
            "gap": torch.tensor(gap),
            "tau": torch.tensor(tau),
            "label": labels,
            "motion": motion,
            "noise": torch.tensor(source.noise if source.velocity is not None else 0.0) / scale,
            "real": torch.tensor(float(source.velocity is None and frames > 1)),
        }
        if self.cycle:
            sample["wall"] = wall
            sample["beat"] = self._beat(source.areas, keys[1], round(1 / gap), gap * frames)
            sample["cycle"] = F.avg_pool2d(noisy[None, 4 + len(targets) :], 8)[0] / scale
            sample["velocity"] = velocity
        return sample

    def _beat(self, size: Tensor, start: int, count: int, step: float) -> Tensor:
        """Describes the beat from ``count`` frames on, with errors such as a segmentation makes."""
        index = [round(start + k * step) % len(size) for k in range(count)]
        seen = segmented_badly(size[index], 0.02, self.generator)
        return describe_beat(seen[None], torch.ones(1, dtype=torch.int64))[0, 0]

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


def training_sources(root: str | Path | None, phantoms: int, animated: int, seed: int, size: int) -> list[Source]:
    """Gathers what the shipped weights are trained on.

    Args:
        root: folder ``sunnybrook``; None trains on the phantom alone.
        phantoms: number of phantom slices.
        animated: number of real pictures set in motion.
        seed: seed of the phantom.
        size: pixels along each side of the sources.

    Returns:
        Sources; real cine and still pictures are repeated so that they make up about 40 % of the samples.
    """
    sources = phantom_sources(phantoms, seed, size)
    if root is None:
        return sources
    cines = [s for s in load_cines(Path(root)) if s.patient not in HELD_OUT]
    pairs = [s for s in load_pairs(Path(root)) if s.patient not in HELD_OUT]
    sources += animated_sources(cines + pairs, animated, seed + 1, size)
    moving, still = real_sources(cines), real_sources(pairs)
    known = [s for s in moving if any((s.labels[f] < NOT_POOL).any() for f in s.labelled)]
    sources += moving * round(0.3 * len(sources) / max(len(moving), 1)) + known * 2
    return sources + still * max(1, round(0.2 * phantoms / max(len(still), 1)))
