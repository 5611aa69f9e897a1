"""Adaptive intervals of many streams, each of which moves on when its values come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tcn.forecasting.intervals.adaptive import AdaptiveConformal
from tcn.forecasting.intervals.scores import Array, Interval

Integers = NDArray[np.int64]
PENDING = ("centers", "widths")
"""Arrays in which an :class:`AdaptiveConformal` has another axis before that of the streams."""


class AdaptiveStreams:
    """The :class:`AdaptiveConformal` of every one of many streams, moved on many at a time.

    Each stream learns for itself, from where it was started; arrays hold those side by side, so
    that thousands cost little more than one. Memory is taken for streams that have begun.
    """

    def __init__(self, *, level: float) -> None:
        """Begins without a stream.

        Args:
            level: in percent.

        Raises:
            ValueError: ``level`` is not between 0 and 100.
        """
        self.level = AdaptiveConformal(level=level).level
        self._places: Integers = np.empty(0, dtype=np.int64)
        self._count = 0
        self._arrays: dict[str, Array] = {}

    @property
    def numbers(self) -> Integers:
        """Of the streams that have begun, in the order of :meth:`state`."""
        begun = np.flatnonzero(self._places >= 0)
        return begun[np.argsort(self._places[begun])]

    def begun(self, numbers: Integers) -> NDArray[np.bool_]:
        """Which of the streams have begun."""
        known = numbers < len(self._places)
        known[known] = self._places[numbers[known]] >= 0
        return known

    def start(self, numbers: Integers, errors: ArrayLike) -> None:
        """Begins streams from errors of the past, see :meth:`AdaptiveConformal.start`.

        Args:
            numbers: ``(n,)`` of streams that have not begun, each once.
            errors: ``(windows, ..., horizon step)``, the same for each of them.
        """
        one = AdaptiveConformal(level=self.level).start(errors).state()
        self._append(numbers, {name: part[None] for name, part in one.items()})

    def issue(self, numbers: Integers, center: Array) -> Interval:
        """Intervals around forecasts ``(n, ..., horizon step)`` of streams, remembered."""
        rows = self._rows(numbers)
        part = self._part(rows)
        low, high = part.issue(center)
        self._put(rows, part)
        return low, high

    def observe(self, numbers: Integers, value: Array) -> None:
        """Judges what was issued for this step of streams by what came, ``(n, ...)``."""
        rows = self._rows(numbers)
        part = self._part(rows)
        part.observe(value)
        self._put(rows, part)

    def forget(self, numbers: Integers) -> None:
        """Judges nothing by what these streams have issued so far; what they have learned stays."""
        rows = self._places[numbers[self.begun(numbers)]]
        for name in PENDING if len(rows) else ():
            self._arrays[name][rows] = np.nan

    def state(self) -> dict[str, Array]:
        """All that was learned, as arrays with an axis of streams in front."""
        return {name: array[: self._count].copy() for name, array in self._arrays.items()}

    def restore(self, numbers: Integers, state: Mapping[str, Array]) -> Self:
        """Goes on from a ``state`` of streams of these numbers.

        Raises:
            ValueError: an array is missing or does not fit the others, or a number occurs twice.
        """
        if len(np.unique(numbers)) != len(numbers):
            raise ValueError(f"numbers: {len(numbers)}, of which some are the same; give each once")
        moved = {name: _moved(name, np.asarray(part), 0, 1) for name, part in state.items()}
        checked = AdaptiveConformal(level=self.level).restore(moved).state()
        if len(checked["alpha"]) != len(numbers):
            raise ValueError(f"state: of {len(checked['alpha'])} streams, not {len(numbers)}")
        self._append(numbers, {name: _moved(name, part, 1, 0) for name, part in checked.items()})
        return self

    def _append(self, numbers: Integers, parts: Mapping[str, Array]) -> None:
        count = self._count + len(numbers)
        for name, part in parts.items():
            held = self._arrays.get(name, np.empty((0, *part.shape[1:])))
            if count > len(held):  # twice as many as before, or every stream would copy all others
                more = max(count, min(2 * len(held), len(held) + 2**16))
                held = np.concatenate([held, np.empty((more - len(held), *part.shape[1:]))])
            held[self._count : count] = part
            self._arrays[name] = held
        missing = max(int(numbers.max(initial=-1)) + 1 - len(self._places), 0)
        self._places = np.concatenate([self._places, np.full(missing, -1)])
        self._places[numbers] = np.arange(self._count, count)
        self._count = count

    def _rows(self, numbers: Integers) -> Any:
        """An index of streams; of those that lie side by side a slice, which is not copied."""
        rows = self._places[numbers]
        if len(rows) and (rows == np.arange(rows[0], rows[0] + len(rows))).all():
            return slice(rows[0], rows[0] + len(rows))
        return rows

    def _part(self, rows: Any) -> AdaptiveConformal:
        arrays = {name: _moved(name, array[rows], 0, 1) for name, array in self._arrays.items()}
        return AdaptiveConformal(level=self.level).over(arrays)

    def _put(self, rows: Any, part: AdaptiveConformal) -> None:
        for name, found in part.arrays().items():
            held, found = self._arrays[name], _moved(name, found, 1, 0)
            if not np.may_share_memory(held, found):
                held[rows] = found


Adaptive = dict[tuple[float, int], AdaptiveStreams]
"""The adaptive intervals of the series of a history, by level and horizon."""


def _moved(name: str, array: Array, source: int, target: int) -> Array:
    return np.moveaxis(array, source, target) if name in PENDING else array
