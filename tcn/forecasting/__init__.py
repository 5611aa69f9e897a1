"""From a long frame of series to forecasts with intervals.

    from tcn.forecasting import Forecaster, evaluate, plot_forecasts

    forecaster = Forecaster(h=12, input_size=24, loss="quantiles").fit(df)
    forecasts = forecaster.predict(level=[80, 90])

Losses and distributions are in :mod:`tcn.outputs`, intervals from past errors in
:mod:`tcn.forecasting.intervals`, tables too large for one process in
:mod:`tcn.forecasting.distributed`. By stage, each of which imports those before it alone::

    frames        a caller's frame to checked arrays, and results back
    windows       arrays to scaled windows
    intervals     intervals from past errors
    fitted        windows to a trained net, and its forecasts
    live          the next forecast from a carried state
    evaluation    metrics, plots, what forecasts rest on
    forecaster    all of it in one estimator
    auto          its settings searched: search_space, judging, search, ensemble
    distributed   many series, in parts
"""

from tcn.extras import need

need(
    "tcn.forecasting", "forecasting", "pandas", "narwhals", "scipy", "sklearn", "pytorch_lightning"
)

from tcn.forecasting.auto import AutoForecaster
from tcn.forecasting.distributed.partition import predict_partition
from tcn.forecasting.ensemble import Ensemble, Forecasters
from tcn.forecasting.evaluation import coverage_by_level, error_by_step, evaluate
from tcn.forecasting.evaluation.plots import plot_coverage, plot_error_by_step, plot_forecasts
from tcn.forecasting.forecaster import Forecaster

__all__ = [
    "AutoForecaster",
    "Ensemble",
    "Forecaster",
    "Forecasters",
    "coverage_by_level",
    "error_by_step",
    "evaluate",
    "plot_coverage",
    "plot_error_by_step",
    "plot_forecasts",
    "predict_partition",
]
