"""Slice cines whose motion is known, or made: phantoms, real pictures set in motion, and two pictures made to beat."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from scripts.phantom.animate import animate
from scripts.phantom.cine import PhantomCine, image_cines
from scripts.phantom.draw import Ranges

from .paired import between
from .sources import Source, areas, wall_moves
from .sunnybrook import NOT_POOL, RealSlice

HEARTS = Ranges(kinds=(0.36, 0.2, 0.2, 0.14, 0.1), weak_strain=(-0.03, 0.13), weak_descent=(1.0, 9.0), outside=0.14)
"""More large and thick ventricles, more that hardly move, and more slices without one, than a clinic sees: they are
what is hard."""

FRAMES = (48, 54, 60)
"""Frames of phantom slices, in turn."""

Made = TypeVar("Made", Source, dict[str, Tensor])


class Simulated(Dataset, Generic[Made]):
    """Simulated slices or stacks by number, each from a seed of its own: the same one, whichever process makes it.

    Args:
        make: makes that of a number from a source of randomness.
        count: how many there are.
        seed: seed of all.
    """

    def __init__(self, make: Callable[[int, torch.Generator], Made], count: int, seed: int) -> None:
        self.make: Callable[[int, torch.Generator], Made] = make
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Made:
        """Makes one."""
        return self.make(index, torch.Generator().manual_seed(self.seed * 1_000_003 + index))

    def each(self, workers: int, ahead: int = 2) -> Iterator[Made]:
        """Makes one after the other; other processes begin at once.

        Args:
            workers: how many processes share them; 0 or 1 makes them here, when they are asked for.
            ahead: how many each process makes before they are asked for.

        Returns:
            ``count`` of them, in the order of their numbers.
        """
        # One process of one thread would be slower than this one with all of its threads.
        workers = workers if workers > 1 else 0
        loader = DataLoader(self, batch_size=None, num_workers=workers, prefetch_factor=ahead if workers else None)
        return map(_own, loader)

    def all(self, workers: int, what: str) -> list[Made]:
        """Makes all.

        Args:
            workers: how many processes share them, as in ``each``.
            what: the progress bar's name.

        Returns:
            ``count`` of them.
        """
        return list(tqdm(self.each(workers), desc=what, total=self.count, mininterval=5))


def _own(made: Made) -> Made:
    """Takes out of shared memory, of which there may be little, what a worker sent."""
    fields: dict[str, Any] = made if isinstance(made, dict) else vars(made)
    fields |= {k: v.clone() for k, v in fields.items() if isinstance(v, Tensor) and v.is_shared()}
    return made


def phantom_slices(count: int, seed: int, size: int, ranges: Ranges | None = None) -> Simulated[Source]:
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
    """Images phantom slices where they are to be, several at once, as keeps an accelerator busy.

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
