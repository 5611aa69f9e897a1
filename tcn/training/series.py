"""Series as scikit-learn hands them over, and as a net reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
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


@dataclass(frozen=True, eq=False)
class Series:
    """Series of one or more lengths.

    Attributes:
        values: ``(series, channels, time)`` float32, zeros behind each one's end.
        lengths: ``(series,)`` int64.
    """

    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def channels(self) -> int:
        """Channels of every series."""
        return self.values.shape[1]

    @property
    def longest(self) -> int:
        """Steps of the longest."""
        return self.values.shape[2]

    @property
    def valid(self) -> Tensor:
        """``(series, 1, time)``, whether a step is there."""
        return (torch.arange(self.longest) < self.lengths[:, None])[:, None]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every channel, ``(channels,)``; 1 where nothing varies."""
        there = self.valid.expand_as(self.values).double()
        count = there.sum((0, 2))
        values = self.values.double()
        mean = (values * there).sum((0, 2)) / count
        spread = (((values - mean[:, None]) ** 2 * there).sum((0, 2)) / count).sqrt()
        varies = spread > 1e-7 * mean.abs().clamp_min(1e-30)
        return mean.float(), torch.where(varies, spread, 1.0).float()

    def scaled(self, location: Tensor, scale: Tensor) -> Series:
        """With mean 0 and deviation 1 in every channel; padding stays 0."""
        values = (self.values - location[:, None]) / scale[:, None]
        return replace(self, values=torch.where(self.valid, values, 0.0))

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Values and lengths of some; no lengths where all are whole."""
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        values = self.values[rows][..., :longest]
        return values, None if bool((lengths == longest).all()) else lengths


def read_series(
    estimator: Any, X: Any, y: Any = None, *, reset: bool, numeric: bool = False
) -> Any:
    """Checks what ``fit`` and ``predict`` are given.

    Args:
        estimator: whose ``n_features_in_`` is set, or compared.
        X: see :meth:`tcn.training.Classifier.fit`.
        y: labels or numbers; None in prediction.
        reset: whether this is a fit.
        numeric: whether ``y`` is numbers, of one or more columns.

    Returns:
        The series; of a fit the series and ``y``.

    Raises:
        TypeError, ValueError: naming what does not fit.
    """
    if _is_ragged(X):
        series = _of_list(X)
        _check_channels(estimator, series.channels, reset=reset)
        if not reset:
            return series
        check_consistent_length(series.values, y)
        y = check_array(y, ensure_2d=False, dtype="float64") if numeric else column_or_1d(y)
        return series, y
    given: dict[str, Any] = {"allow_nd": True, "dtype": "float32", "reset": reset}
    if not reset:
        return _of_array(validate_data(estimator, _as_in_training(estimator, X), **given))
    if numeric:
        given |= {"multi_output": True, "y_numeric": True}
    array, y = validate_data(estimator, X, y, **given)
    estimator.two_axes_ = array.ndim == 2
    return _of_array(array), y


def _as_in_training(estimator: Any, X: Any) -> Any:
    """One channel with or without an axis of its own, as training had it; others as they are."""
    if _is_list_of_arrays(X):
        X = np.stack([np.asarray(each) for each in X])
    axes = getattr(X, "ndim", None)
    if axes == 2 and not estimator.two_axes_:
        return np.asarray(X)[:, None]
    if axes == 3 and estimator.two_axes_ and X.shape[1] == 1:
        return np.asarray(X)[:, 0]
    return X


def _is_ragged(X: Any) -> bool:
    """Whether it is a list of arrays that are not one array."""
    if not _is_list_of_arrays(X):
        return False
    return any(each.ndim > 1 for each in X) or len({len(each) for each in X}) > 1


def _is_list_of_arrays(X: Any) -> bool:
    if not isinstance(X, list | tuple) or not len(X):
        return False
    return all(isinstance(each, np.ndarray | Tensor) and each.ndim for each in X)


def _of_list(X: Any) -> Series:
    arrays: list[NDArray[np.float32]] = []
    for number, each in enumerate(X):
        array = np.atleast_2d(np.asarray(each))
        arrays.append(check_array(array, dtype="float32", input_name=f"X[{number}]"))
    channels = {len(array) for array in arrays}
    if len(channels) > 1:
        raise ValueError(
            f"X: series of {sorted(channels)} channels; give (channel, time) arrays of as many each"
        )
    lengths = torch.tensor([array.shape[1] for array in arrays])
    values = torch.zeros(len(arrays), channels.pop(), int(lengths.max()))
    for row, array in zip(values, arrays, strict=True):
        row[:, : array.shape[1]] = torch.from_numpy(array)
    return Series(values, lengths)


def _of_array(array: NDArray[np.float32]) -> Series:
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim != 3:
        raise ValueError(
            f"X: {array.ndim} axes; give (series, time), (series, channel, time) or a list of "
            "(channel, time) arrays"
        )
    if not array.shape[2]:
        raise ValueError(f"X: shape {array.shape}; give series of at least one step")
    values = torch.tensor(array)
    return Series(values, torch.full((len(values),), values.shape[2]))


def _check_channels(estimator: Any, channels: int, *, reset: bool) -> None:
    if reset:
        estimator.n_features_in_, estimator.two_axes_ = channels, False
    elif estimator.net_.in_channels != channels:
        raise ValueError(
            f"X: series of {channels} channels; this was trained with {estimator.net_.in_channels}"
        )
