"""Updates: the next forecast from a carried state is the forecast from scratch."""

import copy
import pickle
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tcn.forecasting import Forecaster
from tcn.forecasting.frames.calendar import calendar_features
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import panel_from_frame
from tcn.forecasting.intervals import AdaptiveConformal
from tcn.forecasting.live.ahead import Ahead
from tcn.forecasting.live.streaming import StreamedNet

SMALL = {"h": 3, "input_size": 10, "width": 4, "max_steps": 6, "accelerator": "cpu"}
STATIC = pd.DataFrame({"unique_id": ["a", "b"], "area": [1.0, 2], "kind": ["u", "v"]})
TRAINED, ALL = 40, 60
COVARIATES: dict[str, Any] = {
    "futr_exog_list": ["price"],
    "hist_exog_list": ["visits"],
    "stat_exog_list": ["area"],
    "categorical_list": ["kind"],
    "calendar": ["dayofweek"],
}
KINDS: dict[str, dict[str, Any]] = {
    "tcn": {},
    "lstm": {"model": "lstm", "loss": "normal"},
    "revin": {"window_scaler": "revin", "loss": "quantiles"},
    "carried": {"window_scaler": "identity", "layers": 1},
    "carried, conditioned": {
        "window_scaler": "identity", "layers": 1, "stat_exog_list": ["area"],
        "categorical_list": ["kind"],
    },
    "covariates": COVARIATES,
    "several targets": {"target_col": ["y", "price"], "loss": "student_t"},
    "conformal": {"intervals": "conformal"},
    "cqr": {"intervals": "cqr", "loss": "quantiles"},
    "missing": {"missing": "mask"},
    "monthly": {"freq": "MS"},
    "past covariates": {"hist_exog_list": ["visits"], "model": "gru"},
}  # fmt: skip


def frame(freq: str = "D") -> pd.DataFrame:
    generator, parts = np.random.default_rng(0), []
    for number, name in enumerate("ab"):
        level = 100 * (number + 1)
        parts.append(
            pd.DataFrame({
                "unique_id": name,
                "ds": pd.date_range("2024-01-01", periods=ALL, freq=freq),
                "y": level + 5 * generator.normal(size=ALL).cumsum(),
                "price": generator.normal(size=ALL),
                "visits": generator.normal(size=ALL),
            })
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def rows_of(df: pd.DataFrame, begin: int, end: int) -> pd.DataFrame:
    row = df.groupby("unique_id").cumcount()
    return df[(row >= begin) & (row < end)].reset_index(drop=True)


@cache
def trained(kind: str) -> Forecaster:
    settings = KINDS[kind]
    val_size = 20 if "intervals" in settings else 0
    df = rows_of(frame(settings.get("freq", "D")), 0, TRAINED)
    static = STATIC if "stat_exog_list" in settings else None
    forecaster = Forecaster(**SMALL | settings).fit(df, static, val_size)
    # After so few steps the encoder says next to nothing; here it has to count.
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in forecaster.trained_.net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    return forecaster


def fresh(kind: str) -> Forecaster:
    return copy.deepcopy(trained(kind))


def numbers(df: pd.DataFrame) -> np.ndarray:
    return df.select_dtypes("number").to_numpy()


@pytest.mark.parametrize("kind", KINDS)
@given(
    chunks=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    horizon=st.sampled_from([None, 2, 5]),
)
@examples(max_examples=4)
def test_a_carried_forecast_is_that_from_scratch(
    kind: str, chunks: list[int], horizon: int | None
) -> None:
    forecaster, df = fresh(kind), frame(KINDS[kind].get("freq", "D"))
    later = df if "futr_exog_list" in KINDS[kind] else None
    seen = TRAINED
    for chunk in chunks:
        new = rows_of(df, seen, seen + chunk)
        seen += chunk
        carried = forecaster.update(new, later, h=horizon)
        scratch = forecaster.predict(rows_of(df, 0, seen), later, h=horizon)
        assert list(carried.columns) == list(scratch.columns)
        assert (carried["ds"] == scratch["ds"]).all()
        np.testing.assert_allclose(numbers(carried), numbers(scratch), rtol=1e-5, atol=1e-5)
    again = forecaster.predict(futr_df=later, h=horizon)
    np.testing.assert_allclose(numbers(again), numbers(carried), rtol=1e-5, atol=1e-5)


def test_the_state_is_carried_where_it_can_be_and_nowhere_else() -> None:
    for kind in ("tcn", "revin", "lstm", "carried", "carried, conditioned"):
        forecaster = fresh(kind)
        forecaster.update(rows_of(frame(), TRAINED, TRAINED + 1))
        assert forecaster._live._net.carries == kind.startswith("carried"), kind


@pytest.mark.parametrize("kind", ["tcn", "carried"])
def test_one_series_may_move_on_without_the_others(kind: str) -> None:
    forecaster, df = fresh(kind), frame()
    only = df[df["unique_id"] == "b"].reset_index(drop=True)
    for row in range(TRAINED, TRAINED + 3):
        result = forecaster.update(only[row : row + 1])
        assert result["unique_id"].unique().tolist() == ["b"]
    expected = forecaster.predict(only[: TRAINED + 3])
    np.testing.assert_allclose(numbers(result), numbers(expected), rtol=1e-5)
    every = forecaster.predict()
    np.testing.assert_allclose(numbers(every)[:3], numbers(trained(kind).predict())[:3])
    np.testing.assert_allclose(numbers(every)[3:], numbers(expected), rtol=1e-5)
    both = forecaster.update(
        pd.concat([only[TRAINED + 3 : TRAINED + 4], rows_of(df, TRAINED, TRAINED + 1)[:1]])
    )
    assert both["unique_id"].unique().tolist() == ["b", "a"]


PLAIN = ("tcn", "lstm", "revin", "carried", "carried, conditioned", "several targets", "conformal",
         "cqr", "missing", "monthly", "past covariates")  # fmt: skip


@pytest.mark.parametrize("kind", PLAIN)
def test_a_row_at_a_time_takes_a_short_way_to_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecaster, df = fresh(kind), frame(KINDS[kind].get("freq", "D"))
    one = df[df["unique_id"] == "b"].reset_index(drop=True)
    forecaster.update(one[TRAINED : TRAINED + 1])
    whole = forecaster.predict(one[: TRAINED + 4])
    with monkeypatch.context() as patched:
        patched.setattr("tcn.forecasting.forecaster.Rows.read", None)  # the long way
        for row in range(TRAINED + 1, TRAINED + 4):
            carried = forecaster.update(one[row : row + 1])
    pd.testing.assert_frame_equal(carried, whole, rtol=1e-5, atol=1e-5)
    again = forecaster.predict().query("unique_id == 'b'").reset_index(drop=True)
    pd.testing.assert_frame_equal(carried, again, rtol=1e-5, atol=1e-5)
    # What the caller does with a result changes no other one.
    carried["unique_id"] = "other"
    carried.loc[0, "ds"] = pd.NaT
    assert (forecaster.update(one[TRAINED + 4 : TRAINED + 5])["unique_id"] == "b").all()


def test_years_move_on_though_the_last_time_that_can_be_counted_is_near() -> None:
    # Times of nanoseconds end in the year 2262.
    times = pd.date_range("1980-01-01", periods=ALL, freq="YS")
    df = pd.DataFrame({"unique_id": "a", "ds": times, "y": np.arange(float(ALL)) % 7})
    forecaster = Forecaster(**SMALL).fit(df[:TRAINED])
    for row in range(TRAINED, TRAINED + 3):
        result = forecaster.update(df[row : row + 1])
        fresh = forecaster.predict(df[: row + 1])
        pd.testing.assert_frame_equal(result, fresh, rtol=1e-4)
        assert result["ds"].tolist() == times[row + 1 : row + 4].tolist()


@pytest.mark.parametrize("loss", ["mse", "quantiles"])
def test_what_was_looked_at_changes_no_intervals_of_an_update(loss: str) -> None:
    intervals = "conformal" if loss == "mse" else "cqr"
    df, results = frame(), []
    for looks in (False, True):
        forecaster = Forecaster(**SMALL, intervals=intervals, loss=loss)
        forecaster.fit(rows_of(df, 0, TRAINED), val_size=15)
        for row in range(TRAINED, TRAINED + 10):
            forecaster.update(rows_of(df, row, row + 1))
            if looks:
                forecaster.predict()
        new = rows_of(df, TRAINED + 10, TRAINED + 11)
        results.append(forecaster.update(new, h=5, level=[60]))
    pd.testing.assert_frame_equal(*results)


def test_times_in_a_result_belong_to_the_caller() -> None:
    # By hand: rows are numbered, so the last ten are known whatever was written into results.
    df = frame().assign(ds=np.tile(np.arange(ALL), 2))
    one = df[df["unique_id"] == "b"].reset_index(drop=True)
    forecaster = Forecaster(**SMALL).fit(rows_of(df, 0, TRAINED))
    for row in range(TRAINED, TRAINED + 6):
        result = forecaster.update(one[row : row + 1])
        assert result["ds"].tolist() == [row + 1, row + 2, row + 3]
        result.loc[:, "ds"] = 0
    assert forecaster._history.times[-10:].tolist() == list(range(TRAINED - 4, TRAINED + 6))


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA])
def test_a_known_future_without_an_id_is_refused_row_by_row(absent: Any) -> None:
    df = frame()
    one, later = df[df["unique_id"] == "b"].reset_index(drop=True), df.drop(columns="y")
    forecaster = Forecaster(**SMALL, futr_exog_list=["price"]).fit(rows_of(df, 0, TRAINED))
    forecaster.update(one[TRAINED : TRAINED + 1], later)
    later["unique_id"] = later["unique_id"].astype(object)
    later.loc[TRAINED + 3, "unique_id"] = absent  # of "a", in the horizon
    with pytest.raises(ValueError, match="futr_df: column 'unique_id' has no id in 1 rows, at"):
        forecaster.update(one[TRAINED + 1 : TRAINED + 2], later)
    carried = forecaster.update(one[TRAINED + 1 : TRAINED + 2], later.dropna())
    scratch = forecaster.predict(one[: TRAINED + 2], later.dropna())
    np.testing.assert_allclose(numbers(carried), numbers(scratch), rtol=1e-5, atol=1e-5)


ZONED: dict[str, dict[str, Any]] = {
    "covariates": {},
    "zone": {"futr_exog_list": (), "stat_exog_list": (), "categorical_list": ()},
    "months": {"freq": "MS", "calendar": ["month"]},
    "hours": {"freq": "h", "calendar": ["hour", "month"]},
}


@pytest.mark.parametrize("kind", ZONED)
def test_known_futures_calendars_and_zones_take_the_short_way_too(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = COVARIATES | ZONED[kind]
    df = frame(settings.get("freq", "D"))
    # Summer time begins and ends among the rows: 2024-03-31 and, of the months, every year.
    shift = pd.Timestamp("2024-03-30 12:00") - df["ds"][TRAINED + 5]
    begin = "D" if settings.get("freq") == "h" else None
    df["ds"] = (df["ds"] + (shift.floor(begin) if begin else pd.Timedelta(0))).dt.tz_localize(
        "Europe/Paris", nonexistent="shift_forward", ambiguous=True
    )
    if settings.get("freq") == "h":
        first = df["ds"].min().tz_convert("UTC")
        hours = pd.date_range(first, periods=ALL, freq="h").tz_convert("Europe/Paris")
        df["ds"] = hours.append(hours)
    static = STATIC if settings["stat_exog_list"] else None
    forecaster = Forecaster(**SMALL | settings).fit(rows_of(df, 0, TRAINED), static)
    later = df.drop(columns="y") if settings["futr_exog_list"] else None
    one = df[df["unique_id"] == "b"].reset_index(drop=True)
    forecaster.update(one[TRAINED : TRAINED + 1], later)
    for row in range(TRAINED + 1, TRAINED + 8):
        with monkeypatch.context() as patched:
            patched.setattr("tcn.forecasting.forecaster.Rows.read", None)  # the long way
            carried = forecaster.update(one[row : row + 1], later)
        whole = forecaster.predict(one[: row + 1], later)
        pd.testing.assert_frame_equal(carried, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("freq", ["D", "MS", "W-SUN", "h", "QS"])
@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_steps_that_are_looked_up_are_those_computed_one_by_one(
    freq: str, zone: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At half past two a day's row is moved when summer time begins, 2024-03-31.
    monkeypatch.setattr("tcn.forecasting.live.ahead.AT_ONCE", 7)
    times = pd.date_range("2024-03-01 02:30", periods=60, freq=freq)
    if zone is not None:
        times = times.tz_localize(zone, nonexistent="shift_forward", ambiguous=True)
    panel = panel_from_frame(
        pd.DataFrame({"unique_id": "a", "ds": times[:30], "y": 1.0}), columns=Columns(), freq=freq
    )
    ahead = Ahead(panel, ("dayofyear",))
    for time in [*panel.times, panel.times[3], *panel.future_times(9)[0]]:
        found = ahead.after(time, 4)
        here = slice(found.begin, found.begin + 5)
        following = panel.frequency.after(np.array([time]), 4, zone)[0]
        np.testing.assert_array_equal(found.times[here], [time, *following])
        expected = calendar_features(found.times[here], ("dayofyear",), zone)
        np.testing.assert_array_equal(found.calendar[here], expected)


@pytest.mark.parametrize("kind", ["tcn", "carried", "covariates", "adaptive"])
def test_many_series_are_forecast_together(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    df, settings = frame(), KINDS.get(kind, {"intervals": kind})
    forecaster = Forecaster(**SMALL | settings).fit(
        rows_of(df, 0, TRAINED), STATIC if kind == "covariates" else None, 20
    )
    calls = []
    forecaster.update(rows_of(df, TRAINED, TRAINED + 1), df)
    answer = StreamedNet.__call__
    monkeypatch.setattr(
        StreamedNet, "__call__", lambda net, batch: calls.append(0) or answer(net, batch)
    )
    # "b" has a row more than "a": they move on by different steps.
    together = forecaster.update(rows_of(df, TRAINED + 1, TRAINED + 3).drop(1), df, level=[])
    assert len(calls) == 1
    whole = rows_of(df, 0, TRAINED + 3).drop(TRAINED + 2)
    scratch = forecaster.predict(whole, df, level=[])
    np.testing.assert_allclose(numbers(together), numbers(scratch), rtol=1e-5, atol=1e-5)


def test_a_row_after_a_window_with_holes_takes_the_short_way_too() -> None:
    forecaster, df = fresh("missing"), frame()
    one = df[df["unique_id"] == "a"].reset_index(drop=True)
    one.loc[TRAINED, "y"] = np.nan
    for row in range(TRAINED, TRAINED + 14):
        carried = forecaster.update(one[row : row + 1])
        scratch = forecaster.predict(one[: row + 1])
        np.testing.assert_allclose(numbers(carried), numbers(scratch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["tcn", "carried"])
def test_more_rows_than_the_look_back_at_once(kind: str) -> None:
    forecaster, df = fresh(kind), frame()
    forecaster.update(rows_of(df, TRAINED, TRAINED + 1))
    carried = forecaster.update(rows_of(df, TRAINED + 1, TRAINED + 15))
    scratch = forecaster.predict(rows_of(df, 0, TRAINED + 15))
    np.testing.assert_allclose(numbers(carried), numbers(scratch), rtol=1e-5, atol=1e-5)


def test_many_updates_are_joined_to_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcn.forecasting.live.forecaster.PENDING", 3)
    forecaster, df = fresh("tcn"), frame()
    for row in range(TRAINED, ALL):
        forecaster.update(rows_of(df, row, row + 1))
        assert forecaster._live._pending_rows <= 5  # a quarter of the 20 rows of the history
    assert (forecaster._history.lengths == 10).all()
    np.testing.assert_allclose(numbers(forecaster.predict()), numbers(forecaster.predict(df)))


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "save"])
def test_a_copy_goes_on_where_the_stream_stands(how: str, tmp_path) -> None:
    forecaster, df = fresh("tcn"), frame()
    forecaster.update(rows_of(df, TRAINED, TRAINED + 2))
    if how == "save":
        other = Forecaster.load(forecaster.save(tmp_path / "saved"))
    else:
        other = copy.deepcopy(forecaster) if how == "deepcopy" else pickle.loads(
            pickle.dumps(forecaster))  # fmt: skip
    new = rows_of(df, TRAINED + 2, TRAINED + 3)
    np.testing.assert_allclose(numbers(other.update(new)), numbers(forecaster.update(new)))


@pytest.mark.parametrize("kind", ["tcn", "carried", "lstm"])
def test_threads_may_move_series_on_at_once(kind: str) -> None:
    df, forecaster = frame(), fresh(kind)
    found: dict[str, list[np.ndarray]] = {"a": [], "b": []}
    raised: list[BaseException] = []
    together = threading.Barrier(4)

    def move(name: str) -> None:
        try:
            together.wait()
            rows = df[df["unique_id"] == name].reset_index(drop=True)
            for begin in range(TRAINED, ALL):
                found[name].append(numbers(forecaster.update(rows[begin : begin + 1])))
        except BaseException as error:
            raised.append(error)

    def look() -> None:
        try:
            together.wait()
            for _ in range(10):
                forecaster.predict()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=move, args=(name,)) for name in "ab"]
    threads += [threading.Thread(target=look) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not raised
    alone = fresh(kind)
    for name, forecasts in found.items():
        rows = df[df["unique_id"] == name].reset_index(drop=True)
        for begin, forecast in zip(range(TRAINED, ALL), forecasts, strict=True):
            np.testing.assert_array_equal(numbers(alone.update(rows[begin : begin + 1])), forecast)


def test_missing_values_and_rows_are_masked() -> None:
    forecaster, df = fresh("missing"), frame()
    df.loc[[TRAINED + 1, ALL + TRAINED + 2], "y"] = np.nan
    new = rows_of(df, TRAINED, TRAINED + 6)
    new = new[new.groupby("unique_id").cumcount() != 3]
    carried = forecaster.update(new)
    scratch = forecaster.predict(pd.concat([rows_of(df, 0, TRAINED), new]).sort_values(
        ["unique_id", "ds"]))  # fmt: skip
    np.testing.assert_allclose(numbers(carried), numbers(scratch), rtol=1e-5, atol=1e-5)


def test_a_gap_is_filled_where_that_was_asked_for() -> None:
    df = frame()
    forecaster = Forecaster(**SMALL, fill="forward").fit(rows_of(df, 0, TRAINED))
    new = rows_of(df, TRAINED + 2, TRAINED + 3)
    carried = forecaster.update(new)
    scratch = forecaster.predict(
        pd.concat([rows_of(df, 0, TRAINED), new]).sort_values(["unique_id", "ds"])
    )
    np.testing.assert_allclose(numbers(carried), numbers(scratch), rtol=1e-5, atol=1e-5)


def test_adaptive_intervals_learn_from_what_comes() -> None:
    # Another implementation: AdaptiveConformal, fed with the forecasts by hand.
    df = frame()
    forecaster = Forecaster(**SMALL, intervals="adaptive").fit(rows_of(df, 0, TRAINED), val_size=20)
    one = df[df["unique_id"] == "a"].reset_index(drop=True)
    scale = forecaster.trained_.statistics.scale[0, 0]
    errors = forecaster.trained_.band(3).errors
    adaptive = AdaptiveConformal(level=80).start(errors * scale)
    adaptive.issue(forecaster.predict(one[:TRAINED], level=[80])["TCN"].to_numpy()[None])
    for row in range(TRAINED, TRAINED + 8):
        result = forecaster.update(one[row : row + 1], level=[80])
        adaptive.observe(one["y"][row : row + 1].to_numpy())
        low, high = adaptive.issue(result["TCN"].to_numpy()[None])
        np.testing.assert_allclose(result["TCN-lo-80"], low[0], rtol=1e-4)
        np.testing.assert_allclose(result["TCN-hi-80"], high[0], rtol=1e-4)
    fixed = forecaster.predict(one[: TRAINED + 8], level=[80])
    assert (fixed["TCN-hi-80"] - result["TCN-hi-80"]).abs().max() > 1e-3


@pytest.mark.parametrize("kept", ["file", "pickle"])
def test_adaptive_intervals_go_on_after_loading(tmp_path: Path, kept: str) -> None:
    # Two series, of which one moves on further; two levels, and one asked for only afterwards.
    df = frame()
    forecaster = Forecaster(**SMALL, intervals="adaptive").fit(rows_of(df, 0, TRAINED), val_size=20)
    one, two = (df[df["unique_id"] == name].reset_index(drop=True) for name in ("a", "b"))
    for row in range(TRAINED, TRAINED + 6):
        forecaster.update(one[row : row + 1], level=[80, 95])
        if row < TRAINED + 3:
            forecaster.update(two[row : row + 1], level=[80])
    if kept == "file":
        again = Forecaster.load(forecaster.save(tmp_path / "forecaster"))
    else:
        again = pickle.loads(pickle.dumps(forecaster))
    learnt = forecaster.trained_.adaptive
    assert again.trained_.adaptive.keys() == learnt.keys()
    for row in range(TRAINED + 6, TRAINED + 9):
        for frame_of, at in ((one, row), (two, row - 3)):
            new = frame_of[at : at + 1]
            expected = forecaster.update(new, level=[70, 80])
            found = again.update(new, level=[70, 80])
            np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-5, atol=1e-6)
    for key, streams in learnt.items():
        found, expected = again.trained_.adaptive[key].state(), streams.state()
        np.testing.assert_array_equal(again.trained_.adaptive[key].numbers, streams.numbers)
        np.testing.assert_allclose(found["alpha"], expected["alpha"])
        assert (expected["alpha"] != 1 - key[0] / 100).any(axis=(1, 2)).all()  # each learnt


def test_adaptive_intervals_cover_after_the_series_has_changed() -> None:
    # The point of them: the noise is five times that of the calibration.
    generator = np.random.default_rng(0)
    y = np.concatenate([generator.normal(size=300), 5 * generator.normal(size=400)])
    df = pd.DataFrame({"unique_id": "a", "ds": np.arange(700), "y": y})
    settings = SMALL | {"h": 1, "window_scaler": "identity", "scaler": "identity"}
    forecaster = Forecaster(**settings, intervals="adaptive").fit(df[:300], val_size=100)
    held = {True: 0, False: 0}
    for row in range(300, 699):
        adapted = forecaster.update(df[row : row + 1], level=[80])
        fixed = forecaster.predict(level=[80]) if row % 20 == 0 else None
        for result, live in ((adapted, True), (fixed, False)):
            if row >= 500 and result is not None:
                inside = result["TCN-lo-80"].iloc[0] <= y[row + 1] <= result["TCN-hi-80"].iloc[0]
                held[live] += int(inside)
    assert held[True] / 199 == pytest.approx(0.8, abs=0.07)
    assert held[False] / 10 < 0.5


def refused(message: str, new: pd.DataFrame, **arguments: Any) -> None:
    kind = "covariates" if arguments else "tcn"
    forecaster, df = fresh(kind), frame()
    later = arguments.get("futr_df", None if kind == "tcn" else df)
    forecaster.update(rows_of(df, TRAINED, TRAINED + 1), df)
    before = forecaster.predict(futr_df=df)
    with pytest.raises((ValueError, TypeError), match=message):
        forecaster.update(new, later)
    # Nothing has been taken.
    pd.testing.assert_frame_equal(forecaster.predict(futr_df=df), before)
    forecaster.update(rows_of(df, TRAINED + 1, TRAINED + 2), df)


def test_rows_that_do_not_follow_are_refused_and_nothing_is_taken() -> None:
    df = frame()
    again = rows_of(df, TRAINED, TRAINED + 1)
    refused(r"2 rows are not later than the last one .* 'a' is 2024-02-10", again)
    refused("new_rows: 2 rows of freq='D' are absent", rows_of(df, TRAINED + 2, TRAINED + 3))
    off = rows_of(df, TRAINED + 1, TRAINED + 2)
    refused("not a whole number of steps", off.assign(ds=off["ds"] + pd.Timedelta("1h")))
    refused("series 'new' were not there in training", off.assign(unique_id=["new", "a"]))
    refused("column 'y' is missing in 1 rows", off.assign(y=[1.0, np.nan]))
    refused("column 'y' is infinite", off.assign(y=[1.0, np.inf]))
    refused("no column 'y'", off.drop(columns="y"))
    refused(
        "the series have timestamps without a zone", off.assign(ds=off["ds"].dt.tz_localize("UTC"))
    )
    refused("futr_df: 4 rows that are needed are absent", off, futr_df=rows_of(df, 0, TRAINED + 3))


def test_a_series_within_the_validation_part_is_scaled_alike_by_update_and_predict() -> None:
    df = frame()
    late = df[df["unique_id"] == "b"][TRAINED - 6 :].assign(unique_id="late")
    past = pd.concat([rows_of(df, 0, TRAINED), late[:6]])
    forecaster = Forecaster(**SMALL).fit(past, val_size=10)
    carried = forecaster.update(late[6:12])
    so_far = [forecaster.predict(late[:12]), forecaster.predict().query("unique_id == 'late'")]
    for scratch in so_far:
        np.testing.assert_allclose(numbers(carried), numbers(scratch), rtol=1e-5, atol=1e-5)
