"""Forecasts with their intervals, errors by horizon step, and coverage as figures.

Every function returns a matplotlib ``Figure`` of its own, which ``figure.savefig("name.png")``
writes; no state of pyplot is touched. The look is that of :mod:`tcn.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tcn import figures
from tcn.extras import need
from tcn.figures import INK, PALE, SOFT, STYLE
from tcn.forecasting.evaluation.comparison import CUTOFF, NAIVE, ends_of, models_of
from tcn.forecasting.frames.clock import localized
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.ids import read_ids, shown
from tcn.forecasting.frames.reading import read_columns, read_numbers, read_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {**figures.COLORS, NAIVE: "#8a94a0"}
PANEL = (4.6, 2.3)
"""Inches of one panel among several."""
OUTERMOST, INNER = 0.14, 0.28
"""Opacity of bands of intervals."""


def plot_forecasts(
    df: Any,
    forecasts: Any,
    *,
    models: Sequence[str] | None = None,
    ids: Sequence[Any] | None = None,
    history: int | None = None,
    level: Sequence[float] | None = None,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> Figure:
    """Forecasts after their history, one panel per series; intervals as shades of one color.

    Args:
        df: id, time and target: the history, and what came where that is known.
        forecasts: as ``predict`` or ``cross_validation`` return them.
        models: columns to draw; None: all. Intervals are drawn for the first only.
        ids: series to draw; None: the first six of the forecasts.
        history: rows to draw before the first forecast; None: four times what was forecast.
        level: intervals to draw, in percent; None: all there are.
        id_col: name of the id column.
        time_col: name of the time column.
        target_col: name of the target column.

    Returns:
        The figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        ValueError: a column, series or level is absent, or ``history`` is negative.
    """
    if history is not None and history < 0:
        raise ValueError(f"history: {history} rows; give 0 or more")
    columns = Columns(id_col, time_col, (target_col,))
    levels = models_of(forecasts, columns, models)
    levels = {model: _wanted(found, level) for model, found in levels.items()}
    first = next(iter(levels))
    ends = [end for each in levels[first] for end in ends_of(first, each)]
    ahead = _table(forecasts, columns, [*levels, *ends], "forecasts")
    past = _table(df, columns, [target_col], "df")
    chosen = list(pd.unique(ahead["id"])[:6]) if ids is None else list(ids)
    if absent := [each for each in chosen if not (ahead["id"] == each).any()]:
        raise ValueError(f"ids: no forecast of {shown(np.array(absent))}")
    with _style():
        figure, panels = _panels(len(chosen))
        for axes, each in zip(panels, chosen, strict=True):
            own = ahead[ahead["id"] == each]
            _draw_history(axes, past[past["id"] == each], own, target_col, history)
            for model, color in _colors(levels).items():
                _draw_windows(axes, own, model, color)
            _draw_intervals(axes, own, first, levels[first])
            axes.set_title(str(each))
            _time_axis(axes, own["time"])
        _legend(figure, panels[0])
    return figure


def plot_error_by_step(
    errors: pd.DataFrame, *, label: str = "mean absolute scaled error"
) -> Figure:
    """Lines of error against the horizon step, of :func:`tcn.forecasting.error_by_step`.

    Args:
        errors: index: horizon steps; a column per model.
        label: of the vertical axis.

    Returns:
        The figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    with _style():
        from matplotlib.ticker import MaxNLocator

        figure, (axes,) = _panels(1, size=(6.4, 3.2))
        for model, color in _colors(errors).items():
            naive = model == NAIVE
            axes.plot(
                errors.index, errors[model], color=color, label=model,
                linewidth=1.3 if naive else 1.9, linestyle=(0, (4, 2)) if naive else "-",
                marker="o", markersize=3.5 if len(errors) <= 30 and not naive else 0,
            )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.set_xlim(errors.index[0] - 0.5, errors.index[-1] + 0.5)
        axes.set_xlabel("steps ahead")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        _legend(figure, axes)
    return figure


def plot_coverage(coverage: pd.DataFrame) -> Figure:
    """Coverage against level, as ``coverage_by_level`` of the evaluation gives it.

    On the diagonal an interval holds as often as it says; below it, it promises too much.

    Args:
        coverage: index: levels in percent; a column per model, in percent.

    Returns:
        The figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    with _style():
        figure, (axes,) = _panels(1, size=(4.4, 4.0))
        coverage = coverage.dropna(axis=1, how="all")
        lowest = min(float(coverage.index.min()), float(coverage.min().min()))
        start = max(0.0, 10 * math.floor((lowest - 5) / 10))
        axes.plot([start, 100], [start, 100], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            "as promised", (start, start), (8, 14), textcoords="offset points", color=SOFT,
            rotation=45, rotation_mode="anchor", fontsize=8.5,
        )  # fmt: skip
        for model, color in _colors(coverage).items():
            values = coverage[model].dropna()
            axes.plot(
                values.index, values, color=color, label=model, linewidth=1.6,
                marker="o", markersize=6, markeredgecolor="white",
            )  # fmt: skip
        axes.set_xlim(start, 101)
        axes.set_ylim(start, 101)
        axes.set_aspect("equal")
        axes.set_xlabel("level of the interval, %")
        axes.set_ylabel("values inside it, %")
        _legend(figure, axes)
    return figure


def _table(frame: Any, columns: Columns, values: Sequence[str], argument: str) -> pd.DataFrame:
    """Ids, times on the wall clock, and numbers, sorted; ``cutoff`` where there is one."""
    has_cutoff = argument == "forecasts" and CUTOFF in frame.columns
    wanted = [columns.id, columns.time, *values, *([CUTOFF] if has_cutoff else [])]
    read = read_columns(frame, wanted, argument)
    codes, ids = read_ids(read[columns.id], columns.id, argument)
    table = {"id": ids[codes], "time": _wall_clock(read[columns.time], columns.time, argument)}
    table |= {name: read_numbers(read[name], name, argument) for name in values}
    cutoff = read.get(CUTOFF)
    table["cutoff"] = 0 if cutoff is None else _wall_clock(cutoff, CUTOFF, argument)
    return pd.DataFrame(table).sort_values(["cutoff", "time"], kind="stable")


def _wall_clock(values: pd.Series, name: str, argument: str) -> Any:
    times, zone, _ = read_times(values, name, argument)
    if zone is None:
        return times
    return localized(times, zone).tz_localize(None)


def _wanted(found: list[str], level: Sequence[float] | None) -> list[str]:
    """Levels to draw, the widest interval first."""
    chosen = found if level is None else [each for each in found if float(each) in set(level)]
    if level is not None and len(chosen) < len(set(level)) and found:
        raise ValueError(f"level: {list(level)} are not all among the forecasts' levels {found}")
    return chosen[::-1]


def _draw_history(
    axes: Axes, past: pd.DataFrame, own: pd.DataFrame, target: str, history: int | None
) -> None:
    begin, end = own["time"].min(), own["time"].max()
    rows = 4 * own["time"].nunique() if history is None else history
    before = past[past["time"] < begin].tail(rows)
    after = past[(past["time"] >= begin) & (past["time"] <= end)]
    drawn = pd.concat([before, after])
    # Above the forecasts: what came is the thinner line.
    axes.plot(drawn["time"], drawn[target], color=INK, linewidth=1.0, label=target, zorder=3)


def _draw_windows(axes: Axes, own: pd.DataFrame, model: str, color: str) -> None:
    """A line for every window, and a mark where it begins."""
    label: str | None = model
    for _, window in own.groupby("cutoff"):
        axes.axvline(window["time"].iloc[0], color=PALE, linewidth=1, zorder=0)
        marker = "o" if len(window) == 1 else None
        axes.plot(
            window["time"], window[model], color=color, linewidth=1.8, marker=marker, markersize=4,
            label=label,
        )  # fmt: skip
        label = None


def _draw_intervals(axes: Axes, own: pd.DataFrame, model: str, levels: Sequence[str]) -> None:
    """Bands that lie on each other, so that the inner ones come out darker.

    The outermost is pale: it is seen beside an inner one only if that is twice as dark.
    """
    color = _colors([model])[model]
    for number, level in enumerate(levels):
        low, high = ends_of(model, level)
        label: str | None = f"{level} % interval"
        for _, window in own.groupby("cutoff"):
            axes.fill_between(
                window["time"], window[low], window[high], color=color, linewidth=0,
                alpha=OUTERMOST if number == 0 else INNER, label=label, zorder=1,
            )  # fmt: skip
            label = None


def _time_axis(axes: Axes, times: pd.Series) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if times.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.margins(x=0.01)


def _colors(models: Iterable[Any]) -> dict[Any, str]:
    """A color for each model, the same in every plot."""
    return {model: COLORS.get(str(model)) or figures.color_of(str(model)) for model in models}


def _panels(count: int, size: tuple[float, float] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure and its panels: one wide one, or two or three columns of small ones."""
    from matplotlib.figure import Figure

    across = 1 if count == 1 else 2 if count <= 4 else 3
    down = math.ceil(count / across)
    width, height = size or ((7.6, 3.4) if count == 1 else (PANEL[0] * across, PANEL[1] * down))
    figure = Figure(figsize=(width, height + 0.35), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for empty in grid[count:]:
        empty.set_visible(False)
    return figure, list(grid[:count])


def _legend(figure: Figure, axes: Axes) -> None:
    """One row above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=len(labels), columnspacing=1.6,
        handlelength=1.6, borderaxespad=0.2,
    )  # fmt: skip


def _style() -> Any:
    need("tcn.forecasting.evaluation.plots", "forecasting", "matplotlib")
    import matplotlib as mpl

    return mpl.rc_context(STYLE)
