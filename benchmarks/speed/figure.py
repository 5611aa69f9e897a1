"""The sweeps as one figure: four sizes, one line per contestant, both axes logarithmic."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

from benchmarks.report.plots import look, svg
from benchmarks.speed.sweeps import VALUES, Point

CONTESTANTS = {"tcn": "tcn", "pytorch-tcn": "pytorch-tcn", "nn.LSTM": "lstm", "nn.GRU": "gru"}
"""The model whose look each contestant takes."""


def draw(points: Sequence[Point]) -> str:
    """The figure as SVG text."""
    drawings = [partial(_draw, size=size, points=points) for size in VALUES]
    return svg(drawings, (9.0, 6.4), rows=2)


def _draw(axes: Axes, size: str, points: Sequence[Point]) -> None:
    for name, model in CONTESTANTS.items():
        found = [each for each in points if each.size == size and name in each.milliseconds]
        values = [each.value for each in found]
        milliseconds = [each.milliseconds[name] for each in found]
        axes.plot(values, milliseconds, label=name, **look(model).line())
    axes.set(xscale="log", yscale="log", title=size, xticks=VALUES[size])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("ms per training step")
    if size == next(iter(VALUES)):
        axes.legend()
