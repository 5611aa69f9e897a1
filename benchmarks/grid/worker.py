"""Executes one run in a process of its own; started by the scheduler.

Exit status: 0 when it wrote the result (also of a diverged or an unfinished run), ``THERE`` when
the result was there already, ``BUSY`` when another process has the run, ``OTHER`` when there is one
made with other settings, ``FULL`` when a file could not be written for want of space, anything else
after an error, which ``log.txt`` in the work folder tells.
"""

import argparse
import errno
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import filelock

from benchmarks.grid.files import write_json
from benchmarks.grid.makers import CONFIGURED, Circumstances, maker
from benchmarks.grid.recipes import RECIPE, Recipe, read_recipe
from benchmarks.grid.results import Result
from benchmarks.grid.runs import OURS, Run
from benchmarks.grid.store import Store

BUSY = 75
THERE = 76
FULL = 77
OTHER = 78
ORPHAN_SECONDS = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    run = Run(options.task, options.model, options.seed, options.settings)
    store = Store(options.results)
    _stop_with_parent(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Lock first, import torch later: a process that finds the run taken exits at once.
    try:
        store.prepare(run)
        with filelock.FileLock(store.lock_path(run), timeout=0):
            return _run_locked(run, store, options)
    except filelock.Timeout:
        return BUSY
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return FULL  # no error text, since the disk has no room for it either


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid.worker", description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--settings", default=OURS)
    parser.add_argument("--maker", default=CONFIGURED, help="the module that makes the run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--override", action="append", default=[])
    parser.add_argument("--command", default="python -m benchmarks.grid.worker")
    parser.add_argument("--retry", metavar="DATE", help="the failed result to be made anew")
    parser.add_argument("--replace", action="store_true")
    parser.add_argument("--minutes", type=float, help="end after the epoch in which they pass")
    parser.add_argument("--parent", type=int, help="leave when this is no longer the parent")
    return parser.parse_args(arguments)


def _stop_with_parent(parent: int | None) -> None:
    """Ends this worker when its scheduler is killed outright and so cannot stop it."""
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_locked(run: Run, store: Store, options: argparse.Namespace) -> int:
    made_by = maker(options.maker)
    recipe = made_by.recipe(run, options.override)
    if is_done(store.read(run), recipe, options.retry):
        return THERE
    if not options.replace and store.conflict(run, recipe):
        return OTHER
    work = _open_work(store.work(run), recipe)
    _log_into(work / "log.txt")
    around = Circumstances(options.command, options.threads, options.workers, options.minutes)
    result = made_by.execute(run, recipe, work, around)
    store.write(result)
    if result.status != "unfinished":
        shutil.rmtree(work)
    return 0


def is_done(result: Result | None, recipe: Recipe, retry: str | None) -> bool:
    """Whether ``result`` stands for a run made by ``recipe``, and is not the failed one of date
    ``retry``, which is to be made again.
    """
    if result is None or result.recipe != recipe or result.status == "unfinished":
        return False
    return result.status == "finished" or result.date != retry


def _open_work(work: Path, recipe: Recipe) -> Path:
    """The work folder; emptied first if another recipe began what it holds."""
    note = work / RECIPE
    if work.exists() and read_recipe(note) != recipe:
        shutil.rmtree(work)
    write_json(note, recipe.to_json())
    return work


def _log_into(path: Path) -> None:
    """Sends all output of this process, also that of native libraries, into ``path``."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


if __name__ == "__main__":
    sys.exit(main())
