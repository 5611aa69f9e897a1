"""``report.md`` and one self-contained ``report.html`` about nets for images or sound."""

from collections.abc import Sequence
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.grid.overview import clock
from benchmarks.grid.results import Result
from benchmarks.grid.store import Store
from benchmarks.images.cost import multiply_adds
from benchmarks.images.runs import AUDIO, IMAGES, NOTES
from benchmarks.notes.questions import QUESTIONS
from benchmarks.report.page import write_pages
from benchmarks.report.plots import inline, svg
from benchmarks.report.report import provenance
from benchmarks.report.table import OVERRIDDEN, overridden
from benchmarks.report.tables import Best, Section, Table, spread
from tcn.figures import COLORS, FURTHER

TITLES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar10_first": "The first 5,000 training and 2,000 test images of CIFAR-10",
    "mnist_10000": "Sequence or image? 10,000 images of MNIST",
    "binarized_mnist": "Binarized MNIST",
    "amplifier": "A Boss SD-1, as BossWN-standard.nam plays it: windows of 8,192 samples",
    "compressor": "A feed-forward compressor: windows of 8,192 samples",
    "overdrive": "SoX's overdrive: windows of 8,192 samples",
    "spoken_digits": "Free Spoken Digits, the official 300 recordings for test",
    "spoken_digits_unheard": "Free Spoken Digits of a speaker who is not trained on",
    "spoken_digit_mixtures": "Two spoken digits at once, taken apart",
    "spoken_digit_mixtures_unheard": "Two spoken digits at once, of speakers not trained on",
}
KNOWN_DEVICE = (
    "Test: the last tenths of five clips, and a speaker who is heard nowhere else. The device is "
    "computed; one that is recorded adds noise, which no net learns. One seed."
)
REMARKS = {
    "amplifier": KNOWN_DEVICE,
    "compressor": KNOWN_DEVICE,
    "overdrive": KNOWN_DEVICE,
    "mnist_10000": "As images: a ResNet of 20 layers gets 99.04 %, a TCN over both axes 98.99 % "
    "and LeNet-5 98.36 %. As sequences: an LSTM by rows 97.87 %, a TCN by rows 97.72 % and by "
    "pixels 97.51 %, an LSTM by pixels 89.65 %. How many seeds each has is below.",
    "cifar10_first": "A tenth of the set and minutes of training: not to be set beside published "
    "figures. Whole recipes are in configs/images/cifar10; they are for a GPU and were not run.",
    "binarized_mnist": "Five layers see seven rows up and seven pixels to the left; the curve "
    "still falls at the end. Trained on two threads.",
    "spoken_digit_mixtures": "Four speakers who are trained on, recordings that are not; the "
    "mixture itself is at 0 dB on average.",
    "spoken_digit_mixtures_unheard": "The same training; neither speaker of the test "
    "is trained on.",
}
COLUMNS = {
    "accuracy": ("accuracy (%) ↑", 100.0, 2),
    "top5_accuracy": ("top 5 (%) ↑", 100.0, 2),
    "nats": ("nats per image ↓", 1.0, 2),
    "esr": ("error to signal (%) ↓", 100.0, 3),
    "improvement": ("gain over the mixture (dB) ↑", 1.0, 2),
    "si_sdr": ("SI-SDR (dB) ↑", 1.0, 2),
    "mse": ("MSE ↓", 1.0, 5),
    "sparsity": ("sparsity of the maps", 1.0, 3),
    "bits_per_dimension": ("bits per value ↓", 1.0, 4),
}
"""Metrics in the order of columns: heading, scale, decimals. The first of a task is drawn."""


HUES = (*COLORS.values(), *FURTHER)
"""Of the models of a task, in the order of their names."""

HEADINGS = {IMAGES: "Images", AUDIO: "Sound", NOTES: "Questions"}


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
        "overridden": OVERRIDDEN,
        "one": _one(pipeline),
        "sections": [section(task, results) for task, results in groups.items()],
        "provenance": provenance(found),
        "figures": {_name(task): inline(curves[task]) for task in groups},
    }
    files = {f"{_name(task)}.svg": text for task, text in curves.items()}
    return write_pages("benchmarks.images", content, store.folder / pipeline, figures=files)


def section(task: str, results: Sequence[Result]) -> Section:
    """A row for every model, with the mean over its finished seeds, or over all if none is."""
    metrics = _metrics(results)
    models = sorted({each.model for each in results})
    by_model = {model: [r for r in results if r.model == model] for model in models}
    names = [COLUMNS[name][0] for name in metrics]
    heads = [
        "model", *names, "validation", "seeds", "parameters", "multiply-adds",
        f"{_one(task)}s a second", "epochs", "training",
    ]  # fmt: skip
    best = _best(metrics[0], by_model) if metrics else []
    rows = [_row(model, runs, metrics, best) for model, runs in by_model.items()]
    asked = QUESTIONS.get(_name(task))
    remark = REMARKS.get(_name(task), "")
    note = remark if asked is None else f"{asked.compared} {asked.answer}".strip()
    return Section(_name(task), _title(task), note, [Table(heads, rows)])


def _one(task: str) -> str:
    """What a net is given, in the singular."""
    return "sound" if task.startswith(AUDIO) else "image"


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


def _best(name: str, by_model: dict[str, list[Result]]) -> list[str]:
    """The models with the best mean, all of them where several have it."""
    means = {
        model: sum(values) / len(values)
        for model, runs in by_model.items()
        if (values := _values(name, runs))
    }
    if len(means) < 2:
        return []
    choose = max if COLUMNS[name][0].endswith("↑") else min
    return [model for model, mean in means.items() if mean == choose(means.values())]


def _row(
    model: str, runs: Sequence[Result], metrics: Sequence[str], best: Sequence[str]
) -> list[str]:
    measured = [each for each in runs if each.status == "finished"] or runs
    cells = [spread(_values(each, runs), COLUMNS[each][2]) for each in metrics]
    if model in best:
        cells[0] = Best(cells[0])
    epochs = sorted({len(each.history) for each in measured})
    adds = multiply_adds(measured[0].config)
    return [
        model.replace("_", " ") + overridden(runs),
        *cells,
        _validation(metrics, measured),
        _count(runs),
        f"{measured[0].parameters:,}",
        "–" if adds is None else f"{adds / 1e6:,.1f} M",
        _speed(measured),
        " to ".join(map(str, epochs[:: max(1, len(epochs) - 1)])),
        clock(sum(each.wall_seconds for each in measured) / len(measured)),
    ]


def _validation(metrics: Sequence[str], runs: Sequence[Result]) -> str:
    """The first metric at the epochs that were kept."""
    values: list[float] = []
    for each in runs:
        epoch = int(each.best.get("epoch") or 0)
        value = each.history[epoch - 1].get(f"val_{metrics[0]}") if epoch and metrics else None
        if value is not None:
            values.append(COLUMNS[metrics[0]][1] * value)
    return spread(values, COLUMNS[metrics[0]][2] if metrics else 0)


def _speed(runs: Sequence[Result]) -> str:
    """Examples a second in training, of the runs of which it is known."""
    speeds = [
        each.steps_per_second * each.config["data"]["init_args"]["batch_size"]
        for each in runs
        if each.steps_per_second is not None
    ]
    return f"{sum(speeds) / len(speeds):,.0f}" if speeds else "–"


def _count(runs: Sequence[Result]) -> str:
    ended = [each for each in runs if each.status == "finished"]
    others = [each.status for each in runs if each.status != "finished"]
    return ", ".join([str(len(ended)), *(f"{others.count(s)} {s}" for s in sorted(set(others)))])


def _figure(task: str, results: Sequence[Result]) -> str:
    """Validation against minutes of training, a line for every run that has one."""
    name = next(iter(_metrics(results)), "")
    heading, scale, _ = COLUMNS.get(name, ("", 1.0, 0))
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
            if not known:
                continue
            label = None if each.model in labeled else each.model.replace("_", " ")
            labeled.add(each.model)
            axes.plot(*zip(*known, strict=True), label=label, **lines[each.model])
        axes.set_title(f"Validation {heading}".rstrip())
        axes.set_xlabel("minutes of training")
        if labeled:
            axes.legend()

    return svg([draw])
