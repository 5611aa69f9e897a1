"""``report.md`` and one self-contained ``report.html`` from a folder of results."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.forecasting import live, long_horizon, scale
from benchmarks.forecasting.contestants import CONTESTANTS
from benchmarks.forecasting.published import PUBLISHED
from benchmarks.forecasting.runs import set_and_horizon
from benchmarks.grid.overview import clock
from benchmarks.grid.results import Result
from benchmarks.grid.store import Store
from benchmarks.report.page import commit_name, write_pages
from benchmarks.report.tables import Best, Section, Table, spread

UNITS = {
    "mse": ("MSE", 3),
    "mae": ("MAE", 3),
    "mase": ("MASE", 3),
    "smape": ("sMAPE", 2),
    "owa": ("OWA", 3),
    "coverage_80": ("within 80 %", 1),
    "coverage_90": ("within 90 %", 1),
}
"""Metrics in the order of the columns, with name and decimals."""

LOWER = ("mse", "mae", "mase", "smape", "owa")
"""Metrics whose lowest mean in a table is marked."""

REMARKS = {
    ("weather", "neuralforecast_tcn"): "neuralforecast's TCN divides every window by the spread of "
    "its own look-back, which is next to nothing on days without rain; with the MSE that it is "
    "given on all sets its training meets losses of 1e11 and does not converge. Its own loss is "
    "MAE."
}
"""What a reader must know about a contestant on one set."""


def write_page(store: Store) -> tuple[Path, Path]:
    """Writes both files next to the results.

    Raises:
        ValueError: there are no results.
    """
    found = list(store.results())
    if not found:
        raise ValueError(
            f"no results in {store.folder}; make some with `python -m benchmarks forecasting`"
        )
    further = live.read(store.folder), scale.read(store.folder)
    content = {
        "sections": [*sections(found), *filter(None, further)],
        "provenance": provenance(found),
    }
    return write_pages("benchmarks.forecasting", content, store.folder)


def sections(results: Sequence[Result]) -> list[Section]:
    """One for each set and horizon, the long-horizon sets first."""
    return [_section(*key, some) for key, some in grouped(results).items()]


def grouped(results: Sequence[Result]) -> dict[tuple[str, int], list[Result]]:
    """The results of each set and horizon, the long-horizon sets first."""
    groups: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for result in results:
        groups[set_and_horizon(result.task)].append(result)
    order = [*long_horizon.SETS]
    keys = sorted(groups, key=lambda k: (order.index(k[0]) if k[0] in order else len(order), *k))
    return {key: groups[key] for key in keys}


def metrics_of(results: Sequence[Result]) -> list[str]:
    """The metrics that any of them has, in the order of the columns."""
    return [name for name in UNITS if any(f"test_{name}" in each.test for each in results)]


def _section(data: str, horizon: int, results: Sequence[Result]) -> Section:
    metrics = metrics_of(results)
    by_model = {
        model: [each for each in results if each.model == model]
        for model in CONTESTANTS
        if any(each.model == model for each in results)
    }
    means = {
        (model, name): statistics.fmean(tested(name, runs))
        for model, runs in by_model.items()
        for name in metrics
        if tested(name, runs)
    }
    lowest = {
        name: min(value for (_, metric), value in means.items() if metric == name)
        for name in metrics
        if name in LOWER
    }
    rows = [
        _row(model, runs, metrics, [means.get((model, m)) == lowest.get(m, ()) for m in metrics])
        for model, runs in by_model.items()
    ]
    remarks = [REMARKS[data, model] for model in by_model if (data, model) in REMARKS]
    names = [UNITS[name][0] for name in metrics]
    found = [Table(["model", *names, "validation", "seeds", "parameters", "training"], rows)]
    if published := _published(data, horizon, metrics):
        heads = ["published", *names, "look-back", "every window", "source"]
        found.append(Table(heads, published, left=(0, len(heads) - 2, len(heads) - 1)))
    note = " ".join([_note(results[0]), *remarks])
    return Section(f"{data}_{horizon}", title_of(data, horizon), note, found)


def title_of(data: str, horizon: int) -> str:
    """``"ETTh1, next 96 steps"``."""
    if data in long_horizon.SETS:
        return f"{long_horizon.SETS[data].title}, next {horizon} steps"
    return f"{data.replace('_', ' ').replace('m4', 'M4')}, next {horizon} steps"


def _note(result: Result) -> str:
    windows, look_back = result.config["windows"], result.config["look_back"]
    if set_and_horizon(result.task)[0] in long_horizon.SETS:
        return (
            f"Look-back {look_back}. Errors on scaled values over all channels and all "
            f"{windows['test']:,} test windows ({windows['validation']:,} for validation)."
        )
    return (
        f"{windows['test']:,} series, one model, look-back {look_back}, forecast once. "
        "OWA is the mean of MASE and sMAPE relative to those of the seasonal naive forecast."
    )


def _row(
    model: str, runs: Sequence[Result], metrics: Sequence[str], best: Sequence[bool]
) -> list[str]:
    validation = [float(each.best["value"] or 0.0) for each in runs if each.best]
    parameters = runs[0].parameters
    seconds = statistics.fmean(each.wall_seconds for each in runs)
    cells = [spread(tested(name, runs), UNITS[name][1]) for name in metrics]
    return [
        CONTESTANTS[model].label,
        *(Best(cell) if lowest else cell for cell, lowest in zip(cells, best, strict=True)),
        spread(validation, 3),
        str(len(runs)) if CONTESTANTS[model].random else "–",
        f"{parameters:,}" if parameters else "–",
        clock(seconds) if parameters else "–",
    ]


def tested(metric: str, runs: Sequence[Result]) -> list[float]:
    """Its test value of every run that has one."""
    values = [each.test.get(f"test_{metric}") for each in runs]
    return [value for value in values if value is not None]


def _published(data: str, horizon: int, metrics: Sequence[str]) -> list[list[str]]:
    return [
        [
            each.label,
            # With as many decimals as were published.
            *(str(each.figures.get(name, "–")) for name in metrics),
            "–" if each.look_back is None else str(each.look_back),
            "yes" if each.every else "no",
            each.source,
        ]
        for each in PUBLISHED.get((data, horizon), ())
    ]


def provenance(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """How the results were made: each heading with the distinct values found."""
    found: dict[str, set[str]] = {
        "command": {each.command for each in results},
        "commit": {commit_name(each.commit) for each in results},
        "machine": {_machine(each) for each in results},
        "versions": {f"{name} {v}" for each in results for name, v in each.versions.items()},
        "dates": {each.date[:10] for each in results},
        "data": {
            f"{name} {sha[:12]}" for each in results for name, sha in each.config["files"].items()
        },
        "settings": {
            f"{set_and_horizon(each.task)[0]} {each.model}: {json.dumps(each.config['settings'])}"
            for each in results
        },
        "notes": {f"{_run_of(each)}: {note}" for each in results for note in each.notes},
    }
    return [(name, sorted(values)) for name, values in found.items() if values]


def _run_of(result: Result) -> str:
    name, horizon = set_and_horizon(result.task)
    return f"{name} {horizon}, {result.model} seed {result.seed}"


def _machine(result: Result) -> str:
    about = result.machine
    return f"{about['cpu']}, {about['cores']} cores, {about['threads']} thread(s)"
