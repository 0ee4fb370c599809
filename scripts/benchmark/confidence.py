"""Whether the network errs more where it says that it is unsure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from scipy.stats import spearmanr
from torch import Tensor

from scripts.training.losses import region
from scripts.training.sunnybrook import NOT_POOL

from .cases import Case
from .metrics import velocity_sums
from .tallies import Row

EDGES = (0.0, 0.6, 0.8, 0.95, 0.99, 1.0)
"""Ends of the bins of confidence: the probability of the likeliest label."""


@dataclass
class ConfidenceTally:
    """Errors by confidence: of labels pixel by pixel, of velocities slice by slice. By peer."""

    pixels: dict[str, Tensor] = field(default_factory=dict)
    slices: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)

    def add(self, case: Case, peer: str, pred: Tensor) -> None:
        """Measures one slice, in the frames in which both contours are known.

        Args:
            case: a slice with labels, and with velocities if they are known.
            peer: who made the prediction.
            pred: [8, T, X, Y] float, the network's eight blocks.
        """
        frames = [t for t, label in case.labels.items() if (label < NOT_POOL).all()]
        if not frames:
            return
        confidence, found = pred[1:4, frames].max(0)
        wanted = torch.stack([case.labels[t] for t in frames])
        where = (region(wanted[:, None]) + region(found[:, None].to(torch.uint8)))[:, 0] > 0
        wrong = (found != wanted).float()
        edges = torch.tensor(EDGES[1:-1])
        bins = torch.bucketize(confidence[where].contiguous(), edges)
        sums = self.pixels.setdefault(peer, torch.zeros(len(EDGES) - 1, 3, dtype=torch.float64))
        values = torch.stack((torch.ones_like(confidence[where]), wrong[where], confidence[where]), 1).double()
        sums.index_add_(0, bins, values)
        inside = found > 0
        sure = float(confidence[inside].mean()) if inside.any() else 0.0
        velocity = float("nan")
        if case.velocity is not None:
            errors = velocity_sums(pred[4:7], case.velocity, case.wall).sum(0)
            velocity = float((errors[0] / errors[1]).sqrt())
        self.slices.setdefault(peer, []).append((sure, float(wrong[where].mean()), velocity))

    def figures(self) -> list[Row]:
        """One row a peer and bin: share of the pixels within 6 mm of a ventricle, and how many are labelled wrong."""
        return [
            {
                "peer": peer,
                "confidence": f"{low} to {high}",
                "pixels_percent": float(100 * n / sums[:, 0].sum()),
                "wrong_percent": float(100 * wrong / n),
                "wrong_percent_if_calibrated": float(100 * (1 - told / n)),
            }
            for peer, sums in self.pixels.items()
            for low, high, (n, wrong, told) in zip(EDGES, EDGES[1:], sums, strict=False)
            if n > 0
        ]

    def ranks(self) -> list[Row]:
        """One row a peer: rank correlation, over slices, of its mean confidence with its errors; -1 is perfect."""
        rows: list[Row] = []
        for peer, slices in self.slices.items():
            if len(slices) < 3:
                continue
            sure, labels, velocities = zip(*slices, strict=True)
            row: Row = {"peer": peer, "slices": len(slices)}
            row["confidence_with_wrong_labels"] = float(spearmanr(sure, labels).statistic)
            if not any(map(math.isnan, velocities)):
                row["confidence_with_velocity_error"] = float(spearmanr(sure, velocities).statistic)
            rows.append(row)
        return rows
