"""What may help against what is wrong with the rows of a frame, for messages."""

from __future__ import annotations

import numpy as np

from tcn.forecasting.frames.arrays import Booleans, Integers
from tcn.forecasting.frames.clock import DAY, wall_clock
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.gaps import Fill, filled
from tcn.forecasting.frames.reading import SHOWN
from tcn.forecasting.frames.rows import Rows

MOST_ABSENT = 100  # rows put in per row given
HOUR = 3600 * 10**9  # nanoseconds
WORKING_DAYS = (
    "If there are none: for working days give freq='B'; for their hours number the rows 0, 1, 2, "
    "... and give freq=1"
)


def against_missing(rows: Rows, absent: Booleans, fill: Fill | None) -> str:
    """What helps against missing values of a column, ``(R, 1)``, that are left."""
    if rows.argument != "df":  # there is a past before them
        if fill is None:
            return "give them, or pass missing='mask' or fill='forward' to the Forecaster"
        return f"fill={fill!r} cannot fill them; give them, or pass fill='forward'"
    known = np.where(absent, np.nan, 0.0)
    leading = np.isnan(filled(known, rows.offsets, "forward"))[absent]
    if fill == "interpolate":
        return (
            "fill='interpolate' has no value on both sides of them; drop these first or last "
            "rows of their series, or pass missing='mask'"
        )
    if leading.all():
        nothing = "" if fill is None else f"fill={fill!r} has no value before them to repeat; "
        return f"{nothing}drop these first rows of their series, or pass missing='mask'"
    if leading.any():
        return (
            "pass missing='mask', or drop the first rows of the series in which nothing came "
            "yet and pass fill='forward' for the others"
        )
    return "pass missing='mask', or fill='forward', 'zero' or 'interpolate'"


def against_off_grid(rows: Rows, frequency: Frequency) -> str:
    """What may help where rows lie off the grid of a frequency."""
    if rows.argument != "df":
        return "bring them to the steps of the training"
    found = rows.frequency()
    if found != frequency and found.steps(rows.times, rows.offsets, rows.timezone)[1].all():
        return f"give freq={found.freq!r}, which they fit"
    hours = np.unique(wall_clock(rows.times, rows.timezone) % DAY)
    if frequency.on_wall_clock and len(hours) == 2 and np.diff(hours)[0] in (HOUR, DAY - HOUR):
        zone = "tz_localize('UTC').dt.tz_convert" if rows.timezone is None else "tz_convert"
        return (
            "if they are midnights of another time zone, whose clocks change, bring them back "
            f"to it: Series.dt.{zone}('Europe/Paris'); otherwise give another freq"
        )
    return "give another freq"


def skips_weekends(rows: Rows, frequency: Frequency) -> bool:
    """Whether rows of every hour or day leave all weekends out."""
    if frequency.is_integer or rows.times.dtype.kind != "M":
        return False
    days = wall_clock(rows.times, rows.timezone) // DAY
    daily = not frequency.on_wall_clock or frequency.freq == "D"
    # Day 0, 1970-01-01, was a Thursday.
    return daily and days.max() - days.min() >= 7 and bool(((days + 3) % 7 < 5).all())


def absent_rows(rows: Rows, frequency: Frequency, steps: Integers, before: Integers) -> str:
    """Where rows are absent, and what helps: the message of an error.

    Args:
        rows: sorted.
        frequency: of their steps.
        steps: ``(R,)`` of each row since the first of its series.
        before: the rows before which others are absent.
    """
    absent = steps[before] - steps[before - 1] - 1
    counts = ", ".join(str(count) for count in absent[:SHOWN])
    hint = ""
    if rows.timezone is None and frequency.freq == "h" and (absent == 1).all():
        hint = (
            "; if these are hours that the clock skips when summer time begins, give the times "
            "their zone with Series.dt.tz_localize"
        )
    if skips_weekends(rows, frequency):
        hint += f". No row falls on a Saturday or Sunday. {WORKING_DAYS}"
    return (
        f"{rows.argument}: {absent.sum()} rows of freq={frequency.freq!r} are absent in "
        f"{len(before)} gaps, before {rows.shown(before[:SHOWN])} ({counts} rows); pass "
        "missing='mask' or fill='forward', 'zero' or 'interpolate', or give another freq"
        f"{hint}"
    )


def refuse_flood(rows: Rows, frequency: Frequency, steps: Integers, before: Integers) -> None:
    """A wrong time, or a freq far too fine, would fill the memory with absent rows.

    Args:
        rows: see :func:`absent_rows`, as for the others.
        frequency: of their steps.
        steps: of each row.
        before: the rows before which others are absent.

    Raises:
        ValueError: if far more rows would be put in than there are.
    """
    absent = steps[before] - steps[before - 1] - 1
    if absent.sum() <= MOST_ABSENT * len(steps) + 10**6:
        return
    longest = before[[absent.argmax()]]
    raise ValueError(
        f"{rows.argument}: with freq={frequency.freq!r}, {absent.sum()} rows would be put in "
        f"between {len(steps)}, {absent.max()} of them before {rows.shown(longest)}; check this "
        "time, or give a coarser freq"
    )
