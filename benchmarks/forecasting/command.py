"""``python -m benchmarks forecasting``: the runs that are missing, then the page."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.forecasting import competition, long_horizon, many_series
from benchmarks.forecasting.contestants import CONTESTANTS
from benchmarks.forecasting.errors import errors
from benchmarks.forecasting.peers import PACKAGES, check_installed, installed
from benchmarks.forecasting.results import Result, Results, Run, recipe
from benchmarks.grid.provenance import origin

DETERMINISTIC_SEED = 0
"""The one run of a model in which nothing is random."""


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        sets: names of long-horizon sets and of sets of many series.
        horizons: rows; None: the first published one of each set. Only of long-horizon sets.
        models: names; None: all that can take part here.
        seeds: of every model for which they matter.
        threads: of torch.
        command: as it was given.
    """

    sets: Sequence[str]
    horizons: Sequence[int] | None
    models: Sequence[str] | None
    seeds: Sequence[int]
    threads: int
    command: str

    def check(self) -> None:
        """Refuses what cannot be run, before anything is.

        Raises:
            ValueError: a name is unknown, or a peer is asked for that is not installed.
        """
        known = (*long_horizon.SETS, *many_series.NAMES)
        for name in self.sets:
            if name not in known:
                raise ValueError(f"set {name!r} is unknown; known: {', '.join(known)}")
        for model in self.models or ():
            if model not in CONTESTANTS:
                raise ValueError(f"model {model!r} is unknown; known: {', '.join(CONTESTANTS)}")
            if CONTESTANTS[model].peer:
                check_installed(model)
        if self.threads < 1:
            raise ValueError(f"--threads is {self.threads}: give 1 or more")

    def chosen(self) -> list[str]:
        """The models, peers only where they are installed."""
        if self.models is not None:
            return list(self.models)
        return [name for name in CONTESTANTS if name not in PACKAGES or installed(name)]


def execute(plan: Plan, results: Results) -> None:
    """Makes every result that is asked for and not there, one after the other."""
    import torch

    plan.check()
    torch.set_num_threads(plan.threads)
    for name in plan.sets:
        if name in long_horizon.SETS:
            for horizon in plan.horizons or (None,):
                _long_horizon(plan, results, long_horizon.load(name, horizon))
        else:
            _many_series(plan, results, many_series.load(name))


def _long_horizon(plan: Plan, results: Results, problem: long_horizon.Problem) -> None:
    data = problem.data
    files = {data.file.path: data.file.sha256}
    for model in plan.chosen():
        contestant = CONTESTANTS[model]
        settings = contestant.settings(problem)
        seeds = plan.seeds if contestant.random else (DETERMINISTIC_SEED,)
        wanted = recipe(settings, problem.look_back, files)
        for run in _missing(results, wanted, data.name, problem.horizon, model, seeds):
            begun = time.perf_counter()
            fitted = contestant.fit(problem, run.seed)
            trained = time.perf_counter()
            validation = errors(problem, fitted, "validation")
            test = errors(problem, fitted, "test")
            done = time.perf_counter()
            result = Result(
                **asdict(run),
                look_back=problem.look_back,
                settings=settings,
                recipe=wanted,
                data_sha256=files,
                windows={p: len(problem.first_rows(p)) for p in ("validation", "test")},
                validation=validation,
                test=test,
                parameters=getattr(fitted, "parameters", None),
                steps=getattr(fitted, "steps", None),
                fit_seconds=trained - begun,
                forecast_seconds=done - trained,
                **_provenance(plan, model),
            )
            _keep(results, result)


def _many_series(plan: Plan, results: Results, data: many_series.SeriesSet) -> None:
    files = many_series.checksums(data.name)
    for model in plan.chosen():
        if model not in competition.MODELS:
            continue
        settings = competition.settings_of(data, model)
        seeds = plan.seeds if CONTESTANTS[model].random else (DETERMINISTIC_SEED,)
        wanted = recipe(settings, data.look_back, files)
        for run in _missing(results, wanted, data.name, data.horizon, model, seeds):
            outcome = competition.compete(data, model, seed=run.seed)
            result = Result(
                **asdict(run),
                look_back=data.look_back,
                settings=settings,
                recipe=wanted,
                data_sha256=files,
                windows={"test": data.test["unique_id"].nunique()},
                **outcome._asdict(),
                **_provenance(plan, model),
            )
            _keep(results, result)


def _missing(
    results: Results, wanted: str, data: str, horizon: int, model: str, seeds: Sequence[int]
) -> Iterator[Run]:
    for seed in seeds:
        run = Run(data, horizon, model, seed)
        there = results.read(run)
        if there is not None and there.recipe == wanted:
            print(f"{run}: there already", flush=True)
        else:
            yield run


def _keep(results: Results, result: Result) -> None:
    results.write(result)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in result.test.items())
    print(f"{result.run}: test {figures}; {result.fit_seconds:.0f} s to train", flush=True)


def _provenance(plan: Plan, model: str) -> dict[str, Any]:
    further = [PACKAGES[model]] if model in PACKAGES else []
    return origin(plan.command, plan.threads, ["pandas", *further])


def run(plan: Plan, folder: Path, *, report_only: bool = False) -> list[Path]:
    """Makes what is missing and writes the page; returns the paths of the page."""
    from benchmarks.forecasting.page import write_page

    results = Results(folder)
    if not report_only:
        execute(plan, results)
    return write_page(results)
