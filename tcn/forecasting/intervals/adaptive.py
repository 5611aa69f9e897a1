"""Conformal intervals on a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tcn.forecasting.intervals.scores import Array, Interval, checked, ranked, share_of


class AdaptiveConformal:
    """Split conformal intervals that correct themselves on a stream. Gibbs & Candès 2021, eq. (2).

    The miss rate aimed at moves after every step: down (wider intervals) after a miss, up after a
    hit. Whatever the data do, after T steps the share of misses is within
    ``(max(a, 1 - a) + d * rate) / (T * rate)`` of ``a = 1 - level / 100`` (Proposition 4.1 for
    d = 1; a forecast d steps ahead is judged d steps late). Where the rate aimed at falls to 0 the
    interval is infinite; where it reaches 1 it is empty, and shown as the forecast alone.

    One object follows one stream, or several in step: leading axes of the errors::

        adaptive = AdaptiveConformal(level=90).start(errors)        # (windows, target, horizon)
        lower, upper = adaptive.issue(forecast)                     # (target, horizon)
        adaptive.observe(value)                                     # (target,), one step later
        lower, upper = adaptive.issue(next_forecast)

    ``interval`` and ``update`` are the two halves of it for those who keep forecasts themselves.

    Attributes:
        alpha: the miss rates aimed at now, ``(..., horizon step)``.
        scores: the latest absolute errors in any order, ``(..., horizon step, window)``, NaN where
            there are fewer.
    """

    def __init__(self, *, level: float = 90, rate: float = 0.005, window: int = 500) -> None:
        """Sets the pace.

        Args:
            level: in percent.
            rate: by how much a miss moves the rate aimed at; gamma in the paper, which takes 0.005.
            window: latest errors kept per horizon step; older ones are forgotten.

        Raises:
            ValueError: ``level`` is not between 0 and 100, ``rate`` not positive, or ``window``
                below 1.
        """
        share_of(level)
        if not 0 < rate < 1:
            raise ValueError(f"rate: {rate} is not between 0 and 1; the paper takes 0.005")
        if window < 1:
            raise ValueError(f"window: {window} errors; keep 1 or more")
        self.level, self.rate, self.window = level, rate, window
        self.alpha: Array = np.empty(0)
        self.scores: Array = np.empty((0, window))
        self._oldest: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._centers = self._widths = np.empty((0, 0))

    def start(self, errors: ArrayLike) -> Self:
        """Begins from errors of the past.

        Args:
            errors: target minus forecast, ``(windows, ..., horizon step)``, the oldest first; NaN
                where nothing was observed.

        Raises:
            ValueError: there is no window, or an error is infinite.
        """
        scores = checked("errors", np.abs(np.asarray(errors, dtype=np.float64)))
        shape = scores.shape[1:]
        self.alpha = np.full(shape, 1 - self.level / 100)
        latest = scores[-self.window :]
        self.scores = np.full((*shape, self.window), np.nan)
        self.scores[..., : len(latest)] = np.moveaxis(latest, 0, -1)
        self._oldest = np.full(shape, len(latest) % self.window)
        self._centers = np.full((shape[-1], *shape), np.nan)
        self._widths = self._centers.copy()
        return self

    def width(self) -> Array:
        """Half the width of the intervals now: infinite, or minus infinite for an empty one."""
        ordered = np.sort(self.scores, axis=-1)
        counts = np.count_nonzero(~np.isnan(ordered), axis=-1)
        # 1e-9: 25 * (1 - 0.44) must be 14, though in binary it is a little more.
        ranks = np.ceil((counts + 1) * (1 - self.alpha) - 1e-9).astype(np.int64)
        return ranked(ordered, ranks, counts)

    def interval(self, center: ArrayLike) -> Interval:
        """Lower and upper ends around forecasts, ``(..., horizon step)``; nothing is remembered.

        Raises:
            ValueError: ``center`` has another shape than the errors it was started with.
        """
        return _around(self._like_alpha("center", center), self.width())

    def update(
        self, covered: ArrayLike, *, observed: ArrayLike = True, scores: ArrayLike | None = None
    ) -> None:
        """Moves the rates aimed at by what came.

        Args:
            covered: whether the interval issued for a step ahead held the value, ``(..., horizon
                step)``; an empty interval held nothing.
            observed: where a value came at all, shaped alike; elsewhere nothing moves.
            scores: absolute errors to remember, shaped alike, NaN for none.

        Raises:
            ValueError: shapes do not fit.
        """
        missed = 1 - self._like_alpha("covered", covered)
        moved = self.alpha + self.rate * (1 - self.level / 100 - missed)
        self.alpha = np.where(np.asarray(observed, dtype=bool), moved, self.alpha)
        if scores is not None:
            self._remember(self._like_alpha("scores", scores))

    def issue(self, center: ArrayLike) -> Interval:
        """Intervals around the forecasts of the next steps, remembered until these have come."""
        self._centers[0], self._widths[0] = self._like_alpha("center", center), self.width()
        return _around(self._centers[0], self._widths[0])

    def observe(self, value: ArrayLike) -> None:
        """Judges everything issued for this step, ``(...)``; NaN judges nothing."""
        # Axis 0 of the forecasts counts the steps since they were issued: the step that was k + 1
        # ahead of the k-th of them is now.
        center = self._centers.diagonal(axis1=0, axis2=-1)
        width = self._widths.diagonal(axis1=0, axis2=-1)
        scores = np.abs(np.asarray(value, dtype=np.float64)[..., None] - center)
        self.update(scores <= width, observed=~np.isnan(scores), scores=scores)
        for kept in (self._centers, self._widths):
            kept[1:] = kept[:-1].copy()
            kept[0] = np.nan

    def state(self) -> dict[str, Array]:
        """All that was learned, as arrays; infinite widths and NaN are among the numbers."""
        return {name: part.copy() for name, part in self.arrays().items()}

    def arrays(self) -> dict[str, Array]:
        """As :meth:`state`, not copied."""
        return {
            "alpha": self.alpha,
            "scores": self.scores,
            "oldest": self._oldest.astype(np.float64),
            "centers": self._centers,
            "widths": self._widths,
        }

    def over(self, arrays: Mapping[str, Array]) -> Self:
        """Goes on in arrays of :meth:`arrays`, unchecked, of which it changes all it can in place.

        Those of the same streams must be taken from :meth:`arrays` afterwards.
        """
        self.alpha, self.scores = arrays["alpha"], arrays["scores"]
        self._oldest = arrays["oldest"].astype(np.int64)
        self._centers, self._widths = arrays["centers"], arrays["widths"]
        return self

    def restore(self, state: Mapping[str, ArrayLike]) -> Self:
        """Goes on from a ``state`` of an object with the same settings.

        Raises:
            ValueError: an array is missing or does not fit the others.
        """
        names = ("alpha", "scores", "oldest", "centers", "widths")
        if missing := [name for name in names if name not in state]:
            raise ValueError(f"state: no {missing[0]!r}; it holds {sorted(state)}, needs {names}")
        alpha, scores, oldest, centers, widths = (
            np.array(state[name], dtype=np.float64) for name in names
        )
        shape, pending = alpha.shape, (*alpha.shape[-1:], *alpha.shape)
        expected = ((*shape, self.window), shape, pending, pending)
        found = (scores.shape, oldest.shape, centers.shape, widths.shape)
        if not shape or found != expected or not ((oldest >= 0) & (oldest < self.window)).all():
            raise ValueError(
                f"state: {dict(zip(names[1:], found, strict=True))} do not fit alpha of shape "
                f"{shape} and window={self.window}"
            )
        self.alpha, self.scores, self._oldest = alpha, scores, oldest.astype(np.int64)
        self._centers, self._widths = centers, widths
        return self

    def _remember(self, scores: Array) -> None:
        """Each in the place of the oldest one."""
        known = ~np.isnan(scores)
        oldest = self._oldest[known]
        self.scores[(*known.nonzero(), oldest)] = scores[known]
        self._oldest[known] = (oldest + 1) % self.window

    def _like_alpha(self, name: str, given: ArrayLike) -> Array:
        if not self.alpha.size:
            raise ValueError("AdaptiveConformal: no errors yet; call start(errors) first")
        values = np.asarray(given, dtype=np.float64)
        if values.shape != self.alpha.shape:
            raise ValueError(
                f"{name}: shape {values.shape}; expected {self.alpha.shape}, as the errors handed "
                "to start"
            )
        return values


def _around(center: Array, width: Array) -> Interval:
    """An empty interval, of a width of minus infinity, is shown as its center."""
    width = np.maximum(width, 0)
    return center - width, center + width
