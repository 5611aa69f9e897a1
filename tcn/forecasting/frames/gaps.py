"""Rows that are absent, and values that are: found, put in as NaN, filled."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Floats, Integers
from tcn.forecasting.frames.frequency import Frequency

Fill = Literal["forward", "zero", "interpolate"]
FILLS: tuple[Fill, ...] = get_args(Fill)


class Regular(NamedTuple):
    """Series without gaps.

    Attributes:
        offsets: ``(N + 1,)``, the rows of series ``i`` are ``offsets[i]:offsets[i + 1]``.
        times: ``(R',)``.
        rows: ``(R,)``, where the rows that were there have gone.
    """

    offsets: Integers
    times: NDArray[Any]
    rows: Integers

    def spread(self, values: Floats) -> Floats:
        """``(R, C)`` values to ``(R', C)``, with NaN in the rows that were absent."""
        spread = np.full((len(self.times), values.shape[1]), np.nan)
        spread[self.rows] = values
        return spread


def gaps(steps: Integers) -> Integers:
    """The rows before which others are absent.

    Args:
        steps: ``(R,)`` steps since the first row of each series, as ``Frequency.steps`` has them.
    """
    return np.flatnonzero(np.diff(steps, prepend=0) > 1)  # a series begins with 0


def without_gaps(
    times: NDArray[Any],
    steps: Integers,
    offsets: Integers,
    frequency: Frequency,
    timezone: str | None,
) -> Regular:
    """Series with a row at every step from their first to their last."""
    lengths = steps[offsets[1:] - 1] + 1
    filled = np.concatenate(([0], np.cumsum(lengths)))
    rows = np.repeat(filled[:-1], np.diff(offsets)) + steps
    since = np.arange(filled[-1]) - np.repeat(filled[:-1], lengths)
    begin = np.repeat(times[offsets[:-1]], lengths)
    every = frequency.advance(begin, since, timezone)
    every[rows] = times
    return Regular(filled, every, rows)


def filled(values: Floats, offsets: Integers, how: Fill) -> Floats:
    """Values with NaN filled, within each series and column.

    Args:
        values: ``(R, C)``.
        offsets: ``(N + 1,)``.
        how: ``"forward"`` repeats the last value and ``"zero"`` puts zeros, neither of which looks
            ahead; ``"interpolate"`` draws a line to the next value. NaN before the first value,
            and for the line after the last one, is left.
    """
    missing = np.isnan(values)
    if how == "zero":
        return np.where(missing, 0.0, values)
    lengths = np.diff(offsets)
    row = np.arange(len(values))[:, None]
    first = np.repeat(offsets[:-1], lengths)[:, None]
    before = np.maximum.accumulate(np.where(missing, -1, row), axis=0)
    known = before >= first
    before = np.where(known, before, row)
    left = np.take_along_axis(values, before, axis=0)
    if how == "forward":
        return left
    last = np.repeat(offsets[1:], lengths)[:, None]
    after = np.where(missing, len(values), row)[::-1]
    after = np.minimum.accumulate(after, axis=0)[::-1]
    known &= after < last
    after = np.where(known, after, row)
    share = (row - before) / np.maximum(after - before, 1)
    right = np.take_along_axis(values, after, axis=0)
    return np.where(missing & known, left + share * (right - left), values)
