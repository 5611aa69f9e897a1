"""Dates written as one number, such as 202312: found among integer times, whose steps they break.

After 202312 comes 202401 in a calendar, and 202313 among integers. Numbers that count something
else may look like dates, so all must be dates, and one of two signs is asked for:

- a step into the next year, month or day is not the usual one, such as 89 after steps of 1;
- or the next steps lead to numbers that are not dates, such as 202313, where few numbers are.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from tcn.forecasting.frames.arrays import Booleans, Integers

AHEAD = 60
"""Steps that are looked ahead: an hour of minutes."""

_YEAR, _MONTH = "(?:19|20)[0-9]{2}", "(?:0[1-9]|1[0-2])"
_DAY, _HOUR = "(?:0[1-9]|[12][0-9]|3[01])", "(?:[01][0-9]|2[0-3])"
_DAY_OF_YEAR = "(?:00[1-9]|0[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-6])"


class Written(NamedTuple):
    """A way to write dates as numbers.

    Attributes:
        kind: what a number stands for.
        pattern: of all such numbers.
        last: size of the last part: 100 for months, of which 1 to 12 are used.
        rare: whether few numbers of as many digits are such dates.
        read: how a column ``{}`` is read.
    """

    kind: str
    pattern: str
    last: int
    rare: bool
    read: str


_TEXT = "pandas.to_datetime({}.astype(str), format="
WAYS = (
    Written("months", f"{_YEAR}{_MONTH}", 100, True, f"{_TEXT}'%Y%m')"),
    Written("days", f"{_YEAR}{_MONTH}{_DAY}", 100, True, f"{_TEXT}'%Y%m%d')"),
    Written("hours", f"{_YEAR}{_MONTH}{_DAY}{_HOUR}", 100, True, f"{_TEXT}'%Y%m%d%H')"),
    Written(
        "minutes", f"{_YEAR}{_MONTH}{_DAY}{_HOUR}[0-5][0-9]", 100, True, f"{_TEXT}'%Y%m%d%H%M')"
    ),
    Written(
        "weeks", f"{_YEAR}(?:0[1-9]|[1-4][0-9]|5[0-3])", 100, False,
        "pandas.to_datetime({}.astype(str) + '1', format='%G%V%u')",
    ),
    Written(
        "days of the year", f"{_YEAR}{_DAY_OF_YEAR}", 1000, False, f"{_TEXT}'%Y%j')",
    ),
    Written(
        "quarters", f"{_YEAR}[1-4]", 10, False,
        "pandas.to_datetime(({0} // 10 * 100 + {0} % 10 * 3 - 2).astype(str), format='%Y%m')",
    ),
)  # fmt: skip


def written_dates(numbers: Integers, same_series: Booleans) -> Written | None:
    """The way in which integer times are dates, if they are.

    Args:
        numbers: ``(R,)`` times, series by series, ascending within each.
        same_series: ``(R - 1,)`` whether a row belongs to the series of the one before it.
    """
    steps = np.diff(numbers)[same_series]
    if not len(steps):
        return None
    found, counts = np.unique(steps, return_counts=True)
    usual = int(found[counts.argmax()])
    for way in WAYS:
        ends = (int(numbers.min()), int(numbers.max()))
        if not all(_is(way, number) for number in ends):
            continue
        if not all(_is(way, number) for number in np.unique(numbers).tolist()):
            continue
        crossing = np.diff(numbers // way.last)[same_series] != 0
        if (steps[crossing] != usual).any():
            return way
        following = ends[1] + usual * np.arange(1, AHEAD + 1)
        regular = usual % way.last == 0  # such as once a year
        if way.rare and not regular and not all(_is(way, number) for number in following.tolist()):
            return way
    return None


def _is(way: Written, number: int) -> bool:
    return re.fullmatch(way.pattern, str(number)) is not None
