"""Sorted rows at regular steps, with what is missing told of, filled or left out."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from tcn.forecasting.frames.advice import (
    WORKING_DAYS,
    absent_rows,
    against_missing,
    against_off_grid,
    refuse_flood,
    skips_weekends,
)
from tcn.forecasting.frames.arrays import Integers
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.gaps import Fill, filled, gaps
from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.rows import Missing, Rows
from tcn.forecasting.frames.written_dates import written_dates

_LOG = logging.getLogger(__name__)


def completed(rows: Rows, frequency: Frequency, missing: Missing, fill: Fill | None) -> Rows:
    """Sorted rows with one at every step, filled as asked.

    Raises:
        ValueError: see :func:`regular`.
    """
    rows = regular(rows, frequency, absent_allowed=missing == "mask" or fill is not None)
    if fill is None:
        return rows
    return replace(rows, values=filled(rows.values, rows.offsets, fill))


def check_dates(rows: Rows) -> None:
    """Refuse integer times, of sorted rows, that are dates written as numbers.

    Raises:
        ValueError: they are, with the call that reads them.
    """
    way = None
    if rows.times.dtype.kind == "i":
        way = written_dates(rows.times, rows.same_series())
    if way is not None:
        read = way.read.format(f"df[{rows.columns.time!r}]")
        raise ValueError(
            f"{rows.argument}: column {rows.columns.time!r} holds {way.kind} written as "
            f"numbers, {rows.times.min()} to {rows.times.max()}, whose steps are not those of "
            f"integers; use {read}, or, if they are not dates, subtract the first of them"
        )


def regular(rows: Rows, frequency: Frequency, *, absent_allowed: bool) -> Rows:
    """Sorted rows with one at every step; what was absent is NaN.

    Raises:
        ValueError: rows lie off the grid, or are absent and that is not allowed.
    """
    steps = _steps(rows, frequency)
    before = gaps(steps)
    if not len(before):
        return rows
    if not absent_allowed:
        raise ValueError(absent_rows(rows, frequency, steps, before))
    refuse_flood(rows, frequency, steps, before)
    if skips_weekends(rows, frequency):
        warn(
            f"{rows.argument}: no row falls on a Saturday or Sunday; with freq="
            f"{frequency.freq!r} these are put in as missing, and forecast. {WORKING_DAYS}"
        )
    every = _every_step(rows, frequency, steps)
    added = len(every.times) - len(rows.times)
    _LOG.info("%s: %d rows were absent, in %d gaps", rows.argument, added, len(before))
    return every


def _steps(rows: Rows, frequency: Frequency) -> Integers:
    """Of every row since the first of its series; refuses rows off the grid."""
    if frequency.is_integer != (rows.times.dtype.kind == "i"):
        kind = "integers" if rows.times.dtype.kind == "i" else "timestamps"
        cure = "an integer such as 1" if kind == "integers" else "a name such as 'h' or 'MS'"
        raise ValueError(
            f"freq: {frequency.freq!r} does not fit the column {rows.columns.time!r}, which "
            f"holds {kind}; give {cure}"
        )
    steps, on_grid = frequency.steps(rows.times, rows.offsets, rows.timezone)
    if not on_grid.all():
        off = np.flatnonzero(~on_grid)
        raise ValueError(
            f"{rows.argument}: {len(off)} rows are not a whole number of steps of "
            f"freq={frequency.freq!r} after the first row of their series: {rows.shown(off)}; "
            f"{against_off_grid(rows, frequency)}, or bring the rows to a regular grid "
            "(DataFrame.resample)"
        )
    return steps


def _every_step(rows: Rows, frequency: Frequency, steps: Integers) -> Rows:
    """A row at every step from the first to the last of each series."""
    offsets = rows.offsets
    lengths = steps[offsets[1:] - 1] + 1
    begin = np.cumsum(lengths) - lengths
    series = np.repeat(np.arange(len(lengths)), lengths)
    since = np.arange(len(series)) - begin[series]
    times = frequency.advance(rows.times[offsets[:-1]][series], since, rows.timezone)
    place = begin[rows.series] + steps
    times[place] = rows.times
    values = np.full((len(series), rows.values.shape[1]), np.nan)
    values[place] = rows.values
    return replace(rows, series=series, times=times, values=values)


def without_empty_series(rows: Rows) -> Rows:
    """Series of which every target is missing are left out, with a warning.

    Raises:
        ValueError: no series is left.
    """
    known = ~np.isnan(rows.values[:, : len(rows.columns.target)]).all(axis=1)
    keep = np.bincount(rows.series, weights=known, minlength=len(rows.ids)) > 0
    if keep.all():
        return rows
    if not keep.any():
        raise ValueError(
            f"{rows.argument}: {list(rows.columns.target)} is missing in every row of every "
            "series; there is nothing to learn from"
        )
    warn(
        f"{rows.argument}: {(~keep).sum()} series are left out, for "
        f"{list(rows.columns.target)} is missing in all their rows: {shown(rows.ids[~keep])}",
    )
    return rows.of(keep)


def check_missing(rows: Rows, missing: Missing, fill: Fill | None = None) -> None:
    """Refuse NaN unless they are to be masked.

    Args:
        rows: of any frame.
        missing: ``"mask"`` where they are.
        fill: how the others have been filled.

    Raises:
        ValueError: there are some, naming column, rows and what helps.
    """
    absent = np.isnan(rows.values)
    if missing == "raise" and absent.any():
        column = int(absent.any(axis=0).argmax())
        first = np.zeros_like(absent)
        first[:, column] = absent[:, column]
        rows.refuse(first, "missing", against_missing(rows, absent[:, [column]], fill))
    elif absent.any():
        counts = dict(zip(rows.names, absent.sum(axis=0).tolist(), strict=True))
        _LOG.info("%s: missing values by column: %s", rows.argument, counts)
