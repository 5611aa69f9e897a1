"""One run in this process: what ends it, and when it looks at the test set."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tcn.data
from benchmarks.grid.execution import execute
from benchmarks.grid.makers import Circumstances
from benchmarks.grid.recipes import Recipe
from benchmarks.grid.results import Result
from benchmarks.grid.runs import CONFIGS, Run, known_tasks
from tcn.data import AddingProblem, SequentialDigits
from tcn.data.loading import TensorSequences
from tcn.training import Regression

STEPS = 5  # per epoch
TINY = (
    "trainer.max_epochs=3",
    "data.init_args.length=8",
    "data.init_args.train_size=40",
    "data.init_args.batch_size=8",
    "data.init_args.validation_size=8",
    "data.init_args.test_size=8",
)
OF_NETS = {
    "tcn": "model.init_args.net.init_args.backbone.init_args.channels=[4]",
    "lstm": "model.init_args.net.init_args.backbone.init_args.hidden=4",
}


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """A run takes over SIGTERM, as it may in a process of its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def made(folder: Path, *overrides: str, model: str = "tcn", minutes: float | None = None) -> Result:
    run = Run("adding_quick", model, 0)
    recipe = Recipe.of(run, [*TINY, OF_NETS[model], *overrides])
    return execute(run, recipe, folder / model, Circumstances("a test", 1, 1, minutes))


def test_a_budget_of_epochs_in_steps(tmp_path: Path):
    assert made(tmp_path).budget == {
        "limit": "trainer.max_epochs=3",
        "steps": 3 * STEPS,
        "steps_done": 3 * STEPS,
        "ended": "budget",
    }


def test_nothing_is_written_but_into_the_folder_of_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "work")
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_a_run_of_no_epoch_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no epoch was trained: trainer\.max_epochs is 0"):
        made(tmp_path, "trainer.max_epochs=0")


def test_a_budget_of_steps_is_the_same_for_all_and_the_last_steps_are_validated(tmp_path: Path):
    results = [made(tmp_path, "trainer.max_steps=7", model=model) for model in OF_NETS]
    expected = {"limit": "trainer.max_steps=7", "steps": 7, "steps_done": 7, "ended": "budget"}
    for result in results:
        assert result.budget == expected
        assert [epoch["step"] for epoch in result.history] == [STEPS, 7]
        first, last = (epoch["val_mse"] for epoch in result.history)
        assert first != last
        assert result.best["value"] == min(first, last)


def test_a_budget_of_fewer_steps_than_an_epoch(tmp_path: Path):
    result = made(tmp_path, "trainer.max_steps=2")
    assert [epoch["step"] for epoch in result.history] == [2]
    assert result.best["epoch"] == 1
    assert result.status == "finished"


def test_what_ends_before_its_budget_says_why(tmp_path: Path):
    stopping = (
        '{"class_path": "pytorch_lightning.callbacks.EarlyStopping", "init_args": '
        '{"monitor": "val_mse", "patience": 1, "min_delta": 100.0}}'
    )
    stopped = made(tmp_path / "stopped", f"trainer.callbacks+={stopping}").budget
    assert stopped["ended"] == "early stop"
    assert (stopped["steps_done"], stopped["steps"]) == (2 * STEPS, 3 * STEPS)
    rate = "model.init_args.optimizer.init_args.lr=1e30"
    none = "model.init_args.lr_scheduler=null"
    diverged = made(tmp_path / "diverged", rate, none).budget
    assert diverged["ended"] == "divergence"
    assert diverged["steps_done"] < diverged["steps"] == 3 * STEPS


def test_a_run_that_may_not_stop_before_its_end_is_finished(tmp_path: Path):
    result = made(tmp_path, "trainer.min_epochs=3", minutes=0)
    assert (result.status, len(result.history)) == ("finished", 3)
    assert result.test
    result = made(tmp_path / "longer", "trainer.min_epochs=2", minutes=0)
    assert result.reason == "its time was over after 2 of 3 epochs"


def test_a_run_stopped_by_its_minutes_goes_on_as_if_it_had_not_been(tmp_path: Path):
    whole = made(tmp_path / "whole")
    for epoch in (1, 2):
        result = made(tmp_path / "parts", minutes=0)
        assert result.status == "unfinished"
        assert result.reason == f"its time was over after {epoch} of 3 epochs"
        assert result.test == {}
        assert result.data_fingerprint is None
        assert result.budget["ended"] == "time"
        assert result.budget["steps_done"] == epoch * STEPS
        assert timeless(result) == timeless(whole)[:epoch]
    last = made(tmp_path / "parts", minutes=0)  # nothing is left to stop for
    assert (last.status, last.reason, last.resumed) == ("finished", None, 2)
    assert timeless(last) == timeless(whole)
    assert last.test == whole.test


def timeless(result: Result) -> list[dict[str, float | int | None]]:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in result.history]


def test_a_run_in_several_processes_is_refused(tmp_path: Path):
    several = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")
    with pytest.raises(ValueError, match="2 processes for one run; the grid makes one run in one"):
        made(tmp_path, *several)


def test_the_test_set_is_made_and_read_after_the_last_step(tmp_path: Path, monkeypatch: Any):
    happened: list[str] = []
    make, read, step = (
        AddingProblem.make_dataset,
        TensorSequences.__getitems__,
        Regression.training_step,
    )

    def making(self: AddingProblem, split: str) -> TensorSequences:
        happened.append(f"make {split}")
        made = make(self, split)
        made.split = split
        return made

    def reading(self: Any, indices: Any) -> Any:
        happened.append(f"read {self.split}")
        return read(self, indices)

    def stepping(self: Any, batch: Any, batch_idx: int) -> torch.Tensor:
        happened.append("step")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(AddingProblem, "make_dataset", making)
    monkeypatch.setattr(TensorSequences, "__getitems__", reading)
    monkeypatch.setattr(Regression, "training_step", stepping)
    result = made(tmp_path)
    last = len(happened) - 1 - happened[::-1].index("step")
    before, after = happened[: last + 1], happened[last + 1 :]
    assert before.count("step") == 3 * STEPS
    assert not any(event.endswith(" test") for event in before)
    assert after.count("make test") == 1
    assert after.count("read test") == 1
    assert after.index("read validation") < after.index("make test")  # the last epoch's choice
    assert len(result.data_fingerprint) == 64


def test_the_hash_of_a_permutation_is_in_the_result(tmp_path: Path):
    run = Run("digits", "tcn", 0)
    settings = [OF_NETS["tcn"], "trainer.max_steps=1", "data.init_args.permuted=true"]
    around = Circumstances("a test", 1, 1)
    result = execute(run, Recipe.of(run, settings), tmp_path / "permuted", around)
    permutation = SequentialDigits(permuted=True).permutation_hash
    assert result.notes == [f"pixel permutation: sha256 {permutation}"]
    result = execute(run, Recipe.of(run, settings[:2]), tmp_path / "in order", around)
    assert result.notes == []


@pytest.mark.parametrize("task", known_tasks())
def test_the_data_of_every_task_have_a_fingerprint_and_a_seed(task: str):
    for path in sorted((CONFIGS / task).glob("*.yaml")):
        config = yaml.safe_load(path.read_text())
        if "data" in config:  # not the space of a search
            kind = getattr(tcn.data, config["data"]["class_path"].rpartition(".")[2])
            assert issubclass(kind, tcn.data.loading.SequenceDataModule)
            assert kind.fingerprint
