"""Adaptive intervals of the series of a stream, each of which learns from its own values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tcn.forecasting.fitted.predictor import Forecasts, Predictor
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.arrays import Integers
from tcn.forecasting.intervals import AdaptiveStreams
from tcn.forecasting.live.rows import Arrived
from tcn.forecasting.windows.batch import WindowBatch


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
        fresh: list[tuple[AdaptiveStreams, Integers]] = []
        for level in self._levels:
            streams = self._intervals.setdefault(
                (level, self._horizon), AdaptiveStreams(level=level)
            )
            new = numbers[~streams.begun(numbers)]
            if len(new):
                streams.start(new, self._errors)
                fresh.append((streams, new))
        # What was known of the horizon of the last forecast is not kept: nothing is judged then.
        for batch in batches() if fresh and not self._later else ():
            means, series = self._predictor.scaled(batch).mean, batch.series.numpy()
            for streams, new in fresh:
                chosen = np.isin(series, new)
                streams.issue(series[chosen], means[chosen])

    def observe(self, new: Arrived) -> None:
        """Judges the intervals by what came."""
        for streams in self._intervals.values():
            begun = streams.begun(new.numbers)
            numbers, target = new.numbers[begun], new.target[begun].astype(np.float64)
            for step in range(target.shape[-1] if len(numbers) else 0):
                streams.observe(numbers, target[..., step])

    def forecast(self, batch: WindowBatch) -> Forecasts:
        """Points with their intervals, which are judged when the values come, in units of data."""
        found = self._predictor.scaled(batch)
        series = batch.series.numpy()
        ends = {
            level: self._intervals[level, self._horizon].issue(series, found.mean)
            for level in self._levels
        }
        return self._predictor.restored(Forecasts(found.mean, ends), batch.series)
