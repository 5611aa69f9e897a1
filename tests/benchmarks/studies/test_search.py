"""Draws, their bounds and their fairness; real searches in real processes, one of them killed."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.__main__ import main
from benchmarks.grid.runs import CONFIGS, ROOT, SEARCH, Run
from benchmarks.grid.store import Store
from benchmarks.studies.search import Search, print_trials, read_space
from tcn.commands.training import build

TASKS = sorted(path.parent.name for path in CONFIGS.glob("*/search.yaml"))
TINY = (
    "data.init_args.length=20",
    "data.init_args.train_size=512",
    "data.init_args.validation_size=64",
    "data.init_args.test_size=64",
)
PATIENCE = 400.0  # seconds, on a busy machine
SILENT = ("trainer.logger=false", "trainer.enable_checkpointing=false")


def overrides(search: Search, model: str) -> dict[int, dict[str, str]]:
    """Of every trial, by key."""
    return {
        run.seed: dict(item.split("=", 1) for item in drawn)
        for run, drawn in search.drawn.items()
        if run.model == model
    }


def one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw: str) -> None:
    """Makes ``draw`` the one thing that is drawn for the one task there is."""
    (tmp_path / "task").mkdir(exist_ok=True)
    (tmp_path / "task" / "tcn.yaml").touch()
    (tmp_path / "task" / "search.yaml").write_text(f"tcn:\n  key: {draw}\n")
    for module in ("grid.runs", "studies.search"):
        monkeypatch.setattr(f"benchmarks.{module}.CONFIGS", tmp_path)


def values(trials: int, seed: int = 0) -> list[str]:
    search = Search.of("task", None, trials=trials, seed=seed)
    return [each["key"] for trial, each in overrides(search, "tcn").items() if trial > 0]


def test_trial_0_is_the_config_within_the_budget():
    search = Search.of("jsb", None, trials=2, budget_epochs=7)
    for model in search.models:
        assert overrides(search, model)[0] == {"trainer.max_epochs": "7"}
        assert overrides(search, model)[1]["trainer.max_epochs"] == "7"
    assert not any(Search.of("jsb", None, trials=1).drawn.values())


@settings(max_examples=10)
@given(trials=st.integers(1, 6), seed=st.integers(0, 99))
def test_every_model_has_as_many_trials_and_steps(trials: int, seed: int):
    search = Search.of("sequential_mnist", None, trials=trials, seed=seed)
    of_each = [overrides(search, model) for model in search.models]
    assert [len(each) for each in of_each] == [trials] * 3
    for trial in range(1, trials):
        batches = {each[trial]["data.init_args.batch_size"] for each in of_each}
        assert len(batches) == 1
        assert batches <= {"32", "64", "128"}


def test_what_was_drawn_stays_when_trials_and_models_are_added():
    few = Search.of("jsb", ["gru"], trials=2, seed=3)
    many = Search.of("jsb", ["tcn", "gru"], trials=5, seed=3)
    assert few.drawn.items() <= many.drawn.items()
    assert overrides(Search.of("jsb", ["gru"], trials=2, seed=4), "gru") != overrides(few, "gru")


@pytest.mark.parametrize(
    ("draw", "middle"),
    [("{uniform: [2, 4]}", 3.0), ("{log_uniform: [1.0e-4, 1.0e-2]}", 1e-3)],
)
def test_half_of_the_numbers_lie_below_the_middle(tmp_path, monkeypatch, draw, middle):
    """The arithmetic mean of the bounds, the geometric one; 400 draws err by 0.025 or so."""
    one_key(tmp_path, monkeypatch, draw)
    numbers = [float(value) for value in values(401)]
    low, high = (float(bound) for bound in re.findall(r"[\d.e-]+(?=[,\]])", draw))
    assert all(low <= number <= high for number in numbers)
    assert sum(number < middle for number in numbers) / 400 == pytest.approx(0.5, abs=0.1)


def test_integers_reach_both_bounds_and_choices_all_of_theirs(tmp_path, monkeypatch):
    one_key(tmp_path, monkeypatch, "{integer: [2, 4]}")
    assert set(values(41)) == {"2", "3", "4"}
    one_key(tmp_path, monkeypatch, "{choice: [false, [8, 8], he, 0.5]}")
    assert set(values(61)) == {"false", "[8, 8]", "he", "0.5"}
    one_key(tmp_path, monkeypatch, "torch.optim.AdamW")
    assert set(values(3)) == {"torch.optim.AdamW"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tcn", "expected a mapping of keys to draw from for each model"),
        ("tcn: {key: {normal: [0, 1]}}", r"tcn: key: .* is not one of choice, uniform"),
        ("tcn: {key: {uniform: [0, 1], choice: [2]}}", r"is not one of choice, uniform"),
        ("tcn: {key: {choice: []}}", r"is not one of choice, uniform"),
        ("tcn: {key: {uniform: [0, 1, 2]}}", "uniform needs two numbers, has"),
        ("tcn: {key: {integer: [0.5, 1]}}", "integer needs two numbers, has"),
        ("tcn: {key: {uniform: [1, 0]}}", "from 1 to 0: give a lower and a higher bound"),
        ("tcn: {key: {log_uniform: [0, 1]}}", "from 0 to 1: give a lower and a higher bound"),
        ("tcn: {data.init_args.batch_size: 4}", "belongs under shared, so that no model has more"),
        ("gru: {trainer.max_epochs: 99}", "belongs under shared, so that no model has more"),
    ],
)
def test_a_wrong_space_is_explained(tmp_path, content, message):
    path = tmp_path / "search.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_space(path)
    assert str(path) in str(error.value)


def test_a_space_without_a_config_is_refused(tmp_path, monkeypatch):
    one_key(tmp_path, monkeypatch, "1")
    (tmp_path / "task" / "tcn.yaml").rename(tmp_path / "task" / "gru.yaml")
    with pytest.raises(ValueError, match=r"search\.yaml: .tcn. has no config in task"):
        Search.of("task", None, trials=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "digits"], "no search space for task 'digits'; there is one for: adding_200,"),
        (["--task", "jsb", "--models", "rnn"], "jsb has no search space for 'rnn'; known: ['tcn'"),
        (["--task", "jsb", "--trials", "0"], "--trials is 0: give 1 or more"),
        (["--task", "jsb", "--budget-epochs", "0"], "--budget-epochs is 0: give 1 or more"),
    ],
)
def test_wrong_arguments_are_explained(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(["search", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_spaces_build_and_keep_to_the_sizes_they_name(task: str):
    text = (CONFIGS / task / "search.yaml").read_text()
    low, high = re.search(r"between ([\d,]+) and ([\d,]+) parameters", text).groups()
    for run, drawn in Search.of(task, None, trials=3).drawn.items():
        if run.seed == 0:
            continue
        with torch.device("meta"):
            net = build(run.config, [*SILENT, *sorted(drawn)]).model.net
        count = sum(parameter.numel() for parameter in net.parameters())
        assert int(low.replace(",", "")) <= count <= int(high.replace(",", "")), (run, drawn)
        field = getattr(net.backbone, "receptive_field", math.inf)
        assert field >= {"adding_200": 200, "sequential_mnist": 784}.get(task, 0), (run, drawn)


def command(results: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "benchmarks", "search", "--task", "adding_200"]
    command += ["--models", "tcn", "gru", "--trials", "2", "--budget-epochs", "3"]
    command += ["--results", str(results), "--workers", "2", "--threads", "1", *arguments]
    return [*command, "--override", *TINY]


def start(command: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A search that was killed when a trial had finished an epoch, and then gone on with."""
    folder = tmp_path_factory.mktemp("search")
    killed = start(command(folder))
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob(".work/adding_200/search/*/trial*/epoch-*.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    again = start(command(folder))
    output, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, output
    return folder, output


@pytest.mark.slow
def test_every_trial_is_kept_and_none_is_tested(searched: tuple[Path, str]):
    store = Store(searched[0])
    assert list(store.results()) == []
    results = list(store.results(SEARCH))
    assert [result.run for result in results] == [
        Run("adding_200", model, trial, SEARCH) for model in ("gru", "tcn") for trial in (0, 1)
    ]
    assert store.result_path(results[-1].run) == (
        searched[0] / "adding_200" / "search" / "tcn" / "trial1.json"
    )
    assert sum(result.resumed for result in results) >= 1
    for result in results:
        assert result.status == "finished"
        assert result.test == {}
        assert result.data_fingerprint is None
        assert len(result.history) == 3
        assert result.config["seed_everything"] == result.seed
        assert "trainer.max_epochs=3" in result.overrides
        assert (len(result.overrides) > 1 + len(TINY)) == (result.seed == 1)


@pytest.mark.slow
def test_the_table_ends_with_how_to_make_the_best_again(searched: tuple[Path, str]):
    folder, output = searched
    lines = output.splitlines()
    assert any("adding_200: tcn" in line for line in lines)
    for model in ("tcn", "gru"):
        first, second = (
            Store(folder).read(Run("adding_200", model, trial, SEARCH)) for trial in (0, 1)
        )
        best = min(first, second, key=lambda result: result.best["value"])
        (told,) = (line for line in lines if line.startswith(f"best of {model}: trial"))
        assert told.startswith(f"best of {model}: trial {best.seed}, --override ")
        assert told.endswith(" ".join(best.overrides))


@pytest.mark.slow
def test_another_search_does_not_write_over_it(searched: tuple[Path, str], capsys):
    arguments = command(searched[0], "--seed", "1")[3:]
    with pytest.raises(SystemExit):
        main(arguments)
    message = capsys.readouterr().err
    assert "trial1.json was made with other settings (" in message


GUARDED = """
import sys
from pathlib import Path
from tcn.data import AddingProblem
make = AddingProblem.make_dataset
def guarded(self, split):
    assert split != "test", "the test set is made"
    return make(self, split)
AddingProblem.make_dataset = guarded
from benchmarks.grid.execution import execute
from benchmarks.grid.makers import Circumstances
from benchmarks.grid.recipes import Recipe
from benchmarks.grid.runs import Run
run = Run("adding_200", "tcn", 1, sys.argv[1])
recipe = Recipe.of(run, [*sys.argv[3:], "trainer.max_epochs=1"])
print("tested:", execute(run, recipe, Path(sys.argv[2]), Circumstances("", 1, 1)).test)
"""


@pytest.mark.parametrize("whose", ["search", "ours"])
def test_a_trial_does_not_even_make_the_test_set(tmp_path, whose: str):
    program = [sys.executable, "-c", GUARDED, whose, str(tmp_path), *TINY]
    finished = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    if whose == "search":
        assert "tested: {}" in finished.stdout, finished.stderr
    else:
        assert "the test set is made" in finished.stderr


def test_trials_that_diverged_come_last(tmp_path, capsys, make_result):
    store, ranks = Store(tmp_path), Search.of("jsb", ["tcn"], trials=3)
    best: dict[int, dict[str, Any]] = {
        0: {"validation": (8.5, 8.3)},
        1: {"validation": (7.0, 6.0), "status": "failed"},
        2: {"validation": (8.4, 8.2)},
    }
    for trial, made in best.items():
        result = make_result("jsb", "tcn", trial, key="nll", **made)
        result.settings = SEARCH
        store.write(result)
    assert [result.seed for result in ranks.ranked(store, "tcn")] == [2, 0, 1]
    print_trials(ranks, store)
    output = capsys.readouterr().out
    assert "failed" in output
    assert "best of tcn: trial 2" in output
