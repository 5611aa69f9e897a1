"""Intervals from past errors, whatever the net and its loss.

    SplitConformal          center ± a quantile of past absolute errors
    ConformalizedQuantiles  intervals a net made, widened or narrowed by as much as they were off
    AdaptiveConformal       the same on a stream, correcting itself after every miss
    AdaptiveStreams         that of thousands of streams, moved on many at a time

Arrays are numpy float64; levels are percentages, 90 meaning that 9 in 10 should lie inside. Axis 0
of errors counts windows, the other axes (target channel, horizon step, as a rule) are kept apart:
every horizon step has its own intervals.
"""

from tcn.forecasting.intervals.adaptive import AdaptiveConformal
from tcn.forecasting.intervals.scores import (
    Interval,
    finite_sample_quantile,
    smallest_calibration,
)
from tcn.forecasting.intervals.split import ConformalizedQuantiles, SplitConformal, nested
from tcn.forecasting.intervals.streams import AdaptiveStreams

__all__ = [
    "AdaptiveConformal",
    "AdaptiveStreams",
    "ConformalizedQuantiles",
    "Interval",
    "SplitConformal",
    "finite_sample_quantile",
    "nested",
    "smallest_calibration",
]
