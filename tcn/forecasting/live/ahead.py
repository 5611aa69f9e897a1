"""The steps that follow on a stream, and their calendar: computed for many steps at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.calendar import calendar_features
from tcn.forecasting.frames.clock import DAY, wall_clock
from tcn.forecasting.frames.panel import Panel

AT_ONCE = 256
MOST = 2**16


class Steps(NamedTuple):
    """A time and those that follow it, from ``begin`` on in longer arrays.

    Attributes:
        times: ``(M,)`` in UTC, or integers.
        calendar: ``(M, features)`` of these times.
        begin: where the time is; ``begin + 1`` is the first that follows.
    """

    times: NDArray[Any]
    calendar: NDArray[np.float32]
    begin: int


class Ahead:
    """What follows a time of a stream.

    A call of pandas takes as long for one time as for hundreds, and a stream asks for the next
    step after every row: one row in :data:`AT_ONCE` is asked for, the others are looked up.
    """

    def __init__(self, history: Panel, calendar: tuple[str, ...]) -> None:
        """Remembers nothing yet.

        Args:
            history: whose frequency and time zone it is.
            calendar: names of the features.
        """
        self._frequency, self._timezone = history.frequency, history.timezone
        self._dtype, self._calendar = history.times.dtype, calendar
        self._known: dict[int, Steps] = {}

    def after(self, time: Any, horizon: int) -> Steps:
        """At least ``horizon`` steps after a time."""
        now = np.array([time], dtype=self._dtype)
        found = self._known.get(int(now.astype(np.int64)[0]))
        if found is None or found.begin + horizon >= len(found.times):
            try:
                found = self._steps(now, horizon + AT_ONCE)
            except pd.errors.OutOfBoundsDatetime:  # so many years end after 2262
                found = self._steps(now, horizon)
        return found

    def _steps(self, now: NDArray[Any], count: int) -> Steps:
        following = self._frequency.after(now, count, self._timezone)[0]
        times = np.concatenate([now, following])
        found = Steps(times, calendar_features(times, self._calendar, self._timezone), 0)
        for part in (found.times, found.calendar):  # views of them are handed out
            part.flags.writeable = False
        if len(self._known) > MOST:
            self._known.clear()
        places: Any = range(min(AT_ONCE, len(times)))
        if self._timezone is not None and self._frequency.on_wall_clock:
            # After an hour that the clock skipped, the steps go on from the hour it became.
            hour = wall_clock(times, self._timezone) % DAY
            places = np.flatnonzero(hour[:AT_ONCE] == hour[0]).tolist()
        numbers = times.astype(np.int64).tolist()
        for place in places:
            self._known[numbers[place]] = found._replace(begin=place)
        return found
