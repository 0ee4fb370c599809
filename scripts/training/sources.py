"""Slice cines that training samples are cut from: phantoms, real pictures set in motion, and patients' own frames."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from scripts.networks import VelocityAssessment
from scripts.phantom.animate import animate
from scripts.phantom.cine import PhantomCine, image_cines
from scripts.phantom.draw import Ranges
from scripts.phantom.scanner import add_noise

from .beats import ways
from .paired import between
from .sunnybrook import CINES, HELD_OUT, NOT_POOL, UNKNOWN, RealSlice, load_cines, load_pairs

HEARTS = Ranges(kinds=(0.36, 0.2, 0.2, 0.14, 0.1), weak_strain=(-0.03, 0.13), weak_descent=(1.0, 9.0), outside=0.14)
"""More large and thick ventricles, more that hardly move, and more slices without one, than a clinic sees: they are
what is hard."""

FRAMES = (48, 54, 60)
"""Frames of phantom slices, in turn."""


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
        """Every ``step``-th frame as a scanner shows it: [T / step, X, Y] float, noise drawn from the generator."""
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


class Simulated(Dataset):
    """Simulated slices by number, each from a seed of its own: the same one, whichever process makes it.

    Args:
        make: makes the slice of a number from a source of randomness.
        count: how many there are.
        seed: seed of all.
    """

    def __init__(self, make: Callable[[int, torch.Generator], Source], count: int, seed: int) -> None:
        self.make, self.count, self.seed = make, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Source:
        """Makes one slice."""
        return self.make(index, torch.Generator().manual_seed(self.seed * 1_000_003 + index))

    def each(self, workers: int, ahead: int = 2) -> Iterator[Source]:
        """Makes one slice after the other; other processes begin at once.

        Args:
            workers: how many processes share them; 0 or 1 makes them here, when they are asked for.
            ahead: how many each process makes before they are asked for.

        Returns:
            ``count`` sources, in the order of their numbers.
        """
        # One process of one thread would be slower than this one with all of its threads.
        workers = workers if workers > 1 else 0
        loader = DataLoader(self, batch_size=None, num_workers=workers, prefetch_factor=ahead if workers else None)
        return map(_own, loader)

    def all(self, workers: int, what: str) -> list[Source]:
        """Makes all slices.

        Args:
            workers: how many processes share them, as in ``each``.
            what: the progress bar's name.

        Returns:
            ``count`` sources.
        """
        return list(tqdm(self.each(workers), desc=what, total=self.count, mininterval=5))


def _own(source: Source) -> Source:
    """Takes out of shared memory, of which there may be little, what a worker sent."""
    sent: dict[str, Any] = {k: v.clone() for k, v in vars(source).items() if isinstance(v, Tensor) and v.is_shared()}
    return replace(source, **sent)


def phantom_slices(count: int, seed: int, size: int, ranges: Ranges | None = None) -> Simulated:
    """Phantom slices of 48, 54 or 60 frames, to be made.

    Args:
        count: how many.
        seed: seed of the phantom.
        size: pixels along each side.
        ranges: what the hearts are drawn from; None is what a clinic sees.

    Returns:
        ``count`` slices.
    """
    return Simulated(partial(_phantom, size=size, ranges=ranges), count, seed)


def phantom_sources(
    count: int,
    seed: int,
    size: int,
    ranges: Ranges | None = None,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> list[Source]:
    """Images phantom slices of 48, 54 or 60 frames.

    Args:
        count: how many.
        seed: seed of the phantom.
        size: pixels along each side.
        ranges: as in ``phantom_slices``.
        workers: processes that share them, as in ``Simulated.each``; an accelerator makes them alone.
        device: where they are made and kept.

    Returns:
        ``count`` sources.
    """
    if torch.device(device).type == "cpu":
        return phantom_slices(count, seed, size, ranges).all(workers, "phantom")
    endless = phantoms_at_once(seed, size, ranges, device)
    return list(tqdm(itertools.islice(endless, count), desc="phantom", total=count, mininterval=5))


def phantoms_at_once(
    seed: int, size: int, ranges: Ranges | None, device: torch.device | str, batch: int = 16
) -> Iterator[Source]:
    """Images phantom slices where they are to be, several at once: an accelerator makes a hundred in a second.

    Args:
        seed: seed of the phantom; on another kind of device it gives other slices.
        size: pixels along each side.
        ranges: as in ``phantom_slices``.
        device: where.
        batch: how many at once.

    Returns:
        Sources without end.
    """
    for number in itertools.count():
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + number)
        with torch.device(device):
            cine = image_cines(generator, batch, FRAMES[number % len(FRAMES)], size, ranges=ranges)
        yield from (_source(cine, cine.labels[k], k) for k in range(batch))


def _phantom(number: int, generator: torch.Generator, size: int, ranges: Ranges | None) -> Source:
    cine = image_cines(generator, 1, FRAMES[number % len(FRAMES)], size, ranges=ranges)
    return _source(cine, cine.labels[0])


def _source(cine: PhantomCine, labels: Tensor, number: int = 0) -> Source:
    """Keeps one slice of simulated cines; ``labels`` [T, X, Y] uint8 are what is told of it."""
    found, velocity = cine.labels[number], cine.velocity[number]
    return Source(
        magnitude=cine.magnitude[number].half(),
        noise=float(cine.scanner.noise[number]),
        labels=labels,
        velocity=velocity.half(),
        wall=found == 1,
        labelled=list(range(len(found))),
        areas=areas(found),
        moves=wall_moves(found == 1, velocity),
    )


def areas(labels: Tensor) -> Tensor:
    """Measures the ventricle: [T, X, Y] uint8 labels to [T, 2] float, pixels, of the pool and of pool and wall."""
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
        [T, 2] float, pixels: inward and around.
    """
    curves = wall_curves(wall, velocity)[:, :2].cpu()
    return ways(curves, torch.arange(len(curves)) / len(curves), len(curves))


def animated_sources(slices: list[RealSlice], count: int, seed: int, size: int, workers: int = 0) -> list[Source]:
    """Sets real end-diastolic pictures in motion.

    Args:
        slices: real slices with contours.
        count: how many to make; each picture serves in turn.
        seed: seed of their motion.
        size: pixels along each side.
        workers: processes that share them, as in ``Simulated.each``.

    Returns:
        ``count`` sources, or none if no slice shows a ventricle.
    """
    pictures = []
    for item in slices:
        frame = max(item.labels, key=lambda f: int((item.labels[f] == 2).sum()))
        if int((item.labels[frame] == 2).sum()) >= 60:
            # Few have an epicardium that somebody drew; these come three times as often.
            pictures += [(item.frames[frame], item.labels[frame])] * (3 if (item.labels[frame] == 1).any() else 1)
    make = partial(_animated, pictures=pictures, size=size)
    return Simulated(make, count if pictures else 0, seed).all(workers, "animated")


def _animated(number: int, generator: torch.Generator, pictures: list[tuple[Tensor, Tensor]], size: int) -> Source:
    picture, label = pictures[number % len(pictures)]
    outer = None if (label == NOT_POOL).any() else label > 0
    cine = animate(generator, picture, label == 2, outer, 48, size)
    # Without a contour of the epicardium the drawn wall moves as drawn but is not where the real one is.
    labels = cine.labels[0]
    if outer is None:
        labels = torch.where(labels == 2, 2, NOT_POOL).to(torch.uint8)
    return _source(cine, labels)


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


def beating_sources(pairs: list[list[Source]], seed: int, workers: int = 0) -> list[Source]:
    """Makes a cine of end-diastole and end-systole of each slice: see ``paired``.

    Args:
        pairs: both pictures of a slice, standing still, their labels as they shall be learnt.
        seed: seed of their motion.
        workers: processes that share them, as in ``Simulated.each``.

    Returns:
        As many sources.
    """
    return Simulated(partial(_beating, pairs=pairs), len(pairs), seed).all(workers, "beating")


def _beating(number: int, generator: torch.Generator, pairs: list[list[Source]]) -> Source:
    pictures = torch.stack([s.magnitude[0].float() for s in pairs[number]])
    frames, labels, end = between(pictures, torch.cat([s.labels for s in pairs[number]]), generator)
    none = torch.zeros(len(frames), 2)
    return Source(frames.half(), 0.015, labels, None, None, [0, end], none, none, acquired=False)


def training_sources(
    root: str | Path | None,
    phantoms: int,
    animated: int,
    seed: int,
    size: int,
    held_out: Sequence[str] = HELD_OUT,
    complete: Callable[[list[Source]], list[Source]] | None = None,
    workers: int = 0,
    pictures: bool = True,
    device: torch.device | str = "cpu",
) -> list[Source]:
    """Gathers what the shipped weights are trained on.

    Args:
        root: folder ``sunnybrook``; None trains on the phantom alone.
        phantoms: number of phantom slices.
        animated: number of real pictures set in motion.
        seed: seed of the phantom.
        size: pixels along each side of the sources.
        held_out: patients, by original id, that are left out.
        complete: fills in labels of real cine and still pictures that nobody drew, such as ``students.taught``.
        workers: processes that simulate.
        pictures: whether patients' single pictures take part: they show labels, standing still and, two of a slice,
            made to beat, but no true motion.
        device: where phantoms are made, as in ``phantom_sources``.

    Returns:
        Sources; what is real is repeated, so that with single pictures it makes up more than half of the samples.
    """
    sources = phantom_sources(phantoms, seed, size, HEARTS, workers, device)
    if root is None:
        return sources
    cines = load_cines(Path(root), tuple(p for p in CINES.values() if p not in held_out))
    pairs = [s for s in load_pairs(Path(root)) if s.patient not in held_out]
    sources += animated_sources(cines + pairs, animated, seed + 1, size, workers)
    moving, of_slices = real_sources(cines), [real_sources([pair]) for pair in pairs] if pictures else []
    still = [s for of_slice in of_slices for s in of_slice]
    drawn = [s for s in moving + still if any((s.labels[f] == 1).any() for f in s.labelled)]
    if complete is not None:
        complete(moving + still)
    both = [two for two in of_slices if len(two) == 2]
    beating, known = beating_sources(both, seed + 2, workers), set(map(id, drawn))
    drawn += [made for made, two in zip(beating, both, strict=True) if id(two[0]) in known]
    return mixed(sources, moving, still, beating, drawn, phantoms)


def mixed(
    sources: list[Source],
    moving: list[Source],
    still: list[Source],
    beating: list[Source],
    drawn: list[Source],
    phantoms: int,
) -> list[Source]:
    """Repeats real sources beside simulated ones, so that samples are drawn from all kinds.

    Args:
        sources: phantoms and animated pictures, once each.
        moving: patients' cine, in all about 0.3 as many.
        still: single pictures, in all at least 0.2 of the phantoms.
        beating: cines of two pictures, in all at least 0.4 of the phantoms.
        drawn: those of all whose epicardium somebody drew: few, so they come more often, in all another tenth.
        phantoms: number of phantoms.

    Returns:
        All of them. Cine without a ventricle come more often, too: else every atrium is taken for one.
    """
    empty = [s for s in moving if not s.labels.any()]
    real = moving * round(0.3 * len(sources) / max(len(moving), 1))
    real += still * max(1, round(0.2 * phantoms / max(len(still), 1)))
    real += beating * max(1, round(0.4 * phantoms / max(len(beating), 1)))
    real += drawn * round(0.1 * len(sources + real) / max(len(drawn), 1))
    real += empty * round(0.03 * len(sources + real) / max(len(empty), 1))
    return sources + real
