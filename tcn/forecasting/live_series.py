"""What is carried of one series on a stream, and the rows that move it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tcn.forecasting.calendar import calendar_features
from tcn.forecasting.columns import Columns
from tcn.forecasting.conformal import AdaptiveConformal
from tcn.forecasting.frame import Panel
from tcn.forecasting.scaling import Statistics, scaled_panel
from tcn.forecasting.trained import Adaptive, Forecasts, Predictor, Trained
from tcn.forecasting.windows import WindowBatch

Floats = NDArray[np.float64]

LARGEST = float(np.finfo(np.float32).max)


class Row(NamedTuple):
    """One row of one series, as it stands in a frame.

    Attributes:
        name: id of the series.
        time: ``datetime64`` without a zone, or an integer.
        values: targets and covariates, float64.
    """

    name: Any
    time: Any
    values: Floats


def plain_row(df: Any, columns: Columns) -> Row | None:
    """The row of a frame of one row, read in a twentieth of the time that checks of all kinds take.

    None for any frame that is not as plain as can be: another library, several rows, text, zones,
    missing values. That is for :class:`tcn.forecasting.rows.Rows`, which also says what is wrong.
    """
    if type(df) is not pd.DataFrame or len(df) != 1 or not df.columns.is_unique:
        return None
    # Cell by cell: every column taken as a series would cost several times as much.
    place, cell = df.columns.get_loc, df.iat
    names = (*columns.target, *columns.futr, *columns.hist)
    try:
        name, time = cell[0, place(columns.id)], cell[0, place(columns.time)]
        values = [cell[0, place(column)] for column in names]
    except KeyError:
        return None
    if isinstance(time, pd.Timestamp) and time.tzinfo is None:
        time = time.to_datetime64()
    elif not isinstance(time, np.integer):
        return None
    if not all(isinstance(value, np.floating | np.integer) for value in values):
        return None
    return Row(name, time, np.array(values, dtype=np.float64))


@dataclass(frozen=True)
class Coming:
    """New rows of a series, and the horizon after them.

    Attributes:
        target: ``(1, K, steps)`` scaled, NaN where missing.
        exogenous: ``(1, channels, steps)``, as the net reads them.
        future: ``(1, channels, horizon)``, likewise; None where nothing is known of it.
        times: ``(steps,)``.
        values: ``(steps, V)`` in units of the data: targets, known future, past alone.
    """

    target: Tensor
    exogenous: Tensor
    future: Tensor | None
    times: NDArray[Any]
    values: Floats

    @classmethod
    def of(
        cls, trained: Trained, new: Panel, statistics: Statistics, future: Floats
    ) -> list[Coming]:
        """Those of every series of a panel.

        Args:
            trained: whose scaling is used.
            new: the new rows.
            statistics: of the series of the panel.
            future: ``(N, horizon, F)``, see :func:`tcn.forecasting.frame.future_from_frame`.
        """
        scaled = scaled_panel(new, trained.scaler, statistics, trained.covariates, future)
        calendar = partial(calendar_features, names=trained.calendar, timezone=new.timezone)
        exogenous = np.concatenate([scaled.hist, scaled.futr, calendar(new.times)], axis=1)
        horizon = new.future_times(future.shape[1])
        ahead = calendar(horizon.ravel()).reshape(*horizon.shape, -1)
        ahead = np.concatenate([scaled.future, ahead], axis=2)
        values = np.concatenate([new.target, new.futr, new.hist], axis=1)
        return [
            cls(
                torch.from_numpy(scaled.target[begin:end].T[None].copy()),
                torch.from_numpy(exogenous[begin:end].T[None].copy()),
                torch.from_numpy(ahead[place].T[None].copy()),
                new.times[begin:end],
                values[begin:end],
            )
            for place, (begin, end) in enumerate(zip(new.offsets, new.offsets[1:], strict=False))
        ]

    @classmethod
    def of_row(cls, row: Row, statistics: Statistics, *, targets: int) -> Coming | None:
        """That of a plain row, without a known future; None where a number is not finite.

        Args:
            row: the row.
            statistics: of its values, ``(V,)``.
            targets: how many of these are targets.
        """
        scaled = (row.values - statistics.location) / statistics.scale
        if not (np.abs(scaled) <= LARGEST).all():  # NaN is not either
            return None
        steps = torch.from_numpy(scaled[None, :, None].astype(np.float32))
        exogenous = steps[:, targets:]
        target = steps[:, :targets] if len(scaled) > targets else steps
        return cls(target, exogenous, None, np.array([row.time]), row.values[None])


@dataclass
class LiveSeries:
    """The last ``input_size`` rows of one series, scaled, and its adaptive intervals.

    Attributes:
        batch: the window that ends with the last row.
        time: of the last row.
        next: the time of the row that follows it.
        values: of the last row, as in :class:`Coming`.
        statistics: of such values, ``(V,)``.
        whole: whether all of the window is observed.
        adaptive: by level and horizon; shared with the trained net, which is what is saved.
    """

    batch: WindowBatch
    time: Any
    next: Any
    values: Floats
    statistics: Statistics
    whole: bool = False
    adaptive: Adaptive = field(default_factory=dict)

    @classmethod
    def of(cls, trained: Trained, number: int) -> LiveSeries:
        """The state at the end of a series of the history."""
        one = trained.history.select(np.array([number]))
        unknown = np.zeros((1, 1, one.futr.shape[1]))
        batch = trained.windows(one, 1, future=unknown).batch([0])
        covariates = (trained.covariates.futr, trained.covariates.hist)
        location, scale = (
            np.concatenate([of_target[0], *of_covariates])
            for of_target, *of_covariates in zip(
                trained.statistics_of(one), *covariates, strict=True
            )
        )
        return cls(
            batch=batch._replace(series=torch.tensor([number])),
            time=one.times[-1],
            next=one.future_times(1)[0, 0],
            values=np.concatenate([one.target[-1], one.futr[-1], one.hist[-1]]),
            statistics=Statistics(location, scale),
            adaptive=trained.adaptive.setdefault(number, {}),
        )

    def take(self, coming: Coming) -> None:
        """Moves on by new rows."""
        batch, target, observed = self.batch, coming.target, self.batch.observed
        if coming.future is not None or not self.whole:
            there = ~target.isnan()
            target, observed = torch.where(there, target, 0.0), _moved_on(observed, there)
            self.whole = bool(observed.all())
        self.batch = batch._replace(
            target=_moved_on(batch.target, target),
            observed=observed,
            exogenous=_moved_on(batch.exogenous, coming.exogenous),
            position=batch.position + target.shape[-1],
        )
        self.time, self.values = coming.times[-1], coming.values[-1]

    def forecast(
        self, future: Tensor | None, levels: Sequence[float], predictor: Predictor
    ) -> Forecasts:
        """What follows the last row, ``(1, K, H)``."""
        batch = self.batch if future is None else self.batch._replace(future=future)
        found = predictor.scaled(batch)
        ends = dict(found.intervals)
        for level in levels if self.adaptive else ():
            low, high = self.adaptive[level, predictor.horizon].issue(found.mean[0])
            ends[level] = low[None], high[None]
        return predictor.restored(Forecasts(found.mean, ends), batch.series)

    def judge(
        self, target: Tensor, levels: Sequence[float], predictor: Predictor, errors: Floats
    ) -> None:
        """Lets the adaptive intervals learn from what came.

        Args:
            target: ``(1, K, steps)`` scaled, NaN where missing.
            levels: of the intervals, in percent.
            predictor: of the forecasts that the intervals are around.
            errors: ``(W, K, H)`` scaled, with which new intervals begin.
        """
        horizon = predictor.horizon
        for level in levels:
            if (level, horizon) not in self.adaptive:
                adaptive = AdaptiveConformal(level=level).start(errors[..., :horizon])
                if not self.batch.future.shape[1]:
                    adaptive.issue(predictor.scaled(self.batch).mean[0])
                self.adaptive[level, horizon] = adaptive
        for step in target[0].double().unbind(-1):
            for adaptive in self.adaptive.values():
                adaptive.observe(step.numpy())


def _moved_on(past: Tensor, steps: Tensor) -> Tensor:
    """The past of the same length that ends with new steps."""
    return torch.cat([past, steps], dim=-1)[..., -past.shape[-1] :] if past.shape[1] else past
