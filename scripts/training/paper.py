"""How the published configuration learns: its own stages and losses, on the same windows and MONAI's same engines.

Source: Xing et al., IEEE JBHI 2022, doi 10.1109/JBHI.2022.3158897.
"""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.networks.blocks import repeat
from scripts.networks.cycle import SLOPE_REACH
from scripts.networks.r2unet import R2UHDL, VENC

from .cut import Draw
from .losses import region, segmentation_loss
from .sources import Source
from .stages import in_bfloat16
from .windows import Windows


class PaperInterpolationStage(nn.Module):
    """Module (a): two acquired frames and their masks in, a frame between them and its segmentation out.

    Nobody draws masks at inference, so the network learns on its own: half of the samples of a batch come without
    masks, the other half with those that the network makes of the acquired frames by itself.

    Args:
        network: the network whose first module learns.
        half_precision: compute convolutions in bfloat16, as the default configuration does.
    """

    def __init__(self, network: R2UHDL, half_precision: bool = True) -> None:
        super().__init__()
        self.module = network.interpolator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.half_precision = half_precision

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Interpolates and segments every target time of a batch of ``Windows``: B samples of K times.

        Returns:
            magnitude [B * K, 1, X, Y] and logits [B * K, 3, X, Y], float32.
        """
        pair, tau, gap = batch["keys"][:, 1:3], batch["tau"], batch["gap"]
        pair = pair.contiguous(memory_format=torch.channels_last)
        count = tau.shape[1]
        with in_bfloat16(pair.device, self.half_precision):
            features = self.module.encode(pair, self.masks(pair, gap))
            features = [repeat(f, count).contiguous(memory_format=torch.channels_last) for f in features]
            magnitude, logits = self.module.decode(features, tau.flatten(), repeat(gap, count))
        return {"magnitude": magnitude, "logits": logits}

    @torch.no_grad()
    def masks(self, pair: Tensor, gap: Tensor) -> Tensor:
        """Masks of both acquired frames, made without masks; in training none for a random half of the samples.

        Args:
            pair: [B, 2, X, Y] float.
            gap: [B] float.

        Returns:
            [B, 4, X, Y] float: probability of myocardium and pool in the first, then in the second frame.
        """
        # As at inference, and without a trace in the statistics of the batches that teach.
        self.module.eval()
        unknown = torch.zeros_like(pair).repeat(1, 2, 1, 1)
        features = self.module.encode(pair, unknown)
        ends = [torch.full_like(gap, tau) for tau in (0.0, 1.0)]
        found = [torch.softmax(self.module.decode(features, tau, gap)[1], dim=1)[:, 1:] for tau in ends]
        self.module.train(self.training)
        masks = torch.cat(found, dim=1)
        if self.training:
            masks = masks * (torch.rand(len(masks), 1, 1, 1, device=masks.device) < 0.5)
        return masks


class PaperInterpolationLoss(nn.Module):
    """L1 on the whole picture and in two maps, the ventricle and the tissue, equal weights; segmentation.

    The segmentation loss is the default configuration's: the paper's soft Dice, with cross entropy, for labels that
    may name two classes at once or none, which the paper's data did not have.

    Args:
        tissue: brightness, as a share of the picture's root mean square, from which a pixel counts as tissue.
    """

    def __init__(self, tissue: float = 0.3) -> None:
        super().__init__()
        self.tissue = tissue

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Sums the terms.

        Args:
            prediction: from ``PaperInterpolationStage``.
            target: a batch of ``Windows``.

        Returns:
            Scalar.
        """
        truth, labels = target["magnitude"].flatten(0, 1)[:, None], target["label"].flatten(0, 1)[:, None]
        acquired = truth.isfinite()
        error = torch.where(acquired, (prediction["magnitude"] - truth).abs(), torch.zeros_like(truth))
        level = truth.nan_to_num().square().mean((2, 3), keepdim=True).sqrt()
        maps = region(labels) * acquired, (truth > self.tissue * level).float()
        loss = error.sum() / acquired.sum().clamp_min(1) + segmentation_loss(prediction["logits"], labels)
        for where in maps:
            loss = loss + (error * where).sum() / where.sum().clamp_min(1)
        return loss


class NeighbourWindows(Windows):
    """Windows of three neighbouring frames, noisy as acquired, with the velocity of the middle one.

    Samples are those of ``Windows`` with one target time (K = 1); ``keys`` [4, X, Y] holds now, before, after, now, and
    ``gap`` the time from before to after as a share of the cycle.
    """

    def _draw(self, source: Source, random: Random) -> Draw:
        frames = len(source.magnitude)
        step = random.randint(1, max(1, frames // 16))  # from neighbours of about 54 a cycle to those of 18
        now = random.choice(source.labelled)
        keys = [now, now - step, now + step, now]
        index = {"keys": keys, "targets": [now], "cycle": [now] * 8, "row": [now] * (2 * SLOPE_REACH + 2), "around": []}
        return Draw(source, index, [0.5], 2 * step / max(frames, 16), random)


class PaperSynthesisStage(nn.Module):
    """Module (b), the generator: three neighbouring frames in, velocity and tissue out.

    Args:
        network: the network whose second module learns.
        half_precision: compute convolutions in bfloat16, as the default configuration does.
    """

    def __init__(self, network: R2UHDL, half_precision: bool = True) -> None:
        super().__init__()
        self.module = network.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.half_precision = half_precision

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Synthesises the middle frame's velocities.

        Args:
            batch: of ``NeighbourWindows``.

        Returns:
            [B, 6, X, Y] float32, as ``SynthesisStage`` begins: three velocities (cm/s at RR = 1000 ms), logit of
            tissue, magnitude, where the true velocity is known.
        """
        now, before, after, _ = batch["keys"].split(1, dim=1)
        frames = torch.cat((before, now, after), dim=1).contiguous(memory_format=torch.channels_last)
        with in_bfloat16(frames.device, self.half_precision):
            velocity, tissue = self.module(frames, batch["gap"] / 2)
        known = batch["velocity"].flatten(0, 1).isfinite().all(1, keepdim=True).float()
        return torch.cat((velocity, tissue, batch["keys"][:, :1], known), dim=1)


class PaperSynthesisLoss(nn.Module):
    """100 L1 in the tissue and 100 L1 in the ventricle, of velocities as shares of venc; the adversary's term is 1.

    The foreground mask, which the paper took from elsewhere, is learnt by cross entropy.

    Args:
        weight: of each L1 term.
    """

    def __init__(self, weight: float = 100.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, pairs: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Sums the terms.

        Args:
            pairs: from ``PaperSynthesisStage``.
            target: a batch of ``NeighbourWindows``.

        Returns:
            Scalar.
        """
        truth, known = target["velocity"].flatten(0, 1).nan_to_num(), pairs[:, 5:6]
        # Filled where it is needed: a CUDA graph holds nothing that the processor sends.
        venc = torch.stack([pairs.new_full((), v) for v in VENC]).view(1, 3, 1, 1)
        error = ((pairs[:, :3] - truth) / venc).abs().mean(1, keepdim=True) * known
        signal = (target["magnitude"] > 3 * target["noise"][:, None, None, None]).float()
        wall = target["wall"].flatten(0, 1)[:, None].float()
        loss = pairs.new_zeros(())
        for where in (signal * known, wall * known):
            loss = loss + self.weight * (error * where).sum() / where.sum().clamp_min(1)
        sure = (target["noise"] > 0).float()[:, None, None, None]
        return loss + (F.binary_cross_entropy_with_logits(pairs[:, 3:4], signal, reduction="none") * sure).mean()
