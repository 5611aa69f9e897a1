"""Ours, the paper's, the code's: which file is read and where the result goes."""

import json
import subprocess
import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.grid.runs import CONFIGS, ROOT, SEARCH, Run, known_models, known_tasks, select
from benchmarks.grid.store import Store


@pytest.mark.parametrize(
    ("run", "config", "place", "text"),
    [
        (Run("jsb", "tcn", 2), "jsb/tcn.yaml", "jsb/tcn/seed2", "jsb/tcn seed 2"),
        (
            Run("jsb", "lstm", 0, "paper"),
            "jsb/paper/lstm.yaml",
            "jsb/paper/lstm/seed0",
            "jsb/paper/lstm seed 0",
        ),
        (
            Run("jsb", "tcn", 3, SEARCH),
            "jsb/tcn.yaml",
            "jsb/search/tcn/trial3",
            "jsb/search/tcn trial 3",
        ),
    ],
)
def test_files_of_a_run(tmp_path, run, config, place, text):
    assert run.config == CONFIGS / config
    store = Store(tmp_path)
    assert store.result_path(run) == tmp_path / f"{place}.json"
    assert store.work(run) == tmp_path / ".work" / place
    assert str(run) == text


def test_results_of_other_settings_stay_apart(tmp_path, make_result):
    store = Store(tmp_path)
    for settings in ("ours", "paper", SEARCH):
        result = make_result("jsb", "tcn", 1)
        result.settings = settings
        store.write(result)
    for settings in ("ours", "paper", SEARCH):
        (kept,) = store.results(settings)
        assert kept.run == Run("jsb", "tcn", 1, settings)
        assert list(store.siblings(kept.run)) == [kept.run]
    assert list(store.results("code")) == []


def test_a_result_from_before_there_were_settings_is_ours(tmp_path, make_result):
    store = Store(tmp_path)
    path = store.write(make_result())
    content = json.loads(path.read_text())
    del content["settings"]
    path.write_text(json.dumps(content))
    assert store.read(Run("adding_600", "tcn", 0)) == make_result()


def test_only_what_the_paper_gives_is_run():
    assert known_models("wikitext_103", "paper") == ["tcn"]
    assert known_models("jsb", "paper") == ["tcn", "lstm"]
    assert known_models("jsb") == ["tcn", "lstm", "gru", "rnn"]
    assert "digits" not in known_tasks("paper")
    assert "wikitext_103" not in known_tasks("code")
    assert select(["jsb"], None, [0], "paper") == [
        Run("jsb", "tcn", 0, "paper"),
        Run("jsb", "lstm", 0, "paper"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--settings", "paper"], "unknown task 'digits' with settings 'paper'; known"),
        (["jsb", "--settings", "papers"], "unknown settings 'papers'; known: ['ours', 'code'"),
        (
            ["jsb", "--settings", "paper", "--models", "gru"],
            "unknown model 'gru' for jsb/paper; known: ['tcn', 'lstm']",
        ),
    ],
)
def test_wrong_settings_are_explained(capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(["run", "--tasks", *arguments])
    assert message in capsys.readouterr().err


def test_a_run_with_the_settings_of_the_code(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "run", "--tasks", "adding_200"]
    command += ["--settings", "code", "--seeds", "0", "--results", str(tmp_path)]
    command += ["--workers", "1", "--threads", "1", "--override", "trainer.max_epochs=1"]
    command += [f"data.init_args.{split}_size=32" for split in ("train", "validation", "test")]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    result = Store(tmp_path).read(Run("adding_200", "tcn", 0, "code"))
    assert result.config_file == "configs/adding_200/code/tcn.yaml"
    assert result.parameters == 96_001
    assert "test_mse" in result.test
    assert (tmp_path / "adding_200" / "code" / "tcn" / "seed0.json").exists()
