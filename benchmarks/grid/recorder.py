"""The callback that turns a fit into a history, a best epoch, a journal and checkpoints."""

import math
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.grid import checkpoints
from benchmarks.grid.journal import JournalWriter
from benchmarks.grid.results import Epoch
from tcn.training.best import Best

JOURNAL_SECONDS = 2.0


class Recorder(pl.callbacks.Checkpoint):
    """Records a run; goes last among the callbacks, after all others have acted.

    It begins where the newest whole checkpoint in ``folder`` ends. Together with a
    ``SeedEveryEpoch``, a run that was killed and resumed gives the numbers of one that never was.

    Args:
        folder: where checkpoints and journal are kept.
        metric: the validation metric that selects the model.
        mode: ``"min"`` or ``"max"``.
        minutes: time limit; the fit stops after the epoch in which it is reached, ``paused`` says
            where, and the checkpoint can be resumed.
    """

    def __init__(
        self, folder: Path, *, metric: str, mode: str, minutes: float | None = None
    ) -> None:
        self.folder = folder
        self.metric = metric
        self.best = Best(mode)
        self.history: list[Epoch] = []
        self.finished = False
        self.resumed = 0
        self.training_seconds = 0.0
        self.planned_steps: int | None = None
        self.paused = ""
        self._deadline = math.inf if minutes is None else time.perf_counter() + 60 * minutes
        self._seconds_before = 0.0
        self._first_epoch_here = True
        self._journal = JournalWriter(folder)
        self._begun = self._epoch_begun = self._journalled = time.perf_counter()
        self._state = self._find_state()
        if self._state is not None:
            self._recall(self._state["recorder"])
        checkpoints.discard_after(folder, len(self.history))

    def _find_state(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole, together with the best epoch that it names."""
        best_epochs = {epoch for epoch, _ in checkpoints.intact(self.folder, "best")}
        for _, state in checkpoints.intact(self.folder, "epoch"):
            if state["recorder"]["best_epoch"] in best_epochs:
                return state
        return None

    def _memory(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_value": self.best.value,
            "finished": self.finished,
            "resumed": self.resumed,
            "training_seconds": self.training_seconds,
            "planned_steps": self.planned_steps,
        }

    def _recall(self, memory: dict[str, Any]) -> None:
        self.history = memory["history"]
        self.best.at = memory["best_epoch"] or None
        self.best.value = memory["best_value"]
        self.finished = memory["finished"]
        self.resumed = memory["resumed"] + 1
        self.training_seconds = memory["training_seconds"]
        self.planned_steps = memory.get("planned_steps")
        self._seconds_before = float(self.history[-1]["seconds"] or 0.0)

    @property
    def best_epoch(self) -> int:
        """That of the best validation; 0 before the first."""
        return self.best.at or 0

    @property
    def seconds(self) -> float:
        """Seconds of training and validation, without time lost to a kill."""
        return self._seconds_before + time.perf_counter() - self._begun

    def best_weights(self) -> dict[str, torch.Tensor]:
        """The module's state dict after the best validation epoch."""
        saved = dict(checkpoints.intact(self.folder, "best"))
        weights: dict[str, torch.Tensor] = saved[self.best_epoch]["module"]
        return weights

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._state is not None:
            checkpoints.restore(trainer, self._state)
            self._state = None
        self._journal.write(
            "start", pid=os.getpid(), epochs=trainer.max_epochs, after=len(self.history)
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begun = time.perf_counter()  # not before: the sanity check is not training
        steps = trainer.estimated_stepping_batches
        self.planned_steps = int(steps) if math.isfinite(steps) else None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The previous epoch is saved only here: at its end its schedulers had not been stepped yet.
        if not self._first_epoch_here:
            self._save(trainer)
        self._first_epoch_here = False
        self._epoch_begun = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # A budget of steps may end within an epoch: Lightning validates after `should_stop` but not
        # after `max_steps`, and then the last steps could never be selected.
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
        if time.perf_counter() - self._journalled < JOURNAL_SECONDS:
            return
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self._journalled = time.perf_counter()
        self._journal.write(
            "progress",
            epoch=trainer.current_epoch,
            epochs=trainer.max_epochs,
            fraction=(batch_idx + 1) / trainer.num_training_batches,
            loss=_finite(float(loss)),
            seconds=self.seconds,
        )

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.training_seconds += time.perf_counter() - self._epoch_begun

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_begun = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.training_seconds += time.perf_counter() - self._epoch_begun
        epoch = trainer.current_epoch + 1
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self.metric not in metrics:
            known = ", ".join(sorted(metrics))
            raise ValueError(f"the config selects by {self.metric!r}, logged are: {known}")
        entry: Epoch = {"epoch": epoch, "step": trainer.global_step, "seconds": self.seconds}
        entry |= {
            name: value
            for name, value in metrics.items()
            if name == "train_loss" or name.startswith("val_")
        }
        self.history.append(entry)
        self._keep_best(trainer, epoch, metrics[self.metric])
        self._journal.write(
            "epoch",
            epoch=epoch,
            epochs=trainer.max_epochs,
            metric=self.metric,
            value=_finite(metrics[self.metric]),
            seconds=entry["seconds"],
        )
        last = trainer.should_stop or epoch == trainer.max_epochs
        if time.perf_counter() > self._deadline and not last:
            self.paused = self._where(epoch, trainer.max_epochs)
            trainer.should_stop = True

    @staticmethod
    def _where(epoch: int, epochs: int | None) -> str:
        return f"its time was over after {epoch} of {epochs} epochs"

    def _keep_best(self, trainer: pl.Trainer, epoch: int, value: float) -> None:
        if self.best.take(value, epoch):
            module = trainer.lightning_module.state_dict()
            checkpoints.save(self.folder, "best", epoch, {"module": module})

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning may continue to the end nevertheless, for min_epochs or min_steps.
        if self.planned_steps is not None and trainer.global_step >= self.planned_steps:
            self.paused = ""
        elif self.paused:
            self.paused = self._where(len(self.history), trainer.max_epochs)
        self.finished = not self.paused
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        epochs = len(self.history)
        state = checkpoints.training_state(trainer, epochs)
        checkpoints.save(self.folder, "epoch", epochs, state | {"recorder": self._memory()})
        # The state before the newest may be needed, and with it an earlier best epoch.
        checkpoints.prune(self.folder, "epoch", keep=2)
        checkpoints.prune(self.folder, "best", keep=3)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
