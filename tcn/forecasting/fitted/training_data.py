"""Windows in batches, as Lightning takes them: in a new order each epoch, and for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from tcn.data.loading import EpochShuffle
from tcn.forecasting.windows.windows import WindowBatch
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
        order = _Order(len(self.train), self.seed)
        return DataLoader(
            _Batches(self.train), self.batch_size, sampler=order, collate_fn=_already_a_batch
        )

    @override
    def val_dataloader(self) -> DataLoader[WindowBatch] | list[Any]:
        if self.validation is None:
            return []
        return DataLoader(_Batches(self.validation), VALIDATION_BATCH, collate_fn=_already_a_batch)


class _Batches(Dataset[WindowBatch]):
    """Windows by lists of their numbers."""

    def __init__(self, windows: BatchedWindows) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitems__(self, indices: Sequence[int]) -> WindowBatch:
        return self.windows.batch(torch.as_tensor(indices))


class _Order(EpochShuffle):
    """A new order in every epoch, from the numbers of the published forecasts."""

    @override
    def numbers(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)


def _already_a_batch(batch: Any) -> Any:
    return batch
