"""The seasonal naive forecast: the same as one season ago. What every model has to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from tcn.forecasting.frames.arrays import Floats, Integers
from tcn.forecasting.frames.rows import Rows


class SeasonalHistory:
    """Past values of several series, from which naive forecasts are made at many cutoffs."""

    def __init__(self, past: Rows, season: int) -> None:
        """Sums up once what every cutoff needs.

        Args:
            past: sorted, of one value; a missing one is forecast as the last one before it, and
                counts in no error.
            season: steps of a season.

        Raises:
            ValueError: ``season`` is below 1.
        """
        if season < 1:
            raise ValueError(f"season: {season} steps; give 1 (plain naive) or more")
        self.offsets, self.series, self.season = past.offsets, past.series, season
        value = pd.Series(past.values[:, 0])
        apart = value - value.groupby(self.series).shift(season)
        errors = pd.DataFrame({"count": apart.notna(), "size": apart.abs(), "square": apart**2})
        # Sums per series: in one long sum a small series would drown next to one of millions.
        sums = errors.fillna(0).astype(np.float64).groupby(self.series).cumsum()
        self._sums = sums.to_numpy()
        self._values = value.groupby(self.series).ffill().to_numpy()

    def forecast(self, series: Integers, last: Integers, step: Integers) -> Floats:
        """Naive forecasts ``(M,)``, ``step`` rows (0 for the next one) after rows ``last``.

        In a history shorter than a season the last value stays.
        """
        back = self.season - 1 - step % self.season
        whole = last - self.offsets[series] + 1 >= self.season
        return np.asarray(self._values[last - np.where(whole, back, 0)], dtype=np.float64)

    def mean_error(self, last: Integers) -> Floats:
        """Mean absolute error of the naive forecast up to rows ``last``, the divisor of MASE."""
        count, size, _ = self._sums[last].T
        return np.divide(size, count, out=np.full(len(last), np.nan), where=count > 0)

    def deviation(self, last: Integers, step: Integers) -> Floats:
        """Standard deviation of the naive forecast's error, growing with every season passed.

        Hyndman & Athanasopoulos 2021, section 5.5.
        """
        count, _, square = self._sums[last].T
        variance = np.divide(square, count, out=np.full(len(last), np.nan), where=count > 0)
        return np.asarray(np.sqrt(variance * (step // self.season + 1)))


def normal_interval(center: Floats, deviation: Floats, level: float) -> tuple[Floats, Floats]:
    """Both ends of the central interval of a normal distribution."""
    width = float(ndtri((1 + level / 100) / 2)) * deviation
    return center - width, center + width
