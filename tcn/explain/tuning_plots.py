"""Pictures of tuning to shapes: the best fitted units, and the shapes that drive them most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tcn.explain.curvature import POINTS, log_tuning, squashed
from tcn.explain.dissimilarity import Array
from tcn.explain.shapes import Shape
from tcn.explain.tuning import ShapeTuning
from tcn.extras import need
from tcn.figures import INK, SOFT, STYLE
from tcn.layers.validation import check_positive

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REACH = 1.15
"""Half the width of a drawn shape's field, in units of its radii."""


def plot_tuning(tuning: ShapeTuning, *, count: int = 5, shown: int = 8, title: str = "") -> Figure:
    """The units that the fit describes best: their tuning, and their strongest shapes.

    A row is a unit. At the left its tuning by direction and curvature, with a cross at what it
    prefers; then its strongest shapes, darker for a larger response. The outlines are colored by
    the fitted tuning at each point: yellow is the piece that drives the unit.

    Args:
        tuning: of :func:`tcn.explain.tune`.
        count: of units, at most.
        shown: shapes of each.
        title: above.

    Raises:
        ValueError: a number is less than 1.
        ImportError: matplotlib is missing.

    ::

        plot_tuning(tune(net, "features.3", size=64, scale=20)).savefig("tuning.png")
    """
    check_positive("count", [count])
    check_positive("shown", [shown])
    need("tcn.explain.plot_tuning", "explain", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    rows = tuning.best(count)
    shown = min(shown, len(tuning.shapes))
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        size = (2.9 + 0.95 * shown, 1.15 * len(rows) + 0.7)
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
        places = figure.subplots(
            len(rows), shown + 1, squeeze=False, width_ratios=[1.8] + [1] * shown
        )
        for (first, *others), place in zip(places, rows, strict=True):
            _draw_map(first, tuning, place, last=place == rows[-1])
            _draw_strongest(others, tuning, place)
    return figure


def _draw_map(axes: Any, tuning: ShapeTuning, place: int, *, last: bool) -> None:
    numbers = _numbers(tuning, place)
    angles, curvatures = np.linspace(0, 360, 121), np.linspace(-1, 1, 61)
    values = np.exp(log_tuning(numbers, np.radians(angles), curvatures[:, None]))
    axes.pcolormesh(angles, curvatures, values, cmap="viridis", vmin=0, vmax=1, rasterized=True)
    axes.plot(math.degrees(numbers[0]), numbers[2], "+", color=INK, markersize=7)
    axes.set(xlim=(0, 360), ylim=(-1, 1), xticks=[0, 180, 360], yticks=[-1, 0, 1])
    axes.set_yticklabels(["notch", "straight", "tip"])
    axes.set_title(f"unit {tuning.units[place]}, r = {tuning.fit.r[place]:.2f}", fontsize=9)
    axes.set_xticklabels(["0°", "180°", "360°"] if last else [])


def _draw_strongest(places: list[Any], tuning: ShapeTuning, unit: int) -> None:
    responses = tuning.responses[0][:, unit]
    low, high = responses.min(), responses.max()
    order = np.argsort(-responses, kind="stable")[: len(places)]
    for axes, number in zip(places, order, strict=True):
        strength = (responses[number] - low) / (high - low) if high > low else 0.0
        _draw_shape(axes, tuning.shapes[number], _numbers(tuning, unit), float(strength))
        axes.set_xlabel(f"{responses[number]:.3g}", color=SOFT, fontsize=8, labelpad=1)


def _draw_shape(axes: Any, shape: Shape, numbers: Array, strength: float) -> None:
    from matplotlib.collections import LineCollection

    angles = np.linspace(0, 2 * math.pi, 2 * POINTS + 1)
    points = shape.outline(angles)
    axes.fill(*points.T, color=str(0.92 - 0.6 * strength), linewidth=0)
    values = np.exp(log_tuning(numbers, angles, squashed(shape.curvature(angles))))
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    lines = LineCollection(list(pieces), cmap="viridis", linewidths=2.4, capstyle="round")
    lines.set_array((values[:-1] + values[1:]) / 2)
    lines.set_clim(0, 1)
    axes.add_collection(lines)
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


def _numbers(tuning: ShapeTuning, place: int) -> Array:
    """Angle, its width, curvature, its width."""
    return np.array([each[place] for each in tuning.fit[:4]])
