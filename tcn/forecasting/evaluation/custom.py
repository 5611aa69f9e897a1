"""Metrics of a caller's own: which are asked for, what their rows are called, their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tcn.forecasting.evaluation.comparison import Comparison
from tcn.outputs.checks import is_number

Metric = str | Callable[[Any, Any], float]
"""A name, or a function of what came and what was forecast."""


def check_metrics(metrics: Sequence[Metric] | None) -> None:
    """Raises where :func:`evaluate` cannot say what its rows are to be called."""
    if metrics is None:
        return
    if isinstance(metrics, str) or callable(metrics):
        raise TypeError(f"metrics: {metrics!r} is not a list; give [{metrics!r}]")
    if not isinstance(metrics, list | tuple):
        raise TypeError(f"metrics: {metrics!r} is not a list; give one, such as ['mase']")
    if not metrics:
        raise ValueError("metrics: an empty list leaves nothing to say; give None for all of them")
    for each in metrics:
        if not isinstance(each, str) and not callable(each):
            raise TypeError(f"metrics: {each!r} is neither a name, such as 'mase', nor a function")
    names = [name_of(each) for each in metrics]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"metrics: {twice} more than once; give functions names of their own (def, not lambda)"
        )


def name_of(metric: Metric) -> str:
    """What its row is called; that of a ``functools.partial`` is of the function inside."""
    if isinstance(metric, str):
        return metric
    inner = getattr(metric, "func", metric)
    return str(getattr(inner, "__name__", type(inner).__name__))


def table_of(metric: Callable[[Any, Any], float], comparison: Comparison) -> pd.DataFrame:
    """A function's answers, a row per window and a column per model.

    Raises:
        TypeError: an answer is not a number.
    """
    rows = {
        window: [_answer(metric, part, model) for model in comparison.models]
        for window, part in comparison.frame.groupby("window", sort=False)
    }
    index = pd.Index(rows, name="window")
    return pd.DataFrame(list(rows.values()), index=index, columns=comparison.models)


def _answer(metric: Callable[[Any, Any], float], part: pd.DataFrame, model: str) -> float:
    # Copies: a function may write to what it is given, and the next model is judged by the same.
    came, forecast = (part[name].to_numpy(copy=True) for name in ("y", model))
    try:
        found: Any = metric(came, forecast)
    except Exception as error:
        error.add_note(
            f"metrics: {name_of(metric)} was called with what came and what was forecast in one "
            "window, (steps,) arrays; those of evaluate itself are asked for by name, such as 'mae'"
        )
        raise
    if isinstance(found, np.ndarray) and found.ndim == 0:
        found = found.item()
    if not is_number(found):
        raise TypeError(
            f"metrics: {name_of(metric)} must return one number for each window, not {found!r:.60}"
        )
    return float(found)
