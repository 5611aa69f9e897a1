"""Results have the types of the caller's columns, and the values that were read from them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tcn.forecasting import Forecaster
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import panel_from_frame
from tcn.forecasting.frames.results import frame_like

NAMES = ["10", "7", "8"]
UNITS = ("s", "ms", "us", "ns")
ZONES = ("Europe/Paris", "UTC", "America/New_York")


def times_of(freq: str, zone: str | None) -> pd.DatetimeIndex:
    return pd.date_range("2024-03-29", periods=5, freq=freq, tz=zone)


def arrow(kind: pa.DataType) -> pd.ArrowDtype:
    return pd.ArrowDtype(kind)


PANDAS_IDS: dict[str, Any] = {
    "object": object, "str": "str", "string": "string", "category": "category",
    "ordered": pd.CategoricalDtype([*NAMES, "unused"], ordered=True), "int8": "int8",
    "arrow dictionary": arrow(pa.dictionary(pa.int32(), pa.string())),
    "Int32": "Int32", "uint64": "uint64", "arrow text": arrow(pa.string()),
    "arrow int": arrow(pa.int16()),
}  # fmt: skip
POLARS_IDS = [pl.String, pl.Categorical, pl.Enum([*NAMES, "unused"]), pl.Int8, pl.UInt32, pl.Int64]
ARROW_IDS = [
    pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()), pa.int16(), pa.uint64(),
]  # fmt: skip


@st.composite
def text_times(draw: st.DrawFn) -> tuple[str, str, str | None, Callable[[Any], str]]:
    """A frequency, a name, a zone, and what writes a time."""
    return draw(
        st.sampled_from([
            ("D", "day", None, lambda t: f"{t:%Y-%m-%d}"),
            ("D", "packed", None, lambda t: f"{t:%Y%m%d}"),
            ("MS", "month", None, lambda t: f"{t:%Y-%m}"),
            ("YS", "year", None, lambda t: f"{t:%Y}"),
            ("h", "minutes", None, lambda t: f"{t:%Y-%m-%d %H:%M}"),
            ("h", "seconds", None, lambda t: f"{t:%Y-%m-%dT%H:%M:%S}"),
            ("h", "zulu", "UTC", lambda t: f"{t:%Y-%m-%dT%H:%M:%SZ}"),
            ("h", "offset", "UTC", str),
            ("h", "hours", None, lambda t: f"{t:%Y-%m-%d %H}"),
            ("h", "hours with a T", None, lambda t: f"{t:%Y-%m-%dT%H}"),
            ("h", "of JavaScript", "UTC", lambda t: f"{t:%Y-%m-%dT%H:%M:%S}.000Z"),
            ("100ms", "milliseconds", None, lambda t: f"{t:%Y-%m-%d %H:%M:%S.%f}"[:-3]),
        ])
    )  # fmt: skip


def long(times: pd.Series, ids: pd.Series) -> pd.DataFrame:
    """Three series with the same times."""
    count = len(times)
    return pd.DataFrame({
        "unique_id": ids.repeat(count).reset_index(drop=True),
        "ds": pd.concat([times] * 3, ignore_index=True),
        "y": np.arange(3.0 * count),
    })  # fmt: skip


def again(df: Any) -> Any:
    """What is read of a frame, as a result."""
    panel = panel_from_frame(df, columns=Columns())
    return frame_like(df, "unique_id", "ds")({
        "unique_id": np.repeat(panel.ids, panel.lengths),
        "ds": panel.local(panel.times),
        "y": panel.target[:, 0],
    })  # fmt: skip


@given(
    ids=st.sampled_from(sorted(PANDAS_IDS)),
    unit=st.sampled_from(UNITS),
    zone=st.sampled_from((None, *ZONES)),
    freq=st.sampled_from(("D", "h", "MS", "W-SUN")),
    through_arrow=st.booleans(),
)
@examples(max_examples=60, deadline=None)
def test_frames_of_pandas_come_back_in_their_types(
    ids: str, unit: str, zone: str | None, freq: str, through_arrow: bool
) -> None:
    times = pd.Series(times_of(freq, zone).as_unit(unit))
    if through_arrow:
        times = times.astype(arrow(pa.timestamp(unit, zone)))
    names = pd.Series(NAMES, dtype="str")
    if "int" in ids.lower():
        names = names.astype("int64")
    df = long(times, names.astype(PANDAS_IDS[ids]))
    pd.testing.assert_frame_equal(again(df), df)
    assert len(again(df).merge(df, on=["unique_id", "ds"])) == len(df)


@given(text=text_times(), dtype=st.sampled_from(("str", "object", "string")))
@examples(max_examples=30, deadline=None)
def test_times_that_are_text_come_back_as_they_were_written(
    text: tuple[str, str, str | None, Callable[[Any], str]], dtype: str
) -> None:
    freq, _, zone, write = text
    times = pd.Series([write(time) for time in times_of(freq, zone)], dtype=dtype)
    df = long(times, pd.Series(NAMES))
    pd.testing.assert_frame_equal(again(df), df)
    frame = pl.from_pandas(df)
    assert again(frame).equals(frame)
    table = frame.to_arrow()
    assert again(table).equals(table)


@pytest.mark.parametrize("dtype", ["int32", "Int64", "uint16", "int64"])
def test_integer_times_come_back_in_their_width(dtype: str) -> None:
    df = long(pd.Series(range(5), dtype=dtype), pd.Series(NAMES))
    pd.testing.assert_frame_equal(again(df), df)


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
@pytest.mark.parametrize("kind", ["Timestamp", "datetime", "datetime64"])
def test_python_objects_come_back_as_such(kind: str, zone: str | None) -> None:
    """As databases and spreadsheets are read; pandas joins them with no other type."""
    times = times_of("h", None if kind == "datetime64" else zone)
    of_kind: dict[str, Any] = {"datetime": times.to_pydatetime(), "datetime64": times.to_numpy()}
    df = long(pd.Series(list(of_kind.get(kind, times)), dtype=object), pd.Series(NAMES))
    found = again(df)
    assert {type(time) for time in found["ds"]} == {type(time) for time in df["ds"]}
    assert found["ds"].tolist() == df["ds"].tolist()
    assert len(found.merge(df, on=["unique_id", "ds"])) == len(df)


def test_entries_of_a_dictionary_without_a_row_are_no_series() -> None:
    kind = arrow(pa.dictionary(pa.int32(), pa.string()))
    df = long(pd.Series(times_of("D", None)), pd.Series(NAMES).astype(kind))
    assert panel_from_frame(df[5:10], columns=Columns()).ids.tolist() == NAMES[1:2]


def test_dates_come_back_as_dates() -> None:
    df = long(pd.Series(times_of("D", None).date, dtype=object), pd.Series(NAMES))
    pd.testing.assert_frame_equal(again(df), df)
    df["ds"] = df["ds"].astype(arrow(pa.date32()))
    pd.testing.assert_frame_equal(again(df), df)
    frame = pl.DataFrame({"unique_id": df["unique_id"].tolist(), "ds": df["ds"].tolist(), "y": 1.0})
    assert frame.schema["ds"] == pl.Date
    assert again(frame).equals(frame)
    for kind in (pa.date32(), pa.date64()):
        table = frame.to_arrow()
        table = table.set_column(1, "ds", table["ds"].cast(kind))
        assert again(table).schema == table.schema
        assert again(table).equals(table)


@given(
    ids=st.sampled_from(range(6)),
    unit=st.sampled_from(("ms", "us", "ns")),
    zone=st.sampled_from((None, *ZONES)),
)
@examples(max_examples=40, deadline=None)
def test_frames_of_polars_and_pyarrow_come_back_in_their_types(
    ids: int, unit: str, zone: str | None
) -> None:
    frame = pl.from_pandas(long(pd.Series(times_of("h", zone)), pd.Series(NAMES)))
    frame = frame.with_columns(
        pl.col("unique_id").cast(POLARS_IDS[ids]), pl.col("ds").dt.cast_time_unit(unit)
    )
    found = again(frame)
    assert found.schema == frame.schema
    assert len(found.join(frame, on=["unique_id", "ds"])) == len(frame)
    table = frame.with_columns(pl.col("unique_id").cast(pl.String)).to_arrow()
    names = table["unique_id"].cast(pa.string())
    if pa.types.is_dictionary(ARROW_IDS[ids]):
        names = names.cast(ARROW_IDS[ids].value_type).dictionary_encode()
    table = table.set_column(0, "unique_id", names.cast(ARROW_IDS[ids]))
    table = table.set_column(1, "ds", table["ds"].cast(pa.timestamp("s", zone)))
    assert again(table).schema == table.schema
    assert again(table).to_pydict() == table.to_pydict()


def test_a_type_that_cannot_hold_a_result_is_not_forced_on_it() -> None:
    kind = frame_like(long(pd.Series([125], dtype="int8"), pd.Series(NAMES)), "unique_id", "ds")
    assert kind({"ds": np.array([127, 128])})["ds"].tolist() == [127, 128]
    hours = pd.date_range("2024-01-01 23:00", periods=2, freq="h")
    dated = long(pd.Series(hours.date[:1], dtype=object), pd.Series(NAMES))
    for df in (dated, dated.astype({"ds": "str"}), dated.astype({"ds": arrow(pa.date32())})):
        found = frame_like(df, None, "ds")({"ds": hours})["ds"]
        assert pd.to_datetime(found).tolist() == hours.tolist()
    frame = pl.DataFrame({"ds": dated["ds"].tolist()})
    for df in (frame, frame.to_arrow()):
        found = frame_like(df, None, "ds")({"ds": hours})["ds"]
        assert [str(t)[:19] for t in found.to_numpy()] == [
            "2024-01-01T23:00:00",
            "2024-01-02T00:00:00",
        ]


def test_forecasts_can_be_joined_with_the_callers_frame() -> None:
    times = pd.Series(pd.date_range("2024-01-01", periods=30).date, dtype=object)
    df = long(times, pd.Series(NAMES, dtype="category"))
    rows = df.groupby("unique_id", observed=True).cumcount()
    forecaster = Forecaster(h=2, input_size=4, width=4, max_steps=2, accelerator="cpu")
    forecaster.fit(df[rows < 26])
    results = [forecaster.predict(), forecaster.predict(df[rows < 26])]
    results.append(forecaster.update(df[rows == 26]))
    results.append(forecaster.update(df[(rows == 27) & (df["unique_id"] == "7")]))
    results.append(forecaster.cross_validation(df, 2))
    for result in results:
        assert (result.dtypes[["unique_id", "ds"]] == df.dtypes[["unique_id", "ds"]]).all()
        assert len(result.merge(df, on=["unique_id", "ds"])) == len(result)
    assert results[-1]["cutoff"].dtype == object
