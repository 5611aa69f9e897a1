"""The frequency that times seem to have."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from tcn.forecasting.frames.arrays import Integers
from tcn.forecasting.frames.clock import DAY

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def most_common(values: Integers) -> int:
    """The most common of some steps."""
    # Of equally common steps the shortest, of which the others may be multiples.
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def calendar_name(days: Integers, step: int) -> str:
    """Name of the calendar frequency of days (since 1970, ascending) usually ``step`` apart."""
    dates = pd.DatetimeIndex((days * DAY).astype("datetime64[ns]"))
    if step == 1:
        weekend = (dates.day_of_week >= 5).any()
        return "D" if weekend or days[-1] - days[0] < 7 else "B"
    month = np.asarray(dates.year) * 12 + np.asarray(dates.month) - 1
    if step >= 28 and (kind := _month_kind(dates)):
        months = most_common(np.diff(month))
        if months % 12 == 0 and "-" not in kind:
            return f"{_times(months // 12)}{kind.replace('M', 'Y')}-{_MONTHS[month[-1] % 12]}"
        if months == 3 and "-" not in kind:
            # Quarters are named by the month that they begin with, or end with.
            first, names = (0, _MONTHS[:3]) if kind.endswith("S") else (2, ("DEC", "JAN", "FEB"))
            return f"{kind.replace('M', 'Q')}-{names[(month[-1] - first) % 3]}"
        return f"{_times(months)}{kind}"
    if step % 7 == 0 and len(set(dates.day_of_week)) == 1:
        return f"{_times(step // 7)}W-{_WEEKDAYS[dates.day_of_week[0]]}"
    return f"{_times(step)}D"


def _month_kind(dates: pd.DatetimeIndex) -> str | None:
    if dates.is_month_start.all():
        return "MS"
    if dates.is_month_end.all():
        return "ME"
    if len(set(dates.day)) == 1 and dates.day[0] <= 28:
        return f"MS-{dates.day[0]}"
    for name in ("BMS", "BME"):
        if all(to_offset(name).is_on_offset(date) for date in dates):
            return name
    return None


def _times(count: int) -> str:
    return "" if count == 1 else str(count)
