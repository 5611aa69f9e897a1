"""The quick comparison: three small tasks, four models, two seeds, in minutes on two cores."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.grid.overview import clock
from benchmarks.grid.runs import MODELS, ROOT, Run, select
from benchmarks.report.summary import Row, TaskSummary, counted, significant, spread_text

TASKS = ("adding_quick", "copying_quick", "digits")
SEEDS = (0, 1)
RESULTS = ROOT / "runs" / "quick"


def quick_runs() -> list[Run]:
    return select(TASKS, MODELS, SEEDS)


def print_summary(summaries: Sequence[TaskSummary], paths: Sequence[Path]) -> None:
    """The headline numbers on the terminal, within 80 columns, and where the report is."""
    console = Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task and metric", no_wrap=True)
    table.add_column("model")
    for heading in ("test, mean ± std", "seeds", "parameters", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        for line, row in zip_longest(_titles(summary), summary.rows, fillvalue=None):
            table.add_row(line, *(_cells(summary, row) if row else []))
        table.add_section()
    console.print(table)
    for path in paths:
        console.print(f"report: {path}", highlight=False, soft_wrap=True)


def _titles(summary: TaskSummary) -> list[str]:
    """The titles to the left of the rows of a task, one per line."""
    metric = summary.task.metric
    arrow = "↑" if metric.higher_is_better else "↓"
    unit = f" ({metric.unit})" if metric.unit else ""
    chance = [] if summary.chance is None else [f"[dim]chance: {significant(summary.chance)}[/]"]
    return [summary.name, f"[dim]{metric.name}{unit} {arrow}[/]", *chance]


def _cells(summary: TaskSummary, row: Row) -> list[str]:
    text = spread_text(row.test(summary.task.metric))
    seeds = counted(row, summary) + (f" + {len(row.failed)} failed" if row.failed else "")
    seconds = row.mean("wall_seconds")
    return [
        row.model.upper(),
        f"[bold green]{text}[/]" if row.model == summary.winner else text,
        seeds,
        f"{row.parameters:,}" if row.parameters is not None else "–",
        clock(seconds) if seconds is not None else "–",
    ]
