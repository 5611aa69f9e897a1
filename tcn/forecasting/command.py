"""``tcn forecast``: a table in, a table of forecasts out, by a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from tcn.forecasting.evaluation import NAIVE, evaluate
from tcn.forecasting.forecaster import Forecaster

READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}


def parser() -> ArgumentParser:
    """The parser of ``tcn forecast``; the group ``forecaster`` are the arguments of the class."""
    made = ArgumentParser(
        prog="tcn forecast",
        description="Trains a forecaster on a table and writes what comes next, or, with "
        "--n_windows, what it would have forecast before its last windows.",
    )
    add = made.add_argument
    add("--config", action=ActionConfigFile, help="YAML file with any of these settings")
    add("--data", type=str, help="csv, parquet or json file: id, time, target, covariates; "
        "without a column of ids it is one series")  # fmt: skip
    add("--static", type=str | None, default=None, help="file of the static columns")
    add("--future", type=str | None, default=None, help="file of the covariates to come")
    add("--val_size", type=int, default=0, help="last steps that choose the weights")
    add("--level", type=list[float] | None, default=None, help="of the intervals, in percent")
    add("--horizon", type=int | None, default=None, help="steps; those trained for if None")
    add("--n_windows", type=int | None, default=None, help="evaluate on the last so many windows")
    add("--step_size", type=int | None, default=None, help="steps from one window to the next")
    add("--output", type=str | None, default=None, help="csv or parquet file; printed if None")
    add("--plot", type=str | None, default=None, help="svg, png or pdf file")
    add("--save", type=str | None, default=None, help="folder for the forecaster")
    made.add_class_arguments(Forecaster, "forecaster")
    return made


def forecast_command(arguments: Sequence[str]) -> None:
    """Runs ``tcn forecast``; what is wrong is said without a traceback."""
    made = parser()
    given = made.parse_args(list(arguments))
    try:
        _run(given, made.instantiate(given).forecaster)
    except (ValueError, TypeError, OSError) as error:
        made.error(str(error))


def _run(given: Namespace, forecaster: Forecaster) -> None:
    if given.data is None:
        raise ValueError("data: no file is named; give --data FILE or data: FILE in the config")
    df = _series(given.data, forecaster)
    static = None if given.static is None else _table(given.static)
    if given.n_windows is not None:
        result = forecaster.cross_validation(
            df, given.n_windows, given.step_size, static_df=static, val_size=given.val_size,
            level=given.level,
        )  # fmt: skip
        _report(result, df, forecaster)
    else:
        forecaster.fit(df, static, given.val_size)
        future = None if given.future is None else _series(given.future, forecaster)
        result = forecaster.predict(futr_df=future, h=given.horizon, level=given.level)
        if given.save is not None:
            print(f"the forecaster is in {forecaster.save(given.save)}")
    _write(result, given.output)
    if given.plot is not None:
        _plot(df, result, given.plot, forecaster)


def _table(path: str) -> pd.DataFrame:
    if Path(path).suffix not in READERS:
        raise ValueError(f"{path}: not one of {', '.join(READERS)}")
    return READERS[Path(path).suffix](path)


def _series(path: str, forecaster: Forecaster) -> pd.DataFrame:
    df = _table(path)
    if forecaster.id_col not in df:
        df.insert(0, forecaster.id_col, "series")
    # A file of text knows no times, and what is written and drawn should have them.
    if forecaster.time_col in df and not pd.api.types.is_numeric_dtype(df[forecaster.time_col]):
        df[forecaster.time_col] = pd.to_datetime(df[forecaster.time_col])
    return df


def _write(result: pd.DataFrame, path: str | None) -> None:
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


def _report(result: pd.DataFrame, df: pd.DataFrame, forecaster: Forecaster) -> None:
    if len(forecaster.columns.target) > 1:
        return
    table = evaluate(result, df, **_names(forecaster)).dropna(axis=0, thresh=2)
    print(f"beside {NAIVE}, as good as one season ago:")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def _plot(df: pd.DataFrame, result: pd.DataFrame, path: str, forecaster: Forecaster) -> None:
    from tcn.forecasting.plots import plot_forecasts

    if len(forecaster.columns.target) > 1:
        raise ValueError("plot: a plot shows one target; leave it out, or forecast one target")
    figure = plot_forecasts(
        df, result.drop(columns=[forecaster.columns.target[0]], errors="ignore"),
        **_names(forecaster),
    )  # fmt: skip
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    print(f"the plot is in {path}")
