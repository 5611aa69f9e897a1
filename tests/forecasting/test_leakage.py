"""Nothing of the future reaches a forecast: change it, and the forecast is equal to the bit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcn.forecasting import Forecaster

SMALL = {"h": 4, "input_size": 12, "width": 4, "max_steps": 8, "accelerator": "cpu"}
COVARIATES: dict[str, Any] = {
    "futr_exog_list": ["price"],
    "hist_exog_list": ["visits"],
    "calendar": ["dayofweek"],
}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "log": {"scaler": "log", "window_scaler": "revin"},
    "minmax": {"scaler": "minmax", "window_scaler": "robust"},
    "quantiles": {"loss": "quantiles", "intervals": "cqr"},
    "conformal": {"intervals": "conformal", "model": "gru"},
    "covariates": COVARIATES | {"loss": "normal"},
    "missing": {"missing": "mask"},
}


def frame(length: int = 90) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    parts = [
        pd.DataFrame({
            "unique_id": name,
            "ds": pd.date_range("2024-01-01", periods=length, freq="D"),
            "y": level + generator.normal(size=length),
            "price": generator.normal(size=length),
            "visits": generator.normal(size=length),
        })
        for name, level in (("a", 10.0), ("b", 1000.0))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def with_another_future(df: pd.DataFrame, cutoff: pd.Timestamp, *names: str) -> pd.DataFrame:
    """The frame with other numbers in some columns after a time, of another size too."""
    df = df.copy()
    later = df["ds"] > cutoff
    for name in names:
        df.loc[later, name] = 50 + 1e3 * np.random.default_rng(1).random(int(later.sum()))
    return df


def validation_size(kind: str) -> int:
    return 16 if "intervals" in KINDS[kind] else 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refit", [False, True])
def test_past_forecasts_do_not_see_the_future(kind: str, refit: bool) -> None:
    df = frame()
    days = df["ds"].unique()
    # Windows begin after rows 78, 82 and 86; what follows the first one's horizon is changed.
    changed = with_another_future(df, days[81], "y", "visits", "price")
    level = [50] if kind in ("quantiles", "conformal", "covariates") else None
    runs = [
        Forecaster(**SMALL | KINDS[kind]).cross_validation(
            each, 3, val_size=validation_size(kind), refit=refit, level=level
        )
        for each in (df, changed)
    ]
    first = [run[run["cutoff"] == days[77]].reset_index(drop=True) for run in runs]
    assert len(first[0]) == 8
    pd.testing.assert_frame_equal(*first, check_exact=True)
    # The test can fail: later windows do see the change.
    last = [run.loc[run["cutoff"] == days[85], "TCN" if "TCN" in run else "GRU"] for run in runs]
    assert (last[0] != last[1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_in_the_horizon_is_not_seen(kind: str) -> None:
    df = frame()
    changed = with_another_future(df, df["ds"].unique()[85], "y", "visits")
    runs = [
        Forecaster(**SMALL | KINDS[kind])
        .cross_validation(each, 1, val_size=validation_size(kind))
        .drop(columns="y")
        for each in (df, changed)
    ]
    pd.testing.assert_frame_equal(*runs, check_exact=True)


def test_scalers_are_fitted_on_the_training_part_alone() -> None:
    df = frame()
    past = df["ds"].unique()[69]
    changed = with_another_future(df, past, "y", "visits", "price")
    for each in (df, changed):
        trained = Forecaster(**SMALL, **COVARIATES).fit(each, val_size=20).trained_
        train = df[df["ds"] <= past]
        expected = train.groupby("unique_id")["y"].agg(["mean", "std"])
        np.testing.assert_allclose(trained.statistics.location[:, 0], expected["mean"])
        deviation = train.groupby("unique_id")["y"].std(ddof=0)
        np.testing.assert_allclose(trained.statistics.scale[:, 0], deviation)
        np.testing.assert_allclose(trained.covariates.futr.location, train["price"].mean())
        np.testing.assert_allclose(trained.covariates.hist.scale, train["visits"].std(ddof=0))


def test_validation_rows_choose_weights_and_window_scaler_and_nothing_more() -> None:
    # With a single validation there are no weights to choose, and the scaler is given.
    df = frame()
    changed = with_another_future(df, df["ds"].unique()[69], "y")
    weights = []
    for each in (df, changed):
        forecaster = Forecaster(**SMALL, val_check_steps=8, window_scaler="standard")
        trained = forecaster.fit(each, val_size=20).trained_
        weights.append(
            np.concatenate([p.detach().numpy().ravel() for p in trained.net.parameters()])
        )
    np.testing.assert_array_equal(*weights)


def test_covariates_known_for_the_past_alone_are_not_read_in_the_horizon() -> None:
    df = frame()
    cutoff = df["ds"].unique()[85]
    changed = with_another_future(df, cutoff, "visits")
    forecaster = Forecaster(**SMALL, **COVARIATES).fit(df[df["ds"] <= cutoff])
    results = [forecaster.predict(futr_df=each[each["ds"] > cutoff]) for each in (df, changed)]
    pd.testing.assert_frame_equal(*results, check_exact=True)
    with pytest.raises(ValueError, match="hist: column 'price' is futr already"):
        Forecaster(**SMALL, futr_exog_list=["price"], hist_exog_list=["price"])
