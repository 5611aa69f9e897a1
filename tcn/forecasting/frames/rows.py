"""The rows of a long frame as arrays, and the checks that make them a panel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Booleans, Floats, Integers
from tcn.forecasting.frames.clock import localized
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.ids import read_ids, shown_rows
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.reading import SHOWN, read_columns, read_numbers, read_times

Missing = Literal["raise", "mask"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """Rows of many series.

    Attributes:
        argument: what the caller named the frame, for messages.
        columns: names of the columns.
        names: ``(V,)`` those of ``values``.
        ids: ``(N,)`` in the order in which they first appear.
        series: ``(R,)`` int64, index into ``ids``; ascending once sorted.
        times: ``(R,)`` ``datetime64[ns]`` in UTC, or int64.
        values: ``(R, V)`` float64, NaN where missing.
        timezone: name of the zone of the caller's times.
        unit: unit of the caller's timestamps.
    """

    argument: str
    columns: Columns
    names: tuple[str, ...]
    ids: NDArray[Any]
    series: Integers
    times: NDArray[Any]
    values: Floats
    timezone: str | None
    unit: str | None

    @classmethod
    def read(cls, df: Any, columns: Columns, names: Sequence[str], argument: str) -> Rows:
        """Read the columns that are needed, and copy them.

        Raises:
            TypeError: ``df`` is not a frame, or a column has the wrong type.
            ValueError: a column, an id or a time is absent, or a value is infinite.
        """
        read = read_columns(df, (columns.id, columns.time, *names), argument)
        series, ids = read_ids(read[columns.id], columns.id, argument)
        times, timezone, unit = read_times(read[columns.time], columns.time, argument)
        values = np.empty((len(series), len(names)))
        for position, name in enumerate(names):
            values[:, position] = read_numbers(read[name], name, argument)
        rows = cls(argument, columns, tuple(names), ids, series, times, values, timezone, unit)
        rows.refuse(np.isinf(values), "infinite", "replace the values or drop the series")
        return rows

    @property
    def offsets(self) -> Integers:
        """``(N + 1,)`` where each series begins and ends, of sorted rows."""
        counts = np.bincount(self.series, minlength=len(self.ids))
        return np.concatenate(([0], np.cumsum(counts)))

    def sorted(self, *, told: bool = True) -> Rows:
        """Series by series in order of time; says so where a series was out of order.

        Raises:
            ValueError: a series has two rows of one time.
        """
        rows = self
        by_series = np.argsort(self.series, kind="stable")
        if not np.array_equal(by_series, np.arange(len(by_series))):
            rows = rows.at(by_series)
        back = rows.same_series() & (rows.times[1:] < rows.times[:-1])
        if back.any():
            count = len(np.unique(rows.series[1:][back]))
            if told:
                warn(
                    f"{self.argument}: the rows of {count} of {len(self.ids)} series are not in "
                    "order of time; a sorted copy is used",
                )
            rows = rows.at(np.lexsort((rows.times, rows.series)))
        doubled = 1 + np.flatnonzero(rows.same_series() & (rows.times[1:] == rows.times[:-1]))
        if len(doubled):
            cure = "keep one of each (DataFrame.drop_duplicates, or a mean by groupby)"
            if self.timezone is None and self.times.dtype.kind == "M":
                cure += (
                    "; if it is the hour that comes twice when summer time ends, give the times "
                    "their zone: Series.dt.tz_localize('Europe/Paris', ambiguous='infer')"
                )
            raise ValueError(
                f"{self.argument}: {len(doubled)} rows have the id and time of another one: "
                f"{rows.shown(doubled)}; {cure}"
            )
        return rows

    def frequency(self) -> Frequency:
        """The frequency inferred from sorted rows."""
        return Frequency.infer(self.times, self.offsets, self.timezone)

    def check_zone(self, timezone: str | None, kind: str) -> None:
        """Refuse times that cannot be compared with those of another frame.

        Args:
            timezone: of the other frame.
            kind: ``"M"`` for timestamps, ``"i"`` for integers.

        Raises:
            ValueError: one has integers, or a time zone, and the other does not.
        """
        if kind == self.times.dtype.kind and (timezone is None) == (self.timezone is None):
            return

        def named(kind: str, zone: str | None) -> str:
            place = f"in {zone}" if zone else "without a zone"
            return "integers" if kind == "i" else f"timestamps {place}"

        cure = f"give {named(kind, timezone)}"
        if kind == self.times.dtype.kind:
            zone = None if timezone is None else repr(timezone)
            cure += f": Series.dt.tz_localize({zone})"
        raise ValueError(
            f"{self.argument}: column {self.columns.time!r} holds "
            f"{named(self.times.dtype.kind, self.timezone)}, the series have "
            f"{named(kind, timezone)}; {cure}"
        )

    def of_series(self, ids: NDArray[Any]) -> Rows:
        """The rows of the series ``ids``, numbered as there; those of others are left out."""
        code = pd.Index(ids).get_indexer(pd.Index(self.ids))[self.series]
        return replace(self, ids=ids, series=code).at(np.flatnonzero(code >= 0))

    def last(self, series: Integers, times: NDArray[Any]) -> Integers:
        """The last row of each series up to and with a time, ``(M,)``, or -1; of sorted rows."""
        here, times = self.times.astype(np.int64), times.astype(np.int64)
        grid = np.unique(here)
        key = self.series * (len(grid) + 1) + np.searchsorted(grid, here, side="right")
        wanted = series * (len(grid) + 1) + np.searchsorted(grid, times, side="right")
        last = np.searchsorted(key, wanted, side="right") - 1
        return np.where(last >= self.offsets[series], last, -1)

    def find(self, series: Integers, times: NDArray[Any]) -> Integers:
        """Where the row of each series and time is, ``(M,)``, or -1; of sorted rows."""
        if not len(self.times):
            return np.full(len(series), -1)
        last = self.last(series, times)
        return np.where(self.times[last] == times, last, -1)

    def same_series(self) -> Booleans:
        """``(R - 1,)`` whether a row belongs to the series of the one before it."""
        return self.series[1:] == self.series[:-1]

    def at(self, rows: Integers) -> Rows:
        """The rows of these numbers."""
        return replace(
            self, series=self.series[rows], times=self.times[rows], values=self.values[rows]
        )

    def of(self, keep: Booleans) -> Rows:
        """The rows of some of the series."""
        number = np.cumsum(keep) - 1
        rows = self.at(np.flatnonzero(keep[self.series]))
        return replace(rows, ids=self.ids[keep], series=number[rows.series])

    def refuse(self, wrong: Booleans, what: str, cure: str) -> None:
        """Raises what is wrong with some values, ``(R, V)``, if there are any."""
        for position in np.flatnonzero(wrong.any(axis=0)):
            rows = np.flatnonzero(wrong[:, position])
            raise ValueError(
                f"{self.argument}: column {self.names[position]!r} is {what} in {len(rows)} rows: "
                f"{self.shown(rows)}; {cure}"
            )

    def shown(self, rows: Integers) -> str:
        """Series and times of some rows, for a message."""
        some = rows[:SHOWN]
        times: Any = self.times[some]
        if times.dtype.kind == "M":
            times = localized(times, self.timezone)
        return shown_rows(self.columns, self.ids[self.series[some]], times, total=len(rows))
