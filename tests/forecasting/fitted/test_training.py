"""Training: the loss in its units, the best weights, seeds, and what is refused."""

import math
import warnings

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tcn.forecasting.fitted.net import ForecastNet
from tcn.forecasting.fitted.setting_groups import TrainingSettings
from tcn.forecasting.fitted.sizes import Sizes
from tcn.forecasting.fitted.training import ForecastTask, train
from tcn.forecasting.fitted.training_data import ForecastDataModule
from tcn.forecasting.windows.batch import WindowBatch
from tcn.models import TCN
from tcn.outputs import output
from tcn.training.reproducibility import seeded

SIZES = Sizes(h=2, input_size=6)


class Waves:
    """Windows of a sine of period 5 and random phase, which six steps determine."""

    def __init__(self, count: int, *, seed: int = 0, scale: float = 1.0) -> None:
        phase = torch.rand(count, 1, generator=torch.Generator().manual_seed(seed)) * 6.3
        self.rows = scale * torch.sin(torch.arange(8) * 2 * math.pi / 5 + phase)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> WindowBatch:
        return self.batch(torch.as_tensor(indices))

    def batch(self, indices: Tensor) -> WindowBatch:
        rows = self.rows[indices].unsqueeze(1)
        count = len(rows)
        past, horizon = rows[..., :6], rows[..., 6:]
        return WindowBatch(
            target=past,
            observed=torch.ones_like(past, dtype=torch.bool),
            exogenous=past[:, :0],
            future=horizon[:, :0],
            static=torch.empty(count, 0),
            categories=torch.empty(count, 0, dtype=torch.long),
            horizon=horizon,
            horizon_observed=torch.ones_like(horizon, dtype=torch.bool),
            series=torch.zeros(count, dtype=torch.long),
            position=torch.full((count,), 99),
        )


def task_of(loss: str = "mse", *, rate: float = 1e-2, scaler: str = "identity") -> ForecastTask:
    torch.manual_seed(0)
    made = output(loss)
    sizes = Sizes(h=2, input_size=6, outputs=made.size)
    net = ForecastNet(TCN(1, [6], 3, dropout=0.1), sizes, window_scaler=scaler, skip="linear")
    return ForecastTask(net, made, learning_rate=rate)


def run(task: ForecastTask, data: ForecastDataModule, **settings: int) -> dict[str, float]:
    return train(task, data, TrainingSettings(**settings, accelerator="cpu"))


def loss_of(task: ForecastTask, batch: WindowBatch) -> Tensor:
    return task.loss(task(batch), batch)[0]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "mase", "normal", "student_t", "mixture"])
def test_the_loss_falls(loss: str) -> None:
    task, data = task_of(loss), ForecastDataModule(Waves(200), Waves(50, seed=1), batch_size=32)
    before = loss_of(task.eval(), Waves(50, seed=1).batch(torch.arange(50))).item()
    report = run(task, data, max_steps=150, val_check_steps=50)
    assert report["val_loss"] < before - 0.3 * abs(before)


def test_a_point_loss_is_in_the_units_of_the_series() -> None:
    # By hand: scaling the windows by 10 scales squared errors by 100, whatever the window scaler.
    task = task_of(scaler="standard").eval()
    small, large = (
        loss_of(task, Waves(64, scale=s).batch(torch.arange(64))).item() for s in (1, 10)
    )
    assert large == pytest.approx(100 * small, rel=1e-3)


def test_a_likelihood_is_in_the_units_of_the_window() -> None:
    # There a scale costs nothing, so that series of any size weigh alike.
    task = task_of("normal", scaler="standard").eval()
    small, large = (
        loss_of(task, Waves(64, scale=s).batch(torch.arange(64))).item() for s in (1, 10)
    )
    assert large == pytest.approx(small, rel=1e-3)


def test_a_learned_scale_cannot_make_a_likelihood_grow() -> None:
    task = task_of("normal", scaler="revin").eval()
    batch = Waves(64).batch(torch.arange(64))
    before = task.net.to_window(batch.horizon, task(batch).statistics)
    with torch.no_grad():
        task.net.window_scaler.weight.mul_(1e-3)
    torch.testing.assert_close(task.net.to_window(batch.horizon, task(batch).statistics), before)


def test_what_is_not_observed_counts_in_no_loss() -> None:
    task = task_of().eval()
    batch = Waves(8).batch(torch.arange(8))
    batch.horizon_observed[:, :, 1] = False
    other = batch._replace(horizon=batch.horizon.masked_fill(~batch.horizon_observed, 1e9))
    assert torch.equal(loss_of(task, batch), loss_of(task, other))


def test_the_best_weights_come_back() -> None:
    # A rate so large that the last weights are far worse than the best ones.
    task, validation = task_of(rate=3.0), Waves(50, seed=1)
    data = ForecastDataModule(Waves(100), validation, batch_size=16)
    report = run(task, data, max_steps=60, val_check_steps=3)
    assert loss_of(task, validation.batch(torch.arange(50))).item() == pytest.approx(
        report["val_loss"], rel=1e-5
    )
    assert not task.training


def test_training_stops_when_validation_no_longer_improves() -> None:
    task = task_of(rate=0.5)
    data = ForecastDataModule(Waves(100), Waves(50, seed=1), batch_size=16)
    report = run(task, data, max_steps=1000, val_check_steps=5, early_stop_patience_steps=2)
    assert report["steps"] < 1000


def test_the_mean_over_validation_windows_does_not_depend_on_batches(monkeypatch) -> None:
    monkeypatch.setattr("tcn.forecasting.fitted.training_data.VALIDATION_BATCH", 7)
    task, validation = task_of(rate=1e-9), Waves(20, seed=1)
    report = run(task, ForecastDataModule(Waves(20), validation), max_steps=1)
    assert report["val_loss"] == pytest.approx(
        loss_of(task, validation.batch(torch.arange(20))).item()
    )


def test_a_seed_gives_the_same_weights_and_leaves_the_global_numbers_alone() -> None:
    weights = []
    for before in (123, 456):
        torch.manual_seed(before)
        state = torch.get_rng_state()
        with seeded(7):
            task = ForecastTask(ForecastNet(TCN(1, [6], 3, dropout=0.5), SIZES), output("mse"))
            run(task, ForecastDataModule(Waves(40), batch_size=8), max_steps=12)  # fmt: skip
        weights.append(torch.cat([p.detach().flatten() for p in task.parameters()]))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*weights)


def test_another_seed_gives_another_order_and_every_epoch_its_own() -> None:
    def order(seed: int, epoch: int) -> list[float]:
        loader = ForecastDataModule(Waves(40), batch_size=40, seed=seed).train_dataloader()
        loader.sampler.set_epoch(epoch)
        (batch,) = loader
        return batch.target[:, 0, 0].tolist()

    orders = [order(1, 0), order(1, 1), order(2, 0)]
    assert order(1, 0) == orders[0]
    assert len({tuple(each) for each in orders}) == 3
    assert len({tuple(sorted(each)) for each in orders}) == 1


def test_lightning_runs_the_task_without_us() -> None:
    trainer = pl.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task_of(), datamodule=ForecastDataModule(Waves(20), Waves(5), batch_size=10))
    assert {"train_loss", "val_loss"} <= trainer.callback_metrics.keys()


def test_training_says_nothing_of_its_own() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(task_of(), ForecastDataModule(Waves(20), Waves(5)), max_steps=2)
    assert [str(each.message) for each in said] == []


def test_numbers_that_are_not_finite_are_refused_by_name() -> None:
    waves = Waves(20)
    waves.rows[3, 2] = torch.nan
    with pytest.raises(ValueError, match="target holds 1 NaN or infinite values of 120 at step 0"):
        run(task_of(), ForecastDataModule(waves, batch_size=20), max_steps=2)


def test_a_loss_that_is_not_finite_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"training loss is (inf|nan) at step \d+: lower learning"):
        run(task_of(), ForecastDataModule(Waves(20, scale=1e30), batch_size=20), max_steps=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: task_of(rate=0.0), "learning_rate: 0.0 must be above 0"),
        (
            lambda: ForecastTask(ForecastNet(TCN(1, [2], 2), SIZES), output("mse"),
                                 weight_decay=-1.0),
            "weight_decay: -1.0 must not be negative",
        ),
        (lambda: ForecastDataModule(Waves(3), batch_size=0), "batch_size: 0 must be at least 1"),
        (lambda: ForecastDataModule(Waves(0)), "train: no window"),
        (
            lambda: run(task_of(), ForecastDataModule(Waves(3)), max_steps=0),
            "max_steps: 0 must be at least 1",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
