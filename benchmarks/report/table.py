"""The paper's Table 1 next to ours: who wins, at what cost, and what is missing and why."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.grid.overview import clock
from benchmarks.grid.recipes import Recipe
from benchmarks.grid.results import Result
from benchmarks.grid.runs import MODELS, ROOT, Run, known_models, known_tasks
from benchmarks.grid.store import Store
from benchmarks.report.paper import SETTINGS, SIZES, TABLE_1
from benchmarks.report.plots import look
from benchmarks.report.summary import (
    Row,
    TaskSummary,
    counted,
    fill_command,
    spread_text,
    unmade,
)

SEEDS = (0, 1, 2)
OVERRIDDEN = "†"


def whole_table(summaries: Sequence[TaskSummary], store: Store) -> list[dict[str, Any]]:
    """A line for each of the paper's eleven tasks, run or not."""
    known = {summary.name: summary for summary in summaries}
    return [_line(known.get(name, unmade(name)), store) for name in TABLE_1]


def _line(summary: TaskSummary, store: Store) -> dict[str, Any]:
    four = [row for row in summary.rows if row.model in MODELS]
    best = paper_winner(summary)
    return {
        "name": summary.name,
        "title": summary.task.title,
        "heading": summary.task.metric.heading,
        "size": SIZES[summary.name],
        "has_section": has_section(summary),
        "cells": [_cell(row, summary, best) for row in four],
        "winner": look(summary.winner).label if summary.winner else None,
        "no_winner": _why_no_winner(four),
        "paper_winner": look(best).label,
        "missing": missing(four, summary, store),
    }


def has_section(summary: TaskSummary) -> bool:
    """Whether anything was run with our settings."""
    return any(not row.empty for row in summary.rows)


def _cell(row: Row, summary: TaskSummary, best: str) -> dict[str, Any]:
    return {
        "label": look(row.model).label,
        "color": look(row.model).color,
        "test": spread_text(row.test(summary.task.metric)) + overridden(row.finished),
        "best": row.model == summary.winner,
        "seeds": counted(row, summary),
        "failed": len(row.failed),
        "runs": len(row.finished) + len(row.failed),
        "empty": row.empty,
        "paper": summary.task.paper.get(row.model, "–"),
        "paper_best": row.model == best,
    }


def paper_winner(summary: TaskSummary) -> str:
    """The model with the paper's best number."""
    sign = -1.0 if summary.task.metric.higher_is_better else 1.0
    return min(summary.task.paper, key=lambda model: sign * float(summary.task.paper[model]))


def _why_no_winner(rows: Sequence[Row]) -> str:
    finished = [look(row.model).label for row in rows if row.finished]
    if len(finished) >= 2:
        return "none beats chance"
    if finished:
        return f"only {finished[0]} run"
    if any(row.unfinished for row in rows):
        return "none finished"
    return "all that were run failed" if any(row.failed for row in rows) else "not run"


def missing(rows: Sequence[Row], summary: TaskSummary, store: Store) -> list[dict[str, str]]:
    """Which models and seeds are missing, why, and the command that makes them."""
    lines = [
        {
            "models": look(result.model).label,
            "reason": f"seed {result.seed} is not finished: {result.reason}",
            "command": continuing(result, store),
        }
        for row in rows
        for result in row.unfinished
    ]
    lacking: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        lacking.setdefault(_lacking(row, summary), []).append(row)
    for seeds, some in sorted(lacking.items(), key=lambda each: len(each[0]), reverse=True):
        if seeds:
            lines += _unmade(some, seeds, summary, store)
    return lines


def _lacking(row: Row, summary: TaskSummary) -> tuple[int, ...]:
    made = {result.seed for result in (*row.finished, *row.failed, *row.unfinished)}
    return tuple(seed for seed in seeds_of(summary) if seed not in made)


def _unmade(
    rows: Sequence[Row], seeds: Sequence[int], summary: TaskSummary, store: Store
) -> Iterator[dict[str, str]]:
    """The models that lack these seeds: those without any results, and those with other seeds."""
    untouched = [row for row in rows if row.empty and not row.unfinished]
    for some in (untouched, [row for row in rows if row not in untouched]):
        models = [row.model for row in some]
        if models:
            labels = ", ".join(look(model).label for model in models)
            which = "seed" if len(seeds) == 1 else "seeds"
            further = f", {which} {', '.join(map(str, seeds))}" if some is not untouched else ""
            reason, replacing = _reason(summary, models, seeds, store)
            command = fill_command(summary.name, models, seeds, shown(store.folder))
            yield {
                "models": f"{labels}{further}",
                "reason": reason,
                "command": f"{command} --replace" if replacing else command,
            }


def continuing(result: Result, store: Store) -> str:
    """The command that continues an unfinished run."""
    return fill_command(
        result.task,
        [result.model],
        [result.seed],
        shown(store.folder),
        result.settings,
        result.overrides,
    )


def _reason(
    summary: TaskSummary, models: Sequence[str], seeds: Sequence[int], store: Store
) -> tuple[str, bool]:
    """Why they are missing, and whether epochs made with other settings are in the way."""
    runs = [Run(summary.name, model, seed) for model in models for seed in seeds]
    begun = {run: recipe for run in runs if (recipe := store.begun(run)) and run.config.exists()}
    others = [run for run, recipe in begun.items() if recipe != Recipe.of(run)]
    if others:
        return f"{_labels(others)} begun with other settings; the command begins anew", True
    if begun:
        return f"{_labels(begun)} begun and not finished; the command goes on from there", False
    return (not summary.results and summary.task.data) or "not run yet", False


def _labels(runs: Iterable[Run]) -> str:
    return ", ".join(sorted({look(run.model).label for run in runs}))


def costs(summaries: Sequence[TaskSummary]) -> list[dict[str, Any]]:
    """For every task with results, the cost of each model: to the end, and to a given quality."""
    return [
        {
            "title": summary.task.title,
            "quality": quality(summary),
            "cells": [cost(row, summary) for row in summary.rows if row.model in MODELS],
        }
        for summary in summaries
        if any(row.finished for row in summary.rows)
    ]


def quality(summary: TaskSummary) -> str:
    """``"accuracy ≥ 95.0%"``."""
    if summary.task.quality is None:
        return "–"
    metric = summary.task.metric
    sign = "≥" if metric.higher_is_better else "≤"
    return (
        f"{metric.name} {sign} {summary.task.quality:g}{f' {metric.unit}' if metric.unit else ''}"
    )


def cost(row: Row, summary: TaskSummary) -> dict[str, Any]:
    """Time, memory, and the time to the quality of the task."""
    seconds, memory = row.mean("wall_seconds"), row.mean("peak_memory")
    return {
        "empty": not row.finished,
        "time": clock(seconds) if seconds is not None else "–",
        "memory": f"{memory / 2**20:,.0f}" if memory is not None else "–",
        "reached": reached(row, summary),
    }


def reached(row: Row, summary: TaskSummary) -> str:
    """``"2:10"``, ``"2:10 (4 of 5)"`` if some seeds never got there, or ``"never"``."""
    if summary.task.quality is None or not row.finished:
        return "–"
    spread = row.seconds_to(summary.task.metric, summary.task.quality)
    if spread is None:
        return "never"
    runs = len(row.finished) + len(row.failed)
    return clock(spread.mean) + (f" ({spread.n} of {runs})" if spread.n < runs else "")


def variants(summaries: Sequence[TaskSummary]) -> list[dict[str, Any]]:
    """Results with settings other than ours, next to the same model with ours."""
    return [
        {
            "task": summary.name,
            "title": summary.task.title,
            "heading": summary.task.metric.heading,
            "settings": row.settings,
            "meaning": SETTINGS.get(row.settings, row.settings),
            "label": look(row.model).label,
            "color": look(row.model).color,
            "test": spread_text(row.test(summary.task.metric)) + overridden(row.finished),
            "seeds": counted(row, summary),
            "failed": len(row.failed),
            "ours": next(
                (
                    spread_text(own.test(summary.task.metric))
                    for own in summary.rows
                    if own.model == row.model
                ),
                "–",
            ),
            "paper": summary.task.paper.get(row.model, "–"),
            "parameters": f"{row.parameters:,}" if row.parameters is not None else "–",
            **cost(row, summary),
        }
        for summary in summaries
        for row in summary.variants
    ]


def missing_variants(summaries: Sequence[TaskSummary], store: Store) -> list[str]:
    """The commands for joint outputs and present-day nets that have configs but no result."""
    made = {(row.task, row.settings, row.model) for each in summaries for row in each.variants}
    commands = []
    for settings in ("joint", "modern"):
        for task in known_tasks(settings):
            models = [
                model
                for model in known_models(task, settings)
                if (task, settings, model) not in made
            ]
            if models:
                commands.append(fill_command(task, models, SEEDS, shown(store.folder), settings))
    return commands


def overridden(results: Iterable[Result]) -> str:
    """A mark for results not made by the committed configs and code alone."""
    as_written = all(result.is_what_a_commit_says for result in results)
    return "" if as_written else f" {OVERRIDDEN}"


def seeds_of(summary: TaskSummary) -> Sequence[int]:
    """The seeds from which any model of a task was run."""
    return sorted({result.seed for result in summary.results}) or SEEDS


def shown(folder: Path) -> str:
    """A folder inside the repository as a relative path, so that commands can be copied."""
    try:
        return str(folder.resolve().relative_to(ROOT))
    except ValueError:
        return str(folder)
