"""Unfinished runs, searches, memory curve and ablations as figures and tables of the report."""

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.grid.overview import clock
from benchmarks.grid.results import Result
from benchmarks.grid.runs import SEARCH
from benchmarks.grid.store import Store
from benchmarks.report.paper import Metric, Task
from benchmarks.report.plots import Drawing, draw_trials, draw_unfinished, look, svg, validation
from benchmarks.report.summary import (
    RESULTS,
    TaskSummary,
    described_by,
    place,
    significant,
    spread_text,
)
from benchmarks.report.table import continuing, shown
from benchmarks.report.tables import Table
from benchmarks.studies import ablations, memory_curve
from benchmarks.studies.search import has_value, ranked
from benchmarks.studies.study import Point, summary_of
from tcn.commands.names import split_override

Section = dict[str, Any]


def sections(store: Store, summaries: Sequence[TaskSummary]) -> list[Section]:
    """For each study with results: heading, text, tables, figure, and the commands that make it."""
    found = [
        _unfinished(store, summaries),
        _searches(store),
        _memory_curve(store.folder),
        _ablations(store.folder),
    ]
    return [section for section in found if section is not None]


def _unfinished(store: Store, summaries: Sequence[TaskSummary]) -> Section | None:
    begun = [each for each in summaries if each.unfinished]
    if not begun:
        return None
    drawings: list[Drawing] = [partial(draw_unfinished, summary=summary) for summary in begun]
    results = [(summary, result) for summary in begun for result in summary.unfinished]
    metric = "best validation so far"
    heads = ["task", "model", "seed", "done", metric, "at epoch", "the paper's test", "time"]
    return {
        "name": "unfinished",
        "title": "Begun, not finished",
        "text": "Runs whose time was over, with the curve so far. They were not tested and stand "
        "in no other table.",
        "tables": [Table(heads, [_so_far(*each) for each in results], title="Where they stand")],
        "figure": svg(drawings, size=(4.5 * max(2, len(drawings)), 3.4)),
        "notes": [
            (
                f"{summary.task.title}, {look(result.model).label} seed {result.seed} goes on, or "
                "begins anew where its checkpoint is not at hand:",
                continuing(result, store),
            )
            for summary, result in results
        ],
        "results": [result for _, result in results],
    }


def _so_far(summary: TaskSummary, result: Result) -> list[str]:
    metric = summary.task.metric
    return [
        f"{summary.task.title}, {metric.heading}",
        look(result.model).label,
        str(result.seed),
        _done_of(result),
        significant(validation(result, metric), 4),
        str(result.best["epoch"]),
        summary.task.paper.get(result.model, "–"),
        clock(result.wall_seconds),
    ]


def _done_of(result: Result) -> str:
    limit, _, most = result.budget["limit"].rpartition("=")
    if limit == "trainer.max_steps":
        return f"{result.steps:,} of {int(most):,} steps"
    return f"{len(result.history)} of {most} epochs"


def _searches(store: Store) -> Section | None:
    trials = list(store.results(SEARCH))
    if not trials:
        return None
    by_task: dict[str, dict[str, list[Result]]] = {}
    for trial in sorted(trials, key=lambda each: place(each.model)):
        by_task.setdefault(trial.task, {}).setdefault(trial.model, []).append(trial)
    by_task = {
        task: {model: ranked(found) for model, found in by_model.items()}
        for task, by_model in by_task.items()
    }
    described = {
        name: described_by(next(iter(by_model.values()))[0]) for name, by_model in by_task.items()
    }
    drawings: list[Drawing] = [
        partial(draw_trials, task=described[name], trials=by_model)
        for name, by_model in by_task.items()
    ]
    heads = ["task", "model", "trials", "steps of each", "best validation", "median"]
    heads += ["parameters", "its settings"]
    rows = [
        _best_trial(described[name], of_model)
        for name, by_model in by_task.items()
        for of_model in by_model.values()
    ]
    return {
        "name": "searches",
        "title": "Searches",
        "text": "Settings drawn at random and judged by validation; the test set is not read. "
        "Trial 0 is the config as it stood, with what was laid over every trial. A ring marks the "
        "best. Models compare where they had as many trials of as many optimizer steps.",
        "tables": [Table(heads, rows, title="The best of each")],
        "figure": svg(drawings, size=(4.5 * max(2, len(drawings)), 3.0)),
        "notes": [
            (f"{described[name].title}, all trials in {name}/search, made by", command)
            for name, by_model in by_task.items()
            for command in _commands([each for found in by_model.values() for each in found])
        ],
        "results": trials,
    }


def _commands(results: Sequence[Result]) -> list[str]:
    """The commands that made them, without what only says where and with how many processes."""
    return sorted({_without_circumstances(result.command) for result in results})


def _without_circumstances(command: str) -> str:
    options = ("--results", "--workers", "--threads", "--ray", "--gpus")
    words, kept = iter(shlex.split(command)), []
    for word in words:
        if word in options:
            next(words, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return shlex.join(kept)


def _best_trial(task: Task, trials: Sequence[Result]) -> list[str]:
    best = trials[0]
    diverged = sum(not has_value(each) for each in trials)
    steps = sorted({each.budget.get("steps") or each.steps for each in trials})
    laid_over = [split_override(item) for item in best.overrides]
    settings = [
        f"{key.rpartition('.')[2]} {value}"
        for key, value in laid_over
        if not key.endswith("class_path") and not value.startswith("{")
    ]
    values = [validation(each, task.metric) for each in trials if has_value(each)]
    return [
        f"{task.title}, {task.metric.heading}",
        look(best.model).label,
        str(len(trials)) + (f" ({diverged} diverged)" if diverged else ""),
        " to ".join(dict.fromkeys((f"{steps[0]:,}", f"{steps[-1]:,}"))),
        significant(values[0], 4) if values else "–",
        significant(median(values), 4) if values else "–",
        f"{best.parameters or 0:,}",
        (", ".join(settings) or "the config") if values else "all diverged",
    ]


def _memory_curve(folder: Path) -> Section | None:
    known = {problem: found for problem, found in memory_curve.curves(folder).items() if found}
    if not known:
        return None
    drawings: list[Drawing] = [
        partial(memory_curve.draw, problem=problem, known=known[problem]) for problem in known
    ]
    tables = []
    for problem, by_length in known.items():
        metric = memory_curve.METRICS[problem]
        rows = [
            [f"{length:,}", *(_cell(summary, model, metric) for model in memory_curve.MODELS)]
            for length, summary in by_length.items()
        ]
        heads = ["T", *(look(model).label for model in memory_curve.MODELS)]
        title = f"{problem.capitalize()}: {_named(metric)}"
        tables.append(Table(heads, rows, title=title))
    everything = [summary for by_length in known.values() for summary in by_length.values()]
    return _section(
        memory_curve.NAME,
        "How far back they remember",
        "Every model has about 15,000 parameters and is trained for 1,565 steps of 32 sequences at "
        "every length T, with the settings of the quick tasks; the TCN is as deep as T asks for. "
        "So it says how soon a length is learned, not whether it ever can be. After figure 5 of "
        "the paper.",
        tables,
        svg(drawings, size=(9.0, 3.6)),
        everything,
        memory_curve.points(),
        folder,
    )


def _ablations(folder: Path) -> Section | None:
    known = ablations.known(folder)
    if not any(known.values()):
        return None
    tasks = [task for task in known if known[task]]
    drawings: list[Drawing] = [
        partial(ablations.draw, task=task, found=known[task]) for task in tasks
    ]
    rows = [
        [label, _parameters([known[task].get(variant) for task in tasks])]
        + [_variant_cell(known[task].get(variant), ablations.METRICS[task]) for task in tasks]
        for variant, (label, _) in ablations.VARIANTS.items()
    ]
    heads = ["variant", "parameters"]
    heads += [f"{ablations.TITLES[task]}: {_named(ablations.METRICS[task])}" for task in tasks]
    return _section(
        ablations.NAME,
        "What each part is worth",
        "One thing changed at a time in a TCN of 6 levels and kernel size 8. Every variant is as "
        "wide as 14,922 parameters allow and is trained for the same steps. After figure 6 and "
        "table 5 of the paper.",
        [Table(heads, rows, title="Test, mean ± standard deviation over seeds")],
        svg(drawings, size=(9.0, 4.0)),
        [summary for by_variant in known.values() for summary in by_variant.values()],
        ablations.points(),
        folder,
    )


def _section(
    name: str,
    title: str,
    text: str,
    tables: Sequence[Table],
    figure: str,
    summaries: Sequence[TaskSummary],
    points: Sequence[Point],
    folder: Path,
) -> Section:
    made = [result for summary in summaries for result in summary.results]
    failed = sum(len(row.failed) for summary in summaries for row in summary.rows)
    seeds = sorted({result.seed for result in made})
    wanted = [point.name for point in points if _is_wanting(point, seeds, folder, name)]
    numbers = list(map(str, seeds))
    counts = f"{len(made)} runs, {failed} failed. Every point from seeds {', '.join(numbers)}:"
    again = ["python", "-m", "benchmarks", name, "--seeds", *numbers]
    again += [] if shown(folder) == RESULTS else ["--results", shown(folder)]
    command = shlex.join(again)
    missing = [("Missing wholly or in part:", f"{command} --points {' '.join(wanted)}")]
    return {
        "name": name,
        "title": title,
        "text": text,
        "tables": tables,
        "figure": figure,
        "notes": [(counts, command), *(missing if wanted else [])],
        "results": made,
    }


def _is_wanting(point: Point, seeds: Sequence[int], folder: Path, study: str) -> bool:
    """Whether a point lacks a model from a seed."""
    summary = summary_of(folder, study, point)
    found = [] if summary is None else summary.results
    made = {(result.model, result.seed) for result in found}
    return any((model, seed) not in made for model in point.models for seed in seeds)


def _cell(summary: TaskSummary, model: str, metric: Metric) -> str:
    row = next(row for row in summary.rows if row.model == model)
    text = spread_text(row.test(metric))
    return f"{text} ({len(row.failed)} failed)" if row.failed else text


def _variant_cell(summary: TaskSummary | None, metric: Metric) -> str:
    return "–" if summary is None else _cell(summary, "tcn", metric)


def _parameters(summaries: Sequence[TaskSummary | None]) -> str:
    counts = [row.parameters for summary in summaries if summary for row in summary.rows[:1]]
    return f"{counts[0]:,}" if counts and counts[0] else "–"


def _named(metric: Metric) -> str:
    return f"{metric.name} (%)" if metric.unit == "%" else metric.name
