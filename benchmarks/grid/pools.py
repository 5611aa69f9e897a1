"""Where workers run: processes of this machine here, those of a cluster in ``ray_cluster``."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from benchmarks.grid.runs import ROOT

STOP_SECONDS = 10.0


class Worker(Protocol):
    """A process that makes one run, on any machine."""

    def poll(self) -> int | None:
        """Its exit status, negative when a signal ended it or its machine was lost; or ``None``."""

    def complaint(self) -> str:
        """Its last output if it never reached its log; asked for once, after it ended."""


class Pool(Protocol):
    """Starts workers."""

    def start(self, arguments: Sequence[str], threads: int) -> Worker:
        """Starts ``benchmarks.grid.worker`` with ``arguments`` and that many computing threads."""

    def stop(self, workers: Iterable[Worker]) -> None:
        """Asks, waits, then kills. All epochs that were finished are kept."""

    def close(self) -> None:
        """Releases the machines."""


def worker_command(parent: int, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "benchmarks.grid.worker", "--parent", str(parent), *arguments]


def worker_environment(threads: int) -> dict[str, str]:
    """The variables a worker needs in addition to the environment of its machine."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    limits = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS")}
    return limits | {"PYTHONPATH": path}


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


class LocalWorker:
    """A process on this machine."""

    def __init__(self, arguments: Sequence[str], threads: int) -> None:
        self.process = subprocess.Popen(
            worker_command(os.getpid(), arguments),
            env=os.environ | worker_environment(threads),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def poll(self) -> int | None:
        return self.process.poll()

    def complaint(self) -> str:
        assert self.process.stderr is not None
        with self.process.stderr:
            return last_line(self.process.stderr.read().decode(errors="replace"))


class LocalPool:
    """The processes on this machine."""

    def start(self, arguments: Sequence[str], threads: int) -> LocalWorker:
        return LocalWorker(arguments, threads)

    def stop(self, workers: Iterable[Worker]) -> None:
        processes = [each.process for each in workers if isinstance(each, LocalWorker)]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Does nothing: no machine is held."""
