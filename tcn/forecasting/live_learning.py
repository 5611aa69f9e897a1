"""Adaptive intervals of the series of a stream, each of which learns from its own values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.conformal import AdaptiveConformal
from tcn.forecasting.live_rows import Arrived
from tcn.forecasting.trained import Forecasts, Predictor, Trained
from tcn.forecasting.windows import WindowBatch

Integers = NDArray[np.int64]


class Learning:
    """The adaptive intervals of one horizon, which stand in ``trained.adaptive``."""

    def __init__(self, trained: Trained, predictor: Predictor, levels: Sequence[float]) -> None:
        """Names what is learned.

        Args:
            trained: whose intervals learn.
            predictor: of the forecasts that the intervals are around, without any.
            levels: in percent.
        """
        self._intervals, self._predictor = trained.adaptive, predictor
        self._levels, self._horizon = levels, predictor.horizon
        self._errors = trained.band(predictor.horizon).errors[..., : self._horizon]
        self._later = bool(trained.net.sizes.future)

    def begin(self, numbers: Integers, batches: Callable[[], Iterable[WindowBatch]]) -> None:
        """Makes the intervals that are not there yet, around what was forecast so far.

        Args:
            numbers: ``(n,)`` of the series.
            batches: their windows before the new rows.
        """
        fresh: dict[int, list[AdaptiveConformal]] = {}
        for number in numbers.tolist():
            mine = self._intervals.setdefault(number, {})
            for level in self._levels:
                if (level, self._horizon) not in mine:
                    made = AdaptiveConformal(level=level).start(self._errors)
                    mine[level, self._horizon] = made
                    fresh.setdefault(number, []).append(made)
        # What was known of the horizon of the last forecast is not kept: nothing is judged then.
        for batch in batches() if fresh and not self._later else ():
            means = self._predictor.scaled(batch).mean
            for number, mean in zip(batch.series.tolist(), means, strict=True):
                for made in fresh.get(number, ()):
                    made.issue(mean)

    def observe(self, new: Arrived) -> None:
        """Judges the intervals by what came."""
        for number, target in zip(new.numbers.tolist(), new.target.astype(np.float64), strict=True):
            for step in target.T:
                for adaptive in self._intervals[number].values():
                    adaptive.observe(step)

    def forecast(self, batch: WindowBatch) -> Forecasts:
        """Points with their intervals, which are judged when the values come, in units of data."""
        found = self._predictor.scaled(batch)
        ends = {}
        for level in self._levels:
            issued = [
                self._intervals[number][level, self._horizon].issue(mean)
                for number, mean in zip(batch.series.tolist(), found.mean, strict=True)
            ]
            low, high = (np.stack(side) for side in zip(*issued, strict=True))
            ends[level] = low, high
        return self._predictor.restored(Forecasts(found.mean, ends), batch.series)
