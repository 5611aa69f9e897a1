"""A forecaster on a stream: new rows come, and the next forecast follows from a carried state.

Carried are the last ``input_size`` rows of every series, already scaled, and what adaptive
intervals have learnt. How the encoder comes from there to its last step::

    window_scaler="identity", receptive field <= input_size    one more step of a StreamSession
    otherwise                                                  the steps of the look-back, at once

for with any other window scaler a new row changes what all earlier ones are to the net, and what
lies before the look-back a forecast must not see. Either way it is done natively where the net
allows it, and the forecast is that of ``predict`` on the whole series so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tcn.forecasting.calendar import calendar_features
from tcn.forecasting.conformal import AdaptiveConformal
from tcn.forecasting.frame import Panel, future_from_frame
from tcn.forecasting.gaps import Fill, filled
from tcn.forecasting.rows import Rows, shown
from tcn.forecasting.scaling import Statistics, scaled_panel
from tcn.forecasting.streaming import StreamedNet
from tcn.forecasting.trained import Forecasts, Predictor, Trained, joined, last_rows
from tcn.forecasting.windows import WindowBatch

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PENDING = 1024
"""New rows that are kept aside, at least, before they are joined to the history."""


class LiveForecaster:
    """The carried state of all series of a trained net.

    Attributes:
        trained: whose history moves on with the rows that come.
        fill: how missing values of new rows are filled.
    """

    def __init__(self, trained: Trained, *, fill: Fill | None = None) -> None:
        """Begins where the history ends."""
        self.trained = trained
        self.fill = fill
        self.statistics = trained.statistics_of(trained.history)
        self._net = StreamedNet(trained.net, len(trained.history))
        self._numbers = {name: i for i, name in enumerate(trained.history.ids.tolist())}
        self._carried: dict[int, Carried] = {}
        self._pending: list[Panel] = []
        self._pending_rows = 0
        self._predictors: dict[tuple[int, tuple[float, ...]], Predictor] = {}

    @property
    def history(self) -> Panel:
        """The last rows of every series, all that have come among them."""
        if self._pending:
            kept = self.trained.net.sizes.input_size + self.trained.calibration
            whole = _end_to_end([self.trained.history, *self._pending])
            self.trained.history = last_rows(whole, kept)
            self._pending, self._pending_rows = [], 0
        return self.trained.history

    def update(
        self, rows: Rows, futr_df: Any = None, *, horizon: int, levels: Sequence[float] = ()
    ) -> tuple[Panel, Forecasts]:
        """Takes new rows and forecasts what follows them.

        Args:
            rows: the next ones of some series, as :meth:`Rows.sorted` returns them.
            futr_df: known covariates of the horizon.
            horizon: steps.
            levels: of the intervals, in percent.

        Returns:
            The last row of every series that has new ones, and their forecasts, ``(N, K,
            horizon)``.

        Raises:
            ValueError: if a series is not known, rows do not follow its last one, values are
                missing, or rows of ``futr_df`` are; then nothing has been taken.
        """
        numbers = self._known(rows)
        new = self._following(rows, numbers)
        ends = last_rows(new, 1)
        future = future_from_frame(futr_df, ends, horizon)
        coming = _Coming.of(self.trained, new, self.statistics.take(numbers), future)
        adaptive = self.trained.intervals == "adaptive"
        predictor = self._predictor(horizon, () if adaptive else tuple(levels))
        found = []
        for place, number in enumerate(numbers.tolist()):
            carried = self._carried[number]
            if adaptive:
                carried.judge(coming.target[place], horizon, levels, predictor)
            carried.take(coming, place, new.times[new.offsets[place + 1] - 1])
            self._net.arrived(number, int(carried.batch.position))
            found.append(carried.forecast(coming.future[place], levels, predictor))
        self._pending.append(new)
        self._pending_rows += len(new.times)
        if self._pending_rows > max(PENDING, len(self._numbers)):
            _ = self.history  # joins them
        return ends, joined(found)

    def _known(self, rows: Rows) -> Integers:
        """The numbers of the series of some rows, whose state is carried from here on."""
        numbers = np.array([self._numbers.get(name, -1) for name in rows.ids.tolist()])
        if (numbers < 0).any():
            raise ValueError(
                f"new_rows: series {shown(rows.ids[numbers < 0])} were not there in training and "
                "have no state to carry on; use predict(df) with their whole history"
            )
        for number in set(numbers.tolist()) - self._carried.keys():
            self._carried[number] = Carried.of(self.trained, self.trained.history, number)
        return numbers

    def _following(self, rows: Rows, numbers: Integers) -> Panel:
        """New rows as a panel without gaps, the first of each right behind the last one known."""
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

    def _predictor(self, horizon: int, levels: tuple[float, ...]) -> Predictor:
        if (horizon, levels) not in self._predictors:
            self._predictors[horizon, levels] = self.trained.predictor_of(
                self._net, self.statistics, horizon, levels
            )
        return self._predictors[horizon, levels]


@dataclass
class Carried:
    """The last ``input_size`` rows of one series, scaled, and its adaptive intervals.

    Attributes:
        batch: the window that ends with the last row.
        time: of the last row.
        values: of the last row, as :class:`Rows` has them: targets, known future, past alone.
        adaptive: by level and horizon.
    """

    batch: WindowBatch
    time: Any
    values: Floats
    trained: Trained
    adaptive: dict[tuple[float, int], AdaptiveConformal] = field(default_factory=dict)

    @classmethod
    def of(cls, trained: Trained, history: Panel, number: int) -> Carried:
        """The state at the end of a series of the history."""
        one = history.select(np.array([number]))
        unknown = np.zeros((1, 1, one.futr.shape[1]))
        batch = trained.windows(one, 1, future=unknown).batch([0])
        batch = batch._replace(series=torch.tensor([number]))
        values = np.concatenate([one.target[-1], one.futr[-1], one.hist[-1]])
        return cls(batch, one.times[-1], values, trained)

    def take(self, coming: _Coming, place: int, time: Any) -> None:
        """Moves on by the new rows of the ``place``-th series."""
        observed = coming.observed[place]
        target = coming.target[place].nan_to_num(nan=0.0)
        steps, batch = target.shape[-1], self.batch
        length = batch.target.shape[-1]
        self.batch = batch._replace(
            target=torch.cat([batch.target, target], dim=-1)[..., -length:],
            observed=torch.cat([batch.observed, observed], dim=-1)[..., -length:],
            exogenous=torch.cat([batch.exogenous, coming.exogenous[place]], dim=-1)[..., -length:],
            position=batch.position + steps,
        )
        self.time, self.values = time, coming.values[place]

    def forecast(self, future: Tensor, levels: Sequence[float], predictor: Predictor) -> Forecasts:
        """What follows the last row, ``(1, K, H)``."""
        batch = self.batch._replace(future=future)
        found = predictor.scaled(batch)
        ends = dict(found.intervals)
        for level in levels if self.adaptive else ():
            low, high = self.adaptive[level, predictor.horizon].issue(found.mean[0])
            ends[level] = low[None], high[None]
        return predictor.restored(Forecasts(found.mean, ends), batch.series)

    def judge(
        self, target: Tensor, horizon: int, levels: Sequence[float], predictor: Predictor
    ) -> None:
        """Lets the intervals learn from what came, ``(1, K, steps)`` scaled, NaN for nothing."""
        for level in levels:
            if (level, horizon) not in self.adaptive:
                errors = self.trained.band(horizon).errors[..., :horizon]
                self.adaptive[level, horizon] = AdaptiveConformal(level=level).start(errors)
                if not self.batch.future.shape[1]:
                    center = predictor.scaled(self.batch).mean[0]
                    self.adaptive[level, horizon].issue(center)
        for step in target[0].unbind(-1):
            for adaptive in self.adaptive.values():
                adaptive.observe(step.double().numpy())


@dataclass(frozen=True)
class _Coming:
    """New rows of several series and their horizons, as the net reads them; lists by series.

    Attributes:
        target: ``(1, K, steps)``, NaN where missing.
        observed: ``(1, K, steps)`` bool.
        exogenous: ``(1, channels, steps)``.
        future: ``(1, channels, horizon)``.
        values: of the last row, as in :class:`Carried`.
    """

    target: list[Tensor]
    observed: list[Tensor]
    exogenous: list[Tensor]
    future: list[Tensor]
    values: list[Floats]

    @classmethod
    def of(cls, trained: Trained, new: Panel, statistics: Statistics, future: Floats) -> _Coming:
        """Scaled new rows, and the calendar beside them."""
        scaled = scaled_panel(new, trained.scaler, statistics, trained.covariates, future)
        calendar = partial(calendar_features, names=trained.calendar, timezone=new.timezone)
        exogenous = np.concatenate([scaled.hist, scaled.futr, calendar(new.times)], axis=1)
        horizon = future.shape[1]
        times = new.frequency.after(new.times[new.offsets[1:] - 1], horizon, new.timezone)
        ahead = calendar(times.ravel()).reshape(len(new), horizon, -1)
        ahead = np.concatenate([scaled.future, ahead], axis=2)
        counts = new.lengths.tolist()
        target = [part.T[None] for part in torch.from_numpy(scaled.target).split(counts)]
        last = new.offsets[1:] - 1
        values = np.concatenate([new.target[last], new.futr[last], new.hist[last]], axis=1)
        return cls(
            target=target,
            observed=[~part.isnan() for part in target],
            exogenous=[part.T[None] for part in torch.from_numpy(exogenous).split(counts)],
            future=list(torch.from_numpy(ahead).transpose(1, 2).split(1)),
            values=list(values),
        )


def _end_to_end(panels: Sequence[Panel]) -> Panel:
    """One panel of the series of the first with the rows of all, later ones last."""
    base = panels[0]
    number = {name: index for index, name in enumerate(base.ids.tolist())}
    series = np.concatenate([
        np.repeat([number[name] for name in panel.ids.tolist()], panel.lengths) for panel in panels
    ])  # fmt: skip
    order = np.argsort(series, kind="stable")

    def together(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(panel, name) for panel in panels])[order]

    return replace(
        base,
        offsets=np.concatenate(([0], np.cumsum(np.bincount(series, minlength=len(base))))),
        times=together("times"),
        target=together("target"),
        futr=together("futr"),
        hist=together("hist"),
    )
