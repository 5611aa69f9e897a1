"""Training for real, on a tiny net: clipping, schedules, checkpoints, resuming, refusals."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from tcn.training import CosineDecay, OneCycle, Regression, SeedEveryEpoch

STEPS = 5  # per epoch


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Lightning warns of tiny epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


class Shuffled(Sampler[int]):
    """An order that is a function of the epoch."""

    def __init__(self, size: int) -> None:
        self.size, self.epoch = size, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.epoch)
        return iter(torch.randperm(self.size, generator=generator).tolist())


def dataset(size: int = 4 * STEPS) -> TensorDataset:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(size, 3, generator=generator)
    return TensorDataset(x, x.sum(1, keepdim=True) + 1)


def training_loader() -> DataLoader:
    data = dataset()
    return DataLoader(data, batch_size=4, sampler=Shuffled(len(data)))


def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))


def adam(lr: float = 1e-2):
    return lambda parameters: torch.optim.Adam(parameters, lr=lr)


def trainer(folder: Path | None = None, **arguments) -> pl.Trainer:
    settings = {"max_epochs": 4, "logger": False, "accelerator": "cpu", "default_root_dir": folder}
    settings |= {"enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**(settings | arguments))


class History(pl.Callback):
    """Metrics of every epoch, and the learning rate of every step."""

    def __init__(self) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.rates: dict[int, float] = {}

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.rates[trainer.global_step] = optimizer.param_groups[0]["lr"]

    def on_train_end(self, trainer, pl_module) -> None:
        self.final = {k: v.item() for k, v in trainer.callback_metrics.items()}

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        values = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("val")}
        self.metrics[trainer.current_epoch] = values


class KilledAt(pl.Callback):
    """Raises in the middle of an epoch, as a killed process would never return."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, 2):
            raise InterruptedError("killed")


SCHEDULES = {
    "none": None,
    "per epoch": lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=1, gamma=0.7),
    # A threshold nobody reaches, so that the rate falls at the end of every epoch but the first.
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(
        o, patience=0, threshold=0.99, factor=0.5
    ),
    "one cycle": OneCycle(1e-2),
    "cosine": CosineDecay(warmup=0.1),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resumed_run_equals_the_run_never_stopped(tmp_path: Path, schedule: str):
    def run(folder: Path, killed: int | None = None, resume: Path | None = None):
        history, early = History(), EarlyStopping("val_mse", patience=50)
        latest = ModelCheckpoint(folder, "last", save_top_k=1, enable_version_counter=False)
        callbacks = [SeedEveryEpoch(1), history, early, latest]
        if killed is not None:
            callbacks.append(KilledAt(killed))
        torch.manual_seed(
            0 if resume is None else 99
        )  # nothing may hang on the seed of the process
        task = Regression(net(), optimizer=adam(), lr_scheduler=SCHEDULES[schedule])
        loaders = training_loader(), DataLoader(dataset(), batch_size=7)
        trainer(folder, callbacks=callbacks).fit(task, *loaders, ckpt_path=resume)
        return task, history, early

    straight, expected, patience = run(tmp_path / "straight")
    with pytest.raises(InterruptedError):
        run(tmp_path / "killed", killed=2)
    resumed, actual, resumed_patience = run(
        tmp_path / "resumed", resume=tmp_path / "killed" / "last.ckpt"
    )
    assert sorted(actual.metrics) == [2, 3]
    assert actual.metrics == {epoch: expected.metrics[epoch] for epoch in (2, 3)}
    assert actual.final == expected.final
    assert actual.rates == {step: expected.rates[step] for step in actual.rates}
    assert patience.wait_count == resumed_patience.wait_count
    for name, weight in straight.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_seeding_differs_between_epochs_and_not_between_runs():
    class Draws(pl.Callback):
        def __init__(self) -> None:
            self.drawn: list[float] = []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if batch_idx == 0:
                self.drawn.append(torch.rand(1).item())

    def drawn(seed: int) -> list[float]:
        draws = Draws()
        torch.manual_seed(torch.seed())
        settings = {"callbacks": [SeedEveryEpoch(seed), draws], "enable_checkpointing": False}
        trainer(max_epochs=3, **settings).fit(Regression(net()), training_loader())
        return draws.drawn

    first = drawn(1)
    assert len(set(first)) == 3
    assert drawn(1) == first
    assert not set(drawn(2)) & set(first)
    with pytest.raises(ValueError, match="seed is -1: give 0 or more"):
        SeedEveryEpoch(-1)


def test_clipping_acts():
    class Norms(pl.Callback):
        def __init__(self) -> None:
            self.before: list[float] = []
            self.after: list[float] = []

        def norm(self, module: nn.Module) -> float:
            return nn.utils.get_total_norm([p.grad for p in module.parameters()]).item()

        def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
            self.before.append(self.norm(pl_module))  # Lightning clips after this hook

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            self.after.append(self.norm(pl_module))

    norms = Norms()
    settings = {"callbacks": [norms], "gradient_clip_val": 0.1, "enable_checkpointing": False}
    trainer(max_epochs=1, **settings).fit(Regression(net()), training_loader())
    assert min(norms.before) > 0.1
    assert norms.after == pytest.approx([0.1] * STEPS, rel=1e-3)


def rates(schedule, **settings) -> list[float]:
    history = History()
    task = Regression(net(), optimizer=adam(0.5), lr_scheduler=schedule)
    settings |= {"callbacks": [history], "enable_checkpointing": False}
    trainer(**settings).fit(task, training_loader(), DataLoader(dataset(), batch_size=7))
    return list(history.rates.values())


def test_one_cycle_takes_its_length_from_the_run():
    # 4 epochs of 5 steps.
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < 20:
            reference.step()
    assert rates(OneCycle(0.1)) == pytest.approx(expected)
    assert max(expected) == pytest.approx(0.1, rel=0.01)


def test_cosine_by_hand():
    # 20 steps, 4 of them rising in fifths, then from 0.5 down over 16.
    observed = rates(CosineDecay(warmup=0.2))
    assert observed[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert observed[4 + 8] == pytest.approx(0.25)
    assert 0 < observed[-1] < 0.01
    assert rates(CosineDecay(final=0.5), max_steps=1) == [0.5]
    assert rates(CosineDecay(final=0.5))[-1] == pytest.approx(0.25, abs=0.01)


def test_schedules_refuse_nonsense():
    with pytest.raises(ValueError, match="max_lr is 0: give a learning rate above 0"):
        OneCycle(0)
    with pytest.raises(ValueError, match="rise is 3: give a share between 0 and 1"):
        OneCycle(0.1, rise=3)
    with pytest.raises(ValueError, match=r"warmup is -0\.1: give a share between 0 and 1"):
        CosineDecay(warmup=-0.1)
    with pytest.raises(ValueError, match="OneCycle needs the length of the run: set max_epochs"):
        rates(OneCycle(0.1), max_epochs=-1)


def test_one_cycle_gives_nobody_a_momentum():
    parameters = [torch.zeros(1, requires_grad=True)]
    with pytest.raises(ValueError, match="RMSprop has no momentum: set cycle_momentum to False"):
        OneCycle(0.1)(torch.optim.RMSprop(parameters), 10)
    plain = torch.optim.RMSprop(parameters)
    OneCycle(0.1, cycle_momentum=False)(plain, 10)
    assert plain.param_groups[0]["momentum"] == 0
    OneCycle(0.1)(torch.optim.SGD(parameters, momentum=0.9), 10)


def test_plateau_watches_the_metric_of_the_task_or_its_own():
    def plateau(optimizer):
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.99)

    # Nothing is 99 % better than the first epoch, so from the second on it falls every epoch.
    observed = rates(plateau)
    assert observed[::STEPS] == pytest.approx([0.5, 0.5, 0.05, 0.005])

    def elsewhere(optimizer):
        scheduler = plateau(optimizer)
        scheduler.monitor = "val_typo"
        return scheduler

    with pytest.raises(ValueError, match=r"watches 'val_typo', which is not logged: .*'val_mse'"):
        rates(elsewhere)


def halving(optimizer):
    """Nothing is 99 % better than the first value: from the second on every one halves the rate."""
    return torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=0, threshold=0.99, factor=0.5
    )


def test_plateau_has_no_opinion_of_an_epoch_without_validation():
    # Stopped within the first epoch, and within the third.
    assert rates(halving, max_steps=3) == [0.5] * 3
    assert rates(halving, max_steps=2 * STEPS + 2) == pytest.approx([0.5] * 10 + [0.25] * 2)
    # Validated after epochs 2 and 4 alone: the value after epoch 2 is not counted again after 3.
    assert rates(halving, check_val_every_n_epoch=2, max_epochs=6)[::STEPS] == pytest.approx(
        [0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    )


def test_plateau_may_watch_the_training_loss():
    def watching(optimizer):
        scheduler = halving(optimizer)
        scheduler.monitor = "train_loss_epoch"
        return scheduler

    observed = rates(watching, check_val_every_n_epoch=4)
    assert observed[::STEPS] == pytest.approx([0.5, 0.5, 0.25, 0.125])


@pytest.mark.parametrize("schedule", [None, halving])
def test_validating_before_the_fit_changes_nothing(schedule):
    """Metrics keep states of the validation, made in inference mode, which no fit can update."""

    def fitted(validate: bool) -> tuple[dict[str, float], dict[str, Tensor]]:
        task = Regression(net(), optimizer=adam(), lr_scheduler=schedule)
        history = History()
        run = trainer(callbacks=[SeedEveryEpoch(1), history], enable_checkpointing=False)
        loader = DataLoader(dataset(), batch_size=7)
        if validate:
            run.validate(task, loader, verbose=False)
        run.fit(task, training_loader(), loader)
        return history.final, task.state_dict()

    (metrics, weights), (expected, expected_weights) = fitted(True), fitted(False)
    assert metrics == expected
    for name, weight in weights.items():
        assert torch.equal(weight, expected_weights[name]), name


def test_epoch_schedules_step_once_an_epoch():
    observed = rates(lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=1, gamma=0.1))
    assert observed[::STEPS] == pytest.approx([0.5, 0.05, 0.005, 0.0005])


class Blind(nn.Module):
    """Sees the last channel alone: its loss is finite whatever the others hold."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[:, 2:])


def fit(x: Tensor, y: Tensor, *, lr: float = 1e-3, max_epochs: int = 1) -> None:
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    task = Regression(Blind(), optimizer=lambda p: torch.optim.SGD(p, lr=lr))
    trainer(enable_checkpointing=False, max_epochs=max_epochs).fit(task, loader)


def test_a_loss_that_is_not_finite_stops_the_run():
    x, y = dataset().tensors
    message = (
        r"training loss is (nan|inf) in epoch \d, batch \d: lower the learning rate or set grad"
    )
    with pytest.raises(ValueError, match=message):
        fit(x, y, lr=1e6, max_epochs=9)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_input_that_is_not_finite_is_refused(value: float):
    x, y = dataset().tensors
    x[9, :2] = value
    message = r"input x holds 2 NaN or infinite values of 12 in epoch 0, batch 2: fill them"
    with pytest.raises(ValueError, match=message):
        fit(x, y)


def test_target_that_is_not_finite_is_refused():
    x, y = dataset().tensors
    y[0] = float("nan")
    message = r"target y holds 1 NaN or infinite values of 4 in epoch 0, batch 0: fill them"
    with pytest.raises(ValueError, match=message):
        fit(x, y)


def test_what_is_logged():
    seen: dict[str, set[str]] = {}

    class Bar(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module) -> None:
            seen["bar"] = set(trainer.progress_bar_metrics)
            seen["all"] = set(trainer.callback_metrics)

    task = Regression(net())
    loaders = training_loader(), DataLoader(dataset(), batch_size=7)
    trainer(max_epochs=2, callbacks=[Bar()], enable_checkpointing=False).fit(task, *loaders)
    assert {"train_loss_step", "train_loss_epoch", "val_loss", "val_mse"} <= seen["all"]
    assert "val_mse" in seen["bar"]
    assert any(name.startswith("train_loss") for name in seen["bar"])


def test_checkpoints_hold_plain_weights_only(tmp_path: Path):
    task = Regression(net(), optimizer=adam(), lr_scheduler=OneCycle(1e-2))
    best = ModelCheckpoint(tmp_path, "best", monitor=task.monitor[0], mode=task.monitor[1])
    run = trainer(tmp_path, callbacks=[best, SeedEveryEpoch(0)])
    run.fit(task, training_loader(), DataLoader(dataset(), batch_size=7))
    checkpoint = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == set(task.state_dict())
    assert all(name.startswith("net.") for name in checkpoint["state_dict"])
    assert "hyper_parameters" not in checkpoint  # nothing that would be imported and called on load
    again = Regression.load_from_checkpoint(tmp_path / "best.ckpt", net=net())
    assert torch.equal(again.net[0].weight, checkpoint["state_dict"]["net.0.weight"])
