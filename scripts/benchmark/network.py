"""How every measurement runs a network, and reads its labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.transforms import KeepLargestConnectedComponent
from torch import Tensor, nn

from scripts.cine.study import CineError
from scripts.networks import BLOCKS

from .bars import PUBLISHED


def ventricle(pred: Tensor) -> Tensor:
    """Labels as the bundle writes them: [8, T * F, X, Y] to [T * F, X, Y], one connected ventricle over the cycle."""
    return KeepLargestConnectedComponent([1, 2], independent=False, connectivity=1)(pred[1:4].argmax(0)[None])[0]


@torch.no_grad()
def run(network: nn.Module, frames: Tensor, factor: int, cyclic: bool = True) -> Tensor:
    """Runs a network on one slice: [T, X, Y] to eight blocks [8, T * F, X, Y]."""
    network.upsampling_factor = factor  # type: ignore[assignment]
    network.cyclic = int(cyclic)  # type: ignore[assignment]
    return network(frames[None]).unflatten(1, (BLOCKS, -1))[0]


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded model with a name.

    Attributes:
        name: what tables call it.
        path: TorchScript file.
        module: what it holds.
    """

    name: str
    path: Path
    module: nn.Module

    @classmethod
    def load(cls, name: str, path: str | Path) -> Network:
        """Loads a TorchScript file; CineError says if it is none."""
        path = Path(path)
        if not path.is_file():
            raise CineError(f"{name}: found no file {path}, expected a TorchScript model; --peers can leave it out")
        try:
            return cls(name, path, torch.jit.load(str(path), map_location="cpu").eval())
        except RuntimeError as error:
            raise CineError(f"{path}: found no TorchScript model, expected one such as models/model.ts") from error

    def __call__(self, frames: Tensor, factor: int, cyclic: bool = True) -> Tensor:
        """Eight blocks [8, T * F, X, Y] from acquired frames [T, X, Y]."""
        return run(self.module, frames, factor, cyclic)

    @property
    def knows_stacks(self) -> bool:
        """Whether it corrects slices by what their whole stack says; the published network does not."""
        return self.name != PUBLISHED and hasattr(self.module, "in_stack")

    @torch.no_grad()
    def in_stack(self, stack: Tensor, factor: int) -> Tensor:
        """Eight blocks [8, T * F, X, Y, Z] from the acquired frames of a cyclic stack [Z, T, X, Y]."""
        slices = torch.stack([self(frames, factor) for frames in stack], dim=-1)
        corrected: Tensor = self.module.in_stack(slices.flatten(0, 1)[None])  # type: ignore[operator]
        return corrected[0].unflatten(0, (BLOCKS, -1))

    def about(self) -> dict[str, str]:
        """Which weights it has. A file also holds what was found of them, so its own hash would not last."""
        weights = hashlib.sha256()
        for name, values in sorted(self.module.state_dict().items()):
            weights.update(name.encode() + values.numpy().tobytes())
        return {"file": str(self.path), "weights_sha256": weights.hexdigest()}
