"""The figure of an explained forecast: the series, what each of its steps gave, input by input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from tcn.figures import COLORS, FURTHER, INK, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 6
"""Inputs that a figure tells apart."""
BARS = 60
"""Steps up to which an input alone is drawn as bars."""


class Explained(NamedTuple):
    """One forecast.

    Attributes:
        inputs: rows of ``input``, their time and ``attribution``.
        time: the name of the column of that time.
        past: the times and values of the target.
        when: the time of the forecast.
        forecast: in units of the target.
    """

    inputs: pd.DataFrame
    time: str
    past: pd.DataFrame
    when: Any
    forecast: float


def draw(figure: Figure, explained: Explained, title: str) -> None:
    """Draws the series above and attributions below, with the sums at the right if there are many.

    Args:
        figure: empty.
        explained: what is drawn.
        title: of the whole.
    """
    size = explained.inputs.groupby("input", sort=False)["attribution"].agg(_absolute)
    order = list(size.sort_values(ascending=False, kind="stable").index[:SHOWN])
    many = len(size) > 1
    grid = figure.add_gridspec(2, 1 + many, width_ratios=(3, 2)[: 1 + many], height_ratios=(2, 3))
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    above.set_title(title)
    above.tick_params(labelbottom=False)
    _series(above, explained)
    _along(below, explained, order)
    if many:
        _by_input(figure.add_subplot(grid[:, 1]), explained.inputs, order)


def _absolute(values: pd.Series) -> float:
    return float(values.abs().sum())


def _colors(order: Sequence[Any]) -> dict[Any, str]:
    return dict(zip(order, [*COLORS.values(), *FURTHER], strict=False))


def _series(axes: Axes, explained: Explained) -> None:
    """What the forecast was made from, and where it lies."""
    seen = explained.past[explained.past["time"] >= explained.inputs[explained.time].min()]
    axes.plot(seen["time"], seen["value"], color=SOFT, linewidth=1.2)
    axes.plot([explained.when], [explained.forecast], color=INK, marker="D", markersize=5)
    axes.annotate(
        f"{explained.forecast:.4g}", (explained.when, explained.forecast), xytext=(0, 7),
        textcoords="offset points", ha="right", va="bottom",
    )  # fmt: skip
    axes.set_ylabel("target")


def _along(axes: Axes, explained: Explained, order: Sequence[Any]) -> None:
    """What each time gave, by input; the sums beside it name the colors."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    table = explained.inputs
    for name, color in _colors(order).items():
        own = table[table["input"] == name].sort_values(explained.time, kind="stable")
        times, values = own[explained.time], own["attribution"]
        if len(order) == 1 and 1 < len(own) <= BARS:
            width = 0.8 * (times.iloc[-1] - times.iloc[0]) / (len(own) - 1)
            axes.bar(times, values, width=width, color=color)
        elif len(own) == 1:
            axes.plot(times, values, color=color, marker="o", markersize=4)
        else:
            axes.plot(times, values, color=color, linewidth=1.3)
    axes.axhline(0, color=SOFT, linewidth=0.8)
    axes.set_ylabel("attribution")
    if isinstance(table[explained.time].iloc[0], pd.Timestamp):
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _by_input(axes: Axes, table: pd.DataFrame, order: Sequence[Any]) -> None:
    """The sum of each input."""
    sums = table.groupby("input", sort=False)["attribution"].sum()
    colors = _colors(order)
    names = list(order)[::-1]
    axes.barh([str(name) for name in names], [sums[name] for name in names],
              color=[colors[name] for name in names])  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    axes.set_title("sum of each input, units of the target")
