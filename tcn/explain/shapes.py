"""Silhouettes whose outline is known: curvature in every direction from the center."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tcn.explain.dissimilarity import Array
from tcn.extras import need
from tcn.layers.validation import check_positive

DIRECTIONS = 8
SHORT, LONG = 0.5, 1.0
FORMS = ("pointed", "notched")


class Shape:
    """A smooth closed outline around a center: its distance in each direction is a cubic spline.

    Angles are in radians, counterclockwise from the right. The unit of length is that of the
    radii; curvature is in its inverse, positive where the outline is convex, so a circle of radius
    ``r`` has ``1 / r`` everywhere.

    Attributes:
        radii: the distance of the outline from the center at equally spaced angles, the first to
            the right.
    """

    def __init__(self, radii: Sequence[float]) -> None:
        """Puts a periodic spline through the radii.

        Args:
            radii: three or more.

        Raises:
            ValueError: there are fewer, one is not positive, or the spline passes the center.

        ::

            Shape([2.0] * 8).curvature([0.0, 1.0])  # 0.5, 0.5: a circle
        """
        need("tcn.explain", "explain", "scipy")
        self.radii = tuple(float(each) for each in radii)
        if len(self.radii) < 3 or not all(math.isfinite(r) and r > 0 for r in self.radii):
            raise ValueError(f"radii: {self.radii}; give three or more positive numbers")
        if self.radius(np.linspace(0, 2 * math.pi, 360)).min() <= 0:
            raise ValueError(f"radii: {self.radii} vary so much that the outline passes the center")

    def __repr__(self) -> str:
        return f"Shape({self.radii})"

    def radius(self, angles: ArrayLike) -> Array:
        """The distance of the outline from the center in these directions."""
        found: Array = self._spline(np.asarray(angles, dtype=np.float64))
        return found

    def curvature(self, angles: ArrayLike) -> Array:
        """The curvature of the outline in these directions: exact, from the spline."""
        at = np.asarray(angles, dtype=np.float64)
        r, first, second = (self._spline(at, derivative) for derivative in range(3))
        found: Array = (r**2 + 2 * first**2 - r * second) / (r**2 + first**2) ** 1.5
        return found

    def outline(self, angles: ArrayLike) -> Array:
        """``(angles, 2)``: the points of the outline, to the right and up."""
        at = np.asarray(angles, dtype=np.float64)
        return self.radius(at)[..., None] * np.stack([np.cos(at), np.sin(at)], axis=-1)

    def turned(self, steps: int) -> Shape:
        """The same, turned counterclockwise by so many of the equal angles between radii."""
        count = steps % len(self.radii)
        return Shape(self.radii[-count:] + self.radii[:-count] if count else self.radii)

    def picture(
        self, size: int, *, scale: float, shift: tuple[float, float] = (0.0, 0.0)
    ) -> Tensor:
        """The filled shape: the part of each pixel that it covers, to first order.

        Args:
            size: of the picture, in pixels.
            scale: pixels per unit of the radii.
            shift: of the center from the middle of the picture, in pixels right and up.

        Returns:
            Float32 ``(size, size)``, 1 inside, 0 outside.

        Raises:
            ValueError: there are no pixels, or a shape of no size.

        ::

            Shape([1.0] * 8).picture(32, scale=10).sum()  # 100 pi, about
        """
        check_positive("size", [size])
        if not 0 < scale < math.inf:
            raise ValueError(f"scale: {scale}; give pixels above 0, such as {size / 3:.0f}")
        middle = (size - 1) / 2
        right = np.arange(size) - middle - shift[0]
        up = middle - np.arange(size)[:, None] - shift[1]
        angles = np.arctan2(up, right)
        radius, slope = self._spline(angles), self._spline(angles, 1)
        # Distance along the ray, times the cosine between the ray and the normal.
        inside = (radius * scale - np.hypot(up, right)) / np.sqrt(1 + (slope / radius) ** 2)
        return torch.from_numpy(np.clip(inside + 0.5, 0, 1)).float()

    @cached_property
    def _spline(self) -> Any:
        from scipy.interpolate import CubicSpline

        closed = [*self.radii, self.radii[0]]
        angles = np.linspace(0, 2 * math.pi, len(closed))
        return CubicSpline(angles, closed, bc_type="periodic")


def shape_set(forms: Sequence[str] = FORMS) -> list[Shape]:
    """A set of silhouettes for measuring tuning to curvature: 509 with both forms.

    In each of eight directions, 45 degrees apart, the outline is far from the center or near, in
    all combinations; so each shape is there in all its turns. What lies between two directions is
    near if one of them is (``"pointed"``: sharp tips, broad bays) or far if one is (``"notched"``:
    broad lobes, sharp notches). A circle comes once, of the larger radius.

    Args:
        forms: one or both.

    Raises:
        ValueError: a form is not known.

    Source: after the design of Pasupathy & Connor 2001, figure 1 (366 shapes of two to four
    convex and concave elements, in up to eight turns); the shapes themselves are others.

    ::

        len(shape_set(["pointed"]))  # 255
    """
    if unknown := [form for form in forms if form not in FORMS]:
        raise ValueError(f"forms: {unknown[0]!r} is not known; give some of {', '.join(FORMS)}")
    if not forms:
        raise ValueError(f"forms: none; give some of {', '.join(FORMS)}")
    found = [Shape([LONG] * (2 * DIRECTIONS))]
    for form in dict.fromkeys(forms):
        between = min if form == "pointed" else max
        for number in range(1, 2**DIRECTIONS - 1):
            at = [LONG if number >> i & 1 else SHORT for i in range(DIRECTIONS)]
            pairs = zip(at, [*at[1:], at[0]], strict=True)
            found.append(Shape([r for one, next_ in pairs for r in (one, between(one, next_))]))
    return found


def pictures_of(
    shapes: Sequence[Shape],
    size: int,
    *,
    scale: float,
    shift: tuple[float, float] = (0.0, 0.0),
    channels: int = 3,
    levels: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """Filled shapes as a batch of inputs for a net.

    Args:
        shapes: at least one.
        size: of the pictures, in pixels.
        scale: pixels per unit of the radii.
        shift: see :meth:`Shape.picture`.
        channels: all alike.
        levels: of what is around the shape, and of the shape.

    Returns:
        Float32 ``(shapes, channels, size, size)``.

    Raises:
        ValueError: there are no shapes, pixels or channels, or the shapes have no size.

    ::

        pictures_of(shape_set()[:4], 32, scale=12).shape  # (4, 3, 32, 32)
    """
    if not shapes:
        raise ValueError("shapes: none given; give at least one, such as shape_set()")
    check_positive("channels", [channels])
    filled = torch.stack([shape.picture(size, scale=scale, shift=shift) for shape in shapes])
    filled = levels[0] + (levels[1] - levels[0]) * filled
    return filled.unsqueeze(1).expand(-1, channels, -1, -1)
