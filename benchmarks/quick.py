"""The quick comparison: three small tasks, four models, two seeds, in minutes on two cores."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.runs import MODELS, ROOT, Run, select
from benchmarks.summary import TaskSummary, significant, spread_text

TASKS = ("adding_quick", "copying_quick", "digits")
SEEDS = (0, 1)
RESULTS = ROOT / "runs" / "quick"


def quick_runs() -> list[Run]:
    return select(TASKS, MODELS, SEEDS)


def print_summary(summaries: Sequence[TaskSummary], paths: Sequence[Path]) -> None:
    """The headline numbers on the terminal, and where the report is."""
    console = Console()
    table = Table(title="Test metric, mean ± standard deviation over seeds", title_justify="left")
    table.add_column("task")
    table.add_column("metric")
    models = list(dict.fromkeys(row.model for summary in summaries for row in summary.rows))
    for model in models:
        table.add_column(model.upper(), justify="right", no_wrap=True)
    table.add_column("chance", justify="right", style="dim")
    for summary in summaries:
        metric = summary.task.metric
        arrow = "↑" if metric.higher_is_better else "↓"
        cells = [_cell(summary, model) for model in models]
        table.add_row(summary.name, f"{metric.name} {arrow}", *cells, significant(summary.chance))
    console.print(table)
    for path in paths:
        console.print(f"report: {path}", highlight=False, soft_wrap=True)


def _cell(summary: TaskSummary, model: str) -> str:
    rows = [row for row in summary.rows if row.model == model]
    if not rows:
        return "–"
    text = spread_text(rows[0].test(summary.task.metric))
    failed = f" ({len(rows[0].failed)} failed)" if rows[0].failed else ""
    return f"[bold green]{text}[/]{failed}" if model == summary.winner else text + failed
