"""What MONAI's engines lack: schedule, gradient clipping and averaging, fresh samples, the figures to watch."""

import itertools
import math
import time
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
import torch
import torch.distributed as distributed
from ignite.engine import Engine, Events
from ignite.handlers import TimeLimit
from ignite.metrics import Average
from monai.engines import IterationEvents
from torch import Tensor, nn

from scripts.networks import HDLNet, VelocityAssessment

from .losses import region
from .simulated import HEARTS, phantom_slices, phantoms_at_once
from .sizes import segmented
from .windows import Windows


def start_from(network: nn.Module, weights: str | Sequence[str]) -> nn.Module:
    """Gives a network the weights of earlier ones, wherever they fit; the rest keeps its random start.

    What was learnt last and what was known before are both kept better by the mean of two sets of weights than by
    either. Source: Wortsman et al., CVPR 2022, "Robust fine-tuning of zero-shot models".

    Args:
        network: the network to fill.
        weights: file of a state dictionary, or of a checkpoint with one under ``network``; of several, of one network
            at different times, the mean. Empty leaves all as it is.

    Returns:
        The same network.
    """
    files = [weights] if isinstance(weights, str) else list(weights)
    own = network.state_dict()
    total: dict[str, Tensor] = {}
    for file in filter(None, files):
        saved = torch.load(file, map_location="cpu", weights_only=True)
        fitting = {k: v for k, v in saved.get("network", saved).items() if k in own and own[k].shape == v.shape}
        print(f"Started from {file}: {len(fitting)} of {len(own)} tensors fit")
        total = {k: total[k] + v for k, v in fitting.items() if k in total} if total else fitting
    network.load_state_dict(own | {k: v / len(files) if len(files) > 1 else v for k, v in total.items()})
    return network


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Writes a network's weights as the bundle holds them; of several processes the first one does.

    Args:
        network: the network, on any device.
        path: file to write the state dictionary to.
    """
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    idist.one_rank_only()(torch.save)(weights, path)


class CosineSchedule:
    """Learning rate of an epoch, as a share of the optimizer's: one epoch of warm-up, then half a cosine.

    Attached to a trainer that is limited in time, it also ends the run when that is over.

    Args:
        epochs: number of epochs.
        seconds: how long the run may take, without what is made ready before it; 0 is as long as the epochs do.
    """

    def __init__(self, epochs: int, seconds: int = 0) -> None:
        self.epochs, self.seconds, self.started = epochs, seconds, 0.0

    def attach(self, engine: Engine) -> None:
        """Hooks onto a trainer.

        Raises:
            ValueError: if time is limited and several processes train: each would end by a clock of its own.
        """
        if self.seconds and distributed.is_initialized():
            raise ValueError(f"limit_seconds: found {self.seconds}, expected 0 where several processes train")
        if self.seconds:
            engine.add_event_handler(Events.STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """Starts the clock."""
        self.started = time.monotonic()
        engine.add_event_handler(Events.ITERATION_COMPLETED, TimeLimit(self.seconds))

    def __call__(self, epoch: int) -> float:
        """Share of the full learning rate, 0.01 to 1."""
        if epoch == 0:
            return 0.3
        done = epoch / self.epochs
        if self.seconds:
            done = min(1.0, max(done, (time.monotonic() - self.started) / self.seconds))
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


class ClipGradients:
    """Limits the norm of a network's gradients after every backward pass.

    Args:
        network: whose gradients.
        norm: the most their norm may be.
        event: event of the trainer after the backward pass.
    """

    def __init__(
        self, network: nn.Module, norm: float = 1.0, event: object = IterationEvents.BACKWARD_COMPLETED
    ) -> None:
        self.network, self.norm, self.event = network, norm, event

    def attach(self, engine: Engine) -> None:
        """Hooks onto a trainer."""
        engine.add_event_handler(self.event, self)

    def __call__(self, _: Engine) -> None:
        """Clips."""
        nn.utils.clip_grad_norm_(self.network.parameters(), self.norm)


class AverageGradients:
    """Averages a network's gradients over all processes after every backward pass, so that they step as one.

    DistributedDataParallel would do it for one forward and backward pass a step; an adversarial step has more.

    Args:
        network: whose gradients.
        event: event of the trainer after the backward pass.
        optimizer: averages when this one is about to step, not at the event: MONAI's ``AdversarialTrainer`` has none
            for the discriminator's backward pass unless it runs in mixed precision.
    """

    def __init__(
        self,
        network: nn.Module,
        event: object = IterationEvents.BACKWARD_COMPLETED,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.network, self.event, self.optimizer = network, event, optimizer

    def attach(self, engine: Engine) -> None:
        """Hooks onto a trainer, before what reads the gradients."""
        if self.optimizer is not None:
            self.optimizer.register_step_pre_hook(lambda *_: self(engine))
        else:
            engine.add_event_handler(self.event, self)

    def __call__(self, _: Engine) -> None:
        """Averages: one message for the whole network."""
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        parts = (flat / distributed.get_world_size()).split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


class FreshSlices:
    """Replaces some phantom slices before every epoch but the first and draws anew, so that no epoch repeats another.

    Several processes simulate them while the epoch before goes on; or an accelerator does, before the epoch. A run that
    is resumed sees the samples that it would have seen.

    Args:
        windows: the training samples; the first of their sources are phantoms. The loader's workers must not persist.
        phantoms: how many these are.
        count: how many to replace each epoch.
        seed: seed of the phantom.
        network: measures the ventricles as ``segmented`` does; None leaves their true size.
        workers: processes that simulate.
    """

    def __init__(
        self,
        windows: Windows,
        phantoms: int,
        count: int,
        seed: int,
        network: HDLNet | None = None,
        workers: int = 0,
    ) -> None:
        self.windows, self.phantoms, self.count, self.network = windows, phantoms, count, network
        self.done = 0
        size = windows.sources[0].magnitude.shape[-1]
        if windows.device.type == "cpu":
            endless = phantom_slices(10**6, seed + 1000, size, HEARTS)
            self.fresh = endless.each(workers if count else 0, ahead=count // max(workers, 1) + 1)
        else:
            self.fresh = phantoms_at_once(seed + 1000, size, HEARTS, windows.device)

    def attach(self, engine: Engine) -> None:
        """Hooks onto a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Replaces slices, oldest first, for every epoch since the last call."""
        self.windows.epoch = engine.state.epoch - 1
        while self.done < self.windows.epoch:
            self.done += 1
            fresh = list(itertools.islice(self.fresh, self.count))
            if self.network is not None:
                segmented(fresh, self.network)
            for k, source in enumerate(fresh, (self.done - 1) * self.count):
                self.windows.sources[k % self.phantoms] = source.to(self.windows.device)


def interpolation_gain(output: list[dict] | dict) -> Tensor:
    """PSNR above linear blending, in the ventricle, of the frames between acquired ones.

    Args:
        output: engine output with ``pred`` and ``label`` of ``InterpolationStage``.

    Returns:
        Scalar, dB, over the whole batch.
    """
    pred, truth = output["pred"], output["label"]  # type: ignore[call-overload]
    tau = truth["tau"]
    between = ((tau > 0) & (tau < 1)).flatten()[:, None, None, None]
    where = region(truth["label"].flatten(0, 1)[:, None]) * between
    first, second, t = truth["keys"][:, None, 1], truth["keys"][:, None, 2], tau[..., None, None]
    linear = ((1 - t) * first + t * second).flatten(0, 1)[:, None]
    target = truth["magnitude"].flatten(0, 1)[:, None]
    ours = ((pred["magnitude"] - target).square() * where).sum()
    theirs = ((linear - target).square() * where).sum()
    return 10 * torch.log10(theirs / ours)


def dice(output: list[dict] | dict, label: int) -> Tensor:
    """Dice of one label over all target frames of a batch that carry full labels; engine output as above."""
    pred, truth = output["pred"], output["label"]  # type: ignore[call-overload]
    labels = truth["label"].flatten(0, 1)
    full = (labels <= 2).flatten(1).all(1)[:, None, None]
    found = (pred["logits"].argmax(1) == label) & full
    wanted = (labels == label) & full
    return 2 * (found & wanted).sum() / (found.sum() + wanted.sum()).clamp_min(1)


def interpolation_metrics() -> dict[str, Average]:
    """Metrics of the first stage for a ``SupervisedEvaluator``."""
    return {
        "dice_myocardium": Average(lambda o: dice(o, 1)),
        "dice_pool": Average(lambda o: dice(o, 2)),
    }


class RelativeError:
    """Root mean square error of one velocity component in the wall, as a share of its root mean square.

    Args:
        component: 0 radial, 1 circumferential, 2 longitudinal, after removal of bulk motion.
    """

    def __init__(self, component: int) -> None:
        self.component, self.assessment = component, VelocityAssessment()

    def __call__(self, output: list[dict] | dict) -> Tensor:
        """Takes engine output of ``SynthesisStage``; scalar."""
        pairs, truth = output["pred"], output["label"]  # type: ignore[call-overload]
        velocity = truth["velocity"].flatten(0, 1).nan_to_num()
        wall = truth["wall"].flatten(0, 1).float()[:, None]
        found, wanted = (self.assessment.cylindrical(wall, v[:, :, None]) for v in (pairs[:, :3], velocity))
        error, size = (found - wanted)[:, self.component], wanted[:, self.component]
        return ((error.square() * wall).sum() / (size.square() * wall).sum()).sqrt()


def synthesis_metrics() -> dict[str, Average]:
    """Metrics of the second stage for a ``SupervisedEvaluator``, beside the longitudinal one."""

    def of_interpolation(output: dict) -> dict:
        pairs = output["pred"]
        return {"pred": {"magnitude": pairs[:, 4:5], "logits": pairs[:, 7:10]}, "label": output["label"]}

    return {
        "radial": Average(RelativeError(0)),
        "circumferential": Average(RelativeError(1)),
        "gain_over_linear_db": Average(lambda o: interpolation_gain(of_interpolation(o))),
        "dice_myocardium": Average(lambda o: dice(of_interpolation(o), 1)),
        "dice_pool": Average(lambda o: dice(of_interpolation(o), 2)),
    }
