"""Steps of time: how far one row lies from the next, and which rows come after the last.

Times are UTC. Steps of seconds to hours are counted there, so that a day has 23 or 25 hours where
the clocks change. Days, weeks, months and the like are counted on the wall clock of the series'
time zone: a daily series keeps its local hour.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from tcn.forecasting.frames.arrays import Booleans, Integers
from tcn.forecasting.frames.clock import DAY, days_of, from_wall_clock, wall_clock
from tcn.forecasting.frames.inference import calendar_name, most_common

_DAY_OF_MONTH = re.compile(r"(?:[1-9]\d*)?MS-([2-9]|1\d|2[0-8])")
EXAMPLES = "'h', '15min', 'D', 'W-SUN', 'MS', 'QS' or, for integer times, 1"
# Steps after which a calendar frequency is expected to repeat: a week or a year.
_SEASONS = {"D": 7, "B": 5, "C": 5, "W": 52}
_SEASONS |= dict.fromkeys(("MS", "ME", "BMS", "BME"), 12) | dict.fromkeys(("SMS", "SME"), 24)
_SEASONS |= dict.fromkeys(("QS", "QE", "BQS", "BQE"), 4)


@dataclass(frozen=True)
class Frequency:
    """The step from one row to the next.

    Attributes:
        freq: an integer for integer times, otherwise a name of pandas, such as ``"h"`` or ``"MS"``;
            or ``"MS-15"``, which pandas has no name for: the 15th of every month.
    """

    freq: str | int

    @classmethod
    def given(cls, freq: Any) -> Frequency:
        """The frequency a user named.

        Args:
            freq: a name or offset of pandas, ``"MS-2"`` to ``"MS-28"`` for a day of the month, or
                an integer of at least 1 for integer times.

        Raises:
            ValueError: pandas does not know the name, or it is not a regular step forward.
            TypeError: it is neither a name, an offset nor an integer.
        """
        if isinstance(freq, int | np.integer) and not isinstance(freq, bool):
            if freq < 1:
                raise ValueError(f"freq: {freq} must be at least 1, the step of integer times")
            return cls(int(freq))
        if isinstance(freq, Frequency):
            return freq
        if not isinstance(freq, str | pd.offsets.BaseOffset | pd.Timedelta):
            raise TypeError(f"freq: {freq!r} is not the name of a frequency; give {EXAMPLES}")
        if isinstance(freq, str) and _DAY_OF_MONTH.fullmatch(freq):
            return cls(freq)
        try:
            offset = to_offset(freq)
            name = offset.freqstr
            if to_offset(name) != offset:
                raise ValueError("it has no name that can be stored")
        except ValueError as error:
            raise ValueError(f"freq: {freq!r} is not usable: {error}; give {EXAMPLES}") from error
        if offset.n < 1:
            raise ValueError(f"freq: {freq!r} steps backwards; give {EXAMPLES}")
        if isinstance(offset, pd.offsets.BusinessHour):
            raise ValueError(
                f"freq: {freq!r}: hours of business are not supported; number the rows "
                "0, 1, 2, ... and give freq=1"
            )
        return cls(name)

    @classmethod
    def infer(cls, times: NDArray[Any], offsets: Integers, timezone: str | None) -> Frequency:
        """The most common step inside the series; gaps do not hide it.

        Args:
            times: ``(R,)`` ascending within each series, ``datetime64[ns]`` in UTC or ``int64``.
            offsets: ``(N + 1,)``, the rows of series ``i`` are ``offsets[i]:offsets[i + 1]``.
            timezone: the zone whose wall clock days and months follow; ``None``: none.

        Raises:
            ValueError: no series has two rows.
        """
        inside = np.ones(max(len(times) - 1, 0), dtype=bool)
        inside[offsets[1:-1] - 1] = False
        if not inside.any():
            raise ValueError(
                f"freq: it cannot be inferred, for no series has two rows; give freq={EXAMPLES}"
            )
        position: Integers = times.astype(np.int64)
        step = most_common(np.diff(position)[inside])
        if times.dtype.kind == "i":
            return cls(step)
        local = wall_clock(times, timezone)
        local_step = most_common(np.diff(local)[inside])
        if step < DAY or local_step % DAY:
            return cls.given(pd.Timedelta(step, unit="ns"))
        return cls(calendar_name(np.unique(local // DAY), local_step // DAY))

    @property
    def is_integer(self) -> bool:
        """Whether times are integers."""
        return isinstance(self.freq, int)

    @property
    def on_wall_clock(self) -> bool:
        """Whether steps are counted on the wall clock of the series, as days and months are."""
        return not self.is_integer and self._nanoseconds is None

    @property
    def season(self) -> int:
        """Steps of the usual season: a day of minutes or hours, a week of days, a year of months.

        1 if there is no season: integer and yearly times, or a step that does not divide it.
        """
        if isinstance(self.freq, int):
            return 1
        if self._nanoseconds is not None:
            second = 10**9
            # A day, from minutes up; an hour of seconds; a second of anything finer.
            period = DAY if self._nanoseconds >= 60 * second else 3600 * second
            period = period if self._nanoseconds >= second else second
            return _whole(period, self._nanoseconds)
        name = self.offset.base.freqstr.split("-")[0]
        return _whole(_SEASONS.get(name, 1), self.offset.n)

    def steps(
        self, times: NDArray[Any], offsets: Integers, timezone: str | None
    ) -> tuple[Integers, Booleans]:
        """Steps of every row since the first row of its series, and whether it lies on the grid.

        Args:
            times: ``(R,)`` ascending within each series, as in :meth:`infer`.
            offsets: ``(N + 1,)``; no series is empty.
            timezone: as in :meth:`infer`.

        Returns:
            ``(R,)`` steps, rounded down where the row is off the grid, and ``(R,)`` booleans.
        """
        if self.is_integer or self._nanoseconds is not None:
            position = times.astype(np.int64)
            on_grid = np.ones(len(times), dtype=bool)
            unit = self.freq if isinstance(self.freq, int) else self._nanoseconds or 1
        else:
            position, on_grid = self._calendar_positions(times, offsets, timezone)
            unit = self._days or self.offset.n
        since = position - np.repeat(position[offsets[:-1]], np.diff(offsets))
        return since // unit, on_grid & (since % unit == 0)

    def advance(
        self, times: NDArray[Any], steps: NDArray[Any], timezone: str | None
    ) -> NDArray[Any]:
        """Every time moved forward by its own number of steps.

        Args:
            times: ``(M,)``, as in :meth:`infer`, on the grid.
            steps: ``(M,)`` of at least 0.
            timezone: as in :meth:`infer`.

        Returns:
            ``(M,)`` times of the same kind. A local hour that the clock skips becomes the first
            one after it; of an hour that comes twice the first is taken.
        """
        if isinstance(self.freq, int):
            return times + steps * self.freq
        if self._nanoseconds is not None:
            return times + (steps * self._nanoseconds).astype("timedelta64[ns]")
        local = wall_clock(times, timezone)
        days, hour = local // DAY, local % DAY
        if self._days is not None:
            days = days + steps * self._days
        elif len(days):
            grid = self._grid(days.min(), days.max())
            need = len(grid) + int(steps.max()) * self.offset.n
            start = pd.Timestamp((days.min() - self._day) * DAY)
            grid = days_of(pd.date_range(start, periods=need, freq=self.offset.base)) + self._day
            days = grid[np.searchsorted(grid, days) + steps * self.offset.n]
        return from_wall_clock(days * DAY + hour, timezone)

    def after(self, last: NDArray[Any], steps: int, timezone: str | None) -> NDArray[Any]:
        """The next times of many series at once, ``(N,)`` last times to ``(N, steps)``."""
        ahead = np.arange(1, steps + 1)
        if self.is_integer or self._nanoseconds is not None:
            return self.advance(last[:, None], ahead, timezone)
        ahead = np.tile(ahead, len(last))
        return self.advance(np.repeat(last, steps), ahead, timezone).reshape(len(last), steps)

    @cached_property
    def offset(self) -> Any:
        """The step as an offset of pandas, of which ``MS-15`` is counted from the first on."""
        return to_offset(str(self.freq).partition("MS-")[0] + "MS" if self._day else self.freq)

    @cached_property
    def _day(self) -> int:
        """Days from the first of the month to the one that is meant."""
        found = _DAY_OF_MONTH.fullmatch(str(self.freq))
        return 0 if found is None else int(found[1]) - 1

    @cached_property
    def _nanoseconds(self) -> int | None:
        """Length of a step that is the same on every day."""
        offset = self.offset
        # pandas 2 holds a day for 24 hours, pandas 3 for a day of the calendar, as we do.
        if isinstance(offset, pd.offsets.Tick) and not isinstance(offset, pd.offsets.Day):
            return int(offset.nanos)
        return None

    @cached_property
    def _days(self) -> int | None:
        """Length of a step in days, where it has one."""
        if isinstance(self.offset, pd.offsets.Day):
            return int(self.offset.n)
        return 7 * int(self.offset.n) if isinstance(self.offset, pd.offsets.Week) else None

    def _calendar_positions(
        self, times: NDArray[Any], offsets: Integers, timezone: str | None
    ) -> tuple[Integers, Booleans]:
        local = wall_clock(times, timezone)
        days, hour = local // DAY, local % DAY
        # The local hour of a series; where the clock skips it, a row comes later in the day.
        usual = np.repeat(np.minimum.reduceat(hour, offsets[:-1]), np.diff(offsets))
        on_grid = hour == usual
        moved = np.flatnonzero(~on_grid)
        if timezone is not None and len(moved):
            expected = from_wall_clock(days[moved] * DAY + usual[moved], timezone)
            on_grid[moved] = expected == times[moved]
        if self._days is not None:
            weekday = getattr(self.offset, "weekday", None)
            if weekday is not None:  # day 0, 1970-01-01, was a Thursday
                on_grid &= (days + 3) % 7 == weekday
            return days, on_grid
        grid = self._grid(days.min(), days.max())
        if not len(grid):
            return days, np.zeros(len(days), dtype=bool)
        index = np.searchsorted(grid, days).clip(max=len(grid) - 1)
        return index, on_grid & (grid[index] == days)

    def _grid(self, first: int, last: int) -> Integers:
        """The days from ``first`` to ``last`` on which one step of the base frequency ends."""
        start, end = (pd.Timestamp((int(day) - self._day) * DAY) for day in (first, last))
        return days_of(pd.date_range(start, end, freq=self.offset.base)) + self._day


def _whole(period: int, step: int) -> int:
    return period // step if period % step == 0 else 1
