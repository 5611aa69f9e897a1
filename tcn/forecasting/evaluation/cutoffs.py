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

from dataclasses import dataclass, replace

import numpy as np

from tcn.forecasting.frames.arrays import Integers
from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.windows.windows import MIN_PAST
from tcn.layers.validation import check_positive


@dataclass(frozen=True)
class Cutoffs:
    """Where the windows of every series end, as windows are cut.

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
) -> Cutoffs:
    """The cutoffs of ``n_windows`` windows, counted from the end of every series.

    Args:
        panel: the series.
        n_windows: windows of each series.
        h: rows of a horizon.
        step_size: rows from one window to the next; None: ``h``, so that horizons do not overlap.
        val_size: rows before the first window to keep for validation.

    Returns:
        The windows that have such a past; the others are left out with a warning.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is below 1 (``val_size``: 0), or no series is long enough.
    """
    step = h if step_size is None else step_size
    sizes = {"n_windows": n_windows, "h": h, "step_size": step}
    for name, value in sizes.items():
        check_positive(name, [value])
    if val_size < 0:
        raise ValueError(f"val_size: {val_size} rows; give 0 or more")
    lengths = panel.lengths
    last = lengths - 1 - h
    fitting = np.clip((last - (MIN_PAST - 1)) // step + 1, 0, n_windows)
    if not fitting.any():
        raise ValueError(
            f"h: no series has a window of h={h} after {MIN_PAST} rows of past, for the longest "
            f"has {int(lengths.max())} rows; give a smaller h"
        )
    short = fitting < n_windows
    if short.any():
        need = (n_windows - 1) * step + h + MIN_PAST
        warn(
            f"{int((n_windows - fitting).sum())} of {n_windows * len(lengths)} windows are left "
            f"out: {int(short.sum())} series have fewer than {need} rows (n_windows={n_windows}, "
            f"step_size={step}, h={h}): {shown(panel.ids[short])}",
        )
    first = np.where(fitting > 0, last - (fitting - 1) * step, 1)
    return Cutoffs(first, np.where(fitting > 0, last, 0), step, h, val_size)
