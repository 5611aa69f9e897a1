"""Metrics against utilsforecast's own evaluation, and naive forecasts counted by hand."""

from functools import partial
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss
from utilsforecast import losses
from utilsforecast.evaluation import evaluate as utils_evaluate

from tcn.forecasting.evaluation.metrics import coverage_by_level, error_by_step, evaluate
from tcn.forecasting.evaluation.naive import SeasonalHistory
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.rows import Rows

HOURS = pd.date_range("2024-01-01", periods=200, freq="h")


def past(series: int = 3, rows: int = 200, seed: int = 0) -> pd.DataFrame:
    """Daily waves of different sizes, with noise."""
    generator = np.random.default_rng(seed)
    wave = np.sin(np.arange(rows) * 2 * np.pi / 24)
    return pd.concat(
        [
            pd.DataFrame({
                "unique_id": f"s{number}",
                "ds": HOURS[:rows],
                "y": 10.0**number * (10 + 3 * wave + generator.normal(size=rows)),
            })
            for number in range(series)
        ],
        ignore_index=True,
    )  # fmt: skip


def forecasts(
    data: pd.DataFrame, cutoffs: tuple[int, ...] = (151, 175), *, h: int = 24, seed: int = 1
) -> pd.DataFrame:
    """What came with noise, as two models with intervals would have forecast it."""
    generator = np.random.default_rng(seed)
    parts = []
    for cutoff in cutoffs:
        after = (data["ds"] > HOURS[cutoff]) & (data["ds"] <= HOURS[cutoff + h])
        part = data[after].assign(cutoff=HOURS[cutoff])
        size = part.groupby("unique_id")["y"].transform("std")
        for model in ("TCN", "LSTM"):
            part[model] = part["y"] + size * generator.normal(size=len(part)) / 2
            for level, width in ((80, 0.6), (90, 0.9)):
                part[f"{model}-lo-{level}"] = part[model] - width * size
                part[f"{model}-hi-{level}"] = part[model] + width * size
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def by_metric(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("metric")


# ----------------------------------------------------------------------------------- seasonal naive


def rows(values: list[float], *lengths: int) -> Rows:
    counts = lengths or (len(values),)
    return Rows(
        "df",
        Columns(),
        ("y",),
        np.arange(len(counts)),
        np.repeat(np.arange(len(counts)), counts),
        np.concatenate([np.arange(count) for count in counts]),
        np.array(values, dtype=np.float64)[:, None],
        None,
        None,
    )


def history(values: list[float], season: int, *lengths: int) -> SeasonalHistory:
    return SeasonalHistory(rows(values, *lengths), season)


def test_the_last_season_is_repeated() -> None:
    seen = history([9, 9, 1, 2, 3, 4], 3)
    series, last = np.zeros(7, int), np.full(7, 5)
    assert seen.forecast(series, last, np.arange(7)).tolist() == [2, 3, 4, 2, 3, 4, 2]
    assert seen.forecast(series, np.full(7, 3), np.arange(7)).tolist() == [9, 1, 2, 9, 1, 2, 9]


def test_less_than_a_season_repeats_the_last_value() -> None:
    seen = history([5, 1, 2, 7, 8], 3, 3, 2)
    assert seen.forecast(np.array([1, 1]), np.array([4, 4]), np.array([0, 4])).tolist() == [8, 8]
    assert seen.forecast(np.array([0]), np.array([2]), np.array([0])).tolist() == [5]


def test_a_missing_value_is_the_one_before_it() -> None:
    seen = history([1, 2, np.nan, 4, 10, np.nan], 2)
    assert seen.forecast(np.zeros(2, int), np.full(2, 5), np.arange(2)).tolist() == [10, 10]
    # Pairs two apart: (2, 4) and (4, missing) and (missing, 10) and (1, missing).
    assert seen.mean_error(np.array([5])).tolist() == [2]


def test_errors_up_to_a_row() -> None:
    seen = history([1, 4, 2, 8, 100], 2)
    # |2 - 1|, |8 - 4|; then |100 - 2| too.
    assert seen.mean_error(np.array([1, 2, 3, 4])) == pytest.approx([np.nan, 1, 2.5, 103 / 3],
                                                                    nan_ok=True)  # fmt: skip
    deviation = seen.deviation(np.full(3, 3), np.array([0, 1, 2]))
    # The root of the mean of 1 and 16, and of twice that one season on.
    assert deviation == pytest.approx([8.5**0.5, 8.5**0.5, 17**0.5])


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    cutoff=st.integers(-1, 9),
)
@settings(max_examples=40)
def test_rows_of_cutoffs(lengths: list[int], cutoff: int) -> None:
    series = np.arange(len(lengths))
    found = rows(list(range(sum(lengths))), *lengths).last(series, np.full(len(lengths), cutoff))
    begins = np.cumsum([0, *lengths])
    assert found.tolist() == [
        begin + min(cutoff, length - 1) if cutoff >= 0 else -1
        for begin, length in zip(begins[:-1], lengths, strict=True)
    ]


def test_a_large_series_does_not_drown_a_small_one() -> None:
    seen = history([1e12, 3e12, 1e12, 1e-3, 3e-3, 1e-3], 1, 3, 3)
    assert seen.mean_error(np.array([5])) == pytest.approx([2e-3], rel=1e-12)


# ------------------------------------------------------------------------------------------ metrics


def test_every_metric_is_utilsforecasts() -> None:
    data = past()
    given = forecasts(data)
    metrics = [
        losses.mae, losses.mse, losses.rmse, losses.smape, partial(losses.mase, seasonality=24),
        losses.coverage, losses.scaled_crps, partial(losses.scaled_mqloss, seasonality=24),
    ]  # fmt: skip
    theirs = utils_evaluate(given, metrics, train_df=data, level=[80, 90])
    expected = theirs.groupby("metric")[["TCN", "LSTM"]].mean()
    ours = by_metric(evaluate(given, data))
    assert set(ours.index) == set(expected.index)
    assert list(ours) == ["TCN", "LSTM", "SeasonalNaive"]
    for name, row in expected.iterrows():
        assert ours.loc[name, ["TCN", "LSTM"]].to_numpy(float) == pytest.approx(
            row.to_numpy(), rel=1e-9
        ), name


def largest_miss(came: np.ndarray, forecast: np.ndarray) -> float:
    return float(np.abs(came - forecast).max())


def test_functions_are_metrics_in_the_order_they_are_given() -> None:
    data = past()
    given = forecasts(data)
    pinball = partial(mean_pinball_loss, alpha=0.5)
    table = evaluate(given, data, metrics=[largest_miss, "mase", pinball])
    assert list(table["metric"]) == ["largest_miss", "mase", "mean_pinball_loss"]
    ours, every = by_metric(table), by_metric(evaluate(given, data))
    # By hand: the mean over windows of each one's largest error. Half the MAE is the median's loss.
    for model in ("TCN", "LSTM"):
        missed = (given["y"] - given[model]).abs()
        by_hand = missed.groupby([given["unique_id"], given["cutoff"]]).max().mean()
        assert ours.loc["largest_miss", model] == pytest.approx(by_hand, rel=1e-12)
        half = every.loc["mae", model] / 2
        assert ours.loc["mean_pinball_loss", model] == pytest.approx(half, rel=1e-12)
    assert (ours.loc["mase"] == every.loc["mase"]).all()
    single = evaluate(given, data, metrics=[largest_miss], per_series=True)
    assert list(single) == ["metric", "unique_id", "TCN", "LSTM", "SeasonalNaive"]


def test_an_error_inside_a_metric_says_how_it_was_called() -> None:
    data = past(1)
    with pytest.raises(TypeError) as raised:
        evaluate(forecasts(data, (151,)), data, metrics=["mae", lambda frame: 1.0])
    assert "<lambda> was called with what came and what was forecast" in raised.value.__notes__[0]


def test_a_metric_may_write_to_what_it_is_given() -> None:
    def spoiling(came: np.ndarray, forecast: np.ndarray) -> float:
        came -= forecast
        return largest_miss(came, np.zeros_like(came))

    data = past(1)
    given = forecasts(data, (151,))
    spoilt = evaluate(given, data, metrics=[spoiling, "mae"]).drop(columns="metric")
    expected = evaluate(given, data, metrics=[largest_miss, "mae"]).drop(columns="metric")
    pd.testing.assert_frame_equal(spoilt, expected)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ("mase", TypeError, r"metrics: 'mase' is not a list; give \['mase'\]"),
        (largest_miss, TypeError, "metrics: <function largest_miss.* is not a list"),
        ({"mae"}, TypeError, r"metrics: {'mae'} is not a list; give one, such as \['mase'\]"),
        ([lambda came, forecast: None], TypeError, "<lambda> must return one number.*not None"),
        ([], ValueError, "metrics: an empty list"),
        ([3], TypeError, "metrics: 3 is neither a name"),
        (["mape"], ValueError, "metrics: 'mape' is not one of mae, mase, mse"),
        (["mae", "mae"], ValueError, r"metrics: \['mae'\] more than once"),
        ([np.subtract], TypeError, "metrics: subtract must return one number for each window"),
        ([lambda came, forecast: "good"], TypeError, "metrics: <lambda> must return one number"),
    ],
)
def test_what_is_no_metric_is_named(metrics: Any, error: type[Exception], message: str) -> None:
    data = past(1)
    with pytest.raises(error, match=message):
        evaluate(forecasts(data, (151,)), data, metrics=metrics)


def test_seasonal_naive_has_its_own_row_and_intervals() -> None:
    data = past(1)
    given = forecasts(data, (151,))
    came = given["y"].to_numpy()
    naive = data["y"].to_numpy()[128:152]  # the day up to the cutoff
    table = by_metric(evaluate(given, data))
    assert table.loc["mae", "SeasonalNaive"] == pytest.approx(np.abs(came - naive).mean())
    errors = data["y"].to_numpy()[24:152] - data["y"].to_numpy()[:128]
    scale = np.abs(errors).mean()
    assert table.loc["mase", "SeasonalNaive"] == pytest.approx(np.abs(came - naive).mean() / scale)
    inside = np.abs(came - naive) <= 1.6448536269514722 * np.sqrt((errors**2).mean())
    assert table.loc["coverage_level90", "SeasonalNaive"] == pytest.approx(inside.mean())


def test_the_future_of_a_cutoff_is_not_looked_at() -> None:
    data = past()
    given = forecasts(data, (151,))
    spoilt = data.assign(y=data["y"].where(data["ds"] <= HOURS[151], 1e9))
    expected = evaluate(given, data)
    pd.testing.assert_frame_equal(evaluate(given, spoilt), expected)
    pd.testing.assert_frame_equal(evaluate(given, data[data["ds"] <= HOURS[151]]), expected)
    single = given.drop(columns="cutoff")  # then it is the step before the first forecast
    pd.testing.assert_frame_equal(evaluate(single, spoilt), expected)


def test_order_and_other_columns_do_not_matter() -> None:
    data = past()
    given = forecasts(data)
    shuffled = given.sample(frac=1, random_state=0).assign(holiday=1.0)
    other = data.sample(frac=1, random_state=1)
    before = shuffled.copy(), other.copy()
    found = evaluate(shuffled, other, models=["TCN", "LSTM"])
    pd.testing.assert_frame_equal(found, evaluate(given, data))
    pd.testing.assert_frame_equal(shuffled, before[0])
    pd.testing.assert_frame_equal(other, before[1])


def test_a_table_per_series() -> None:
    data = past()
    given = forecasts(data)
    table = evaluate(given, data, per_series=True)
    assert list(table) == ["metric", "unique_id", "TCN", "LSTM", "SeasonalNaive"]
    mae = table[table["metric"] == "mae"].set_index("unique_id")["TCN"]
    expected = (given["TCN"] - given["y"]).abs().groupby(given["unique_id"]).mean()
    assert mae.to_dict() == pytest.approx(expected.to_dict())
    means = table.groupby("metric")["TCN"].mean()
    assert means["mase"] == pytest.approx(by_metric(evaluate(given, data)).loc["mase", "TCN"])


def test_points_and_intervals_side_by_side() -> None:
    data = past()
    given = forecasts(data).drop(columns=["LSTM-lo-80", "LSTM-hi-80"]).assign(Point=1.0)
    table = by_metric(evaluate(given, data))
    assert table.loc["coverage_level80"].isna().to_dict() == {
        "TCN": False, "LSTM": True, "Point": True, "SeasonalNaive": False
    }  # fmt: skip
    # What all have is the level of 90 alone; on other levels the losses would not compare.
    only = forecasts(data)[[c for c in forecasts(data) if not c.endswith("80")]]
    expected = by_metric(evaluate(only, data))
    for name in ("scaled_crps", "scaled_mqloss"):
        assert table.loc[name, "TCN"] == pytest.approx(expected.loc[name, "TCN"])
        assert np.isnan(table.loc[name, "Point"])
    bare = evaluate(given[["unique_id", "ds", "cutoff", "y", "Point"]], data)
    assert list(bare["metric"]) == ["mae", "mase", "mse", "rmse", "smape"]


def test_series_that_cannot_be_scaled_are_left_out_by_name() -> None:
    data = past()
    flat = data[data["unique_id"] == "s0"].assign(unique_id="flat", y=5.0)
    data = pd.concat([data, flat], ignore_index=True)
    given = forecasts(data)
    given.loc[given["unique_id"] == "flat", "TCN"] = 6.0  # an error that 0 would divide
    with pytest.warns(UserWarning, match=r"2 of 8 windows are left out .*'flat', 'flat'") as seen:
        table = by_metric(evaluate(given, data))
    assert len(seen) == 1
    rest = given[given["unique_id"] != "flat"]
    expected = by_metric(evaluate(rest, data)).loc["mase", "TCN"]
    assert table.loc["mase", "TCN"] == pytest.approx(expected)


def test_a_window_of_zeros_has_no_relative_error() -> None:
    data = past(2).assign(y=lambda table: table["y"].where(table["unique_id"] != "s1", 0))
    data.loc[data["unique_id"].eq("s1") & (data["ds"] < HOURS[50]), "y"] = 3.0
    given = forecasts(data, (151,)).fillna(0.0)
    table = by_metric(evaluate(given, data))
    expected = by_metric(evaluate(given[given["unique_id"] == "s0"], data))
    assert table.loc["scaled_crps", "TCN"] == pytest.approx(expected.loc["scaled_crps", "TCN"])


def test_rows_that_did_not_come_count_nowhere() -> None:
    data = past()
    given = forecasts(data)
    holes = given.assign(y=given["y"].where(given.index % 5 != 0))
    table = by_metric(evaluate(holes, data))
    kept = holes.dropna(subset=["y"])
    expected = (kept["TCN"] - kept["y"]).abs().groupby([kept["unique_id"], kept["cutoff"]]).mean()
    assert table.loc["mae", "TCN"] == pytest.approx(expected.mean())
    inside = kept["y"].between(kept["TCN-lo-90"], kept["TCN-hi-90"])
    expected = inside.groupby([kept["unique_id"], kept["cutoff"]]).mean()
    assert table.loc["coverage_level90", "TCN"] == pytest.approx(expected.mean())
    # Leaving the rows out altogether moves no step of the naive forecast.
    pd.testing.assert_frame_equal(evaluate(kept, data), table.reset_index())


def test_the_naive_forecast_keeps_the_season_across_gaps() -> None:
    data = past(1)
    given = forecasts(data, (151,))
    gaps = data[(data.index != 140) & (data.index != 60)]
    expected = data["y"].to_numpy().copy()
    expected[140] = expected[139]
    errors = np.abs(given["y"].to_numpy() - expected[128:152])
    found = by_metric(evaluate(given, gaps)).loc["mae", "SeasonalNaive"]
    assert found == pytest.approx(errors.mean())
    # A past that ends two hours early: forecasts begin three steps after it, in the same phase.
    early = data[data["ds"] <= HOURS[149]]
    day = np.concatenate([data["y"][126:150], data["y"][126:150]])[2:26]
    found = by_metric(evaluate(given, early)).loc["mae", "SeasonalNaive"]
    assert found == pytest.approx(np.abs(given["y"].to_numpy() - day).mean())


def test_months_have_a_season_of_twelve_and_integers_none() -> None:
    months = pd.date_range("2000-01-01", periods=60, freq="MS")
    values = np.tile(np.arange(12.0), 5) + np.arange(60)
    data = pd.DataFrame({"unique_id": "a", "ds": months, "y": values})
    given = data.tail(12).assign(A=0.0)
    table = by_metric(evaluate(given, data))
    assert table.loc["mae", "SeasonalNaive"] == pytest.approx(12)
    numbered = data.assign(ds=np.arange(60))
    given = numbered.tail(12).assign(A=0.0)
    table = by_metric(evaluate(given, numbered))
    last = values[47]
    assert table.loc["mae", "SeasonalNaive"] == pytest.approx(np.abs(values[48:] - last).mean())
    table = by_metric(evaluate(given, numbered, season=12))
    assert table.loc["mae", "SeasonalNaive"] == pytest.approx(12)


def test_clocks_that_change_move_nothing() -> None:
    hours = pd.date_range("2024-03-25", periods=200, freq="h", tz="Europe/Paris")
    data = past(2)
    local = data.assign(ds=np.tile(hours, 2))
    given = forecasts(data).drop(columns=["ds", "cutoff"])
    plain = forecasts(data)
    zone = dict(zip(HOURS, hours, strict=True))
    given = given.assign(ds=plain["ds"].map(zone), cutoff=plain["cutoff"].map(zone))
    pd.testing.assert_frame_equal(evaluate(given, local), evaluate(plain, data))


def test_other_names_and_frames_of_another_library() -> None:
    polars = pytest.importorskip("polars")
    data = past()
    given = forecasts(data)
    names = {"unique_id": "series", "ds": "time", "y": "load"}
    found = evaluate(
        polars.DataFrame(given.rename(columns=names).to_dict("list")),
        polars.DataFrame(data.rename(columns=names).to_dict("list")),
        id_col="series", time_col="time", target_col="load",
    )  # fmt: skip
    assert isinstance(found, polars.DataFrame)
    expected = evaluate(given, data)
    assert found["metric"].to_list() == expected["metric"].to_list()
    assert found["TCN"].to_list() == pytest.approx(expected["TCN"].tolist())
    assert nw.from_native(found).columns == list(expected)


# --------------------------------------------------------------------------------- steps and levels


def test_errors_by_step() -> None:
    data = past(2)
    given = forecasts(data)
    found = error_by_step(given, data)
    assert found.index.tolist() == list(range(1, 25))
    assert list(found) == ["TCN", "LSTM", "SeasonalNaive"]
    frame = given.assign(step=given.groupby(["unique_id", "cutoff"]).cumcount() + 1)
    scale = {
        (name, cutoff): np.abs(
            part["y"].diff(24)[part["ds"] <= cutoff]
        ).mean()
        for name, part in data.groupby("unique_id")
        for cutoff in frame["cutoff"].unique()
    }  # fmt: skip
    scaled = (frame["TCN"] - frame["y"]).abs() / [
        scale[pair] for pair in zip(frame["unique_id"], frame["cutoff"], strict=True)
    ]
    assert found["TCN"].tolist() == pytest.approx(scaled.groupby(frame["step"]).mean().tolist())
    mase = by_metric(evaluate(given, data)).loc["mase"]
    assert found.mean().to_dict() == pytest.approx(mase.to_dict())


def test_coverage_by_level() -> None:
    given = pd.DataFrame({
        "y": [1.0, 2, 3, 4, np.nan],
        "A": 0.0, "A-lo-50": [0.0, 0, 0, 0, 0], "A-hi-50": [1.0, 1, 5, 1, 5],
        "B": 0.0, "B-lo-50": 0.0, "B-hi-50": 9.0, "B-lo-97.5": 2.5, "B-hi-97.5": 9.0,
    })  # fmt: skip
    found = coverage_by_level(given)
    assert found.index.tolist() == [50.0, 97.5]
    assert found["A"].tolist() == pytest.approx([50, np.nan], nan_ok=True)
    assert found["B"].tolist() == [100, 50]


# ------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, d: (f.drop(columns="y"), d), "forecasts: no column 'y'"),
        (lambda f, d: (f, d.drop(columns="y")), "train_df: no column 'y'"),
        (
            lambda f, d: (f[["unique_id", "ds", "cutoff", "y"]], d),
            "forecasts: no column of a model among",
        ),
        (lambda f, d: (f.drop(columns="TCN-lo-90"), d), "no column 'TCN-lo-90' for the other end"),
        (
            lambda f, d: (f.assign(TCN=f["TCN"].where(f.index > 2)), d),
            "column 'TCN' is missing in 3 rows whose value came",
        ),
        (lambda f, d: (f.assign(y=np.nan), d), "'y' is missing in every row: nothing came yet"),
        (
            lambda f, d: (f, d[d["unique_id"] != "s1"]),
            "train_df: series 's1' are forecast and have no past",
        ),
        (
            lambda f, d: (f, d[(d["unique_id"] != "s1") | (d["ds"] > HOURS[160])]),
            "train_df: no row up to the cutoff of a forecast of series 's1'",
        ),
        (
            lambda f, d: (pd.concat([f, f.head(2)]), d),
            "forecasts: 2 rows have the id and time of another one",
        ),
        (
            lambda f, d: (f, d.assign(ds=d["ds"].dt.tz_localize("UTC"))),
            "train_df: .* timestamps in UTC, the series have timestamps without a zone",
        ),
    ],
)
def test_faults(change: object, message: str) -> None:
    assert callable(change)
    data = past(2)
    given, train = change(forecasts(data), data)
    with pytest.raises(ValueError, match=message):
        evaluate(given, train)


def test_a_season_below_one_and_no_interval() -> None:
    data = past(1)
    with pytest.raises(ValueError, match=r"season: 0 steps; give 1 \(plain naive\) or more"):
        evaluate(forecasts(data), data, season=0)
    with pytest.raises(ValueError, match=r"no interval of \['A'\]; predict\(level="):
        coverage_by_level(data.assign(A=1.0))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "utilsforecast", None)
    data = past(1)
    with pytest.raises(ModuleNotFoundError, match=r"the extra .*\(missing: utilsforecast\)"):
        evaluate(forecasts(data), data)
