"""How good forecasts are, compared with the seasonal naive forecast of the same steps.

Metrics are utilsforecast's, per window (a series at a cutoff), then averaged, so that every window
weighs alike:

    mae, mse, rmse          in the units of the data
    mase                    MAE over that of the seasonal naive forecast before the cutoff
    smape                   0 to 1; times 200 it is the M4 competition's
    coverage_level90        share of values inside the 90 % interval
    scaled_crps             quantile loss of the interval ends, over the mean absolute value
    scaled_mqloss           quantile loss of the interval ends, scaled like mase

The last two use only levels that every model with intervals has, to be comparable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tcn.extras import need
from tcn.forecasting.evaluation.comparison import (
    NAIVE,
    Comparison,
    compare,
    ends_of,
    models_of,
)
from tcn.forecasting.evaluation.custom import Metric, check_metrics, name_of, table_of
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.reading import read_columns
from tcn.forecasting.frames.results import frame_like
from tcn.layers.validation import check_switch

__all__ = ["NAIVE", "coverage_by_level", "error_by_step", "evaluate"]

POINT_METRICS = ("mae", "mse", "rmse", "smape")


def evaluate(
    forecasts: Any,
    train_df: Any,
    *,
    season: int | None = None,
    models: Sequence[str] | None = None,
    metrics: Sequence[Metric] | None = None,
    per_series: bool = False,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> Any:
    """One table of metrics: a row each, a column per model, ``SeasonalNaive`` the last.

    Args:
        forecasts: id, time, target (what came) and one column per model, with its intervals
            ``<model>-lo-90``, ``<model>-hi-90`` where it has any; a column ``cutoff`` where there
            are several windows, as cross-validation returns it. Without it, the forecasts of a
            series are one window. Rows whose value did not come are not counted.
        train_df: id, time and target of the past. What lies after a cutoff is not looked at, so
            the whole data will do.
        season: steps of a season for the naive forecast and the scaled errors; None: the usual one
            of the frequency, 24 for hours and 12 for months.
        models: columns to evaluate; None: all but id, time, cutoff, target and intervals.
        metrics: which, in this order; None: all of the list above that the columns allow. Beside
            their names functions of what came and what was forecast, ``(steps,)`` each, such as
            those of ``sklearn.metrics``: called for every window, the row has the function's name.
            A window for which it answers NaN is left out of that model's mean.
        per_series: a row per metric and series instead of the mean over all windows.
        id_col: name of the id column.
        time_col: name of the time column.
        target_col: name of the target column.

    Returns:
        A frame of the kind of ``forecasts``. A metric that a model has no columns for is NaN.
        ``smape`` goes from 0 to 1: half of the definition up to 2, a 200th of that in percent.

    Raises:
        ModuleNotFoundError: utilsforecast is not installed.
        TypeError: a metric is neither a name nor a function, or returns no number.
        ValueError: a column is absent, a forecast is missing where a value came, no value came, a
            series has no past, or no metric has that name.
    """
    check_switch(per_series=per_series)
    check_metrics(metrics)
    columns = Columns(id_col, time_col, (target_col,))
    comparison = compare(forecasts, train_df, columns, season=season, models=models)
    _name_unscaled(comparison)
    found = tables(comparison) if metrics is None else chosen_tables(comparison, metrics)
    scores = pd.concat([table.assign(metric=name) for name, table in found], sort=False)
    keys = ["metric"]
    if per_series:
        scores[id_col] = comparison.ids[scores.index]
        keys.append(id_col)
    table = scores.groupby(keys, sort=False)[comparison.models].mean().reset_index()
    kind = frame_like(forecasts, id_col if per_series else None)
    return kind({name: table[name].to_numpy() for name in table})


def tables(comparison: Comparison) -> Iterator[tuple[str, pd.DataFrame]]:
    """Names of metrics and their tables, a row per window and a column per model that has it.

    Raises:
        ModuleNotFoundError: utilsforecast is not installed.
    """
    losses = _losses()
    frame, models = comparison.frame, comparison.models
    common = {"id_col": "window", "target_col": "y"}
    for name in POINT_METRICS:
        table = getattr(losses, name)(frame, models=models, **common).set_index("window")
        yield name, table
        if name == "mae":
            yield "mase", _scaled(table, comparison)
    for level in comparison.levels[NAIVE]:
        having = [model for model in models if level in comparison.levels[model]]
        table = losses.coverage(frame, models=having, level=level, **common)
        yield f"coverage_level{level}", table.set_index("window")
    yield from _quantile_metrics(comparison, losses)


def chosen_tables(
    comparison: Comparison, metrics: Sequence[Metric]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Those of :func:`tables` that are wanted, and of functions, in the order wanted.

    Raises:
        TypeError: a function returns no number.
        ValueError: there is no metric of a name, or not for these columns.
    """
    named = any(isinstance(each, str) for each in metrics)
    ready = dict(tables(comparison)) if named else {}
    for each in metrics:
        if callable(each):
            yield name_of(each), table_of(each, comparison)
        elif each in ready:
            yield each, ready[each]
        else:
            raise ValueError(
                f"metrics: {each!r} is not one of {', '.join(ready)}; give one of these, or a "
                "function of what came and what was forecast"
            )


def _quantile_metrics(comparison: Comparison, losses: Any) -> Iterator[tuple[str, pd.DataFrame]]:
    """Losses of the ends of those intervals that every model with intervals has."""
    having = [model for model in comparison.models if comparison.levels[model]]
    levels = [
        level
        for level in comparison.levels[NAIVE]
        if all(level in comparison.levels[model] for model in having)
    ]
    if not levels:
        return
    ends = {model: [ends_of(model, level) for level in levels] for model in having}
    columns = {
        model: [e[0] for e in pairs] + [e[1] for e in pairs] for model, pairs in ends.items()
    }
    tails = np.array([(1 - float(level) / 100) / 2 for level in levels])
    given = {
        "models": columns, "quantiles": np.concatenate([tails, 1 - tails]),
        "id_col": "window", "target_col": "y",
    }  # fmt: skip
    crps = losses.scaled_crps(comparison.frame, **given).set_index("window")
    yield "scaled_crps", _without_zeros(crps, comparison)
    loss = losses.mqloss(comparison.frame, **given).set_index("window")
    yield "scaled_mqloss", _scaled(loss, comparison)


def error_by_step(
    forecasts: Any,
    train_df: Any,
    *,
    season: int | None = None,
    models: Sequence[str] | None = None,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> pd.DataFrame:
    """Mean absolute scaled error of every horizon step.

    Arguments and errors are those of ``evaluate``.

    Returns:
        Index ``step`` from 1, a column per model, ``SeasonalNaive`` the last.
    """
    columns = Columns(id_col, time_col, (target_col,))
    comparison = compare(forecasts, train_df, columns, season=season, models=models)
    _name_unscaled(comparison)
    frame = comparison.frame
    errors = frame[comparison.models].sub(frame["y"], axis=0).abs()
    errors = _scaled(errors.set_index(frame["window"]), comparison)
    return errors.groupby(frame["step"].to_numpy() + 1).mean().rename_axis("step")


def coverage_by_level(
    forecasts: Any, *, models: Sequence[str] | None = None, target_col: str = "y"
) -> pd.DataFrame:
    """Share of values inside the intervals, over all rows whose value came.

    Args:
        forecasts: the target (what came) and the interval ends of every model.
        models: as for ``evaluate``.
        target_col: name of the target column.

    Returns:
        In percent: index ``level``, a column per model; NaN for a level that a model lacks.

    Raises:
        ValueError: a column is absent, or there is no interval.
    """
    levels = models_of(forecasts, Columns(target=(target_col,)), models)
    ends = {
        (model, float(level)): ends_of(model, level)
        for model, found in levels.items() for level in found
    }  # fmt: skip
    if not ends:
        raise ValueError(
            f"forecasts: no interval of {list(levels)}; predict(level=[80, 90]) gives columns such "
            "as 'TCN-lo-90'"
        )
    wanted = [target_col, *(name for pair in ends.values() for name in pair)]
    frame = pd.DataFrame(read_columns(forecasts, wanted, "forecasts")).dropna(subset=[target_col])
    shares = {
        key: 100 * frame[target_col].between(frame[low], frame[high]).mean()
        for key, (low, high) in ends.items()
    }
    return pd.Series(shares).unstack(0).rename_axis("level").reindex(columns=list(levels))


def _scaled(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """Divides each window's row by the error of the seasonal naive forecast before its cutoff."""
    scale = np.where(comparison.scale > 0, comparison.scale, np.nan)
    return table.div(scale[table.index], axis=0)


def _name_unscaled(comparison: Comparison) -> None:
    unscaled = ~(comparison.scale > 0)
    if unscaled.any():
        warn(
            f"train_df: {int(unscaled.sum())} of {len(unscaled)} windows are left out of scaled "
            "errors, for their past repeats itself exactly or lasts no longer than a season: "
            f"{shown(comparison.ids[unscaled])}",
        )


def _without_zeros(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """Windows in which every value is 0 have no relative error."""
    total = comparison.frame.groupby("window")["y"].apply(lambda values: values.abs().sum())
    return table.where(total.reindex(table.index) > 0)


def _losses() -> Any:
    need("tcn.forecasting.evaluate", "forecasting", "utilsforecast")
    from utilsforecast import losses

    return losses
