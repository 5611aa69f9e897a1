"""Runs on a disk that has no room left: a small one, mounted for the test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.grid.checkpoints import intact
from benchmarks.grid.journal import JournalReader, JournalWriter
from benchmarks.grid.runs import ROOT
from benchmarks.grid.store import Store
from tests.benchmarks.grid.test_scheduler import (
    EPOCHS,
    PATIENCE,
    RUN,
    finish,
    numbers,
    start,
    worker_after_epoch,
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"needs to mount a small disk: {error}")
    if mounted.returncode:
        pytest.skip(f"needs to mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("reference")
    status, output = finish(folder)
    assert status == 0, output
    return Store(folder)


def fill(folder: Path) -> Path:
    """Takes all the room there is; the file to remove."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return path


@pytest.mark.slow
def test_no_room_for_a_checkpoint(reference: Store, disk: Path):
    store = Store(disk)
    scheduler = start(disk)
    worker_after_epoch(store, 2)
    filler = fill(disk)
    output, _ = scheduler.communicate(timeout=PATIENCE)
    assert scheduler.returncode == 1, output
    assert f"no space left for {disk}: make room" in output
    kept = [epoch for epoch, _ in intact(store.work(RUN), "epoch")]
    assert kept
    assert not list(store.work(RUN).glob(".*"))  # nothing half-written
    status, output = finish(disk)  # there is still no room
    assert status == 1
    assert [epoch for epoch, _ in intact(store.work(RUN), "epoch")] == kept
    filler.unlink()
    status, output = finish(disk)
    assert status == 0, output
    assert numbers(store.read(RUN)) == numbers(reference.read(RUN))


@pytest.mark.slow
def test_no_room_for_the_result_of_a_run_that_is_through(
    reference: Store, disk: Path, tmp_path: Path
):
    """Its training is not repeated."""
    store = Store(tmp_path / "results")
    store.folder.mkdir()
    (store.folder / RUN.task).symlink_to(disk)
    filler = fill(disk)
    status, output = finish(store.folder)
    assert status == 1
    assert "no space left" in output
    events = list(JournalReader(store.work(RUN)).events())
    seconds = [event["seconds"] for event in events if event["event"] == "epoch"]
    assert len(seconds) == EPOCHS
    filler.unlink()
    status, output = finish(store.folder)
    assert status == 0, output
    result = store.read(RUN)
    assert [epoch["seconds"] for epoch in result.history] == pytest.approx(seconds, abs=1e-3)
    assert numbers(result) == numbers(reference.read(RUN))
    assert not store.work(RUN).exists()


def test_the_journal_is_no_reason_to_stop(disk: Path):
    journal = JournalWriter(disk)
    journal.write("start", pid=1)
    filler = fill(disk)
    journal.write("epoch", note="x" * 10_000)
    filler.unlink()
    journal.write("test")
    journal.write("test")
    events = [event["event"] for event in JournalReader(disk).events()]
    assert (events[0], events[-1]) == ("start", "test")


LIMITED = """
import resource, sys
from pathlib import Path
from benchmarks.grid.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), b"new" * 1000)
except OSError as error:
    print(error)
"""


def test_a_file_that_gets_too_large_leaves_the_old_one(tmp_path: Path):
    """The same where nothing may be mounted: the system ends the write half-way."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", LIMITED, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True).stdout
    assert "File too large" in told
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
