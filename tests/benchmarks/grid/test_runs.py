import hashlib
import json
import math
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.grid.files import write_atomically
from benchmarks.grid.provenance import commit, machine, versions
from benchmarks.grid.recipes import Recipe, read_recipe
from benchmarks.grid.results import read_result
from benchmarks.grid.runs import ROOT, Run, select
from benchmarks.grid.store import Store
from benchmarks.grid.worker import _open_work
from tcn.commands.names import split_override


def test_a_result_comes_back_as_it_was_written(tmp_path, make_result):
    store = Store(tmp_path)
    result = make_result(test=0.1 + 0.2, overrides=("trainer.max_epochs=3",))
    path = store.write(result)
    assert path == tmp_path / "adding_600" / "tcn" / "seed0.json"
    assert store.read(result.run) == result
    assert list(store.results()) == [result]


def test_nan_becomes_null_with_a_note(tmp_path, make_result):
    store = Store(tmp_path)
    path = store.write(make_result(test=math.inf, validation=(0.4, math.nan)))
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert content["test"]["test_mse"] is None
    assert content["history"][1]["val_mse"] is None
    assert "history[1].val_mse is nan, kept as null" in content["notes"]
    assert "test.test_mse is inf, kept as null" in content["notes"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "schema None"),
        ("\udcff\udcfe", "is not JSON"),  # bytes that are not text
        ('{"schema": 99}', "result schema 99, this program reads 1"),
        ('{"schema": 1, "task": "x"}', "lacks or adds the fields"),
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path, text, message):
    path = tmp_path / "seed0.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=message) as error:
        read_result(path)
    assert str(path) in str(error.value)


WRITER = """
import sys
from pathlib import Path
from benchmarks.grid.files import write_atomically
size = 4_000_000
while True:
    for letter in (b"a", b"b"):
        write_atomically(Path(sys.argv[1]), letter * size)
"""


def test_kill_while_writing_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"a" * 4_000_000)
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT)
        before = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before:  # it has begun
            time.sleep(0.005)
        time.sleep(0.05 * random.random())
        writer.kill()
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 4_000_000
        assert len(set(content)) == 1


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("item", ["trainer.max_epochs", "=3", "--"])
def test_an_override_without_key_or_value_is_refused(item):
    with pytest.raises(ValueError, match=r"is not key=value; write for example"):
        split_override(item)


def test_recipe_ignores_order_and_takes_the_last_of_a_key():
    run = _any_run()
    one = Recipe.of(run, ["a.b=1", "--c=2=3"])
    assert one == Recipe.of(run, ["c=9", "c=2=3", "a.b=1"])
    assert one.overrides == ("a.b=1", "c=2=3")
    assert one != Recipe.of(run, ["a.b=1"])


KILLED = """
import os, signal, sys
from pathlib import Path
from benchmarks.grid.files import write_atomically
Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"new")
"""


def test_what_a_kill_leaves_of_a_result_is_hidden_from_git(tmp_path, make_result):
    store, result = Store(tmp_path), make_result()
    store.prepare(result.run)
    path = store.result_path(result.run)
    command = [sys.executable, "-c", KILLED, str(path)]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    left = [path for path in tmp_path.rglob("content") if path.read_bytes() == b"new"]
    assert [folder.parent.parent for folder in left] == [path.parent]
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    status = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(status, check=True, capture_output=True).stdout == b""
    assert list(store.results()) == []
    store.write(result)
    assert [each.run for each in store.results()] == [result.run]


def test_a_result_is_kept_where_its_folder_is_a_link_to_another_disk(
    tmp_path, make_result, other_disk
):
    store, result = Store(tmp_path), make_result()
    store.prepare(result.run)
    (tmp_path / result.task).symlink_to(other_disk)
    path = store.write(result)
    assert store.read(result.run) == result
    assert path.resolve().is_relative_to(other_disk)
    assert [each for each in path.parent.iterdir() if each != path] == []


def test_copies_beside_results_are_no_results(tmp_path, make_result):
    store = Store(tmp_path)
    path = store.write(make_result())
    shutil.copy(path, path.with_name("seed0_old.json"))
    assert [result.seed for result in store.results()] == [0]
    assert list(store.siblings(make_result().run)) == [make_result().run]
    shutil.copy(path, path.with_name("seed1.json"))
    with pytest.raises(
        ValueError, match=r"seed1\.json is the result of adding_600/tcn seed 0: move"
    ):
        list(store.results())


def test_results_that_are_a_file_are_refused(tmp_path):
    path = tmp_path / "file"
    path.touch()
    for folder in (path, path / "memory_curve" / "copying_50"):
        with pytest.raises(ValueError, match=r"--results: .*file is a file; give a folder"):
            Store(folder)


def test_a_spoilt_note_of_what_was_begun_is_begun_anew(tmp_path):
    store = Store(tmp_path)
    work = store.work(_any_run())
    work.mkdir(parents=True)
    (work / "epoch-00001-0123456789abcdef.ckpt").touch()
    for spoilt in (b"", b"{}", b"null", b"\xff\xfe"):
        (work / "recipe.json").write_bytes(spoilt)
        assert store.begun(_any_run()) is None
        assert store.conflict(_any_run(), Recipe.of(_any_run())) is None
    assert list(_open_work(work, Recipe.of(_any_run())).iterdir()) == [work / "recipe.json"]
    assert store.begun(_any_run()) is None  # the checkpoint is gone with the note


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_named(seed: int):
    with pytest.raises(ValueError, match=f"--seeds: {seed} is not from 0 to 4294967295"):
        select(["digits"], ["tcn"], [0, seed])


@pytest.mark.parametrize("settings", ["", ".", "search", "theirs"])
def test_unknown_settings_name_the_known(settings: str):
    message = re.escape(f"unknown settings {settings!r}; known: ['ours', 'code', 'joint', 'modern'")
    with pytest.raises(ValueError, match=message):
        select(["digits"], ["tcn"], [0], settings)


def test_select_lists_each_run_once_in_order():
    assert select(["digits", "digits"], ["tcn", "gru"], [1, 0]) == [
        Run("digits", "tcn", 1),
        Run("digits", "tcn", 0),
        Run("digits", "gru", 1),
        Run("digits", "gru", 0),
    ]


def test_unknown_task_and_model_name_the_known():
    with pytest.raises(ValueError, match=r"unknown task 'digit'; known tasks: .*digits"):
        select(["digit"], ["tcn"], [0])
    with pytest.raises(ValueError, match=r"unknown model 'tnc' for digits; known: .*tcn"):
        select(["digits"], ["tnc"], [0])


def test_work_folder_is_hidden_from_git(tmp_path):
    store = Store(tmp_path)
    store.prepare(Run("digits", "tcn", 0))
    assert (tmp_path / ".work" / ".gitignore").read_text() == "*\n"
    assert list(store.results()) == []


def test_provenance_names_versions_and_machine():
    import torch

    assert versions()["torch"] == torch.__version__
    found = machine(threads=1, workers=2)
    assert found["cores"] >= 1
    assert found["memory"] > 2**28
    assert found["threads"] == 1
    now = commit()
    assert now is None or len(now["hash"]) == 40


def test_new_results_do_not_make_the_code_uncommitted(tmp_path):
    for name in ("benchmarks/results/report.md", "code.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as committed")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A Test", "-c", "user.email=a@test"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    (tmp_path / "benchmarks" / "results" / "report.md").write_text("new")
    assert commit(tmp_path)["dirty"] is False
    (tmp_path / "code.py").write_text("new")
    assert commit(tmp_path)["dirty"] is True


def _any_run() -> Run:
    return Run("digits", "tcn", 0)


def test_recipe_follows_what_the_config_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.grid.runs.CONFIGS", tmp_path)
    run = Run("task", "model", 0)
    run.config.parent.mkdir()
    run.config.write_text("a: 1\nb: {c: 2}\n")
    before = Recipe.of(run)
    run.config.write_text("# a better comment\nb:\n  c: 2  # why\na: 1\n")
    assert Recipe.of(run) == before
    run.config.write_text("a: 1\nb: {c: 3}\n")
    assert Recipe.of(run) != before


TCN = "net:\n- class_path: tcn.models.TCN\n  init_args:\n    channels: [2]\n"


def test_recipe_of_a_result_from_before_the_initialization_had_to_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("benchmarks.grid.runs.CONFIGS", tmp_path)
    run = Run("task", "model", 0)
    run.config.parent.mkdir()

    def sha256(said: str) -> str:
        run.config.write_text(TCN + said)
        return Recipe.of(run).config_sha256

    # What `sha256sum` makes of the config as it was, its keys in order: then "pytorch" was meant.
    content = '{"net": [{"class_path": "tcn.models.TCN", "init_args": {"channels": [2]}}]}'
    before = hashlib.sha256(content.encode()).hexdigest()
    others = [sha256(f"    initialization: {name}\n") for name in ("pytorch", "he", "normal")]
    assert others[0] == before
    assert len({*others, sha256("")}) == 4  # unsaid it is the class's of today, another thing


def test_a_recipe_stays_the_same_when_what_it_names_moves(tmp_path: Path):
    """As `ablations/*/without_shortcuts` in the kept results, made before the class moved."""
    before, now = (
        f"net=benchmarks.{place}.WithoutShortcuts" for place in ("ablations", "studies.ablations")
    )
    recipe = Recipe.of(_any_run(), [now])
    note = tmp_path / "recipe.json"
    note.write_text(json.dumps(recipe.to_json() | {"overrides": [before]}))
    assert read_recipe(note) == recipe
    (tmp_path / "epoch-00001-0.ckpt").touch()
    assert _open_work(tmp_path, recipe) == tmp_path
    assert len(list(tmp_path.iterdir())) == 2  # what was begun is gone on with
