"""Features of the calendar by name: one channel each, on the local clock of the series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Floats
from tcn.forecasting.frames.clock import localized
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.public_holidays import check_holiday, holiday_of, is_holiday

# What is read from a time, its first value and how many there are at most.
_FIELDS: dict[str, tuple[Callable[[pd.DatetimeIndex], Any], int, int]] = {
    "second": (lambda time: time.second, 0, 60),
    "minute": (lambda time: time.minute, 0, 60),
    "hour": (lambda time: time.hour, 0, 24),
    "dayofweek": (lambda time: time.day_of_week, 0, 7),
    "dayofmonth": (lambda time: time.day, 1, 31),
    "dayofyear": (lambda time: time.day_of_year, 1, 366),
    "week": (lambda time: time.isocalendar().week.to_numpy(), 1, 53),
    "month": (lambda time: time.month, 1, 12),
    "quarter": (lambda time: time.quarter, 1, 4),
}
_WAVES = {"sin": np.sin, "cos": np.cos}
_DAY = pd.Timedelta(days=1)

# The features worth having, from the coarsest to the finest, and the longest step they serve.
_USUAL = (
    ("month", pd.Timedelta(days=92)),
    ("dayofyear", pd.Timedelta(days=7)),
    ("dayofmonth", _DAY),
    ("dayofweek", _DAY),
    ("hour", pd.Timedelta(hours=12)),
    ("minute", pd.Timedelta(minutes=30)),
    ("second", pd.Timedelta(seconds=30)),
)


def features_for(frequency: Frequency) -> tuple[str, ...]:
    """The features that vary from step to step at a frequency, scaled, not as waves.

    Hourly data has month, day of the year, of the month and of the week, and hour; monthly data
    the month; yearly and integer times nothing.
    """
    if frequency.is_integer:
        return ()
    first, second = pd.date_range("2001-01-01", periods=2, freq=frequency.offset)
    step = second - first
    return tuple(name for name, longest in _USUAL if step <= longest)


def check_features(names: Sequence[str], frequency: Frequency) -> None:
    """Refuse features that do not exist or cannot be computed.

    Raises:
        ModuleNotFoundError: a holiday is asked for and the package ``holidays`` is not installed.
        ValueError: a name is unknown, comes twice, or times are integers; or steps are longer than
            a day, and holidays are asked for.
    """
    for name in names:
        if (holiday := holiday_of(name)) is not None:
            check_holiday(name, holiday)
        else:
            _parts(name)
        if list(names).count(name) > 1:
            raise ValueError(f"calendar: {name!r} is named twice; name it once")
    if names and frequency.is_integer:
        raise ValueError(
            f"calendar: {list(names)} cannot be read from integer times; give timestamps, or leave "
            "calendar empty"
        )
    longer = [name for name in names if holiday_of(name) is not None]
    if longer and "dayofmonth" not in features_for(frequency):
        raise ValueError(
            f"calendar: {longer[0]!r} is about days, and a step is longer; give a covariate in "
            "futr_exog_list that counts the holidays of each step"
        )


def calendar_features(
    times: NDArray[Any], names: Sequence[str], timezone: str | None
) -> NDArray[np.float32]:
    """The features of each time.

    Args:
        times: ``(R,)`` ``datetime64[ns]``, in UTC where there is a zone.
        names: such as ``"hour"``, from -0.5 at the first to 0.5 at the last hour of the day, or
            ``"hour_sin"`` and ``"hour_cos"``, the wave with the period of a day. A year has 365 or
            366 days and a month 28 to 31: waves of the year and month have their true period.
            ``"holiday_DE"`` is 1 on Germany's public holidays and 0 on other days,
            ``"holiday_DE_BY"`` on those of Bavaria, ``"holiday_DE_before"`` and
            ``"holiday_DE_after"`` on the days next to them.
        timezone: whose clock is read; ``None`` where times have none.

    Returns:
        ``(R, len(names))`` float32.

    Raises:
        ValueError: a name is unknown.
    """
    features = np.empty((len(times), len(names)), dtype=np.float32)
    if not names:
        return features
    # Many series share their times: each is read once.
    codes, distinct = pd.factorize(times)
    index = localized(distinct, timezone)
    for channel, name in enumerate(names):
        features[:, channel] = _feature(index, name)[codes]
    return features


def _feature(index: pd.DatetimeIndex, name: str) -> Floats:
    if (holiday := holiday_of(name)) is not None:
        return is_holiday(index, name, holiday)
    field, wave = _parts(name)
    read, first, count = _FIELDS[field]
    value = np.asarray(read(index), dtype=np.float64) - first
    if wave is None:
        return value / (count - 1) - 0.5
    period: Any = count
    if field == "dayofyear":
        period = 365 + np.asarray(index.is_leap_year)
    elif field == "dayofmonth":
        period = np.asarray(index.days_in_month)
    return np.asarray(_WAVES[wave](2 * np.pi * value / period))


def _parts(name: str) -> tuple[str, str | None]:
    """A feature's field and its wave, if it is one."""
    if name in _FIELDS:
        return name, None
    field, _, wave = name.rpartition("_")
    if field in _FIELDS and wave in _WAVES:
        return field, wave
    raise ValueError(
        f"calendar: {name!r} is not known; give {', '.join(_FIELDS)}, scaled to -0.5 to 0.5, one "
        "of them followed by _sin or _cos, or a country's holidays, such as holiday_DE, "
        "holiday_US_CA or holiday_FR_before"
    )
