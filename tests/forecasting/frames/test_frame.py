"""Faults of the caller's frames: each with a message, or accepted and right."""

import copy
import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.panel import Panel, future_from_frame, panel_from_frame
from tcn.forecasting.frames.results import frame_like

LongFrame = Callable[..., pd.DataFrame]
Change = Callable[[pd.DataFrame], pd.DataFrame]


def panel_of(df: object, **arguments: object) -> Panel:
    return panel_from_frame(df, columns=Columns(), **arguments)


# --- what a panel holds


def test_a_panel_holds_the_series_end_to_end(long_frame: LongFrame) -> None:
    df = long_frame((4, 3), extra=("temperature", "price"))
    columns = Columns(futr=("price",), hist=("temperature",))
    panel = panel_from_frame(df, columns=columns)
    assert panel.ids.tolist() == ["a", "b"]
    assert panel.offsets.tolist() == [0, 4, 7]
    assert panel.lengths.tolist() == [4, 3]
    assert len(panel) == 2
    assert panel.frequency == Frequency("h")
    np.testing.assert_array_equal(panel.target[:, 0], df["y"])
    np.testing.assert_array_equal(panel.futr[:, 0], df["price"])
    np.testing.assert_array_equal(panel.hist[:, 0], df["temperature"])
    np.testing.assert_array_equal(panel.times, df["ds"].to_numpy().astype("datetime64[ns]"))
    assert panel.stat.shape == (2, 0)
    assert panel.categories.shape == (2, 0)


def test_several_targets_and_names_of_ones_own() -> None:
    df = pd.DataFrame({"shop": [1, 1], "day": pd.date_range("2023", periods=2)})
    df[["sold", "visitors"]] = [[1, 2], [3, 4]]
    columns = Columns(id="shop", time="day", target=("sold", "visitors"))
    panel = panel_from_frame(df, columns=columns)
    np.testing.assert_array_equal(panel.target, [[1, 2], [3, 4]])
    assert panel.ids.tolist() == [1]
    assert Columns(**json.loads(json.dumps(columns.to_json()))) == columns


def test_the_arrays_are_read_only_copies(long_frame: LongFrame) -> None:
    df = long_frame()
    panel = panel_of(df)
    for name in ("offsets", "times", "target", "futr", "hist", "stat", "categories", "ids"):
        assert not getattr(panel, name).flags.writeable, name
    with pytest.raises(ValueError, match="read-only"):
        panel.target[0] = 1
    assert not np.shares_memory(panel.target, df["y"].to_numpy())
    assert not np.shares_memory(panel.times, df["ds"].to_numpy())


def test_some_series_and_first_rows(long_frame: LongFrame) -> None:
    panel = panel_of(long_frame((5, 3, 4)))
    some = panel.select(np.array([2, 0]))
    assert some.ids.tolist() == ["c", "a"]
    assert some.offsets.tolist() == [0, 4, 9]
    np.testing.assert_array_equal(some.target, np.concatenate([panel.target[8:], panel.target[:5]]))
    np.testing.assert_array_equal(panel.select(panel.lengths > 3).ids, ["a", "c"])
    first = panel.until(-2)
    assert first.lengths.tolist() == [3, 1, 2]
    np.testing.assert_array_equal(first.target, panel.target[[0, 1, 2, 5, 8, 9]])
    assert panel.until(np.array([1, 9, 2])).lengths.tolist() == [1, 3, 2]
    with pytest.raises(ValueError, match=r"rows: nothing would be left of series 'b'"):
        panel.until(-3)


def test_future_times_follow_each_series(long_frame: LongFrame) -> None:
    df = long_frame((5, 3), freq="MS", timezone="Europe/Paris")
    panel = panel_of(df)
    future = panel.local(panel.future_times(2).ravel())
    expected = [pd.Timestamp(f"2023-{month:02}-01", tz="Europe/Paris") for month in (7, 8, 5, 6)]
    assert future.tolist() == expected  # the frame began after 2 January
    assert future.unit == df["ds"].dt.unit


# --- the faults


def with_value(value: object, row: int = 3, column: str = "y") -> Change:
    def change(df: pd.DataFrame) -> pd.DataFrame:
        df[column] = df[column].astype(object)
        df.loc[row, column] = value
        return df

    return change


FAULTS: dict[str, tuple[Change, type[Exception], str]] = {
    "1 NaN": (
        with_value(np.nan),
        ValueError,
        r"df: column 'y' is missing in 1 rows: unique_id='a' ds=2023-01-02 03:00:00; "
        r"pass missing='mask', or fill",
    ),
    "1 pd.NA": (with_value(pd.NA), ValueError, r"column 'y' is missing in 1 rows"),
    "2 infinity": (
        with_value(np.inf),
        ValueError,
        r"df: column 'y' is infinite in 1 rows: unique_id='a' ds=2023-01-02 03:00:00",
    ),
    "2 minus infinity": (with_value(-np.inf), ValueError, r"column 'y' is infinite in 1 rows"),
    "3 nothing but NaN": (
        lambda df: df.assign(y=np.nan),
        ValueError,
        r"df: \['y'\] is missing in every row of every series",
    ),
    "4 empty": (lambda df: df.iloc[:0], ValueError, r"df: the frame is empty"),
    "5 rows without a frequency": (
        lambda df: df.groupby("unique_id", as_index=False).first(),
        ValueError,
        r"freq: it cannot be inferred, for no series has two rows; give freq=",
    ),
    "8 doubled": (
        lambda df: pd.concat([df, df.iloc[:7]]),
        ValueError,
        r"df: 7 rows have the id and time of another one: unique_id='a' ds=2023-01-02 00:00:00, "
        r".*04:00:00, \.\.\.; keep one of each",
    ),
    "10 gap": (
        lambda df: df.drop(index=[3, 4, 40]),
        ValueError,
        r"df: 3 rows of freq='h' are absent in 2 gaps, before unique_id='a' ds=2023-01-02 "
        r"05:00:00, unique_id='b' ds=2023-01-02 11:00:00 \(2, 1 rows\); pass missing='mask'",
    ),
    "10 off the grid": (
        lambda df: df.assign(ds=df["ds"].where(df.index != 3, df["ds"] + pd.Timedelta("1min"))),
        ValueError,
        r"df: 1 rows are not a whole number of steps of freq='h' after the first row of their "
        r"series: unique_id='a' ds=2023-01-02 03:01:00; give another freq",
    ),
    "11 an hour twice, naive": (
        lambda df: df.assign(
            ds=pd.date_range("2023-10-28 12:00", periods=len(df), freq="h", tz="Europe/Paris")
            .tz_localize(None)
            .to_numpy()
        ),
        ValueError,
        r"rows have the id and time of another one: .*02:00:00; .*it is the hour that comes twice "
        r"when summer time ends, .*tz_localize",
    ),
    "11 an hour skipped, naive": (
        lambda df: df.iloc[:20].assign(
            ds=pd.date_range("2023-03-25 20:00", periods=20, freq="h", tz="Europe/Paris")
            .tz_localize(None)
            .to_numpy()
        ),
        ValueError,
        r"1 rows of freq='h' are absent .*hours that the clock skips when summer time begins",
    ),
    "12 mixed zones": (
        lambda df: df.assign(
            ds=[t.tz_localize("UTC" if i % 2 else "Europe/Paris") for i, t in enumerate(df["ds"])]
        ),
        ValueError,
        r"df: column 'ds': time zones are mixed: \['Europe/Paris', 'UTC'\]; bring all to one",
    ),
    "12 mixed naive": (
        lambda df: df.assign(
            ds=[t.tz_localize("UTC") if i % 2 else t for i, t in enumerate(df["ds"])]
        ),
        ValueError,
        r"time zones are mixed: \['None', 'UTC'\]; .*naive ones with tz_localize first",
    ),
    "12 mixed text": (
        lambda df: df.assign(ds=[f"{t.isoformat()}+0{i % 2}:00" for i, t in enumerate(df["ds"])]),
        ValueError,
        r"time zones are mixed; bring all to one with pandas.to_datetime",
    ),
    "13 text": (
        with_value("n/a"),
        TypeError,
        r"df: column 'y' holds text that is not a number, in rows \[3\]: \['n/a'\]; convert it",
    ),
    "13 complex": (
        lambda df: df.assign(y=df["y"].astype(complex)),
        TypeError,
        r"df: column 'y' has type complex128, which is not a number",
    ),
    "13 times": (
        lambda df: df.assign(y=df["ds"]),
        TypeError,
        r"df: column 'y' has type datetime64\[\w+\], which is not a number",
    ),
    "13 written dates": (
        lambda df: df.assign(ds=df["ds"].dt.strftime("%d/%m/%Y %H:%M")),
        ValueError,
        r"df: column 'ds': .*only ISO times such as 2024-01-31 13:00 are read without a format",
    ),
    "13 fractional time": (
        lambda df: df.assign(ds=np.arange(len(df)) / 2),
        TypeError,
        r"df: column 'ds' has type float64; give timestamps .* or integers",
    ),
    "13 periods": (
        lambda df: df.assign(ds=df["ds"].dt.to_period("h")),
        TypeError,
        r"df: column 'ds' has type period\[h\]; give timestamps .*to_timestamp for periods",
    ),
    "no time": (
        lambda df: df.assign(ds=df["ds"].where(df.index > 7)),
        ValueError,
        r"df: column 'ds': no time in rows \[0, 1, 2, 3, 4\] and 3 more",
    ),
    "no id": (
        with_value(None, column="unique_id"),
        ValueError,
        r"df: column 'unique_id' has no id in 1 rows, at \[3\]",
    ),
    "a column is absent": (
        lambda df: df.rename(columns={"y": "value"}),
        ValueError,
        r"df: no column 'y' among \['unique_id', 'ds', 'value'\]; rename yours",
    ),
    "a column is the index": (
        lambda df: df.set_index("ds"),
        ValueError,
        r"df: no column 'ds' .*; it is the index: pass df.reset_index\(\)",
    ),
    "a column is there twice": (
        lambda df: pd.concat([df, df[["y"]]], axis=1),
        ValueError,
        r"df: several columns are named 'y'; keep one",
    ),
    "a time beyond nanoseconds": (
        lambda df: df.assign(ds=pd.date_range("2500", periods=len(df), freq="h", unit="s")),
        ValueError,
        r"df: column 'ds': a time lies outside the years 1678 to 2261; number the rows",
    ),
}


@pytest.mark.filterwarnings("ignore:.*order of time")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_and_the_frame_left_as_it_was(long_frame: LongFrame, fault: str) -> None:
    change, error, message = FAULTS[fault]
    df = change(long_frame())
    before = copy.deepcopy(df)
    with pytest.raises(error, match=message):
        panel_of(df)
    pd.testing.assert_frame_equal(df, before, check_exact=True)


def test_series_without_any_value_are_left_out_with_a_warning(long_frame: LongFrame) -> None:
    df = long_frame((5, 4, 3))
    df.loc[df["unique_id"] == "b", "y"] = np.nan
    with pytest.warns(UserWarning, match=r"df: 1 series are left out, for \['y'\] .*: 'b'"):
        panel = panel_of(df)
    assert panel.ids.tolist() == ["a", "c"]
    assert panel.offsets.tolist() == [0, 5, 8]
    np.testing.assert_array_equal(panel.target[:, 0], df["y"].dropna())


def test_rows_out_of_order_are_sorted_in_a_copy_with_a_warning(long_frame: LongFrame) -> None:
    df = long_frame()
    shuffled = df.sample(frac=1, random_state=0)
    before = copy.deepcopy(shuffled)
    with pytest.warns(UserWarning, match=r"the rows of 2 of 2 series are not in order of time"):
        panel = panel_of(shuffled)
    pd.testing.assert_frame_equal(shuffled, before, check_exact=True)
    straight = panel_of(df).select(np.argsort(panel.ids)[np.argsort(panel.ids)])
    np.testing.assert_array_equal(panel.target, straight.target)
    np.testing.assert_array_equal(panel.times, straight.times)


@pytest.mark.filterwarnings("error")
def test_series_whose_rows_alternate_are_in_order(long_frame: LongFrame) -> None:
    df = long_frame((6, 6))
    wide = df.sort_values(["ds", "unique_id"])  # as a wide table becomes a long one
    panel, expected = panel_of(wide), panel_of(df)
    np.testing.assert_array_equal(panel.target, expected.target)
    assert panel.ids.tolist() == ["a", "b"]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("missing", ["raise", "mask"])
def test_the_callers_frame_is_never_changed(long_frame: LongFrame, kind: str, missing: str) -> None:
    df = long_frame(timezone="Europe/Paris", extra=("x",))
    if missing == "mask":
        df.loc[2:4, "y"] = np.nan
        df = df.drop(index=[7])
    df = df.iloc[::-1]
    native = df if kind == "pandas" else polars_of(df)
    before = copy.deepcopy(native)
    with pytest.warns(UserWarning, match="order of time"):
        panel_from_frame(native, columns=Columns(futr=("x",)), missing=missing)
    if kind == "pandas":
        pd.testing.assert_frame_equal(native, before, check_exact=True)
        assert native.attrs == before.attrs
    else:
        assert native.equals(before)


# --- what is accepted


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 2, 3], dtype="int8"),
        pd.Series([1, 2, 3], dtype="uint64"),
        pd.Series([1, 2, 3], dtype="Int64"),
        pd.Series([1, 2, 3], dtype="float16"),
        pd.Series([1, 2, 3], dtype="Float32"),
        pd.Series(["1", "2.0", " 3e0"]),
        pd.Series([1, 2.0, np.int8(3)], dtype=object),
        pd.Series([1, 2, 3], dtype="category"),
        pd.Series(["1", "2", "3"], dtype="category"),
    ],
    ids=lambda values: str(values.dtype),
)
def test_numbers_of_any_type_are_cast(values: pd.Series) -> None:
    df = pd.DataFrame({"unique_id": 0, "ds": range(3), "y": values})
    panel = panel_of(df)
    assert panel.target.dtype == np.float64
    assert panel.target[:, 0].tolist() == [1, 2, 3]


def test_booleans_are_zero_and_one() -> None:
    df = pd.DataFrame({"unique_id": 0, "ds": range(2), "y": [True, False]})
    assert panel_of(df).target[:, 0].tolist() == [1, 0]


@pytest.mark.parametrize(
    "times",
    [
        ["2023-01-31", "2023-02-28", "2023-03-31"],
        [pd.Timestamp("2023-01-31").date(), *pd.to_datetime(["2023-02-28", "2023-03-31"]).date],
        pd.to_datetime(["2023-01-31", "2023-02-28", "2023-03-31"]).as_unit("s"),
    ],
    ids=["text", "dates", "seconds"],
)
def test_times_in_other_dress(times: object) -> None:
    panel = panel_of(pd.DataFrame({"unique_id": 0, "ds": times, "y": 1.0}))
    assert panel.frequency == Frequency("ME")
    assert panel.local(panel.future_times(1).ravel())[0] == pd.Timestamp("2023-04-30")


@pytest.mark.parametrize(
    ("start", "freq", "written", "kind", "rows"),
    [
        ("2018-01", "MS", "%Y%m", "months", 40),
        ("2018-01", "MS", "%Y%m", "months", 12),
        ("2018-01", "QS", "%Y%m", "months", 40),
        ("2024-01-20", "D", "%Y%m%d", "days", 40),
        ("2024-01-01", "D", "%Y%m%d", "days", 30),
        ("2024-01-07", "W-SUN", "%Y%m%d", "days", 40),
        ("2024-01-01", "h", "%Y%m%d%H", "hours", 60),
        ("2024-01-01", "15min", "%Y%m%d%H%M", "minutes", 60),
        ("2022-01-03", "W-MON", "%G%V", "weeks", 90),
        ("2022-12-01", "D", "%Y%j", "days of the year", 60),
        ("2018-01", "QS", "quarter", "quarters", 40),
    ],
)
@pytest.mark.parametrize("fill", [None, "forward"])
def test_dates_written_as_numbers(
    start: str, freq: str, written: str, kind: str, rows: int, fill: str | None
) -> None:
    """After 201812 comes 201901, not 201813; and the cure reads them."""
    dates = pd.Series(pd.date_range(start, periods=rows, freq=freq))
    text = dates.dt.strftime(written)
    if written == "quarter":
        text = (10 * dates.dt.year + dates.dt.quarter).astype(str)
    df = pd.DataFrame({"unique_id": "a", "ds": text.astype(int), "y": 1.0})
    with pytest.raises(ValueError, match=rf"df: column 'ds' holds {kind} written as numbers") as no:
        panel_of(df, fill=fill)
    cure = str(no.value).split("use ")[1].split(", or, if")[0]
    df["ds"] = eval(cure, {"pandas": pd, "df": df})  # noqa: S307 - the message is our own
    assert (df["ds"] == dates).all()
    assert panel_of(df, fill=fill).frequency == Frequency.given(freq)


@pytest.mark.parametrize(
    "numbers",
    [
        range(201801, 201815), range(1960, 2000), range(201801, 203001, 100), range(40),
        range(202301, 202341), range(1_700_000_000, 1_700_002_400, 60), range(19723, 19763),
        range(473352, 473392), range(20_240_095, 20_240_125), [*range(19720, 19760), 19770],
    ],
    ids=str,
)  # fmt: skip
def test_numbers_that_only_look_like_dates_are_numbers(numbers: Sequence[int]) -> None:
    df = pd.DataFrame({"unique_id": "a", "ds": list(numbers), "y": 1.0})
    step = numbers[1] - numbers[0]
    assert panel_of(df, fill="forward").frequency == Frequency(step)


def test_numbers_of_a_training_are_not_looked_at_again() -> None:
    long = pd.DataFrame({"unique_id": "a", "ds": range(201790, 201900), "y": 1.0})
    trained = panel_of(long).frequency
    assert panel_of(long[11:20], freq=trained).frequency == trained
    with pytest.raises(ValueError, match="if they are not dates, subtract the first"):
        panel_of(long[11:20])


@pytest.mark.parametrize("dtype", ["int64", "int32", "Int64", "uint8"])
def test_integer_times(dtype: str) -> None:
    df = pd.DataFrame({"unique_id": "a", "ds": pd.Series([2, 4, 6], dtype=dtype), "y": 1.0})
    panel = panel_of(df)
    assert panel.frequency == Frequency(2)
    assert panel.local(panel.future_times(2).ravel()).tolist() == [8, 10]


@pytest.mark.parametrize(
    ("freq", "dates", "message"),
    [
        ("h", False, r"freq: 'h' does not fit the column 'ds', which holds integers; give an int"),
        (1, True, r"freq: 1 does not fit the column 'ds', which holds timestamps; give a name"),
    ],
)
def test_a_frequency_of_the_other_kind_is_refused(freq: object, dates: bool, message: str) -> None:
    times = pd.date_range("2023", periods=3) if dates else range(3)
    with pytest.raises(ValueError, match=message):
        panel_of(pd.DataFrame({"unique_id": 0, "ds": times, "y": 1.0}), freq=freq)


def test_the_hour_that_comes_twice_is_two_rows_with_a_zone(long_frame: LongFrame) -> None:
    df = long_frame((30,), start="2023-10-28 12:00", timezone="Europe/Paris")
    local = df["ds"].dt.tz_localize(None)
    assert local.duplicated().sum() == 1
    panel = panel_of(df)
    assert panel.timezone == "Europe/Paris"
    assert (np.diff(panel.times) == np.timedelta64(1, "h")).all()
    assert panel.lengths.tolist() == [30]
    assert (panel.local(panel.times) == df["ds"]).all()


def test_days_keep_their_local_midnight(long_frame: LongFrame) -> None:
    panel = panel_of(long_frame((40,), freq="D", start="2023-10-01", timezone="Europe/Paris"))
    assert panel.frequency == Frequency("D")
    assert (panel.local(panel.future_times(150).ravel()).hour == 0).all()


def test_a_fixed_offset_is_a_zone(long_frame: LongFrame) -> None:
    df = long_frame((3,))
    df["ds"] = [f"{time.isoformat()}+02:00" for time in df["ds"]]
    panel = panel_of(df)
    assert panel.local(panel.times)[0] == pd.Timestamp("2023-01-02 00:00+02:00")


# --- gaps and missing values


def test_masked_gaps_are_rows_of_nan(long_frame: LongFrame) -> None:
    df = long_frame((8, 6), extra=("x",))
    holes = df.drop(index=[3, 4, 9])
    holes.loc[1, "y"] = np.nan
    columns = Columns(futr=("x",))
    panel = panel_from_frame(holes, columns=columns, missing="mask")
    full = panel_from_frame(df, columns=columns)
    np.testing.assert_array_equal(panel.times, full.times)
    np.testing.assert_array_equal(panel.offsets, full.offsets)
    absent = np.isin(np.arange(14), [3, 4, 9])
    np.testing.assert_array_equal(np.isnan(panel.futr[:, 0]), absent)
    assert np.flatnonzero(np.isnan(panel.target[:, 0])).tolist() == [1, 3, 4, 9]
    known = ~np.isnan(panel.target)
    np.testing.assert_array_equal(panel.target[known], full.target[known])
    assert np.isnan(panel.target).sum() == 4


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ("forward", [1, 1, 1, 4, 4, 10, 10, 12]),
        ("zero", [1, 0, 0, 4, 0, 10, 0, 12]),
        ("interpolate", [1, 2, 3, 4, 4.5, 10, 11, 12]),
    ],
)
def test_fill(fill: str, expected: list[float]) -> None:
    # Rows 1 and 2 are absent, 4 is the last of its series and 6 is NaN.
    y = np.array([1, np.nan, np.nan, 4, 4.5, 10, np.nan, 12])
    y[4] = 4.5 if fill == "interpolate" else np.nan
    df = pd.DataFrame({"unique_id": list("aaaaabbb"), "ds": [0, 1, 2, 3, 4, 0, 1, 2], "y": y})
    panel = panel_of(df.drop(index=[1, 2]), fill=fill)
    assert panel.target[:, 0].tolist() == expected


@pytest.mark.parametrize(("fill", "row"), [("forward", 5), ("interpolate", 5), ("interpolate", 4)])
def test_what_fill_cannot_know_is_missing_still(long_frame: LongFrame, fill: str, row: int) -> None:
    df = long_frame((5, 5))  # row 5 is the first of the second series, 4 the last of the first
    df.loc[row, "y"] = np.nan
    with pytest.raises(ValueError, match=r"column 'y' is missing in 1 rows"):
        panel_of(df, fill=fill)
    assert np.isnan(panel_of(df, fill=fill, missing="mask").target[row, 0])


def test_a_flood_of_absent_rows_is_refused(long_frame: LongFrame) -> None:
    df = long_frame((5, 5))
    df.loc[0, "ds"] = pd.Timestamp(0)
    message = (
        r"df: with freq='s', \d+ rows would be put in between 10, 1672621199 of them before "
        r"unique_id='a' ds=2023-01-02 01:00:00; check this time, or give a coarser freq"
    )
    with pytest.raises(ValueError, match=message):  # 1672621200 s from 1970 on
        panel_of(df, freq="s", missing="mask")


def test_days_are_put_in_at_local_midnight(long_frame: LongFrame) -> None:
    df = long_frame((40,), freq="D", start="2023-10-15", timezone="Europe/Paris")
    panel = panel_of(df.drop(index=[13, 14, 15]), fill="zero")
    np.testing.assert_array_equal(panel.times, panel_of(df).times)


def test_rows_that_are_there_keep_their_instant() -> None:
    # 02:30 came twice on 29 October; this day's row is of the second time.
    days = pd.to_datetime(["2023-10-27 02:30", "2023-10-29 02:30", "2023-10-30 02:30"])
    times = days.tz_localize("Europe/Paris", ambiguous=np.zeros(3, dtype=bool))
    panel = panel_of(pd.DataFrame({"unique_id": 0, "ds": times, "y": 1.0}), freq="D", fill="zero")
    assert panel.lengths.tolist() == [4]
    assert panel.local(panel.times)[[0, 2, 3]].tolist() == times.tolist()


def test_missing_covariates_are_named(long_frame: LongFrame) -> None:
    df = long_frame(extra=("x",))
    df.loc[[2, 3], "x"] = np.nan
    with pytest.raises(ValueError, match=r"column 'x' is missing in 2 rows: unique_id='a'"):
        panel_from_frame(df, columns=Columns(hist=("x",)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"missing": "drop"}, r"missing: 'drop' is not known; give 'raise' or 'mask'"),
        ({"fill": "mean"}, r"fill: 'mean' is not known; give None, 'forward', 'zero'"),
    ],
)
def test_unknown_ways_are_refused(
    long_frame: LongFrame, arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        panel_of(long_frame(), **arguments)


@settings(max_examples=30)
@given(data=st.data())
def test_any_rows_absent_come_back_as_nan(data: st.DataObject, long_frame: LongFrame) -> None:
    lengths = data.draw(st.lists(st.integers(3, 9), min_size=1, max_size=3))
    freq = data.draw(st.sampled_from(["h", "D", "B", "MS", "W-SUN"]))
    df = long_frame(lengths, freq=freq, timezone=data.draw(st.sampled_from([None, "Asia/Tokyo"])))
    ends = np.cumsum(lengths)
    inner = np.setdiff1d(np.arange(len(df)), np.concatenate(([0], ends, ends - 1)))
    gone = data.draw(st.lists(st.sampled_from(inner.tolist()), unique=True))
    full = panel_of(df, freq=freq)
    panel = panel_of(df.drop(index=gone), freq=freq, missing="mask")
    np.testing.assert_array_equal(panel.times, full.times)
    np.testing.assert_array_equal(panel.offsets, full.offsets)
    expected = full.target.copy()
    expected[gone] = np.nan
    np.testing.assert_array_equal(panel.target, expected)


# --- roles of columns


@pytest.mark.parametrize(
    ("roles", "error", "message"),
    [
        ({"target": "y"}, TypeError, r"target: 'y' is one name; give a sequence, \('y',\)"),
        ({"target": ()}, ValueError, r"target: no column is named"),
        (
            {"futr": ("x",), "hist": ("x",)},
            ValueError,
            r"hist: column 'x' is futr already; .*known in the past alone belongs to hist",
        ),
        ({"futr": ("y",)}, ValueError, r"futr: column 'y' is target already"),
        ({"hist": ("ds",)}, ValueError, r"hist: column 'ds' is time already"),
        ({"categorical": ("shop",)}, ValueError, r"categorical: \['shop'\] are not static"),
    ],
)
def test_a_column_has_one_role(
    roles: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Columns(**roles)


# --- the future


FUTURE = Columns(futr=("x",))


def split(df: pd.DataFrame, h: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    last = df.groupby("unique_id").cumcount(ascending=False) < h
    return df[~last], df[last]


def test_future_rows_are_matched_by_id_and_time(long_frame: LongFrame) -> None:
    past, future = split(long_frame((9, 7), extra=("x",)), 3)
    panel = panel_from_frame(past, columns=FUTURE)
    expected = future["x"].to_numpy().reshape(2, 3, 1)
    mixed = pd.concat([future, past, future.assign(unique_id="other")]).sample(
        frac=1, random_state=0
    )
    found = future_from_frame(mixed.drop(columns="y"), panel, 3)
    np.testing.assert_array_equal(found, expected)
    assert future_from_frame(None, panel_of(past), 3).shape == (2, 3, 0)


def test_future_rows_in_another_zone_are_the_same_instants(long_frame: LongFrame) -> None:
    df = long_frame((9, 7), extra=("x",), start="2023-10-28 20:00", timezone="Europe/Paris")
    past, future = split(df, 3)
    panel = panel_from_frame(past, columns=FUTURE)
    moved = future.assign(ds=future["ds"].dt.tz_convert("Asia/Tokyo"))
    np.testing.assert_array_equal(
        future_from_frame(moved, panel, 3), future_from_frame(future, panel, 3)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda df: df.iloc[:-1],
            r"futr_df: 1 rows that are needed are absent: unique_id='b' ds=2023-01-02 06:00:00; "
            r"give \['x'\] for the 3 steps after the last row of every series",
        ),
        (
            lambda df: df[df["unique_id"] == "a"],
            r"futr_df: 3 rows that are needed are absent: unique_id='b' ds=2023-01-02 04:00:00",
        ),
        (lambda df: df.assign(unique_id=1), r"futr_df: 6 rows .* absent: .*, \.\.\.; give"),
        (lambda df: pd.concat([df, df]), r"futr_df: 6 rows have the id and time of another one"),
        (lambda df: df.assign(x=np.nan), r"futr_df: column 'x' is missing in 6 rows"),
        (lambda df: df.assign(x=np.inf), r"futr_df: column 'x' is infinite in 6 rows"),
        (lambda df: df.drop(columns="x"), r"futr_df: no column 'x' among"),
        (lambda df: None, r"futr_df: it is missing; the columns \['x'\] have to be known for"),
        (
            lambda df: df.assign(ds=df["ds"].dt.tz_localize("UTC")),
            "holds timestamps in UTC, the series have timestamps without a zone; give timestamps",
        ),
        (lambda df: df.assign(ds=range(6)), r"futr_df: column 'ds' holds integers, the series"),
    ],
)
def test_a_future_that_does_not_fit_is_refused(
    long_frame: LongFrame, change: Change, message: str
) -> None:
    past, future = split(long_frame((9, 7), extra=("x",)), 3)
    with pytest.raises(ValueError, match=message):
        future_from_frame(change(future), panel_from_frame(past, columns=FUTURE), 3)


def test_the_future_of_a_series_is_missing_where_masked(long_frame: LongFrame) -> None:
    past, future = split(long_frame((9, 7), extra=("x",)), 3)
    panel = panel_from_frame(past, columns=FUTURE, missing="mask")
    future = future.assign(x=[np.nan, *future["x"].iloc[1:]])
    assert np.flatnonzero(np.isnan(future_from_frame(future, panel, 3))).tolist() == [0]


# --- other libraries


def polars_of(df: pd.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({
        name: pl.Series(df[name].to_list()) for name in df.columns
    })  # fmt: skip


@pytest.mark.parametrize("timezone", [None, "Europe/Paris"])
def test_polars_in_and_out(long_frame: LongFrame, timezone: str | None) -> None:
    df = long_frame(start="2023-10-28 20:00", timezone=timezone)
    native = polars_of(df)
    panel, expected = panel_of(native), panel_of(df)
    np.testing.assert_array_equal(panel.times, expected.times)
    np.testing.assert_array_equal(panel.target, expected.target)
    assert panel.ids.tolist() == expected.ids.tolist()
    assert panel.timezone == timezone
    assert panel.unit == "us"
    times = panel.local(panel.times)
    result = frame_like(native)({
        "unique_id": np.repeat(panel.ids, panel.lengths), "ds": times, "y": panel.target[:, 0]
    })  # fmt: skip
    assert isinstance(result, pl.DataFrame)
    assert result.equals(native)
    assert result.schema == native.schema


def test_pandas_comes_back_as_pandas(long_frame: LongFrame) -> None:
    df = long_frame(timezone="Europe/Paris")
    panel = panel_of(df)
    result = frame_like(df)({
        "unique_id": np.repeat(panel.ids, panel.lengths),
        "ds": panel.local(panel.times),
        "y": panel.target[:, 0],
    })  # fmt: skip
    pd.testing.assert_frame_equal(result, df)


def test_polars_with_nulls_dates_and_categories() -> None:
    native = pl.DataFrame({
        "unique_id": pl.Series(["a", "a", "b"], dtype=pl.Categorical),
        "ds": pl.Series(["2023-01-01", "2023-01-02", "2023-01-01"]).str.to_date(),
        "y": pl.Series([1, None, 3]),
    })  # fmt: skip
    panel = panel_of(native, missing="mask")
    assert panel.ids.tolist() == ["a", "b"]
    np.testing.assert_array_equal(panel.target[:, 0], [1, np.nan, 3])
    with pytest.raises(ValueError, match=r"column 'y' is missing in 1 rows"):
        panel_of(native)


@pytest.mark.parametrize(
    ("df", "message"),
    [
        (pl.LazyFrame({"y": [1]}), r"df: polars.LazyFrame is not a frame in memory; call .collect"),
        (
            {"y": [1]},
            r"df: builtins.dict is not a frame in memory; give a frame of pandas or polars",
        ),
        (None, r"df: builtins.NoneType is not a frame"),
    ],
)
def test_what_is_no_frame_is_refused(df: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        panel_of(df)


def test_a_hundred_thousand_short_series_are_read_without_a_loop() -> None:
    count, length = 100_000, 4
    df = pd.DataFrame({
        "unique_id": np.repeat(np.arange(count), length),
        "ds": np.tile(pd.date_range("2023", periods=length, freq="MS"), count),
        "y": np.arange(count * length, dtype=float),
    })  # fmt: skip
    panel = panel_of(df)
    assert len(panel) == count
    np.testing.assert_array_equal(panel.offsets, np.arange(count + 1) * length)


def test_whole_numbers_among_objects_are_times(long_frame: Callable[..., pd.DataFrame]) -> None:
    df = long_frame().assign(ds=lambda part: part.groupby("unique_id").cumcount())
    plain = panel_from_frame(df, columns=Columns())
    objects = panel_from_frame(df.astype({"ds": object}), columns=Columns())
    assert objects.times.dtype == np.int64
    np.testing.assert_array_equal(objects.times, plain.times)
