"""The tasks of predicting several yes-or-no channels, independently or jointly."""

from collections.abc import Sequence
from typing import Literal

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tcn.outputs import NADE, Bernoulli
from tcn.outputs.checks import can_be_looked_at
from tcn.training.balance import Weights, balanced_channels
from tcn.training.batch import Batch
from tcn.training.labels import Chosen, LabelTask
from tcn.training.meaning import check_channels_said, output_of
from tcn.training.metrics import OF_CHANNELS, UNKNOWN
from tcn.training.schedules import Schedule
from tcn.training.targets import (
    Missing,
    check_missing,
    check_shape,
    is_known,
    is_valid,
    valid_rows,
    valid_values,
)

OWN = {"loss": "min", "nll": "min"}
"""The metrics that are always measured, and which direction is better."""


class MultiLabel(LabelTask):
    """Binary cross entropy of independent channels, such as the 88 keys of a piano.

    Targets: floats 0 or 1 shaped like the output, ``(batch, channels, time)``. The loss is summed
    over the channels and valid steps of a sequence and averaged over the sequences of the batch.
    Logs ``*_loss`` and ``{val,test}_nll``: the total over all sequences divided by their total
    number of steps, as Bai et al. 2018 report music (nats per frame; not the mean of the means of
    the sequences). Predicts the probability of each channel.

    The best checkpoint is chosen by ``nll``, or by the loss if ``positive_weight`` is given.
    Metrics asked for by name are logged as ``{val,test}_<name>``.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        positive_weight: float | Sequence[float] | Tensor | Literal["balanced"] | None = None,
        missing: Missing = "refuse",
        metrics: Sequence[str] = (),
        monitor: str | None = None,
        channels: int | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Checks the settings against the net and sets up the metrics.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.
            positive_weight: how much a 1 counts relative to a 0 in the loss, as ``pos_weight`` of
                ``torch.nn.BCEWithLogitsLoss``: a number, or one for each channel. It applies to
                validation and test too, so that losses can be compared; ``nll`` is a likelihood and
                stays as it is. ``"balanced"``: the number of 0 for each 1 in each channel, counted
                in one pass through the training data when a fit begins, and kept in its
                checkpoints.
            missing: what happens to targets that are NaN. ``"refuse"``: training stops and says
                where; ``"ignore"``: they add to no loss and no metric, and a sequence (for ``nll``:
                a step) without any known channel is not counted.
            metrics: further metrics, in which each channel counts the same: ``f1`` of the channels
                whose probability is above 1/2, ``average_precision`` (exact: all scores are kept
                until the end of the epoch).
            monitor: the metric that chooses the best checkpoint: ``loss``, ``nll`` or one of
                ``metrics``, which is then measured.
            channels: the number of channels, for ``metrics``; by default ``out_channels`` of the
                net.

        Raises:
            TypeError: the net says that its channels are not independent and yes or no.
            ValueError: a weight is negative; ``missing`` is neither; a metric is unknown, or the
                number of channels is. Later, in use: there is not one weight for each channel.
        """
        super().__init__(
            net,
            weights=Weights("positive_weight", positive_weight, single=True),
            chosen=Chosen(OWN, OF_CHANNELS, metrics, monitor, ("channels", channels)),
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
        )
        self._check_net()
        check_missing(missing)
        self.missing: Missing | None = missing

    def _check_net(self) -> None:
        check_channels_said(self.net)

    @override
    def _own_monitor(self) -> str:
        return "loss" if self.weights.present else "nll"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        sequences = len(output)
        if self.missing == "ignore":
            check_shape(output, batch.y)
            sequences = int(is_known(batch).flatten(1).any(1).sum())
        if self.weights.present:
            total = self._weighted(output, batch, self.weights.of(output))
        else:
            total, _ = self._total(output, batch)
        return total / max(sequences, 1), sequences

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        total, steps = self._total(output, batch)
        self.log_mean(f"{stage}_nll", total / max(steps, 1), steps)
        if self._measured:
            rows, target = valid_rows(output, batch)
            known = target.gt(0.5).long().masked_fill(target.isnan(), UNKNOWN)
            self.measure(stage, rows.sigmoid(), known)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probability of each channel."""
        return output.sigmoid()

    def _total(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """Sum over all channels and valid steps, and the number of these steps."""
        ignoring = self.missing == "ignore"
        values, target = valid_values(output, batch, known=ignoring)
        if can_be_looked_at(target):
            Bernoulli().check_target(target)
        total = functional.binary_cross_entropy_with_logits(values, target, reduction="sum")
        if ignoring:
            return total, int(is_known(batch).any(1).sum())
        return total, target.numel() // output.shape[1]

    def _weighted(self, output: Tensor, batch: Batch, weights: Tensor) -> Tensor:
        rows, target = valid_rows(output, batch)
        if can_be_looked_at(target):
            Bernoulli().check_target(target)
        weights = weights.expand_as(rows)
        if self.missing == "ignore":
            known = ~target.isnan()
            rows, target, weights = rows[known], target[known], weights[known]
        return functional.binary_cross_entropy_with_logits(
            rows, target, pos_weight=weights, reduction="sum"
        )

    @override
    def _balanced(self) -> list[float]:
        batches = self._training_batches()
        return balanced_channels(valid_rows(batch.y, batch)[1] for batch in batches)


class JointMultiLabel(MultiLabel):
    """Negative log likelihood of channels that depend on each other, such as the keys of a chord.

    Targets, ``*_loss`` and ``{val,test}_nll`` are those of ``MultiLabel``, so the two can be
    compared; only the distribution differs, which is the exact one of the net's NADE. Predicts the
    likelier value of each channel given those before it.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Checks that the net's output is a ``NADE``.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.

        Raises:
            TypeError: the output of the net is not a ``NADE``; see ``tcn.models.JointModel``.
        """
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        self.missing = None  # a vector is known as a whole or not at all

    @override
    def _check_net(self) -> None:
        if not isinstance(output_of(self.net), NADE):
            raise TypeError(
                f"net: {type(self.net).__name__} says nothing of channels together; use a "
                "tcn.models.JointModel around the backbone, or the task MultiLabel"
            )

    @override
    def predict(self, output: Tensor) -> Tensor:
        """The likelier value of each channel given those before it, 0 or 1."""
        return self._joint.mean(output)

    @property
    def _joint(self) -> NADE:
        said = output_of(self.net)
        assert isinstance(said, NADE)
        return said

    @override
    def _total(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        valid = torch.ones_like(output[:, 0], dtype=torch.bool)
        if batch.lengths is not None and output.ndim > 2:
            steps = is_valid(output.shape[-1], batch.lengths)
            valid = valid & steps.view(len(steps), *[1] * (output.ndim - 3), -1)
        expected = (len(output), self._joint.values, *output.shape[2:])
        if batch.y.shape != expected:
            raise ValueError(
                f"target: shape {tuple(batch.y.shape)} does not fit the output of the net; "
                f"expected (batch, values, ...) = {expected}"
            )
        rows, target = output.movedim(1, -1)[valid], batch.y.movedim(1, -1)[valid]
        if can_be_looked_at(target):
            self._joint.check_target(target)
        return self._joint.losses(rows, target).sum(), len(rows)
