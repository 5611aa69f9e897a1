"""The task of turning one sound into another, as an amplifier does."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import override

from tcn.audio.losses import ErrorToSignal, SoundLoss, checked_losses
from tcn.layers.running import at_least_float32
from tcn.models import Capture
from tcn.training.batch import Batch
from tcn.training.schedules import Schedule
from tcn.training.targets import check_shape
from tcn.training.task import Task


class EnergyRatio(Metric):
    """The energy of all errors over that of all targets: the error-to-signal ratio of an epoch."""

    error: Tensor
    signal: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("error", "signal"):
            zero = torch.zeros((), dtype=torch.float64)
            self.add_state(name, zero, dist_reduce_fx="sum")

    @override
    def update(self, output: Tensor, target: Tensor) -> None:
        """Adds two sounds of the same size."""
        self.error += (output - target).double().square().sum()
        self.signal += target.double().square().sum()

    @override
    def compute(self) -> Tensor:
        return self.error / self.signal


class SoundRegression(Task):
    """Sound to sound, ``(batch, channel, time)``, as ``SoundPairs`` hands it over.

    Steps at the beginning whose targets are NaN are what the net hears first; they count nowhere.
    The loss is the sum of those given, each with its weight, and the mean over the rows. Logs
    ``*_loss`` and ``{val,test}_esr``, the energy of all errors over that of all targets, which
    chooses the best checkpoint.

    To play what was trained: ``Capture(task.net, sample_rate=48000).eval()``, and ``save_nam``, or
    ``tcn export --config CONFIG --ckpt_path CHECKPOINT amp.nam``.

    Attributes:
        losses: what is added up.
    """

    missing = "ignore"
    modes = MappingProxyType({"loss": "min", "esr": "min"})

    def __init__(
        self,
        net: nn.Module,
        *,
        losses: Sequence[SoundLoss] | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Takes the net and what is minimized.

        Args:
            net: the net to train; see ``Task``. Not a :class:`Capture`, which would begin every
                stretch of a recording in silence.
            losses: with their weights; ``[ErrorToSignal()]`` unless given.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.

        Raises:
            TypeError: a loss is not a ``SoundLoss``, or the net is a ``Capture``.
            ValueError: there is no loss.
        """
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if isinstance(self.net, Capture):
            raise TypeError(
                "net: a Capture begins in silence, and recordings are heard from the middle; give "
                "the net in it, and wrap it again when it is trained"
            )
        self.losses = checked_losses([ErrorToSignal()] if losses is None else losses)
        self.val_esr = EnergyRatio()
        self.test_esr = EnergyRatio()

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_esr", "min"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        output, target = counting(output, batch)
        if not len(output):
            return output.sum(), 0
        rows = [each.weight * each(output, target) for each in self.losses]
        return torch.stack(rows).sum(0).mean(), len(output)

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        self.log_metric(f"{stage}_esr", *counting(output, batch))


def counting(output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Output and target from the first step on whose target is known, in float32 at least.

    Raises:
        ValueError: shapes do not fit, sounds are padded, or a target is NaN later on.
    """
    check_shape(output, batch.y)
    if batch.lengths is not None:
        raise ValueError(
            "lengths: padded sounds have no spectrum of their own; cut them to one length, as "
            "tcn.audio.SoundPairs does"
        )
    unknown = batch.y.isnan().flatten(0, -2).any(0)
    first = int(unknown.int().cumprod(0).sum())
    if unknown[first:].any() or first == len(unknown):
        raise ValueError(
            f"y: NaN at or behind step {first}; only steps at the beginning may be unknown, so cut "
            "the recordings where something is missing"
        )
    return at_least_float32(output[..., first:]), at_least_float32(batch.y[..., first:])
