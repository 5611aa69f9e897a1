"""What explained forecasts come back as: frames of the caller's kind, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.extras import need
from tcn.figures import COLORS, FURTHER, INK, SOFT, STYLE
from tcn.forecasting.fitted.sizes import embedding_channels
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.ids import numbers_of
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.frames.results import FrameKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 6
"""Inputs that a figure tells apart."""


class Layout(NamedTuple):
    """What the numbers of a row of inputs are; a category is one input, however it is embedded.

    Attributes:
        begin: ``(inputs,)``, the first number of each.
        names: ``(inputs,)``, of its column or feature.
        roles: ``(inputs,)``: target, hist, futr, calendar or stat.
        offsets: ``(inputs,)``, its step: 0 is the last one seen, 1 the first one forecast; 0 of
            what is known of the series as a whole.
    """

    begin: NDArray[np.int64]
    names: NDArray[Any]
    roles: NDArray[Any]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, trained: Trained, panel: Panel) -> Layout:
        """That of the rows of :class:`ExplainedNet`."""
        sizes, columns = trained.net.sizes, panel.columns
        past, ahead = range(1 - sizes.input_size, 1), range(1, sizes.h + 1)
        known = [*_with("futr", columns.futr), *_with("calendar", trained.calendar)]
        before = [*_with("target", columns.target), *_with("hist", columns.hist), *known]
        inputs = [(*each, offset, 1) for each in before for offset in past]
        inputs += [(*each, offset, 1) for each in known for offset in ahead]
        inputs += [(*each, 0, 1) for each in _with("stat", columns.numeric_stat)]
        widths = map(embedding_channels, sizes.categories)
        named = zip(_with("stat", columns.categorical), widths, strict=True)
        inputs += [(*each, 0, width) for each, width in named]
        roles, names, offsets, counts = zip(*inputs, strict=True)
        begin = np.cumsum((0, *counts[:-1]))
        return cls(begin, objects(names), objects(roles), np.array(offsets, dtype=np.int64))


class Part(NamedTuple):
    """One target and step of the forecasts of ``W`` windows.

    Attributes:
        series: ``(W,)`` number in the panel.
        position: ``(W,)`` row within the series of the last past step.
        target: number of the target column.
        step: of the horizon, from 1 on.
        layout: what the inputs are.
        values: ``(W, inputs)`` what each gave.
        forecast: ``(W,)``.
        difference: ``(W,)``, the forecast less that of the baseline.
    """

    series: NDArray[np.int64]
    position: NDArray[np.int64]
    target: int
    step: int
    layout: Layout
    values: NDArray[np.float64]
    forecast: NDArray[np.float64]
    difference: NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """What each input gave to forecasts, in units of the target.

    Attributes:
        frame: one row per series, time of the forecast and input, of the caller's kind: id, time,
            ``input`` (a column or a feature of the calendar), ``role`` (target, hist, futr,
            calendar or stat), ``input_ds`` (its time; of what has none the last one seen), ``lag``
            (steps from it to the forecast; negative of what comes later) and ``attribution``.
            With several targets a column ``target`` names the one that is forecast.
        totals: one row per series and time: ``forecast``, ``baseline`` (the forecast from inputs
            that say nothing) and ``attributed``, the sum of the attributions.
    """

    frame: Any
    totals: Any
    _columns: Columns = field(repr=False)
    _table: pd.DataFrame = field(repr=False)

    @classmethod
    def of(cls, parts: Sequence[Part], panel: Panel, kind: FrameKind) -> Explanation:
        """Of parts that were explained.

        Raises:
            ValueError: a column of the data has the name of one of the result.
        """
        columns = panel.columns
        time = f"input_{columns.time}"
        taken = {"input", "role", "lag", "attribution", "forecast", "baseline", "attributed", time}
        if clash := taken & {columns.id, columns.time}:
            raise ValueError(
                f"columns: explanations have one named {sorted(clash)[0]!r}; rename it"
            )
        if columns.time in kind.types:
            kind = replace(kind, types={**kind.types, time: kind.types[columns.time]})
        inputs = _joined(
            [_inputs(part, panel, time) for part in parts], panel, (columns.time, time)
        )
        totals = _joined([_totals(part, panel) for part in parts], panel, (columns.time,))
        return cls(kind(inputs), kind(totals), columns, pd.DataFrame(inputs))

    def plot(self, unique_id: Any = None, step: int | None = None) -> Figure:
        """What one forecast rests on: along time, and input by input.

        Args:
            unique_id: of the series; the first if None.
            step: of those explained, 0 the first; the first if None.

        Returns:
            The figure, in the look of :mod:`tcn.figures`.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
            ValueError: the series or step was not explained.
        """
        need("Explanation.plot", "forecasting", "matplotlib")
        import matplotlib as mpl
        from matplotlib.figure import Figure

        table, time = self._one(unique_id, step)
        size = table.groupby("input", sort=False)["attribution"].agg(lambda each: each.abs().sum())
        order = size.sort_values(ascending=False, kind="stable").index[:SHOWN]
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(8.4, 3.4), layout="constrained")
            left, right = figure.subplots(1, 2, width_ratios=(3, 2))
            _along(left, table, order, f"input_{self._columns.time}")
            _by_input(right, table, order)
            left.set_title(
                f"{table[self._columns.id].iloc[0]}, forecast of {time}".removesuffix(" 00:00:00")
            )
            right.set_title("sum of each input")
        return figure

    def _one(self, unique_id: Any, step: int | None) -> tuple[pd.DataFrame, Any]:
        """The rows of a series at a step, of its first target."""
        table = self._table
        name = self._columns.id
        wanted = table[name].iloc[0] if unique_id is None else unique_id
        own = table[table[name] == wanted]
        if own.empty:
            raise ValueError(f"unique_id: {wanted!r} was not explained; see frame")
        if "target" in own:
            own = own[own["target"] == self._columns.target[0]]
        times = own[self._columns.time].drop_duplicates().tolist()
        at = 0 if step is None else step
        if not 0 <= at < len(times):
            raise ValueError(f"step: {at} of {len(times)} that were explained")
        return own[own[self._columns.time] == times[at]], times[at]


def _with(role: str, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(role, name) for name in names]


def objects(values: Sequence[Any]) -> NDArray[Any]:
    """An array of Python objects, as all ids and names are kept."""
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _inputs(part: Part, panel: Panel, time: str) -> dict[str, Any]:
    """A row per window and input, of the inputs that there are: a series may be short."""
    layout, columns = part.layout, panel.columns
    there = layout.offsets[None] >= -part.position[:, None]
    window, which = np.nonzero(there)
    offset = layout.offsets[which]
    series, position = part.series[window], part.position[window]
    ahead = panel.future_times(max(part.step, int(layout.offsets.max()), 1))
    past = panel.times[panel.offsets[series] + position + np.minimum(offset, 0)]
    later = ahead[series, np.maximum(offset, 1) - 1]
    return {
        columns.id: panel.ids[series],
        columns.time: ahead[series, part.step - 1],
        **_target(part, columns, len(window)),
        "input": layout.names[which],
        "role": layout.roles[which],
        time: np.where(offset > 0, later, past),
        "lag": part.step - offset,
        "attribution": part.values[window, which],
    }


def _totals(part: Part, panel: Panel) -> dict[str, Any]:
    columns = panel.columns
    return {
        columns.id: panel.ids[part.series],
        columns.time: panel.future_times(part.step)[part.series, part.step - 1],
        **_target(part, columns, len(part.series)),
        "forecast": part.forecast,
        "baseline": part.forecast - part.difference,
        "attributed": part.values.sum(1),
    }


def _target(part: Part, columns: Columns, count: int) -> dict[str, Any]:
    if len(columns.target) == 1:
        return {}
    return {"target": np.array([columns.target[part.target]] * count, dtype=object)}


def _joined(parts: Sequence[dict[str, Any]], panel: Panel, times: Sequence[str]) -> dict[str, Any]:
    """Columns of all parts, by series, target and time."""
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(numbers_of(panel.ids, whole[panel.columns.id]), kind="stable")
    whole = {name: values[order] for name, values in whole.items()}
    return {name: panel.local(each) if name in times else each for name, each in whole.items()}


def _colors(order: Sequence[Any]) -> dict[Any, str]:
    return dict(zip(order, [*COLORS.values(), *FURTHER], strict=False))


def _along(axes: Axes, table: pd.DataFrame, order: Sequence[Any], time: str) -> None:
    for name, color in _colors(order).items():
        own = table[table["input"] == name]
        axes.plot(
            own[time], own["attribution"], color=color, label=name, linewidth=1.5,
            marker="o", markersize=4 if len(own) == 1 else 2.5,
        )  # fmt: skip
    axes.axhline(0, color=SOFT, linewidth=0.8)
    axes.set_ylabel("attribution, units of the target")
    axes.tick_params(axis="x", rotation=30)
    axes.legend()


def _by_input(axes: Axes, table: pd.DataFrame, order: Sequence[Any]) -> None:
    sums = table.groupby("input", sort=False)["attribution"].sum()
    colors = _colors(order)
    names = list(order)[::-1]
    axes.barh([str(name) for name in names], [sums[name] for name in names],
              color=[colors[name] for name in names])  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="y", visible=False)
