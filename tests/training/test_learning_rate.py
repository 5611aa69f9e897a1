"""The learning rate of a task: found by Lightning's tuner, and run out in a schedule."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner import Tuner
from torch.utils.data import DataLoader

from tcn.models import TCN, SequenceModel
from tcn.training import CosineDecay, OneCycle, Regression

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about tiny epochs


def rows() -> DataLoader:
    x, y = torch.randn(16, 2, 9), torch.randn(16, 3)
    return DataLoader(list(zip(x, y, strict=True)), batch_size=4)


def task(**settings) -> Regression:
    return Regression(SequenceModel(TCN(2, [4], 2), 3, readout="last"), **settings)


def trainer(folder: Path, epochs: int = 1) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(max_epochs=epochs, accelerator="cpu", default_root_dir=folder, **quiet)


def test_the_tuner_finds_the_rate_and_the_next_fit_takes_it(tmp_path: Path) -> None:
    tuned = task()
    assert tuned.lr == 1e-3  # Adam's own
    found = Tuner(trainer(tmp_path, 9)).lr_find(tuned, rows(), num_training=30)
    assert found is not None
    assert tuned.lr == found.suggestion() != 1e-3
    run = trainer(tmp_path)
    run.fit(tuned, rows())
    assert run.optimizers[0].param_groups[0]["lr"] == tuned.lr


def test_the_rate_is_that_of_the_optimizer_unless_it_is_set(tmp_path: Path) -> None:
    tuned = task(optimizer=lambda p: torch.optim.SGD(p, 0.25), lr_scheduler=CosineDecay(final=0.5))
    assert tuned.lr == 0.25
    tuned.lr = 0.1
    assert tuned.lr == 0.1
    run = trainer(tmp_path)
    run.fit(tuned, rows())
    group = run.optimizers[0].param_groups[0]
    assert (group["initial_lr"], group["lr"]) == (0.1, pytest.approx(0.05))


def test_more_epochs_than_a_cycle_was_built_for(tmp_path: Path) -> None:
    begun = trainer(tmp_path, 2)
    begun.fit(task(lr_scheduler=OneCycle(0.01)), rows())
    begun.save_checkpoint(tmp_path / "two.ckpt")
    message = r"lr_scheduler: step 9 of a OneCycle that was built for 8 steps, .*; continue a run"
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, 3).fit(
            task(lr_scheduler=OneCycle(0.01)), rows(), ckpt_path=tmp_path / "two.ckpt"
        )
