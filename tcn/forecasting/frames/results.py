"""Results as a frame of the caller's kind, with ids and times in the types of the caller's columns.

So that results can be joined with what the caller has: categories stay categories, dates stay
dates, and text stays text in the same format. Where a type cannot hold a result, such as a date the
hours of a finer frequency, the result has the type that can.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.extras import need
from tcn.forecasting.frames.reading import LIBRARIES, Library, as_narwhals, zone_name

FORMATS = (
    "%Y", "%Y-%m", "%Y-%m-%d", "%Y%m%d", "%Y-%m-%d %H", "%Y-%m-%dT%H",
    "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f",
)  # fmt: skip
"""In which times that are text are written again; further ones are those of ``isoformat``."""


_OBJECTS: dict[type, Callable[[pd.Timestamp], Any]] = {
    pd.Timestamp: pd.Timestamp,
    datetime.datetime: pd.Timestamp.to_pydatetime,
    np.datetime64: pd.Timestamp.to_datetime64,
}
"""What writes times as Python objects of a type."""


class ColumnType(NamedTuple):
    """The type of a column of the caller.

    Attributes:
        native: as the library has it.
        write: from a time to what the column holds, where that is text or a Python object.
    """

    native: Any
    write: Callable[[pd.Timestamp], Any] | None = None


@dataclass(frozen=True)
class FrameKind:
    """Builds result frames of one library.

    Attributes:
        library: ``"pandas"``, ``"polars"`` or ``"pyarrow"``.
        types: of columns whose type is known, by name.
    """

    library: Library
    types: Mapping[str, ColumnType] = field(default_factory=dict)

    def __call__(self, columns: Mapping[str, Any]) -> Any:
        """A frame of arrays; a ``DatetimeIndex`` keeps its time zone.

        Args:
            columns: one-dimensional arrays of one length by column name.
        """
        if self.library == "pandas":
            return _pandas_frame({
                name: _pandas_column(values, self.types[name]) if name in self.types else values
                for name, values in columns.items()
            })  # fmt: skip
        columns = {name: self._written(name, values) for name, values in columns.items()}
        frame = _plain_frame(columns, self.library)
        for name, wanted in self.types.items():
            if name in columns and _fits(columns[name], wanted.native):
                frame = _cast(frame, name, wanted.native)
        return frame

    def repeated(self, name: str, ids: NDArray[Any], count: int) -> Any:
        """The column of ids ``name``: each of them ``count`` times."""
        if len(ids) == 1 and self.library == "pandas":
            return _repeated(ids[0], count, self.types[name].native).copy()
        return np.repeat(ids, count)

    def _written(self, name: str, values: Any) -> Any:
        wanted = self.types.get(name)
        if wanted is None or wanted.write is None:
            return values
        written = _written(values, wanted.write)
        return values if written is None else np.array(written, dtype=object)


def frame_like(df: Any, id_col: str | None = None, time_col: str | None = None) -> FrameKind:
    """What builds frames of the kind of ``df``.

    Args:
        df: a frame of pandas, polars or pyarrow.
        id_col: its column of ids, whose type results are to have.
        time_col: likewise of times, and of the ``cutoff`` of results.

    Raises:
        TypeError: ``df`` is not such a frame.
    """
    if isinstance(df, pd.DataFrame):
        library: str = "pandas"
        if (found := _usual_pandas(df, id_col, time_col)) is not None:
            return found
    else:
        library = as_narwhals(df, "df").implementation.value
    for known in LIBRARIES:
        if library == known:
            types = {}
            if id_col is not None:
                types[id_col] = ColumnType(_native(df, id_col, known))
            if time_col is not None:
                types[time_col] = types["cutoff"] = _time_type(df, time_col, known)
            return FrameKind(known, types)
    raise TypeError(
        f"df: a frame of {library} is not supported; give one of {', '.join(LIBRARIES)}"
    )


def _usual_pandas(df: pd.DataFrame, id_col: str | None, time_col: str | None) -> FrameKind | None:
    """The same where times are ``datetime64`` or integers, in a third of the time.

    None for other times, and where a column is missing or there twice.
    """
    names, dtypes = df.columns.tolist(), df.dtypes.tolist()
    types = dict(zip(names, dtypes, strict=True))
    if len(types) != len(names):
        return None
    native = {name: types.get(name) for name in (id_col, time_col) if name is not None}
    if time_col is not None:
        if getattr(native[time_col], "kind", None) not in ("M", "i"):
            return None
        native["cutoff"] = native[time_col]
    if any(dtype is None for dtype in native.values()):
        return None
    return FrameKind("pandas", {name: ColumnType(dtype) for name, dtype in native.items()})


def _native(df: Any, name: str, library: Library) -> Any:
    return df.schema.field(name).type if library == "pyarrow" else df[name].dtype


def _time_type(df: Any, name: str, library: Library) -> ColumnType:
    native = _native(df, name, library)
    if library == "pandas" and not (
        pd.api.types.is_object_dtype(native) or pd.api.types.is_string_dtype(native)
    ):
        return ColumnType(native)
    values = df[name].to_pylist() if library == "pyarrow" else df[name].to_list()
    first = values[0]
    if isinstance(first, str):
        return ColumnType(native, _text_like(first, max(values, key=len)))
    if library == "pandas" and type(first) is datetime.date:
        return ColumnType(native, pd.Timestamp.date)
    if library == "pandas" and isinstance(first, datetime.datetime | np.datetime64):
        return ColumnType(native, _OBJECTS.get(type(first), pd.Timestamp))
    return ColumnType(None if library == "pandas" else native)


def _text_like(*examples: str) -> Callable[[pd.Timestamp], str] | None:
    """What writes times as the examples are written."""

    def iso(separator: str, utc: str, digits: str = "auto") -> Callable[[pd.Timestamp], str]:
        return lambda time: time.isoformat(separator, digits).replace("+00:00", utc)

    def formatted(written: str) -> Callable[[pd.Timestamp], str]:
        return lambda time: time.strftime(written)

    writers = [formatted(written) for written in FORMATS]
    writers += [iso(" ", "+00:00"), iso("T", "+00:00"), iso("T", "Z"), iso(" ", "Z")]
    writers += [iso(mark, utc, "milliseconds") for mark in " T" for utc in ("+00:00", "Z")]
    times = [pd.Timestamp(pd.to_datetime(example, format="ISO8601")) for example in examples]
    for write in writers:
        if [write(time) for time in times] == list(examples):
            return write
    return None


def _written(values: Any, write: Callable[[pd.Timestamp], Any]) -> list[Any] | None:
    """Times as text or dates; None where these would be read as other times."""
    index = pd.DatetimeIndex(values)
    written = [write(time) for time in index]
    text = [str(one) for one in written]
    back = pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", utc=index.tz is not None))
    return written if bool((back == index).all()) else None


def _pandas_column(values: Any, wanted: ColumnType) -> Any:
    """A column in the caller's type, or as it is where that cannot hold it."""
    plain = isinstance(values, np.ndarray) and values.dtype == object  # pandas would infer a type
    if wanted.native is None or (values.dtype == wanted.native and not plain):
        return values
    is_time = values.dtype.kind == "M"
    if is_time and wanted.write is None and wanted.native.kind not in "M":
        return values
    found = _written(values, wanted.write) if is_time and wanted.write is not None else values
    if found is None:
        return values
    try:
        if is_time and wanted.write is None:
            converted = pd.Series(pd.DatetimeIndex(values)).astype(wanted.native)
            back = pd.DatetimeIndex(pd.to_datetime(converted))
            return converted if bool((back == pd.DatetimeIndex(values)).all()) else values
        converted = pd.Series(found, dtype=wanted.native)
    except (TypeError, ValueError, OverflowError):
        return values
    same = converted.astype(object).to_numpy() == np.asarray(found, dtype=object)
    return converted if same.all() else values


def _fits(values: Any, native: Any) -> bool:
    """Whether a type, of polars or pyarrow, may hold the values: a date holds midnights alone."""
    if not isinstance(values, pd.DatetimeIndex) or "date" not in str(native).lower().split("[")[0]:
        return True
    return str(native).lower().startswith("datetime") or bool((values == values.normalize()).all())


def _cast(frame: Any, name: str, native: Any) -> Any:
    """The frame, of polars or pyarrow, with a column of this type if that holds its values."""
    if hasattr(frame, "with_columns"):
        need("a frame of polars", None, "polars")
        import polars as pl

        try:
            cast = frame[name].cast(native)
            same = (cast.cast(frame[name].dtype) == frame[name]).all()
        except pl.exceptions.PolarsError:
            return frame
        return frame.with_columns(cast) if same else frame
    import pyarrow as pa

    column = frame[name]
    try:
        if pa.types.is_dictionary(native):
            column = column.cast(native.value_type).dictionary_encode()
        cast = column.cast(native)
    except pa.ArrowException:
        return frame
    return frame.set_column(frame.schema.get_field_index(name), name, cast)


def _plain_frame(columns: Mapping[str, Any], library: Library) -> Any:
    """A frame of polars or pyarrow."""
    zones = {}
    plain: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, pd.DatetimeIndex):
            if values.tz is not None:
                zones[name] = zone_name(values.tz)
                values = values.tz_convert("UTC").tz_localize(None)
            values = values.to_numpy()
        # An array of Python objects would stay one in polars.
        plain[name] = values.tolist() if values.dtype == object else values
    frame = nw.from_dict(plain, backend=library)
    local = [
        nw.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        for name, zone in zones.items()
    ]
    return frame.with_columns(*local).to_native()


def _pandas_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """A frame of columns whose names pandas need not check again: that is a third of its time."""
    frame = pd.DataFrame(dict(enumerate(columns.values())), copy=False)
    frame.columns = _names(tuple(columns)).view()
    return frame


@lru_cache(maxsize=256)
def _names(names: tuple[str, ...]) -> pd.Index:
    return pd.Index(names)


@lru_cache(maxsize=256)
def _repeated(name: Any, count: int, native: Any) -> Any:
    """A column of pandas of one id; to infer its type anew takes a tenth of an update."""
    try:
        return pd.Series([name] * count, dtype=native).array
    except (TypeError, ValueError):
        return pd.Series([name] * count).array
