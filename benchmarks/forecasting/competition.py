"""Sets of many series: one global model, one forecast at the end of each series, its intervals."""

import time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.forecasting import automatic
from benchmarks.forecasting.many_series import SeriesSet
from benchmarks.forecasting.settings import NETS, many_series_settings

LEVELS = (80, 90)
FORECAST = "forecast"
NAIVE = "SeasonalNaive"
"""The column that ``tcn.forecasting.evaluation.metrics`` puts next to the forecasts."""
MODELS = (*NETS, *automatic.MODELS, "seasonal_naive", "neuralforecast_tcn")


class Outcome(NamedTuple):
    """What one model did.

    Attributes:
        validation: the metrics that chose the best weights, empty where nothing was chosen.
        test: ``mase``, ``smape`` (0 to 200, as in M4), ``owa`` and ``coverage_<level>`` (percent).
        parameters, steps: of training, None where there was none.
        fit_seconds, forecast_seconds: the time each took.
    """

    validation: dict[str, float]
    test: dict[str, float]
    parameters: int | None
    steps: int | None
    fit_seconds: float
    forecast_seconds: float


def settings_of(data: SeriesSet, model: str) -> dict[str, Any]:
    """Everything that decides the numbers besides data and seed."""
    if model == "seasonal_naive":
        return {"season": data.season, "levels": list(LEVELS)}
    if model in automatic.MODELS:
        return automatic.settings_of(data, model)
    ours = many_series_settings(data.name, "tcn" if model not in NETS else model)
    if model in NETS:
        return ours | {"val_size": 2 * data.horizon, "levels": list(LEVELS)}
    budget = {"steps": ours["max_steps"], "windows": ours["batch_size"]}
    return budget | {"otherwise": "the package's defaults"}


def compete(data: SeriesSet, model: str, *, seed: int) -> Outcome:
    """Trains a model, forecasts, and compares with the true values.

    Raises:
        ValueError: the model is unknown.
    """
    if model in NETS:
        return _ours(data, model, seed=seed)
    if model in automatic.MODELS:
        begun = time.perf_counter()
        made = automatic.forecast(data, model, seed=seed, name=FORECAST)
        rest = time.perf_counter() - begun - made.seconds
        figures = scores(data, made.forecasts)[FORECAST]
        return Outcome(made.validation, figures, made.parameters, made.steps, made.seconds, rest)
    if model == "seasonal_naive":
        begun = time.perf_counter()
        # `scores` measures the naive forecast along with any other, here zeros, and its intervals
        # if the other has some.
        columns = [FORECAST, *(f"{FORECAST}-{end}-{q}" for q in LEVELS for end in ("lo", "hi"))]
        zeros = data.test[["unique_id", "ds"]].assign(**dict.fromkeys(columns, 0.0))
        found = scores(data, zeros)[NAIVE]
        return Outcome({}, found, None, None, 0.0, time.perf_counter() - begun)
    if model == "neuralforecast_tcn":
        return _neuralforecast(data, seed=seed)
    raise ValueError(
        f"model {model!r} takes no part in sets of many series; known: {', '.join(MODELS)}"
    )


def _ours(data: SeriesSet, model: str, *, seed: int) -> Outcome:
    from tcn.forecasting import Forecaster
    from tcn.outputs import MASE

    settings = many_series_settings(data.name, model)
    if settings["loss"] == "mase":  # with counted steps, no frequency gives the season
        settings["loss"] = MASE(season=data.season)
    begun = time.perf_counter()
    forecaster = Forecaster(
        data.horizon,
        data.look_back,
        alias=FORECAST,
        freq=data.frequency or 1,
        seed=seed,
        **settings,
    ).fit(data.train, val_size=2 * data.horizon)
    fitted = time.perf_counter()
    forecasts = forecaster.predict(level=list(LEVELS))
    done = time.perf_counter()
    trained = forecaster.trained_
    return Outcome(
        {"loss": float(trained.report["val_loss"])},
        scores(data, forecasts)[FORECAST],
        sum(each.numel() for each in trained.net.parameters()),
        int(trained.report["steps"]),
        fitted - begun,
        done - fitted,
    )


def _neuralforecast(data: SeriesSet, *, seed: int) -> Outcome:
    from neuralforecast import NeuralForecast
    from neuralforecast.models import TCN

    from benchmarks.forecasting.peers import TRAINER, quiet

    settings = many_series_settings(data.name, "tcn")
    begun = time.perf_counter()
    with quiet():
        model = TCN(
            h=data.horizon,
            input_size=data.look_back,
            max_steps=settings["max_steps"],
            val_check_steps=settings["max_steps"],
            windows_batch_size=settings["batch_size"],
            random_seed=seed,
            alias=FORECAST,
            **TRAINER,
        )
        forecaster = NeuralForecast([model], freq=data.frequency or 1)
        forecaster.fit(data.train)
        fitted = time.perf_counter()
        forecasts = forecaster.predict()
    done = time.perf_counter()
    return Outcome(
        {},
        scores(data, forecasts)[FORECAST],
        sum(each.numel() for each in model.parameters()),
        settings["max_steps"],
        fitted - begun,
        done - fitted,
    )


def scores(data: SeriesSet, forecasts: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Metrics of ``FORECAST`` and of ``NAIVE``, by name.

    OWA is M4's mean of relative MASE and relative sMAPE, but relative to the seasonal naive
    forecast, not to the competition's Naive 2.
    """
    from tcn.forecasting.evaluation.metrics import evaluate

    compared = forecasts.merge(data.test, on=["unique_id", "ds"], validate="one_to_one")
    if len(compared) != len(data.test):
        raise ValueError(
            f"{len(compared)} of {len(data.test)} values of the test part were forecast"
        )
    table = evaluate(compared, data.train, season=data.season).set_index("metric")
    naive = table[NAIVE]
    found = {}
    for model in (FORECAST, NAIVE):
        column = table[model]
        owa = (column["mase"] / naive["mase"] + column["smape"] / naive["smape"]) / 2
        figures = {"mase": column["mase"], "smape": 200 * column["smape"], "owa": owa}
        for level in LEVELS:
            share = column.get(f"coverage_level{level}", np.nan)
            if not np.isnan(share):
                figures[f"coverage_{level}"] = 100 * share
        found[model] = {name: float(value) for name, value in figures.items()}
    return found
