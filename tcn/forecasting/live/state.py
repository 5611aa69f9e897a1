"""The last rows of every series of a stream, as a net reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tcn.forecasting.fitted.predictor import WINDOWS_AT_ONCE
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.arrays import Integers, Singles
from tcn.forecasting.live.rows import Arrived
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import Statistics

WINDOW = ("target", "observed", "exogenous", "static", "categories", "position")
"""What is kept of a window that ends with the last row, see :class:`WindowBatch`."""


class LiveState:
    """The last ``input_size`` rows of the series that have moved on, scaled.

    Arrays have a row for every series; memory is taken for those that have begun.

    Attributes:
        begun: ``(N,)`` bool, the series whose window is kept.
        time: ``(N,)`` of the last row.
        next: ``(N,)`` the time of the row that follows it, of the series that have begun.
        values: ``(N, V)`` of the last row in units of the data: targets, known future, past alone.
    """

    def __init__(self, trained: Trained) -> None:
        """Begins where the history ends; windows are cut when series move on."""
        history = trained.history
        last = history.offsets[1:] - 1
        self._trained = trained
        self.begun = np.zeros(len(history), dtype=bool)
        self.time = history.times[last]
        self.next = np.zeros_like(self.time)
        self.values = np.concatenate(
            [history.target[last], history.futr[last], history.hist[last]], axis=1
        )
        self._window: dict[str, NDArray[Any]] = {}
        self._location, self._scale = np.zeros_like(self.values), np.zeros_like(self.values)

    def begin(self, numbers: Integers) -> None:
        """Cuts the windows of those of the series that have not begun."""
        new = numbers[~self.begun[numbers]]
        for begin in range(0, len(new), WINDOWS_AT_ONCE):
            self._begin(new[begin : begin + WINDOWS_AT_ONCE])

    def _begin(self, numbers: Integers) -> None:
        trained = self._trained
        some = trained.history.select(numbers)
        unknown = np.zeros((len(some), 1, some.futr.shape[1]))
        # A series of one row is short only until the rows have come that it moves on by.
        windows = trained.windows(some, 1, future=unknown, min_past=1, told=False)
        batch = windows.batch(np.arange(len(some)))
        for name in WINDOW:
            part = getattr(batch, name).numpy()
            if name not in self._window:
                self._window[name] = np.zeros((len(self.begun), *part.shape[1:]), part.dtype)
            self._window[name][numbers] = part
        self.next[numbers] = some.future_times(1)[:, 0]
        covariates = (trained.covariates.futr, trained.covariates.hist)
        for mine, of_target, *shared in zip(
            (self._location, self._scale), windows.statistics, *covariates, strict=True
        ):
            every = np.broadcast_to(np.concatenate(shared), (len(some), sum(map(len, shared))))
            mine[numbers] = np.concatenate([of_target, every], axis=1)
        self.begun[numbers] = True

    def statistics(self, number: int) -> Statistics:
        """Of the values of a series that has begun, ``(V,)``."""
        return Statistics(self._location[number], self._scale[number])

    def position(self, numbers: Integers) -> Integers:
        """Rows of each series before its last one."""
        return self._window["position"][numbers]

    def take(self, new: Arrived) -> None:
        """Moves series on by new rows."""
        there = ~np.isnan(new.target)
        window, at = self._window, _index(new.numbers)
        _move_on(window["target"], at, np.where(there, new.target, np.float32(0)))
        _move_on(window["observed"], at, there)
        _move_on(window["exogenous"], at, new.exogenous)
        window["position"][at] += new.target.shape[-1]
        self.time[at], self.values[at] = new.times[:, -1], new.values[:, -1]

    def batch(self, numbers: Integers, known: Singles) -> WindowBatch:
        """The windows that end with the last rows of series that have begun.

        They hold until the series move on.

        Args:
            numbers: ``(n,)`` of the series.
            known: ``(n, channels, h)`` of the horizon.
        """
        at = _index(numbers)
        parts = {name: torch.from_numpy(self._window[name][at]) for name in WINDOW}
        nothing = parts["target"][..., :0]
        return WindowBatch(
            **parts,
            future=torch.from_numpy(known),
            horizon=nothing,
            horizon_observed=nothing.bool(),
            series=torch.from_numpy(numbers),
        )


def _index(numbers: Integers) -> Any:
    """An index of these rows; of one alone a slice, which numpy need not copy."""
    return slice(numbers[0], numbers[0] + 1) if len(numbers) == 1 else numbers


def _move_on(past: NDArray[Any], at: Any, steps: NDArray[Any]) -> None:
    """Lets the rows ``at`` of ``(N, channels, length)`` end with new steps."""
    if not past.shape[1]:
        return
    kept, length = past[at], past.shape[-1]
    old = max(length - steps.shape[-1], 0)
    kept[..., :old] = kept[..., length - old :]
    kept[..., old:] = steps[..., old - length :]
    past[at] = kept
