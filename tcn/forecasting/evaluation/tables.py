"""Files of tables and of plots: what ``tcn forecast`` reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tcn.forecasting.evaluation.metrics import NAIVE, evaluate
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.files import read_dates, read_table

OF_TABLES = (".csv", ".parquet")
OF_PLOTS = (".svg", ".png", ".pdf")


def check_written(output: str | None, plot: str | None, save: str | None, columns: Columns) -> None:
    """Refuses files that could not be written once the work is done.

    Raises:
        ValueError: naming the suffixes, what is in the way, or that a plot shows one target.
    """
    for name, path in (("output", output), ("plot", plot), ("save", save)):
        places = [] if path is None else [Path(path), *Path(path).parents]
        for place in places[name != "save" :]:
            if place.is_file():
                raise ValueError(f"{name}: {str(place)!r} is a file; give another folder")
        if name != "save" and places and places[0].is_dir():
            raise ValueError(f"{name}: {path!r} is a folder; give the name of a file")
    for name, path, suffixes in (("output", output, OF_TABLES), ("plot", plot, OF_PLOTS)):
        if path is not None and Path(path).suffix not in suffixes:
            raise ValueError(f"{name}: {path!r} is not one of {', '.join(suffixes)}")
    if plot is not None and len(columns.target) > 1:
        raise ValueError("plot: a plot shows one target; leave it out, or forecast one target")


def read_series(path: str, columns: Columns) -> pd.DataFrame:
    """A table of series with the times read; without a column of ids it is one series.

    Raises:
        ValueError: a column that was named is not there, or times are not clear.
    """
    id_col, time_col = columns.id, columns.time
    df = read_table(path, id_col)
    # A file of text knows no times, and what is written and drawn should have them.
    if time_col in df:
        df[time_col] = read_dates(df[time_col], f"{path}: column {time_col!r}")
    if id_col not in df:
        there = ", ".join(map(str, df.columns))
        if id_col != Columns.id:
            raise ValueError(
                f"id_col: {id_col!r} is not a column of {path}, which has {there}; of one series "
                "leave id_col out"
            )
        if time_col in df and df[time_col].duplicated().any():
            raise ValueError(
                f"id_col: {path} has no column {id_col!r}, and several rows of a time; if there "
                f"are several series, name the column that tells them apart, one of {there}"
            )
        df.insert(0, id_col, "series")
    return df


def write_table(result: pd.DataFrame, path: str | None) -> None:
    """Writes a csv or parquet file, or prints the table."""
    if path is None:
        print(result.to_string(index=False))
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if Path(path).suffix == ".parquet":
        result.to_parquet(path)
    else:
        result.to_csv(path, index=False)
    print(f"{len(result)} rows are in {path}")


def _names(columns: Columns) -> dict[str, Any]:
    return {"id_col": columns.id, "time_col": columns.time, "target_col": columns.target[0]}


def print_report(result: pd.DataFrame, df: pd.DataFrame, columns: Columns) -> None:
    """Prints the errors of forecasts next to those of the naive one, for one target."""
    if len(columns.target) > 1:
        return
    table = evaluate(result, df, **_names(columns)).dropna(axis=0, thresh=2)
    print(f"beside {NAIVE}, as good as one season ago:")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def write_plot(df: pd.DataFrame, result: pd.DataFrame, path: str, columns: Columns) -> None:
    """Draws the series and their forecasts into a file."""
    from tcn.forecasting.evaluation.plots import plot_forecasts

    figure = plot_forecasts(
        df, result.drop(columns=[columns.target[0]], errors="ignore"),
        **_names(columns),
    )  # fmt: skip
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    print(f"the plot is in {path}")
