"""Unfinished runs, searches, memory curve and ablations as figures and tables of the report."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import ablations, memory_curve
from benchmarks.overview import clock
from benchmarks.paper import TASKS, Metric, Task
from benchmarks.plots import Drawing, draw_trials, draw_unfinished, look, svg, validation
from benchmarks.runs import MODELS, SEARCH, Result, Store, split_override
from benchmarks.search import ranked
from benchmarks.study import Point
from benchmarks.summary import TaskSummary, significant, spread_text
from benchmarks.table import continuing

Section = dict[str, Any]


def sections(store: Store, summaries: Sequence[TaskSummary]) -> list[Section]:
    """Of each study with results: heading, text, tables, figure, and the commands that make it."""
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
    heads = ["task", "model", "seed", "epochs", metric, "at epoch", "the paper's test", "time"]
    return {
        "name": "unfinished",
        "title": "Begun, not finished",
        "text": "Runs whose time was over, with the curve so far. They were not tested and stand "
        "in no other table.",
        "tables": [_table("Where they stand", heads, [_so_far(*each) for each in results])],
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
        f"{len(result.history)} of {result.budget['limit'].rpartition('=')[2]}",
        significant(validation(result, metric), 4),
        str(result.best["epoch"]),
        summary.task.paper.get(result.model, "–"),
        clock(result.wall_seconds),
    ]


def _searches(store: Store) -> Section | None:
    trials = list(store.results(SEARCH))
    if not trials:
        return None
    by_task: dict[str, dict[str, list[Result]]] = {}
    for trial in sorted(trials, key=lambda each: MODELS.index(each.model)):
        by_task.setdefault(trial.task, {}).setdefault(trial.model, []).append(trial)
    by_task = {
        task: {model: ranked(found) for model, found in by_model.items()}
        for task, by_model in by_task.items()
    }
    drawings: list[Drawing] = [
        partial(draw_trials, task=TASKS[task], trials=by_model)
        for task, by_model in by_task.items()
    ]
    heads = ["task", "model", "trials", "best validation", "median", "parameters", "its settings"]
    rows = [
        _best_trial(TASKS[task], of_model)
        for task, by_model in by_task.items()
        for of_model in by_model.values()
    ]
    return {
        "name": "searches",
        "title": "Searches",
        "text": "Settings drawn at random, as many trials and optimiser steps for every model of a "
        "task, judged by validation; the test set is not read. Trial 0 is the config as it stood. "
        "A ring marks the best.",
        "tables": [_table("The best of each", heads, rows)],
        "figure": svg(drawings, size=(4.5 * max(2, len(drawings)), 3.0)),
        "notes": [
            (
                f"All trials of {TASKS[task].title} are in {task}/search beside this page. Made by",
                f"python -m benchmarks search --task {task} "
                f"--trials {max(len(found) for found in by_model.values())}",
            )
            for task, by_model in by_task.items()
        ],
        "results": trials,
    }


def _best_trial(task: Task, trials: Sequence[Result]) -> list[str]:
    best = trials[0]
    laid_over = [split_override(item) for item in best.overrides]
    settings = [
        f"{key.rpartition('.')[2]} {value}"
        for key, value in laid_over
        if not key.endswith("class_path") and not value.startswith("{")
    ]
    values = [validation(each, task.metric) for each in trials]
    return [
        f"{task.title}, {task.metric.heading}",
        look(best.model).label,
        str(len(trials)),
        significant(values[0], 4),
        significant(median(values), 4),
        f"{best.parameters or 0:,}",
        "the config" if best.seed == 0 else ", ".join(settings),
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
        tables.append(_table(f"{problem.capitalize()}: {_named(metric)}", heads, rows))
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
        [_table("Test, mean ± standard deviation over seeds", heads, rows)],
        svg(drawings, size=(9.0, 4.0)),
        [summary for by_variant in known.values() for summary in by_variant.values()],
        ablations.points(),
        folder,
    )


def _section(
    name: str,
    title: str,
    text: str,
    tables: Sequence[dict[str, Any]],
    figure: str,
    summaries: Sequence[TaskSummary],
    points: Sequence[Point],
    folder: Path,
) -> Section:
    made = sum(len(summary.results) for summary in summaries)
    failed = sum(len(row.failed) for summary in summaries for row in summary.rows)
    seeds = sorted({result.seed for summary in summaries for result in summary.results})
    wanted = [point.name for point in points if not (folder / name / point.name).exists()]
    command = f"python -m benchmarks {name}"
    counts = f"{made} runs from seeds {', '.join(map(str, seeds))}; {failed} failed. Made by"
    missing = [("Points without results:", f"{command} --points {' '.join(wanted)}")]
    return {
        "name": name,
        "title": title,
        "text": text,
        "tables": tables,
        "figure": figure,
        "notes": [(counts, command), *(missing if wanted else [])],
        "results": [result for summary in summaries for result in summary.results],
    }


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"title": title, "heads": heads, "rows": rows}


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
