"""The paper's tasks in one short table: our TCN, the paper's, and what was run beside it."""

import math
from collections.abc import Iterator

from benchmarks.grid.runs import MODELS
from benchmarks.grid.store import Store
from benchmarks.report.paper import TASKS
from benchmarks.report.plots import look
from benchmarks.report.summary import (
    Row,
    TaskSummary,
    counted,
    every_result,
    significant,
    spread_text,
    summarize,
)
from benchmarks.report.table import has_section, overridden
from benchmarks.report.tables import Table

PAPERS = ("paper", "code")
"""The settings that try to make the paper's numbers again; others are not set beside them."""


def short_table(store: Store) -> Table:
    """A line for each task that was run, and one for each other output or net of it.

    Raises:
        ValueError: there are no results.
    """
    summaries = [each for each in summarize(every_result(store)) if each.name in TASKS]
    rows = [row for summary in summaries for row in _rows(summary)]
    if not rows:
        raise ValueError(f"no results in {store.folder}; `python -m benchmarks run` makes them")
    return Table(
        ["task", "metric", "TCN here", "paper", "seeds", "beside it here"], rows, (0, 1, 5)
    )


def _rows(summary: TaskSummary) -> Iterator[list[str]]:
    metric = summary.task.metric.heading
    if has_section(summary):
        ours, *others = sorted(summary.rows, key=lambda row: row.model != MODELS[0])
        paper = summary.task.paper.get(ours.model, "–")
        line = [_test(ours, summary), paper, _seeds(ours, summary), _beside(others, summary)]
        yield [summary.task.title, metric, *line]
    for row in summary.variants:
        if row.model == MODELS[0] and not row.empty:
            title = f"{summary.task.title}, `--settings {row.settings}`"
            paper = summary.task.paper.get(row.model, "–") if row.settings in PAPERS else "–"
            yield [title, metric, _test(row, summary), paper, _seeds(row, summary), ""]


def _test(row: Row, summary: TaskSummary) -> str:
    """The metric, marked where it is the best of the task, and further metrics of the task."""
    ours = row.model == summary.winner and row in summary.rows
    text = f"**{_number(row, summary)}**" if ours else _number(row, summary)
    further = [
        f"{metric.name} {_cut(spread.mean)} {metric.unit}".rstrip()
        for metric in summary.task.extra
        if (spread := row.test(metric))
    ]
    return ", ".join([text, *further])


def _cut(share: float) -> str:
    """Cut and not rounded: 99.996 % of all symbols are not all of them."""
    return f"{math.floor(share * 100) / 100:.2f}"


def _number(row: Row, summary: TaskSummary) -> str:
    return spread_text(row.test(summary.task.metric)) + overridden(row.finished)


def _seeds(row: Row, summary: TaskSummary) -> str:
    return counted(row, summary) + (f", {len(row.failed)} failed" if row.failed else "")


def _beside(rows: list[Row], summary: TaskSummary) -> str:
    """The other models that were run, the paper's number of each, and what guessing scores."""
    run = [row for row in rows if not row.empty]
    said = [_named(row, summary) for row in run]
    if run and summary.chance is not None:
        said.append(f"chance {significant(summary.chance)}")
    return ", ".join(said)


def _named(row: Row, summary: TaskSummary) -> str:
    text = f"{look(row.model).label} {_number(row, summary)}"
    seeds = _seeds(row, summary)
    notes = [seeds + (" seed" if seeds == "1" else " seeds" if seeds.isdigit() else "")]
    if row.model in summary.task.paper:
        notes.insert(0, f"paper {summary.task.paper[row.model]}")
    return f"{f'**{text}**' if row.model == summary.winner else text} ({', '.join(notes)})"
