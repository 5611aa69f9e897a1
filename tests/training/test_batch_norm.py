"""A last batch of one sequence of one step: what stops the run, and that each cure named helps."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tcn.data.loading import SequenceDataModule, TensorSequences
from tcn.models import TCN, SequenceModel
from tcn.training import Batch, Regression

MESSAGE = (
    r"x: 1 valid step in the batch, .*; train with more steps or sequences \(a last batch of one "
    r"row is left out by drop_last=True of the loader, or avoided by another batch_size\), build "
    r"the net with norm='layer', or call eval\(\)"
)


class Nine(SequenceDataModule):
    """Nine sequences of one step."""

    in_channels, out_channels = 2, 1

    def make_dataset(self, split: str) -> TensorSequences:
        return TensorSequences(torch.randn(9, 2, 1), torch.randn(9, 1, 1))


def fit(data: Any, norm: str = "batch") -> int:
    """The steps that were taken."""
    running = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    running.fit(Regression(SequenceModel(TCN(2, [4], 2, norm=norm), 1)), data)
    return running.global_step


def loader(**options: Any) -> DataLoader:
    data = TensorSequences(torch.randn(9, 2, 1), torch.randn(9, 1, 1))
    return DataLoader(data, batch_size=4, collate_fn=lambda batch: batch, **options)


def test_one_value_stops_the_run_and_the_cures_help() -> None:
    with pytest.raises(ValueError, match=MESSAGE):
        fit(loader())
    assert fit(loader(drop_last=True)) == 2
    assert fit(loader(), norm="layer") == 3
    with pytest.raises(ValueError, match=MESSAGE):
        fit(Nine(batch_size=4, seed=0))
    assert fit(Nine(batch_size=3, seed=0)) == 3


def test_one_valid_step_among_padding_is_one_value() -> None:
    x, y = torch.randn(1, 2, 5), torch.randn(1, 1, 5)
    batches = [Batch(x, y, torch.tensor([length])) for length in (5, 1)]
    with pytest.raises(ValueError, match=MESSAGE):
        fit(DataLoader(batches, batch_size=None))
