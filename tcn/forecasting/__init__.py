"""From a long frame of series to forecasts with intervals.

    from tcn.forecasting import Forecaster, evaluate, plot_forecasts

    forecaster = Forecaster(h=12, input_size=24, loss="quantiles").fit(df)
    forecasts = forecaster.predict(level=[80, 90])

Losses and distributions are in :mod:`tcn.outputs`, intervals from past errors in
:mod:`tcn.forecasting.conformal`, tables too large for one process in
:mod:`tcn.forecasting.partition`, :mod:`~tcn.forecasting.ray` and :mod:`~tcn.forecasting.spark`.
"""

from tcn.extras import need

need(
    "tcn.forecasting", "forecasting", "pandas", "narwhals", "scipy", "sklearn", "pytorch_lightning"
)

from tcn.forecasting.evaluation import coverage_by_level, error_by_step, evaluate
from tcn.forecasting.forecaster import Forecaster
from tcn.forecasting.partition import predict_partition
from tcn.forecasting.plots import plot_coverage, plot_error_by_step, plot_forecasts

__all__ = [
    "Forecaster",
    "coverage_by_level",
    "error_by_step",
    "evaluate",
    "plot_coverage",
    "plot_error_by_step",
    "plot_forecasts",
    "predict_partition",
]
