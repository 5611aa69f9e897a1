"""How sparse the maps before the pools are, measured in the test."""

from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from typing_extensions import override

from tcn.layers.pooling import Pool


class Sparsity(pl.Callback):
    """Logs ``test_sparsity``, the mean over images, channels and pools.

    ``(sqrt(n) - |x|_1 / |x|_2) / (sqrt(n) - 1)`` of the ``n`` values of a map; maps that are 0
    everywhere are left out. Source: Hoyer 2004 (Non-negative matrix factorization with sparseness
    constraints), section 3.1.
    """

    def __init__(self) -> None:
        self._hooks: list[Any] = []
        self._total, self._maps = 0.0, 0

    @override
    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Watches what every pool is given."""
        self._total, self._maps = 0.0, 0
        pools = [module for module in pl_module.modules() if isinstance(module, Pool)]
        self._hooks = [pool.register_forward_pre_hook(self._watch) for pool in pools]

    def _watch(self, module: Any, given: tuple[Any, ...]) -> None:
        total, maps = sparsity(given[0])
        self._total, self._maps = self._total + total, self._maps + maps

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs the mean."""
        if self._maps:
            pl_module.log("test_sparsity", self._total / self._maps)

    @override
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Watches no longer."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def sparsity(maps: Tensor) -> tuple[float, int]:
    """The sum over ``(batch, channels, *sizes)``, and how many maps are not 0 everywhere."""
    values = maps.detach().double().flatten(2).flatten(0, 1)
    length = values.square().sum(1).sqrt()
    values, length = values[length > 0], length[length > 0]
    root = values.shape[1] ** 0.5
    return float(((root - values.abs().sum(1) / length) / (root - 1)).sum()), len(values)
