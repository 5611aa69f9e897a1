"""Levels of intervals that are asked for, checked."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from tcn.outputs import Output
from tcn.outputs.checks import numbers_of

INTERVALS = (None, "conformal", "cqr", "adaptive")
"""Of the output itself, or calibrated on the end of the training."""

USUAL_LEVELS = (80.0, 90.0)
"""Levels of intervals, in percent, if none are given."""


def checked_quantiles(
    quantiles: Sequence[float] | None, output: Output, intervals: str | None
) -> list[float]:
    """Probabilities, rising; none if None.

    Raises:
        TypeError: if they are no numbers, or there are no intervals.
        ValueError: if one is not between 0 and 1, both excluded.
    """
    if quantiles is None:
        return []
    found = numbers_of("quantiles", quantiles)
    for value in found:
        if not 1e-9 <= value <= 1 - 1e-9:
            cure = f"; write {value / 100:g}" if 1 < value < 100 else ""
            raise ValueError(f"quantiles: {value:g} is not between 0 and 1, both excluded{cure}")
    if found and not (output.intervals or intervals is not None):
        raise TypeError(f"quantiles: {list(found)}, {_points_alone(output)}")
    return sorted(set(found))


def level_between(quantile: float) -> float:
    """The level, in percent, of the interval one of whose ends is a quantile; 0 of the median."""
    return round(abs(2 * quantile - 1) * 100, 10)


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
        raise TypeError(f"level: {levels}, {_points_alone(output)}")
    return sorted({float(value) for value in levels})


def _points_alone(output: Output) -> str:
    return (
        f"but loss {output.name!r} gives points alone; use loss='quantiles' or another "
        "distribution, or intervals='conformal' with a val_size"
    )
