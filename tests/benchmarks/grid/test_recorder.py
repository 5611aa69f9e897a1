"""A run killed and resumed gives the numbers of one never killed; in one process, to be quick."""

import contextlib
import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from benchmarks.grid.checkpoints import intact, restore, save, training_state
from benchmarks.grid.journal import JournalReader
from benchmarks.grid.recorder import Recorder
from tcn.training import Regression, SeedEveryEpoch
from tcn.training.schedules import OneCycle

EPOCHS = 6


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of the recorder runs after it."""


class KillAt(pl.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            raise Killed


class EpochSampler(Sampler[int]):
    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 32

    def __iter__(self):  # type: ignore[no-untyped-def]
        generator = torch.Generator().manual_seed(self.epoch)
        return iter(torch.randperm(32, generator=generator).tolist())


def step(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.StepLR:
    return torch.optim.lr_scheduler.StepLR(optimizer, 2)


def plateau(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.2)


SCHEDULES = {"none": None, "step": step, "plateau": plateau, "cycle": OneCycle(max_lr=0.1)}


def fit(folder: Path, schedule: str, *further: pl.Callback) -> tuple[Recorder, list[Tensor]]:
    torch.manual_seed(0)
    x = torch.randn(32, 4, 1)
    y = x.sum(dim=1, keepdim=True) + 0.1 * torch.randn(32, 1, 1)
    net = nn.Sequential(nn.Conv1d(4, 8, 1), nn.Dropout(0.3), nn.Conv1d(8, 1, 1))
    module = Regression(
        net,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05),
        lr_scheduler=SCHEDULES[schedule],
    )
    recorder = Recorder(folder, metric="val_mse", mode="min")
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[SeedEveryEpoch(3), *further, recorder],
    )
    data = TensorDataset(x, y)
    with contextlib.suppress(Killed):
        trainer.fit(
            module, DataLoader(data, 8, sampler=EpochSampler()), DataLoader(data, batch_size=32)
        )
    return recorder, [parameter.detach().clone() for parameter in module.parameters()]


def timeless(recorder: Recorder) -> list[dict[str, float]]:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in recorder.history]


def stop_early() -> pl.callbacks.EarlyStopping:
    return pl.callbacks.EarlyStopping("val_mse", patience=1, min_delta=0.05)


@pytest.mark.parametrize("early", [False, True], ids=["all epochs", "stopped early"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resumed_equals_never_killed(tmp_path, schedule, early):
    stopping = [stop_early()] if early else []
    whole, expected = fit(tmp_path / "whole", schedule, *stopping)
    assert 2 < len(whole.history) < EPOCHS if early else len(whole.history) == EPOCHS
    folder = tmp_path / "killed"
    for epoch in (1, 1, 2):
        stopping = [stop_early()] if early else []
        fit(folder, schedule, *stopping, KillAt(epoch))
    stopping = [stop_early()] if early else []
    resumed, weights = fit(folder, schedule, *stopping)
    assert timeless(resumed) == timeless(whole)
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))
    assert vars(resumed.best) == vars(whole.best)
    assert resumed.resumed > 0
    for name, tensor in whole.best_weights().items():
        assert torch.equal(tensor, resumed.best_weights()[name])


def test_a_finished_fit_is_known_as_finished(tmp_path):
    first, _ = fit(tmp_path, "none")
    again = Recorder(tmp_path, metric="val_mse", mode="min")
    assert first.finished
    assert again.finished
    assert again.history == first.history


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    whole, expected = fit(tmp_path / "whole", "plateau")
    folder = tmp_path / "killed"
    fit(folder, "plateau", KillAt(4))
    newest, before = sorted(folder.glob("epoch-*.ckpt"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])
    recorder = Recorder(folder, metric="val_mse", mode="min")
    assert len(recorder.history) == 3
    before.write_bytes(b"")
    assert Recorder(folder, metric="val_mse", mode="min").history == []
    resumed, weights = fit(folder, "plateau")
    assert timeless(resumed) == timeless(whole)
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))


def test_a_damaged_best_checkpoint_is_never_tested_for_another(tmp_path):
    whole, _ = fit(tmp_path / "whole", "none")
    folder = tmp_path / "killed"
    fit(folder, "none", KillAt(4))
    for best in folder.glob("best-*.ckpt"):
        best.write_bytes(b"")
    resumed, _ = fit(folder, "none", KillAt(2))
    assert resumed.resumed == 0  # begun anew: no checkpoint had its best epoch whole
    assert [epoch for epoch, _ in intact(folder, "epoch")] == [2, 1]  # the old ones are gone
    resumed, _ = fit(folder, "none")
    assert timeless(resumed) == timeless(whole)
    assert resumed.best_weights().keys() == whole.best_weights().keys()


def test_seconds_go_on_where_they_were(tmp_path):
    killed, _ = fit(tmp_path, "none", KillAt(3))
    resumed, _ = fit(tmp_path, "none")
    seconds = [epoch["seconds"] for epoch in resumed.history]
    assert seconds[:3] == [epoch["seconds"] for epoch in killed.history]
    assert seconds == sorted(seconds)
    assert 0 < resumed.training_seconds <= seconds[-1]


def test_the_journal_tells_every_epoch(tmp_path):
    recorder, _ = fit(tmp_path, "none")
    events = list(JournalReader(tmp_path).events())
    assert events[0]["event"] == "start"
    values = [event["value"] for event in events if event["event"] == "epoch"]
    assert values == [epoch["val_mse"] for epoch in recorder.history]


def test_a_metric_nobody_logs_is_refused_with_those_logged(tmp_path):
    recorder = Recorder(tmp_path, metric="val_accuracy", mode="max")
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, callbacks=[recorder],
    )  # fmt: skip
    data = DataLoader(TensorDataset(torch.randn(8, 1, 2), torch.randn(8, 1, 2)), batch_size=8)
    with pytest.raises(ValueError, match=r"'val_accuracy', logged are: train_loss.*val_mse"):
        trainer.fit(Regression(nn.Conv1d(1, 1, 1)), data, data)


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ((3.0, 1.0, 2.0), "min", 2),
        ((3.0, 1.0, 3.0), "max", 1),  # the first of equals
        ((math.nan, 2.0, 1.0), "min", 3),
        ((math.nan, 2.0, math.nan), "max", 2),
    ],
)
def test_best_epoch(tmp_path, values, mode, best):
    recorder = Recorder(tmp_path, metric="val_mse", mode=mode)

    class Trainer:
        lightning_module = nn.Linear(1, 1)

    for epoch, value in enumerate(values, start=1):
        recorder._keep_best(Trainer(), epoch, value)  # type: ignore[arg-type]
    assert recorder.best_epoch == best
    assert best in dict(intact(tmp_path, "best"))


def test_checkpoints_come_newest_first_and_kinds_apart(tmp_path):
    for epoch in (2, 10, 9):
        save(tmp_path, "epoch", epoch, {"x": torch.tensor(epoch)})
    save(tmp_path, "best", 11, {})
    assert [(epoch, int(content["x"])) for epoch, content in intact(tmp_path, "epoch")] == [
        (10, 10),
        (9, 9),
        (2, 2),
    ]


def test_the_scale_of_gradients_goes_on_where_it_was():
    """Under 16-mixed: begun again at 65536, a resumed run would skip steps that it did not."""

    def trainer(scale: float) -> pl.Trainer:
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        precision = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        made = pl.Trainer(accelerator="cpu", plugins=[precision], logger=False)
        made.strategy._lightning_module = pl.LightningModule()
        return made

    resumed = trainer(65536.0)
    restore(resumed, training_state(trainer(8.0), 0))
    assert resumed.precision_plugin.scaler.get_scale() == 8.0
