"""Inputs as they look: images, lines over time, and heat maps of many channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from tcn.figures import COLORS, FURTHER, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["image", "lines", "map"]

LINES = 6
"""Channels that are drawn as lines; more of them become a heat map."""
SAMPLED = 1_000_000
"""Numbers, about, of which limits are found."""
DIVERGING = "RdBu_r"
"""For numbers of both signs, white at zero."""


def kind_of(x: Tensor) -> Kind:
    """How an input without its batch axis is drawn.

    ``(1 or 3, height, width)`` is an image, ``(channels, time)`` lines or, of more than
    :data:`LINES` channels, a heat map; of images with other numbers of channels the mean is drawn.
    """
    if x.dim() == 3:
        return "image"
    return "lines" if len(x) <= LINES else "map"


def limits(inputs: Sequence[Tensor]) -> tuple[float, float]:
    """The range in which all of them are drawn; without the one in a thousand that lies outside."""
    # An even share of each: a quantile is taken of at most 2**24 numbers.
    share = -(-sum(x.numel() for x in inputs) // SAMPLED)
    values = torch.cat([x.detach().float().flatten()[:: max(share, 1)] for x in inputs])
    if not len(values):
        return 0.0, 1.0
    low, high = values.quantile(0.001).item(), values.quantile(0.999).item()
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def draw(axes: Axes, x: Tensor, *, within: tuple[float, float] | None = None) -> None:
    """Draws an input.

    Args:
        axes: where.
        x: ``(channels, height, width)`` or ``(channels, time)``.
        within: values of black and white, or of the axis; those of the input unless given.
    """
    x = x.detach().float().cpu()
    low, high = limits([x]) if within is None else within
    kind = kind_of(x)
    if kind == "image":
        axes.imshow(as_picture(x, low, high), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        bare(axes)
    elif kind == "map":
        axes.imshow(x, cmap="magma", vmin=low, vmax=high, origin="lower", aspect="auto",
                    interpolation="nearest")  # fmt: skip
        bare(axes)
    else:
        colors = [COLORS["TCN"], COLORS["LSTM"], COLORS["GRU"], *FURTHER]
        for channel, color in zip(x, colors, strict=False):
            axes.plot(channel, color=color, linewidth=0.8)
        pad = 0.05 * (high - low)
        axes.set(ylim=(low - pad, high + pad), xlim=(0, max(x.shape[-1] - 1, 1)))
        axes.grid(visible=False)


def draw_signed(axes: Axes, x: Tensor, *, largest: float | None = None) -> Any:
    """Draws numbers of both signs, such as attributions: red above zero, blue below.

    Args:
        axes: where.
        x: ``(channels, height, width)``, whose channels are added up, or ``(channels, time)``.
        largest: the number that has the deepest color.
    """
    x = x.detach().float().cpu()
    picture = x.sum(0) if x.dim() == 3 else x
    most = float(picture.abs().max()) if largest is None else largest
    drawn = axes.imshow(
        picture, cmap=DIVERGING, vmin=-(most or 1), vmax=most or 1, interpolation="nearest",
        aspect="equal" if x.dim() == 3 else "auto", origin="upper" if x.dim() == 3 else "lower",
    )  # fmt: skip
    bare(axes)
    return drawn


def as_picture(x: Tensor, low: float, high: float) -> Tensor:
    """``(height, width)`` or ``(height, width, 3)`` from 0 to 1."""
    picture = ((x - low) / (high - low)).clamp(0, 1)
    return picture.movedim(0, -1) if len(x) == 3 else picture.mean(0)


def bare(axes: Axes) -> None:
    """Takes ticks and grid away, and leaves a thin frame."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=SOFT, linewidth=0.4)
