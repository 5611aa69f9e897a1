"""Training a forecast net with Lightning: the task, and the run of a forecaster.

The run keeps the weights of the best validation, stops early, and leaves the global random
numbers as they were; the same seed gives the same weights.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor
from typing_extensions import override

from tcn.forecasting.fitted.net import Answer, ForecastNet
from tcn.forecasting.fitted.setting_groups import TrainingSettings
from tcn.forecasting.fitted.training_data import ForecastDataModule
from tcn.forecasting.windows.batch import WindowBatch
from tcn.layers.validation import check_positive
from tcn.outputs import MASE, Output, Point, seasonal_error
from tcn.training.batch import Batch
from tcn.training.best import Best
from tcn.training.schedules import Schedule
from tcn.training.task import Task

GRADIENT = 1.0  # largest norm of that of a step


class ForecastTask(Task):
    """A forecast net with an output's loss, an optimizer and a schedule.

    Logs ``train_loss`` and ``val_loss``, means over the observed steps of the horizon. That of a
    point forecast is in the units of the series scaler, that of a distribution in the units of the
    window, where a shift or a scale costs it only a constant.

    Raises:
        ValueError: in ``fit``, when an input or the loss is not finite.
    """

    monitor = ("val_loss", "min")
    net: ForecastNet

    def __init__(
        self,
        net: ForecastNet,
        output: Output,
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: Schedule | None = None,
        season: int = 1,
    ) -> None:
        """Puts a net and what its numbers mean into a task.

        Args:
            net: the net to train.
            output: what its raw numbers mean.
            learning_rate: of AdamW.
            weight_decay: of AdamW.
            schedule: of the learning rate over the run; constant if None.
            season: steps of a season, for the output ``mase`` unless it has its own.
        """
        if not learning_rate > 0:
            raise ValueError(f"learning_rate: {learning_rate} must be above 0")
        if weight_decay < 0:
            raise ValueError(f"weight_decay: {weight_decay} must not be negative")
        optimizer = partial(
            torch.optim.AdamW, lr=learning_rate, weight_decay=weight_decay, fused=True
        )
        super().__init__(net, optimizer=optimizer, lr_scheduler=schedule)
        self.output = output
        self.season = season

    @override
    def forward(self, batch: WindowBatch) -> Answer:  # type: ignore[override]
        return self.net(batch)

    @override
    def loss(self, output: Answer, batch: WindowBatch) -> tuple[Tensor, float]:  # type: ignore[override]
        raw, target, weight = output.raw, batch.horizon, int(batch.horizon_observed.sum())
        if not isinstance(self.output, Point):
            if not self.net.sizes.counts:
                target = self.net.to_window(target, output.statistics)
            return self.output.loss(raw, target, batch.horizon_observed), weight
        raw = self.net.restore(raw[:, 0], output.statistics).unsqueeze(1)
        scale = None
        if isinstance(self.output, MASE):
            season = self.output.season or self.season
            scale = seasonal_error(batch.target, batch.observed, season)
        return self.output.loss(raw, target, batch.horizon_observed, scale), weight

    @override
    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        loss, _ = self.loss(self(batch), batch)
        if not torch.isfinite(loss):
            self._refuse(batch, loss)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(batch.target))
        return loss

    @override
    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:  # type: ignore[override]
        if batch.horizon_observed.any():
            self.log_mean("val_loss", *self.loss(self(batch), batch))

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        """Nothing beside the loss."""

    def _refuse(self, batch: WindowBatch, loss: Tensor) -> None:
        for name in ("target", "exogenous", "future", "static", "horizon"):
            values = getattr(batch, name)
            wrong = values.numel() - int(torch.isfinite(values).sum())
            if wrong:
                raise ValueError(
                    f"{name} holds {wrong} NaN or infinite values of {values.numel()} at step "
                    f"{self.global_step}: scale it, or fill it"
                )
        raise ValueError(
            f"training loss is {loss.item()} at step {self.global_step}: lower learning_rate, or "
            "scale the series (scaler='standard')"
        )


class _KeepBest(pl.Callback):
    """Keeps the weights of the best validation, in memory, and puts them back after the run."""

    def __init__(self) -> None:
        self.best = Best()
        self.weights: dict[str, Tensor] | None = None

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get("val_loss")
        if trainer.sanity_checking or loss is None:
            return
        if self.best.take(float(loss), trainer.global_step):
            self.weights = copy.deepcopy(pl_module.state_dict())

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.weights is not None:
            pl_module.load_state_dict(self.weights)


def train(
    task: ForecastTask, data: ForecastDataModule, settings: TrainingSettings
) -> dict[str, float]:
    """Trains a task, and leaves it on the CPU in evaluation mode with its best weights.

    Args:
        task: trained in place.
        data: with or without validation windows.
        settings: of the run; those of the optimizer are the task's.

    Returns:
        ``steps`` taken, and ``val_loss``, the best, where there was validation.

    Raises:
        ValueError: if a number is below 1, or something is not finite.
    """
    for name in ("max_steps", "val_check_steps"):
        check_positive(name, [getattr(settings, name)])
    best = _KeepBest()
    callbacks: list[pl.Callback] = [best]
    validating = data.validation is not None and len(data.validation) > 0
    if validating and (patience := settings.early_stop_patience_steps) is not None:
        check_positive("early_stop_patience_steps", [patience])
        callbacks.append(EarlyStopping("val_loss", patience=patience))
    every = min(settings.val_check_steps, settings.max_steps)
    task.train()  # a net that was handed in may be in evaluation mode
    with _quiet():
        trainer = pl.Trainer(
            accelerator=settings.accelerator,
            devices=1,
            max_steps=settings.max_steps,
            max_epochs=-1,
            val_check_interval=every if validating else None,
            check_val_every_n_epoch=None if validating else 1,
            limit_val_batches=1.0 if validating else 0,
            num_sanity_val_steps=0,
            gradient_clip_val=GRADIENT,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=settings.progress,
        )
        trainer.fit(task, datamodule=data)
    task.cpu().eval()
    return {"steps": trainer.global_step} | ({"val_loss": best.best.value} if validating else {})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's remarks on hardware and workers, which say nothing of the forecast."""
    spoken = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = spoken.level
    spoken.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*number of training batches.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        spoken.setLevel(level)
