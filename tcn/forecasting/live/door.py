"""An array door to a stream: values in, forecasts out, without a frame between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tcn.forecasting.fitted.predictor import Forecasts
from tcn.forecasting.frames.arrays import Floats, Integers
from tcn.forecasting.frames.ids import numbers_of, shown
from tcn.forecasting.live.forecaster import LiveForecaster


class ForecastStream:
    """The next values of series in, the forecasts that follow out, as arrays.

    It is the same stream as that of ``Forecaster.update``: what comes through one is known to the
    other, to ``predict`` and to ``save``. Made by ``Forecaster.stream``.

    ::

        stream = forecaster.stream(level=[80])
        mean, intervals, _ = stream.push(["shop 1", "shop 2"], [31.0, 12.5])
        low, high = intervals[80]  # each (2, 1, h): series, target, step

    Attributes:
        names: of the columns of values: targets, covariates known ahead, those of the past alone.
    """

    def __init__(self, live: LiveForecaster, *, horizon: int, levels: Sequence[float]) -> None:
        """Begins where the stream of a forecaster is.

        Args:
            live: its state.
            horizon: steps that each push forecasts.
            levels: of the intervals, in percent.
        """
        self._live, self._horizon, self._levels = live, horizon, tuple(levels)
        self._columns = live.trained.history.columns
        self.names: tuple[str, ...] = self._columns.values

    def times(self, ids: Sequence[Any]) -> Any:
        """The time of the next value of each series, as in the frame of the fit, ``(n,)``.

        Raises:
            ValueError: a series is not known, or named twice.
        """
        return self._live.next_times(self._numbers(ids))

    def push(
        self, ids: Sequence[Any], values: ArrayLike, future: ArrayLike | None = None
    ) -> Forecasts:
        """Takes the next row of some series, and forecasts what follows it.

        Args:
            ids: ``(n,)`` of series, each once.
            values: ``(n, len(names))``, or ``(n,)`` of one column; NaN where missing, if the
                forecaster masks them.
            future: ``(n, h, covariates known ahead)`` of the steps after that; ``(n, h)`` of one.

        Returns:
            ``mean`` ``(n, targets, h)`` and ``intervals`` by level, each end shaped alike, in the
            units of the data.

        Raises:
            TypeError: values are no numbers.
            ValueError: a series is not known or named twice, a shape does not fit, or a value is
                missing or infinite. No row has been taken then.
        """
        numbers = self._numbers(ids)
        rows = _checked("values", values, (len(numbers), len(self.names)))
        ahead = (len(numbers), self._horizon, len(self._columns.futr))
        if future is None and ahead[2]:
            raise ValueError(
                f"future: it is missing; give {list(self._columns.futr)} for the next "
                f"{self._horizon} steps, an array of shape {ahead}"
            )
        known = np.empty(ahead) if future is None else _checked("future", future, ahead)
        masked = self._live.trained.history.missing == "mask"
        for name, part in (("values", rows), ("future", known)):
            if not masked and np.isnan(part).any():
                raise ValueError(
                    f"{name}: {int(np.isnan(part).sum())} are missing; fill them, or fit with "
                    "missing='mask'"
                )
        return self._live.push(numbers, rows, known, levels=self._levels)

    def _numbers(self, ids: Sequence[Any]) -> Integers:
        if isinstance(ids, str):
            raise TypeError(f"ids: {ids!r} is one name; give a list, [{ids!r}]")
        names = np.empty(len(ids), dtype=object)
        names[:] = list(ids)
        history = self._live.trained.history
        numbers = numbers_of(history.ids, names)
        if (numbers < 0).any():
            raise ValueError(
                f"ids: {shown(names[numbers < 0])} are not among the series of the stream; new "
                "ones join by revise(df)"
            )
        if not len(numbers) or len(np.unique(numbers)) != len(numbers):
            raise ValueError(f"ids: {shown(names)}; give each series once, and at least one")
        return numbers


def _checked(name: str, given: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Numbers as an array of a shape, whose last axis may be left out where it is 1."""
    array: NDArray[Any] = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: of type {array.dtype}; give numbers")
    if array.shape == shape[:-1] and shape[-1] == 1:
        array = array[..., None]
    if array.shape != shape:
        raise ValueError(f"{name}: of shape {array.shape}; give one of shape {shape}")
    if np.isinf(array).any():
        raise ValueError(f"{name}: {int(np.isinf(array).sum())} are infinite; replace them")
    return array.astype(np.float64)
