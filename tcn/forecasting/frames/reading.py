"""Columns of a caller's frame as arrays.

Everything here reads; nothing writes to what the caller handed in.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Floats

Library = Literal["pandas", "polars", "pyarrow"]
LIBRARIES: tuple[Library, ...] = get_args(Library)
SHOWN = 5  # rows, ids or values that a message lists


def read_columns(df: Any, names: Sequence[str], argument: str) -> dict[str, pd.Series]:
    """The columns ``names`` of a frame, numbered from 0.

    Args:
        df: a frame of pandas, polars or pyarrow.
        names: the columns to read.
        argument: what the caller named the frame, for messages.

    Raises:
        TypeError: ``df`` is not such a frame.
        ValueError: the frame is empty, or a column is absent or occurs twice.
    """
    if isinstance(df, pd.DataFrame) and not df.columns.is_unique:
        doubled = df.columns[df.columns.duplicated()].tolist()
        raise ValueError(f"{argument}: several columns are named {doubled[0]!r}; keep one")
    frame = as_narwhals(df, argument)
    there = frame.columns
    for name in names:
        if name in there:
            continue
        cure = "rename yours or pass its name"
        if isinstance(df, pd.DataFrame) and name in df.index.names:
            cure = f"it is the index: pass {argument}.reset_index()"
        raise ValueError(f"{argument}: no column {name!r} among {there[:20]}; {cure}")
    if len(frame) == 0:
        raise ValueError(f"{argument}: the frame is empty; give at least one row")
    if isinstance(df, pd.DataFrame):
        return {name: df[name].reset_index(drop=True) for name in names}
    return {name: _to_pandas(frame[name]) for name in names}


def read_times(
    times: pd.Series, name: str, argument: str
) -> tuple[NDArray[Any], str | None, str | None]:
    """Times as an array, their zone and their unit.

    Returns:
        ``(R,)`` ``datetime64[ns]`` in UTC (or naive), the name of the zone or ``None``, and the
        caller's unit such as ``"us"``; or ``(R,)`` ``int64``, ``None`` and ``None``.

    Raises:
        TypeError: the column holds neither times nor integers.
        ValueError: a time is absent, out of range or not in ISO format, or time zones are mixed.
    """
    where = f"{argument}: column {name!r}"
    if times.isna().any():
        raise ValueError(f"{where}: no time in rows {_first(times.isna())}; drop these rows")
    if pd.api.types.is_bool_dtype(times.dtype):
        raise TypeError(f"{where} is boolean; give timestamps or integers")
    if pd.api.types.is_object_dtype(times.dtype) and pd.api.types.infer_dtype(times) == "integer":
        times = times.astype("int64")
    if pd.api.types.is_integer_dtype(times.dtype):
        return times.to_numpy(dtype=np.int64), None, None
    if pd.api.types.is_object_dtype(times.dtype) or pd.api.types.is_string_dtype(times.dtype):
        times = _parsed(times, where)
    if not pd.api.types.is_datetime64_any_dtype(times.dtype):
        raise TypeError(
            f"{where} has type {times.dtype}; give timestamps (pandas.to_datetime, "
            "Series.dt.to_timestamp for periods) or integers (Series.astype('int64'))"
        )
    index = pd.DatetimeIndex(times)
    zone = None if index.tz is None else zone_name(index.tz)
    if zone is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    try:
        return index.as_unit("ns").to_numpy(copy=True), zone, index.unit
    except pd.errors.OutOfBoundsDatetime as error:
        raise ValueError(
            f"{where}: a time lies outside the years 1678 to 2261; number the rows 0, 1, 2, ... "
            "and give freq=1"
        ) from error


def read_numbers(values: pd.Series, name: str, argument: str) -> Floats:
    """A column as ``(R,)`` float64, NaN where it holds nothing.

    Integers, booleans, decimals and numbers written as text are cast.

    Raises:
        TypeError: the column holds times, complex numbers or text that is not a number.
    """
    where = f"{argument}: column {name!r}"
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = values.astype(object)
        dtype = values.dtype
    if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        numbers = pd.to_numeric(values, errors="coerce")
        wrong = numbers.isna() & values.notna()
        if wrong.any():
            examples = [str(value) for value in values[wrong][:SHOWN]]
            raise TypeError(
                f"{where} holds text that is not a number, in rows {_first(wrong)}: {examples}; "
                "convert it, or name the column among the categorical ones if it is static"
            )
        values = numbers
    elif not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        raise TypeError(f"{where} has type {dtype}, which is not a number; convert it to float")
    return values.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)


def zone_name(zone: Any) -> str:
    """The name by which pandas finds a time zone again.

    Raises:
        ValueError: it has none.
    """
    name = getattr(zone, "key", None) or getattr(zone, "zone", None) or str(zone)
    try:
        pd.Timestamp(0).tz_localize(name)
    except Exception as error:
        raise ValueError(
            f"time zone {zone!r} has no name that can be stored; use Series.dt.tz_convert with "
            "one such as 'Europe/Paris'"
        ) from error
    return str(name)


def _parsed(times: pd.Series, where: str) -> pd.Series:
    aware = [getattr(value, "tzinfo", None) for value in times]
    zones = {str(zone) for zone in aware}
    if len(zones) > 1:
        raise ValueError(
            f"{where}: time zones are mixed: {sorted(zones)[:SHOWN]}; bring all to one with "
            "pandas.to_datetime(..., utc=True), naive ones with tz_localize first"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pandas 2 announces what 3 refuses
            parsed = pd.to_datetime(times, format="ISO8601")
    except (ValueError, TypeError) as error:
        if "zone" in str(error) or "tz" in str(error).lower():
            raise ValueError(
                f"{where}: time zones are mixed; bring all to one with "
                "pandas.to_datetime(..., utc=True)"
            ) from error
        reason = str(error).splitlines()[0].removesuffix(" You might want to try:")
        raise ValueError(
            f"{where}: {reason.removesuffix('.')}; only ISO times such as 2024-01-31 13:00 are "
            "read without a format: use pandas.to_datetime(..., format=...)"
        ) from error
    if parsed.dtype == object:  # pandas 2
        raise ValueError(
            f"{where}: time zones are mixed; bring all to one with "
            "pandas.to_datetime(..., utc=True)"
        )
    return parsed


def _to_pandas(column: nw.Series[Any]) -> pd.Series:
    """A column of another library, without pyarrow in between."""
    dtype = column.dtype
    if isinstance(dtype, nw.Datetime):
        zone = dtype.time_zone
        if zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        times = pd.Series(column.to_numpy())
        return times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)
    if isinstance(dtype, nw.Date):
        return pd.Series(column.cast(nw.Datetime("us")).to_numpy())
    if isinstance(dtype, nw.Categorical | nw.Enum):
        column = column.cast(nw.String)
    if (dtype.is_integer() and column.null_count() == 0) or dtype.is_float():
        return pd.Series(column.to_numpy())
    return pd.Series(column.to_list(), dtype=None if column.null_count() < len(column) else object)


def as_narwhals(df: Any, argument: str) -> nw.DataFrame[Any]:
    """A frame of any library, behind the interface that all share.

    Raises:
        TypeError: it is not a frame in memory.
    """
    try:
        return nw.from_native(df, eager_only=True)
    except TypeError as error:
        kind = f"{type(df).__module__.split('.')[0]}.{type(df).__name__}"
        cure = "call .collect() first" if "Lazy" in kind else "give a frame of pandas or polars"
        raise TypeError(f"{argument}: {kind} is not a frame in memory; {cure}") from error


def _first(mask: pd.Series) -> str:
    rows = np.flatnonzero(mask.to_numpy())
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{rows[:SHOWN].tolist()}{more}"
