"""Late rows, corrections, new series: forecasts are those of the history as it should be."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from tcn.forecasting import Forecaster

SMALL: dict[str, Any] = {"h": 3, "input_size": 12, "width": 4, "max_steps": 5, "layers": 2}
ROWS = 40


def shops(rows: int = ROWS, names: str = "abc", seed: int = 0) -> pd.DataFrame:
    """The same values, however many rows there are of them."""
    random, most = np.random.default_rng(seed), 60
    tables = []
    for name in names:
        days = pd.date_range("2024-01-01", periods=most)
        y, visits = random.normal(50, 10, most), random.normal(size=most)
        table = pd.DataFrame({"unique_id": name, "ds": days, "y": y, "visits": visits})
        tables.append(table[:rows])
    return pd.concat(tables).reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster(**SMALL, hist_exog_list=["visits"], window_scaler="standard").fit(shops())


@pytest.fixture
def forecaster(fitted: Forecaster, tmp_path: Any) -> Forecaster:
    return Forecaster.load(fitted.save(tmp_path / "fitted"))


def equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert found["unique_id"].tolist() == expected["unique_id"].tolist()
    assert found["ds"].tolist() == expected["ds"].tolist()
    np.testing.assert_allclose(found["TCN"], expected["TCN"], rtol=1e-5)


def test_a_corrected_row_counts_as_if_it_had_always_been_so(
    forecaster: Forecaster,
) -> None:
    df = shops()
    before = forecaster.predict()
    wrong = df[(df["unique_id"] == "b") & (df["ds"] == "2024-02-07")].assign(y=200.0)
    df.loc[wrong.index, "y"] = 200.0
    equal(forecaster.revise(wrong).predict(), forecaster.predict(df))
    changed = forecaster.predict()["TCN"] != before["TCN"]
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False] * 3


def test_a_stream_goes_on_from_the_corrected_history(forecaster: Forecaster) -> None:
    """After updates, which have moved the stream on, and followed by others."""
    df = shops(ROWS + 4)
    ahead = [df[df["ds"] == day] for day in df["ds"].unique()[ROWS:]]
    forecaster.update(ahead[0])
    forecaster.update(ahead[1][:1])  # of shop a alone
    late = ahead[1][1:2]
    correction = pd.concat([ahead[0][1:2].assign(y=90.0, visits=3.0), late])
    forecaster.revise(correction)
    df.loc[ahead[0].index[1], ["y", "visits"]] = 90.0, 3.0
    found = forecaster.update(ahead[2][:2])
    seen = (df["ds"] <= ahead[2]["ds"].iloc[0]) & (df["unique_id"] != "c")
    expected = forecaster.predict(df[seen])
    equal(found, expected)


def test_new_series_join(forecaster: Forecaster) -> None:
    new = shops(30, "de", seed=5).assign(y=lambda table: table["y"] * 1000)
    before = forecaster.predict()
    forecaster.revise(new)
    found = forecaster.predict()
    equal(found[:9], before)
    equal(found[9:].reset_index(drop=True), forecaster.predict(new))
    assert float(found["TCN"][9:].mean()) > 10_000  # in the units of the new series
    more = shops(31, "de", seed=5).groupby("unique_id").tail(1).assign(y=51_000.0)
    equal(forecaster.update(more), forecaster.predict(pd.concat([new, more])))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, ROWS - 1), st.floats(0, 100)),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[:2],
    )
)
def test_any_corrections(fitted: Forecaster, rows: list[tuple[str, int, float]]) -> None:
    """Of any rows, those before the look-back among them, in any order."""
    live = pickle.loads(pickle.dumps(fitted))
    df = shops()
    at = [ord(name) - ord("a") for name, _, _ in rows]
    index = [number * ROWS + row for number, (_, row, _) in zip(at, rows, strict=True)]
    df.loc[index, "y"] = [value for _, _, value in rows]
    equal(live.revise(df.loc[index]).predict(), live.predict(df))


def test_adaptive_intervals_keep_what_they_have_learned() -> None:
    df = shops(ROWS + 3)
    ahead = [df[df["ds"] == day] for day in df["ds"].unique()[ROWS:]]
    forecaster = Forecaster(**SMALL, intervals="adaptive", window_scaler="standard").fit(
        shops(), val_size=20
    )
    forecaster.update(ahead[0], level=[80])
    forecaster.update(ahead[1], level=[80])
    learned = forecaster.trained_.adaptive[80.0, 3].state()["alpha"].copy()
    forecaster.revise(ahead[1].assign(y=0.0)).revise(shops(30, "d"))
    np.testing.assert_array_equal(forecaster.trained_.adaptive[80.0, 3].state()["alpha"], learned)
    found = forecaster.update(
        pd.concat([ahead[2], shops(31, "d").tail(1)]), level=[80]
    )  # the new series among them
    assert found["unique_id"].unique().tolist() == ["a", "b", "c", "d"]
    assert (found["TCN-lo-80"] < found["TCN-hi-80"]).all()


def test_static_columns_of_new_series() -> None:
    static = pd.DataFrame({"unique_id": list("abcd"), "size": [1.0, 2.0, 3.0, 4.0]})
    forecaster = Forecaster(**SMALL, stat_exog_list=["size"], window_scaler="standard")
    forecaster.fit(shops(), static[:3])
    new = shops(30, "d")
    with pytest.raises(ValueError, match="static_df: it is missing"):
        forecaster.revise(new)
    forecaster.revise(new, static)
    found = forecaster.predict()
    equal(found[9:].reset_index(drop=True), forecaster.predict(new, static_df=static))
    forecaster.revise(shops().tail(1).assign(y=1.0))  # a correction needs none


def test_what_is_refused_changes_nothing(forecaster: Forecaster) -> None:
    before = forecaster.predict()
    tail = shops().tail(1)
    with pytest.raises(NotFittedError):
        Forecaster(**SMALL).revise(tail)
    with pytest.raises(ValueError, match=r"absent|missing"):
        forecaster.revise(tail.assign(ds=tail["ds"] + pd.Timedelta(days=5)))
    with pytest.raises(ValueError, match="whole number of steps"):
        forecaster.revise(tail.assign(ds=tail["ds"] + pd.Timedelta(hours=5)))
    with pytest.raises(ValueError, match="'visits'"):
        forecaster.revise(tail.drop(columns="visits"))
    with pytest.raises(ValueError, match="column 'y' is missing in 1 rows"):
        forecaster.revise(tail.assign(y=np.nan))
    with pytest.raises(ValueError, match="zone"):
        forecaster.revise(tail.assign(ds=tail["ds"].dt.tz_localize("UTC")))
    with pytest.raises(ValueError, match="id and time of another one"):
        forecaster.revise(pd.concat([tail, tail]))
    assert forecaster.predict().equals(before)
    with pytest.raises(ValueError, match=r"not later than .*; hand corrections .* to revise"):
        forecaster.update(tail)
    with pytest.raises(ValueError, match=r"or revise\(df\), by which they join"):
        forecaster.update(tail.assign(unique_id="z"))


def test_a_new_series_is_scaled_by_its_corrected_rows(forecaster: Forecaster) -> None:
    new = shops(20, "n", seed=3)
    wrong = new.copy()
    wrong.loc[19, "y"] = 1e9
    forecaster.revise(wrong).revise(new[19:])
    equal(forecaster.predict()[9:].reset_index(drop=True), forecaster.predict(new))


def test_what_nothing_can_be_forecast_from_is_refused() -> None:
    """Before it would be in the way of all other series."""
    forecaster = Forecaster(**SMALL, scaler="log", window_scaler="standard").fit(shops())
    before = forecaster.predict()
    with pytest.raises(ValueError, match="'log' needs values above 0"):
        forecaster.revise(shops().tail(1).assign(y=-5.0))
    with pytest.raises(ValueError, match="a window needs 2"):
        forecaster.revise(shops(1, "z"))
    assert forecaster.predict().equals(before)


@pytest.mark.parametrize(
    ("known", "given", "message"),
    [
        (["1", "2"], 1, r"'unique_id' holds integers, such as 1, .* are text; .*astype\(str\)"),
        ([1, 2], "1", r"holds text, such as '1', .* are integers; .*astype\(int\)"),
    ],
)
def test_ids_of_another_kind(known: list[Any], given: Any, message: str) -> None:
    df = shops(names="ab").assign(unique_id=np.repeat(np.array(known), ROWS))
    forecaster = Forecaster(**SMALL).fit(df)
    with pytest.raises(ValueError, match=message):
        forecaster.revise(df.tail(1).assign(unique_id=given))


def test_small_integers_as_ids_leave_room_for_larger_ones() -> None:
    df = shops(names="ab").assign(unique_id=np.repeat(np.array([1, 2], dtype=np.int8), ROWS))
    forecaster = Forecaster(**SMALL, window_scaler="standard").fit(df)
    forecaster.revise(shops(20, "n").assign(unique_id=300))
    assert forecaster.predict()["unique_id"].unique().tolist() == [1, 2, 300]


def test_a_silent_series_is_not_in_the_way_of_others() -> None:
    forecaster = Forecaster(**SMALL, missing="mask", window_scaler="standard").fit(shops())
    df = shops(54)
    silent = df[(df["unique_id"] == "a") & (df.groupby("unique_id").cumcount() >= ROWS)]
    forecaster.update(silent.assign(y=np.nan))
    forecaster.revise(shops().tail(1).assign(y=33.0))
    with pytest.raises(ValueError, match="missing in every row of series 'a'"):
        forecaster.revise(silent.tail(1).assign(y=np.nan))


def test_rows_in_another_zone() -> None:
    """Across the night in which summer time begins."""
    df = shops()
    df["ds"] = df["ds"].dt.tz_localize("Europe/Berlin") + pd.DateOffset(days=65)
    forecaster = Forecaster(**SMALL, window_scaler="standard").fit(df)
    row = df[35:36].assign(y=90.0)
    df.loc[35, "y"] = 90.0
    equal(forecaster.revise(row.assign(ds=row["ds"].dt.tz_convert("UTC"))).predict(),
          forecaster.predict(df))  # fmt: skip


def test_what_was_issued_before_is_not_judged_by_what_comes_after() -> None:
    """Rows that follow, handed to revise, and not to update."""
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=70),
                       "y": 10.0 * np.arange(70)})  # fmt: skip
    settings = SMALL | {"window_scaler": "standard", "intervals": "adaptive", "max_steps": 50}
    forecaster = Forecaster(**settings).fit(df[:60], val_size=12)
    forecaster.update(df[60:61], level=[80])
    streams = forecaster.trained_.adaptive[80.0, 3]
    scores = streams.state()["scores"].copy()
    forecaster.revise(df[61:63])
    forecaster.update(df[63:64], level=[80])
    np.testing.assert_array_equal(streams.state()["scores"], scores)  # of another past
    forecaster.update(df[64:65], level=[80])
    assert not np.array_equal(streams.state()["scores"], scores, equal_nan=True)


def test_static_columns_of_known_series_stay(forecaster: Forecaster) -> None:
    with pytest.raises(ValueError, match="static_df: no series of df is new"):
        forecaster.revise(shops().tail(1), shops())


def test_what_is_no_count_is_refused_where_counts_are_forecast() -> None:
    df = shops().assign(y=lambda table: table["y"].abs().round())
    forecaster = Forecaster(**SMALL, loss="poisson").fit(df)
    later = shops(ROWS + 1).groupby("unique_id").tail(1).drop(columns="visits").assign(y=7.0)
    wrong = later.assign(y=[7.0, 2.5, 7.0])
    stream = forecaster.stream()
    before = forecaster.predict()
    for refused in (
        lambda: forecaster.revise(df.tail(1).assign(y=2.5)),
        lambda: forecaster.predict(pd.concat([df, wrong])),
        lambda: forecaster.update(wrong),
        lambda: forecaster.update(wrong[1:2]),  # one plain row goes a way of its own
        lambda: stream.push(["a", "b"], [7, -1.0]),
    ):
        with pytest.raises(ValueError, match=r"target: 1 values such as (2\.5|-1) are not counts"):
            refused()
    assert forecaster.predict().equals(before)  # nothing of the three was taken
    assert len(forecaster.update(later)) == 9
