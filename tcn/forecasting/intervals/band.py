"""Errors on the calibration windows of a horizon, and the intervals that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tcn.forecasting.intervals.scores import Array, Interval
from tcn.forecasting.intervals.split import ConformalizedQuantiles, SplitConformal, nested

Ends = dict[float, Interval]
"""Lower and upper ends of intervals by level in percent."""


@dataclass
class Band:
    """What calibrates the intervals of a horizon.

    All is in the units of the series scaler, in which errors are taken together over all series.

    Attributes:
        horizon: steps.
        errors: ``(W, K, H)``, target minus point, NaN where nothing came.
        split: absolute errors of points.
        corrections: of the output's own intervals, by level.
    """

    horizon: int
    errors: Array
    split: SplitConformal = field(default_factory=SplitConformal)
    corrections: ConformalizedQuantiles = field(default_factory=ConformalizedQuantiles)

    def __post_init__(self) -> None:
        """The split intervals follow from the errors."""
        self.split.calibrate(self.errors)

    def snapshot(self) -> Band:
        """The same, with the levels that are calibrated by now."""
        scores = dict(self.corrections.scores)
        return Band(self.horizon, self.errors, corrections=ConformalizedQuantiles(scores))

    def around(self, mean: Array, levels: Sequence[float]) -> Ends:
        """Split conformal intervals."""
        return {level: self.split.interval(mean, level) for level in levels}

    def corrected(self, ends: Mapping[float, Interval]) -> Ends:
        """The output's own intervals, conformalized."""
        moved = self.corrections.interval
        return nested({level: moved(low, high, level) for level, (low, high) in ends.items()})
