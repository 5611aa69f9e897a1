"""The nets of this project, through ``tcn.forecasting.Forecaster``."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.forecasting.long_horizon import Problem
from tcn.forecasting import Forecaster
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import panel_from_frame


@dataclass(frozen=True)
class FittedForecaster:
    """A trained forecaster: one model for all channels, each treated as a separate series."""

    problem: Problem
    forecaster: Forecaster

    @property
    def parameters(self) -> int:
        return sum(each.numel() for each in self.forecaster.trained_.net.parameters())

    @property
    def steps(self) -> int:
        return int(self.forecaster.trained_.report["steps"])

    def forecast(self, first: int, last: int) -> np.ndarray:
        """``(last - first, channels, horizon)``.

        Rows are cut so that they begin with the look-back of the first window; a longer past would
        change nothing.
        """
        problem, trained = self.problem, self.forecaster.trained_
        frame = problem.long_frame(first - problem.look_back, last - 1 + problem.horizon)
        panel = panel_from_frame(frame, columns=Columns(), freq=trained.history.frequency.freq)
        # Positions count from the cut.
        ends = np.full(len(panel.ids), problem.look_back - 1)
        windows = trained.windows(panel, problem.horizon, first=ends, last=ends + last - first - 1)
        found = trained.forecasts(windows).mean[:, 0]
        # A panel keeps the series in the order of the frame.
        return found.reshape(len(panel.ids), last - first, problem.horizon).swapaxes(0, 1)


def fit_forecaster(problem: Problem, settings: dict[str, Any], *, seed: int) -> FittedForecaster:
    """Trains on the training part; the validation part chooses the best weights."""
    forecaster = Forecaster(problem.horizon, problem.look_back, seed=seed, **settings)
    forecaster.fit(problem.frame, val_size=problem.validation - problem.train)
    return FittedForecaster(problem, forecaster)
