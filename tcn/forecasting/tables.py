"""Files of tables and of plots: what ``tcn forecast`` reads and writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from tcn.forecasting.columns import Columns
from tcn.forecasting.evaluation import NAIVE, evaluate
from tcn.forecasting.forecaster import Forecaster

OF_TABLES = (".csv", ".parquet")
OF_PLOTS = (".svg", ".png", ".pdf")


def _read_csv(path: str) -> pd.DataFrame:
    """A table whose columns are apart by the commas, semicolons or tabs that its first line has."""
    with Path(path).open(encoding="utf-8-sig") as file:
        header, first = file.readline(), file.readline()
    apart = max(",;\t", key=header.count)
    decimal = "," if apart == ";" and re.search(r"\d,\d", first) else "."
    return pd.read_csv(path, sep=apart, decimal=decimal, encoding="utf-8-sig")


READERS = {".csv": _read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}


def check_written(output: str | None, plot: str | None, forecaster: Forecaster) -> None:
    """Refuses files that could not be written once the work is done.

    Raises:
        ValueError: naming the suffixes, or that a plot shows one target.
    """
    for name, path, suffixes in (("output", output, OF_TABLES), ("plot", plot, OF_PLOTS)):
        if path is not None and Path(path).suffix not in suffixes:
            raise ValueError(f"{name}: {path!r} is not one of {', '.join(suffixes)}")
    if plot is not None and len(forecaster.columns.target) > 1:
        raise ValueError("plot: a plot shows one target; leave it out, or forecast one target")


def read_table(path: str) -> pd.DataFrame:
    """A table of a csv, parquet or json file."""
    if Path(path).suffix not in READERS:
        raise ValueError(f"{path}: not one of {', '.join(READERS)}")
    return READERS[Path(path).suffix](path)


def read_series(path: str, forecaster: Forecaster) -> pd.DataFrame:
    """A table of series with the times read; without a column of ids it is one series.

    Raises:
        ValueError: a column that the forecaster was told of is not there.
    """
    df = read_table(path)
    if forecaster.id_col not in df:
        if forecaster.id_col != Columns.id:
            raise ValueError(
                f"id_col: {forecaster.id_col!r} is not a column of {path}, which has "
                f"{', '.join(map(str, df.columns))}; of one series leave id_col out"
            )
        df.insert(0, forecaster.id_col, "series")
    # A file of text knows no times, and what is written and drawn should have them.
    if forecaster.time_col in df and not pd.api.types.is_numeric_dtype(df[forecaster.time_col]):
        df[forecaster.time_col] = pd.to_datetime(df[forecaster.time_col])
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


def _names(forecaster: Forecaster) -> dict[str, Any]:
    targets = forecaster.columns.target
    return {
        "id_col": forecaster.id_col,
        "time_col": forecaster.time_col,
        "target_col": targets[0],
    }


def print_report(result: pd.DataFrame, df: pd.DataFrame, forecaster: Forecaster) -> None:
    """Prints the errors of forecasts next to those of the naive one, for one target."""
    if len(forecaster.columns.target) > 1:
        return
    table = evaluate(result, df, **_names(forecaster)).dropna(axis=0, thresh=2)
    print(f"beside {NAIVE}, as good as one season ago:")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def write_plot(df: pd.DataFrame, result: pd.DataFrame, path: str, forecaster: Forecaster) -> None:
    """Draws the series and their forecasts into a file."""
    from tcn.forecasting.plots import plot_forecasts

    figure = plot_forecasts(
        df, result.drop(columns=[forecaster.columns.target[0]], errors="ignore"),
        **_names(forecaster),
    )  # fmt: skip
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    print(f"the plot is in {path}")
