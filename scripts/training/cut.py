"""Cuts what ``Windows`` drew out of its sources, all samples of a batch at once, on the device where these are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.networks.beat import BEAT_NUMBERS, describe_beat
from scripts.networks.blocks import CYCLE_FRAMES
from scripts.networks.cycle import SLOPE_REACH, slopes
from scripts.networks.motion import PIXEL_CM, warp
from scripts.networks.turns import turn, turn_vectors
from scripts.phantom.scanner import add_noise

from .beats import three_cycles
from .sources import Source
from .sunnybrook import NOT_POOL, UNKNOWN

GAP_SLOPES = slopes(torch.eye(2 * SLOPE_REACH + 2)[None, :, None], torch.zeros(1, dtype=torch.int64))[SLOPE_REACH, :, 0]
"""What each frame of a row gives to the slopes at both ends of the gap in its middle, [2, frames of the row]."""

KINDS = (0, 1, 2, NOT_POOL, UNKNOWN)
"""What a label may be."""


@dataclass
class Draw:
    """What a sample shall show.

    Attributes:
        source: where from.
        index: frames by what they are for: ``keys`` (4), ``targets`` (K), ``cycle`` (8), ``row`` and ``around``,
            counted on beyond the cycle's end.
        tau: times of the targets in the gap, 0 to 1.
        gap: length of the gap as a share of the cycle.
        random: draws where the sample is cut out, its contrast and its noise.
    """

    source: Source
    index: dict[str, list[int]]
    tau: list[float]
    gap: float
    random: Random

    def frames(self) -> list[int]:
        """All frames of ``index``, within the cycle."""
        count = len(self.source.magnitude)
        return [k % count for part in self.index.values() for k in part]


def cut(draws: list[Draw], size: int, velocities: bool) -> dict[str, Tensor]:
    """Cuts samples out of sources of one kind.

    Args:
        draws: B of them; all sources still or none, all with velocities or none, their frames of one size.
        size: pixels along each side of a sample.
        velocities: whether samples carry what the synthesis learns from.

    Returns:
        As ``Windows`` gives it, each entry with B in front, but for ``beat``.
    """
    device, still = draws[0].source.magnitude.device, draws[0].source.still
    wanted = [d.frames() for d in draws]
    once = [list(dict.fromkeys(row)) for row in wanted]
    frames = _table(once, device)
    places = _table([[o.index(k) for k in row] for o, row in zip(once, wanted, strict=True)], device)
    every = torch.arange(len(draws), device=device)[:, None]
    images, labels, truth = (_square if draws[0].source.velocity is not None else _affine)(draws, frames, size)
    if still:
        # Of a picture that stands still every frame is another acquisition; else one that is wanted twice is one.
        images = images[every, places]
    noisy = _noisy(images, draws, [images.shape[1] if still else len(o) for o in once])
    if not still:
        images, noisy = images[every, places], noisy[every, places]
    sizes = [len(part) for part in draws[0].index.values()]
    seen = dict(zip(draws[0].index, noisy.split(sizes, dim=1), strict=True))
    coarse = F.avg_pool2d(seen["cycle"], 8)
    if still:
        # From this picture to the other one and back.
        weight = torch.sin(torch.arange(CYCLE_FRAMES, device=device) * math.pi / CYCLE_FRAMES)[:, None, None] ** 2
        coarse = coarse[:, :1] + weight * (coarse[:, -1:] - coarse[:, :1])
    changed = _numbers([math.exp(0.3 * d.random.gauss()) for d in draws], device)
    scale = seen["keys"].square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-3) * changed
    acquired = _numbers([0.0 if d.source.acquired else math.nan for d in draws], device)
    noise = torch.tensor([0.0 if d.source.velocity is None else d.source.noise for d in draws], device=device)
    sample = {
        "keys": seen["keys"] / scale,
        "slopes": torch.einsum("sk,bkxy->bsxy", GAP_SLOPES.to(device), seen["row"]) / scale,
        "cycle": coarse / scale,
        "magnitude": images[:, 4 : 4 + labels.shape[1]] / scale + acquired,
        "gap": torch.tensor([d.gap for d in draws], device=device),
        "tau": torch.tensor([d.tau for d in draws], device=device),
        "label": labels,
        "motion": truth["motion"],
        "noise": noise / scale[:, 0, 0, 0],
    }
    if velocities:
        sample |= {"around": seen["around"] / scale, "wall": truth["wall"], "velocity": truth["velocity"]}
    return sample


def displacements(velocity: Tensor, targets: Sequence[Sequence[int]], gaps: Sequence[int], frames: Tensor) -> Tensor:
    """Where the material at target frames was in the first frame of a gap, and will be in the last one.

    Args:
        velocity: [B, G + 1, 2, X, Y] float, in-plane velocity in all frames of the longest gap, cm/s at RR = 1000 ms.
        targets: K frames of each gap, 0 to its length.
        gaps: length of each, at most G.
        frames: [B] float, frames of the whole cycle.

    Returns:
        [B, K, 4, X, Y] float, pixels: displacement along X and Y to the first frame, and to the last one.
    """
    pixels = (velocity / (PIXEL_CM * frames[:, None, None, None, None])).flatten(0, 1)
    ways = []  # from where, how many frames, in which direction
    for sample, (gap, wanted) in enumerate(zip(gaps, targets, strict=True)):
        first = sample * velocity.shape[1]
        ways += [way for t in wanted for way in ((first + t, t, -1), (first + t, gap - t, 1))]
    # The longest first: those that still go on are the first ones of all.
    order = sorted(range(len(ways)), key=lambda k: -ways[k][1])
    start, lengths, steps = zip(*(ways[k] for k in order), strict=True)
    at, step = (torch.tensor(n, device=velocity.device) for n in (start, steps))
    direction = step[:, None, None, None].to(pixels.dtype)
    moved = torch.zeros(len(ways), *pixels.shape[1:], device=velocity.device)
    for done in range(lengths[0]):
        count = sum(length > done for length in lengths)
        so_far, there = moved[:count], at[:count] + done * step[:count]
        # Midpoint rule: the mean of the velocity here and where a first guess arrives a frame further.
        here = warp(pixels[there], so_far)
        further = warp(pixels[there + step[:count]], so_far + direction[:count] * here)
        moved[:count] = so_far + direction[:count] * (here + further) / 2
    result = torch.empty_like(moved)
    result[torch.tensor(order, device=velocity.device)] = moved
    return result.view(len(velocity), -1, 4, *velocity.shape[-2:])


def _table(rows: list[list[int]], device: torch.device) -> Tensor:
    """Rows of numbers as one table, [B, longest] int64; shorter ones repeat their last number."""
    longest = max(map(len, rows))
    return torch.tensor([row + row[-1:] * (longest - len(row)) for row in rows], device=device)


def _numbers(values: list[float], device: torch.device) -> Tensor:
    """A number for each sample, [B, 1, 1, 1] float."""
    return torch.tensor(values, device=device).view(-1, 1, 1, 1)


def _targets(draws: list[Draw]) -> Tensor:
    """The frames of the targets among those that are labelled, [B, K] int64."""
    counts = [len(d.source.labels) for d in draws]
    rows = [[t % n for t in d.index["targets"]] for d, n in zip(draws, counts, strict=True)]
    return torch.tensor(rows, device=draws[0].source.magnitude.device)


def _noisy(images: Tensor, draws: list[Draw], counts: list[int]) -> Tensor:
    """Adds each source's noise to as many of its images [B, A, X, Y] as are more than repeated ones."""
    noisy, generator = images.clone(), torch.Generator(images.device)
    for image, draw, count in zip(noisy, draws, counts, strict=True):
        if draw.source.noise > 0:
            generator.manual_seed(draw.random.getrandbits(48))
            image[:count] = add_noise(image[:count], draw.source.noise, generator)
    return noisy


def _square(draws: list[Draw], frames: Tensor, size: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Cuts squares that keep the pixels' grid, turned by quarters, with the velocities in them."""
    spare = draws[0].source.magnitude.shape[-1] - size
    corners = [(d.random.randint(0, spare), d.random.randint(0, spare)) for d in draws]
    windows = [(..., slice(x, x + size), slice(y, y + size)) for x, y in corners]
    turns = [d.random.randrange(4) for d in draws]

    def parts(name: str, rows: Tensor) -> list[Tensor]:
        return [getattr(d.source, name)[w].index_select(-3, r) for d, w, r in zip(draws, windows, rows, strict=True)]

    def cut_out(name: str, rows: Tensor) -> Tensor:
        return torch.stack([turn(part, k) for part, k in zip(parts(name, rows), turns, strict=True)])

    targets = _targets(draws)
    first, last = ([d.index["keys"][k] for d in draws] for k in (1, 2))
    gaps = [b - a for a, b in zip(first, last, strict=True)]
    counts = [len(d.source.magnitude) for d in draws]
    steps = [[t % n for t in range(a, b + 1)] for n, a, b in zip(counts, first, last, strict=True)]
    moving = zip(parts("velocity", _table(steps, frames.device)), turns, strict=True)
    field = torch.stack([turn_vectors(part.float().movedim(0, 1), k) for part, k in moving])
    inner = [[t - a for t in d.index["targets"]] for d, a in zip(draws, first, strict=True)]
    every = torch.arange(len(draws), device=frames.device)[:, None]
    count = torch.tensor(counts, dtype=torch.float32, device=frames.device)
    truth = {
        "wall": cut_out("wall", targets),
        "velocity": field[every, torch.tensor(inner, device=frames.device)],
        "motion": displacements(field[:, :, :2], inner, gaps, count),
    }
    return cut_out("magnitude", frames).float(), cut_out("labels", targets), truth


def _affine(draws: list[Draw], frames: Tensor, size: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Cuts turned and scaled squares, mostly near the ventricle, and changes the contrast; what moves is not known."""
    device = frames.device
    images = torch.stack([d.source.magnitude.index_select(0, r) for d, r in zip(draws, frames, strict=True)]).float()
    labels = torch.stack([d.source.labels.index_select(0, r) for d, r in zip(draws, _targets(draws), strict=True)])
    places = [_place(d, size) for d in draws]
    across, down, cos, sin = (_numbers([p[k] for p in places], device)[:, 0] for k in range(4))
    axis = torch.arange(size, device=device) - (size - 1) / 2
    x, y = axis[:, None], axis[None]
    height, width = images.shape[-2:]
    rows, columns = across + cos * x - sin * y, down + sin * x + cos * y
    grid = torch.stack((columns / (width - 1) * 2 - 1, rows / (height - 1) * 2 - 1), -1)
    images = F.grid_sample(images, grid, padding_mode="zeros", align_corners=True)
    # One-hot, so that labels are sampled as smoothly as the picture and 255 stays a class of its own.
    kinds = torch.tensor(KINDS, dtype=torch.uint8, device=device)
    classes = (labels[:, :, None] == kinds[:, None, None]).float().flatten(1, 2)
    sampled = F.grid_sample(classes, grid, padding_mode="border", align_corners=True)
    labels = kinds[sampled.unflatten(1, (-1, len(KINDS))).argmax(2)]
    top = images.flatten(1).amax(1).clamp_min(1e-3)[:, None, None, None]
    images = (images / top) ** _numbers([math.exp(0.3 * d.random.gauss()) for d in draws], device) * top
    # The coil's shading, which differs from scanner to scanner.
    over_x, over_y = (_numbers([0.5 * d.random.gauss() for d in draws], device) for _ in range(2))
    shape = (*labels.shape[:2], size, size)
    truth = {
        "wall": torch.zeros(shape, dtype=torch.bool, device=device),
        "velocity": torch.full((*shape[:2], 3, size, size), torch.nan, device=device),
        "motion": torch.full((*shape[:2], 4, size, size), torch.nan, device=device),
    }
    return images * torch.exp(over_x * x / size + over_y * y / size), labels, truth


def _place(draw: Draw, size: int) -> tuple[float, float, float, float]:
    """Draws where a square lies in a source and how it is turned and scaled: its centre, cosine, sine, times zoom."""
    source, random = draw.source, draw.random
    pools = [source.centres[t % len(source.centres)] for t in draw.index["targets"]]
    centre = next((pool for pool in pools if pool is not None), None)
    if centre is not None and random.random() < 0.85:
        x, y = (c + 14 * random.gauss() for c in centre)
    else:
        x, y = (n / 2 + 45 * random.gauss() for n in source.magnitude.shape[-2:])
    if random.random() < 0.5:
        # On the pixels' own grid: to resample is to smooth, and the scanner's noise would be gone.
        quarters, half = random.randrange(4), (size - 1) / 2 % 1
        return math.floor(x) + half, math.floor(y) + half, (1, 0, -1, 0)[quarters], (0, 1, 0, -1)[quarters]
    angle, zoom = random.uniform(-math.pi, math.pi), math.exp(0.16 * random.gauss())
    return x, y, math.cos(angle) * zoom, math.sin(angle) * zoom


def beats(draws: list[Draw]) -> Tensor:
    """Describes the beat as the acquired frames see it from the gap's first one on.

    Args:
        draws: B of them, of any kind.

    Returns:
        [B, 82] float, as ``describe_beat`` gives it.
    """
    areas, ways = torch.cat([d.source.areas for d in draws]), torch.cat([three_cycles(d.source.moves) for d in draws])
    alike: dict[int, list[tuple[int, list[int], list[int]]]] = {}
    size = way = 0
    for number, draw in enumerate(draws):
        start, frames, count = draw.index["keys"][1], len(draw.source.areas), round(1 / draw.gap)
        step = draw.gap * len(draw.source.magnitude)
        index = [round(start + k * step) for k in range(count + 1)]
        sizes, moved = [size + k % frames for k in index[:-1]], [way + frames + k for k in index]
        alike.setdefault(count, []).append((number, sizes, moved))
        size, way = size + frames, way + 3 * frames + 1
    described, cyclic = torch.empty(len(draws), BEAT_NUMBERS), torch.ones(1, dtype=torch.int64)
    for rows in alike.values():
        numbers, of_areas, of_ways = (torch.tensor(part) for part in zip(*rows, strict=True))
        described[numbers] = describe_beat(areas[of_areas], ways[of_ways].diff(dim=1), cyclic)[:, 0]
    return described
