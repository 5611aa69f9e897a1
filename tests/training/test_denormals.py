"""Denormal numbers are zero while a task is trained, in every thread, and are back afterwards."""

from collections.abc import Iterator

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tcn.native import flushing_denormals, library
from tcn.training import Regression

DENORMAL = 1e-39


def kept() -> list[bool]:
    """Whether denormals are numbers: to this thread, and in the products of all of them."""
    single, many = torch.tensor(DENORMAL), torch.full((2**20,), DENORMAL)
    return [bool(single * 1 != 0), bool((many * 1 != 0).all()), bool((many * 1 != 0).any())]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class Looks(pl.Callback):
    """Notes what denormals are in every step, and may break the training off."""

    def __init__(self, error: type[Exception] | None = None) -> None:
        self.found: list[list[bool]] = []
        self.error = error

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.found.append(kept())
        if self.error is not None:
            raise self.error("enough")


def fit(looks: Looks) -> None:
    data = DataLoader(TensorDataset(torch.randn(4, 1, 3), torch.randn(4, 1, 3)), batch_size=2)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[looks],
    )  # fmt: skip
    trainer.fit(Regression(nn.Conv1d(1, 1, 1)), data)


def test_zero_in_training_and_back_afterwards(threads: int) -> None:
    if threads > 1 and library() is None:
        pytest.skip("the native library is not built")
    assert kept() == [True] * 3
    looks = Looks()
    fit(looks)
    assert looks.found == [[False] * 3] * 2
    assert kept() == [True] * 3


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_back_after_a_training_that_was_broken_off(error: type[Exception]) -> None:
    looks = Looks(error)
    with pytest.raises((RuntimeError, KeyboardInterrupt, SystemExit)):
        fit(looks)
    assert looks.found == [[False] * 3]
    assert kept() == [True] * 3


def test_what_was_set_before_is_set_afterwards() -> None:
    torch.set_flush_denormal(True)
    try:
        with flushing_denormals():
            pass
        assert not kept()[0]
    finally:
        torch.set_flush_denormal(False)
