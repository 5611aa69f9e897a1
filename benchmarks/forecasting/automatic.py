"""Forecasts that ask for no setting: our defaults, our search, statsforecast's ETS and Theta.

All forecast sets of many series. The search sees the training part alone. statsforecast wants an
older pandas than we test with: it is run from an environment of its own.
"""

import time
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.forecasting.many_series import SeriesSet

SEARCH: dict[str, Any] = {"trials": 10, "finalists": 3, "ensemble": 4}
"""The budget of ``tcn_search``: nets trained to search, to confirm, and to forecast."""
STATISTICAL = {"auto_ets": "AutoETS", "auto_theta": "AutoTheta"}
"""Classes of ``statsforecast.models``."""
MODELS = ("tcn_default", "tcn_search", *STATISTICAL)


class Automatic(NamedTuple):
    """What a model forecast, and what it took.

    Attributes:
        forecasts: ``unique_id, ds`` and a column of that name that was asked for.
        validation: the metric that chose the settings, empty where nothing was chosen.
        parameters, steps: of training, None where there was none; of a mean of nets their sum.
        seconds: until the forecast could be asked for.
    """

    forecasts: pd.DataFrame
    validation: dict[str, float]
    parameters: int | None
    steps: int | None
    seconds: float


def settings_of(data: SeriesSet, model: str) -> dict[str, Any]:
    """Everything that decides the numbers besides data and seed."""
    if model in STATISTICAL:
        return {"season_length": data.season, "otherwise": "the package's defaults"}
    searched = SEARCH if model == "tcn_search" else {}
    return {"input_size": data.look_back, **searched, "otherwise": "the defaults"}


def forecast(data: SeriesSet, model: str, *, seed: int, name: str) -> Automatic:
    """Trains one of :data:`MODELS` on the training part, and forecasts what follows."""
    if model in STATISTICAL:
        return _statistical(data, model, name=name)
    from tcn.forecasting import AutoForecaster, Ensemble, Forecaster

    forecaster: Any = Forecaster(
        data.horizon, data.look_back, alias=name, freq=data.frequency or 1, seed=seed
    )
    if model == "tcn_search":
        forecaster = AutoForecaster(forecaster, seed=seed, **SEARCH)
    begun = time.perf_counter()
    forecaster.fit(data.train)
    seconds = time.perf_counter() - begun
    made, validation = forecaster, {}
    if model == "tcn_search":
        made = forecaster.forecaster_
        validation = {"mase": _validation(forecaster)}
    nets = made.forecasters if isinstance(made, Ensemble) else [made]
    return Automatic(
        forecaster.predict()[["unique_id", "ds", name]],
        validation,
        sum(each.numel() for net in nets for each in net.trained_.net.parameters()),
        sum(int(net.trained_.report["steps"]) for net in nets),
        seconds,
    )


def _validation(auto: Any) -> float:
    """Mean error of the members in the search, each alone."""
    rows = auto.trials_.set_index("number").loc[auto.members_]
    return float(rows["confirmed"].fillna(rows["score"]).mean())


def _statistical(data: SeriesSet, model: str, *, name: str) -> Automatic:
    from statsforecast import StatsForecast, models

    made = getattr(models, STATISTICAL[model])(season_length=data.season, alias=name)
    begun = time.perf_counter()
    forecaster = StatsForecast([made], freq=data.frequency or 1, n_jobs=1)
    found = forecaster.forecast(h=data.horizon, df=data.train)
    # It forecasts as it fits.
    return Automatic(found, {}, None, None, time.perf_counter() - begun)
