"""What is trained in each stage: modules of HDLNet wrapped so that MONAI's engines can step them."""

import torch
from ignite.engine import Engine
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import Tensor, nn

from scripts.networks import HDLNet
from scripts.networks.blocks import repeat
from scripts.networks.motion import gap_view, motions_between
from scripts.networks.temporal_interpolation import TemporalInterpolation


def prepare_batch(
    batch: dict[str, Tensor], device: torch.device, non_blocking: bool = False, **_: object
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Moves a batch of ``Windows`` to the device; it is input and target at once, as MONAI's engines expect."""
    moved = {key: value.to(device, non_blocking=non_blocking) for key, value in batch.items()}
    return moved, moved


def in_bfloat16(device: torch.device, wanted: bool) -> torch.autocast:
    """Computes convolutions in bfloat16 where the processor has it; elsewhere it is emulated, slower than float32.

    Args:
        device: what the network is trained on.
        wanted: whether to do so at all.

    Returns:
        A context manager.
    """
    if device.type == "cpu":
        can = torch.cpu.get_capabilities()
        fast = any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    else:
        fast = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted and fast)


def interpolate(
    module: TemporalInterpolation, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Runs the temporal interpolation at every target time of a batch of ``Windows``, B samples of K times.

    Args:
        module: the first module, its weights channels-last.
        batch: as ``Windows`` gives it.

    Returns:
        View [B, 54, X / 2, Y / 2]; features [B, C, X / 2, Y / 2]; and magnitude, logits and motion of all B * K frames,
        as ``TemporalInterpolation.decode`` gives them.
    """
    keys, gap, count = batch["keys"], batch["gap"], batch["tau"].shape[1]
    view, motions = gap_view(keys)
    features, given = module.encode(view.contiguous(memory_format=torch.channels_last), batch["cycle"], gap)
    given = repeat(given, count).contiguous(memory_format=torch.channels_last)
    tau, gap = batch["tau"].flatten(), repeat(gap, count)
    keys, slopes = repeat(keys, count), repeat(batch["slopes"], count)
    return view, features, module.decode(keys, slopes, given, repeat(motions, count), tau, gap)


class InterpolationStage(nn.Module):
    """First stage: the temporal interpolation on windows of acquired frames.

    Args:
        network: the network whose first module learns.
        half_precision: compute convolutions in bfloat16 where the processor has it: about twice as fast.
        pictures_only: whether only the layers learn that make frames and labels: features and motion, which the
            synthesis is used to, stay as they are.
    """

    def __init__(self, network: HDLNet, half_precision: bool = True, pictures_only: bool = False) -> None:
        super().__init__()
        self.module = network.interpolation.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.half_precision = half_precision
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(name.startswith("image_") or not pictures_only)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Interpolates and segments every target time of a batch: see ``InterpolationLoss`` for the result."""
        with in_bfloat16(batch["keys"].device, self.half_precision):
            _, _, (magnitude, logits, motion) = interpolate(self.module, batch)
        return {"magnitude": magnitude.float(), "logits": logits.float(), "motion": motion.float()}


@torch.no_grad()
def favour_wall(module: TemporalInterpolation, log_odds: float) -> None:
    """Makes the myocardium likelier in what a module segments: what is likeliest is not what makes Dice highest.

    A pixel adds to the Dice of a thin wall from half of that Dice on, which is less than an even chance.

    Source: Lipton et al., ECML PKDD 2014, "Optimal thresholding of classifiers to maximize F1 measure".

    Args:
        module: changed in place.
        log_odds: what is added to the natural logarithm of its odds.
    """
    # Of the six channels that pixel_shuffle makes of these, the fourth; ``decode`` takes four times its value.
    module.image_out.bias.view(6, 4)[3] += log_odds / 4  # type: ignore[union-attr]


class SynthesisStage(nn.Module):
    """Second stage, the generator: phase synthesis over the temporal interpolation.

    Args:
        network: the network whose first module has been through the first stage.
        half_precision: compute convolutions in bfloat16 where the processor has it: about twice as fast.
        together: whether the interpolation goes on learning, too; else it is frozen.
    """

    def __init__(self, network: HDLNet, half_precision: bool = True, together: bool = False) -> None:
        super().__init__()
        self.interpolation = network.interpolation.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.module = network.synthesis.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.half_precision, self.together = half_precision, together

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Synthesises velocities at every target time of a batch of ``Windows``.

        Args:
            batch: as ``Windows`` with ``velocities`` gives it, B samples of K times.

        Returns:
            One tensor, as MONAI's adversarial engine wants, [B * K, 14, X, Y] float32: three velocities (cm/s at
            RR = 1000 ms); logit of tissue; magnitude; where the true velocity is known (1) or not (0); probability
            of the ventricle; three logits of labels; motion of the interpolation, pixels a gap.
        """
        count = batch["tau"].shape[1]
        with in_bfloat16(batch["keys"].device, self.half_precision):
            with torch.set_grad_enabled(self.together and torch.is_grad_enabled()):
                view, seen, made = interpolate(self.interpolation, batch)
            magnitude, logits, motion = made
            steps = motions_between(batch["around"])[:, :, :2].float().flatten(1, 2)
            given = self.module.encode(view, seen, steps, batch["cycle"], batch["gap"])
            given = repeat(given, count).contiguous(memory_format=torch.channels_last)
            times, gap, beat = batch["tau"].flatten(), repeat(batch["gap"], count), repeat(batch["beat"], count)
            steps = repeat(steps, count)
            # The velocities' errors teach what the interpolation sees, not the frames, labels and motion it makes.
            told = [part.detach() for part in made]
            velocity, tissue = self.module.decode(given, steps, *told, times, gap, beat)
        known = batch["velocity"].flatten(0, 1).isfinite().all(1, keepdim=True).float()
        ventricle = torch.softmax(logits.float(), dim=1)[:, 1:].sum(1, keepdim=True)
        moved = motion.repeat_interleave(2, 2).repeat_interleave(2, 3)
        parts = (velocity, tissue, magnitude, known, ventricle, logits, moved)
        return torch.cat([part.float() for part in parts], dim=1)


def discriminate(pairs: Tensor, network: nn.Module, *_: object, **__: object) -> Tensor:
    """Shows the discriminator a magnitude with the foreground of its phase images; MONAI calls this an inferer.

    Args:
        pairs: [B, 14, X, Y] float, as ``SynthesisStage`` makes them.
        network: a ``PatchDiscriminator`` of four input channels.

    Returns:
        The logits of its last layer.
    """
    foreground = torch.sigmoid(pairs[:, 3:4]) * pairs[:, 5:6]
    # The magnitude is on the real side, too, and learns nothing from being told from itself.
    return network(torch.cat((pairs[:, 4:5].detach(), pairs[:, :3] / 5 * foreground), dim=1))[-1]


class TruePairs:
    """Gives the discriminator the true velocities as its real side; the engine itself would take the input."""

    def attach(self, engine: Engine) -> None:
        """Hooks onto an ``AdversarialTrainer``."""
        engine.add_event_handler(AdversarialIterationEvents.GENERATOR_FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Replaces the velocities of the generated pairs by the true ones."""
        output = engine.state.output
        fake, truth = output[AdversarialKeys.FAKES].detach(), output["label"]["velocity"].flatten(0, 1).nan_to_num()
        output[AdversarialKeys.REALS] = torch.cat((truth, fake[:, 3:]), dim=1)
