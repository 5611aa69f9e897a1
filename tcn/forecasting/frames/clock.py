"""Times in UTC on the wall clock of a zone, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Integers

DAY = 24 * 3600 * 10**9  # nanoseconds


def wall_clock(times: NDArray[Any], timezone: Any) -> Integers:
    """Nanoseconds since 1970-01-01 00:00 on the wall clock of a zone, of times in UTC."""
    if timezone is None:
        return times.astype("datetime64[ns]").astype(np.int64)
    index = localized(times, timezone).tz_localize(None)
    return index.as_unit("ns").asi8


def localized(times: NDArray[Any], timezone: Any) -> pd.DatetimeIndex:
    """Times in UTC as an index of pandas in a zone; without a zone where there is none."""
    index = pd.DatetimeIndex(times)
    return index if timezone is None else index.tz_localize("UTC").tz_convert(timezone)


def from_wall_clock(local: Integers, timezone: Any) -> NDArray[Any]:
    """The inverse of :func:`wall_clock`.

    An hour that the clock skips becomes the first one after it; of one that comes twice the first
    is taken.
    """
    times = local.astype("datetime64[ns]")
    if timezone is None:
        return times
    index = pd.DatetimeIndex(times)
    first = np.ones(len(index), dtype=bool)
    index = index.tz_localize(timezone, ambiguous=first, nonexistent="shift_forward")
    return index.tz_convert("UTC").tz_localize(None).as_unit("ns").to_numpy(copy=True)


def days_of(index: pd.DatetimeIndex) -> Integers:
    """Days since 1970-01-01 of times without a zone."""
    return index.as_unit("ns").asi8 // DAY
