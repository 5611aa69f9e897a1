"""What a fit leaves behind: panels in, forecasts in the units of the data out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tcn.forecasting.fitted.net import ForecastNet
from tcn.forecasting.fitted.prediction import AnsweringNet
from tcn.forecasting.fitted.predictor import Forecasts, Predictor, batches, joined
from tcn.forecasting.frames.arrays import Floats, Integers
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.intervals.band import Band
from tcn.forecasting.intervals.streams import Adaptive
from tcn.forecasting.intervals.widening import Widened
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import (
    CovariateScaler,
    SeriesScaler,
    Statistics,
    scaled_panel,
)
from tcn.forecasting.windows.windows import MIN_PAST, Windows
from tcn.outputs import Output


@dataclass(kw_only=True)
class Trained:
    """A trained net with everything that belongs to its data.

    Attributes:
        net: in evaluation mode, on the CPU.
        output: what its raw numbers mean.
        scaler: of the target.
        ids: ``(N,)`` of the series that the fit was given.
        statistics: of their training part, or of all their rows where they are too short for one.
        covariates: the scaler of everything else.
        calendar: names of the calendar features.
        history: the last rows of every series; every forecast without its own data goes on from
            here.
        intervals: ``None`` for those of the output, or one of ``INTERVALS``.
        calibration: rows that intervals were calibrated on.
        seed: of the draws of paths.
        device: where forwards run.
        report: steps taken and the best validation loss.
        window_errors: of the linear forecasts by which the window scaler was chosen, by its name;
            empty if it was given.
        nonnegative: for every target whether its forecasts stop at 0; empty: for none.
        widening: of the output's own intervals, see :mod:`tcn.forecasting.intervals.widening`.
        bands: what calibrates the intervals, by horizon.
        adaptive: what adaptive intervals have learned on a stream, by level and horizon; streams
            are numbered as the series of the history.
    """

    net: ForecastNet
    output: Output
    scaler: SeriesScaler
    ids: NDArray[Any]
    statistics: Statistics
    covariates: CovariateScaler
    calendar: tuple[str, ...]
    history: Panel
    intervals: str | None = None
    calibration: int = 0
    seed: int = 1
    device: str = "cpu"
    report: dict[str, float] = field(default_factory=dict)
    window_errors: dict[str, float] = field(default_factory=dict)
    nonnegative: tuple[bool, ...] = ()
    widening: float = 1.0
    bands: dict[int, Band] = field(default_factory=dict, repr=False)
    adaptive: Adaptive = field(default_factory=dict, repr=False)

    def statistics_of(self, panel: Panel) -> Statistics:
        """Statistics from the training, and from their own history for series not seen there."""
        return self.scaler.fit_unseen(panel, self.ids, self.statistics)

    def inverse(self, values: Floats, statistics: Statistics) -> Floats:
        """Forecasts ``(..., B, K, T)`` of ``B`` series in the units of the data."""
        back = self.scaler.inverse(values, statistics)
        if not any(self.nonnegative):
            return back
        lowest = np.where(self.nonnegative, 0.0, -np.inf)
        return np.maximum(back, lowest[:, None])

    def windows(
        self,
        panel: Panel,
        horizon: int,
        *,
        future: Floats | None = None,
        first: Integers | None = None,
        last: Integers | None = None,
        step: int = 1,
        min_past: int = MIN_PAST,
        told: bool = True,
    ) -> Windows:
        """Windows of a panel, those at the end of every series unless positions are given.

        Args:
            panel: with the columns of the training.
            horizon: steps, whatever the trained ones.
            future: ``(N, horizon, F)`` covariates of the steps after the end.
            first: ``(N,)`` first position of each series.
            last: ``(N,)`` last position of each series.
            step: steps from one window to the next, counted back from the last.
            min_past: rows of the past that a series needs.
            told: whether there is a warning about series that are shorter than the look-back.
        """
        end = panel.lengths - 1
        statistics = self.statistics_of(panel)
        return Windows(
            panel,
            self.net.sizes.input_size,
            horizon,
            scaled=scaled_panel(panel, self.scaler, statistics, self.covariates, future),
            first=end if first is None else first,
            last=end if last is None else last,
            step=step,
            calendar=self.calendar,
            min_past=min_past,
            receptive_field=self.net.receptive_field,
            told=told,
        )

    def check_target(self, target: Floats) -> None:
        """Refuses observed values that the loss cannot mean.

        Raises:
            ValueError: the loss is of counts, and a value is negative or not whole.
        """
        if self.output.support == "count":
            self.output.check_target(torch.from_numpy(target.copy()))

    def forecasts(self, windows: Windows, levels: Sequence[float] = ()) -> Forecasts:
        """Points and intervals of windows, in the units of the data.

        Args:
            windows: of :meth:`windows`.
            levels: of the intervals, in percent.

        Raises:
            TypeError: if the output has no intervals and none are calibrated.
            ValueError: if there are too few calibration windows for a level, or forecasts are NaN.
        """
        found = joined(list(map(self.predictor(windows, levels), batches(windows))))
        for part in (found.mean, *(end for ends in found.intervals.values() for end in ends)):
            if np.isnan(part).any():
                raise ValueError(f"predict: the forecasts hold {int(np.isnan(part).sum())} NaN")
        return found

    def predictor(self, windows: Windows, levels: Sequence[float] = ()) -> Predictor:
        """What forecasts batches of these windows, as :meth:`forecasts` does all of them."""
        net = self.net if self.device == "cpu" else copy.deepcopy(self.net).to(self.device)
        return self.predictor_of(net, windows.statistics, windows.h, levels, device=self.device)

    def predictor_of(
        self,
        net: AnsweringNet,
        statistics: Statistics,
        horizon: int,
        levels: Sequence[float],
        *,
        device: str = "cpu",
    ) -> Predictor:
        """The same with a net in place of the trained one.

        Args:
            net: on ``device``.
            statistics: of the series that the batches count.
            horizon: steps.
            levels: of the intervals, in percent.
            device: where forwards run.
        """
        levels = tuple(sorted({float(level) for level in levels}))
        own = levels if self.intervals in (None, "cqr") else ()
        band = self.band(horizon) if levels and self.intervals else None
        if band is not None and own:
            self.correct(band, own)
        return Predictor(
            net=net,
            output=Widened(self.output, self.widening),
            horizon=horizon,
            levels=levels,
            own_levels=own,
            band=band,
            inverse=self.inverse,
            statistics=statistics,
            seed=self.seed,
            device=device,
        )

    def band(self, horizon: int) -> Band:
        """What calibrates intervals over a horizon; made from the history the first time.

        Raises:
            ValueError: if the calibration part is shorter than the horizon.
        """
        horizon = max(horizon, self.net.sizes.h)
        if horizon not in self.bands:
            windows = self._calibration_windows(horizon)
            predict = self._uncorrected(windows)
            errors = [_came(batch) - predict.scaled(batch).mean for batch in batches(windows)]
            self.bands[horizon] = Band(horizon, np.concatenate(errors))
        return self.bands[horizon]

    def correct(self, band: Band, levels: Sequence[float]) -> None:
        """Calibrates the output's own intervals of these levels where that has not been done."""
        levels = [level for level in levels if level not in band.corrections.scores]
        if not levels:
            return
        windows = self._calibration_windows(band.horizon)
        predict = self._uncorrected(windows, levels)
        found = [(predict.scaled(batch).intervals, _came(batch)) for batch in batches(windows)]
        came = np.concatenate([part for _, part in found])
        for level in levels:
            low, high = (
                np.concatenate([ends[level][side] for ends, _ in found]) for side in (0, 1)
            )
            band.corrections.calibrate(low, high, came, level=level)

    def _uncorrected(self, windows: Windows, levels: Sequence[float] = ()) -> Predictor:
        return replace(self, intervals=None).predictor(windows, levels)

    def _calibration_windows(self, horizon: int) -> Windows:
        """All windows whose horizon lies in the calibration part."""
        rows, ends = self.calibration, self.history.lengths - 1
        if rows < horizon:
            raise ValueError(
                f"intervals: {self.intervals!r} are calibrated on the last val_size={rows} steps "
                f"of the training, too few for a horizon of {horizon}; fit with "
                f"val_size={2 * horizon} or more"
            )
        first = np.maximum(ends - rows, 0)
        return self.windows(self.history, horizon, first=first, last=ends - horizon)

    def snapshot(self) -> Trained:
        """The same, which stays as it is whatever is calibrated or learned later.

        Bands may be calibrated by other threads meanwhile: dictionaries are copied at once.
        """
        bands = {horizon: band.snapshot() for horizon, band in dict(self.bands).items()}
        return replace(self, bands=bands, adaptive=copy.deepcopy(self.adaptive))


def _came(batch: WindowBatch) -> Floats:
    """What came, NaN where nothing did."""
    return batch.horizon.masked_fill(~batch.horizon_observed, torch.nan).double().numpy()
