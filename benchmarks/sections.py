"""The memory curve and the ablations as figures and tables of the report."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import ablations, memory_curve
from benchmarks.paper import Metric
from benchmarks.plots import Drawing, look, svg
from benchmarks.study import Point
from benchmarks.summary import TaskSummary, spread_text

Section = dict[str, Any]


def sections(folder: Path) -> list[Section]:
    """Of each study with results: heading, text, tables, figure and what is missing."""
    found = [_memory_curve(folder), _ablations(folder)]
    return [section for section in found if section is not None]


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
    return {
        "name": name,
        "title": title,
        "text": text,
        "tables": tables,
        "figure": figure,
        "counts": f"{made} runs from seeds {', '.join(map(str, seeds))}; {failed} failed.",
        "command": command,
        "missing": f"{command} --points {' '.join(wanted)}" if wanted else None,
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
