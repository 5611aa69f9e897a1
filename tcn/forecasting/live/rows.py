"""New rows of a stream: read, scaled, and with what is known of the horizon after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.arrays import Floats, Integers, Singles
from tcn.forecasting.frames.calendar import calendar_features
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.windows.scaling import Statistics, scaled_panel

LARGEST = float(np.finfo(np.float32).max)


class Row(NamedTuple):
    """One row of one series, as it stands in a frame.

    Attributes:
        name: id of the series.
        time: ``datetime64``, in UTC where there is a zone, or an integer.
        zoned: whether there is a zone.
        values: targets and covariates, float64.
    """

    name: Any
    time: Any
    zoned: bool
    values: Floats


def plain_row(df: Any, columns: Columns) -> Row | None:
    """The row of a frame of one row, read in a twentieth of the time that checks of all kinds take.

    None for any frame that is not as plain as can be: another library, several rows, text, missing
    values. That is for :class:`tcn.forecasting.frames.rows.Rows`, which also says what is wrong.
    """
    if type(df) is not pd.DataFrame or len(df) != 1:
        return None
    # Cell by cell: every column taken as a series would cost several times as much, and so would
    # the index of names that pandas builds for every frame when it is first asked for a name.
    there, cell = df.columns.tolist(), df.iat
    place = {name: index for index, name in enumerate(there)}
    names = (columns.id, columns.time, *columns.values)
    if len(place) != len(there) or not all(name in place for name in names):
        return None
    name, time, *values = [cell[0, place[name]] for name in names]
    if not isinstance(name, str | int | np.integer):
        return None
    zoned = False
    if isinstance(time, pd.Timestamp):
        time, zoned = time.asm8, time.tzinfo is not None
    elif not isinstance(time, np.integer):
        return None
    if not all(isinstance(value, np.floating | np.integer) for value in values):
        return None
    return Row(name, time, zoned, np.array(values, dtype=np.float64))


def plain_future(
    futr_df: Any, columns: Columns, name: Any, times: NDArray[Any], *, zoned: bool
) -> Floats | None:
    """The covariates of one series at ``(h,)`` times of UTC, ``(h, F)``, read as fast.

    None unless each time is there once, with finite numbers; the rest is for
    :func:`tcn.forecasting.frames.panel.future_from_frame`, which also says what is wrong.
    """
    if type(futr_df) is not pd.DataFrame:
        return None
    series = dict(futr_df.items())  # half the time of asking for each by its name
    names = (columns.id, columns.time, *columns.futr)
    if len(series) != futr_df.shape[1] or not all(name in series for name in names):
        return None
    named, when, *found = [series[name] for name in names]
    expected = pd.DatetimeTZDtype if zoned else np.dtype
    if not isinstance(when.dtype, expected) or when.dtype.kind != times.dtype.kind:
        return None
    if not all(isinstance(part.dtype, np.dtype) and part.dtype.kind in "fiu" for part in found):
        return None
    there: Any = when.array
    there = there.asi8.view(f"M8[{there.unit}]") if times.dtype.kind == "M" else there.to_numpy()
    # Few rows lie in the horizon: ids, which may be text, are compared for these alone.
    rows = np.flatnonzero((there >= times[0]) & (there <= times[-1]))
    ids = np.asarray(_cells(named.array, rows), dtype=object)
    if pd.isna(ids).any():  # pandas.NA is not to be compared
        return None
    rows = rows[ids == name]
    if len(rows) > 1:
        rows = rows[np.argsort(there[rows], kind="stable")]
    if len(rows) != len(times) or not (there[rows] == times).all():
        return None
    return np.stack([part.to_numpy()[rows].astype(np.float64) for part in found], axis=1)


def _cells(values: Any, rows: Integers) -> Any:
    """Some cells of a column; one stretch of them without a copy, which takes pyarrow long."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return values[rows[0] : rows[-1] + 1]
    return values[rows]


class Arrived(NamedTuple):
    """New rows of some series, equally many of each.

    Attributes:
        numbers: ``(n,)`` of the series, int64.
        target: ``(n, K, steps)`` scaled, NaN where missing.
        exogenous: ``(n, channels, steps)``, as the net reads them.
        times: ``(n, steps)``.
        values: ``(n, steps, V)`` in units of the data: targets, known future, past alone.
    """

    numbers: Integers
    target: Singles
    exogenous: Singles
    times: NDArray[Any]
    values: Floats


class Following(NamedTuple):
    """The horizon after the last rows of some series.

    Attributes:
        times: ``(n, h)``.
        known: ``(n, channels, h)``, as the net reads what is known of it.
    """

    times: NDArray[Any]
    known: Singles


def arrivals(
    trained: Trained, new: Panel, numbers: Integers, statistics: Statistics, future: Floats
) -> tuple[list[Arrived], Following]:
    """The rows of a panel, in groups of series with equally many, and what follows them.

    Args:
        trained: whose scaling is used.
        new: the new rows of ``n`` series.
        numbers: ``(n,)`` of these series.
        statistics: of these series.
        future: ``(n, h, F)``, see :func:`tcn.forecasting.frames.panel.future_from_frame`.

    Raises:
        ValueError: a target is not a count, where the loss is of counts.
    """
    trained.check_target(new.target)
    scaled = scaled_panel(new, trained.scaler, statistics, trained.covariates, future)
    horizon = new.future_times(future.shape[1])
    every = np.concatenate([new.times, horizon.ravel()])
    calendar = calendar_features(every, trained.calendar, new.timezone)
    past, ahead = calendar[: len(new.times)], calendar[len(new.times) :]
    exogenous = np.concatenate([scaled.hist, scaled.futr, past], axis=1)
    values = np.concatenate([new.target, new.futr, new.hist], axis=1)
    groups = []
    for steps in np.unique(new.lengths).tolist():
        chosen = np.flatnonzero(new.lengths == steps)
        rows = new.offsets[chosen, None] + np.arange(steps)
        groups.append(
            Arrived(
                numbers[chosen],
                scaled.target[rows].transpose(0, 2, 1),
                exogenous[rows].transpose(0, 2, 1),
                new.times[rows],
                values[rows],
            )
        )
    assert scaled.future is not None
    known = np.concatenate([scaled.future, ahead.reshape(*horizon.shape, -1)], axis=2)
    return groups, Following(horizon, np.ascontiguousarray(known.transpose(0, 2, 1)))


def arrival_of_row(
    trained: Trained,
    row: Row,
    number: int,
    statistics: Statistics,
    *,
    times: NDArray[Any],
    calendar: Singles,
    future: Floats | None,
) -> tuple[Arrived, Following] | None:
    """The same for a plain row; None where a number is not finite.

    Args:
        trained: whose scaler is linear.
        row: the row.
        number: of its series.
        statistics: of its values, ``(V,)``.
        times: ``(1 + h,)`` of the row, and of the steps that follow it.
        calendar: ``(1 + h, features)`` of these.
        future: ``(h, F)`` covariates of these; None where there are none.

    Raises:
        ValueError: a target is not a count, where the loss is of counts.
    """
    location, scale = statistics
    scaled = (row.values - location) / scale
    first = len(trained.history.columns.target)
    trained.check_target(row.values[:first])
    last = first + len(trained.history.columns.futr)
    known = np.empty((len(times) - 1, 0)) if future is None else future
    known = (known - location[first:last]) / scale[first:last]
    if not (np.abs(scaled) <= LARGEST).all() or not (np.abs(known) <= LARGEST).all():  # NaN neither
        return None
    exogenous = np.concatenate([scaled[last:], scaled[first:last], calendar[0]])
    arrived = Arrived(
        np.array([number]),
        scaled[None, :first, None].astype(np.float32),
        exogenous[None, :, None].astype(np.float32),
        times[None, :1],
        row.values[None, None],
    )
    known = np.concatenate([known, calendar[1:]], axis=1).T[None]
    return arrived, Following(times[None, 1:], np.ascontiguousarray(known, dtype=np.float32))


def with_rows(history: Panel, pending: Sequence[Arrived]) -> Panel:
    """The history with new rows appended to their series."""
    numbers = [np.repeat(new.numbers, new.times.shape[1]) for new in pending]
    series = np.concatenate([np.repeat(np.arange(len(history)), history.lengths), *numbers])
    order = np.argsort(series, kind="stable")
    old = np.concatenate([history.target, history.futr, history.hist], axis=1)
    added = [new.values.reshape(-1, old.shape[1]) for new in pending]
    values = np.concatenate([old, *added])[order]
    return replace(
        history,
        offsets=np.concatenate(([0], np.cumsum(np.bincount(series, minlength=len(history))))),
        times=np.concatenate([history.times, *(new.times.ravel() for new in pending)])[order],
        **history.columns.apart(values),
    )
