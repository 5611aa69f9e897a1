"""The rows of a long frame as arrays, and the checks that make them a panel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.advice import (
    WORKING_DAYS,
    absent_rows,
    against_missing,
    against_off_grid,
    refuse_flood,
    skips_weekends,
)
from tcn.forecasting.frames.arrays import Booleans, Floats, Integers
from tcn.forecasting.frames.clock import localized
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.gaps import Fill, gaps, without_gaps
from tcn.forecasting.frames.ids import read_ids, shown, shown_rows
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.reading import SHOWN, read_columns, read_numbers, read_times
from tcn.forecasting.frames.written_dates import written_dates

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
        rows._refuse(np.isinf(values), "infinite", "replace the values or drop the series")
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
        back = rows._same_series() & (rows.times[1:] < rows.times[:-1])
        if back.any():
            count = len(np.unique(rows.series[1:][back]))
            if told:
                warn(
                    f"{self.argument}: the rows of {count} of {len(self.ids)} series are not in "
                    "order of time; a sorted copy is used",
                )
            rows = rows.at(np.lexsort((rows.times, rows.series)))
        doubled = 1 + np.flatnonzero(rows._same_series() & (rows.times[1:] == rows.times[:-1]))
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

    def check_dates(self) -> None:
        """Refuse integer times, of sorted rows, that are dates written as numbers.

        Raises:
            ValueError: they are, with the call that reads them.
        """
        way = None
        if self.times.dtype.kind == "i":
            way = written_dates(self.times, self._same_series())
        if way is not None:
            read = way.read.format(f"df[{self.columns.time!r}]")
            raise ValueError(
                f"{self.argument}: column {self.columns.time!r} holds {way.kind} written as "
                f"numbers, {self.times.min()} to {self.times.max()}, whose steps are not those of "
                f"integers; use {read}, or, if they are not dates, subtract the first of them"
            )

    def frequency(self) -> Frequency:
        """The frequency inferred from sorted rows."""
        return Frequency.infer(self.times, self.offsets, self.timezone)

    def regular(self, frequency: Frequency, *, absent_allowed: bool) -> Rows:
        """Sorted rows with one at every step; what was absent is NaN.

        Raises:
            ValueError: rows lie off the grid, or are absent and that is not allowed.
        """
        if frequency.is_integer != (self.times.dtype.kind == "i"):
            kind = "integers" if self.times.dtype.kind == "i" else "timestamps"
            cure = "an integer such as 1" if kind == "integers" else "a name such as 'h' or 'MS'"
            raise ValueError(
                f"freq: {frequency.freq!r} does not fit the column {self.columns.time!r}, which "
                f"holds {kind}; give {cure}"
            )
        offsets = self.offsets
        steps, on_grid = frequency.steps(self.times, offsets, self.timezone)
        if not on_grid.all():
            off = np.flatnonzero(~on_grid)
            raise ValueError(
                f"{self.argument}: {len(off)} rows are not a whole number of steps of "
                f"freq={frequency.freq!r} after the first row of their series: {self.shown(off)}; "
                f"{against_off_grid(self, frequency)}, or bring the rows to a regular grid "
                "(DataFrame.resample)"
            )
        before = gaps(steps)
        if not len(before):
            return self
        if not absent_allowed:
            raise ValueError(absent_rows(self, frequency, steps, before))
        refuse_flood(self, frequency, steps, before)
        regular = without_gaps(self.times, steps, offsets, frequency, self.timezone)
        if skips_weekends(self, frequency):
            warn(
                f"{self.argument}: no row falls on a Saturday or Sunday; with freq="
                f"{frequency.freq!r} these are put in as missing, and forecast. {WORKING_DAYS}"
            )
        added = len(regular.times) - len(self.times)
        _LOG.info("%s: %d rows were absent, in %d gaps", self.argument, added, len(before))
        return replace(
            self,
            series=np.repeat(np.arange(len(self.ids)), np.diff(regular.offsets)),
            times=regular.times,
            values=regular.spread(self.values),
        )

    def without_empty_series(self) -> Rows:
        """Series of which every target is missing are left out, with a warning.

        Raises:
            ValueError: no series is left.
        """
        known = ~np.isnan(self.values[:, : len(self.columns.target)]).all(axis=1)
        keep = np.bincount(self.series, weights=known, minlength=len(self.ids)) > 0
        if keep.all():
            return self
        if not keep.any():
            raise ValueError(
                f"{self.argument}: {list(self.columns.target)} is missing in every row of every "
                "series; there is nothing to learn from"
            )
        warn(
            f"{self.argument}: {(~keep).sum()} series are left out, for "
            f"{list(self.columns.target)} is missing in all their rows: {shown(self.ids[~keep])}",
        )
        return self._of(keep)

    def check_missing(self, missing: Missing, fill: Fill | None = None) -> None:
        """Refuse NaN unless they are to be masked.

        Args:
            missing: ``"mask"`` where they are.
            fill: how the others have been filled.

        Raises:
            ValueError: there are some, naming column, rows and what helps.
        """
        absent = np.isnan(self.values)
        if missing == "raise" and absent.any():
            column = int(absent.any(axis=0).argmax())
            first = np.zeros_like(absent)
            first[:, column] = absent[:, column]
            self._refuse(first, "missing", against_missing(self, absent[:, [column]], fill))
        elif absent.any():
            counts = dict(zip(self.names, absent.sum(axis=0).tolist(), strict=True))
            _LOG.info("%s: missing values by column: %s", self.argument, counts)

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

    def find(self, series: Integers, times: NDArray[Any]) -> Integers:
        """Where the row of each series and time is, ``(M,)``, or -1; of sorted rows."""
        grid = np.unique(np.concatenate((self.times, times)))
        width = np.int64(len(grid))
        here = self.series * width + np.searchsorted(grid, self.times)
        wanted = series * width + np.searchsorted(grid, times)
        if not len(here):
            return np.full(len(wanted), -1)
        found = np.searchsorted(here, wanted).clip(max=len(here) - 1)
        return np.where(here[found] == wanted, found, -1)

    def _same_series(self) -> Booleans:
        return self.series[1:] == self.series[:-1]

    def at(self, rows: Integers) -> Rows:
        """The rows of these numbers."""
        return replace(
            self, series=self.series[rows], times=self.times[rows], values=self.values[rows]
        )

    def _of(self, keep: Booleans) -> Rows:
        number = np.cumsum(keep) - 1
        rows = self.at(np.flatnonzero(keep[self.series]))
        return replace(rows, ids=self.ids[keep], series=number[rows.series])

    def _refuse(self, wrong: Booleans, what: str, cure: str) -> None:
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
