"""A batch of windows, as a net reads it."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class WindowBatch(NamedTuple):
    """Windows of a batch: ``B`` windows, ``K`` targets, ``L`` past steps and ``h`` to come.

    Attributes:
        target: ``(B, K, L)`` past, 0 where not observed or before the series begins.
        observed: ``(B, K, L)`` bool.
        exogenous: ``(B, H + F + calendar, L)`` covariates of the past: ``hist``, ``futr``,
            calendar; 0 before the series begins.
        future: ``(B, F + calendar, h)`` covariates of the horizon.
        static: ``(B, S)``.
        categories: ``(B, C)`` int64.
        horizon: ``(B, K, h)`` what came, 0 where not known.
        horizon_observed: ``(B, K, h)`` bool.
        series: ``(B,)`` int64, index into the panel.
        position: ``(B,)`` int64, row within the series of the last past step.
    """

    target: Tensor
    observed: Tensor
    exogenous: Tensor
    future: Tensor
    static: Tensor
    categories: Tensor
    horizon: Tensor
    horizon_observed: Tensor
    series: Tensor
    position: Tensor

    def rows(self, which: Any) -> WindowBatch:
        """Some of the windows: an index, a mask or a slice."""
        return WindowBatch(*(part[which] for part in self))
