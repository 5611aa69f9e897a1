"""What explained forecasts come back as: frames of the caller's kind, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.extras import need
from tcn.figures import STYLE
from tcn.forecasting.evaluation.explanation_figure import Explained, draw
from tcn.forecasting.fitted.sizes import embedding_channels
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.ids import numbers_of
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.frames.results import FrameKind
from tcn.layers.validation import is_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    _sums: pd.DataFrame = field(repr=False)
    _past: pd.DataFrame = field(repr=False)

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
        tables = (pd.DataFrame(inputs), pd.DataFrame(totals), _past(parts, panel))
        return cls(kind(inputs), kind(totals), columns, *tables)

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that are forecast."""
        return self._columns.target

    @property
    def ids(self) -> list[Any]:
        """The series that were explained, in their order."""
        found: list[Any] = self._table[self._columns.id].drop_duplicates().tolist()
        return found

    def plot(
        self, unique_id: Any = None, step: int | None = None, target: str | None = None
    ) -> Figure:
        """What one forecast rests on: the series, what each of its steps gave, input by input.

        Args:
            unique_id: of the series; the first if None.
            step: of those explained, 0 the first; the first if None.
            target: of several; the first if None.

        Returns:
            The figure, in the look of :mod:`tcn.figures`.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
            TypeError: ``step`` is not an integer.
            ValueError: the series, step or target was not explained.
        """
        need("Explanation.plot", "forecasting", "matplotlib")
        import matplotlib as mpl
        from matplotlib.figure import Figure

        explained, name = self._one(unique_id, step, target)
        what = f"{target or self.targets[0]}, " if len(self.targets) > 1 else ""
        title = f"{name}, forecast of {what}{explained.when}".removesuffix(" 00:00:00")
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(8.4, 4.2), layout="constrained")
            draw(figure, explained, title)
        return figure

    def _one(self, unique_id: Any, step: int | None, target: str | None) -> tuple[Explained, Any]:
        """The forecast of a series and a target at a step, and the id of the series."""
        name, time = self._columns.id, self._columns.time
        wanted = self._table[name].iloc[0] if unique_id is None else unique_id
        own, sums = (table[table[name] == wanted] for table in (self._table, self._sums))
        if own.empty:
            raise ValueError(f"unique_id: {wanted!r} was not explained; see frame")
        if target is not None and target not in self.targets:
            raise ValueError(f"target: {target!r} is not one of {', '.join(self.targets)}")
        chosen = target or self.targets[0]
        if "target" in own:
            own, sums = own[own["target"] == chosen], sums[sums["target"] == chosen]
        past = self._past[(self._past["series"] == wanted) & (self._past["target"] == chosen)]
        times = own[time].drop_duplicates().tolist()
        at = 0 if step is None else step
        if not is_integer(at):
            raise TypeError(f"step: {step!r} is not an integer; give 0 for the first explained")
        if not 0 <= at < len(times):
            raise ValueError(f"step: {at} of {len(times)} that were explained")
        forecast = float(sums.loc[sums[time] == times[at], "forecast"].iloc[0])
        inputs = own[own[time] == times[at]]
        return Explained(inputs, f"input_{time}", past, times[at], forecast), wanted


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


def _past(parts: Sequence[Part], panel: Panel) -> pd.DataFrame:
    """What was seen of the targets of each series that was explained, one below the other."""
    series = np.unique(np.concatenate([part.series for part in parts]))
    rows = np.concatenate([np.arange(*panel.offsets[each : each + 2]) for each in series])
    ids, times = np.repeat(panel.ids[series], panel.lengths[series]), panel.local(panel.times[rows])
    tables = [
        pd.DataFrame({"series": ids, "time": times, "target": name, "value": values})
        for name, values in zip(panel.columns.target, panel.target[rows].T, strict=True)
    ]
    return pd.concat(tables)


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
