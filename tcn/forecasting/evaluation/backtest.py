"""Rolling windows at the end of every series: what would have been forecast, had it been asked.

::

    rows of a series   0 1 2 3 4 5 6 7 8 9 |        n_windows=3, h=3, step_size=2, val_size=1
    train              _ _                 |        2 rows to fit on
    validation             v               |        1 to choose the weights by
    cutoffs                2   4   6       |        the last past row of each window
    first window             f f f         |
    second window                f f f     |
    third window                     f f f |        ends where the series ends
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.windows.windows import WindowBatch, Windows
from tcn.layers.validation import check_positive

Integers = NDArray[np.int64]
Predict = Callable[[WindowBatch], Mapping[str, Any]]
"""From a batch of windows to arrays ``(batch, target, h)`` by name, in the units of the data."""


@dataclass(frozen=True)
class Cutoffs:
    """Where the windows of every series end, as :class:`Windows` takes it.

    Attributes:
        first: ``(N,)`` position of the last past row of the first window.
        last: ``(N,)`` of the last window; below ``first`` in a series without a window.
        step: rows from one window to the next.
        h: rows of a window's horizon.
        val_size: rows before the first window that are kept for validation.
    """

    first: Integers
    last: Integers
    step: int
    h: int
    val_size: int

    @property
    def counts(self) -> Integers:
        """``(N,)`` windows of each series."""
        return np.maximum((self.last - self.first) // self.step + 1, 0)

    @property
    def train_rows(self) -> Integers:
        """``(N,)`` first rows of each series that no window and no validation reaches; 0 for none.

        Scalers and nets are to be fitted on these alone.
        """
        return np.maximum(self.validation_rows - self.val_size, 0)

    @property
    def validation_rows(self) -> Integers:
        """``(N,)`` first rows of each series, validation among them; 0 in one without a window."""
        return np.where(self.counts > 0, self.first + 1, 0)

    def window(self, number: int) -> Cutoffs:
        """One window of each series alone, the last being -1: for a net refitted before each.

        A series that has fewer windows has its earliest ones left out.

        Raises:
            IndexError: no series has that many.
        """
        most = int(self.counts.max())
        if not -most <= number < most:
            raise IndexError(f"number: window {number} of {most}")
        position = self.last - (most - 1 - number % most) * self.step
        there = (position >= self.first) & (self.counts > 0)
        return replace(self, first=np.where(there, position, 1), last=np.where(there, position, 0))


def cutoffs(
    panel: Panel,
    *,
    n_windows: int,
    h: int,
    step_size: int | None = None,
    val_size: int = 0,
    min_past: int = 2,
) -> Cutoffs:
    """The cutoffs of ``n_windows`` windows, counted from the end of every series.

    Args:
        panel: the series.
        n_windows: windows of each series.
        h: rows of a horizon.
        step_size: rows from one window to the next; None: ``h``, so that horizons do not overlap.
        val_size: rows before the first window to keep for validation.
        min_past: rows of the past that a window must have at least, as for :class:`Windows`.

    Returns:
        The windows that have such a past; the others are left out with a warning.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is below 1 (``val_size``: 0), or no series is long enough.
    """
    step = h if step_size is None else step_size
    sizes = {"n_windows": n_windows, "h": h, "step_size": step, "min_past": min_past}
    for name, value in sizes.items():
        check_positive(name, [value])
    if val_size < 0:
        raise ValueError(f"val_size: {val_size} rows; give 0 or more")
    lengths = panel.lengths
    last = lengths - 1 - h
    fitting = np.clip((last - (min_past - 1)) // step + 1, 0, n_windows)
    if not fitting.any():
        raise ValueError(
            f"h: no series has a window of h={h} after {min_past} rows of past, for the longest "
            f"has {int(lengths.max())} rows; give a smaller h"
        )
    short = fitting < n_windows
    if short.any():
        need = (n_windows - 1) * step + h + min_past
        warn(
            f"{int((n_windows - fitting).sum())} of {n_windows * len(lengths)} windows are left "
            f"out: {int(short.sum())} series have fewer than {need} rows (n_windows={n_windows}, "
            f"step_size={step}, h={h}): {shown(panel.ids[short])}",
        )
    first = np.where(fitting > 0, last - (fitting - 1) * step, 1)
    return Cutoffs(first, np.where(fitting > 0, last, 0), step, h, val_size)


def backtest(windows: Windows, predict: Predict, *, batch_size: int = 1024) -> dict[str, Any]:
    """Forecasts of all windows, in batches, next to what came.

    Args:
        windows: of some ``Cutoffs``: ``Windows(..., first=cutoffs.first, last=cutoffs.last,
            step=cutoffs.step)``.
        predict: what forecasts a batch; the columns are named as it names its arrays, and with
            several targets ``<target>-<name>``.
        batch_size: windows at a time; what is kept of a batch is its forecasts.

    Returns:
        Columns for ``frame_like(df)``: id, time, ``cutoff``, the targets (NaN where nothing came)
        and the forecasts, in order of series, cutoff and time.

    Raises:
        ValueError: ``predict`` gave an array of another shape, or a value that is NaN.
    """
    check_positive("batch_size", [batch_size])
    panel, h = windows.panel, windows.h
    targets = panel.columns.target
    parts: list[dict[str, Any]] = []
    for begin in range(0, len(windows), batch_size):
        numbers = np.arange(begin, min(begin + batch_size, len(windows)))
        forecasts = predict(windows.batch(numbers))
        part = _came(windows, numbers)
        for name, values in forecasts.items():
            checked = _checked(name, values, (len(numbers), len(targets), h))
            for position, target in enumerate(targets):
                part[forecast_column(name, target, targets)] = checked[:, position].ravel()
        parts.append(part)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name in (panel.columns.time, "cutoff"):
        columns[name] = panel.local(columns[name])
    return columns


def forecast_column(name: str, target: str, targets: tuple[str, ...]) -> str:
    """The column of a forecast: its name, and before it the target's where there are several."""
    return name if len(targets) == 1 else f"{target}-{name}"


def _came(windows: Windows, numbers: Integers) -> dict[str, Any]:
    """Id, time, cutoff and targets of every step of some windows."""
    panel, h = windows.panel, windows.h
    series, position = windows.where(numbers)
    here = panel.offsets[series] + position
    ahead = np.arange(1, h + 1)
    rows = np.minimum(here[:, None] + ahead, panel.offsets[series + 1][:, None] - 1)
    known = position[:, None] + ahead < panel.lengths[series][:, None]
    values = np.where(known[..., None], panel.target[rows], np.nan)
    return {
        panel.columns.id: np.repeat(panel.ids[series], h),
        panel.columns.time: windows.horizon_times(numbers).ravel(),
        "cutoff": np.repeat(panel.times[here], h),
        **{
            target: values[..., position].ravel()
            for position, target in enumerate(panel.columns.target)
        },
    }


def _checked(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(
            f"predict: {name!r} has shape {array.shape}; expected (windows, targets, h) = {shape}"
        )
    if np.isnan(array).any():
        raise ValueError(f"predict: {name!r} holds {int(np.isnan(array).sum())} NaN")
    return array
