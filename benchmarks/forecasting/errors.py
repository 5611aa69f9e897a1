"""Errors over every window of a part."""

from typing import Protocol

import numpy as np

from benchmarks.forecasting.long_horizon import Part, Problem, chunks

AT_ONCE = 1024
"""Windows forecast at once: 200 MB for the widest set at the longest horizon."""


class Fitted(Protocol):
    """A contestant after training."""

    def forecast(self, first: int, last: int) -> np.ndarray:
        """The windows whose first forecast rows are ``first`` to ``last - 1``.

        Returns:
            ``(last - first, channels, horizon)``, scaled as the problem's values.
        """


def errors(problem: Problem, fitted: Fitted, part: Part) -> dict[str, float]:
    """MSE and MAE over all windows, channels and steps of a part, summed in float64.

    Raises:
        ValueError: a forecast has another shape, or is not finite.
    """
    rows = problem.first_rows(part)
    squared = absolute = 0.0
    count = 0
    for first, last in chunks(rows, AT_ONCE):
        truth = problem.truth(first, last)
        forecast = np.asarray(fitted.forecast(first, last), dtype=np.float64)
        if forecast.shape != truth.shape:
            raise ValueError(f"forecast has shape {forecast.shape}, the truth {truth.shape}")
        if not np.isfinite(forecast).all():
            raise ValueError(f"forecasts of rows {first} to {last} are not all finite")
        difference = forecast - truth
        squared += float(np.square(difference).sum())
        absolute += float(np.abs(difference).sum())
        count += truth.size
    return {"mse": squared / count, "mae": absolute / count}
