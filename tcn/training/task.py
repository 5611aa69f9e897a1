"""What all tasks share: steps, checks, optimizer and schedule."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric
from typing_extensions import override

from tcn.layers.batch_norm import uncounted
from tcn.layers.compiled import uncompiled, without_wrapper
from tcn.training.accumulation import Accumulation
from tcn.training.batch import Batch, Prediction, behind
from tcn.training.denormals import FlushDenormals
from tcn.training.finite import check_targets, complaint
from tcn.training.heads import every_head, weighted
from tcn.training.processes import process_count, row_of_zeros, shared
from tcn.training.repetition import without_repetition
from tcn.training.schedules import Schedule
from tcn.training.targets import Missing


class Task(pl.LightningModule):
    """A net with a loss, metrics, an optimizer and a schedule.

    The net is called as ``net(x)``, or as ``net(x, lengths=lengths)`` if the batch has lengths;
    what lies beyond them changes neither loss nor metrics. Batches are ``Batch`` or plain
    ``(x, y)`` and ``(x, y, lengths)`` tuples. Metrics are called ``train_*``, ``val_*`` and
    ``test_*``; those of an epoch are weighted by what they were measured on, so the batch size does
    not change them.

    Several processes (``ddp``) that each get a share of every batch, as the modules of ``tcn.data``
    hand it out, take the same steps as one process with the whole batch, up to float error: losses
    and gradients are weighted by what each share holds, and every example is measured once. Each
    share draws its own random numbers (dropout) and has its own batch normalization, unless
    ``Trainer(sync_batchnorm=True)``. If the loader is your own, Lightning distributes its rows
    among the processes, and each process has batches of the loader's size; a row that is handed out
    twice to make them even counts once.

    ``Trainer(accumulate_grad_batches=n)`` takes the steps of batches ``n`` times as large, up to
    float error: each of the ``n`` is weighted by what it holds, and so are those left over at the
    end of an epoch, however few.

    Attributes:
        missing: what happens to targets that are NaN, if the task says so; None if not.
        modes: ``"max"`` or ``"min"`` for the metrics it logs, whichever is better.

    Raises:
        ValueError: in ``fit``, when an input or the training loss is not finite; anywhere, when a
            target is NaN and ``missing`` is ``"refuse"``.
    """

    missing: Missing | None = None
    modes: Mapping[str, str] = MappingProxyType({"loss": "min"})

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Takes the net, and how to build its optimizer and schedule.

        Args:
            net: the net to train, or ``torch.compile(net)``: then the compiled net is called, and
                the net inside is checked, saved and found as ``task.net``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns a scheduler that is stepped after every
                epoch (``ReduceLROnPlateau``: with the metric in its attribute ``monitor``, by
                default that of the task); or a ``Schedule``, stepped after every optimizer step.
        """
        super().__init__()
        self.net = uncompiled(net)
        # In a tuple, not as a submodule: every weight would appear twice, once as `_orig_mod`.
        self._compiled = () if self.net is net else (net,)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self._validated = False
        self._lr: float | None = None
        self._accumulation = Accumulation()
        self.register_load_state_dict_pre_hook(without_wrapper)

    @property
    @abstractmethod
    def monitor(self) -> tuple[str, str]:
        """The metric that chooses the best checkpoint, and ``"min"`` or ``"max"``."""

    @property
    def lr(self) -> float | None:
        """The optimizer's learning rate; ``Tuner.lr_find`` sets it. A ``OneCycle`` has its own."""
        if self._lr is None:
            return self.optimizer([nn.Parameter(torch.zeros(()))]).defaults.get("lr")
        return self._lr

    @lr.setter
    def lr(self, value: float | None) -> None:
        self._lr = value

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        """The loss, a mean, and the total weight of what it averages (0: nothing; the loss is 0).

        The weight is the number of values averaged, or the sum of their weights; it has the same
        type, int or float, in every batch. The lengths of ``batch`` are those of ``output``; see
        ``tcn.training.batch.behind``.
        """

    @abstractmethod
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        """Logs the metrics of a batch in ``stage``, ``"val"`` or ``"test"``."""

    @override
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        net = self.called
        output: Tensor = net(x) if lengths is None else net(x, lengths=lengths)
        return output

    @property
    def called(self) -> nn.Module:
        """The net that is called: ``torch.compile(net)`` if one was given, else ``net``."""
        for compiled in self._compiled:
            if uncompiled(compiled) is self.net:
                return compiled
        return self.net

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        batch = self._own_rows("train", batch, batch_idx)
        output = self._output(batch, every_head(self.net) or self)
        after = behind(self.net, batch)
        loss, weight = weighted(self.net, output, lambda y: self.loss(y, after))
        where = f"epoch {self.current_epoch}, batch {batch_idx}"
        wrong = complaint(batch, loss, where, self.missing)
        if process_count() > 1:
            loss, weight, wrong = shared(loss, weight, wrong)
        if wrong is not None:
            raise ValueError(wrong)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True,
                 batch_size=weight, sync_dist=True)  # type: ignore[arg-type]  # fmt: skip
        count = 1 if self._trainer is None else self._trainer.accumulate_grad_batches
        self._accumulation.begin(batch_idx, weight, count=count)
        return loss

    @override
    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        share = self._accumulation.share
        super().backward(loss if share == 1 else loss * share, *args, **kwargs)

    @override
    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        def closure() -> Any:
            loss = optimizer_closure() if optimizer_closure else None
            # Before gradients are unscaled, clipped or looked at by any callback.
            self._accumulation.set_right(optimizer)
            return loss

        super().optimizer_step(epoch, batch_idx, optimizer, closure)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluation_step("val", self._own_rows("val", batch, batch_idx), batch_idx)

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluation_step("test", self._own_rows("test", batch, batch_idx), batch_idx)

    @override
    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """The output of the net, turned into predictions by the task."""
        batch = Batch(*batch)
        output = self.predict(self(batch.x, batch.lengths))
        return Prediction(output, behind(self.net, batch).lengths)

    def predict(self, output: Tensor) -> Tensor:
        """Turns the output of the net into predictions; by default leaves it as it is."""
        return output

    def _output(self, batch: Batch, call: Callable[..., Tensor] | None = None) -> Tensor:
        if len(batch.x):
            return (call or self)(batch.x, batch.lengths)
        # An empty share: few nets accept zero rows, and the others wait for this gradient.
        lengths = batch.lengths
        if lengths is not None:
            lengths = lengths.new_full((1,), batch.x.shape[-1])
        with uncounted(self.net):
            return (call or self)(row_of_zeros(batch.x), lengths)[:0]

    def _own_rows(self, stage: str, batch: Batch, batch_idx: int) -> Batch:
        """The batch without rows that another process has had."""
        batch = Batch(*batch)
        alone = process_count() == 1 or self._trainer is None
        return batch if alone else without_repetition(batch, batch_idx, self.trainer, stage)

    def log_mean(self, name: str, value: Tensor, weight: float) -> None:
        """Logs a mean whose weight in the mean over the epoch is ``weight``."""
        shown = name == self.monitor[0]
        # Lightning takes the mean of the processes' weights, rounded down (3 and 4 give 3): only
        # multiples of their number are safe. It adds up floats as well as it adds up counts.
        weight *= process_count()
        self.log(name, value, on_epoch=True, prog_bar=shown,
                 batch_size=weight, sync_dist=True)  # type: ignore[arg-type]  # fmt: skip

    def log_metric(self, name: str, *arguments: Tensor | int) -> None:
        """Updates the metric in the attribute ``name`` and logs it over the epoch."""
        metric = getattr(self, name)
        if all(len(each) for each in arguments if isinstance(each, Tensor) and each.ndim):
            metric.update(*arguments)  # some refuse a batch without rows
        self.log(name, metric, prog_bar=name == self.monitor[0])

    @override
    def configure_callbacks(self) -> list[pl.Callback]:
        return [FlushDenormals()]

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.parameters())
        if self._lr is not None:
            for group in [optimizer.defaults, *optimizer.param_groups]:
                group["lr"] = self._lr
        if self.lr_scheduler is None:
            return optimizer
        config: LRSchedulerConfigType
        if isinstance(self.lr_scheduler, Schedule):
            scheduler = self.lr_scheduler(optimizer, self._total_steps())
            config = {"scheduler": scheduler, "interval": "step"}
        else:
            per_epoch = self.lr_scheduler(optimizer)
            config = {"scheduler": per_epoch, "interval": "epoch", "strict": False}
            config["monitor"] = getattr(per_epoch, "monitor", self.monitor[0])
        return {"optimizer": optimizer, "lr_scheduler": config}

    @override
    def on_fit_start(self) -> None:
        # `trainer.validate` leaves states made in inference mode, which cannot be updated in a fit.
        for module in self.modules():
            if isinstance(module, Metric):
                module.reset()

    @override
    def on_train_epoch_start(self) -> None:
        self._validated = False

    @override
    def on_validation_epoch_end(self) -> None:
        self._validated = not self.trainer.sanity_checking

    @override
    def on_train_epoch_end(self) -> None:
        # Lightning steps a ReduceLROnPlateau after the checkpoint of the epoch has been written,
        # so a run resumed from it would miss that step: do it before, and not again below.
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                self._step_plateau(config.scheduler, config.monitor or self.monitor[0])

    def _step_plateau(self, scheduler: ReduceLROnPlateau, monitor: str) -> None:
        metrics = self.trainer.callback_metrics
        if monitor not in metrics and (self._validated or not self.trainer.enable_validation):
            raise ValueError(
                f"lr_scheduler watches {monitor!r}, which is not logged: "
                f"set its monitor to one of {sorted(metrics)}"
            )
        # An epoch without validation (max_steps, check_val_every_n_epoch) has no new value.
        if monitor in metrics and (self._validated or not monitor.startswith("val_")):
            scheduler.step(metrics[monitor])

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

    def _evaluation_step(self, stage: str, batch: Batch, batch_idx: int) -> None:
        output, batch = self._output(batch), behind(self.net, batch)
        loss, weight = self.loss(output, batch)
        check_targets(batch, loss, f"{stage} batch {batch_idx}", self.missing)
        self.log_mean(f"{stage}_loss", loss, weight)
        self.evaluate(stage, output, batch)
