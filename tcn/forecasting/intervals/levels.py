"""Levels of intervals that are asked for, checked."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from tcn.outputs import Output

INTERVALS = (None, "conformal", "cqr", "adaptive")
"""Of the output itself, or calibrated on the end of the training."""

USUAL_LEVELS = (80.0, 90.0)
"""Levels of intervals, in percent, if none are given."""


def checked_levels(
    level: Sequence[float] | None, output: Output, intervals: str | None
) -> list[float]:
    """Levels in percent, rising.

    Args:
        level: what was asked for; None: the usual ones where there are intervals.
        output: of the net.
        intervals: see :class:`tcn.forecasting.fitted.trained.Trained`.

    Raises:
        TypeError: if they are no numbers, or there are no intervals.
        ValueError: if one is no percentage.
    """
    there = output.intervals or intervals is not None
    if level is None:
        return list(USUAL_LEVELS) if there else []
    given: Any = level
    if isinstance(given, Real) or (isinstance(given, np.ndarray) and given.ndim == 0):
        raise TypeError(f"level: {level} is one number; give a list, [{level}]")
    levels: list[Any] = list(given)  # what can be gone through once is kept
    for value in levels:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(
                f"level: {value!r} in {given!r} is not a number; give percents, [80, 90]"
            )
    for value in levels:
        if not 0 < value < 100:
            raise ValueError(f"level: {value} is not between 0 and 100 percent")
        if value < 1:
            raise ValueError(
                f"level: {value} would be an interval of {value} percent; levels are in "
                f"percent, write {100 * value:g}"
            )
    if levels and not there:
        raise TypeError(
            f"level: {levels}, but loss {output.name!r} gives points alone; use loss='quantiles' "
            "or another distribution, or intervals='conformal' with a val_size"
        )
    return sorted({float(value) for value in levels})
