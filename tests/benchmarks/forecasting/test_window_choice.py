"""The forecaster's own choice of a window scaler, on the sets that the benchmark was run on."""

import pytest

from benchmarks.forecasting import long_horizon, many_series
from benchmarks.forecasting.ours import fit_forecaster
from benchmarks.forecasting.settings import (
    WINDOW_SCALER,
    forecaster_settings,
    many_series_settings,
)
from tcn.forecasting import Forecaster


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ETTh1", marks=pytest.mark.requires_data("ett")),
        pytest.param("exchange_rate", marks=pytest.mark.requires_data("ltsf")),
        pytest.param("national_illness", marks=pytest.mark.requires_data("ltsf")),
    ],
)
def test_what_is_chosen_is_what_the_validation_had_said(name: str) -> None:
    """`WINDOW_SCALER` holds what linear maps trained on whole sets found; its figures are there."""
    settings = forecaster_settings(name, "tcn_auto") | {"max_steps": 1, "val_check_steps": 1}
    fitted = fit_forecaster(long_horizon.load(name), settings, seed=0)
    assert fitted.forecaster.window_scaler_ == WINDOW_SCALER[name]


@pytest.mark.requires_data("m4")
def test_hours_of_m4_are_standardized() -> None:
    data = many_series.load("m4_hourly")
    settings = many_series_settings("m4_hourly", "tcn_auto") | {
        "max_steps": 1,
        "val_check_steps": 1,
        "intervals": None,
    }
    forecaster = Forecaster(data.horizon, data.look_back, **settings)
    forecaster.fit(data.train, val_size=2 * data.horizon)
    assert forecaster.window_scaler_ == many_series_settings("m4_hourly", "tcn")["window_scaler"]
