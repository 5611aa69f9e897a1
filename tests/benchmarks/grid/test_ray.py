"""Real runs on a real cluster, which this process starts on the loopback interface."""

import _thread
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from benchmarks.grid.journal import JournalReader
from benchmarks.grid.ray_cluster import _maker
from benchmarks.grid.runs import ROOT
from benchmarks.grid.store import Store
from tests.benchmarks.grid.test_scheduler import (
    ENDLESS,
    PATIENCE,
    RUN,
    TINY,
    check_that_it_goes_on,
    command,
)

pytest.importorskip("ray", reason="needs the extra ray")

OF_TIME_AND_HOST = {
    "command", "date", "machine", "seconds", "steps_per_second", "wall_seconds", "peak_memory",
    "resumed",
}  # fmt: skip


class Begin(Protocol):
    def __call__(
        self, results: Path, *arguments: str, overrides: Sequence[str] = TINY
    ) -> "subprocess.Popen[str]": ...


@pytest.fixture(scope="module")
def begin() -> Iterator[Begin]:
    """Starts the command; what a failed test leaves running is ended."""
    begun: list[subprocess.Popen[str]] = []

    def start(
        results: Path, *arguments: str, overrides: Sequence[str] = TINY
    ) -> "subprocess.Popen[str]":
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        options: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(
            command(results, *arguments, overrides=overrides), cwd=ROOT, env=environment, **options
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def waited_for(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def worker_after_epoch(store: Store, epoch: int, other_than: int = 0) -> int:
    """Waits until a worker has finished that epoch; its process id."""
    reader, pid, deadline = JournalReader(store.work(RUN)), 0, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for event in reader.events():
            pid = event.get("pid", pid)
            if event["event"] == "epoch" and event["epoch"] >= epoch and pid != other_than:
                return pid
        time.sleep(0.005)
    pytest.fail("the run wrote nothing more")


def bytes_of(store: Store) -> bytes:
    """The result file without what depends on time, host and the command."""

    def stripped(value: Any) -> Any:
        if isinstance(value, list):
            return [stripped(item) for item in value]
        if isinstance(value, dict):
            items = value.items()
            return {key: stripped(item) for key, item in items if key not in OF_TIME_AND_HOST}
        return value

    return json.dumps(stripped(json.loads(store.result_path(RUN).read_text()))).encode()


def family(pid: int) -> set[int]:
    """A process, all that it started, and all that those started."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            parents[int(folder.name)] = parent_of(int(folder.name))
    members = {pid}
    while more := {each for each, parent in parents.items() if parent in members} - members:
        members |= more
    return members


def listening(pids: set[int]) -> set[str]:
    """Addresses, in hexadecimal, on which these processes listen."""
    sockets = set()
    for link in (link for pid in pids for link in Path(f"/proc/{pid}/fd").glob("*")):
        with suppress(OSError):
            sockets.add(os.readlink(link))
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [row.split() for table in tables for row in table.read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


@pytest.fixture(scope="module")
def reference(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The run as one machine makes it."""
    folder = tmp_path_factory.mktemp("reference")
    waited_for(begin(folder))
    return Store(folder)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")
def test_lost_workers_are_replaced_and_nothing_changes(
    begin: Begin, reference: Store, tmp_path: Path
):
    """One worker is killed, then the Ray process that holds the next, as if a machine was lost."""
    store = Store(tmp_path)
    scheduler = begin(tmp_path, "--ray", "local")
    first = worker_after_epoch(store, 2)
    opened = listening(family(scheduler.pid))
    os.kill(first, signal.SIGKILL)
    second = worker_after_epoch(store, 4, other_than=first)
    os.kill(parent_of(second), signal.SIGKILL)
    output = waited_for(scheduler)
    assert "worker killed by SIGKILL: goes on from its last epoch" in output
    assert "worker killed by SIGKILL (WorkerCrashedError): goes on from its last epoch" in output
    assert store.read(RUN).resumed == 2
    assert bytes_of(store) == bytes_of(reference)
    assert not store.work(RUN).exists()
    # 127.0.0.1, as it stands in these tables, alone or as an IPv6 address.
    assert opened
    assert all(address.partition(":")[0].endswith("0100007F") for address in opened)
    for process in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.fixture
def interrupts_ignored() -> Iterator[None]:
    """As in what a shell starts in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_ignored")
def test_a_canceled_task_ends_its_worker_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ray cancels by a flag (`_thread.interrupt_main`), which wakes no call that waits."""
    program, survived = tmp_path / "program", tmp_path / "survived"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 30\ntouch {survived}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))

    def cancel() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        _thread.interrupt_main()

    canceling = threading.Thread(target=cancel)
    canceling.start()
    with pytest.raises(KeyboardInterrupt):
        _maker()([], {}, [])
    canceling.join()
    assert not survived.exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_workers_of_the_cluster_and_keeps_their_state(
    begin: Begin, tmp_path: Path, number: signal.Signals
):
    store = Store(tmp_path)
    scheduler = begin(tmp_path, "--ray", "local", overrides=ENDLESS)
    worker = worker_after_epoch(store, 2)
    scheduler.send_signal(number)
    output, _ = scheduler.communicate(timeout=PATIENCE)
    assert scheduler.returncode == 128 + number, output
    assert "the same command goes on" in output
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    check_that_it_goes_on(store)


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_named(begin: Begin, tmp_path: Path):
    scheduler = begin(tmp_path, "--ray", "127.0.0.1:1")
    output, _ = scheduler.communicate(timeout=PATIENCE)
    assert scheduler.returncode == 2
    assert "--ray 127.0.0.1:1: no cluster answers" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_more_gpus_than_there_are_is_refused(begin: Begin, tmp_path: Path):
    scheduler = begin(tmp_path, "--ray", "local", "--gpus", "1000")
    output, _ = scheduler.communicate(timeout=PATIENCE)
    assert scheduler.returncode == 2
    assert "--gpus is 1000.0: the cluster at local has fewer" in output


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without a core for workers, to which a test adds machines."""
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield machines
    machines.shutdown()


@pytest.mark.slow
def test_a_lost_machine_of_a_cluster(begin: Begin, reference: Store, tmp_path: Path, cluster: Any):
    store = Store(tmp_path)
    lost = cluster.add_node(num_cpus=1)
    scheduler = begin(tmp_path, "--ray", cluster.address)
    worker_after_epoch(store, 2)
    cluster.remove_node(lost, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    output = waited_for(scheduler)
    assert "worker killed by SIGKILL" in output
    assert store.read(RUN).resumed == 1
    assert bytes_of(store) == bytes_of(reference)
