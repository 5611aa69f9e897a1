"""Which epoch is kept as the best one, when two are as good by the metric that chooses."""

import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tcn.training import Batch, BestCheckpoint, Classification

Epoch = tuple[float, float]
"""Accuracy and loss of validation."""


class Plays(pl.LightningModule):
    """Logs what it was told to, epoch by epoch; its one weight counts the epochs."""

    def __init__(self, epochs: list[Epoch]) -> None:
        super().__init__()
        self.epochs = epochs
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        accuracy, loss = self.epochs[self.current_epoch]
        self.log("val_accuracy", torch.tensor(accuracy, dtype=torch.float64))
        self.log("val_loss", torch.tensor(loss, dtype=torch.float64))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1)


def best(folder: Path, top: int = 1, mode: str = "max") -> BestCheckpoint:
    return BestCheckpoint(folder, "{epoch}", monitor="val_accuracy", mode=mode, save_top_k=top)


def play(
    epochs: list[Epoch], callback: ModelCheckpoint, *, until: int | None = None, **resume: str
) -> None:
    running = pl.Trainer(
        accelerator="cpu", max_epochs=until or len(epochs), logger=False, num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
    )  # fmt: skip
    loader = DataLoader(torch.zeros(1))
    running.fit(Plays(epochs), loader, loader, **resume)


def kept(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("epoch=")) for path in folder.glob("epoch=*.ckpt"))


def test_the_loss_decides_among_epochs_as_accurate(tmp_path: Path) -> None:
    """Epoch 2 by hand: the accuracy never leaves 1, the loss is lowest there."""
    callback = best(tmp_path)
    play([(1.0, 0.41), (1.0, 0.2), (1.0, 0.11), (1.0, 0.15)], callback)
    assert kept(tmp_path) == [2]
    assert Path(callback.best_model_path).stem == "epoch=2"


def test_the_metric_comes_before_the_loss(tmp_path: Path) -> None:
    play([(0.5, 0.1), (0.75, 0.9), (0.5, 0.01)], best(tmp_path))
    assert kept(tmp_path) == [1]


def test_of_two_that_tie_the_one_with_the_higher_loss_is_given_up(tmp_path: Path) -> None:
    play([(1.0, 0.1), (1.0, 0.9), (1.0, 0.5)], best(tmp_path, top=2))
    assert kept(tmp_path) == [0, 2]


def test_no_loss_is_no_reason(tmp_path: Path) -> None:
    """NaN is not lower than anything, and anything is lower than NaN."""
    play([(1.0, math.nan), (1.0, 0.5), (1.0, math.nan)], best(tmp_path))
    assert kept(tmp_path) == [1]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_loss_decides_where_the_metric_never_is_a_number(mode: str, tmp_path: Path) -> None:
    """As the average precision of validation data without a positive; any number is better."""
    play([(math.nan, 0.4), (math.nan, 0.1), (math.nan, 0.2)], best(tmp_path, mode=mode))
    assert kept(tmp_path) == [1]
    play([(math.nan, 0.4), (0.5, 0.9), (math.nan, 0.2)], best(tmp_path / "then", mode=mode))
    assert kept(tmp_path / "then") == [1]


@settings(max_examples=12)
@given(
    epochs=st.lists(
        st.tuples(st.sampled_from([0.25, 0.5]), st.integers(0, 3).map(float)),
        min_size=1,
        max_size=6,
    ),
    top=st.integers(1, 3),
    mode=st.sampled_from(["min", "max"]),
    stop=st.integers(1, 6),
)
def test_the_first_of_all_sorted_by_metric_and_loss_are_kept(
    epochs: list[Epoch], top: int, mode: str, stop: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By the definition, a stable sort; and a run that was stopped and resumed keeps the same."""
    sign = -1 if mode == "max" else 1
    order = sorted(range(len(epochs)), key=lambda n: (sign * epochs[n][0], epochs[n][1]))
    folder = tmp_path_factory.mktemp("kept")
    callback = best(folder, top, mode)
    stop = min(stop, len(epochs))
    last = ModelCheckpoint(folder / "last", "last", enable_version_counter=False)
    running = pl.Trainer(
        accelerator="cpu", max_epochs=stop, logger=False, num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[callback, last],
    )  # fmt: skip
    loader = DataLoader(torch.zeros(1))
    running.fit(Plays(epochs), loader, loader)
    if stop < len(epochs):
        callback = best(folder, top, mode)
        play(epochs, callback, ckpt_path=str(folder / "last" / "last.ckpt"))
    assert kept(folder) == sorted(order[:top])
    assert Path(callback.best_model_path).stem == f"epoch={order[0]}"


def test_a_run_begun_with_lightnings_own_goes_on(tmp_path: Path) -> None:
    """Its best epoch is known, its loss is not: a tie leaves it where it is."""
    epochs = [(0.5, 0.9), (0.5, 0.1), (0.75, 0.2)]
    own = ModelCheckpoint(tmp_path, "{epoch}", monitor="val_accuracy", mode="max")
    play(epochs, own, until=1)
    (path,) = tmp_path.glob("*.ckpt")
    callback = best(tmp_path)
    play(epochs, callback, until=2, ckpt_path=str(path))
    assert kept(tmp_path) == [0]
    assert float(callback.best_model_score) == 0.5
    play(epochs, best(tmp_path), ckpt_path=str(path))
    assert 2 in kept(tmp_path)


class Scales(nn.Module):
    """Two classes, told apart from the start: only the loss is left to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([-x, x], dim=1) * self.scale


def test_a_task_that_is_right_from_the_first_epoch_on(tmp_path: Path) -> None:
    x = torch.tensor([-1.0, 1.0, 2.0, -2.0])
    loader = DataLoader([Batch(x, (x > 0).long())], batch_size=None)
    task = Classification(Scales(), optimizer=lambda p: torch.optim.SGD(p, lr=0.5))
    callback = BestCheckpoint(tmp_path, "{epoch}", monitor=task.monitor[0], mode=task.monitor[1])
    running = pl.Trainer(
        accelerator="cpu", max_epochs=5, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback],
    )  # fmt: skip
    running.fit(task, loader, loader)
    assert float(callback.best_model_score) == 1.0
    assert kept(tmp_path) == [4]
