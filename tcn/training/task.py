"""What all tasks have in common: steps, checks, optimiser and schedule."""

from abc import abstractmethod
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from typing_extensions import override

from tcn.training.batch import Batch, Prediction
from tcn.training.schedules import Schedule


class Task(pl.LightningModule):
    """A net with a loss, metrics, an optimiser and a schedule.

    The net is called ``net(x)``, or ``net(x, lengths=lengths)`` where the batch has lengths; what
    lies beyond them changes neither loss nor metrics. Batches are ``Batch`` or plain ``(x, y)`` and
    ``(x, y, lengths)`` tuples. Metrics are called ``train_*``, ``val_*`` and ``test_*``; those of
    an epoch are weighted by what they were measured on, so the batch size does not change them.

    Args:
        net: the net to train.
        optimizer: called with the parameters, returns the optimiser.
        lr_scheduler: called with the optimiser, returns a scheduler that is stepped after every
            epoch (``ReduceLROnPlateau``: with the metric in its attribute ``monitor``, by default
            that of the task); or a ``Schedule``, stepped after every optimiser step.

    Raises:
        ValueError: in ``fit``, when an input or the training loss is not finite.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler

    @property
    @abstractmethod
    def monitor(self) -> tuple[str, str]:
        """The metric that chooses the best checkpoint, and ``"min"`` or ``"max"``."""

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """The loss, a mean, and how many things it is the mean of (0: none, the loss is 0)."""

    @abstractmethod
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        """Logs the metrics of a batch in ``stage``, ``"val"`` or ``"test"``."""

    @override
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        output: Tensor = self.net(x) if lengths is None else self.net(x, lengths=lengths)
        return output

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        batch = Batch(*batch)
        loss, weight = self.loss(self(batch.x, batch.lengths), batch)
        self._check_finite(batch, batch_idx, loss)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True, batch_size=weight)
        return loss

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluation_step("val", Batch(*batch))

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluation_step("test", Batch(*batch))

    @override
    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """The output of the net, as each task turns it into predictions."""
        batch = Batch(*batch)
        return Prediction(self.predict(self(batch.x, batch.lengths)), batch.lengths)

    def predict(self, output: Tensor) -> Tensor:
        """Turns the output of the net into predictions; as it is, unless a task says otherwise."""
        return output

    def log_mean(self, name: str, value: Tensor, weight: int) -> None:
        """Logs a mean over ``weight`` things, to be weighted so over the epoch."""
        shown = name == self.monitor[0]
        self.log(name, value, on_epoch=True, prog_bar=shown, batch_size=weight, sync_dist=True)

    def log_metric(self, name: str, *arguments: Tensor | int) -> None:
        """Updates the metric that is the attribute ``name`` and logs it over the epoch."""
        metric = getattr(self, name)
        metric.update(*arguments)
        self.log(name, metric, prog_bar=name == self.monitor[0])

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        config: LRSchedulerConfigType
        if isinstance(self.lr_scheduler, Schedule):
            scheduler = self.lr_scheduler(optimizer, self._total_steps())
            config = {"scheduler": scheduler, "interval": "step"}
        else:
            per_epoch = self.lr_scheduler(optimizer)
            config = {"scheduler": per_epoch, "interval": "epoch"}
            config["monitor"] = getattr(per_epoch, "monitor", self.monitor[0])
        return {"optimizer": optimizer, "lr_scheduler": config}

    @override
    def on_train_epoch_end(self) -> None:
        # Lightning steps a ReduceLROnPlateau after the checkpoint of the epoch has been written,
        # so a run resumed from it would miss that step: do it before, and not again below.
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                metrics = self.trainer.callback_metrics
                if config.monitor not in metrics:
                    raise ValueError(
                        f"lr_scheduler watches {config.monitor!r}, which is not logged: "
                        f"set its monitor to one of {sorted(metrics)}"
                    )
                config.scheduler.step(metrics[config.monitor])

    @override
    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        if metric is None:
            super().lr_scheduler_step(scheduler, metric)

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError(
                f"lr_scheduler {type(self.lr_scheduler).__name__} needs the length of the run: "
                "set max_epochs or max_steps of the trainer"
            )
        return int(steps)

    def _evaluation_step(self, stage: str, batch: Batch) -> None:
        output = self(batch.x, batch.lengths)
        loss, weight = self.loss(output, batch)
        self.log_mean(f"{stage}_loss", loss, weight)
        self.evaluate(stage, output, batch)

    def _check_finite(self, batch: Batch, batch_idx: int, loss: Tensor) -> None:
        if torch.isfinite(batch.x).all() & torch.isfinite(loss):  # one wait for the device, not two
            return
        where = f"epoch {self.current_epoch}, batch {batch_idx}"
        for name, tensor in (("input x", batch.x), ("target y", batch.y)):
            wrong = tensor.numel() - int(torch.isfinite(tensor).sum())
            if wrong:
                raise ValueError(
                    f"{name} holds {wrong} NaN or infinite values of {tensor.numel()} in {where}: "
                    "fill them or leave those sequences out"
                )
        raise ValueError(
            f"training loss is {loss.item()} in {where}: lower the learning rate "
            "or set gradient_clip_val of the trainer"
        )
