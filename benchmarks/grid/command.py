"""What all commands that make runs share: their options, and making the runs."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing

from benchmarks.grid.makers import CONFIGURED
from benchmarks.grid.pools import LocalPool, Pool
from benchmarks.grid.provenance import available_cores
from benchmarks.grid.runs import Run
from benchmarks.grid.scheduler import Plan, Scheduler
from benchmarks.grid.store import Store
from tcn.commands.names import split_override


def add_plan(
    action: argparse.ArgumentParser, *, workers: int | None = None, threads: int | None = None
) -> None:
    """Adds the options that say where runs are made, and what happens to those with other settings.

    By default as many runs at a time as there are cores, and as many threads as that leaves each.
    """
    action.add_argument("--workers", type=int, default=workers or available_cores(), metavar="N",
                        help="runs at a time (default: %(default)s)")  # fmt: skip
    usual = threads or "cores / runs at a time"
    action.add_argument("--threads", type=int, default=threads, metavar="N",
                        help=f"of each run (default: {usual})")  # fmt: skip
    action.add_argument("--ray", metavar="ADDRESS",
                        help="a Ray cluster, on all of which there are --workers runs at a time; "
                        "'local' starts one")  # fmt: skip
    action.add_argument("--gpus", type=float, default=0.0, metavar="N",
                        help="of each run on the cluster (%(default)s)")  # fmt: skip
    action.add_argument("--replace", action="store_true",
                        help="make anew what was made with other settings")  # fmt: skip


def make(
    options: argparse.Namespace,
    store: Store,
    runs: Sequence[Run],
    overrides: Sequence[str] = (),
    drawn: Mapping[Run, Sequence[str]] | None = None,
    *,
    whole: bool = False,
    maker: str = CONFIGURED,
) -> bool:
    """Makes the runs as the options of `add_plan` say; true if no run crashed or was refused."""
    threads = threads_of(options)
    for override in overrides:
        split_override(override)
    plan = Plan(
        runs=runs,
        overrides=overrides,
        workers=options.workers,
        threads=threads,
        retry_failed=getattr(options, "retry_failed", False),
        replace=options.replace,
        whole=whole,
        command=options.command_line,
        drawn=drawn or {},
        minutes=_minutes(options),
        maker=maker,
    )
    with closing(_pool(options, threads)) as pool:
        return Scheduler(store, plan, pool).execute()


def _pool(options: argparse.Namespace, threads: int) -> Pool:
    if options.ray is None:
        if options.gpus:
            raise ValueError("--gpus is for --ray: without it the config says which device")
        return LocalPool()
    from benchmarks.grid.ray_cluster import RayPool

    cores = max(available_cores(), options.workers * threads)
    return RayPool(options.ray, options.results, cores=cores, gpus=options.gpus)


def threads_of(options: argparse.Namespace) -> int:
    """Computing threads of each run.

    Raises:
        ValueError: the number of workers or threads is below 1.
    """
    if options.workers < 1:
        raise ValueError(f"--workers is {options.workers}: give 1 or more")
    # Not by the number of runs: the last one left would be timed with more threads than its peers.
    threads = options.threads
    if threads is None:
        threads = max(1, available_cores() // options.workers)
    if threads < 1:
        raise ValueError(f"--threads is {threads}: give 1 or more")
    return threads


def _minutes(options: argparse.Namespace) -> float | None:
    """How long each run may take before it is left unfinished.

    Raises:
        ValueError: it is negative.
    """
    minutes: float | None = getattr(options, "minutes", None)
    if minutes is not None and not minutes >= 0:
        raise ValueError(f"--minutes is {minutes}: give 0 or more")
    return minutes
