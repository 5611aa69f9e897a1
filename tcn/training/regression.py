"""The task of predicting numbers."""

from types import MappingProxyType

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanSquaredError
from typing_extensions import override

from tcn.layers.running import at_least_float32
from tcn.outputs.checks import can_be_looked_at
from tcn.training.batch import Batch
from tcn.training.meaning import numbers_of, output_of, raw_of
from tcn.training.schedules import Schedule
from tcn.training.targets import Missing, check_missing, observed, valid_values
from tcn.training.task import Task


class Regression(Task):
    """Mean squared error over all values of all valid steps, or the loss of the net's own output.

    Targets: floats shaped like the output of the net, ``(batch, channels, time)`` or
    ``(batch, channels)``. Logs ``*_loss`` and ``{val,test}_mse``; predicts the output itself.

    A net that says what its numbers mean, such as ``SequenceModel(backbone, head="student_t",
    targets=3)``, is trained with the loss of that output, which then chooses the best checkpoint.
    Its targets are those of the output, ``(batch, targets, time)``, or ``(batch, time)`` without
    ``targets``. Its point forecast is what is measured and predicted.
    """

    modes = MappingProxyType({"loss": "min", "mse": "min"})

    def __init__(
        self,
        net: nn.Module,
        *,
        missing: Missing = "refuse",
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Checks the settings against the net and sets up the metrics.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.
            missing: what happens to targets that are NaN. ``"refuse"``: training stops and says
                where; ``"ignore"``: they add to no loss and no metric, and the mean is over the
                known ones.

        Raises:
            TypeError: the net says that its numbers are of classes.
            ValueError: ``missing`` is neither.
        """
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        check_missing(missing)
        self.missing = missing
        numbers_of(self.net)
        self.val_mse = MeanSquaredError()
        self.test_mse = MeanSquaredError()

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_mse" if output_of(self.net) is None else "val_loss", "min"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        said = output_of(self.net)
        if said is None:
            output, target = self._counting(output, batch)
            count = target.numel()
            return functional.mse_loss(output, target, reduction="sum") / max(count, 1), count
        raw, counts = raw_of(self.net, output), self._counts(output, batch)
        if can_be_looked_at(batch.y):
            said.check_target(batch.y[counts])
        count = int(counts.sum())
        return said.losses(raw, batch.y, counts).sum() / max(count, 1), count

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        if output_of(self.net) is None:
            self.log_metric(f"{stage}_mse", *self._counting(output, batch))
            return
        counts = self._counts(output, batch)
        forecast = self.predict(output)[counts]
        self.log_metric(f"{stage}_mse", at_least_float32(forecast), batch.y[counts].float())

    @override
    def predict(self, output: Tensor) -> Tensor:
        """The point forecast."""
        said = output_of(self.net)
        return output if said is None else said.mean(raw_of(self.net, output))

    def _counts(self, output: Tensor, batch: Batch) -> Tensor:
        return observed(output, batch, known=self.missing == "ignore")

    def _counting(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return valid_values(output, batch, known=self.missing == "ignore")
