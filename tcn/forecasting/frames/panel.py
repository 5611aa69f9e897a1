"""From a long frame, one row per series and time, to arrays: checked, sorted and regular."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Floats, Integers
from tcn.forecasting.frames.clock import localized
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.gaps import FILLS, Fill, filled
from tcn.forecasting.frames.ids import numbers_of, shown, shown_rows
from tcn.forecasting.frames.reading import SHOWN
from tcn.forecasting.frames.regular import (
    check_dates,
    check_missing,
    completed,
    without_empty_series,
)
from tcn.forecasting.frames.rows import Missing, Rows
from tcn.forecasting.frames.static import read_static


@dataclass(frozen=True)
class Panel:
    """Many series end to end, each in order of time and without gaps.

    The arrays are read-only copies. ``N`` series, ``R`` rows in all.

    Attributes:
        columns: names of the columns.
        ids: ``(N,)`` as given, in the order in which they first appear.
        offsets: ``(N + 1,)`` int64; the rows of series ``i`` are ``offsets[i]:offsets[i + 1]``.
        times: ``(R,)`` ``datetime64[ns]``, in UTC where there is a time zone, or int64.
        target: ``(R, K)`` float64, NaN where missing.
        futr: ``(R, F)`` float64.
        hist: ``(R, H)`` float64.
        stat: ``(N, S)`` float64, the static columns that are numbers.
        categories: ``(N, C)`` int64; code ``k`` is ``vocabulary[k - 1]``, 0 was not seen before.
        vocabularies: the categories of each categorical column.
        frequency: the step from row to row.
        timezone: name of the zone of the caller's times, ``None`` for naive or integer ones.
        unit: unit of the caller's timestamps, ``None`` for integers.
        missing: ``"mask"`` where NaN are allowed.
    """

    columns: Columns
    ids: NDArray[Any]
    offsets: Integers
    times: NDArray[Any]
    target: Floats
    futr: Floats
    hist: Floats
    stat: Floats
    categories: Integers
    vocabularies: dict[str, list[Any]]
    frequency: Frequency
    timezone: str | None = None
    unit: str | None = None
    missing: Missing = "raise"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = value.view()  # the flag of the array that was handed in stays as it is
                value.flags.writeable = False
                object.__setattr__(self, field.name, value)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Integers:
        """``(N,)`` rows of each series."""
        return np.diff(self.offsets)

    def future_times(self, h: int) -> NDArray[Any]:
        """``(N, h)`` times after the last row of each series, in UTC or integers."""
        return self.frequency.after(self.times[self.offsets[1:] - 1], h, self.timezone)

    def local(self, times: NDArray[Any]) -> Any:
        """Times as the caller has them: in the zone and unit of the frame, ``(R,)``."""
        if self.frequency.is_integer:
            return times
        return localized(times, self.timezone).as_unit(self.unit or "ns")

    def select(self, series: NDArray[Any]) -> Panel:
        """The panel of some series, by index, in the order given; an index may come twice."""
        series = np.asarray(series)
        if series.dtype == bool:
            series = np.flatnonzero(series)
        return self._gather(series, self.offsets[series], self.lengths[series])

    def until(self, rows: NDArray[Any] | int) -> Panel:
        """The first rows of every series.

        Args:
            rows: how many, for all or ``(N,)``, at least 1; a negative number leaves that many out.

        Raises:
            ValueError: no row of a series would be left.
        """
        count: Integers = np.broadcast_to(np.asarray(rows, dtype=np.int64), len(self))
        count = np.where(count < 0, self.lengths + count, np.minimum(count, self.lengths))
        if np.any(count < 1):
            short = shown(self.ids[count < 1])
            raise ValueError(f"rows: nothing would be left of series {short}; leave these out")
        return self._gather(np.arange(len(self)), self.offsets[:-1], count)

    def last(self, rows: int) -> Panel:
        """The last rows of every series, or as many as there are."""
        lengths = np.minimum(self.lengths, rows)
        return self._gather(np.arange(len(self)), self.offsets[1:] - lengths, lengths)

    def _gather(self, series: Integers, begin: Integers, lengths: Integers) -> Panel:
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        rows = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], lengths)
        return replace(
            self,
            ids=self.ids[series],
            offsets=offsets,
            times=self.times[rows],
            target=self.target[rows],
            futr=self.futr[rows],
            hist=self.hist[rows],
            stat=self.stat[series],
            categories=self.categories[series],
        )


def panel_from_frame(
    df: Any,
    *,
    columns: Columns,
    static_df: Any = None,
    freq: Any = None,
    missing: Missing = "raise",
    fill: Fill | None = None,
    vocabularies: Mapping[str, Sequence[Any]] | None = None,
) -> Panel:
    """Check a long frame and turn it into arrays; the frame is not changed.

    Args:
        df: one row per series and time, of pandas, polars or pyarrow. Rows out of order are
            sorted in a copy, with a warning.
        columns: names of its columns.
        static_df: one row per series with the columns ``columns.stat``.
        freq: the step from row to row, a name of pandas or an integer; inferred when ``None``. A
            ``Frequency`` is that of the panel trained on.
        missing: ``"raise"``, or ``"mask"``: NaN and rows that are absent are allowed, and are NaN
            in the panel. So are covariates; there NaN ends up as the mean of the column.
        fill: how missing values and rows are filled, see :func:`filled`;
            ``missing`` decides about what is left.
        vocabularies: the known categories; without them, those of ``static_df``.

    Raises:
        TypeError: an argument is not a frame, or a column holds no numbers.
        ValueError: the frame is empty or lacks a column, times are doubled, mixed in zone, off
            the grid or dates written as numbers, rows or values are missing, or a value is
            infinite.
    """
    if missing not in ("raise", "mask"):
        raise ValueError(f"missing: {missing!r} is not known; give 'raise' or 'mask'")
    if fill is not None and fill not in FILLS:
        raise ValueError(f"fill: {fill!r} is not known; give None, {', '.join(map(repr, FILLS))}")
    rows = Rows.read(df, columns, columns.values, "df").sorted()
    if not isinstance(freq, Frequency):  # that of a training, whose times were looked at
        check_dates(rows)
    frequency = Frequency.given(freq) if freq is not None else rows.frequency()
    rows = without_empty_series(completed(rows, frequency, missing, fill))
    check_missing(rows, missing, fill)
    stat, categories, known = read_static(
        static_df, columns, rows.ids, missing=missing, vocabularies=vocabularies
    )
    return Panel(
        columns=columns,
        ids=rows.ids,
        offsets=rows.offsets,
        times=rows.times,
        **columns.apart(rows.values),
        stat=stat,
        categories=categories,
        vocabularies=known,
        frequency=frequency,
        timezone=rows.timezone,
        unit=rows.unit,
        missing=missing,
    )


def panel_like(history: Panel, df: Any, static_df: Any = None, fill: Fill | None = None) -> Panel:
    """Another frame as a panel, with columns, frequency and categories of a history.

    Args:
        history: of the training.
        df: see :func:`panel_from_frame`.
        static_df: likewise; without it, the static columns of the history are those of ``df``.
        fill: likewise.

    Raises:
        TypeError: see :func:`panel_from_frame`.
        ValueError: likewise; or if static columns of a series are not known.
    """
    columns = history.columns
    reuse = static_df is None and bool(columns.stat)
    panel = panel_from_frame(
        df,
        columns=replace(columns, stat=(), categorical=()) if reuse else columns,
        static_df=static_df,
        freq=history.frequency,
        missing=history.missing,
        fill=fill,
        vocabularies=None if reuse else history.vocabularies,
    )
    if not reuse:
        return panel
    index = numbers_of(history.ids, panel.ids)
    if (index < 0).any():
        raise ValueError(
            f"static_df: it is missing, and {int((index < 0).sum())} series, such as "
            f"{shown(panel.ids[index < 0][:1])}, were not there in training; give their "
            f"{list(columns.stat)}"
        )
    return replace(
        panel,
        columns=columns,
        stat=history.stat[index],
        categories=history.categories[index],
        vocabularies=history.vocabularies,
    )


def future_from_frame(futr_df: Any, panel: Panel, h: int, fill: Fill | None = None) -> Floats:
    """The known-future covariates of the ``h`` steps after the end of every series.

    Args:
        futr_df: a long frame with the id, time and ``futr`` columns of ``panel``, in any order.
            Other columns, other series and other times are not read. May be ``None`` where the
            panel has no such covariates.
        panel: the past.
        h: steps.
        fill: how missing values and rows are filled, from the last row of the past on.

    Returns:
        ``(N, h, F)`` float64; NaN where ``panel.missing`` is ``"mask"``.

    Raises:
        TypeError: ``futr_df`` is not a frame, or a column holds no numbers.
        ValueError: a row that is needed is absent, doubled, or holds NaN or infinity; or times
            have a zone in one frame and none in the other. Rows of NaN may be absent where NaN are
            filled or masked, unless a series has no row at all.
    """
    columns = panel.columns
    if not columns.futr:
        return np.empty((len(panel), h, 0))
    if futr_df is None:
        raise ValueError(
            f"futr_df: it is missing; the columns {list(columns.futr)} have to be known for the "
            f"next {h} steps of every series"
        )
    rows = Rows.read(futr_df, columns, columns.futr, "futr_df")
    rows.check_zone(panel.timezone, panel.times.dtype.kind)
    rows = rows.of_series(panel.ids).sorted(told=False)
    expected = panel.future_times(h)
    found = rows.find(np.repeat(np.arange(len(panel)), h), expected.ravel())
    absent = np.flatnonzero(found < 0)
    allowed = fill is not None or panel.missing == "mask"
    if len(absent) and not (allowed and (found >= 0).reshape(-1, h).any(axis=1).all()):
        times = panel.local(expected.ravel()[absent[:SHOWN]])
        some = shown_rows(columns, panel.ids[absent[:SHOWN] // h], times, total=len(absent))
        raise ValueError(
            f"futr_df: {len(absent)} rows that are needed are absent: {some}; give "
            f"{list(columns.futr)} for the {h} steps after the last row of every series"
        )
    values = np.where(found[:, None] < 0, np.nan, rows.values[found])
    if fill is not None:
        values = _filled_ahead(values, panel, h, fill)
    series = np.repeat(np.arange(len(panel)), h)
    ahead = replace(rows, series=series, times=expected.ravel(), values=values)
    check_missing(ahead, panel.missing, fill)
    return values.reshape(len(panel), h, len(columns.futr))


def _filled_ahead(values: Floats, panel: Panel, h: int, fill: Fill) -> Floats:
    """Covariates ``(N * h, F)`` of the horizon filled, with those of the last row before them."""
    last = panel.futr[panel.offsets[1:] - 1]
    whole = np.concatenate([last[:, None], values.reshape(len(panel), h, -1)], axis=1)
    offsets = np.arange(len(panel) + 1) * (h + 1)
    whole = filled(whole.reshape(-1, last.shape[1]), offsets, fill)
    return whole.reshape(len(panel), h + 1, -1)[:, 1:].reshape(values.shape)
