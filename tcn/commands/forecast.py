"""``tcn forecast``: a table in, a table of forecasts out, by a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tcn.commands.names import check_extra, check_options

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from tcn.forecasting.forecaster import Forecaster


class Option(NamedTuple):
    """The type of an option, its default and its help."""

    type: Any
    default: Any
    help: str


OPTIONS = {
    "data": Option(str, None, "csv, parquet or json file: id, time, target, covariates; "
                   "without a column of ids it is one series"),
    "static": Option(str | None, None, "file of the static columns"),
    "future": Option(str | None, None, "file of the covariates to come"),
    "val_size": Option(int, 0, "last steps that choose the weights"),
    "level": Option(list[float] | float | None, None, "of the intervals, in percent"),
    "horizon": Option(int | None, None, "steps; those trained for if None"),
    "n_windows": Option(int | None, None, "evaluate on the last so many windows"),
    "step_size": Option(int | None, None, "steps from one window to the next"),
    "output": Option(str | None, None, "csv or parquet file; printed if None"),
    "plot": Option(str | None, None, "svg, png or pdf file"),
    "save": Option(str | None, None, "folder for the forecaster"),
    "load": Option(str | None, None, "folder that --save wrote: nothing is trained; without "
                   "--data forecasts go on from its last rows"),
}  # fmt: skip
TRAINING = ("val_size", "n_windows", "step_size", "save")
"""Options that say nothing where a forecaster is loaded."""


def parser(*, loading: bool = False) -> ArgumentParser:
    """The parser of ``tcn forecast``; the group ``forecaster`` are the arguments of the class.

    Args:
        loading: whether a forecaster is loaded, which has its settings.
    """
    from tcn.commands.parsing import ActionConfigFile, Parser
    from tcn.forecasting.forecaster import Forecaster

    made = Parser(
        prog="tcn forecast",
        allow_abbrev=False,
        description="Trains a forecaster on a table and writes what comes next, or, with "
        "--n_windows, what it would have forecast before its last windows; or, with --load, "
        "forecasts by one that was trained.",
    )
    made.add_argument(
        "--config", action=ActionConfigFile, help="YAML file with any of these settings"
    )
    for name, option in OPTIONS.items():
        if not (loading and name in TRAINING):
            made.add_argument(
                f"--{name}", type=option.type, default=option.default, help=option.help
            )
    if not loading:
        made.add_class_arguments(Forecaster, "forecaster")
    return made


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs ``tcn forecast``; what is wrong is said without a traceback."""
    check_options(
        f"tcn {name}", arguments, [*OPTIONS, "help", "config", "print_config", "forecaster"]
    )
    check_extra(f"tcn {name}", "forecasting", "jsonargparse", "pandas", "pytorch_lightning")
    loading = any(each.partition("=")[0] == "--load" for each in arguments)
    made = parser(loading=loading)
    given = made.parse_args(list(arguments))
    try:
        if loading:
            _forecast(given)
        else:
            _train(given, made.instantiate(given).forecaster)
    except (ValueError, TypeError, OSError) as error:
        made.error(str(error))


def _forecast(given: Namespace) -> None:
    """Forecasts by a forecaster that was saved."""
    from tcn.forecasting import Forecaster
    from tcn.forecasting.evaluation import tables
    from tcn.forecasting.frames.files import read_table

    forecaster = Forecaster.load(given.load)
    columns = forecaster.columns
    tables.check_written(given.output, given.plot, None, columns)
    if given.data is None and given.plot is not None:
        raise ValueError("plot: a past is drawn, too; give its table by --data FILE")
    df = None if given.data is None else tables.read_series(given.data, columns)
    static = None if given.static is None else read_table(given.static, forecaster.id_col)
    future = None if given.future is None else tables.read_series(given.future, columns)
    level = [given.level] if isinstance(given.level, float) else given.level
    result = forecaster.predict(df, future, given.horizon, level, static_df=static)
    tables.write_table(result, given.output)
    if given.plot is not None:
        tables.write_plot(df, result, given.plot, columns)


def _train(given: Namespace, forecaster: Forecaster) -> None:
    """Trains a forecaster and forecasts, or evaluates it on its last windows."""
    from tcn.forecasting.evaluation import tables
    from tcn.forecasting.frames.files import read_table
    from tcn.forecasting.intervals.levels import checked_levels
    from tcn.layers.validation import check_positive
    from tcn.outputs import output as output_of

    if given.data is None:
        raise ValueError("data: no file is named; give --data FILE or data: FILE in the config")
    # All that can be refused is refused before hours of training.
    level = [given.level] if isinstance(given.level, float) else given.level
    checked_levels(level, output_of(forecaster.loss), forecaster.intervals)
    if given.horizon is not None:
        check_positive("horizon", [given.horizon])
    columns = forecaster.columns
    tables.check_written(given.output, given.plot, given.save, columns)
    df = tables.read_series(given.data, columns)
    static = None if given.static is None else read_table(given.static, forecaster.id_col)
    if given.n_windows is not None:
        result = forecaster.cross_validation(
            df, given.n_windows, given.step_size, static_df=static, val_size=given.val_size,
            level=level,
        )  # fmt: skip
        tables.print_report(result, df, columns)
    else:
        future = None if given.future is None else tables.read_series(given.future, columns)
        forecaster.fit(df, static, given.val_size)
        if given.save is not None:  # whatever is wrong with the future, it can be used
            print(f"the forecaster is in {forecaster.save(given.save)}")
        result = forecaster.predict(futr_df=future, h=given.horizon, level=level)
    tables.write_table(result, given.output)
    if given.plot is not None:
        tables.write_plot(df, result, given.plot, columns)
