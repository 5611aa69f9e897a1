"""What a fit leaves behind: panels in, forecasts in the units of the data out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tcn.forecasting.fitted.net import ForecastNet
from tcn.forecasting.fitted.out_of_memory import by_halves
from tcn.forecasting.fitted.prediction import PATHS, AnsweringNet, forecast
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.intervals import (
    AdaptiveStreams,
    ConformalizedQuantiles,
    SplitConformal,
    nested,
)
from tcn.forecasting.windows.scaling import CovariateScaler, SeriesScaler, Statistics, scaled_panel
from tcn.forecasting.windows.windows import MIN_PAST, WindowBatch, Windows
from tcn.outputs import Output

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Ends = dict[float, tuple[Floats, Floats]]
"""Lower and upper ends of intervals by level in percent."""

Adaptive = dict[tuple[float, int], AdaptiveStreams]
"""The adaptive intervals of the series of a history, by level and horizon."""

INTERVALS = (None, "conformal", "cqr", "adaptive")
WINDOWS_AT_ONCE = 1024
"""In one forward without gradients."""


class Forecasts(NamedTuple):
    """Forecasts of many windows.

    Attributes:
        mean: ``(W, K, H)``.
        intervals: lower and upper ends, each ``(W, K, H)``, by level.
    """

    mean: Floats
    intervals: Ends


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
        intervals: ``None`` for those of the output, or one of :data:`INTERVALS`.
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

    @property
    def has_intervals(self) -> bool:
        """Whether there are intervals."""
        return self.output.intervals or self.intervals is not None

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
        scaled = scaled_panel(
            panel, self.scaler, self.statistics_of(panel), self.covariates, future
        )
        return Windows(
            panel,
            self.net.sizes.input_size,
            horizon,
            scaled=scaled,
            first=end if first is None else first,
            last=end if last is None else last,
            step=step,
            calendar=self.calendar,
            min_past=min_past,
            receptive_field=self.net.receptive_field,
            told=told,
        )

    def forecasts(self, windows: Windows, levels: Sequence[float] = ()) -> Forecasts:
        """Points and intervals of windows, in the units of the data.

        Args:
            windows: of :meth:`windows`.
            levels: of the intervals, in percent.

        Raises:
            TypeError: if the output has no intervals and none are calibrated.
            ValueError: if there are too few calibration windows for a level.
        """
        return joined(list(map(self.predictor(windows, levels), batches(windows))))

    def predictor(self, windows: Windows, levels: Sequence[float] = ()) -> Predictor:
        """What forecasts batches of these windows, as :meth:`forecasts` does all of them."""
        statistics = self.statistics_of(windows.panel)
        net = self.net if self.device == "cpu" else copy.deepcopy(self.net).to(self.device)
        return self.predictor_of(net, statistics, windows.h, levels, device=self.device)

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
            band.prepare(self, own)
        return Predictor(self, net, statistics, horizon, levels, own, band, device)

    def band(self, horizon: int) -> Band:
        """What calibrates intervals over a horizon; made from the history the first time.

        Raises:
            ValueError: if the calibration part is shorter than the horizon.
        """
        horizon = max(horizon, self.net.sizes.h)
        if horizon not in self.bands:
            self.bands[horizon] = Band.of(self, horizon)
        return self.bands[horizon]

    def snapshot(self) -> Trained:
        """The same, which stays as it is whatever is calibrated or learned later.

        Bands may be calibrated by other threads meanwhile: dictionaries are copied at once.
        """
        bands = {horizon: band.snapshot() for horizon, band in dict(self.bands).items()}
        return replace(self, bands=bands, adaptive=copy.deepcopy(self.adaptive))


@dataclass(frozen=True)
class Predictor:
    """Forecasts of a batch of windows: ``predictor(batch)``, in the units of the data."""

    trained: Trained
    net: AnsweringNet
    statistics: Statistics
    horizon: int
    levels: tuple[float, ...]
    own_levels: tuple[float, ...]
    band: Band | None
    device: str

    @cached_property
    def quantiles(self) -> list[float]:
        """What the output is asked for, rising."""
        return probabilities(self.own_levels)

    def __call__(self, batch: WindowBatch) -> Forecasts:
        """Points and intervals, ``(B, K, H)`` each."""
        return self.restored(self.scaled(batch), batch.series)

    def restored(self, found: Forecasts, series: torch.Tensor) -> Forecasts:
        """Forecasts of ``(B,)`` series from the units of the series scaler in those of the data."""
        statistics = self.statistics.take(series.numpy())
        inverse = partial(self.trained.inverse, statistics=statistics)
        ends = {level: (inverse(low), inverse(high)) for level, (low, high) in found[1].items()}
        return Forecasts(inverse(found.mean), ends)

    def scaled(self, batch: WindowBatch) -> Forecasts:
        """The same in the units of the series scaler."""
        found = joined(by_halves(self.of_net, batch))
        if self.band is None:
            return found
        if not self.own_levels:
            return Forecasts(found.mean, self.band.around(found.mean, self.levels))
        return Forecasts(found.mean, self.band.corrected(found.intervals))

    def of_net(self, batch: WindowBatch) -> Forecasts:
        """The same, with intervals as the output itself gives them."""
        if self.device != "cpu":
            batch = WindowBatch(*(part.to(self.device) for part in batch))
        quantiles = self.quantiles
        drawn = bool(quantiles) and self.horizon > self.net.sizes.h
        # Paths of one window at a time, always from the same seed: what is drawn for a series
        # does not depend on the others.
        found = [
            forecast(
                self.net,
                self.trained.output,
                piece,
                horizon=self.horizon,
                quantiles=quantiles,
                generator=self._generator() if drawn else None,
                paths=PATHS,
                widening=self.trained.widening,
            )
            for piece in (_one_by_one(batch) if drawn else [batch])
        ]
        mean, ranges = (_numbers(parts) for parts in zip(*found, strict=True))
        ends = dict(zip(quantiles, ranges, strict=True))
        pairs = {x: (ends[_tail(x)], ends[round(1 - _tail(x), 12)]) for x in self.own_levels}
        return Forecasts(mean, pairs)

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.trained.seed)


def probabilities(levels: Sequence[float]) -> list[float]:
    """Both tails of each level, rising."""
    tails = {_tail(level) for level in levels}
    return sorted(tails | {round(1 - tail, 12) for tail in tails})


@dataclass
class Band:
    """Errors on the calibration windows and the intervals that follow from them.

    All is in the units of the series scaler, in which errors are taken together over all series.

    Attributes:
        horizon: steps.
        split: absolute errors of points.
        corrections: of the output's own intervals, by level.
        errors: ``(W, K, H)``, target minus point, NaN where nothing came.
    """

    horizon: int
    errors: Floats
    split: SplitConformal = field(default_factory=SplitConformal)
    corrections: ConformalizedQuantiles = field(default_factory=ConformalizedQuantiles)

    def __post_init__(self) -> None:
        """The split intervals follow from the errors."""
        self.split.calibrate(self.errors)

    @classmethod
    def of(cls, trained: Trained, horizon: int) -> Band:
        """Calibrates on all windows whose horizon lies in the calibration part.

        Raises:
            ValueError: if that part is shorter than the horizon.
        """
        windows = _calibration_windows(trained, horizon)
        predict = replace(trained, intervals=None).predictor(windows)
        errors = [_came(batch) - predict.scaled(batch).mean for batch in batches(windows)]
        return cls(horizon, np.concatenate(errors))

    def prepare(self, trained: Trained, levels: Sequence[float]) -> None:
        """Calibrates the output's own intervals of these levels where that has not been done."""
        levels = [level for level in levels if level not in self.corrections.scores]
        if not levels:
            return
        windows = _calibration_windows(trained, self.horizon)
        predict = replace(trained, intervals=None).predictor(windows, levels)
        found = [(predict.scaled(batch).intervals, _came(batch)) for batch in batches(windows)]
        came = np.concatenate([part for _, part in found])
        for level in levels:
            low, high = (
                np.concatenate([ends[level][side] for ends, _ in found]) for side in (0, 1)
            )
            self.corrections.calibrate(low, high, came, level=level)

    def snapshot(self) -> Band:
        """The same, with the levels that are calibrated by now."""
        scores = dict(self.corrections.scores)
        return Band(self.horizon, self.errors, corrections=ConformalizedQuantiles(scores))

    def around(self, mean: Floats, levels: Sequence[float]) -> Ends:
        """Split conformal intervals."""
        return {level: self.split.interval(mean, level) for level in levels}

    def corrected(self, ends: Ends) -> Ends:
        """The output's own intervals, conformalized."""
        moved = self.corrections.interval
        return nested({level: moved(low, high, level) for level, (low, high) in ends.items()})


def last_rows(panel: Panel, rows: int) -> Panel:
    """The last ``rows`` rows of every series, or as many as there are."""
    lengths = np.minimum(panel.lengths, rows)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    index = np.arange(offsets[-1]) + np.repeat(panel.offsets[1:] - offsets[1:], lengths)
    return replace(
        panel,
        offsets=offsets,
        times=panel.times[index],
        target=panel.target[index],
        futr=panel.futr[index],
        hist=panel.hist[index],
    )


def _calibration_windows(trained: Trained, horizon: int) -> Windows:
    rows, ends = trained.calibration, trained.history.lengths - 1
    if rows < horizon:
        raise ValueError(
            f"intervals: {trained.intervals!r} are calibrated on the last val_size={rows} steps "
            f"of the training, too few for a horizon of {horizon}; fit with "
            f"val_size={2 * horizon} or more"
        )
    first = np.maximum(ends - rows, 0)
    return trained.windows(trained.history, horizon, first=first, last=ends - horizon)


def _came(batch: WindowBatch) -> Floats:
    """What came, NaN where nothing did."""
    return batch.horizon.masked_fill(~batch.horizon_observed, torch.nan).double().numpy()


def batches(windows: Windows) -> Iterator[WindowBatch]:
    """All windows in order."""
    for begin in range(0, len(windows), WINDOWS_AT_ONCE):
        yield windows.batch(np.arange(begin, min(begin + WINDOWS_AT_ONCE, len(windows))))


def _one_by_one(batch: WindowBatch) -> list[WindowBatch]:
    return [WindowBatch(*one) for one in zip(*(part.split(1) for part in batch), strict=True)]


def joined(parts: Sequence[Forecasts]) -> Forecasts:
    """Forecasts of one batch after the other."""
    if len(parts) == 1:
        return parts[0]
    ends = {
        level: (
            np.concatenate([part.intervals[level][0] for part in parts]),
            np.concatenate([part.intervals[level][1] for part in parts]),
        )
        for level in parts[0].intervals
    }
    return Forecasts(np.concatenate([part.mean for part in parts]), ends)


def _numbers(parts: Sequence[torch.Tensor]) -> Any:
    """Tensors ``(..., B, K, H)`` of several batches as one float64 array."""
    whole = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=-3)
    return whole.double().cpu().numpy()


def _tail(level: float) -> float:
    return round((1 - level / 100) / 2, 12)
