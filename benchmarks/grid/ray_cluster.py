"""Workers on the machines of a Ray cluster.

A Ray task starts the same worker as on one machine and waits for it; Ray only says where. So all
machines need the clone at the same path, the same packages, and the results folder at the same path
on a file system that they share and that supports locks (NFS 4 does). Journals, locks, checkpoints
and results are the usual files: the machine that takes over the run of a lost one resumes it from
its last checkpoint.

``"local"`` starts a cluster in this process and ends it afterwards. It listens only on the loopback
interface: anyone who reaches a Ray cluster can run any program on it (CVE-2023-48022: the job
interface asked for no password, and open clusters were taken over). For the same reason, a cluster
started by hand belongs on a network whose machines trust each other.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.grid.pools import STOP_SECONDS, Worker, last_line, worker_environment
from benchmarks.grid.provenance import available_cores
from benchmarks.grid.runs import ROOT

LOCAL = "local"
LOST = -signal.SIGKILL
ANSWER_SECONDS = 10.0
PASSED_ON = ("TCN_DATA_DIR",)


class RayWorker:
    """A worker on one machine of the cluster."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self.reference = reference
        self._ray = ray
        self._complaint = ""

    def poll(self) -> int | None:
        ready, _ = self._ray.wait([self.reference], timeout=0)
        if not ready:
            return None
        try:
            status, self._complaint = self._ray.get(self.reference)
        except self._ray.exceptions.RayTaskError as error:  # an error in our own task function
            status, self._complaint = 1, last_line(str(error))
        except self._ray.exceptions.RayError as error:  # the process or its machine is gone
            status, self._complaint = LOST, type(error).__name__
        return int(status)

    def complaint(self) -> str:
        return self._complaint


class RayPool:
    """The machines of a Ray cluster.

    Args:
        address: ``"local"``, ``"auto"`` or the address of a cluster, such as ``10.0.0.1:6379``.
        results: the folder of the results, which all machines must see.
        cores: of a local cluster; may be more than the machine has.
        gpus: of each run; a fraction, such as 0.25, is shared with other runs.

    Raises:
        ValueError: Ray is not installed, no cluster answers, or none of its machines has what a
            run needs.
    """

    def __init__(
        self, address: str, results: Path, *, cores: int | None = None, gpus: float = 0.0
    ) -> None:
        self._ray = _connect(address, cores or available_cores())
        self._folder = results.absolute()
        self._gpus = gpus
        if gpus > self._ray.cluster_resources().get("GPU", 0):
            self.close()
            raise ValueError(f"--gpus is {gpus}: the cluster at {address} has fewer")
        self._make = self._ray.remote(max_retries=0, scheduling_strategy="SPREAD")(_maker())

    def start(self, arguments: Sequence[str], threads: int) -> RayWorker:
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment = worker_environment(threads) | passed_on
        needs = {"num_cpus": threads, "num_gpus": self._gpus}
        seen = [str(ROOT / "benchmarks"), str(self._folder)]
        task = self._make.options(**needs)
        return RayWorker(self._ray, task.remote(list(arguments), environment, seen))

    def stop(self, workers: Iterable[Worker]) -> None:
        references = [each.reference for each in workers if isinstance(each, RayWorker)]
        for reference in references:
            self._ray.cancel(reference)
        if not references:
            return
        settings: dict[str, Any] = {"num_returns": len(references), "timeout": STOP_SECONDS}
        _, deaf = self._ray.wait(references, **settings)
        for reference in deaf:
            self._ray.cancel(reference, force=True)

    def close(self) -> None:
        self._ray.shutdown()


def _connect(address: str, cores: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL:
        # Ray's name for "this machine alone, on 127.0.0.1"; it is read when Ray is imported.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # By default workers run at low priority, but the time of a run is part of its result.
        os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
    except ImportError as error:
        raise ValueError("--ray needs the package ray: pip install ray") from error
    _check_answers(address)
    own = {"num_cpus": cores, "include_dashboard": False} if address == LOCAL else {}
    quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    settings: dict[str, Any] = quiet | own
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, RuntimeError) as error:
        why = last_line(str(error))
        raise ValueError(f"--ray {address}: no cluster answers ({why})") from error
    return ray


def _check_answers(address: str) -> None:
    """Checks that a cluster answers, for which Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise ValueError(f"--ray {address}: no cluster answers ({error})") from error


def _maker() -> Callable[[list[str], dict[str, str], list[str]], tuple[int, str]]:
    """The task that Ray sends to a machine; a closure, so that it is sent by value."""

    def make(arguments: list[str], environment: dict[str, str], seen: list[str]) -> tuple[int, str]:
        import contextlib
        import os
        import signal
        import socket
        import subprocess
        import sys

        # Ray cancels by this signal, which a cluster started in the background ignores by default.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for folder in seen:
            if not os.path.isdir(folder):
                return 1, f"{socket.gethostname()} has no {folder}: all machines must share it"
        parent = ["--parent", str(os.getpid())]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.grid.worker", *parent, *arguments],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        said = None
        try:
            while said is None:
                # In short waits: Ray cancels a task by a flag, which a blocking call does not see.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said = process.communicate(timeout=0.1)[1]
        except BaseException:  # KeyboardInterrupt, if Ray cancels the task
            process.terminate()
            process.wait()
            raise
        lines = said.decode(errors="replace").strip().splitlines()
        return process.returncode, lines[-1] if lines else ""

    return make
