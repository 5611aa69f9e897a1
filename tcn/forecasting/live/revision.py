"""What new rows make of a history: they follow it, come late, correct it, or begin new series."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.arrays import Booleans, Floats, Integers
from tcn.forecasting.frames.gaps import Fill
from tcn.forecasting.frames.ids import numbers_of, shown
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.frames.regular import check_missing, completed
from tcn.forecasting.frames.rows import Rows
from tcn.forecasting.frames.static import read_static


class LastRows(NamedTuple):
    """The last known row of ``n`` series.

    Attributes:
        times: ``(n,)``.
        values: ``(n, V)`` in units of the data: targets, known future, past alone.
    """

    times: NDArray[Any]
    values: Floats


def following(
    history: Panel, rows: Rows, numbers: Integers, last: LastRows, fill: Fill | None
) -> Panel:
    """Rows that follow a history as a panel without gaps, each series right after its last row.

    Args:
        history: of the series.
        rows: the next ones, sorted.
        numbers: ``(n,)`` of their series in the history.
        last: of these series.
        fill: how missing values and rows are filled.

    Raises:
        ValueError: a row is not later than the last one, or one is missing.
    """
    rows.check_zone(history.timezone, history.times.dtype.kind)
    _refuse_late(rows, last.times, history)
    # With the last known row in front, gaps show and can be filled.
    rows = replace(
        rows,
        series=np.concatenate([np.arange(len(numbers)), rows.series]),
        times=np.concatenate([last.times, rows.times]),
        values=np.concatenate([last.values, rows.values]),
    ).sorted(told=False)
    rows = completed(rows, history.frequency, history.missing, fill)
    rows = rows.at(np.setdiff1d(np.arange(len(rows.times)), rows.offsets[:-1]))
    check_missing(rows, history.missing, fill)
    return _next(history, numbers, rows.offsets, rows.times, rows.values)


def one_row_each(history: Panel, numbers: Integers, times: NDArray[Any], values: Floats) -> Panel:
    """The next row of ``(n,)`` series, of ``(n,)`` times and ``(n, V)`` values, as a panel."""
    return _next(history, numbers, np.arange(len(numbers) + 1), times, values)


def _next(
    history: Panel, numbers: Integers, offsets: Integers, times: NDArray[Any], values: Floats
) -> Panel:
    return replace(
        history,
        ids=history.ids[numbers],
        offsets=offsets,
        times=times,
        **history.columns.apart(values),
        stat=history.stat[numbers],
        categories=history.categories[numbers],
    )


def _refuse_late(rows: Rows, last: NDArray[Any], history: Panel) -> None:
    """Refuses rows that are not later than the ``last`` of their series."""
    late = rows.times <= last[rows.series]
    if late.any():
        first = rows.series[late][:1]
        raise ValueError(
            f"new_rows: {int(late.sum())} rows are not later than the last one of their series, "
            f"which for {shown(rows.ids[first])} is {history.local(last[first])[0]}; every row is "
            "taken once, in order of time; hand corrections and late rows to revise(df)"
        )


def revised(
    history: Panel, rows: Rows, static_df: Any = None, *, kept: int, fill: Fill | None = None
) -> Panel:
    """A history with some of its rows replaced, and others added.

    Args:
        history: its series keep their numbers.
        rows: of any times, sorted; series that are not in the history come after the others.
        static_df: the static columns of these, where there are any.
        kept: rows of every series that a history holds. What is earlier than the first of so many
            is not read: nothing depends on it any more.
        fill: how missing values and rows are filled.

    Raises:
        TypeError: a static column holds no numbers.
        ValueError: times have a zone in one and none in the other; rows would be missing between
            others, lie off the grid, or hold missing values; or a new series has no value of the
            target, or no static columns.
    """
    rows.check_zone(history.timezone, history.times.dtype.kind)
    _check_ids(history, rows)
    new = rows.ids[numbers_of(history.ids, rows.ids) < 0]
    if static_df is not None and not len(new):
        raise ValueError(
            "static_df: no series of df is new, and static columns of the others stay; leave it out"
        )
    ids = np.concatenate([history.ids, new]) if len(new) else history.ids
    touched = np.unique(numbers_of(ids, rows.ids))
    rows = rows.of_series(ids).sorted(told=False)
    rows = rows.at(np.flatnonzero(~_too_early(history, rows, kept)))
    series = np.repeat(np.arange(len(history)), history.lengths)
    stays = rows.find(series, history.times) < 0
    values = np.concatenate([history.target, history.futr, history.hist], axis=1)
    whole = replace(
        rows,
        series=np.concatenate([series[stays], rows.series]),
        times=np.concatenate([history.times[stays], rows.times]),
        values=np.concatenate([values[stays], rows.values]),
        timezone=history.timezone,
        unit=history.unit,
    ).sorted(told=False)
    whole = completed(whole, history.frequency, history.missing, fill)
    check_missing(whole, history.missing, fill)
    _check_targets(whole, touched)
    found = replace(
        history,
        ids=ids,
        offsets=whole.offsets,
        times=whole.times,
        **whole.columns.apart(whole.values),
    )
    return _with_static(found, history, new, static_df) if len(new) else found


def _with_static(found: Panel, history: Panel, new: NDArray[Any], static_df: Any) -> Panel:
    """The static columns of series that are new below those of the others."""
    stat, categories, _ = read_static(
        static_df,
        history.columns,
        new,
        missing=history.missing,
        vocabularies=history.vocabularies,
    )
    return replace(
        found,
        stat=np.concatenate([history.stat, stat]),
        categories=np.concatenate([history.categories, categories]),
    )


def _too_early(history: Panel, rows: Rows, kept: int) -> Booleans:
    """Which rows lie before all that is kept of their series, which has as many as can be kept."""
    first = history.times[history.offsets[:-1]]
    full = np.flatnonzero(history.lengths >= kept)
    early = np.zeros(len(rows.times), dtype=bool)
    of_full = np.isin(rows.series, full)
    early[of_full] = rows.times[of_full] < first[rows.series[of_full]]
    return early


def _check_ids(history: Panel, rows: Rows) -> None:
    """Refuses ids of another kind, which would be those of new series."""
    kinds = [ids.dtype.kind in "iu" for ids in (history.ids, rows.ids)]
    if kinds[0] != kinds[1]:
        one, two = ("integers" if kind else "text" for kind in kinds)
        cure = "int" if kinds[0] else "str"
        name = rows.columns.id
        raise ValueError(
            f"{rows.argument}: column {name!r} holds {two}, such as {shown(rows.ids[:1])}, and the "
            f"ids of the series are {one}; give df[{name!r}].astype({cure})"
        )


def _check_targets(rows: Rows, touched: Integers) -> None:
    """Refuses to touch series without any value."""
    there = ~np.isnan(rows.values[:, : len(rows.columns.target)]).all(axis=1)
    empty = np.bincount(rows.series, weights=there, minlength=len(rows.ids)) == 0
    empty &= np.isin(np.arange(len(rows.ids)), touched)
    if empty.any():
        raise ValueError(
            f"{rows.argument}: {list(rows.columns.target)} is missing in every row of series "
            f"{shown(rows.ids[empty])}; leave them out until a value has come"
        )


def revised_training(
    trained: Trained, whole: Panel, ids: NDArray[Any], joined: Collection[Any], kept: int
) -> Trained:
    """What was trained, with a revised history.

    Args:
        trained: is left as it is, but for what adaptive intervals wait for.
        whole: the history, revised.
        ids: of the series that were touched.
        joined: series that were not there in training: they are scaled anew.
        kept: rows of every series that the history holds from now on.

    Raises:
        ValueError: what was touched cannot be forecast from.
    """
    touched = numbers_of(whole.ids, ids)
    anew = np.isin(np.arange(len(trained.ids)), touched)
    anew &= np.array([name in joined for name in trained.ids.tolist()], dtype=bool)
    stays = np.flatnonzero(~anew)
    scaled = replace(trained, ids=trained.ids[stays], statistics=trained.statistics.take(stays))
    changed = replace(
        trained, history=whole.last(kept), ids=whole.ids, statistics=scaled.statistics_of(whole)
    )
    # What no forecast can be made from is refused before it is in the way of all others.
    some = changed.history.select(touched)
    trained.check_target(some.target)
    unknown = np.zeros((len(some), changed.net.sizes.h, some.futr.shape[1]))
    windows = changed.windows(some, changed.net.sizes.h, future=unknown, told=False)
    replace(changed, intervals=None).forecasts(windows)
    for streams in trained.adaptive.values():
        streams.forget(touched)  # those forecasts were made from another past
    return changed
