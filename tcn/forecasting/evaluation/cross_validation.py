"""Forecasts of the last windows of every series, each as if the rest had not come yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.evaluation.cutoffs import Cutoffs, cutoffs
from tcn.forecasting.fitted.fitting import fit_panel
from tcn.forecasting.fitted.predictor import Forecasts
from tcn.forecasting.fitted.settings import Settings
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.windows.windows import MIN_PAST, Windows


def cross_validate(
    settings: Settings,
    panel: Panel,
    *,
    n_windows: int,
    step_size: int | None,
    val_size: int,
    refit: bool,
    levels: Sequence[float],
) -> dict[str, Any]:
    """Columns of the forecasts, see :meth:`tcn.forecasting.Forecaster.cross_validation`."""
    where = cutoffs(panel, n_windows=n_windows, h=settings.h, step_size=step_size,
                    val_size=val_size)  # fmt: skip
    _check_training_part(where, panel, n_windows)
    most = int(where.counts.max())
    parts = [where.window(number) for number in range(most)] if refit else [where]
    columns = [_fold(settings, panel, part, levels) for part in parts]
    return {name: _concatenated([part[name] for part in columns]) for name in columns[0]}


def _check_training_part(where: Cutoffs, panel: Panel, n_windows: int) -> None:
    """Refuses so many windows that nothing is left to train on before the first."""
    need = MIN_PAST + where.h
    if int(where.train_rows.max()) >= need:
        return
    longest = int(panel.lengths.max())
    most = (longest - where.h - where.val_size - need) // where.step + 1
    val_size = f" and val_size={where.val_size}" if where.val_size else ""
    cure = f"give n_windows={most} or fewer" if most > 0 else "give longer series or a smaller h"
    raise ValueError(
        f"n_windows: {n_windows} windows{val_size} leave {int(where.train_rows.max())} rows of "
        f"the longest series to train on, and a window of h={where.h} needs {need}; {cure}"
    )


def _fold(
    settings: Settings, panel: Panel, where: Cutoffs, levels: Sequence[float]
) -> dict[str, Any]:
    """Trains on what precedes the first of some windows, and forecasts these."""
    rows = where.validation_rows
    past = panel.select(rows > 0).until(rows[rows > 0])
    trained = fit_panel(settings, past, where.val_size)
    windows = trained.windows(
        panel, settings.h, first=where.first, last=where.last, step=where.step
    )
    return backtest(windows, trained.forecasts(windows, levels), settings.result_name)


def backtest(windows: Windows, found: Forecasts, name: str) -> dict[str, Any]:
    """Forecasts of windows next to what came.

    Args:
        windows: of some ``Cutoffs``: ``Windows(..., first=cutoffs.first, last=cutoffs.last,
            step=cutoffs.step)``.
        found: forecasts of all of them.
        name: of their column.

    Returns:
        Columns for ``frame_like(df)``: id, time, ``cutoff``, the targets (NaN where nothing came)
        and the forecasts, in order of series, cutoff and time.
    """
    panel, ahead, numbers = windows.panel, np.arange(1, windows.h + 1), np.arange(len(windows))
    series, position = windows.where(numbers)
    here = panel.offsets[series] + position
    rows = np.minimum(here[:, None] + ahead, panel.offsets[series + 1][:, None] - 1)
    known = position[:, None] + ahead < panel.lengths[series][:, None]
    came: NDArray[np.float64] = np.where(known[..., None], panel.target[rows], np.nan)
    columns = panel.columns
    return {
        columns.id: np.repeat(panel.ids[series], windows.h),
        columns.time: panel.local(windows.horizon_times(numbers).ravel()),
        "cutoff": panel.local(np.repeat(panel.times[here], windows.h)),
        **{target: came[..., place].ravel() for place, target in enumerate(columns.target)},
        **found.columns(name, columns.target),
    }


def _concatenated(parts: Sequence[Any]) -> Any:
    first = parts[0]
    return first.append(list(parts[1:])) if hasattr(first, "append") else np.concatenate(parts)
