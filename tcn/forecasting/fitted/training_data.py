"""Windows in batches, as Lightning takes them: in a new order each epoch, and for validation."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader
from typing_extensions import override

from tcn.data.loading import EpochShuffle, SequenceDataModule, Split, batches
from tcn.forecasting.windows.windows import Windows
from tcn.layers.validation import check_positive

VALIDATION_BATCH = 1024


class ForecastDataModule(SequenceDataModule):
    """Windows for training, drawn anew in every epoch, and for validation."""

    def __init__(
        self,
        train: Windows,
        validation: Windows | None = None,
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
        check_positive("batch_size", [batch_size])
        super().__init__(batch_size=batch_size, seed=seed)
        if len(train) == 0:
            raise ValueError("train: no window; give longer series, or a shorter h or input_size")
        self.train, self.validation = train, validation

    @override
    def make_dataset(self, split: Split) -> Any:
        return self.train if split == "train" else self.validation

    @override
    def training_order(self, size: int) -> EpochShuffle:
        return _Order(size, self.seed)

    @override
    def val_dataloader(self) -> DataLoader[Any] | list[Any]:  # type: ignore[override]
        if self.validation is None:
            return []
        return batches(self.make_dataset("validation"), VALIDATION_BATCH)


class _Order(EpochShuffle):
    """A new order in every epoch, from the numbers of the published forecasts."""

    @override
    def numbers(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
