"""``report.md`` and one self-contained ``report.html`` about nets for images."""

from collections.abc import Sequence
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.grid.overview import clock
from benchmarks.grid.results import Result
from benchmarks.grid.store import Store
from benchmarks.images.cost import multiply_adds
from benchmarks.images.runs import IMAGES, NOTES
from benchmarks.notes.questions import QUESTIONS
from benchmarks.report.page import write_pages
from benchmarks.report.plots import inline, svg
from benchmarks.report.report import provenance
from benchmarks.report.tables import Best, Section, Table, spread
from tcn.figures import COLORS, FURTHER

TITLES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "mnist_10000": "Sequence or image? 10,000 images of MNIST",
    "binarized_mnist": "Binarized MNIST",
}
COLUMNS = {
    "accuracy": ("accuracy (%) ↑", 100.0, 2),
    "top5_accuracy": ("top 5 (%) ↑", 100.0, 2),
    "nats": ("nats per image ↓", 1.0, 2),
    "mse": ("MSE ↓", 1.0, 5),
    "sparsity": ("sparsity of the maps", 1.0, 3),
    "bits_per_dimension": ("bits per value ↓", 1.0, 4),
}
"""Metrics in the order of columns: heading, scale, decimals. The first of a task is drawn."""


HUES = (*COLORS.values(), *FURTHER)
"""Of the models of a task, in the order of their names."""

HEADINGS = {IMAGES: "Images", NOTES: "Questions"}


def write_page(store: Store, pipeline: str = IMAGES) -> tuple[Path, Path]:
    """Writes both files into the folder of the pipeline's results.

    Raises:
        ValueError: there are no results.
    """
    found = list(store.results(tasks=f"{pipeline}/*"))
    if not found:
        raise ValueError(
            f"no results in {store.folder / pipeline}; make some with `python -m benchmarks "
            f"{pipeline}`"
        )
    groups = {task: list(each) for task, each in groupby(found, key=lambda result: result.task)}
    curves = {task: _figure(task, results) for task, results in groups.items()}
    content = {
        "heading": HEADINGS[pipeline],
        "sections": [section(task, results) for task, results in groups.items()],
        "provenance": provenance(found),
        "figures": {_name(task): inline(curves[task]) for task in groups},
    }
    files = {f"{_name(task)}.svg": text for task, text in curves.items()}
    return write_pages("benchmarks.images", content, store.folder / pipeline, figures=files)


def section(task: str, results: Sequence[Result]) -> Section:
    """A row for every model, with the mean over its finished seeds."""
    metrics = _metrics(results)
    models = sorted({each.model for each in results})
    by_model = {model: [r for r in results if r.model == model] for model in models}
    names = [COLUMNS[name][0] for name in metrics]
    heads = [
        "model", *names, "validation", "seeds", "parameters", "multiply-adds",
        "images a second", "epochs", "training",
    ]  # fmt: skip
    best = _best(metrics[0], by_model)
    rows = [_row(model, runs, metrics, best) for model, runs in by_model.items()]
    asked = QUESTIONS.get(_name(task))
    note = "" if asked is None else f"{asked.compared} {asked.answer}".strip()
    return Section(_name(task), _title(task), note, [Table(heads, rows)])


def _title(task: str) -> str:
    """The question, or the name of the data."""
    name = _name(task)
    return QUESTIONS[name].title if name in QUESTIONS else TITLES.get(name, name)


def _name(task: str) -> str:
    return task.split("/", 1)[1]


def _metrics(results: Sequence[Result]) -> list[str]:
    """Those that a result has; of runs that have not been tested, those of validation."""
    known = {key for each in results for key in (*each.test, *(each.history or [{}])[-1])}
    return [name for name in COLUMNS if {f"test_{name}", f"val_{name}"} & known]


def _values(name: str, runs: Sequence[Result]) -> list[float]:
    scale = COLUMNS[name][1]
    found = [each.test.get(f"test_{name}") for each in runs if each.status == "finished"]
    return [scale * value for value in found if value is not None]


def _best(name: str, by_model: dict[str, list[Result]]) -> str | None:
    means = {
        model: sum(values) / len(values)
        for model, runs in by_model.items()
        if (values := _values(name, runs))
    }
    if len(means) < 2:
        return None
    choose = max if COLUMNS[name][0].endswith("↑") else min
    return choose(means, key=lambda model: means[model])


def _row(model: str, runs: Sequence[Result], metrics: Sequence[str], best: str | None) -> list[str]:
    name, (_, scale, decimals) = metrics[0], COLUMNS[metrics[0]]
    cells = [spread(_values(each, runs), COLUMNS[each][2]) for each in metrics]
    if model == best:
        cells[0] = Best(cells[0])
    validation = [
        scale * float(value)
        for each in runs
        if each.best and (value := each.history[int(each.best["epoch"] or 1) - 1][f"val_{name}"])
    ]
    epochs = sorted({len(each.history) for each in runs})
    batch = runs[0].config["data"]["init_args"]["batch_size"]
    speed = sum(each.steps_per_second or 0.0 for each in runs) / len(runs) * batch
    return [
        model.replace("_", " "),
        *cells,
        spread(validation, decimals),
        _count(runs),
        f"{runs[0].parameters:,}",
        f"{multiply_adds(runs[0].config) / 1e6:,.1f} M",
        f"{speed:,.0f}",
        " to ".join(map(str, epochs[:: max(1, len(epochs) - 1)])),
        clock(sum(each.wall_seconds for each in runs) / len(runs)),
    ]


def _count(runs: Sequence[Result]) -> str:
    ended = [each for each in runs if each.status == "finished"]
    others = [each.status for each in runs if each.status != "finished"]
    return ", ".join([str(len(ended)), *(f"{others.count(s)} {s}" for s in sorted(set(others)))])


def _figure(task: str, results: Sequence[Result]) -> str:
    """Validation against minutes of training, a line for every run."""
    name = _metrics(results)[0]
    heading, scale, _ = COLUMNS[name]

    models = sorted({each.model for each in results})
    lines: dict[str, dict[str, Any]] = {
        model: {"color": color, "marker": marker, "markersize": 3.5, "linewidth": 1.8}
        for model, color, marker in zip(models, cycle(HUES), cycle("os^Dv"), strict=False)
    }

    def draw(axes: Axes) -> None:
        labeled = set[str]()
        for each in results:
            values = [(entry["seconds"], entry.get(f"val_{name}")) for entry in each.history]
            known = [((x or 0.0) / 60, scale * y) for x, y in values if y is not None]
            label = None if each.model in labeled else each.model.replace("_", " ")
            labeled.add(each.model)
            axes.plot(*zip(*known, strict=True), label=label, **lines[each.model])
        axes.set_title(f"{_title(task)}: validation {heading}")
        axes.set_xlabel("minutes of training")
        axes.legend()

    return svg([draw])
