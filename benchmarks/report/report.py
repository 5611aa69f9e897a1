"""Writes ``report.md`` and one self-contained ``report.html`` from a folder of results."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.grid.overview import clock
from benchmarks.grid.provenance import commit
from benchmarks.grid.results import Result
from benchmarks.grid.runs import MODELS
from benchmarks.grid.store import Store
from benchmarks.report.page import commit_name, write_pages
from benchmarks.report.paper import CITATION, TASKS
from benchmarks.report.plots import figures, inline, look
from benchmarks.report.sections import sections
from benchmarks.report.summary import (
    Row,
    TaskSummary,
    counted,
    every_result,
    fill_command,
    missing_tasks,
    significant,
    spread_text,
    summarize,
)
from benchmarks.report.table import (
    OVERRIDDEN,
    SEEDS,
    costs,
    has_section,
    missing,
    missing_variants,
    quality,
    reached,
    shown,
    variants,
    whole_table,
)


def write_report(store: Store, output: Path | None = None) -> tuple[Path, Path]:
    """Reads every result in ``store`` and writes the report; returns both paths.

    Raises:
        ValueError: there are no results, or the report cannot be written.
    """
    folder = output or store.folder
    content = report_content(summarize(every_result(store)), store)
    if not content["tasks"] and not content["variants"] and not content["studies"]:
        raise ValueError(
            f"no results in {store.folder}; make some with "
            "`python -m benchmarks quick` or `python -m benchmarks run --tasks ...`"
        )
    drawn = {f"{study['name']}.svg": study["figure"] for study in content["studies"]}
    drawing = {"figures": figures, "inline": inline}
    return write_pages("benchmarks.report", drawing | content, folder, figures=drawn)


def report_content(summaries: Sequence[TaskSummary], store: Store) -> dict[str, Any]:
    """The values that fill both templates."""
    studies = sections(store, summaries)
    with_results = [summary for summary in summaries if has_section(summary)]
    made = [result for each in summaries for result in each.every_result]
    table = whole_table(summaries, store)
    listed = {line["name"] for line in table}
    return {
        "models": [look(model).label for model in MODELS],
        "table": table,
        "costs": costs(summaries),
        "variants": variants(summaries),
        "missing_variants": missing_variants(summaries, store),
        "overridden": OVERRIDDEN,
        "studies": studies,
        "tasks": [_task_content(summary, store) for summary in with_results],
        "missing": [
            fill_command(task, MODELS, SEEDS, shown(store.folder))
            for task in missing_tasks(with_results)
            if task in TASKS and task not in listed
        ],
        "citation": CITATION,
        "provenance": [
            *provenance(made + [each for study in studies for each in study["results"]]),
            ("report", [_made()]),
        ],
    }


def _made() -> str:
    now = commit()
    by = f" by commit {commit_name(now)}" if now else ""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC{by}"


def _task_content(summary: TaskSummary, store: Store) -> dict[str, Any]:
    metric = summary.task.metric
    chance = summary.chance
    notes = [summary.task.remark] if summary.task.remark else []
    if summary.overrides:
        notes.append(f"Made with overrides, so not what the configs say: {summary.overrides}.")
    if summary.mixed:
        notes.append("The seeds of a model were not all made by the same config.")
    return {
        "name": summary.name,
        "title": summary.task.title,
        "summary": summary,
        "metric": metric,
        "heading": metric.heading,
        "extra": summary.task.extra,
        "quality": quality(summary),
        "extra_headings": [extra.heading for extra in summary.task.extra],
        "has_paper": bool(summary.task.paper),
        "chance": None if chance is None else significant(chance),
        "chance_definition": summary.task.chance_definition,
        "rows": [_row_content(row, summary) for row in summary.rows],
        "notes": notes,
        "missing": missing([row for row in summary.rows if row.model in MODELS], summary, store),
        "failures": [
            f"{result.model} seed {result.seed}: {result.reason}"
            for row in summary.rows
            for result in row.failed
        ],
    }


def _row_content(row: Row, summary: TaskSummary) -> dict[str, Any]:
    paper = summary.task.paper.get(row.model)
    seconds, memory = row.mean("wall_seconds"), row.mean("peak_memory")
    steps, field = row.mean("steps"), row.receptive_field
    return {
        "model": row.model,
        "label": look(row.model).label,
        "color": look(row.model).color,
        "empty": row.empty,
        "winner": row.model == summary.winner,
        "parameters": f"{row.parameters:,}" if row.parameters is not None else "–",
        "receptive_field": f"{field:,}" if field is not None else "–",
        "test": spread_text(row.test(summary.task.metric)),
        "extra": [spread_text(row.test(metric)) for metric in summary.task.extra],
        "n": counted(row, summary),
        "failed": len(row.failed),
        "paper": paper or "–",
        "steps": f"{steps:,.0f}" if steps is not None else "–",
        "time": clock(seconds) if seconds is not None else "–",
        "reached": reached(row, summary),
        "speed": significant(row.mean("steps_per_second")),
        "memory": f"{memory / 2**20:,.0f}" if memory is not None else "–",
    }


def provenance(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """How the results were made: each heading with the distinct values found, as recorded."""
    found = {
        "command": {result.command for result in results},
        "commit": {commit_name(result.commit) for result in results},
        "machine": {_machine(result) for result in results},
        "versions": {_versions(result) for result in results},
        "dates": {_dates(results)} if results else set(),
        "data": {
            f"{result.task}: {result.data_fingerprint}"
            for result in results
            if result.data_fingerprint
        },
        "notes": {f"{result.run}: {note}" for result in results for note in result.notes},
    }
    return [(name, sorted(values)) for name, values in found.items() if values]


def _machine(result: Result) -> str:
    machine = result.machine
    memory = f", {machine['memory'] / 2**30:.0f} GiB" if machine.get("memory") else ""
    gpu = f", {machine['gpu']}" if machine.get("gpu") else ", no GPU"
    return (
        f"{machine.get('cpu')}, {machine.get('cores')} cores{memory}{gpu}; "
        f"{_counted(machine.get('workers'), 'run')} at a time with "
        f"{_counted(machine.get('threads'), 'thread')} each; "
        f"{machine.get('platform')}"
    )


def _counted(number: object, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _versions(result: Result) -> str:
    return ", ".join(f"{name} {version}" for name, version in result.versions.items())


def _dates(results: Sequence[Result]) -> str:
    days = sorted(result.date for result in results)
    return " to ".join(dict.fromkeys((days[0], days[-1])))
