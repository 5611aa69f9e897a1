"""A page of units: the strongest patches of each beside their projections, as one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tcn.explain.drawing import as_picture, bare, draw_signed, kind_of, limits
from tcn.extras import need
from tcn.figures import COLORS, FURTHER, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 1
"""Pixels between patches, in sixteenths of the width of one."""


class UnitPatches(NamedTuple):
    """What a unit answered to most.

    Attributes:
        unit: its number.
        values: its activations, the largest first.
        patches: ``(channels, *sizes)`` of the input at each.
        projections: of the activations back to the input, in the same places; none if not made.
        note: stands beside the number; the largest activation unless given.
    """

    unit: int
    values: Sequence[float]
    patches: Sequence[Tensor]
    projections: Sequence[Tensor] = ()
    note: str | None = None


def draw_units(units: Sequence[UnitPatches], *, columns: int = 4) -> Figure:
    """Draws units side by side, each with its patches and, if there are any, its projections.

    Images and heat maps are tiled, three in a row; series are drawn one above the other, the
    strongest on top.

    Args:
        units: at least one, of inputs of one kind.
        columns: units in a row of the figure.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: there is no unit.

    Source: Zeiler & Fergus 2014, figure 2.
    """
    need("tcn.explain.draw_units", "explain", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    if not units:
        raise ValueError("units: none given; give at least one")
    panels = 2 if any(unit.projections for unit in units) else 1
    columns = max(1, min(columns, len(units)))
    rows = math.ceil(len(units) / columns)
    shared = limits([patch for unit in units for patch in unit.patches])
    with matplotlib.rc_context(STYLE | {"axes.titlesize": 8}):
        width = 1.7 if panels == 2 else 2.2
        most = max(len(unit.patches) for unit in units)
        height = 2.0 if most > 3 or kind_of(units[0].patches[0]) == "lines" else 1.0
        figure = Figure(figsize=(columns * panels * width, rows * height), layout="constrained")
        grid = figure.subplots(rows, columns * panels, squeeze=False).flatten()
        for axes in grid:
            axes.axis("off")
        for index, unit in enumerate(units):
            axes = grid[index * panels]
            _draw_patches(axes, unit.patches, shared)
            note = f"{unit.values[0]:.3g}" if unit.note is None else unit.note
            axes.set_title(f"unit {unit.unit}   {note}")
            if panels == 2 and unit.projections:
                _draw_projections(grid[index * panels + 1], unit.projections)
    return figure


def _draw_patches(axes: Axes, patches: Sequence[Tensor], within: tuple[float, float]) -> None:
    axes.axis("on")
    kind = kind_of(patches[0])
    if kind == "lines":
        _stack(axes, patches, within[1] - within[0])
        return
    low, high = within
    if kind == "image":
        pictures = [as_picture(patch.float(), low, high) for patch in patches]
        axes.imshow(tile(pictures, 1.0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        pictures = [patch.float().flip(0) for patch in patches]
        axes.imshow(tile(pictures, math.nan), cmap="magma", vmin=low, vmax=high, aspect="auto",
                    interpolation="nearest")  # fmt: skip
    bare(axes)


def _draw_projections(axes: Axes, projections: Sequence[Tensor]) -> None:
    axes.axis("on")
    kind = kind_of(projections[0])
    # Each has its own scale: the first is often several times as strong as the last.
    scaled = [p.float() / (p.abs().max() or 1) for p in projections]
    if kind == "lines":
        _stack(axes, scaled, 2.0)
    elif kind == "image":
        pictures = [as_picture(p, -1, 1) for p in scaled]
        axes.imshow(tile(pictures, 1.0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        bare(axes)
    elif min(float(p.min()) for p in scaled) >= 0:  # of sound a spectrogram
        pictures = [p.flip(0) for p in scaled]
        axes.imshow(tile(pictures, math.nan), cmap="magma", vmin=0, vmax=1, aspect="auto",
                    interpolation="nearest")  # fmt: skip
        bare(axes)
    else:
        draw_signed(axes, torch.nan_to_num(tile([p.flip(0) for p in scaled], 0.0)).flip(0))
        axes.set_aspect("auto")


def _stack(axes: Axes, patches: Sequence[Tensor], height: float) -> None:
    """Series one above the other, aligned on the right, where the activation is."""
    colors = [COLORS["TCN"], COLORS["LSTM"], COLORS["GRU"], *FURTHER]
    for row, patch in enumerate(patches):
        steps = range(1 - patch.shape[-1], 1)
        for channel, color in zip(patch.float(), colors, strict=False):
            middle = channel.mean() if len(channel) else 0.0
            axes.plot(steps, (channel - middle) / (height or 1) - row, color=color, linewidth=0.6)
    bare(axes)
    axes.set_xmargin(0.01)


def tile(pictures: Sequence[Tensor], background: float, columns: int = 3) -> Tensor:
    """Pictures ``(height, width)`` or ``(height, width, 3)`` of any sizes as one, in rows."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    height, width = max(height, 1), max(width, 1)
    gap = max(1, GAP * width // 16)
    rows = math.ceil(len(pictures) / columns)
    whole = torch.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, *pictures[0].shape[2:]),
        background,
    )
    for index, picture in enumerate(pictures):
        top = index // columns * (height + gap)
        left = index % columns * (width + gap)
        whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return whole


def listed(numbers: Sequence[int]) -> str:
    """Numbers of units, as a caption names them: ``0 to 7``, or ``0, 3, 5``."""
    together = list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
    if together and len(numbers) > 2:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
