"""Forecasts of Arrow tables: a pure function of one part of the data, for any engine.

A part holds whole series. Engines hand parts to workers; if a worker dies, another one repeats
its parts with the same result. Memory follows the size of a part, not the
number of series: inside a part series are forecast a batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tcn.extras import need
from tcn.forecasting.fitted.predictor import Forecasts
from tcn.forecasting.forecaster import Forecaster
from tcn.forecasting.frames.arrays import Integers
from tcn.forecasting.intervals.levels import checked_levels
from tcn.layers.validation import check_positive

if TYPE_CHECKING:
    import pyarrow as pa

SERIES_AT_ONCE = 1024


def predict_partition(
    table: pa.Table,
    forecaster: Forecaster | str | Path,
    *,
    h: int | None = None,
    level: Sequence[float] | None = None,
    series_at_once: int = SERIES_AT_ONCE,
) -> pa.Table:
    """Forecasts every series of a table.

    Args:
        table: whole series, one row per series and time in any order, with the columns the
            forecaster was trained on. Where it has known-future covariates, the rows of a series
            after its last known target are its future. Static columns, if there are any, are read
            from the first row of a series; without them those of the training are used.
        forecaster: trained, or the folder it was saved to, which is read once per process.
        h: steps; those trained for if None.
        level: of the intervals, see :meth:`Forecaster.predict`.
        series_at_once: series per batch, which bounds the memory in addition to table and result.

    Returns:
        A table of :func:`forecast_schema`: ``h`` rows per series, series in the order in which
        they first appear. An empty table gives an empty one.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        TypeError: see :meth:`Forecaster.predict`.
        ValueError: likewise.
    """
    pa = _pyarrow()
    check_positive("series_at_once", [series_at_once])
    model = _model(forecaster)
    schema = forecast_schema(table.schema, model, level)
    if not len(table):
        return schema.empty_table()
    results = [
        _forecast(part, model, h, level).select(schema.names).cast(schema)
        for part in _batches(table, model.id_col, series_at_once)
    ]
    return pa.concat_tables(results)


def predict_stream(
    tables: Iterable[pa.Table | pa.RecordBatch],
    forecaster: Forecaster | str | Path,
    *,
    h: int | None = None,
    level: Sequence[float] | None = None,
    series_at_once: int = SERIES_AT_ONCE,
) -> Iterator[pa.Table]:
    """Forecasts a long table that arrives in pieces, in memory that does not grow with it.

    Args:
        tables: pieces of a table sorted by id, such as the row groups of a Parquet file. A series
            may go on in the next piece.
        forecaster: see :func:`predict_partition`.
        h: likewise.
        level: likewise.
        series_at_once: likewise; that many whole series are collected before they are forecast.

    Yields:
        Tables as :func:`predict_partition` returns them.

    Raises:
        ValueError: the ids do not ascend; or see :func:`predict_partition`.
    """
    model = _model(forecaster)
    for part in _whole_series(tables, model.id_col, series_at_once):
        yield predict_partition(part, model, h=h, level=level, series_at_once=series_at_once)


def forecast_schema(
    schema: pa.Schema, forecaster: Forecaster | str | Path, level: Sequence[float] | None = None
) -> pa.Schema:
    """Names and types of the result for a table of a given schema.

    Id and time keep their type, forecasts are float64.
    """
    pa = _pyarrow()
    model = _model(forecaster)
    trained, targets = model.trained_, model.columns.target
    nothing = np.empty((0, len(targets), 1))
    levels = checked_levels(level, trained.output, trained.intervals)
    found = Forecasts(nothing, dict.fromkeys(levels, (nothing, nothing)))
    names = found.columns(model.result_name, targets)
    kept = [schema.field(name).remove_metadata() for name in (model.id_col, model.time_col)]
    return pa.schema([*kept, *(pa.field(name, pa.float64()) for name in names)])


def _forecast(
    table: pa.Table, model: Forecaster, h: int | None, level: Sequence[float] | None
) -> pa.Table:
    columns = model.columns
    static = None
    if columns.stat and set(columns.stat) <= set(table.column_names):
        _, first = np.unique(_codes(table[model.id_col]), return_index=True)
        static = table.select([columns.id, *columns.stat]).take(first)
    future = None
    if columns.futr:
        table, future = _split_future(table, columns.id, columns.time, columns.target)
    return model.predict(table, future, h, level, static_df=static)


def _split_future(
    table: pa.Table, id_col: str, time_col: str, targets: Sequence[str]
) -> tuple[pa.Table, pa.Table]:
    """Rows up to the last known target of each series, and those after it."""
    table = table.sort_by([(id_col, "ascending"), (time_col, "ascending")])
    values = np.stack([table[name].cast("float64").to_numpy() for name in targets])
    known = ~np.isnan(values).all(axis=0)
    series = _codes(table[id_col])
    row = np.arange(len(table))
    begin = np.flatnonzero(np.diff(series, prepend=-2))
    last = np.maximum.reduceat(np.where(known, row, -1), begin)
    last = np.repeat(last, np.diff(begin, append=len(table)))
    # A series without any target has no future either; it is reported where it is read.
    future = (row > last) & (last >= 0)
    return table.take(np.flatnonzero(~future)), table.take(np.flatnonzero(future))


def _batches(table: pa.Table, id_col: str, most: int) -> Iterator[pa.Table]:
    """The rows of ``most`` series at a time."""
    codes = _codes(table[id_col])
    order = np.argsort(codes, kind="stable")
    begin = np.flatnonzero(np.diff(codes[order], prepend=-2))
    ends = np.append(begin[most::most], len(codes))
    for first, end in zip(begin[::most], ends, strict=True):
        rows = order[first:end]
        together = rows.max() - rows.min() == len(rows) - 1
        yield table.slice(rows.min(), len(rows)) if together else table.take(rows)


def _whole_series(
    tables: Iterable[pa.Table | pa.RecordBatch], id_col: str, most: int
) -> Iterator[pa.Table]:
    """The same rows, cut anew so that no series is cut."""
    pa = _pyarrow()
    waiting: list[Any] = []
    count, last = 0, None
    for piece in tables:
        table = pa.table(piece) if isinstance(piece, pa.RecordBatch) else piece
        if not len(table):
            continue
        if table[id_col].null_count:
            raise ValueError(f"tables: column {id_col!r} holds rows without an id; drop them")
        begin = np.flatnonzero(np.diff(_codes(table[id_col]), prepend=-2))
        ids = table[id_col].take(begin).to_pylist()
        _check_ascending(ids if last is None or ids[0] == last else [last, *ids], id_col)
        # The last series of this piece waits, for the next piece may continue it.
        count += len(ids) - (ids[0] == last)
        last = ids[-1]
        if count > most:
            yield pa.concat_tables([*waiting, table.slice(0, begin[-1])])
            waiting, count = [table.slice(begin[-1])], 1
        else:
            waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting)


def _check_ascending(ids: Sequence[Any], id_col: str) -> None:
    for one, other in pairwise(ids):
        if not one < other:
            raise ValueError(
                f"tables: {id_col}={other!r} comes after {one!r}; sort the whole by {id_col!r}"
            )


def _codes(column: pa.ChunkedArray) -> Integers:
    """A number for each id, counted in the order in which they first appear; -1 for none."""
    if _pyarrow().types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy().astype(np.int64)


def _model(forecaster: Forecaster | str | Path) -> Forecaster:
    if isinstance(forecaster, Forecaster):
        return forecaster
    folder = Path(forecaster)
    # A folder that was saved again is read again.
    return _loaded(folder, folder.stat().st_mtime_ns if folder.exists() else 0)


@lru_cache(maxsize=1)
def _loaded(folder: Path, changed: int) -> Forecaster:
    return Forecaster.load(folder)


def _pyarrow() -> Any:
    need("tcn.forecasting.distributed.partition", "forecasting", "pyarrow")
    import pyarrow as pa

    return pa
