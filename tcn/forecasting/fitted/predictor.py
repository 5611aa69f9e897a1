"""Forecasts of batches of windows, with their intervals, in the units of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from tcn.forecasting.fitted.out_of_memory import by_halves
from tcn.forecasting.fitted.prediction import AnsweringNet, forecast
from tcn.forecasting.frames.arrays import Floats
from tcn.forecasting.intervals.band import Band, Ends
from tcn.forecasting.intervals.levels import level_between
from tcn.forecasting.intervals.widening import Widened
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import Statistics
from tcn.forecasting.windows.windows import Windows

WINDOWS_AT_ONCE = 1024
"""In one forward without gradients."""


class Forecasts(NamedTuple):
    """Forecasts of many windows.

    Attributes:
        mean: ``(W, K, H)``.
        intervals: lower and upper ends, each ``(W, K, H)``, by level.
        quantiles: ``(W, K, H)``, by probability.
    """

    mean: Floats
    intervals: Ends
    quantiles: Mapping[float, Floats] = MappingProxyType({})

    def with_quantiles(self, quantiles: Sequence[float], levels: Sequence[float]) -> Forecasts:
        """The intervals of some levels, and ends of others as quantiles.

        Args:
            quantiles: probabilities, of which :func:`level_between` is a level that is there; in
                the middle, where none is, the point is taken.
            levels: that stay intervals.
        """
        middle = {0.0: (self.mean, self.mean)} | self.intervals
        ends = {q: middle[level_between(q)][int(q > 0.5)] for q in quantiles}
        return Forecasts(self.mean, {level: self.intervals[level] for level in levels}, ends)

    def columns(self, name: str, targets: Sequence[str]) -> dict[str, Floats]:
        """Columns of results: ``TCN``, lower ends from the widest interval on, then upper ends.

        Quantiles follow, ``TCN-q-0.1``, rising.

        Args:
            name: of the first one.
            targets: where there are several, columns are called ``<target>-TCN``, ....
        """
        ends = sorted(self.intervals.items())
        lower = {f"{name}-lo-{level:g}": low for level, (low, _) in reversed(ends)}
        upper = {f"{name}-hi-{level:g}": high for level, (_, high) in ends}
        quantiles = {f"{name}-q-{q:.12g}": values for q, values in self.quantiles.items()}
        return {
            column if len(targets) == 1 else f"{target}-{column}": values[:, place].ravel()
            for column, values in {name: self.mean, **lower, **upper, **quantiles}.items()
            for place, target in enumerate(targets)
        }


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Forecasts of a batch of windows: ``predictor(batch)``, in the units of the data.

    Attributes:
        net: that answers, on ``device``.
        output: what its raw numbers mean.
        horizon: steps.
        levels: of the intervals, in percent.
        own_levels: those of them that the output itself is asked for.
        band: what calibrates the intervals; None for those of the output.
        inverse: from the units of the series scaler to those of the data.
        statistics: of the series that the batches count.
        seed: of the draws of paths.
        device: where forwards run.
    """

    net: AnsweringNet
    output: Widened
    horizon: int
    levels: tuple[float, ...]
    own_levels: tuple[float, ...]
    band: Band | None
    inverse: Callable[[Floats, Statistics], Floats]
    statistics: Statistics
    seed: int
    device: str

    @cached_property
    def quantiles(self) -> list[float]:
        """What the output is asked for, rising: both tails of each of its levels."""
        tails = {_tail(level) for level in self.own_levels}
        return sorted(tails | {round(1 - tail, 12) for tail in tails})

    def __call__(self, batch: WindowBatch) -> Forecasts:
        """Points and intervals, ``(B, K, H)`` each."""
        return self.restored(self.scaled(batch), batch.series)

    def restored(self, found: Forecasts, series: torch.Tensor) -> Forecasts:
        """Forecasts of ``(B,)`` series from the units of the series scaler in those of the data."""
        known = self.statistics.take(series.numpy())
        ends = {
            level: (self.inverse(low, known), self.inverse(high, known))
            for level, (low, high) in found.intervals.items()
        }
        return Forecasts(self.inverse(found.mean, known), ends)

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
        rows = range(len(batch.target))
        pieces = [batch.rows(slice(row, row + 1)) for row in rows] if drawn else [batch]
        found = [
            forecast(
                self.net,
                self.output,
                piece,
                horizon=self.horizon,
                quantiles=quantiles,
                generator=torch.Generator(self.device).manual_seed(self.seed) if drawn else None,
            )
            for piece in pieces
        ]
        mean, ranges = (_numbers(parts) for parts in zip(*found, strict=True))
        ends = dict(zip(quantiles, ranges, strict=True))
        pairs = {x: (ends[_tail(x)], ends[round(1 - _tail(x), 12)]) for x in self.own_levels}
        return Forecasts(mean, pairs)


def batches(windows: Windows) -> Iterator[WindowBatch]:
    """All windows in order."""
    for begin in range(0, len(windows), WINDOWS_AT_ONCE):
        yield windows.batch(np.arange(begin, min(begin + WINDOWS_AT_ONCE, len(windows))))


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
