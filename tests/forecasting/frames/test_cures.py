"""What an error advises works when it is followed; warnings point to the line that called."""

import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcn.forecasting import Forecaster
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import future_from_frame, panel_from_frame

SMALL = {"h": 4, "input_size": 8, "width": 4, "max_steps": 2, "accelerator": "cpu"}
FUTR = Columns(futr=("x",))
PAST, ALL = 40, 44


def frame(freq: str = "D", rows: int = ALL) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=rows, freq=freq)
    parts = [
        pd.DataFrame({
            "unique_id": name, "ds": times, "y": np.arange(1.0, rows + 1) % 7, "x": np.arange(rows),
        })
        for name in "ab"
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True).astype({"x": float})


def rows_of(df: pd.DataFrame, begin: int, end: int) -> pd.DataFrame:
    row = df.groupby("unique_id").cumcount()
    return df[(row >= begin) & (row < end)].reset_index(drop=True)


@cache
def fitted(**settings: Any) -> Forecaster:
    return Forecaster(**SMALL | settings).fit(rows_of(frame(), 0, PAST))


def message(call: Callable[[], Any], match: str) -> str:
    with pytest.raises(ValueError, match=match) as caught:
        call()
    return str(caught.value)


def future(drop: bool = False) -> pd.DataFrame:
    """What comes, without the second and the last step of "a"."""
    df = rows_of(frame(), PAST, ALL).drop(columns="y")
    df.loc[[1, 3], "x"] = np.nan
    return df.dropna() if drop else df


@pytest.mark.parametrize("drop", [False, True])
def test_missing_values_of_the_future_are_filled_as_those_of_the_past(drop: bool) -> None:
    panel = panel_from_frame(rows_of(frame(), 0, PAST), columns=FUTR)
    found = future_from_frame(future(drop), panel, 4, "forward")[0, :, 0]
    assert found.tolist() == [40, 40, 42, 42]
    assert future_from_frame(future(drop), panel, 4, "zero")[0, :, 0].tolist() == [40, 0, 42, 0]
    cure = "fill='interpolate' cannot fill them; give them, or pass fill='forward'"
    assert cure in message(
        lambda: future_from_frame(future(drop), panel, 4, "interpolate"), "1 row"
    )
    nothing = future(drop).query("unique_id == 'b'")
    message(lambda: future_from_frame(nothing, panel, 4, "forward"), "4 rows that are needed")


def test_the_cures_for_the_future_work() -> None:
    text = message(lambda: fitted_with_future().predict(futr_df=future()), "'x' is missing in 2")
    assert "missing='mask' or fill='forward' to the Forecaster" in text
    assert np.isfinite(fitted_with_future(fill="forward").predict(futr_df=future())["TCN"]).all()
    for drop in (False, True):
        found = fitted_with_future(missing="mask").predict(futr_df=future(drop))
        assert np.isfinite(found["TCN"]).all()


def fitted_with_future(**settings: Any) -> Forecaster:
    past = rows_of(frame(), 0, PAST)
    return Forecaster(**SMALL | {"futr_exog_list": ["x"]} | settings).fit(past)


def test_the_cure_for_missing_values_is_the_one_that_works() -> None:
    df = rows_of(frame(), 0, PAST)
    rolled = df.assign(x=df.groupby("unique_id")["x"].transform(lambda x: x.rolling(5).mean()))
    for fill in (None, "forward"):
        text = message(lambda fill=fill: panel_from_frame(rolled, columns=FUTR, fill=fill), "'x'")
        assert "drop these first rows of their series, or pass missing='mask'" in text
    assert panel_from_frame(rolled.dropna(), columns=FUTR).lengths.tolist() == [36, 36]
    assert panel_from_frame(rolled, columns=FUTR, missing="mask").lengths.tolist() == [40, 40]
    text = message(lambda: panel_from_frame(rolled, columns=FUTR, fill="interpolate"), "'x'")
    assert "drop these first or last rows" in text
    hole = df.copy()
    hole.loc[20, "x"] = np.nan
    text = message(lambda: panel_from_frame(hole, columns=FUTR), "'x' is missing in 1 rows")
    assert "drop" not in text
    for fill in re.findall(r"'(forward|zero|interpolate)'", text):
        panel_from_frame(hole, columns=FUTR, fill=fill)
    both = rolled.copy()
    both.loc[20, "x"] = np.nan
    text = message(lambda: panel_from_frame(both, columns=FUTR), "'x' is missing in 9 rows")
    assert "drop the first rows of the series in which nothing came yet and pass fill" in text
    begun = both[both.groupby("unique_id").cumcount() >= 4]
    panel_from_frame(begun, columns=FUTR, fill="forward")


def test_a_new_series_of_one_row_needs_rows_not_another_horizon() -> None:
    new = frame()[:1].assign(unique_id="new")
    text = message(lambda: fitted().predict(new), "'new' have 1 rows at most")
    assert "lower h" not in text
    assert "give more rows" in text
    with pytest.warns(UserWarning, match="padded"):
        assert len(fitted().predict(frame()[:2].assign(unique_id="new"))) == 4


@pytest.mark.parametrize("kind", [{}, {"intervals": "adaptive"}, {"window_scaler": "identity"}])
@pytest.mark.filterwarnings("ignore")
def test_a_series_that_was_trained_on_with_one_row_moves_on(kind: dict[str, Any]) -> None:
    df = frame()
    short = df[PAST - 1 : PAST + 1].assign(unique_id="short")
    past = pd.concat([rows_of(df, 0, PAST), short[:1]])
    forecaster = Forecaster(**SMALL | kind).fit(past, val_size=8 if "intervals" in kind else 0)
    message(forecaster.predict, "'short' have 1 rows at most, .* give more rows of these series")
    carried = forecaster.update(short[1:], level=[])
    pd.testing.assert_frame_equal(carried, forecaster.predict(short, level=[]), rtol=1e-5)
    assert len(forecaster.predict()) == 12


@pytest.mark.parametrize(("windows", "val_size"), [(30, 0), (9, 0), (8, 6)])
@pytest.mark.filterwarnings("ignore")
def test_so_many_windows_that_nothing_is_left_to_train_on(windows: int, val_size: int) -> None:
    forecaster, df = Forecaster(**SMALL), rows_of(frame(), 0, PAST)
    text = message(lambda: forecaster.cross_validation(df, windows, val_size=val_size), "n_windows")
    most = int(re.search(r"give n_windows=(\d+) or fewer", text)[1])
    assert len(forecaster.cross_validation(df, most, val_size=val_size)) == 2 * 4 * most
    message(lambda: forecaster.cross_validation(df, most + 1, val_size=val_size), "n_windows")


@pytest.mark.parametrize(
    "settings",
    [
        {"alias": "y"}, {"alias": "ds"}, {"alias": "cutoff"}, {"target_col": "TCN"},
        {"target_col": "TCN-lo-90"}, {"id_col": "cutoff"}, {"time_col": "TCN-hi-99.5"},
        {"target_col": ["a", "a-TCN"]}, {"target_col": "cutoff"},
    ],
)  # fmt: skip
def test_a_forecast_named_like_a_column_of_the_frame_would_be_lost(settings: Any) -> None:
    """Of two columns of one name a frame keeps one: the caller's, or the forecasts."""
    cure = "give another alias|another one"
    assert re.search(cure, message(lambda: Forecaster(**SMALL, **settings), "alias: |cutoff: "))
    forecaster = Forecaster(**SMALL).fit(rows_of(frame(), 0, PAST)).set_params(alias="y")
    assert "alias='" not in message(forecaster.predict, "would be named 'y'")
    assert "forecast" in forecaster.set_params(alias="forecast").predict()


def test_what_load_would_refuse_is_not_saved(tmp_path: Path) -> None:
    forecaster = Forecaster(**SMALL).fit(rows_of(frame(), 0, PAST))
    for changed in ({"missing": "mask"}, {"target_col": "x"}, {"width": -1}, {"alias": "ds"}):
        before = {name: forecaster.get_params()[name] for name in changed}
        forecaster.set_params(**changed)
        cure = "set (it|them) back|must be at least 1|give another alias"
        message(lambda: forecaster.save(tmp_path / "f"), cure)
        assert not (tmp_path / "f").exists()
        forecaster.set_params(**before)
    assert len(Forecaster.load(forecaster.save(tmp_path / "f")).predict()) == 8


def test_levels_may_be_anything_that_holds_numbers() -> None:
    forecaster = Forecaster(**SMALL, loss="normal").fit(rows_of(frame(), 0, PAST))
    expected = forecaster.predict(level=[80, 90])
    levels: Any
    for levels in ({80, 90}, (level for level in (80, 90)), np.array([80, 90]), {80: 0, 90: 1}):
        pd.testing.assert_frame_equal(forecaster.predict(level=levels), expected)
    for one in (80, np.array(80), np.float32(80)):
        with pytest.raises(TypeError, match="is one number; give a list"):
            forecaster.predict(level=one)
    with pytest.raises(ValueError, match="write 90"):
        forecaster.cross_validation(None, level=[0.9])  # before any training


def test_settings_that_only_a_fit_can_follow_are_refused_after_it() -> None:
    forecaster, df = Forecaster(**SMALL).fit(rows_of(frame(), 0, PAST)), frame()
    gap = rows_of(df, PAST + 1, PAST + 2)
    forecaster.set_params(missing="mask")
    for call in (forecaster.predict, lambda: forecaster.update(gap)):
        assert "call fit(df) again" in message(call, "missing: 'mask' was set after fit")
    forecaster.set_params(missing="raise", target_col="x")
    message(forecaster.predict, "columns: they were set after fit")
    forecaster.set_params(target_col="y")
    assert len(forecaster.predict()) == 8


@pytest.mark.parametrize("before", [True, False])
def test_fill_may_be_set_at_any_time(before: bool) -> None:
    forecaster, df = Forecaster(**SMALL).fit(rows_of(frame(), 0, PAST)), frame()
    if not before:
        forecaster.update(rows_of(df, PAST, PAST + 1))
    gap = rows_of(df, PAST + 2, PAST + 3)
    message(lambda: forecaster.update(gap), "rows of freq='D' are absent")
    forecaster.set_params(fill="forward")
    assert forecaster.update(gap)["ds"].min() == df["ds"][PAST + 3]


def test_past_covariates_beyond_the_trained_horizon_are_told_of_once() -> None:
    forecaster = Forecaster(**SMALL | {"hist_exog_list": ["x"]}).fit(rows_of(frame(), 0, PAST))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")  # Python's own
        forecaster.predict()
        assert not seen
        for _ in range(3):
            forecaster.predict(h=9)
    (told,) = seen
    assert "h: 9 steps are more than the 4" in str(told.message)
    assert told.filename == __file__


@pytest.mark.filterwarnings("ignore")
def test_short_series_of_the_training_are_told_of_by_fit_alone() -> None:
    short = rows_of(frame(), 0, 7)
    with pytest.warns(UserWarning, match="padded") as told:
        forecaster = Forecaster(**SMALL).fit(short)
    assert {each.filename for each in told if "padded" in str(each.message)} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forecaster.predict()
        forecaster.update(rows_of(frame(), 7, 8))
    with pytest.warns(UserWarning, match="padded") as told:
        forecaster.predict(short)
    assert told[0].filename == __file__


def test_another_freq_that_fits_is_named() -> None:
    mondays = frame("W-MON")
    text = message(lambda: panel_from_frame(mondays, columns=Columns(), freq="W"), "whole number")
    assert "give freq='W-MON', which they fit" in text


@pytest.mark.parametrize("naive", [False, True])
def test_midnights_of_another_zone_are_brought_back(naive: bool) -> None:
    # Summer time ends on 2024-10-27: midnight in Paris is 22:00, then 23:00 in UTC.
    local = pd.date_range("2024-10-20", periods=20, freq="D", tz="Europe/Paris")
    utc = local.tz_convert("UTC")
    df = pd.DataFrame({"unique_id": "a", "ds": utc.tz_localize(None) if naive else utc, "y": 1.0})
    text = message(lambda: panel_from_frame(df, columns=Columns(), freq="D"), "whole number")
    assert "tz_convert('Europe/Paris')" in text
    times = df["ds"].dt.tz_localize("UTC") if naive else df["ds"]
    df["ds"] = times.dt.tz_convert("Europe/Paris")
    assert panel_from_frame(df, columns=Columns()).frequency.freq == "D"


def test_hours_of_working_days_are_told_that_weekends_are_forecast() -> None:
    hours = frame("h", 24 * 14)
    working = hours[hours["ds"].dt.dayofweek < 5].reset_index(drop=True)
    text = message(lambda: panel_from_frame(working, columns=Columns()), "are absent in 2 gaps")
    assert "number the rows 0, 1, 2, ... and give freq=1" in text
    with pytest.warns(UserWarning, match="no row falls on a Saturday or Sunday"):
        panel_from_frame(working, columns=Columns(), fill="forward")
    working["ds"] = working.groupby("unique_id").cumcount()
    assert panel_from_frame(working, columns=Columns(), freq=1).lengths.tolist() == [240, 240]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # weekends are there
        panel_from_frame(hours.drop(5), columns=Columns(), fill="forward")


def test_a_number_beyond_float32_is_told_of_another_scaler_only_where_that_helps() -> None:
    huge = rows_of(frame(), PAST, PAST + 1).assign(y=1e300)
    told = message(lambda: fitted().update(huge), "'y': .* does not fit into float32")
    assert "use scaler" not in told
    df = frame().assign(y=lambda part: part["y"] * 1e40)
    told = message(lambda: Forecaster(**SMALL, scaler="identity").fit(df), "float32")
    assert "use scaler='standard'" in told
    Forecaster(**SMALL, scaler="standard").fit(df)


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_times_of_the_wrong_kind_are_localized_as_the_error_says(zone: str | None) -> None:
    df = frame(rows=PAST + 8).assign(ds=lambda part: part["ds"].dt.tz_localize(zone))
    past, new = rows_of(df, 0, PAST), rows_of(df, PAST, PAST + 1)
    other = "UTC" if zone is None else None
    wrong = new.assign(ds=new["ds"].dt.tz_localize(None).dt.tz_localize(other))
    forecaster = Forecaster(**SMALL).fit(past)
    told = message(lambda: forecaster.update(wrong), "new_rows: column 'ds' holds timestamps")
    assert told.endswith(f"Series.dt.tz_localize({zone!r})")
    cured = wrong["ds"].dt.tz_localize(zone)
    pd.testing.assert_frame_equal(forecaster.update(wrong.assign(ds=cured)), forecaster.predict())


def test_ids_that_are_lists_are_named() -> None:
    df = rows_of(frame(), 0, PAST)
    df["unique_id"] = [[name] for name in df["unique_id"]]
    with pytest.raises(TypeError, match=r"df: column 'unique_id' holds ids .* astype\(str\)"):
        Forecaster(**SMALL).fit(df)
    df["unique_id"] = df["unique_id"].astype(str)
    forecaster = Forecaster(**SMALL).fit(df)
    one = df[-1:].assign(unique_id=[["a"]])
    with pytest.raises(TypeError, match="new_rows: column 'unique_id' holds ids"):
        forecaster.update(one)
