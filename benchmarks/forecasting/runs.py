"""The maker of forecasting runs: a task is a set at a horizon, a model is a contestant."""

import math
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.forecasting import competition, long_horizon, many_series
from benchmarks.forecasting.contestants import CONTESTANTS
from benchmarks.forecasting.errors import errors
from benchmarks.forecasting.peers import PACKAGES, check_installed, installed
from benchmarks.grid.makers import Circumstances
from benchmarks.grid.provenance import origin, peak_memory
from benchmarks.grid.recipes import Recipe, sha256_of
from benchmarks.grid.results import Result, judged_once
from benchmarks.grid.runs import Run

DETERMINISTIC_SEED = 0
"""The only seed of a model in which nothing is random."""


class Asked(NamedTuple):
    """What decides the numbers of a run besides its seed; the ``config`` of its result.

    Attributes:
        settings: of the contestant.
        look_back: steps a forecast may read.
        files: the sha256 of each file of the data.
    """

    settings: dict[str, Any]
    look_back: int
    files: dict[str, str]


def set_and_horizon(task: str) -> tuple[str, int]:
    """``"ETTh1_96"`` -> its set and its horizon."""
    name, _, horizon = task.rpartition("_")
    return name, int(horizon)


def chosen(
    sets: Sequence[str],
    horizons: Sequence[int] | None,
    models: Sequence[str] | None,
    seeds: Sequence[int],
) -> list[Run]:
    """All runs asked for, set by set.

    Args:
        sets: names of long-horizon sets and of sets of many series.
        horizons: rows, for long-horizon sets only; None: the first published one of each set.
        models: names; None: all of long horizon that can take part here, peers if they are
            installed.
        seeds: for every model that depends on them.

    Raises:
        ValueError: a name is unknown, a horizon is too long, or a peer is not installed.
    """
    known = (*long_horizon.SETS, *many_series.NAMES)
    for name in sets:
        if name not in known:
            raise ValueError(f"set {name!r} is unknown; known: {', '.join(known)}")
    for model in models or ():
        if model not in CONTESTANTS:
            raise ValueError(f"model {model!r} is unknown; known: {', '.join(CONTESTANTS)}")
        if model in PACKAGES:
            check_installed(model)
    if models is None:
        able = [name for name in CONTESTANTS if name not in PACKAGES or installed(name)]
        models = [name for name in able if CONTESTANTS[name].long_horizon]
    return [
        Run(task, model, seed)
        for name in sets
        for task in _tasks(name, horizons)
        for model in models
        if _takes_part(model, name)
        for seed in (seeds if CONTESTANTS[model].random else (DETERMINISTIC_SEED,))
    ]


def _takes_part(model: str, name: str) -> bool:
    if name in long_horizon.SETS:
        return CONTESTANTS[model].long_horizon
    return model in competition.MODELS


def _tasks(name: str, horizons: Sequence[int] | None) -> Iterator[str]:
    if name not in long_horizon.SETS:
        yield f"{name}_{_series(name).horizon}"
    elif horizons is None:
        yield f"{name}_{long_horizon.SETS[name].horizons[0]}"
    else:
        yield from (f"{name}_{long_horizon.load(name, each).horizon}" for each in horizons)


_series = cache(many_series.load)


def _asked(run: Run) -> Asked:
    name, _ = set_and_horizon(run.task)
    if name in long_horizon.SETS:
        data = long_horizon.SETS[name]
        settings = CONTESTANTS[run.model].settings(data)
        return Asked(settings, data.look_back, {data.file.path: data.file.sha256})
    series = _series(name)
    settings = competition.settings_of(series, run.model)
    return Asked(settings, series.look_back, many_series.checksums(name))


def recipe(run: Run, overrides: Sequence[str] = ()) -> Recipe:
    """Settings, look-back and data; forecasting runs have no overrides."""
    return Recipe(sha256_of(_asked(run)))


def execute(run: Run, recipe: Recipe, work: Path, around: Circumstances) -> Result:
    """Trains a contestant and measures its errors.

    Raises:
        ValueError: a figure is not finite.
    """
    import torch

    torch.set_num_threads(around.threads)
    name, horizon = set_and_horizon(run.task)
    if name in long_horizon.SETS:
        windows, outcome = _long_horizon(run, long_horizon.load(name, horizon))
    else:
        outcome = competition.compete(_series(name), run.model, seed=run.seed)
        windows = {"test": _series(name).test["unique_id"].nunique()}
    for part, figures in (("validation", outcome.validation), ("test", outcome.test)):
        for metric, value in figures.items():
            if not math.isfinite(value):
                raise ValueError(f"{run}: {part} {metric} is {value}")
    packages = ["pandas", *([PACKAGES[run.model]] if run.model in PACKAGES else [])]
    return Result(
        task=run.task,
        model=run.model,
        seed=run.seed,
        config_file="benchmarks/forecasting/settings.py",
        config_sha256=recipe.config_sha256,
        config={**_asked(run)._asdict(), "windows": windows},
        parameters=outcome.parameters,
        peak_memory=peak_memory(),
        **judged_once(
            outcome.validation,
            outcome.test | {"seconds": outcome.forecast_seconds},
            steps=outcome.steps,
            seconds=outcome.fit_seconds,
        ),
        **origin(around.command, around.threads, packages, workers=around.workers),
    )


def _long_horizon(
    run: Run, problem: long_horizon.Problem
) -> tuple[dict[str, int], competition.Outcome]:
    begun = time.perf_counter()
    fitted = CONTESTANTS[run.model].fit(problem, run.seed)
    trained = time.perf_counter()
    parts: tuple[long_horizon.Part, ...] = ("validation", "test")
    found = {part: errors(problem, fitted, part) for part in parts}
    outcome = competition.Outcome(
        **found,
        parameters=getattr(fitted, "parameters", None),
        steps=getattr(fitted, "steps", None),
        fit_seconds=trained - begun,
        forecast_seconds=time.perf_counter() - trained,
    )
    return {part: len(problem.first_rows(part)) for part in parts}, outcome
