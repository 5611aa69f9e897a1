"""Figures of a task as SVG text, ready to embed in an HTML page.

Colors are Okabe and Ito's, which people with any common color blindness can tell apart; each
model keeps its color, marker and line style in every figure.
"""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.grid.results import Result
from benchmarks.report.paper import Metric, Task
from benchmarks.report.summary import Row, TaskSummary, significant
from tcn.figures import COLORS, FURTHER, INK, SOFT
from tcn.figures import STYLE as PLAIN

SIZE = (4.9, 3.1)
DECADES = 1.5
MARKED = 30
"""Number of points beyond which markers would hide the curve."""

Drawing = Callable[[Axes], None]

STYLE: dict[Any, Any] = PLAIN | {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "axes.titlesize": 10.5,
    "axes.grid.axis": "both",
    "svg.fonttype": "none",
    "svg.hashsalt": "tcn",
}
"""The style of the package's own figures, and the same file from the same numbers."""


@dataclass(frozen=True)
class Look:
    label: str
    color: str
    marker: str
    dashes: tuple[float, ...] | None

    def line(self) -> dict[str, Any]:
        """Arguments of ``Axes.plot``."""
        dashes = (0, self.dashes) if self.dashes else "-"
        return {
            "color": self.color, "linewidth": 1.8, "linestyle": dashes, "marker": self.marker,
            "markersize": 3.5,
        }  # fmt: skip


LOOKS = {
    "tcn": Look("TCN", COLORS["TCN"], "o", None),
    "lstm": Look("LSTM", COLORS["LSTM"], "s", (5, 1.5)),
    "gru": Look("GRU", COLORS["GRU"], "^", (3, 1.2, 1, 1.2)),
    "rnn": Look("RNN", COLORS["RNN"], "D", (1.5, 1.2)),
    "pytorch-tcn": Look("pytorch-tcn", FURTHER[2], "v", (4, 1, 1, 1, 1, 1)),
}
_numbers = count(1)


def look(model: str) -> Look:
    """How a model looks in all figures; models not known here share the remaining colors."""
    if model in LOOKS:
        return LOOKS[model]
    return Look(model, FURTHER[sum(model.encode()) % len(FURTHER)], "v", (4, 1, 1, 1, 1, 1))


def figures(summary: TaskSummary) -> list[tuple[str, str]]:
    """All figures of a task: pairs of a description for people who cannot see it, and SVG text."""
    metric = summary.task.metric
    name = f"{summary.task.title}: validation {metric.name}"
    drawings: list[tuple[str, Drawing]] = [
        (f"{name} against optimizer steps", lambda axes: draw_curves(axes, summary, "step")),
        (f"{name} against seconds", lambda axes: draw_curves(axes, summary, "seconds")),
        (
            f"{summary.task.title}: test {metric.name} of every seed",
            lambda axes: draw_final(axes, summary),
        ),
    ]
    made = [(text, inline(svg([draw]))) for text, draw in drawings]
    text = f"{summary.task.title}: parameters and optimizer steps per second"
    return [*made, (text, _resources(summary))]


def curve(row: Row, metric: Metric, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean position of each epoch, ``(epochs,)``, and each seed's value, ``(seeds, epochs)``.

    Cut at the epoch at which the first seed stopped, so that a mean is always over all seeds.
    """
    histories = [result.history for result in row.finished if result.history]
    if not histories:
        return np.empty(0), np.empty((0, 0))
    epochs = min(len(history) for history in histories)
    positions = [[float(entry[axis] or 0.0) for entry in each[:epochs]] for each in histories]
    values = [[_value(entry, metric) for entry in each[:epochs]] for each in histories]
    return np.mean(positions, axis=0), np.array(values) * metric.scale


def _value(entry: dict[str, float | int | None], metric: Metric) -> float:
    value = entry.get(f"val_{metric.key}")
    return math.nan if value is None else float(value)


def draw_curves(axes: Axes, summary: TaskSummary, axis: str) -> None:
    """Mean over seeds as a line, lowest to highest seed as a band."""
    metric = summary.task.metric
    drawn = []
    for row in summary.rows:
        positions, values = curve(row, metric, axis)
        if not values.size:
            continue
        style = look(row.model)
        low, high = values.min(axis=0), values.max(axis=0)
        if len(values) > 1:
            axes.fill_between(positions, low, high, color=style.color, alpha=0.18, linewidth=0)
        line = axes.plot(positions, values.mean(axis=0), label=style.label, **style.line())[0]
        if len(positions) > MARKED:
            line.set_marker("")
        drawn.append(values)
    axes.set_title(f"Validation {_titled(metric)}")
    axes.set_xlabel("optimizer steps" if axis == "step" else "seconds of training")
    _value_axis(axes, "y", drawn, summary.chance)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=axis == "step"))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    _chance_line(axes, summary.chance, "y")
    if drawn:
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, -0.42), ncol=5, columnspacing=1.2,
            handlelength=2.2, borderaxespad=0,
        )  # fmt: skip


def draw_unfinished(axes: Axes, summary: TaskSummary) -> None:
    """Validation after every epoch of runs that have not finished, with the paper's test result."""
    metric = summary.task.metric
    drawn = []
    for result in summary.unfinished:
        style = look(result.model)
        values = np.array([_value(entry, metric) for entry in result.history]) * metric.scale
        epochs = [float(entry["epoch"] or 0) for entry in result.history]
        axes.plot(epochs, values, label=f"{style.label}, validation", **style.line())
        drawn.append(values)
        if result.model in summary.task.paper:
            paper = float(summary.task.paper[result.model])
            axes.axhline(
                paper, color=style.color, linestyle=(0, (1, 2)), linewidth=1.4,
                label=f"{style.label}, the paper's test",
            )  # fmt: skip
            drawn.append(np.array([paper]))
    axes.set_title(summary.task.title)
    axes.set_ylabel(metric.heading)
    axes.set_xlabel("epoch")
    _value_axis(axes, "y", drawn, None)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend()


def draw_trials(axes: Axes, task: Task, trials: Mapping[str, Sequence[Result]]) -> None:
    """Every trial of a search as a dot at its best validation, in trial order; the best ringed."""
    drawn = []
    for place, (model, ranked) in enumerate(trials.items()):
        style = look(model)
        values = np.array([validation(each, task.metric) for each in ranked])
        offsets = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else np.zeros(1)
        heights = place + offsets[np.argsort(np.argsort([each.seed for each in ranked]))]
        axes.scatter(
            values, heights, s=30, color=style.color, marker=style.marker, edgecolor="white",
            linewidth=0.6, zorder=3,
        )  # fmt: skip
        axes.scatter(values[:1], heights[:1], s=110, facecolor="none", edgecolor=INK, zorder=4)
        drawn.append(values)
    axes.set_title(task.title)
    axes.set_xlabel(f"best validation {task.metric.heading}")
    axes.set_yticks(range(len(trials)), [look(model).label for model in trials])
    axes.set_ylim(len(trials) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    _value_axis(axes, "x", drawn, None)


def validation(result: Result, metric: Metric) -> float:
    """The value of the epoch that was kept, in the shown scale; NaN if there is none."""
    epoch = int(result.best.get("epoch") or 0)
    return _value(result.history[epoch - 1], metric) * metric.scale if epoch else math.nan


def draw_final(axes: Axes, summary: TaskSummary) -> None:
    """Every seed as a dot, the mean as a bar across them, the paper's number as a hollow star."""
    metric = summary.task.metric
    drawn = []
    paper = []
    for place, row in enumerate(summary.rows):
        values = [value for value in row.values(metric) if value is not None]
        style = look(row.model)
        offsets = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [0.0]
        axes.scatter(
            values, place + np.asarray(offsets[: len(values)]), s=34, color=style.color,
            marker=style.marker, edgecolor="white", linewidth=0.6, zorder=3,
        )  # fmt: skip
        if values:
            axes.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.6)
            drawn.append(np.array(values))
        if row.model in summary.task.paper:
            paper.append((float(summary.task.paper[row.model]), place))
    if paper:
        x, y = zip(*paper, strict=True)
        axes.scatter(x, y, s=70, marker="*", facecolor="none", edgecolor=SOFT, zorder=2)
        drawn.append(np.array(x))
    axes.set_title(f"Test {_titled(metric)}")
    axes.set_xlabel("dot: a seed; bar: their mean" + ("; star: the paper" if paper else ""))
    axes.set_yticks(range(len(summary.rows)), [look(row.model).label for row in summary.rows])
    axes.set_ylim(len(summary.rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    _value_axis(axes, "x", drawn, summary.chance)
    _chance_line(axes, summary.chance, "x")


def _resources(summary: TaskSummary) -> str:
    """Parameters and steps per second side by side."""

    def left(axes: Axes) -> None:
        _bars(axes, summary, "Parameters", lambda row: row.parameters)

    def right(axes: Axes) -> None:
        _bars(axes, summary, "Steps per second", lambda row: row.mean("steps_per_second"))

    return inline(svg([left, right]))


def _bars(
    axes: Axes, summary: TaskSummary, title: str, value: Callable[[Row], float | None]
) -> None:
    values = [value(row) or 0.0 for row in summary.rows]
    colors = [look(row.model).color for row in summary.rows]
    axes.barh(range(len(values)), values, color=colors, height=0.62)
    for place, each in enumerate(values):
        text = f"{each:,.0f}" if each >= 100 else significant(each) if each else "–"
        axes.annotate(
            text, (each, place), (4, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axes.set_title(title)
    axes.set_yticks(range(len(values)), [look(row.model).label for row in summary.rows])
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlim(0, 1.38 * max(values, default=1.0) or 1.0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)


def _titled(metric: Metric) -> str:
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.name}{unit}, {'higher' if metric.higher_is_better else 'lower'} is better"


def _value_axis(axes: Axes, which: str, drawn: Sequence[np.ndarray], chance: float | None) -> None:
    """A logarithmic axis if the positive values span decades, with few, plain tick labels."""
    flat = np.concatenate([values.ravel() for values in drawn]) if drawn else np.empty(0)
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=SOFT)
        return
    low, high = flat.min(), max(flat.max(), chance or flat.max())
    axis = axes.yaxis if which == "y" else axes.xaxis
    if low > 0 and math.log10(high / low) >= DECADES:
        (axes.set_yscale if which == "y" else axes.set_xscale)("log")
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(_power))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(5))


def _chance_line(axes: Axes, chance: float | None, which: str) -> None:
    if chance is None:
        return
    line = axes.axhline if which == "y" else axes.axvline
    line(chance, color=SOFT, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1, label="chance")
    if which == "x":
        axes.annotate(
            "chance", (chance, 1), (3, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=8.5, color=SOFT,
        )  # fmt: skip


def _power(value: float, position: int | None = None) -> str:
    exponent = round(math.log10(value)) if value > 0 else 0
    if -3 < exponent < 4:
        return f"{value:g}"
    return f"$10^{{{exponent}}}$"


def _thousands(value: float, position: int | None = None) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:g}"


def svg(drawings: Sequence[Drawing], size: tuple[float, float] = SIZE, *, rows: int = 1) -> str:
    """Draws each of ``drawings`` into axes side by side; the text of a stand-alone file."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, len(drawings) // rows, squeeze=False).flat
        for axes, draw in zip(panels, drawings, strict=True):
            draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()


def inline(svg: str) -> str:
    """Removes what only a stand-alone file needs, and makes its ids unique within the page."""
    prefix = f"f{next(_numbers)}-"
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    return re.sub(r"url\(#", f"url(#{prefix}", svg).strip()
