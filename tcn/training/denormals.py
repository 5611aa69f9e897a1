"""Training without the tiny numbers that slow a processor down."""

import contextlib

import pytorch_lightning as pl
from typing_extensions import override

from tcn.native import flushing_denormals


class FlushDenormals(pl.Callback):
    """Treats numbers below 1e-38 as zero while a net is trained on a CPU.

    A processor multiplies such numbers up to a hundred times more slowly, and training produces
    them: the gradients of outputs learned long ago are that small, and the mean squares that Adam
    keeps are smaller still. Every task adds this callback. The previous setting is restored
    afterwards, whether or not the training finished.
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
