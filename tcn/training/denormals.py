"""Training without the numbers that slow a processor down."""

import contextlib

import pytorch_lightning as pl
from typing_extensions import override

from tcn.native import flushing_denormals


class FlushDenormals(pl.Callback):
    """Counts numbers below 1e-38 as zero while a net is trained on a CPU.

    A processor multiplies with them up to a hundred times slower, and a training makes them: the
    gradients of outputs that are long learnt are that small, and the squares of which Adam keeps
    the mean still smaller. Every task brings this callback along. What was set before is set again
    afterwards, whether the training came to its end or not.
    """

    def __init__(self) -> None:
        self._within = contextlib.ExitStack()

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.strategy.root_device.type == "cpu":
            self._within.enter_context(flushing_denormals())

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._within.close()

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._within.close()
