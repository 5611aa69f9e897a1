"""Windows in batches, as Lightning takes them: in a new order each epoch, and for validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from typing_extensions import override

from tcn.forecasting.windows import WindowBatch
from tcn.layers.validation import check_positive

VALIDATION_BATCH = 1024


class BatchedWindows(Protocol):
    """Windows that can be read many at once."""

    def __len__(self) -> int:
        """How many there are."""

    def batch(self, indices: Tensor) -> WindowBatch:
        """Those of these numbers."""


class ForecastDataModule(pl.LightningDataModule):
    """Windows for training, drawn anew in every epoch, and for validation."""

    def __init__(
        self,
        train: BatchedWindows,
        validation: BatchedWindows | None = None,
        *,
        batch_size: int = 128,
        seed: int = 1,
    ) -> None:
        """Puts windows into batches.

        Args:
            train: windows to train on.
            validation: windows that choose the best weights, or None.
            batch_size: windows per optimizer step.
            seed: of the order of the windows.

        Raises:
            ValueError: if ``batch_size`` is below 1, or there is no window to train on.
        """
        super().__init__()
        check_positive("batch_size", [batch_size])
        if len(train) == 0:
            raise ValueError("train: no window; give longer series, or a shorter h or input_size")
        self.train = train
        self.validation = validation
        self.batch_size = batch_size
        self.seed = seed

    @override
    def train_dataloader(self) -> DataLoader[WindowBatch]:
        order = _Shuffled(len(self.train), self.batch_size, self.seed)
        return DataLoader(_Batches(self.train), batch_size=None, sampler=order)

    @override
    def val_dataloader(self) -> DataLoader[WindowBatch] | list[Any]:
        if self.validation is None:
            return []
        order = torch.arange(len(self.validation)).split(VALIDATION_BATCH)
        return DataLoader(_Batches(self.validation), batch_size=None, sampler=order)


class _Batches(Dataset[WindowBatch]):
    """Windows by lists of their numbers."""

    def __init__(self, windows: BatchedWindows) -> None:
        self.windows = windows

    def __getitem__(self, indices: Tensor) -> WindowBatch:
        return self.windows.batch(indices)


class _Shuffled(Sampler[Tensor]):
    """Every number once per epoch, in batches; the order depends on seed and epoch alone."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.count, generator=generator).split(self.batch_size))
