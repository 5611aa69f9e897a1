"""Scores of calibration windows, and the quantile of them that holds for a further one."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Interval = tuple[Array, Array]
"""Lower and upper ends."""


def smallest_calibration(level: float) -> int:
    """Windows below which no finite interval has this level: 9 for 90 %, 19 for 95 %.

    Raises:
        ValueError: ``level`` is not between 0 and 100.
    """
    share = share_of(level)
    return math.ceil(share / (1 - share))


def finite_sample_quantile(scores: ArrayLike, level: float) -> Array:
    """The ``ceil((n + 1) * level / 100)``-th smallest of n scores along axis 0.

    A further score from the same source is at most that large with a probability of ``level`` %
    at least. Vovk et al. 2005; Lei et al. 2018, section 2.2.

    Args:
        scores: ``(windows, ...)``; NaN is left out, and n counted without it.
        level: in percent.

    Returns:
        ``(...)``, infinite where n is too small for the level.

    Raises:
        ValueError: ``level`` is not between 0 and 100.
    """
    ordered = np.sort(np.moveaxis(np.asarray(scores, dtype=np.float64), 0, -1), axis=-1)
    counts = np.count_nonzero(~np.isnan(ordered), axis=-1)
    share = share_of(level)
    known, place = np.unique(counts, return_inverse=True)
    ranks = np.array([math.ceil((int(n) + 1) * share) for n in known])[place]
    return ranked(ordered, ranks.reshape(np.shape(counts)), np.asarray(counts))


def share_of(level: float) -> Fraction:
    """The exact share that a level stands for, so that 95 % of 20 is 19 and not 19.000000001."""
    if not 0 < level < 100:
        raise ValueError(f"level: {level} is not between 0 and 100 percent; 90 means 90 %")
    return Fraction(str(level)) / 100


def checked(name: str, scores: Array) -> Array:
    """Refuses scores without a window, or infinite ones, for which the net is to blame."""
    if scores.ndim < 2 or scores.shape[0] < 1:
        raise ValueError(
            f"{name}: shape {scores.shape}; expected (windows, target channel, horizon step) "
            "with 1 window or more"
        )
    if np.isinf(scores).any():
        raise ValueError(f"{name}: {int(np.isinf(scores).sum())} values are infinite")
    return scores


def ranked(ordered: Array, ranks: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    """The rank-th smallest along the last axis, from 1; infinite outside of 1 to ``counts``."""
    windows = ordered.shape[-1]
    if not windows:
        return np.full(ranks.shape, np.inf)
    inside = np.clip(ranks, 1, np.maximum(counts, 1)) - 1
    rows = np.arange(counts.size) * windows
    picked = ordered.ravel()[rows + inside.ravel()].reshape(ranks.shape)
    return np.where(ranks > counts, np.inf, np.where(ranks < 1, -np.inf, picked))
