"""The forecaster as its users meet it: frames in, forecasts out, faults named."""

import copy
import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from tcn.forecasting import Forecaster
from tcn.models import LSTM, TCN
from tcn.outputs import Quantiles

SMALL = {"h": 4, "input_size": 12, "width": 4, "max_steps": 8, "accelerator": "cpu"}
STATIC = pd.DataFrame({"unique_id": ["a", "b", "c"], "area": [1.0, 2, 4], "kind": ["u", "v", "u"]})
COVARIATES: dict[str, Any] = {
    "futr_exog_list": ["price"],
    "hist_exog_list": ["visits"],
    "stat_exog_list": ["area"],
    "categorical_list": ["kind"],
    "calendar": ["dayofweek"],
}


@cache
def _frame(length: int) -> pd.DataFrame:
    generator, parts = np.random.default_rng(0), []
    for number, name in enumerate("abc"):
        step = np.arange(length)
        price = generator.normal(size=length)
        wave = np.sin(2 * np.pi * step / 7 + number)
        parts.append(
            pd.DataFrame({
                "unique_id": name,
                "ds": pd.date_range("2024-01-01", periods=length, freq="D"),
                "y": 10.0 ** (number + 1) * (5 + wave + price),
                "price": price,
                "visits": generator.normal(size=length),
            })
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def frame(length: int = 60) -> pd.DataFrame:
    return _frame(length).copy()


def split(df: pd.DataFrame, length: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first rows of every series, and the rest."""
    row = df.groupby("unique_id").cumcount()
    return df[row < length].reset_index(drop=True), df[row >= length].reset_index(drop=True)


@cache
def fitted(**settings: Any) -> Forecaster:
    """A forecaster fitted on the first 60 rows of 80; what is returned must not be changed."""
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    val_size = 30 if settings.get("intervals") else 0
    static = STATIC if "stat_exog_list" in settings else None
    return Forecaster(**SMALL | settings).fit(frame(), static, val_size)


def numbers(df: pd.DataFrame) -> np.ndarray:
    return df.select_dtypes("number").to_numpy()


# ------------------------------------------------------------------------------ results


def test_the_result_has_nixtlas_columns_the_next_times_and_the_caller_s_units() -> None:
    result = fitted(loss="quantiles").predict(level=[90, 50])
    names = ["TCN", "TCN-lo-90", "TCN-lo-50", "TCN-hi-50", "TCN-hi-90"]
    assert list(result.columns) == ["unique_id", "ds", *names]
    assert result["unique_id"].tolist() == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    expected = pd.date_range("2024-03-01", periods=4, freq="D")
    assert (result["ds"].to_numpy().reshape(3, 4) == expected.to_numpy()).all()
    assert result["ds"].dtype == frame()["ds"].dtype
    ends = result[["TCN-lo-90", "TCN-lo-50", "TCN", "TCN-hi-50", "TCN-hi-90"]].to_numpy()
    assert (np.diff(ends, axis=1) >= 0).all()
    for name, size in {"a": 50, "b": 500, "c": 5000}.items():
        forecast = result.loc[result["unique_id"] == name, "TCN"]
        assert forecast.between(size / 3, size * 3).all(), (name, forecast)


@pytest.mark.parametrize("model", ["tcn", "lstm", "gru"])
def test_one_word_changes_the_model_and_the_column(model: str) -> None:
    assert list(fitted(model=model).predict().columns) == ["unique_id", "ds", model.upper()]


def test_the_column_may_have_another_name_and_so_may_those_of_the_data() -> None:
    df = frame().rename(columns={"unique_id": "shop", "ds": "day", "y": "sales"})
    forecaster = Forecaster(
        **SMALL, id_col="shop", time_col="day", target_col="sales", alias="net"
    ).fit(df)
    assert list(forecaster.predict().columns) == ["shop", "day", "net"]


def test_a_net_may_be_handed_in_and_stays_as_it_was() -> None:
    torch.manual_seed(0)
    net = LSTM(1, 3).eval()
    before = copy.deepcopy(net.state_dict())
    forecaster = Forecaster(**SMALL | {"model": net}).fit(frame())
    assert list(forecaster.predict().columns) == ["unique_id", "ds", "LSTM"]
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in before)
    trained = forecaster.trained_.net.encoder.backbone.state_dict()
    assert not all(torch.equal(trained[name], before[name]) for name in before)


def test_several_targets_are_forecast_together() -> None:
    result = fitted(target_col=("y", "price"), loss="normal").predict(level=[80])
    expected = {"y-TCN", "y-TCN-lo-80", "y-TCN-hi-80", "price-TCN", "price-TCN-lo-80",
                "price-TCN-hi-80"}  # fmt: skip
    assert set(result.columns) == {"unique_id", "ds"} | expected
    assert (result["y-TCN-lo-80"] < result["y-TCN-hi-80"]).all()


@pytest.mark.parametrize(
    "loss", ["mse", "mae", "huber", "mase", "quantiles", "normal", "student_t", "mixture"]
)
def test_every_loss_gives_points_and_distributions_give_intervals(loss: str) -> None:
    result = fitted(loss=loss).predict()
    assert np.isfinite(numbers(result)).all()
    assert ("TCN-lo-90" in result) == (loss not in ("mse", "mae", "huber", "mase"))


@pytest.mark.parametrize("loss", ["poisson", "negative_binomial"])
def test_counts_are_forecast_as_counts(loss: str) -> None:
    df = frame()
    df["y"] = np.random.default_rng(0).poisson(4.0, len(df))
    result = Forecaster(**SMALL | {"loss": loss, "max_steps": 200}).fit(df).predict(level=[80])
    assert result["TCN"].between(2, 8).all()
    for end in ("TCN-lo-80", "TCN-hi-80"):
        assert (result[end] >= 0).all()
        assert (result[end] % 1 == 0).all()


@pytest.mark.parametrize("kind", ["polars", "pyarrow"])
def test_what_comes_back_is_of_the_kind_that_went_in(kind: str) -> None:
    library = pytest.importorskip(kind)
    made = library.Table if kind == "pyarrow" else library.DataFrame
    convert = library.Table.from_pandas if kind == "pyarrow" else library.from_pandas
    df = convert(frame()[["unique_id", "ds", "y"]])
    forecaster = Forecaster(**SMALL).fit(df)
    result = forecaster.predict()
    assert isinstance(result, made)
    np.testing.assert_allclose(numbers(result.to_pandas()), numbers(fitted().predict()))
    assert isinstance(forecaster.predict(frame()), pd.DataFrame)


def test_the_caller_s_frames_stay_as_they_were() -> None:
    df, later = split(frame(80), 60)
    shuffled = df.sample(frac=1, random_state=0)
    static = STATIC.copy()
    kept = [each.copy(deep=True) for each in (shuffled, static, later)]
    forecaster = Forecaster(**SMALL, **COVARIATES)
    with pytest.warns(UserWarning, match="not in order of time"):
        forecaster.fit(shuffled, static)
    forecaster.predict(futr_df=later)
    forecaster.update(later.groupby("unique_id").head(1), later)
    for frame_now, before in zip((shuffled, static, later), kept, strict=True):
        pd.testing.assert_frame_equal(frame_now, before)
    shuffled["y"] = 0.0
    result = forecaster.predict(futr_df=later)
    assert (result["TCN"] != 0).all()


# --------------------------------------------------------------------- other histories


def test_a_new_history_is_forecast_as_the_training_s_own() -> None:
    forecaster = fitted(loss="quantiles")
    pd.testing.assert_frame_equal(forecaster.predict(frame()), forecaster.predict())


def test_what_lies_before_the_look_back_changes_nothing() -> None:
    forecaster, df = fitted(), frame()
    recent = split(df, 48)[1]
    np.testing.assert_array_equal(
        numbers(forecaster.predict(recent)), numbers(forecaster.predict())
    )


def test_a_series_not_seen_in_training_is_scaled_by_its_own_history() -> None:
    # The symmetry: series "a" under another name and in other units.
    df = frame()
    strange = df[df["unique_id"] == "a"].assign(unique_id="new", y=lambda d: d["y"] * 1e6 + 7)
    forecaster = fitted()
    found = forecaster.predict(strange)
    assert found["unique_id"].unique().tolist() == ["new"]
    expected = forecaster.predict(df[df["unique_id"] == "a"])["TCN"] * 1e6 + 7
    np.testing.assert_allclose(found["TCN"], expected, rtol=1e-4)


def test_a_series_shorter_than_the_look_back_is_forecast_with_a_warning() -> None:
    short = frame()[lambda d: d["unique_id"] == "b"].tail(5).assign(unique_id="short")
    with pytest.warns(UserWarning, match=r"1 of 1 series .*input_size=12 \(receptive field 13\)"):
        result = fitted().predict(short)
    assert np.isfinite(result["TCN"]).all()
    assert result["TCN"].between(short["y"].min() / 3, short["y"].max() * 3).all()


def test_a_constant_series_stays_constant() -> None:
    df = pd.concat([frame(), frame()[lambda d: d["unique_id"] == "a"].assign(
        unique_id="flat", y=1234.5)])  # fmt: skip
    forecaster = Forecaster(**SMALL | {"max_steps": 100, "skip": "last"}).fit(df)
    flat = forecaster.predict()[lambda d: d["unique_id"] == "flat"]["TCN"]
    np.testing.assert_allclose(flat, 1234.5, atol=1.0)
    assert forecaster.trained_.statistics.scale[-1, 0] == 1


def test_static_columns_need_not_be_given_again_for_series_of_the_training() -> None:
    df, later = split(frame(80), 60)
    forecaster = fitted(**{k: tuple(v) for k, v in COVARIATES.items()})
    part = df[df["unique_id"] == "c"]
    without = forecaster.predict(part, later)
    pd.testing.assert_frame_equal(without, forecaster.predict(part, later, static_df=STATIC))
    with pytest.raises(ValueError, match="static_df: it is missing, and 1 series, such as 'new'"):
        forecaster.predict(part.assign(unique_id="new"), later.assign(unique_id="new"))


def test_a_category_not_seen_in_training_is_forecast() -> None:
    df, later = split(frame(80), 60)
    forecaster = fitted(**{k: tuple(v) for k, v in COVARIATES.items()})
    result = forecaster.predict(df, later, static_df=STATIC.assign(kind=["u", "w", "v"]))
    assert np.isfinite(result["TCN"]).all()


def test_a_frame_with_missing_values_is_learnt_under_a_mask() -> None:
    df = frame(120)
    wave = np.sin(2 * np.pi * df.groupby("unique_id").cumcount() / 7)
    df["y"] = wave
    holes = df.sample(frac=0.15, random_state=1).index
    df.loc[holes[: len(holes) // 2], "y"] = np.nan
    df = df.drop(holes[len(holes) // 2 :])
    train, test = split(df.reset_index(drop=True), 96)
    forecaster = Forecaster(
        7, 21, width=4, max_steps=300, missing="mask", accelerator="cpu", learning_rate=5e-3
    ).fit(train)
    result = forecaster.predict().merge(test, on=["unique_id", "ds"])
    assert (result["TCN"] - result["y"]).abs().mean() < 0.3  # a forecast of 0 has 0.64


# ------------------------------------------------------------------------------ horizon


@pytest.mark.parametrize("loss", ["mse", "quantiles", "student_t", "mixture"])
def test_a_longer_horizon_goes_on_from_the_trained_one(loss: str) -> None:
    forecaster = fitted(loss=loss)
    short, long = forecaster.predict(), forecaster.predict(h=11)
    first = long[long.groupby("unique_id").cumcount() < 4].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, short)
    assert len(long) == 33
    assert np.isfinite(numbers(long)).all()
    pd.testing.assert_frame_equal(long, forecaster.predict(h=11))


@pytest.mark.parametrize("rows", [60, 6])
@pytest.mark.filterwarnings("ignore:.*fewer past rows")
def test_beyond_the_horizon_points_are_those_of_feeding_points_back(rows: int) -> None:
    # By hand: the forecast becomes history, and the net is asked again; 6 rows are no whole
    # look-back, and 10 are none either.
    forecaster = fitted()
    df = frame().groupby("unique_id").tail(rows)[["unique_id", "ds", "y"]]
    long = forecaster.predict(df, h=12)
    step = long.groupby("unique_id").cumcount()
    for begin in (4, 8):
        fed = pd.concat([df, long[step < begin].rename(columns={"TCN": "y"})])
        again = forecaster.predict(fed.sort_values(["unique_id", "ds"]))
        block = long[(step >= begin) & (step < begin + 4)]
        np.testing.assert_allclose(block["TCN"], again["TCN"], rtol=1e-5)


def test_beyond_the_horizon_covariates_of_the_future_are_read() -> None:
    _, later = split(frame(80), 60)
    forecaster = fitted(**{k: tuple(v) for k, v in COVARIATES.items()}, loss="normal")
    before = forecaster.predict(futr_df=later, h=8, level=[80])
    changed = later.copy()
    changed.loc[changed.groupby("unique_id").cumcount() == 6, "price"] += 3
    after = forecaster.predict(futr_df=changed, h=8, level=[80])
    moved = (numbers(before) != numbers(after)).any(1).reshape(3, 8)
    assert moved.tolist() == [[False] * 6 + [True] + [False]] * 3
    short = later[later.groupby("unique_id").cumcount() < 6]
    with pytest.raises(ValueError, match="futr_df: 6 rows that are needed are absent"):
        forecaster.predict(futr_df=short, h=8)


def test_intervals_of_one_series_do_not_depend_on_the_others() -> None:
    forecaster, df = fitted(loss="normal"), frame()
    every = forecaster.predict(df, h=8)
    one = forecaster.predict(df[df["unique_id"] == "c"], h=8)
    expected = every[every["unique_id"] == "c"]
    np.testing.assert_allclose(numbers(one), numbers(expected), rtol=1e-5)


def test_sampled_paths_widen_as_a_random_walk_does() -> None:
    # By hand: steps of deviation 1 add up, so after 9 steps the interval is 3 times that after 1.
    steps = np.random.default_rng(0).normal(size=(40, 120))
    df = pd.DataFrame({
        "unique_id": np.repeat(np.arange(40), 120), "ds": np.tile(np.arange(120), 40),
        "y": steps.cumsum(1).ravel(),
    })  # fmt: skip
    forecaster = Forecaster(
        1, 4, loss="normal", scaler="identity", window_scaler="last", width=4, max_steps=300,
        learning_rate=1e-2, accelerator="cpu",
    ).fit(df)  # fmt: skip
    result = forecaster.predict(h=9, level=[80])
    width = (result["TCN-hi-80"] - result["TCN-lo-80"]).to_numpy().reshape(40, 9).mean(0)
    assert width[0] == pytest.approx(2 * 1.2816, rel=0.1)
    assert width[8] / width[0] == pytest.approx(3, rel=0.2)


def test_a_shorter_horizon_is_the_beginning_of_the_trained_one() -> None:
    forecaster = fitted()
    long = forecaster.predict()
    first = long[long.groupby("unique_id").cumcount() < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(forecaster.predict(h=2), first)


# ---------------------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    ("intervals", "loss"),
    [("conformal", "mse"), ("conformal", "normal"), ("cqr", "quantiles"), ("adaptive", "mae")],
)
def test_intervals_are_calibrated_on_what_was_not_trained_on(intervals: str, loss: str) -> None:
    forecaster = fitted(intervals=intervals, loss=loss)
    result = forecaster.predict(level=[50, 80])
    lower = numbers(result)[:, [1, 2]]
    assert (np.diff(lower, axis=1) >= 0).all()
    assert (result["TCN-lo-80"] < result["TCN-hi-80"]).all()
    # 27 windows of 3 series: enough for 80 % and not for 99 %.
    with pytest.raises(ValueError, match=r"level: 99 needs 99 calibration windows.* has 81"):
        forecaster.predict(level=[99])
    longer = forecaster.predict(h=6, level=[80])
    assert np.isfinite(numbers(longer)).all()
    with pytest.raises(ValueError, match="too few for a horizon of 31"):
        forecaster.predict(h=31, level=[80])


def test_conformal_intervals_cover_what_they_promise() -> None:
    df = frame(400)
    train, test = split(df, 300)
    forecaster = Forecaster(**SMALL | {"intervals": "conformal", "max_steps": 50})
    forecaster.fit(train, val_size=100)
    windows = [
        forecaster.predict(split(df, 300 + k)[0], level=[80]).merge(test, on=["unique_id", "ds"])
        for k in range(0, 96, 4)
    ]
    every = pd.concat(windows)
    share = every["y"].between(every["TCN-lo-80"], every["TCN-hi-80"]).mean()
    assert share == pytest.approx(0.8, abs=0.08)


# --------------------------------------------------------------------- cross-validation


def test_cross_validation_is_fit_and_predict_at_every_cutoff() -> None:
    # The same by hand: fit on what precedes the first window, then predict before each.
    df = frame()
    forecaster = Forecaster(**SMALL | {"loss": "normal"})
    found = forecaster.cross_validation(df, n_windows=3, step_size=2, level=[80])
    assert list(found.columns) == ["unique_id", "ds", "cutoff", "y", "TCN", "TCN-lo-80",
                                   "TCN-hi-80"]  # fmt: skip
    assert not hasattr(forecaster, "trained_")
    by_hand = clone(forecaster).fit(split(df, 52)[0])
    for length in (52, 54, 56):
        past = split(df, length)[0]
        expected = by_hand.predict(past, level=[80])
        cutoff = past["ds"].max()
        window = found[found["cutoff"] == cutoff].reset_index(drop=True)
        np.testing.assert_allclose(
            numbers(window)[:, 1:], numbers(expected), rtol=1e-5, err_msg=str(length)
        )
        came = expected.merge(df, on=["unique_id", "ds"])["y"]
        np.testing.assert_array_equal(window["y"], came)


def test_cross_validation_with_refit_trains_before_every_window() -> None:
    df = frame()
    forecaster = Forecaster(**SMALL)
    found = forecaster.cross_validation(df, n_windows=2, step_size=4, refit=True)
    for length in (52, 56):
        past = split(df, length)[0]
        expected = clone(forecaster).fit(past).predict()
        window = found[found["cutoff"] == past["ds"].max()]
        np.testing.assert_allclose(window["TCN"], expected["TCN"], rtol=1e-5)


def test_cross_validation_takes_covariates_and_a_validation_part() -> None:
    forecaster = Forecaster(**SMALL, **COVARIATES, intervals="conformal")
    found = forecaster.cross_validation(frame(80), 2, static_df=STATIC, val_size=24, level=[50])
    assert len(found) == 3 * 2 * 4
    assert np.isfinite(numbers(found)).all()


# -------------------------------------------------------------------------------- sklearn


def test_settings_are_an_estimator_s() -> None:
    forecaster = Forecaster(4, 12, loss=Quantiles((0.1, 0.5, 0.9)), futr_exog_list=["price"])
    assert forecaster.get_params()["input_size"] == 12
    copied = clone(forecaster).set_params(h=7, width=5)
    assert (copied.h, copied.width, forecaster.h) == (7, 5, 4)
    assert copied.futr_exog_list == ["price"]
    assert "loss=Quantiles" in repr(forecaster)
    with pytest.raises(ValueError, match="Invalid parameter 'wrong'"):
        copied.set_params(wrong=1)


def test_settings_changed_afterwards_are_checked_before_training() -> None:
    forecaster = Forecaster(**SMALL).set_params(dropout=1.5)
    with pytest.raises(ValueError, match=r"dropout: 1\.5 is not in"):
        forecaster.fit(frame())


def test_a_seed_makes_a_fit_reproducible_and_another_one_another_net() -> None:
    df = frame()
    first, second, other = (
        Forecaster(**SMALL | {"seed": seed, "dropout": 0.3}).fit(df).predict() for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert (numbers(first) != numbers(other)).all()


def test_a_fit_begins_anew() -> None:
    forecaster = Forecaster(**SMALL).fit(frame(40))
    forecaster.update(split(frame(41), 40)[1])
    again = forecaster.fit(frame()).predict()
    pd.testing.assert_frame_equal(again, fitted().predict(), check_exact=True)


# --------------------------------------------------------------------------------- faults


def changed(**columns: Any) -> pd.DataFrame:
    df = frame()[["unique_id", "ds", "y"]]
    for name, (row, value) in columns.items():
        df[name] = df[name].astype(object if isinstance(value, str) else df[name].dtype)
        df.loc[row, name] = value
    return df


def doubled() -> pd.DataFrame:
    df = frame()
    return pd.concat([df, df[3:5]])


def local(**keywords: Any) -> pd.DataFrame:
    df = frame()[lambda d: d["unique_id"] == "a"].copy()
    df["ds"] = pd.date_range("2024-10-26", periods=60, freq="h", **keywords)
    return df


FAULTS: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "1 NaN in the target": (
        lambda: changed(y=(3, math.nan)), "'y' is missing in 1 rows: unique_id='a'.*missing='mask'"
    ),
    "2 infinity": (lambda: changed(y=(3, math.inf)), "'y' is infinite in 1 rows: unique_id='a'"),
    "4 no row": (lambda: frame()[:0], "df: the frame is empty"),
    "5 one row": (lambda: frame()[:1], "freq: it cannot be inferred, for no series has two rows"),
    "7 shorter than the horizon and a row": (
        lambda: split(frame(), 4)[0], "have 4 rows at most, and a window needs 6"
    ),
    "8 doubled times": (doubled, "2 rows have the id and time of another one: unique_id='a'"),
    "10 a gap": (lambda: frame().drop([7, 8]), "absent in 1 gaps, before unique_id='a'.*fill="),
    "13 text as target": (lambda: changed(y=(3, "many")), "holds text that is not a number"),
    "no target column": (lambda: frame().drop(columns="y"), "no column 'y' among"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_data_is_refused_with_the_cure(fault: str) -> None:
    make, message = FAULTS[fault]
    with pytest.raises((ValueError, TypeError), match=message):
        Forecaster(**SMALL).fit(make())


def test_fault_3_series_without_a_value_are_left_out_or_refused() -> None:
    df = frame()
    df.loc[df["unique_id"] == "b", "y"] = math.nan
    with pytest.warns(UserWarning, match="1 series are left out.*'b'"):
        forecaster = Forecaster(**SMALL, missing="mask").fit(df)
    assert set(forecaster.predict()["unique_id"]) == {"a", "c"}
    with pytest.raises(ValueError, match="missing in every row of every series"):
        Forecaster(**SMALL, missing="mask").fit(df.assign(y=math.nan))


def test_faults_6_and_7_short_series_are_padded_or_left_out_of_training() -> None:
    df = frame()
    short = df[df["unique_id"] == "a"]
    df = pd.concat(
        [df, short.head(9).assign(unique_id="nine"), short.head(3).assign(unique_id="t")]
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = Forecaster(**SMALL).fit(df).predict()
    said = " | ".join(str(each.message) for each in caught)
    assert "1 of 5 series have fewer than 6 rows" in said
    assert "fewer past rows than input_size=12 (receptive field 13)" in said
    assert np.isfinite(numbers(result)).all()
    assert result["unique_id"].nunique() == 5


def test_fault_9_rows_out_of_order_are_sorted_in_a_copy() -> None:
    df = frame()
    with pytest.warns(UserWarning, match="not in order of time"):
        found = Forecaster(**SMALL).fit(df[::-1]).predict()
    # Series stay in the order in which they come, here c, b, a; only their rows are sorted.
    ordered = df.sort_values(["unique_id", "ds"], ascending=[False, True])
    expected = Forecaster(**SMALL).fit(ordered).predict()
    np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-6)
    pd.testing.assert_frame_equal(df, frame())


def test_fault_11_the_hour_that_comes_twice() -> None:
    aware = local(tz="Europe/Paris")
    result = Forecaster(**SMALL).fit(aware).predict()
    expected = pd.date_range("2024-10-26", periods=64, freq="h", tz="Europe/Paris")[60:]
    assert (pd.DatetimeIndex(result["ds"]) == expected).all()
    naive = aware.assign(ds=aware["ds"].dt.tz_localize(None))
    with pytest.raises(ValueError, match="comes twice when summer time ends"):
        Forecaster(**SMALL).fit(naive)


def test_fault_12_zones_in_one_frame_and_none_in_the_other() -> None:
    df, later = split(frame(80), 60)
    forecaster = Forecaster(**SMALL, futr_exog_list=["price"]).fit(df)
    aware = later.assign(ds=later["ds"].dt.tz_localize("UTC"))
    with pytest.raises(ValueError, match="the series have timestamps without a zone"):
        forecaster.predict(futr_df=aware)


def test_fault_15_a_net_of_other_channels() -> None:
    with pytest.raises(ValueError, match="in_channels=3, but there are 1 to read"):
        Forecaster(**SMALL | {"model": TCN(3, [2], 2)}).fit(frame())


class Hungry(LSTM):
    """Asks for 32 TiB, which no machine here has, for more rows than ``most``."""

    most = 128

    def advance(self, x: Tensor, state: Any, context: Any) -> Any:
        if len(x) > self.most:
            torch.empty(2**43)
        return super().advance(x, state, context)


def test_fault_22_forecasts_in_halves_where_memory_runs_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Hungry(1, 2)
    forecaster = Forecaster(**SMALL | {"model": net}).fit(frame())
    expected = forecaster.predict()
    assert not caplog.records
    monkeypatch.setattr(Hungry, "most", 1)  # of the three series
    pd.testing.assert_frame_equal(forecaster.predict(), expected, rtol=1e-6)
    assert "out of memory with 3 windows at once: going on with 1" in caplog.text
    monkeypatch.setattr(Hungry, "most", 0)
    with pytest.raises(MemoryError, match="one window alone does not fit"):
        forecaster.predict()
    with pytest.raises(MemoryError, match=r"batch_size: 128 windows .* such as 64"):
        Forecaster(**SMALL | {"model": net, "batch_size": 128}).fit(frame())


def test_fault_17_huge_and_tiny_numbers() -> None:
    df = frame()
    for factor in (1e30, 1e-30):
        result = Forecaster(**SMALL).fit(df.assign(y=df["y"] * factor)).predict()
        np.testing.assert_allclose(result["TCN"] / factor, fitted().predict()["TCN"], rtol=1e-4)
    with pytest.raises(ValueError, match=r"'y': .*does not fit into float32"):
        Forecaster(**SMALL | {"scaler": "identity"}).fit(df.assign(y=df["y"] * 1e40))


def test_fault_18_the_logarithm_of_what_has_none() -> None:
    df = frame()
    with pytest.raises(ValueError, match="scaler: 'log' needs values above 0"):
        Forecaster(**SMALL | {"scaler": "log"}).fit(df.assign(y=df["y"] - 40))


def test_fault_20_future_covariates_that_are_missing() -> None:
    forecaster = fitted(futr_exog_list=("price",))
    with pytest.raises(ValueError, match=r"futr_df: it is missing; the columns \['price'\]"):
        forecaster.predict()
    later = split(frame(80), 60)[1]
    with pytest.raises(ValueError, match="1 rows that are needed are absent: unique_id='b'"):
        forecaster.predict(futr_df=later.drop(21))


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"h": 0}, "h: 0 must be at least 1"),
    ({"input_size": -3}, "input_size: -3 must be at least 1"),
    ({"kernel_size": 0}, "kernel_size: 0 must be at least 1"),
    ({"width": 0}, "width: 0 must be at least 1"),
    ({"layers": 0}, "layers: 0 must be at least 1"),
    ({"dropout": 1.0}, r"dropout: 1.0 is not in \[0, 1\)"),
    ({"model": "transformer"}, "model: 'transformer' is not one of 'tcn', 'lstm', 'gru'"),
    ({"model": 3}, "model: int is neither a name"),
    ({"loss": "l2"}, "loss: no output is named 'l2'"),
    ({"scaler": "best"}, "scaler: 'best' is not one of"),
    ({"window_scaler": "best"}, "window_scaler: 'best' is not one of"),
    ({"skip": "all"}, "skip: 'all' is not one of"),
    ({"intervals": "wide"}, "intervals: 'wide' is not one of"),
    ({"intervals": "cqr"}, "intervals: 'cqr' corrects the quantiles of a distribution"),
    ({"missing": "drop"}, "missing: 'drop' is not one of"),
    ({"fill": "mean"}, "fill: 'mean' is not one of"),
    ({"calendar": "hour"}, "calendar: 'hour'; give 'auto' or a list"),
    ({"freq": "fortnight"}, "freq: 'fortnight' is not usable"),
    ({"loss": "poisson", "scaler": "standard"}, "scaler: 'standard' would make loss 'poisson'"),
    ({"loss": "poisson", "window_scaler": "revin"}, "window_scaler: 'revin' would make loss"),
    ({"futr_exog_list": ["y"]}, "futr: column 'y' is target already"),
    ({"futr_exog_list": "price"}, "futr_exog_list: 'price' is one name; give a list"),
    ({"learning_rate": 0}, "learning_rate: 0 must be above 0"),
    ({"seed": -1}, "seed: -1 must be at least 0"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_fault_23_settings_that_cannot_work_are_refused_at_once(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Forecaster(**SMALL | settings)


def test_what_is_asked_of_a_forecaster_is_checked() -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        Forecaster(**SMALL).predict()
    with pytest.raises(NotFittedError, match="call fit"):
        Forecaster(**SMALL).update(frame())
    forecaster = fitted()
    with pytest.raises(TypeError, match="level: 90 is one number; give a list"):
        forecaster.predict(level=90)
    for level, wrong in (("80", "'8' in '80'"), (["80"], r"'80' in \['80'\]"), ([True], "True in")):
        with pytest.raises(TypeError, match=f"level: {wrong}.* is not a number; give percents"):
            forecaster.predict(level=level)
    with pytest.raises(ValueError, match="level: 190 is not between 0 and 100"):
        forecaster.predict(level=[190])
    with pytest.raises(ValueError, match=r"level: 0.9 would be an interval of 0.9 percent.* 90$"):
        forecaster.predict(level=[0.9])
    with pytest.raises(TypeError, match="gives points alone; use loss='quantiles'"):
        forecaster.predict(level=[90])
    with pytest.raises(ValueError, match="h: 0 must be at least 1"):
        forecaster.predict(h=0)
    with pytest.raises(ValueError, match="val_size: 3 steps cannot hold a horizon of h=4"):
        Forecaster(**SMALL).fit(frame(), val_size=3)
    with pytest.raises(ValueError, match="val_size: 0, but intervals='conformal'"):
        Forecaster(**SMALL, intervals="conformal").fit(frame())
    with pytest.raises(ValueError, match="val_size: 60 steps leave nothing to train on"):
        Forecaster(**SMALL).fit(frame(), val_size=60)
    with pytest.raises(ValueError, match="are not counts"):
        Forecaster(**SMALL, loss="poisson").fit(frame())


def test_to_stop_early_takes_validation() -> None:
    patient = Forecaster(**SMALL | {"early_stop_patience_steps": 2})
    with pytest.raises(ValueError, match="early_stop_patience_steps: 2 with val_size=0, which lea"):
        patient.fit(frame(60))
    patient.fit(frame(60), val_size=12)


def test_forecasts_that_are_no_numbers_are_refused() -> None:
    forecaster = copy.deepcopy(fitted())
    with torch.no_grad():
        for parameter in forecaster.trained_.net.parameters():
            parameter.fill_(math.nan)
    with pytest.raises(ValueError, match=r"predict: the forecasts hold 12 NaN"):
        forecaster.predict()


def test_what_is_fitted_is_known_to_scikit_learn() -> None:
    with pytest.raises(NotFittedError):
        check_is_fitted(Forecaster(**SMALL))
    check_is_fitted(fitted())
