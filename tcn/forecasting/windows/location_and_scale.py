"""Where series lie and how far they spread, whatever their magnitude."""

from __future__ import annotations

import numpy as np

from tcn.forecasting.frames.arrays import Floats, Integers

# The interquartile range of a normal distribution in units of its standard deviation.
NORMAL_RANGE = 1.3489795003921634


def location_and_scale(
    name: str, values: Floats, series: Integers
) -> tuple[Integers, Floats, Floats]:
    """Location and scale of each series.

    Args:
        name: of the scaler.
        values: ``(V,)`` without NaN.
        series: ``(V,)`` ascending.

    Returns:
        The ``(M,)`` series that occur, their locations and their scales.
    """
    there, begin, which, counts = np.unique(
        series, return_index=True, return_inverse=True, return_counts=True
    )
    if not len(there):
        return there, np.empty(0), np.empty(0)
    low, high = np.minimum.reduceat(values, begin), np.maximum.reduceat(values, begin)
    if name == "mean":
        location = np.zeros(len(there))
        size = _size(low, high)
        scale = np.add.reduceat(np.abs(values) / size[which], begin) / counts * size
        return there, location, _or_one(scale)
    if name == "minmax":
        location, scale = low, high - low
    else:
        location, scale = _moments(values, _size(low, high), begin, which, counts)
        if name == "robust":
            ordered = values[np.lexsort((values, which))]
            location = _quantile(ordered, begin, counts, 0.5)
            spread = _quantile(ordered, begin, counts, 0.75) - _quantile(
                ordered, begin, counts, 0.25
            )
            scale = np.where(spread > 0, spread / NORMAL_RANGE, scale)
    constant = low == high  # of its mean, rounding would leave a difference
    return there, np.where(constant, low, location), _or_one(np.where(constant, 1.0, scale))


def _moments(
    values: Floats, size: Floats, begin: Integers, which: Integers, counts: Integers
) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each series."""
    shares = values / size[which]
    mean = np.add.reduceat(shares, begin) / counts
    variance = np.add.reduceat((shares - mean[which]) ** 2, begin) / counts
    return mean * size, np.sqrt(variance) * size


def _quantile(ordered: Floats, begin: Integers, counts: Integers, share: float) -> Floats:
    """A quantile of each series of ascending values, on the line between neighbors."""
    position = (counts - 1) * share
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, counts - 1)
    low, high = ordered[begin + below], ordered[begin + above]
    return low + (position - below) * (high - low)


def _size(low: Floats, high: Floats) -> Floats:
    """The magnitude of each series: without it squares of 1e200 would be infinite, of 1e-200 zero.

    A power of two, so that dividing by it rounds nothing.
    """
    largest = np.maximum(np.abs(low), np.abs(high))
    return np.ldexp(1.0, np.frexp(largest)[1] - 1)


def _or_one(scale: Floats) -> Floats:
    return np.where(scale > 0, scale, 1.0)
