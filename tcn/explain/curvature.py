"""Tuning to a piece of outline: so curved, and in that direction from the center of the shape.

The response to a shape is the largest, over the points of its outline, of a Gaussian in curvature
times a von Mises function of the direction, times a gain, over a baseline. Curvature is squashed
to (-1, 1) first, so that all sharp tips are much alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tcn.explain.dissimilarity import Array
from tcn.explain.shapes import Shape
from tcn.extras import need
from tcn.layers.validation import check_positive

STEEPNESS = 0.3
"""Of the squashing: a circle has 0.15, a tip with a tenth of its radius 0.91."""
POINTS = 128
"""Of each outline, at equal angles; a multiple of 16, so that the tips of a shape set are met."""

ANGLES = np.linspace(0, 2 * math.pi, 16, endpoint=False)
ANGLE_WIDTHS = (0.3, 0.7, 1.5)
CURVATURES = np.linspace(-0.96, 0.96, 17)
CURVATURE_WIDTHS = (0.1, 0.25, 0.6)

LOWEST = np.array([-np.inf, math.log(0.1), -1.0, math.log(0.02), 0.0, -np.inf])
HIGHEST = np.array([np.inf, math.log(6.0), 1.0, math.log(3.0), np.inf, np.inf])
"""Limits of angle, logarithm of its width, curvature, logarithm of its width, gain, baseline."""


class CurvatureTuning(NamedTuple):
    """Parameters of the tuning of units to curvature and angular position, ``(units,)`` each.

    All are NaN of a unit that answers all shapes alike.

    Attributes:
        angle: preferred direction from the center, radians in [0, 2 pi).
        angle_width: radians; the concentration of the von Mises function is its inverse square.
        curvature: preferred, squashed: -1 is a sharp notch, 0 straight, 1 a sharp tip.
        curvature_width: standard deviation of the Gaussian in squashed curvature.
        gain: of the response, at least 0.
        baseline: response to a shape that has no such piece.
        r: Pearson's correlation of the responses with those of the fit.
    """

    angle: Array
    angle_width: Array
    curvature: Array
    curvature_width: Array
    gain: Array
    baseline: Array
    r: Array


def squashed(curvature: ArrayLike) -> Array:
    """Curvature, in inverse units of the radii, as a number in (-1, 1).

    Source: Pasupathy & Connor 2001, methods: ``2 / (1 + exp(-a c)) - 1``; ``a`` is ours, as it
    depends on the unit of length.

    ::

        squashed([-100.0, 0.0, 100.0])  # -1, 0, 1, about
    """
    found: Array = np.tanh(STEEPNESS / 2 * np.asarray(curvature, dtype=np.float64))
    return found


def log_tuning(tuning: Sequence[float] | Array, angles: ArrayLike, curvatures: ArrayLike) -> Array:
    """The logarithm of a tuning at pieces of outline; 0 is the preferred one.

    Args:
        tuning: angle, its width, curvature, its width, as in :class:`CurvatureTuning`.
        angles: radians.
        curvatures: squashed; both are broadcast.

    ::

        log_tuning([0.0, 0.5, 0.9, 0.2], [0.0, 0.5], [0.9, 0.9])  # 0, -0.49
    """
    angle, width, curvature, spread = tuning
    direction = (np.cos(np.asarray(angles) - angle) - 1) / width**2
    found: Array = direction - (np.asarray(curvatures) - curvature) ** 2 / (2 * spread**2)
    return found


def curvature_responses(shapes: Sequence[Shape], tuning: CurvatureTuning) -> Array:
    """What units with a known tuning answer to shapes: ``(shapes, units)``.

    Raises:
        ValueError: there are no shapes.

    ::

        tuning = CurvatureTuning(*np.array([[0.0], [0.5], [0.9], [0.2], [2.0], [1.0], [1.0]]))
        curvature_responses(shape_set(), tuning).max()  # near 3: a sharp tip at the right
    """
    outlines = _Outlines(shapes)
    columns = [
        gain * np.exp(outlines.exponent(numbers).max(1)) + baseline
        for *numbers, gain, baseline, _ in zip(*map(np.atleast_1d, tuning), strict=True)
    ]
    return np.stack(columns, axis=1)


def fit_curvature(
    shapes: Sequence[Shape], responses: ArrayLike, *, starts: int = 6
) -> CurvatureTuning:
    """Fits the tuning of each unit to curvature and angular position, by least squares.

    The search starts from the best of a grid of 2448 tunings, no two from the same preferred
    direction and curvature.

    Args:
        shapes: that were shown.
        responses: ``(shapes, units)``.
        starts: searches of each unit, of which the best counts; about 15 ms each for 509 shapes.
            Of noiseless units these six found every one with all shapes of a shape set, and 19 of
            20 with those of one form.

    Raises:
        ValueError: responses are not finite, or of other shapes.

    Source: Pasupathy & Connor 2001; Pospisil, Pasupathy & Bair 2018, methods (angular position and
    curvature model). Theirs has no baseline, as it maximizes the correlation.

    ::

        shapes = shape_set(["pointed"])
        tuning = CurvatureTuning(*np.array([[0.8], [0.5], [0.9], [0.2], [2.0], [1.0], [1.0]]))
        fit_curvature(shapes, curvature_responses(shapes, tuning)).angle  # 0.8, about
    """
    need("tcn.explain", "explain", "scipy")
    check_positive("starts", [starts])
    given = np.asarray(responses, dtype=np.float64)
    if given.ndim != 2 or len(given) != len(shapes) or len(given) < 7:
        raise ValueError(
            f"responses: shape {given.shape} for {len(shapes)} shapes; give (shapes, units) of at "
            "least seven shapes"
        )
    if not np.isfinite(given).all():
        raise ValueError("responses: hold NaN or infinity; check the net and its inputs")
    outlines = _Outlines(shapes)
    grid, tunings = outlines.grid()
    fits = [_fit_one(outlines, unit, grid, tunings, starts) for unit in given.T]
    return CurvatureTuning(*np.array(fits).reshape(-1, 7).T)


class _Outlines:
    """Squashed curvature at the points of many outlines, ``(shapes, points)``."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        if not shapes:
            raise ValueError("shapes: none given; give at least one, such as shape_set()")
        self.angles = np.linspace(0, 2 * math.pi, POINTS, endpoint=False)
        self.curvatures = squashed([shape.curvature(self.angles) for shape in shapes])

    def exponent(self, tuning: Sequence[float] | Array) -> Array:
        """:func:`log_tuning` at each point, ``(shapes, points)``."""
        return log_tuning(tuning, self.angles, self.curvatures)

    def grid(self) -> tuple[Array, Array]:
        """Standardized responses, ``(cells, widths, shapes)``, and tunings, 4 numbers each.

        A cell is a preferred direction and curvature.
        """
        tunings = np.array([[[angle, width, curvature, spread]
                             for width in ANGLE_WIDTHS for spread in CURVATURE_WIDTHS]
                            for angle in ANGLES for curvature in CURVATURES])  # fmt: skip
        flat = tunings.reshape(-1, 4)
        values = np.stack([np.exp(self.exponent(each).max(1)) for each in flat])
        values -= values.mean(1, keepdims=True)
        spread = np.linalg.norm(values, axis=1, keepdims=True)
        values = np.divide(values, spread, out=np.zeros_like(values), where=spread > 0)
        return values.reshape(*tunings.shape[:2], -1), tunings

    def response(self, numbers: Array) -> Array:
        """``(shapes,)`` of the six numbers of the search."""
        return self._best(numbers)[0] * numbers[4] + numbers[5]

    def slopes(self, numbers: Array) -> Array:
        """``(shapes, 6)``: of the response, by the point where it is largest."""
        angle, log_width, curvature, log_spread, gain, _ = numbers
        value, at, curved = self._best(numbers)
        sharp, spread = math.exp(-2 * log_width), math.exp(log_spread)
        away, off = self.angles[at] - angle, (curved - curvature) / spread
        by_tuning = [
            sharp * np.sin(away), 2 * sharp * (1 - np.cos(away)), off / spread, off**2,
        ]  # fmt: skip
        columns = [gain * value * each for each in by_tuning]
        return np.stack([*columns, value, np.ones_like(value)], axis=1)

    def _best(self, numbers: Array) -> tuple[Array, Array, Array]:
        angle, log_width, curvature, log_spread = numbers[:4]
        tuning = (angle, math.exp(log_width), curvature, math.exp(log_spread))
        exponent = self.exponent(tuning)
        at = exponent.argmax(1)
        rows = np.arange(len(at))
        return np.exp(exponent[rows, at]), at, self.curvatures[rows, at]


def _fit_one(
    outlines: _Outlines, responses: Array, grid: Array, tunings: Array, starts: int
) -> list[float]:
    from scipy.optimize import least_squares

    middle, spread = responses.mean(), responses.std()
    if spread <= 1e-12 * max(1.0, abs(middle)):
        return [math.nan] * 7
    wanted = (responses - middle) / spread
    best: Any = None
    for begin in _beginnings(outlines, wanted, grid, tunings, starts):
        found = least_squares(
            lambda numbers: outlines.response(numbers) - wanted, begin, jac=outlines.slopes,
            bounds=(LOWEST, HIGHEST), x_scale=np.array([0.3, 0.3, 0.2, 0.3, 1.0, 1.0]), max_nfev=60,
        )  # fmt: skip
        best = found if best is None or found.cost < best.cost else best
    angle, log_width, curvature, log_spread, gain, baseline = best.x
    fitted = outlines.response(best.x)
    r = np.corrcoef(fitted, wanted)[0, 1] if fitted.std() > 0 else 0.0
    return [
        angle % (2 * math.pi), math.exp(log_width), curvature, math.exp(log_spread), gain * spread,
        baseline * spread + middle, float(r),
    ]  # fmt: skip


def _beginnings(
    outlines: _Outlines, wanted: Array, grid: Array, tunings: Array, starts: int
) -> list[Array]:
    """The six numbers of the best tunings of the grid, one of a cell."""
    r = grid @ wanted  # (cells, widths)
    widths = r.argmax(1)
    found = []
    for cell in np.argsort(-r.max(1), kind="stable")[:starts]:
        angle, width, curvature, spread = tunings[cell, widths[cell]]
        tuning = np.array([angle, math.log(width), curvature, math.log(spread), 1.0, 0.0])
        value = outlines.response(tuning)
        gain = max(1e-3, float(wanted @ (value - value.mean()) / max(1e-9, value.var())
                               / len(value)))  # fmt: skip
        tuning[4:] = gain, -gain * value.mean()
        found.append(tuning)
    return found
