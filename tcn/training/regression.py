"""The task of numbers."""

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanSquaredError
from typing_extensions import override

from tcn.training.batch import Batch
from tcn.training.schedules import Schedule
from tcn.training.targets import Missing, check_missing, valid_values
from tcn.training.task import Task


class Regression(Task):
    """Mean squared error over all values of all valid steps.

    Targets: floats shaped like the output of the net, ``(batch, channels, time)`` or
    ``(batch, channels)``. Logs ``*_loss`` and ``{val,test}_mse``; predicts the output itself.

    Args:
        net, optimizer, lr_scheduler: see ``Task``.
        missing: what becomes of targets that are NaN. ``"refuse"``: training stops and says where;
            ``"ignore"``: they count in no loss and no metric, and the mean is over those known.

    Raises:
        ValueError: ``missing`` is neither.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        missing: Missing = "refuse",
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        check_missing(missing)
        self.missing = missing
        self.val_mse = MeanSquaredError()
        self.test_mse = MeanSquaredError()

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_mse", "min"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        output, target = self._counting(output, batch)
        count = target.numel()
        return functional.mse_loss(output, target, reduction="sum") / max(count, 1), count

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        self.log_metric(f"{stage}_mse", *self._counting(output, batch))

    def _counting(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return valid_values(output, batch, known=self.missing == "ignore")
