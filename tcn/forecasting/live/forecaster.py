"""A forecaster on a stream: new rows come, and the next forecast follows from a carried state.

Carried are the last ``input_size`` rows of every series, already scaled, and what adaptive
intervals have learned. How the encoder gets from there to its last step::

    window_scaler="identity", receptive field <= input_size    one more step of a StreamSession
    otherwise                                                  the steps of the look-back, at once

With any other window scaler a new row changes how all earlier ones look to the net; and a forecast
must not see what lies before the look-back. Either way it is done natively where the net allows it,
and the forecast is that of ``predict`` on the whole series so far.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.fitted.predictor import WINDOWS_AT_ONCE, Forecasts, Predictor, joined
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.arrays import Floats, Integers, Singles
from tcn.forecasting.frames.gaps import Fill
from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.panel import Panel, future_from_frame
from tcn.forecasting.frames.rows import Rows
from tcn.forecasting.live.ahead import Ahead
from tcn.forecasting.live.learning import Learning
from tcn.forecasting.live.revision import (
    LastRows,
    following,
    one_row_each,
    revised,
    revised_training,
)
from tcn.forecasting.live.rows import (
    Arrived,
    Following,
    arrival_of_row,
    arrivals,
    plain_future,
    plain_row,
    with_rows,
)
from tcn.forecasting.live.state import LiveState
from tcn.forecasting.live.streaming import StreamedNet
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import Statistics

PENDING = 1024
"""New rows that are kept aside, at least, before they are joined to the history."""


class Latest(NamedTuple):
    """What follows the last rows of the series that have moved on.

    Attributes:
        ids: ``(N,)`` of these series.
        times: ``(N * H,)`` of the steps that follow, as the caller has them.
        forecasts: ``(N, K, H)``.
    """

    ids: NDArray[Any]
    times: NDArray[Any]
    forecasts: Forecasts


class LiveForecaster:
    """A trained net and the history that it goes on from, which moves on with the rows that come.

    Threads may share it: an update waits until another one has ended. Copies and pickles go on from
    the history of that moment; the state of the stream is computed anew from it.

    Attributes:
        trained: what forecasts.
    """

    def __init__(self, trained: Trained) -> None:
        """Begins where the history ends."""
        self.trained = trained
        self._lock = threading.RLock()
        self._pending: list[Arrived] = []
        self._pending_rows = 0
        self._predictors: dict[tuple[int, tuple[float, ...]], Predictor] = {}
        self._joined: set[Any] = set()  # series that were not there in training

    def __getstate__(self) -> dict[str, Any]:
        """Only what is not computed anew."""
        return {"trained": self.snapshot()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begins where the history ended."""
        self.__init__(state["trained"])  # type: ignore[misc]

    @cached_property
    def _statistics(self) -> Statistics:
        return self.trained.statistics_of(self.trained.history)

    @cached_property
    def _numbers(self) -> dict[Any, int]:
        return {name: i for i, name in enumerate(self.trained.history.ids.tolist())}

    @cached_property
    def _net(self) -> StreamedNet:
        return StreamedNet(self.trained.net, len(self.trained.history))

    @cached_property
    def _state(self) -> LiveState:
        return LiveState(self.trained)

    @cached_property
    def _ahead(self) -> Ahead:
        return Ahead(self.trained.history, self.trained.calendar)

    @property
    def history(self) -> Panel:
        """The last rows of every series, all that have come among them."""
        with self._lock:
            if self._pending:
                kept = self.trained.net.sizes.input_size + self.trained.calibration
                whole = with_rows(self.trained.history, self._pending)
                self.trained.history = whole.last(kept)
                self._pending, self._pending_rows = [], 0
            return self.trained.history

    def snapshot(self) -> Trained:
        """What forecasts go on from at this moment; later updates leave it as it is."""
        with self._lock:
            return replace(self.trained.snapshot(), history=self.history)

    def update_row(
        self, df: Any, futr_df: Any, *, horizon: int, levels: Sequence[float]
    ) -> Latest | None:
        """Like :meth:`update`, for a frame of one plain row, the next of its series.

        Returns:
            None for any other frame, which :meth:`update` takes or refuses; nothing has been taken.
        """
        trained = self.trained
        history, columns = trained.history, trained.history.columns
        row = plain_row(df, columns) if trained.scaler.linear else None
        if row is None or row.zoned != (history.timezone is not None):
            return None
        with self._lock:
            state, number = self._state, self._numbers.get(row.name)
            if number is None or not state.begun[number] or row.time != state.next[number]:
                return None
            steps, future = self._ahead.after(row.time, horizon), None
            times = steps.times[steps.begin : steps.begin + horizon + 1]
            if columns.futr:
                future = plain_future(futr_df, columns, row.name, times[1:], zoned=row.zoned)
                if future is None:
                    return None
            found = arrival_of_row(
                trained,
                row,
                number,
                state.statistics(number),
                times=times,
                calendar=steps.calendar[steps.begin : steps.begin + horizon + 1],
                future=future,
            )
            if found is None:
                return None
            return self._take([found[0]], np.array([number]), found[1], horizon, levels)

    def update(
        self,
        rows: Rows,
        futr_df: Any = None,
        *,
        horizon: int,
        levels: Sequence[float] = (),
        fill: Fill | None = None,
    ) -> Latest:
        """Takes new rows and forecasts what follows them.

        Args:
            rows: the next ones of some series, as :meth:`Rows.sorted` returns them.
            futr_df: known covariates of the horizon.
            horizon: steps.
            levels: of the intervals, in percent.
            fill: how missing values and rows are filled.

        Raises:
            ValueError: if a series is not known, rows do not follow its last one, values are
                missing, or rows of ``futr_df`` are; then nothing has been taken.
        """
        with self._lock:
            numbers = self._known(rows)
            last = LastRows(self._state.time[numbers], self._state.values[numbers])
            new = following(self.trained.history, rows, numbers, last, fill)
            future = future_from_frame(futr_df, new.last(1), horizon, fill)
            groups, ahead = arrivals(
                self.trained, new, numbers, self._statistics.take(numbers), future
            )
            return self._take(groups, numbers, ahead, horizon, levels)

    def next_times(self, numbers: Integers) -> Any:
        """The time of the next row of each of some series, as the caller has times, ``(n,)``."""
        with self._lock:
            self._state.begin(numbers)
            return self._local(self._state.next[numbers])

    def push(
        self, numbers: Integers, values: Floats, future: Floats, *, levels: Sequence[float]
    ) -> Forecasts:
        """Takes the next row of some series, ``(n, V)`` values and ``(n, h, F)`` known futures."""
        with self._lock:
            state = self._state
            state.begin(numbers)
            new = one_row_each(self.trained.history, numbers, state.next[numbers], values)
            groups, ahead = arrivals(
                self.trained, new, numbers, self._statistics.take(numbers), future
            )
            return self._take(groups, numbers, ahead, future.shape[1], levels).forecasts

    def revise(self, rows: Rows, static_df: Any = None, fill: Fill | None = None) -> None:
        """Takes rows of any time and series, see :mod:`tcn.forecasting.live.revision`."""
        with self._lock:
            kept = self.trained.net.sizes.input_size + self.trained.calibration
            whole = revised(self.history, rows, static_df, kept=kept, fill=fill)
            changed = revised_training(self.trained, whole, rows.ids, self._joined, kept)
            self._joined |= set(whole.ids[len(self.trained.history) :].tolist())
            self.trained = changed
            self._predictors.clear()
            for name in ("_statistics", "_numbers", "_net", "_state", "_ahead"):
                self.__dict__.pop(name, None)

    def _take(
        self,
        groups: Sequence[Arrived],
        numbers: Integers,
        following: Following,
        horizon: int,
        levels: Sequence[float],
    ) -> Latest:
        """Moves series on by rows that have been checked, and forecasts."""
        state, adaptive = self._state, self.trained.intervals == "adaptive"
        predictor = self._predictor(
            horizon, () if adaptive else tuple(levels), numbers, following.known
        )
        learning = None
        if adaptive:
            learning = Learning(self.trained, predictor, levels)
            learning.begin(numbers, partial(self._batches, numbers, following.known))
        for new in groups:
            if learning is not None:
                learning.observe(new)
            state.take(new)
            self._net.arrived(new.numbers, state.position(new.numbers))
            self._pending.append(new)
            self._pending_rows += new.times.size
        state.next[numbers] = following.times[:, 0]
        # Joining copies the history: it is to have grown by a good part.
        if self._pending_rows > max(PENDING, len(self.trained.history.times) // 4):
            _ = self.history
        forecast = predictor if learning is None else learning.forecast
        found = joined([forecast(batch) for batch in self._batches(numbers, following.known)])
        return Latest(self.trained.history.ids[numbers], self._local(following.times), found)

    def _local(self, times: NDArray[Any]) -> Any:
        history, times = self.trained.history, times.flatten()  # a copy, which a caller may change
        if history.timezone is None and history.unit is not None:  # what local() does, but faster
            return times.astype(f"datetime64[{history.unit}]")
        return history.local(times)

    def _batches(self, numbers: Integers, known: Singles) -> Iterator[WindowBatch]:
        for begin in range(0, len(numbers), WINDOWS_AT_ONCE):
            part = slice(begin, begin + WINDOWS_AT_ONCE)
            yield self._state.batch(numbers[part], known[part])

    def _known(self, rows: Rows) -> Integers:
        """The numbers of the series of some rows, whose state is carried from here on."""
        numbers = np.array([self._numbers.get(name, -1) for name in rows.ids.tolist()])
        if (numbers < 0).any():
            raise ValueError(
                f"new_rows: series {shown(rows.ids[numbers < 0])} were not there in training and "
                "have no state to carry on; use predict(df) with their whole history, or "
                "revise(df), by which they join"
            )
        self._state.begin(numbers)
        return numbers

    def _predictor(
        self, horizon: int, levels: tuple[float, ...], numbers: Integers, known: Singles
    ) -> Predictor:
        if (horizon, levels) not in self._predictors:
            _ = self.history  # what is calibrated here has seen all rows, whoever read them before
            predictor = self.trained.predictor_of(self._net, self._statistics, horizon, levels)
            # What is impossible, such as a level of 99.9, must be refused before a row is taken.
            predictor.scaled(self._state.batch(numbers[:1], known[:1]))
            self._predictors[horizon, levels] = predictor
        return self._predictors[horizon, levels]
