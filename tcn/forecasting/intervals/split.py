"""Split conformal intervals around points, and around a net's own quantiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from tcn.forecasting.intervals.scores import (
    Array,
    Interval,
    checked,
    finite_sample_quantile,
    share_of,
    smallest_calibration,
)


class SplitConformal:
    """A band of the same width around every forecast of a horizon step.

    It holds what it promises on average over series and windows if those it is used on are like
    those it was calibrated on (exchangeable), and if the net was not fitted on the latter. Lei et
    al. 2018, section 2.2.
    """

    def __init__(self, scores: ArrayLike | None = None) -> None:
        """Takes absolute errors kept from before, or none before ``calibrate``."""
        self.scores: Array | None = None if scores is None else np.asarray(scores, np.float64)
        self._widths: dict[float, Array] = {}

    def calibrate(self, errors: ArrayLike) -> Self:
        """Keeps the sizes of ``errors``.

        Args:
            errors: target minus forecast, ``(windows, target channel, horizon step)``; NaN where
                nothing was observed.

        Raises:
            ValueError: there is no window, or an error is infinite.
        """
        self.scores = checked("errors", np.abs(np.asarray(errors, dtype=np.float64)))
        self._widths.clear()
        return self

    def width(self, level: float) -> Array:
        """Half the width of the band, ``(target channel, horizon step)``.

        Raises:
            ValueError: ``level`` is not between 0 and 100, or needs more windows.
        """
        if self.scores is None:
            raise ValueError("SplitConformal: no errors yet; call calibrate(errors) first")
        found = self._widths.get(level)
        if found is None:
            found = self._widths[level] = _finite_quantile(self.scores, level)
        return found

    def interval(self, center: ArrayLike, level: float) -> Interval:
        """Lower and upper ends, shaped like ``center``.

        Args:
            center: forecasts, ``(..., target channel, horizon step)``. A horizon shorter than the
                calibrated one gets the widths of its first steps.
            level: in percent.

        Raises:
            ValueError: as for ``width``, or ``center`` does not fit what was calibrated.
        """
        center = np.asarray(center, dtype=np.float64)
        width = _fitting("center", center, self.width(level))
        return center - width, center + width


class ConformalizedQuantiles:
    """Conformalized quantile regression: a net's own intervals, moved out (or in) to the level.

    They keep the shape the net gave them, wide where it is unsure. Romano, Patterson & Candès
    2019, section 4: the score of a window is ``max(lower - y, y - upper)``.
    """

    def __init__(self, scores: Mapping[float, ArrayLike] | None = None) -> None:
        """Takes scores by level, kept from before, or none before ``calibrate``."""
        self.scores: dict[float, Array] = {
            float(level): np.asarray(values, np.float64) for level, values in (scores or {}).items()
        }
        self._moves: dict[float, Array] = {}

    def calibrate(
        self, lower: ArrayLike, upper: ArrayLike, target: ArrayLike, *, level: float
    ) -> Self:
        """Keeps by how much the targets lay outside the intervals of this level; call it per level.

        Args:
            lower: lower ends, ``(windows, target channel, horizon step)``.
            upper: upper ends, shaped alike.
            target: what came, shaped alike; NaN where nothing was observed.
            level: what the intervals were meant to have, in percent.

        Raises:
            ValueError: shapes differ, there is no window, a score is infinite, or ``level`` is not
                between 0 and 100.
        """
        low, high, came = (np.asarray(x, dtype=np.float64) for x in (lower, upper, target))
        if not low.shape == high.shape == came.shape:
            raise ValueError(
                f"lower, upper and target: shapes {low.shape}, {high.shape} and {came.shape} "
                "differ; all are (windows, target channel, horizon step)"
            )
        share_of(level)
        self.scores[float(level)] = checked("target", np.maximum(low - came, came - high))
        self._moves.pop(float(level), None)
        return self

    def interval(self, lower: ArrayLike, upper: ArrayLike, level: float) -> Interval:
        """Both ends moved by the same distance; ends that would cross meet halfway.

        Args:
            lower: lower ends of this level, ``(..., target channel, horizon step)``.
            upper: upper ends, shaped alike.
            level: in percent.

        Raises:
            ValueError: ``level`` was not calibrated or needs more windows, or shapes do not fit.
        """
        if float(level) not in self.scores:
            raise ValueError(
                f"level: {level:g} was not calibrated, only {sorted(self.scores)}; call "
                "calibrate(..., level=...) for it"
            )
        move = self._moves.get(float(level))
        if move is None:  # kept in a variable, for another thread may calibrate anew
            move = self._moves[float(level)] = _finite_quantile(self.scores[float(level)], level)
        low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        moved = _fitting("lower", low, move)
        low, high = low - moved, high + moved
        middle = (low + high) / 2
        return np.minimum(low, middle), np.maximum(high, middle)


def nested(intervals: Mapping[float, Interval]) -> dict[float, Interval]:
    """Widens intervals where one of a lower level sticks out of one of a higher level.

    Levels calibrated one by one may do so; widening never costs coverage.
    """
    result: dict[float, Interval] = {}
    inner: Interval | None = None
    for level in sorted(intervals):
        low, high = intervals[level]
        if inner is not None:
            low, high = np.minimum(low, inner[0]), np.maximum(high, inner[1])
        result[level] = inner = (low, high)
    return result


def _finite_quantile(scores: Array, level: float) -> Array:
    """The finite-sample quantile, which too few windows would make infinite."""
    widths = finite_sample_quantile(scores, level)
    if np.isinf(widths).any():
        fewest = int(np.count_nonzero(~np.isnan(scores), axis=0).min())
        most = math.floor(1000 * fewest / (fewest + 1)) / 10
        raise ValueError(
            f"level: {level:g} needs {smallest_calibration(level)} calibration windows for every "
            f"horizon step, and one has {fewest}; calibrate on more windows (a larger val_size or "
            f"more series), or ask for a level of at most {most:g}"
        )
    return widths


def _fitting(name: str, values: Array, widths: Array) -> Array:
    """The widths of the first steps, for values of a horizon that may be shorter."""
    horizon = values.shape[-1] if values.ndim else 0
    if values.ndim < widths.ndim or values.shape[-widths.ndim : -1] != widths.shape[:-1]:
        raise ValueError(
            f"{name}: shape {values.shape} does not end in (target channel, horizon step) = "
            f"{widths.shape}, as calibrated"
        )
    if horizon > widths.shape[-1]:
        raise ValueError(
            f"{name}: {horizon} horizon steps, but only {widths.shape[-1]} were calibrated; "
            "calibrate on errors of the longer horizon"
        )
    return widths[..., :horizon]
