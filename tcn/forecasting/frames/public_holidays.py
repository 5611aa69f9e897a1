"""Public holidays by country, as features of days: ``holiday_DE``, ``holiday_US_CA_before``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.extras import need

_NAME = re.compile(r"holiday_([A-Z]{2})(?:_([A-Z0-9]{1,3}))?(?:_(before|after))?")
_SHIFT = {None: 0, "before": 1, "after": -1}


class Holiday(NamedTuple):
    """What a feature's name says.

    Attributes:
        country: code of ISO 3166-1, of two letters.
        part: code of a state or region as the package ``holidays`` has it, or None.
        shift: 1 for the day before a holiday, -1 for the day after, 0 for the day itself.
    """

    country: str
    part: str | None
    shift: int


def holiday_of(name: str) -> Holiday | None:
    """The holiday that a feature is about; None for features of other kinds."""
    match = _NAME.fullmatch(name)
    return None if match is None else Holiday(match[1], match[2], _SHIFT[match[3]])


def check_holiday(name: str, holiday: Holiday) -> None:
    """Refuses countries and parts of them that are not known.

    Raises:
        ModuleNotFoundError: the package ``holidays`` is not installed.
        ValueError: the country or its part is not known; the message names those that are.
    """
    need("a calendar of holidays", "forecasting", "holidays")
    import holidays

    known = holidays.list_supported_countries()
    if holiday.country not in known:
        codes = ", ".join(sorted(code for code in known if len(code) == 2))
        raise ValueError(
            f"calendar: {name!r}: country {holiday.country!r} is not known; give one of {codes}"
        )
    if holiday.part is not None and holiday.part not in known[holiday.country]:
        parts = ", ".join(known[holiday.country]) or "none"
        raise ValueError(
            f"calendar: {name!r}: part {holiday.part!r} of {holiday.country} is not known; give "
            f"one of {parts}, or the country alone: 'holiday_{holiday.country}'"
        )


def is_holiday(index: pd.DatetimeIndex, name: str, holiday: Holiday) -> NDArray[np.float64]:
    """1 on days that are holidays, or next to one, and 0 on others, for each local time."""
    check_holiday(name, holiday)
    days = index.tz_localize(None).to_numpy().astype("datetime64[D]") + holiday.shift
    if not len(days):
        return np.zeros(0)
    years = days.astype("datetime64[Y]").astype(int) + 1970
    known = _days(holiday.country, holiday.part, int(years.min()), int(years.max()))
    return np.isin(days, known).astype(np.float64)


@lru_cache(maxsize=64)
def _days(country: str, part: str | None, first: int, last: int) -> NDArray[np.datetime64]:
    """All holidays of some years, moved ones where they are kept."""
    import holidays

    found = holidays.country_holidays(country, subdiv=part, years=range(first, last + 1))
    return np.array(sorted(found), dtype="datetime64[D]")
