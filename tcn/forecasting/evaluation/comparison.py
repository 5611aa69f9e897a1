"""Forecasts, what came and the seasonal naive forecast, side by side for every window.

A window is a series at a cutoff: one horizon that was forecast.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.evaluation.naive import SeasonalHistory, normal_interval
from tcn.forecasting.frames.arrays import Integers
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.ids import read_ids, shown
from tcn.forecasting.frames.reading import read_columns, read_numbers, read_times
from tcn.forecasting.frames.regular import regular
from tcn.forecasting.frames.rows import Rows

NAIVE = "SeasonalNaive"
"""The column of the seasonal naive forecast."""

CUTOFF = "cutoff"
"""The column of the last time that a forecast has seen."""


_QUANTILE = re.compile(r".+-q-[\d.e-]+")
_END = re.compile(r"(?P<model>.+)-(?:lo|hi)-(?P<level>\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Comparison:
    """What metrics are computed from.

    Attributes:
        frame: a row per forecast of which the value came: ``window``, ``step`` from 0, ``y``, and
            the columns of the models and their interval ends.
        models: the models' columns, the naive one last.
        levels: interval levels of each model, as written in its columns, rising.
        ids: ``(windows,)`` the caller's id of each.
        scale: ``(windows,)`` mean absolute error of the seasonal naive forecast before the cutoff;
            NaN in a past of a season or less.
    """

    frame: pd.DataFrame
    models: list[str]
    levels: dict[str, list[str]]
    ids: NDArray[Any]
    scale: NDArray[np.float64]


def ends_of(model: str, level: str) -> tuple[str, str]:
    """Columns of the lower and upper end of an interval."""
    return f"{model}-lo-{level}", f"{model}-hi-{level}"


def models_of(
    forecasts: Any, columns: Columns, models: Sequence[str] | None
) -> dict[str, list[str]]:
    """The models' columns and the levels of their intervals.

    Args:
        forecasts: the caller's frame.
        columns: their roles.
        models: those wanted; None: all columns without another role, quantiles left out.

    Raises:
        ValueError: there is no model, or an interval has only one end.
    """
    there = [str(name) for name in nw.from_native(forecasts, eager_only=True).columns]
    ends = {name: found for name in there if (found := _END.fullmatch(name))}
    known = {columns.id, columns.time, *columns.target, CUTOFF, NAIVE, *ends}
    if models is None:
        models = [name for name in there if name not in known and not _QUANTILE.fullmatch(name)]
    if not models:
        raise ValueError(f"forecasts: no column of a model among {there}; name it in models")
    levels: dict[str, set[str]] = {model: set() for model in models}
    for end in ends.values():
        if end["model"] in levels:
            levels[end["model"]].add(end["level"])
    for model, having in levels.items():
        for level in having:
            if absent := [end for end in ends_of(model, level) if end not in there]:
                raise ValueError(f"forecasts: no column {absent[0]!r} for the other end")
    return {model: sorted(having, key=float) for model, having in levels.items()}


def compare(
    forecasts: Any,
    train_df: Any,
    columns: Columns,
    *,
    season: int | None = None,
    models: Sequence[str] | None = None,
) -> Comparison:
    """Reads both frames and puts the seasonal naive forecast next to the others.

    Args and errors: see :func:`tcn.forecasting.evaluation.metrics.evaluate`.
    """
    levels = models_of(forecasts, columns, models)
    rows, series, cutoffs, ids = _windows(forecasts, columns, levels)
    past = _past(train_df, columns, ids, rows)
    frequency = past.frequency()
    past = regular(past, frequency, absent_allowed=True)
    history = SeasonalHistory(past, frequency.season if season is None else season)
    last = past.last(series, cutoffs)
    if (last < 0).any():
        absent = shown(ids[np.unique(series[last < 0])])
        raise ValueError(
            f"train_df: no row up to the cutoff of a forecast of series {absent}; the seasonal "
            "naive forecast and the scaled errors need the past"
        )
    steps, _ = frequency.steps(rows.times, rows.offsets, rows.timezone)
    frame = pd.DataFrame(dict(zip(rows.names, rows.values.T, strict=True)))
    frame = frame.rename(columns={columns.target[0]: "y"})
    frame.insert(0, "window", rows.series)
    frame.insert(1, "step", steps)
    ahead = steps + _steps_before(rows, past.times[last], frequency)[rows.series]
    every = sorted({level for found in levels.values() for level in found}, key=float)
    _add_naive(frame, history, series[rows.series], last[rows.series], ahead, every)
    observed = frame[frame["y"].notna()].reset_index(drop=True)
    if observed.empty:
        raise ValueError(
            f"forecasts: {columns.target[0]!r} is missing in every row: nothing came yet"
        )
    _refuse_holes(observed, list(rows.names[1:]))
    return Comparison(
        observed, [*levels, NAIVE], {**levels, NAIVE: every}, rows.ids, history.mean_error(last)
    )


def _windows(
    forecasts: Any, columns: Columns, levels: dict[str, list[str]]
) -> tuple[Rows, Integers, Integers, NDArray[Any]]:
    """Rows numbered by window; of every window its series and cutoff; the ids of the series."""
    ends = [end for model, found in levels.items() for level in found
            for end in ends_of(model, level)]  # fmt: skip
    values = (*columns.target, *levels, *ends)
    has_cutoff = CUTOFF in nw.from_native(forecasts, eager_only=True).columns
    extra = [CUTOFF] if has_cutoff else []
    read = read_columns(forecasts, (columns.id, columns.time, *values, *extra), "forecasts")
    codes, ids = read_ids(read[columns.id], columns.id, "forecasts")
    times, zone, unit = read_times(read[columns.time], columns.time, "forecasts")
    if has_cutoff:
        cutoffs = read_times(read[CUTOFF], CUTOFF, "forecasts")[0].astype(np.int64)
    else:
        first = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(first, codes, times.astype(np.int64))
        cutoffs = first[codes] - 1
    windows, number = np.unique(np.stack([codes, cutoffs], 1), axis=0, return_inverse=True)
    numbers = np.stack([read_numbers(read[name], name, "forecasts") for name in values], 1)
    rows = Rows(
        "forecasts", columns, values, ids[windows[:, 0]], number.reshape(-1), times,
        numbers, zone, unit,
    )  # fmt: skip
    return rows.sorted(told=False), windows[:, 0], windows[:, 1], ids


def _past(train_df: Any, columns: Columns, ids: NDArray[Any], rows: Rows) -> Rows:
    """The past of the series that were forecast, sorted."""
    past = Rows.read(train_df, columns, columns.target, "train_df")
    past.check_zone(rows.timezone, rows.times.dtype.kind)
    if len(absent := np.setdiff1d(ids, past.ids)):
        raise ValueError(
            f"train_df: series {shown(absent)} are forecast and have no past here; pass the frame "
            "the forecasts were made from"
        )
    return past.of_series(ids).sorted(told=False)


def _steps_before(rows: Rows, last: NDArray[Any], frequency: Frequency) -> Integers:
    """Steps between the last time of the past and the first forecast of every window, 0 if none."""
    pairs = np.stack([last, rows.times[rows.offsets[:-1]]], axis=1).ravel()
    steps, _ = frequency.steps(pairs, np.arange(0, len(pairs) + 1, 2), rows.timezone)
    return steps[1::2] - 1


def _add_naive(
    frame: pd.DataFrame,
    history: SeasonalHistory,
    series: Integers,
    last: Integers,
    ahead: Integers,
    levels: list[str],
) -> None:
    center = history.forecast(series, last, ahead)
    deviation = history.deviation(last, ahead)
    frame[NAIVE] = center
    for level in levels:
        low, high = ends_of(NAIVE, level)
        frame[low], frame[high] = normal_interval(center, deviation, float(level))


def _refuse_holes(observed: pd.DataFrame, columns: list[str]) -> None:
    holes = observed[columns].isna().sum()
    if len(holes := holes[holes > 0]):
        raise ValueError(
            f"forecasts: column {holes.index[0]!r} is missing in {holes.iloc[0]} rows whose value "
            "came; a mean over the others would not be comparable, so fill it or drop the rows"
        )
