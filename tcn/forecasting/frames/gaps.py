"""Rows that are absent, found, and values that are, filled."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from tcn.forecasting.frames.arrays import Floats, Integers

Fill = Literal["forward", "zero", "interpolate"]
FILLS: tuple[Fill, ...] = get_args(Fill)


def gaps(steps: Integers) -> Integers:
    """The rows before which others are absent.

    Args:
        steps: ``(R,)`` steps since the first row of each series, as ``Frequency.steps`` has them.
    """
    return np.flatnonzero(np.diff(steps, prepend=0) > 1)  # a series begins with 0


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
