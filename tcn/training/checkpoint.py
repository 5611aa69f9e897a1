"""Keeps the best checkpoint of a run; of two equally good ones, the one with the lower loss."""

import math
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from typing_extensions import override

TIE_BREAKER = "val_loss"


class BestCheckpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint`` (and its arguments), in which ``val_loss`` breaks ties.

    Metrics that count, such as the accuracy, often tie: on a small validation set the accuracy may
    be 1 from the first epoch on while the loss keeps falling. Among checkpoints with the same value
    of ``monitor``, the one with the lowest loss is the best, and the one with the highest is
    dropped first. If their losses are equal too, or no loss is logged, the earlier one stays.
    """

    @cached_property
    def _losses(self) -> dict[str, float]:
        """The loss of each checkpoint that is kept, by its path."""
        return {}

    @property
    @override
    def state_key(self) -> str:
        # Lightning's own key, so that runs begun with its callback can be resumed.
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    @override
    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        if current is None or super().check_monitor_top_k(trainer, current):
            return current is not None
        worst = self.kth_best_model_path
        loss = float(trainer.callback_metrics.get(TIE_BREAKER, math.nan))
        lower = loss < self._losses.get(worst, -math.inf)
        value = float(current)
        if math.isnan(value):  # kept as the worst there is
            value = math.inf if self.mode == "min" else -math.inf
        tied = value == float(self.best_k_models[worst])
        return trainer.strategy.reduce_boolean_decision(tied and lower)

    @override
    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        if filepath in self.best_k_models:
            self._rank(trainer, filepath)
        super()._save_checkpoint(trainer, filepath)

    def _rank(self, trainer: pl.Trainer, newest: str) -> None:
        """Determines the best and the worst checkpoint, before this state is saved in one."""
        loss = float(trainer.callback_metrics.get(TIE_BREAKER, math.inf))
        losses = {**self._losses, newest: math.inf if math.isnan(loss) else loss}
        self._losses.clear()
        self._losses.update({path: losses.get(path, math.inf) for path in self.best_k_models})
        sign = 1 if self.mode == "min" else -1

        def rank(path: str) -> tuple[float, float]:
            return sign * float(self.best_k_models[path]), self._losses[path]

        self.best_model_path = min(self.best_k_models, key=rank)
        if self.kth_best_model_path:
            self.kth_best_model_path = max(self.best_k_models, key=rank)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "losses": dict(self._losses)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        losses = state_dict.get("losses", {})
        self._losses.clear()
        self._losses.update({path: losses[path] for path in self.best_k_models if path in losses})
