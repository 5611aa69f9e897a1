"""Columns of one value per series: numbers and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Floats, Integers
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.ids import read_ids, shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.reading import read_columns, read_numbers
from tcn.forecasting.frames.rows import Missing

Vocabularies = dict[str, list[Any]]


def read_static(
    static_df: Any,
    columns: Columns,
    ids: NDArray[Any],
    *,
    missing: Missing,
    vocabularies: Mapping[str, Sequence[Any]] | None,
) -> tuple[Floats, Integers, Vocabularies]:
    """The static columns of every series.

    Args:
        static_df: one row per series; rows of other series are not read.
        columns: names of the columns.
        ids: ``(N,)`` the series.
        missing: whether NaN are allowed; a missing category is code 0.
        vocabularies: the known categories; others become code 0, with a warning.

    Returns:
        ``(N, S)`` numbers, ``(N, C)`` codes and the categories of each column.

    Raises:
        TypeError: a column that is not categorical holds no numbers.
        ValueError: ``static_df`` or one of its columns, series or values is missing.
    """
    if not columns.stat:
        return np.empty((len(ids), 0)), np.empty((len(ids), 0), dtype=np.int64), {}
    if static_df is None:
        raise ValueError(
            f"static_df: it is missing; give one row per series with {list(columns.stat)}"
        )
    read = read_columns(static_df, (columns.id, *columns.stat), "static_df")
    rows = _rows_of(read[columns.id], columns.id, ids)
    read = {name: read[name].iloc[rows].reset_index(drop=True) for name in columns.stat}
    numbers = np.empty((len(ids), len(columns.numeric_stat)))
    for position, name in enumerate(columns.numeric_stat):
        numbers[:, position] = read_numbers(read[name], name, "static_df")
        _check_finite(numbers[:, position], name, ids, missing)
    codes = np.empty((len(ids), len(columns.categorical)), dtype=np.int64)
    known: Vocabularies = {}
    for position, name in enumerate(columns.categorical):
        if missing == "raise" and read[name].isna().any():
            _refuse(name, "missing", ids[read[name].isna().to_numpy()])
        given = None if vocabularies is None else vocabularies.get(name)
        codes[:, position], known[name] = _encoded(read[name], name, given)
    return numbers, codes, known


def _rows_of(column: pd.Series, name: str, ids: NDArray[Any]) -> Integers:
    codes, there = read_ids(column, name, "static_df")
    doubled = np.flatnonzero(np.bincount(codes) > 1)
    if len(doubled):
        raise ValueError(
            f"static_df: {len(doubled)} ids have several rows: {shown(there[doubled])}; keep one"
        )
    rows = pd.Index(there).get_indexer(pd.Index(ids))
    if (rows < 0).any():
        raise ValueError(
            f"static_df: {(rows < 0).sum()} series have no row: {shown(ids[rows < 0])}; add them"
        )
    return rows.astype(np.int64)


def _check_finite(values: Floats, name: str, ids: NDArray[Any], missing: Missing) -> None:
    if np.isinf(values).any():
        _refuse(name, "infinite", ids[np.isinf(values)])
    if missing == "raise" and np.isnan(values).any():
        _refuse(name, "missing", ids[np.isnan(values)])


def _refuse(name: str, what: str, ids: NDArray[Any]) -> None:
    cure = ", or pass missing='mask'" if what == "missing" else ""
    raise ValueError(
        f"static_df: column {name!r} is {what} for the series {shown(ids)}; replace the value{cure}"
    )


def _encoded(
    column: pd.Series, name: str, vocabulary: Sequence[Any] | None
) -> tuple[Integers, list[Any]]:
    codes, unique = pd.factorize(column, sort=False)
    found = np.array(unique).tolist()  # Python's own values, which JSON can hold
    if vocabulary is None:
        known = sorted(found, key=lambda value: (str(type(value)), value))
    else:
        known = list(vocabulary)
    number = {value: code for code, value in enumerate(known, start=1)}
    if unseen := [value for value in found if value not in number]:
        warn(
            f"static_df: column {name!r} has {len(unseen)} categories that were not there in "
            f"training: {shown(np.array(unseen, dtype=object))}; they share one embedding",
        )
    table = np.array([number.get(value, 0) for value in found] + [0], dtype=np.int64)
    return table[codes], known  # code -1, no category, reads the 0 at the end
