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
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.frame import Panel, future_from_frame
from tcn.forecasting.gaps import Fill, filled
from tcn.forecasting.ids import shown
from tcn.forecasting.live_series import Coming, LiveSeries, plain_row
from tcn.forecasting.rows import Rows
from tcn.forecasting.streaming import StreamedNet
from tcn.forecasting.trained import Forecasts, Predictor, Trained, joined, last_rows

Integers = NDArray[np.int64]

PENDING = 1024
"""New rows that are kept aside, at least, before they are joined to the history."""


class Latest(NamedTuple):
    """What follows the last rows of the series that have moved on.

    Attributes:
        ids: ``(N,)`` of these series.
        times: ``(N, H)`` of the steps that follow.
        forecasts: ``(N, K, H)``.
    """

    ids: NDArray[Any]
    times: NDArray[Any]
    forecasts: Forecasts


class LiveForecaster:
    """The carried state of all series of a trained net.

    Threads may share it: an update waits until another one has ended.

    Attributes:
        trained: whose history moves on with the rows that come.
        fill: how missing values of new rows are filled.
    """

    def __init__(self, trained: Trained, *, fill: Fill | None = None) -> None:
        """Begins where the history ends."""
        self.trained = trained
        self.fill = fill
        self._lock = threading.RLock()
        self.statistics = trained.statistics_of(trained.history)
        self._net = StreamedNet(trained.net, len(trained.history))
        self._numbers = {name: i for i, name in enumerate(trained.history.ids.tolist())}
        self._carried: dict[int, LiveSeries] = {}
        self._pending: list[tuple[int, Coming]] = []
        self._pending_rows = 0
        self._predictors: dict[tuple[int, tuple[float, ...]], Predictor] = {}
        # What it takes to read and scale a plain row in a few lines of numpy.
        self._plain = trained.scaler.linear and trained.history.timezone is None
        self._plain &= not trained.net.sizes.future

    @property
    def history(self) -> Panel:
        """The last rows of every series, all that have come among them."""
        with self._lock:
            if self._pending:
                kept = self.trained.net.sizes.input_size + self.trained.calibration
                whole = _with_rows(self.trained.history, self._pending)
                self.trained.history = last_rows(whole, kept)
                self._pending, self._pending_rows = [], 0
            return self.trained.history

    def update_row(self, df: Any, *, horizon: int, levels: Sequence[float]) -> Latest | None:
        """Like :meth:`update`, for a frame of one plain row, the next of its series.

        Returns:
            None for any other frame, which :meth:`update` takes or refuses; nothing has been taken.
        """
        row = plain_row(df, self.trained.history.columns) if self._plain else None
        number = None if row is None else self._numbers.get(row.name)
        if row is None or number is None:
            return None
        with self._lock:
            carried = self._carried.get(number)
            if carried is None or row.time != carried.next:
                return None
            targets = self.trained.net.sizes.targets
            coming = Coming.of_row(row, carried.statistics, targets=targets)
            return None if coming is None else self._take([number], [coming], horizon, levels)

    def update(
        self, rows: Rows, futr_df: Any = None, *, horizon: int, levels: Sequence[float] = ()
    ) -> Latest:
        """Takes new rows and forecasts what follows them.

        Args:
            rows: the next ones of some series, as :meth:`Rows.sorted` returns them.
            futr_df: known covariates of the horizon.
            horizon: steps.
            levels: of the intervals, in percent.

        Raises:
            ValueError: if a series is not known, rows do not follow its last one, values are
                missing, or rows of ``futr_df`` are; then nothing has been taken.
        """
        with self._lock:
            numbers = self._known(rows)
            new = self._following(rows, numbers)
            future = future_from_frame(futr_df, last_rows(new, 1), horizon)
            coming = Coming.of(self.trained, new, self.statistics.take(numbers), future)
            return self._take(numbers.tolist(), coming, horizon, levels)

    def _take(
        self, numbers: list[int], coming: list[Coming], horizon: int, levels: Sequence[float]
    ) -> Latest:
        """Moves series on by rows that have been checked, and forecasts."""
        states = [self._carried[number] for number in numbers]
        adaptive = self.trained.intervals == "adaptive"
        predictor = self._predictor(horizon, () if adaptive else tuple(levels), states[0])
        errors = self.trained.band(horizon).errors if adaptive else None
        found = []
        for number, carried, new in zip(numbers, states, coming, strict=True):
            if errors is not None:
                carried.judge(new.target, levels, predictor, errors)
            carried.take(new)
            self._net.arrived(number, int(carried.batch.position))
            found.append(carried.forecast(new.future, levels, predictor))
            self._pending.append((number, new))
            self._pending_rows += len(new.times)
        history = self.trained.history
        last = np.array([carried.time for carried in states], dtype=history.times.dtype)
        times = history.frequency.after(last, horizon, history.timezone)
        for carried, following in zip(states, times, strict=True):
            carried.next = following[0]
        if self._pending_rows > max(PENDING, len(self._numbers)):
            _ = self.history  # joins them
        return Latest(history.ids[numbers], times, joined(found))

    def _known(self, rows: Rows) -> Integers:
        """The numbers of the series of some rows, whose state is carried from here on."""
        numbers = np.array([self._numbers.get(name, -1) for name in rows.ids.tolist()])
        if (numbers < 0).any():
            raise ValueError(
                f"new_rows: series {shown(rows.ids[numbers < 0])} were not there in training and "
                "have no state to carry on; use predict(df) with their whole history"
            )
        for number in set(numbers.tolist()) - self._carried.keys():
            self._carried[number] = LiveSeries.of(self.trained, number)
        return numbers

    def _following(self, rows: Rows, numbers: Integers) -> Panel:
        """New rows as a panel without gaps, the first of each right after the last one known."""
        history = self.trained.history
        rows.check_zone(history.timezone, history.times.dtype.kind)
        before = [self._carried[number] for number in numbers.tolist()]
        last = np.array([carried.time for carried in before], dtype=history.times.dtype)
        late = rows.times <= last[rows.series]
        if late.any():
            raise ValueError(
                f"new_rows: {int(late.sum())} rows are not later than the last one of their "
                f"series, which for {rows.ids[rows.series[late]][0]!r} is "
                f"{history.local(last[rows.series[late]][:1])[0]}; every row is taken once, in "
                "order of time"
            )
        # With the last known row in front, gaps show and can be filled.
        rows = replace(
            rows,
            series=np.concatenate([np.arange(len(before)), rows.series]),
            times=np.concatenate([last, rows.times]),
            values=np.concatenate([[carried.values for carried in before], rows.values]),
        ).sorted(warn=False)
        missing = history.missing
        rows = rows.regular(
            history.frequency, absent_allowed=missing == "mask" or self.fill is not None
        )
        if self.fill is not None:
            rows = replace(rows, values=filled(rows.values, rows.offsets, self.fill))
        rows = rows.at(np.setdiff1d(np.arange(len(rows.times)), rows.offsets[:-1]))
        rows.check_missing(missing)
        targets, futures = len(rows.columns.target), len(rows.columns.futr)
        target, futr, hist = np.split(rows.values, [targets, targets + futures], axis=1)
        return replace(
            history,
            ids=rows.ids,
            offsets=rows.offsets,
            times=rows.times,
            target=target,
            futr=futr,
            hist=hist,
            stat=history.stat[numbers],
            categories=history.categories[numbers],
        )

    def _predictor(self, horizon: int, levels: tuple[float, ...], carried: LiveSeries) -> Predictor:
        if (horizon, levels) not in self._predictors:
            predictor = self.trained.predictor_of(self._net, self.statistics, horizon, levels)
            # What is impossible, such as a level of 99.9, must be refused before a row is taken.
            predictor.scaled(carried.batch)
            self._predictors[horizon, levels] = predictor
        return self._predictors[horizon, levels]


def _with_rows(history: Panel, pending: Sequence[tuple[int, Coming]]) -> Panel:
    """The history with new rows appended to their series."""
    numbers = [np.full(len(coming.times), number) for number, coming in pending]
    series = np.concatenate([np.repeat(np.arange(len(history)), history.lengths), *numbers])
    order = np.argsort(series, kind="stable")
    old = np.concatenate([history.target, history.futr, history.hist], axis=1)
    values = np.concatenate([old, *(coming.values for _, coming in pending)])[order]
    times = [coming.times.astype(history.times.dtype) for _, coming in pending]
    targets, futures = history.target.shape[1], history.futr.shape[1]
    target, futr, hist = np.split(values, [targets, targets + futures], axis=1)
    return replace(
        history,
        offsets=np.concatenate(([0], np.cumsum(np.bincount(series, minlength=len(history))))),
        times=np.concatenate([history.times, *times])[order],
        target=target,
        futr=futr,
        hist=hist,
    )
