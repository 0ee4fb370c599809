"""Training samples: four acquired frames around a gap, and the truth at some times in it."""

from random import Random

import torch
from torch import Tensor
from torch.utils.data import Dataset

from scripts.networks.blocks import CYCLE_FRAMES
from scripts.networks.cycle import SLOPE_REACH
from scripts.networks.motion import STEPS, outer_reach, spline_starts

from .cut import Draw, beats, cut
from .graphs import LAUNCHING
from .sources import Source


class Windows(Dataset):
    """Random windows of a list of sources; ``epoch`` and a sample's number decide its draw, whoever reads it.

    Samples are made where the sources are: on an accelerator a batch at a time, faster than processes could send it.

    Args:
        sources: slice cines.
        size: pixels along each side of a sample.
        length: samples an epoch.
        velocities: whether samples carry what the synthesis learns from.
        seed: seed of the draws.
        device: where the sources are kept.
    """

    def __init__(
        self,
        sources: list[Source],
        size: int,
        length: int,
        velocities: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not sources:
            raise ValueError("sources: expected at least one slice cine, found none")
        # Many come more than once.
        moved = {id(s): s.to(device) for s in sources}
        self.sources = [moved[id(s)] for s in sources]
        self.size, self.length, self.velocities, self.seed, self.epoch = size, length, velocities, seed, 0
        self.device = torch.device(device)
        # Beside the training's own work, which a copy to the device would wait for.
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __len__(self) -> int:
        return self.length

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
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Draws a batch, as the loader asks for it; its ``collate_fn`` has nothing left to do.

        Args:
            indices: numbers of the samples within the epoch, B of them.

        Returns:
            As ``__getitem__``, with B in front, sources of a kind together.
        """
        kinds: dict[tuple, list[Draw]] = {}
        for index in indices:
            random = Random((self.seed * 9973 + self.epoch) * 1_000_003 + index)
            draw = self._draw(random.choice(self.sources), random)
            kind = (draw.source.still, draw.source.velocity is None, draw.source.magnitude.shape[1:])
            kinds.setdefault(kind, []).append(draw)
        with LAUNCHING, torch.cuda.stream(self.stream):
            parts = [cut(draws, self.size, self.velocities) for draws in kinds.values()]
            batch = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            if self.velocities:
                batch["beat"] = beats([d for draws in kinds.values() for d in draws]).to(self.device)
        if self.stream is not None:
            self.stream.synchronize()
            for value in batch.values():
                value.record_stream(torch.cuda.current_stream(self.device))
        return batch

    def _draw(self, source: Source, random: Random) -> Draw:
        frames = len(source.magnitude)
        if source.still:
            # A patient's cycle, as far as two pictures tell of it, or a cine that stands still.
            cycle = [0] + [random.randrange(2)] * (CYCLE_FRAMES - 1)
            row, around = [0] * (2 * SLOPE_REACH + 2), [0] * (STEPS + 1)
            index = {"keys": [0] * 4, "targets": [0, 0, 0], "cycle": cycle, "row": row, "around": around}
            return Draw(source, index, [0.0, 0.5, 1.0], 1 / 9, random)
        gaps = [g for g in (1, 2, 3, 4, 5, 6, 8) if frames // g >= 3 and (frames % g == 0 or frames == 20)]
        # Six-fold down-sampling of a cine of about 54 frames is the main case.
        (gap,) = random.choices(gaps, [3 if g * 9 == frames or g == 6 or frames == 20 else 1 for g in gaps])
        count = frames / gap
        reach, starts = outer_reach(round(count)), spline_starts(round(count), torch.device("cpu")).tolist()
        inside = [random.randint(0, gap), random.randrange(gap)]
        if random.random() < 0.7 and len(source.labelled) < frames:
            inside[0] = inside[1]
            start = random.choice(source.labelled) - inside[0]
        else:
            start = random.randrange(frames)
        at = [random.randrange(2) * gap, inside[0], inside[1]]
        if self.velocities and source.velocity is None:
            # Neighbouring frames, for the consistency of motion.
            at[1:] = [inside[1], inside[1] + 1]
        index = {
            "keys": [start - reach * gap, start, start + gap, start + gap * (1 + reach)],
            "targets": [start + a for a in at],
            "cycle": [start + round(k * count / CYCLE_FRAMES) * gap for k in range(CYCLE_FRAMES)],
            # Where the gap does not divide the frames, the last one is longer or shorter.
            "row": [start + gap * (k % round(count)) for k in range(-SLOPE_REACH, SLOPE_REACH + 2)],
            "around": [start + gap * k for k in (*starts, 2 * starts[-1] - starts[-2])],
        }
        return Draw(source, index, [a / gap for a in at], gap / frames, random)


def as_it_is(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gives a batch of ``Windows`` back, as its ``collate_fn``: processes that are spawned cannot take a lambda.

    Args:
        batch: what ``Windows.__getitems__`` drew.
    """
    return batch
