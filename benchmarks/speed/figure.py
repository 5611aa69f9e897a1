"""The sweeps as one figure: four sizes, one line per contestant, both axes logarithmic."""

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from benchmarks.report.plots import STYLE
from benchmarks.speed.sweeps import VALUES, Point

LOOKS = {
    "tcn": ("#0072B2", "o", "-"),
    "pytorch-tcn": ("#D55E00", "s", "--"),
    "nn.LSTM": ("#009E73", "^", "-."),
    "nn.GRU": ("#CC79A7", "D", ":"),
}


def draw(points: Sequence[Point]) -> str:
    """SVG text."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 6.4), layout="constrained")
        axes = figure.subplots(2, 2).flat
        for axis, size in zip(axes, VALUES, strict=True):
            of_size = [point for point in points if point.size == size]
            for name, (color, marker, line) in LOOKS.items():
                found = [p for p in of_size if name in p.milliseconds]
                axis.plot(
                    [p.value for p in found],
                    [p.milliseconds[name] for p in found],
                    color=color, marker=marker, linestyle=line, markersize=4, label=name,
                )  # fmt: skip
            axis.set(xscale="log", yscale="log", title=size, xticks=VALUES[size])
            axis.xaxis.set_major_formatter(ScalarFormatter())
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_ylabel("ms per training step")
        figure.axes[0].legend()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
