"""What the weights are trained on: simulated slices and patients', and how often each comes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from scripts.cine.study import CineError

from .simulated import HEARTS, animated_sources, beating_sources, phantom_sources
from .sources import Source, real_sources
from .sunnybrook import CINES, HELD_OUT, load_cines, load_pairs


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

    Raises:
        CineError: if nobody is called as somebody who is to be held out.

    Returns:
        Sources; what is real is repeated, so that with single pictures it makes up more than half of the samples.
    """
    sources = phantom_sources(phantoms, seed, size, HEARTS, workers, device)
    if root is None:
        print("Found no folder of real cine (--dataset_dir): training on simulated hearts alone")
        return sources
    pairs = load_pairs(Path(root))
    strangers = set(held_out) - set(HELD_OUT) - set(CINES.values()) - {s.patient for s in pairs}
    if strangers:  # a patient who is misspelt would be trained on
        found = ", ".join(sorted(strangers))
        raise CineError(f"held_out: found {found}, expected patients of {root} by original id, such as SC-HF-I-01")
    cines = load_cines(Path(root), tuple(p for p in CINES.values() if p not in held_out))
    pairs = [s for s in pairs if s.patient not in held_out]
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
