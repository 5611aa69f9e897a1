"""Real runs in real processes, killed and interrupted on the way. Each is seconds long."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from benchmarks.grid.journal import JournalReader
from benchmarks.grid.recipes import RECIPE, Recipe
from benchmarks.grid.results import Result
from benchmarks.grid.runs import ROOT, Run
from benchmarks.grid.scheduler import Plan, Scheduler
from benchmarks.grid.store import Store
from benchmarks.grid.worker import OTHER, THERE

RUN = Run("adding_quick", "tcn", 0)
EPOCHS = 12
PATIENCE = 400.0  # seconds, on a busy machine; a few are enough on a quiet one
TINY = (
    f"trainer.max_epochs={EPOCHS}",
    "data.init_args.length=20",
    "data.init_args.train_size=256",
    "data.init_args.batch_size=8",
    "data.init_args.validation_size=64",
    "data.init_args.test_size=64",
    "model.init_args.net.init_args.backbone.init_args.channels=[4,4,4]",
    # Dropout, to see that random numbers go on where they were.
    "model.init_args.net.init_args.backbone.init_args.dropout=0.2",
)

# So many that none is through before it is stopped, however fast the machine.
ENDLESS = (*TINY, "trainer.max_epochs=100000")


def command(results: Path, *arguments: str, seeds: str = "0", overrides: Any = TINY) -> list[str]:
    command = [sys.executable, "-m", "benchmarks", "run", "--tasks", RUN.task, "--models", "tcn"]
    command += ["--seeds", *seeds.split(), "--results", str(results), "--workers", "1"]
    command += ["--threads", "1"]
    return [*command, *arguments, "--override", *overrides]


def start(*arguments: Any, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(*arguments, **options),
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*arguments: Any, **options: Any) -> tuple[int, str]:
    process = start(*arguments, **options)
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def events(store: Store, run: Run = RUN, timeout: float = PATIENCE) -> Iterator[dict[str, Any]]:
    """The events of a run as they come."""
    reader = JournalReader(store.work(run))
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        yield from reader.events()
        time.sleep(0.01)
    pytest.fail(f"{run} wrote nothing more in {timeout} s")


def worker_after_epoch(store: Store, epoch: int) -> int:
    """Waits until a run has finished that epoch; the process id of its worker."""
    pid = 0
    for event in events(store):
        pid = event.get("pid", pid)
        if event["event"] == "epoch" and event["epoch"] >= epoch:
            return pid
    raise AssertionError


def numbers(result: Result | None) -> tuple[Any, ...]:
    """What must not depend on kills, machines and time."""
    assert result is not None
    history = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in result.history]
    return history, result.best, result.test, result.steps, result.parameters, result.status


def wait_until_free(store: Store) -> None:
    with filelock.FileLock(store.lock_path(RUN), timeout=PATIENCE):
        pass


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run that was left in peace."""
    folder = tmp_path_factory.mktemp("reference")
    status, output = finish(folder)
    assert status == 0, output
    return Store(folder)


def test_a_run_whose_minutes_are_over_goes_on_by_the_same_command(tmp_path, reference):
    store = Store(tmp_path)
    status, output = finish(tmp_path, "--minutes", "0")
    assert status == 0, output
    assert f"{RUN}: unfinished, epoch 1/{EPOCHS}" in output
    assert "(its time was over after 1 of " in output
    assert store.read(RUN).status == "unfinished"
    status, output = finish(tmp_path)
    assert status == 0, output
    assert f"{RUN}: running (goes on)" in output
    assert numbers(store.read(RUN)) == numbers(reference.read(RUN))
    assert not store.work(RUN).exists()


def test_negative_minutes_are_refused(tmp_path):
    status, output = finish(tmp_path, "--minutes", "-1")
    assert (status, "--minutes is -1.0: give 0 or more" in output) == (2, True)


def test_a_run_leaves_one_whole_result(reference):
    result = reference.read(RUN)
    assert result.status == "finished"
    assert [epoch["epoch"] for epoch in result.history] == list(range(1, EPOCHS + 1))
    assert result.steps == EPOCHS * 256 // 8
    values = [epoch["val_mse"] for epoch in result.history]
    assert result.best == {"epoch": values.index(min(values)) + 1, "value": min(values)}
    assert set(result.test) == {"test_loss", "test_mse"}
    assert result.overrides == sorted(TINY)
    assert result.config["seed_everything"] == 0
    assert result.config["data"]["init_args"]["length"] == 20
    assert result.resumed == 0
    assert not reference.work(RUN).exists()


def test_a_finished_run_is_not_repeated(reference):
    before = reference.result_path(RUN).stat()
    status, output = finish(reference.folder)
    assert status == 0
    assert f"{RUN}: kept" in output
    assert "running" not in output
    assert reference.result_path(RUN).stat() == before


def test_a_worker_killed_is_started_again_and_gives_the_same_numbers(reference, tmp_path):
    store = Store(tmp_path)
    scheduler = start(tmp_path)
    os.kill(worker_after_epoch(store, 2), signal.SIGKILL)
    output, _ = scheduler.communicate(timeout=PATIENCE)
    assert scheduler.returncode == 0, output
    assert "worker killed by SIGKILL: goes on from its last epoch" in output
    result = store.read(RUN)
    assert result.resumed == 1
    assert numbers(result) == numbers(reference.read(RUN))


def test_a_scheduler_killed_takes_its_workers_along_and_goes_on(reference, tmp_path):
    store = Store(tmp_path)
    scheduler = start(tmp_path)
    worker_after_epoch(store, 2)
    scheduler.kill()
    scheduler.communicate()
    wait_until_free(store)
    assert store.read(RUN) is None
    status, output = finish(tmp_path)
    assert status == 0, output
    assert store.read(RUN).resumed == 1
    assert numbers(store.read(RUN)) == numbers(reference.read(RUN))


def check_that_it_goes_on(store: Store) -> None:
    """A run of ``ENDLESS`` that was stopped in its third epoch or later is not begun anew."""
    assert list(store.work(RUN).glob("epoch-*.ckpt"))
    status, output = finish(store.folder, "--minutes", "0", overrides=ENDLESS)
    assert status == 0, output
    result = store.read(RUN)
    assert result is not None
    assert result.resumed == 1
    assert len(result.history) > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_workers_and_keeps_their_state(tmp_path, number):
    store = Store(tmp_path)
    scheduler = start(tmp_path, overrides=ENDLESS)
    worker = worker_after_epoch(store, 2)
    scheduler.send_signal(number)
    output, _ = scheduler.communicate(timeout=PATIENCE)
    assert scheduler.returncode == 128 + number, output
    assert "the same command goes on" in output
    assert "Traceback" not in output
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    check_that_it_goes_on(store)


def test_a_worker_that_stumbles_after_its_result_is_believed(reference):
    """Its result is whole, whatever its exit status says (a log that cannot be flushed, say)."""
    recipe_of_tiny = Plan(runs=[RUN], overrides=TINY)
    scheduler = Scheduler(reference, recipe_of_tiny)
    scheduler._conclude(RUN, 120, [], "")
    assert scheduler.entries[RUN].state == "finished"
    scheduler = Scheduler(reference, Plan(runs=[RUN], overrides=("trainer.max_epochs=1",)))
    scheduler._conclude(RUN, 120, [], "")
    assert scheduler.entries[RUN].state == "crashed"


def progress(store: Store, runs: list[Run]) -> int:
    """Grows with every epoch, again where one is made again, and with every result."""
    epochs = [
        event
        for run in runs
        for event in JournalReader(store.work(run)).events()
        if event["event"] == "epoch"
    ]
    return len(epochs) + 1000 * sum(store.result_path(run).exists() for run in runs)


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_and_nothing_made_twice(reference, tmp_path):
    """Schedulers killed over and over, two at a time: each result appears once and then stays."""
    store, seeds = Store(tmp_path), "0 1 2"
    runs = [Run(RUN.task, RUN.model, int(seed)) for seed in seeds.split()]
    source, seen = random.Random(0), {}
    for _ in range(60):
        both = [start(tmp_path, seeds=seeds), start(tmp_path, seeds=seeds[::-1])]
        target = progress(store, runs) + source.randint(1, 6)
        while progress(store, runs) < target and any(each.poll() is None for each in both):
            time.sleep(0.01)
        time.sleep(source.uniform(0, 0.5))
        codes = [process.poll() for process in both]
        for process in both:
            process.kill()
            process.communicate()
        for run in runs:
            path = store.result_path(run)
            if path.exists():
                written = path.stat().st_mtime_ns, path.read_bytes()
                assert seen.setdefault(run, written) == written
        if 0 in codes:
            break
    assert len(seen) == 3
    assert store.read(RUN).resumed > 0
    assert numbers(store.read(RUN)) == numbers(reference.read(RUN))


def test_two_schedulers_share_the_work(reference, tmp_path):
    """Nothing is made twice: each run is finished by one of them and taken over by the other."""
    both = [start(tmp_path, seeds="0 1"), start(tmp_path, seeds="1 0")]
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    for seed in (0, 1):
        told = [
            line
            for output in outputs
            for line in output.splitlines()
            if line.startswith(f"{RUN.task}/tcn seed {seed}: finished")
        ]
        assert len(told) == 2
        assert sum("made by another process" in line for line in told) == 1
    assert numbers(Store(tmp_path).read(RUN)) == numbers(reference.read(RUN))


OTHER_LENGTH = (*TINY, "trainer.max_epochs=1")


def test_a_result_made_with_other_settings_is_not_lost(reference, tmp_path):
    shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
    kept = Store(tmp_path).result_path(RUN)
    before = kept.read_bytes()
    status, output = finish(tmp_path, seeds="0 1", overrides=OTHER_LENGTH)
    assert status == 1
    assert f"{kept} was made with other settings (trainer.max_epochs); " in output
    assert "give --results another folder to keep it, or --replace" in output
    assert kept.read_bytes() == before
    assert f"{RUN.task}/tcn seed 1: finished" in output  # that one is not in the way of others
    status, output = finish(tmp_path, "--replace", overrides=OTHER_LENGTH)
    assert status == 0
    assert "other trainer.max_epochs: runs again" in output
    assert len(Store(tmp_path).read(RUN).history) == 1


def test_what_a_killed_replacement_left_is_not_in_the_way_of_the_result(reference, tmp_path):
    shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
    store = Store(tmp_path)
    work = store.work(RUN)
    work.mkdir(parents=True, exist_ok=True)
    (work / RECIPE).write_text(json.dumps(Recipe.of(RUN, OTHER_LENGTH).to_json()))
    (work / "epoch-00001-0123456789abcdef.ckpt").touch()
    scheduler = Scheduler(store, Plan(runs=[RUN], overrides=TINY))
    assert scheduler.execute()
    assert scheduler.entries[RUN].state == "kept"


def test_a_failed_run_is_made_anew_once_by_two_starts(tmp_path, make_result):
    """The second to come to the lock takes what the first has made."""
    store = Store(tmp_path)
    before = dataclasses.replace(
        make_result(RUN.task, status="failed"),
        overrides=list(Recipe.of(RUN, TINY).overrides),
        config_sha256=Recipe.of(RUN).config_sha256,
    )
    store.write(before)
    scheduler = Scheduler(store, Plan(runs=[RUN], overrides=TINY, retry_failed=True))
    assert scheduler._plan_work() == [RUN]
    assert not scheduler._is_made(RUN)
    store.write(dataclasses.replace(before, date="2026-01-02T03:04:06+00:00"))
    assert scheduler._is_made(RUN)
    worker = ["--results", str(tmp_path), "--task", RUN.task, "--model", "tcn", "--seed", "0"]
    worker += [f"--override={each}" for each in TINY] + [f"--retry={before.date}"]
    ended = subprocess.run([sys.executable, "-m", "benchmarks.grid.worker", *worker], cwd=ROOT)
    assert ended.returncode == THERE


def test_epochs_made_with_other_settings_are_not_lost(tmp_path):
    finish(tmp_path, "--minutes", "0")
    work = Store(tmp_path).work(RUN)
    (checkpoint,) = work.glob("epoch-*.ckpt")
    Store(tmp_path).result_path(RUN).unlink()  # as after a kill, or before the first minute
    status, output = finish(tmp_path, overrides=OTHER_LENGTH)
    assert status == 1
    assert f"{work} was made with other settings (trainer.max_epochs); " in output
    assert checkpoint.exists()


def test_a_start_with_other_settings_in_the_meantime_is_not_overwritten(reference, tmp_path):
    """Two starts at once: neither found a result when it looked, the second comes to the lock."""
    shutil.copytree(reference.folder, tmp_path, dirs_exist_ok=True)
    kept = Store(tmp_path).result_path(RUN)
    before = kept.read_bytes()
    run = ["--results", str(tmp_path), "--task", RUN.task, "--model", "tcn", "--seed", "0"]
    run += [f"--override={each}" for each in OTHER_LENGTH]
    status = subprocess.run(
        [sys.executable, "-m", "benchmarks.grid.worker", *run], cwd=ROOT
    ).returncode
    assert status == OTHER
    assert kept.read_bytes() == before
    scheduler = Scheduler(Store(tmp_path), Plan(runs=[RUN], overrides=OTHER_LENGTH))
    scheduler._conclude(RUN, status, [], "")
    assert scheduler.entries[RUN].state == "refused"
    assert f"{kept} was made with other settings" in scheduler.entries[RUN].message


def test_divergence_is_a_result_and_is_not_tried_again(tmp_path):
    optimizer = "model.init_args.optimizer.init_args.lr=1e30"
    overrides = (*TINY, optimizer, "model.init_args.lr_scheduler=null")
    status, output = finish(tmp_path, overrides=overrides)
    assert status == 0, output
    result = Store(tmp_path).read(RUN)
    assert result.status == "failed"
    assert "training loss is" in result.reason
    assert result.test == {}
    status, output = finish(tmp_path, overrides=overrides)
    assert status == 0
    assert "running" not in output
    assert f"{RUN}: failed" in output


def test_an_error_is_no_result_and_says_where_to_look(tmp_path):
    status, output = finish(tmp_path, overrides=("data.init_args.lenght=20",))
    assert status == 1
    (told,) = (line for line in output.splitlines() if f"{RUN}: crashed" in line)
    assert "Option 'lenght' is not accepted" in told
    assert "log.txt" in output
    assert Store(tmp_path).read(RUN) is None
