"""Series as scikit-learn hands them over, and as a net reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    column_or_1d,
    validate_data,
)
from torch import Tensor

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """Series of one or more lengths, each ``(channels, steps)``."""

    values: Sequence[Values]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def channels(self) -> int:
        """Channels of every series."""
        return len(self.values[0])

    @property
    def longest(self) -> int:
        """Steps of the longest."""
        return max(each.shape[1] for each in self.values)

    def scaling(self) -> Scaling:
        """Mean and deviation of every channel, over all steps of all series."""
        steps = sum(each.shape[1] for each in self.values)
        mean = sum(each.sum(1) for each in self.values) / steps
        squares = sum(((each - mean[:, None]) ** 2).sum(1) for each in self.values)
        spread = np.sqrt(squares / steps)
        varies = spread > 1e-12 * np.abs(mean)
        return Scaling(mean, np.where(varies, spread, 1.0))


@dataclass(frozen=True, eq=False)
class Scaling:
    """What the channels of a net are divided by, before they become float32.

    Attributes:
        location: ``(channels,)`` subtracted.
        scale: ``(channels,)`` then divided by.
    """

    location: Values
    scale: Values

    def batch(self, series: Sequence[Values]) -> tuple[Tensor, Tensor | None]:
        """Values, zeros behind each one's end, and lengths, unless all are alike.

        Raises:
            ValueError: a value is too large for float32 once it is scaled.
        """
        lengths = [each.shape[1] for each in series]
        x = torch.zeros(len(series), len(self.location), max(lengths), dtype=torch.float32)
        for row, each in zip(x, series, strict=True):
            scaled = (each - self.location[:, None]) / self.scale[:, None]
            row[:, : each.shape[1]] = torch.from_numpy(scaled)
        if not x.isfinite().all():
            raise ValueError(
                "X: values that are more than 1e38 times as far from the mean as those of training;"
                " give series in the same unit"
            )
        return x, None if min(lengths) == max(lengths) else torch.tensor(lengths)


def read_series(estimator: Any, X: Any, *, reset: bool) -> Series:
    """Checks what ``fit`` and ``predict`` are given.

    Args:
        estimator: whose ``n_features_in_`` is set, or compared.
        X: see :meth:`tcn.training.Classifier.fit`.
        reset: whether this is a fit.

    Raises:
        TypeError, ValueError: naming what does not fit.
    """
    if _is_list_of_arrays(X):
        series = _of_list(X)
        if reset:
            estimator.n_features_in_, estimator.two_axes_ = series.channels, False
        else:
            _check_channels(estimator, series.channels, series.longest)
        return series
    if not reset:
        X = _as_in_training(estimator, X)
        if getattr(X, "ndim", 0) == 3:
            _check_channels(estimator, *X.shape[1:])
    array = validate_data(
        estimator, X, allow_nd=True, dtype="float64", ensure_all_finite=False, reset=reset
    )
    if reset:
        estimator.two_axes_ = array.ndim == 2
    return _of_array(array)


def read_targets(series: Series, y: Any, *, numeric: bool) -> NDArray[Any]:
    """Checks labels, or numbers of one or more columns, as many as there are series.

    Raises:
        TypeError, ValueError: naming what does not fit.
    """
    if y is None:
        raise ValueError(
            "y: None; the estimator requires y to be passed, but the target y is None: give a "
            "label, or numbers, for every series"
        )
    found: NDArray[Any]
    if numeric:
        found = check_array(y, ensure_2d=False, dtype="float64", input_name="y")
        found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    else:
        found = column_or_1d(y, warn=True)
    check_consistent_length(series.values, found)
    return found


def _as_in_training(estimator: Any, X: Any) -> Any:
    """One channel with or without an axis of its own, as training had it; others as they are."""
    axes = getattr(X, "ndim", None)
    if axes == 2 and not estimator.two_axes_:
        return np.asarray(X)[:, None]
    if axes == 3 and estimator.two_axes_ and X.shape[1] == 1:
        return np.asarray(X)[:, 0]
    return X


def _check_channels(estimator: Any, channels: int, steps: int) -> None:
    if channels != estimator.channels_:
        turned = steps == estimator.channels_
        raise ValueError(
            f"X: series of {channels} channels; this was trained with {estimator.channels_}; give "
            f"(series, channel, time){', whose channels seem to be last here' if turned else ''}"
        )


def _check_finite(arrays: Sequence[Values]) -> None:
    wrong = [number for number, each in enumerate(arrays) if not np.isfinite(each).all()]
    if wrong:
        raise ValueError(
            f"X: NaN or inf in {len(wrong)} of {len(arrays)} series, such as X[{wrong[0]}]; fill "
            "what is missing, or leave these series out"
        )


def _is_list_of_arrays(X: Any) -> bool:
    if not isinstance(X, list | tuple) or not len(X):
        return False
    return all(isinstance(each, np.ndarray | Tensor) and each.ndim for each in X)


def _of_list(X: Any) -> Series:
    arrays: list[Values] = []
    for number, each in enumerate(X):
        array = np.atleast_2d(np.asarray(each))
        arrays.append(
            check_array(array, dtype="float64", ensure_all_finite=False, input_name=f"X[{number}]")
        )
    channels = {len(array) for array in arrays}
    if len(channels) > 1:
        turned = len({array.shape[1] for array in arrays}) == 1
        raise ValueError(
            f"X: series of {min(channels)} to {max(channels)} channels; give (channel, time) "
            f"arrays of as many each{', whose channels seem to be last here' if turned else ''}"
        )
    _check_finite(arrays)
    return Series(arrays)


def _of_array(array: Values) -> Series:
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim != 3:
        raise ValueError(
            f"X: {array.ndim} axes; give (series, time), (series, channel, time) or a list of "
            "(channel, time) arrays"
        )
    if not array.shape[2]:
        raise ValueError(f"X: shape {array.shape}; give series of at least one step")
    series = list(array)
    _check_finite(series)
    return Series(series)
