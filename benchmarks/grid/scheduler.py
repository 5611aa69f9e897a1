"""Makes many runs with workers that may be killed at any time."""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import filelock

from benchmarks.grid.journal import JournalReader
from benchmarks.grid.makers import CONFIGURED, maker
from benchmarks.grid.overview import Overview, Progress
from benchmarks.grid.pools import LocalPool, Pool, Worker, last_line
from benchmarks.grid.recipes import Recipe
from benchmarks.grid.runs import Run
from benchmarks.grid.store import Store
from benchmarks.grid.worker import BUSY, FULL, OTHER, THERE, is_done

POLL_SECONDS = 0.2
ELSEWHERE_SECONDS = 1.0
RESTARTS = 2


class Stopped(Exception):  # noqa: N818 - not an error: the user or the system asked for it
    """A signal asked the scheduler to stop."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_status = 128 + signal_number


@dataclass(frozen=True)
class Plan:
    """What to run and how.

    Attributes:
        runs: in order of preference.
        overrides: ``key=value`` strings that override every config.
        drawn: further ones for single runs, applied after those.
        workers: processes at a time.
        threads: computing threads of each.
        retry_failed: run diverged runs again.
        replace: make runs with other settings again, which are refused otherwise.
        whole: if one run is refused, start none of the others.
        minutes: time limit of a run; it stops after the epoch that reaches it and can be resumed.
        command: the user's command, kept in every result.
        maker: the module that makes the runs.
    """

    runs: Sequence[Run]
    overrides: Sequence[str] = ()
    workers: int = 1
    threads: int = 1
    retry_failed: bool = False
    replace: bool = False
    whole: bool = False
    command: str = ""
    drawn: Mapping[Run, Sequence[str]] = field(default_factory=dict)
    minutes: float | None = None
    maker: str = CONFIGURED

    def recipe(self, run: Run) -> Recipe:
        return maker(self.maker).recipe(run, self.overrides_of(run))

    def overrides_of(self, run: Run) -> list[str]:
        return [*self.overrides, *self.drawn.get(run, ())]


class Scheduler:
    """Runs a plan over a store. Several may work on the same store at a time: each run is locked
    by the worker that makes it, and the others wait for its result instead of repeating it.

    Args:
        store: where the results are kept.
        plan: what to run.
        pool: where to run; by default on this machine.
    """

    def __init__(self, store: Store, plan: Plan, pool: Pool | None = None) -> None:
        self.store = store
        self.plan = plan
        self.pool = pool or LocalPool()
        self.entries = {run: Progress(run) for run in plan.runs}
        self._journals = {run: JournalReader(store.work(run)) for run in plan.runs}
        self._workers: dict[Run, Worker] = {}
        self._restarts: dict[Run, int] = {}
        self._retried: dict[Run, str] = {}
        self._looked_elsewhere = 0.0

    def execute(self) -> bool:
        """Makes every run; true if no run crashed or was refused.

        Raises:
            ValueError: a run is refused and the plan is all or nothing; no run was started.
            Stopped: on SIGINT or SIGTERM, after the workers have been stopped.
        """
        waiting = self._plan_work()
        refused = [self.entries[run].message for run in self._in_state("refused")]
        if refused and self.plan.whole:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            raise ValueError(refused[0] + more)
        overview = Overview(list(self.entries.values()))
        with _signals_raise_stopped(), overview:
            for entry in self.entries.values():
                if entry.state != "waiting":
                    overview.state_changed(entry)
            try:
                while waiting or self._workers or self._in_state("elsewhere"):
                    self._fill(waiting, overview)
                    self._reap(waiting, overview)
                    self._look_elsewhere(waiting, overview)
                    self._read_journals(overview)
                    time.sleep(POLL_SECONDS)
            finally:
                self.pool.stop(self._workers.values())
                self._workers.clear()
        return not self._in_state("crashed") and not self._in_state("refused")

    def _plan_work(self) -> list[Run]:
        """The runs still to be made, those expected to take longest first."""
        for run, entry in self.entries.items():
            result = self.store.read(run)
            recipe = self.plan.recipe(run)
            if self.plan.retry_failed and result is not None and result.status == "failed":
                self._retried[run] = result.date
            if result is not None and self._is_made(run):
                self._take_result(run)
                entry.state = "kept" if result.status == "finished" else "failed"
            elif not self.plan.replace and self.store.conflict(run, recipe):
                self._refuse(run)
            elif result is not None and result.recipe != recipe:
                entry.message = f"other {recipe.difference(result.recipe)}: runs again"
            elif result is not None and result.status == "unfinished":
                work = self.store.begun(run)
                entry.message = "begins anew: no checkpoint" if work is None else "goes on"
            elif result is not None:
                entry.message = "failed before: runs again"
        waiting = self._in_state("waiting")
        return sorted(waiting, key=self._expected_seconds, reverse=True)

    def _expected_seconds(self, run: Run) -> float:
        """How long the same model took on the same task from another seed; infinity if unknown."""
        others = [self.store.read(each) for each in self.store.siblings(run)]
        known = [result.wall_seconds for result in others if result is not None]
        return max(known, default=float("inf"))

    def _refuse(self, run: Run) -> None:
        conflict = self.store.conflict(run, self.plan.recipe(run))
        cure = "give --results another folder to keep it, or --replace"
        self.entries[run].set_state("refused", f"{conflict}; {cure}")

    def _in_state(self, state: str) -> list[Run]:
        return [run for run, entry in self.entries.items() if entry.state == state]

    def _fill(self, waiting: list[Run], overview: Overview) -> None:
        while waiting and len(self._workers) < self.plan.workers:
            run = waiting.pop(0)
            self._workers[run] = self._start(run)
            entry = self.entries[run]
            entry.set_state("running", entry.message)
            overview.state_changed(entry)

    def _start(self, run: Run) -> Worker:
        plan = self.plan
        arguments = ["--results", str(self.store.folder.absolute())]
        arguments += ["--task", run.task, "--model", run.model, "--seed", str(run.seed)]
        arguments += ["--settings", run.settings, "--maker", plan.maker]
        arguments += ["--threads", str(plan.threads), "--workers", str(plan.workers)]
        arguments += [f"--override={override}" for override in plan.overrides_of(run)]
        arguments += [f"--command={plan.command}"]
        arguments += [f"--retry={self._retried[run]}"] if run in self._retried else []
        arguments += ["--replace"] if plan.replace else []
        arguments += [] if plan.minutes is None else ["--minutes", str(plan.minutes)]
        return self.pool.start(arguments, plan.threads)

    def _reap(self, waiting: list[Run], overview: Overview) -> None:
        for run, worker in list(self._workers.items()):
            status = worker.poll()
            if status is None:
                continue
            del self._workers[run]
            self._read_journal(run, overview)
            self._conclude(run, status, waiting, worker.complaint())
            overview.state_changed(self.entries[run])

    def _conclude(self, run: Run, status: int, waiting: list[Run], complaint: str) -> None:
        entry = self.entries[run]
        if status == 0:
            self._take_result(run)
        elif status == THERE:
            self._take_result(run, "made by another process")
        elif status == BUSY:
            entry.set_state("elsewhere", "made by another process")
        elif status == OTHER:
            self._refuse(run)
        elif status < 0 and self._restarts.get(run, 0) < RESTARTS:
            self._restarts[run] = self._restarts.get(run, 0) + 1
            waiting.insert(0, run)
            cause = signal.Signals(-status).name + (f" ({complaint})" if complaint else "")
            entry.set_state("waiting", f"worker killed by {cause}: goes on from its last epoch")
        elif status == FULL:
            where = f"no space left for {self.store.folder}: make room"
            entry.set_state("crashed", f"{where}, and the same command goes on from its last epoch")
        elif self._is_made(run):  # and something went wrong at exit
            self._take_result(run)
        else:
            log = self.store.work(run) / "log.txt"
            cause = complaint or f"{_last_line_of(log)}; all of it in {log}"
            entry.set_state("crashed", f"exit status {status}: {cause}")

    def _take_result(self, run: Run, message: str = "") -> None:
        result = self.store.read(run)
        entry = self.entries[run]
        if result is None:
            entry.set_state("crashed", "its worker left no result")
            return
        entry.set_state(result.status, result.reason or message)
        entry.seconds = result.wall_seconds
        best = result.best.get("value")
        if best is not None:
            entry.metric, entry.value = f"best {result.selection['metric']}", float(best)

    def _look_elsewhere(self, waiting: list[Run], overview: Overview) -> None:
        """Takes the results of other processes, or the runs themselves if a process was killed."""
        if time.monotonic() - self._looked_elsewhere < ELSEWHERE_SECONDS:
            return
        self._looked_elsewhere = time.monotonic()
        for run in self._in_state("elsewhere"):
            if not self._is_free(run):
                continue
            if self._is_made(run):
                self._take_result(run, "made by another process")
            else:
                self.entries[run].set_state("waiting", "left by another process")
                waiting.insert(0, run)
            overview.state_changed(self.entries[run])

    def _is_made(self, run: Run) -> bool:
        return is_done(self.store.read(run), self.plan.recipe(run), self._retried.get(run))

    def _is_free(self, run: Run) -> bool:
        try:
            with filelock.FileLock(self.store.lock_path(run), timeout=0):
                return True
        except filelock.Timeout:
            return False

    def _read_journals(self, overview: Overview) -> None:
        for run in [*self._workers, *self._in_state("elsewhere")]:
            self._read_journal(run, overview)

    def _read_journal(self, run: Run, overview: Overview) -> None:
        entry = self.entries[run]
        finished = [entry.apply(event) for event in self._journals[run].events()]
        if any(finished):
            overview.epoch_finished(entry)


def _last_line_of(log: Path) -> str:
    return last_line(log.read_text(errors="replace")) if log.exists() else ""


@contextmanager
def _signals_raise_stopped() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the second Ctrl-C is immediate
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
