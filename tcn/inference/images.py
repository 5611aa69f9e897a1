"""Images drawn pixel by pixel, with what the net remembers carried from row to row.

::

    rows above    v v v v v v     vertical stack: once a row, its state is the rows it needs
    this row      h h h . . .     horizontal stack: once a pixel, its state the pixels it needs

A pixel thus costs one evaluation of the net for one position; all others have been computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from tcn.inference.checks import in_training
from tcn.inference.sampling import generator_of
from tcn.layers import Context, State
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_positive, per_axis
from tcn.models import PixelCNN


def generate_images(
    net: PixelCNN,
    count: int,
    size: int | Sequence[int],
    *,
    condition: Tensor | None = None,
    given: Tensor | None = None,
    seed: SupportsIndex | torch.Generator | None = None,
) -> Tensor:
    """Draws images, or what is missing of images whose first rows are given.

    The result is that of the net evaluated anew for every value, under the same random numbers.

    Args:
        net: in evaluation mode.
        count: how many images.
        size: height and width, or one number for both.
        condition: what each image is conditioned on, if the net is: ``(count,)`` classes,
            ``(count, classes)`` weights of them, or one of each pixel, ``(count, classes, height,
            width)``.
        given: the first rows of every image, ``(count, in_channels, rows, width)``, such as the
            upper half; they are kept as they are. What follows given pixels of other places would
            not be drawn from the right distribution.
        seed: of the random numbers, or a generator of them; PyTorch's global ones if None.

    Returns:
        ``(count, in_channels, height, width)``: integers if the net's values are classes, otherwise
        floats.

    Raises:
        TypeError: naming the argument, if the net is another, or something else than the expected
            tensor or number is given.
        ValueError: if the net is in training mode, or an argument does not fit it; naming the
            argument and the cure.
    """
    net = _checked(net)
    check_positive("count", [count])
    sizes = per_axis("size", size, 2)
    check_positive("size", sizes)
    weight = net.head.raw.weight
    dtype = torch.int64 if net.output.support == "class" else weight.dtype
    images = weight.new_zeros((count, net.in_channels, *sizes), dtype=dtype)
    rows = 0
    if given is not None:
        _check_given(net, given, images)
        rows = given.shape[2]
        images[:, :, :rows] = given
    context = net.context_of(condition, images)
    _check_local(context, images)
    with torch.no_grad():
        _draw(net, images, rows, context, generator_of(seed))
    return images


def _draw(
    net: PixelCNN, images: Tensor, begin: int, context: Context, generator: torch.Generator
) -> None:
    """Draws the rows from ``begin`` on, in place."""
    states: list[State | None] = [None] * len(net.stacks)
    if begin:
        x = net.scaled(images[:, :, :begin])
        states = net.stacks.rows(x, states, _part(context, slice(begin)))[1]
    for row in range(begin, images.shape[2]):
        here = slice(row, row + 1)
        x, at, first = images[:, :, here], _part(context, here), states[0]
        told, states = net.stacks.rows(net.scaled(x), states, at)
        _draw_row(net, x, told, at, generator)
        # It has gone through the first layer unseen and before it was drawn: once more.
        states[0] = net.stacks.after_row(net.scaled(x), first, at)


def _draw_row(
    net: PixelCNN,
    row: Tensor,
    told: Sequence[Tensor],
    context: Context,
    generator: torch.Generator,
) -> None:
    """Draws a row ``(batch, colors, 1, width)`` in place, told by the vertical stack."""
    states: list[State | None] = [None] * len(net.stacks)
    for column in range(row.shape[3]):
        here = slice(column, column + 1)
        pixel, at, first = row[..., here], _part(context, slice(None), here), states[0]
        of_layers = [each[..., here] for each in told]
        features, states = net.stacks.pixel(net.scaled(pixel), of_layers, states, at)
        for color in range(net.in_channels):
            raw = net.per_value(net.head(features, net.scaled(pixel), at))[:, :, color]
            pixel[:, color] = net.output.sample(raw, 1, generator)[0].to(pixel.dtype)
        states[0] = net.stacks.after_pixel(net.scaled(pixel), first, at)


def _part(context: Context, rows: slice, columns: slice = slice(None)) -> Context:
    """The context of some of the pixels; its tensors lie as images do."""
    local = context.local_condition
    condition = context.condition if local is None else local[:, :, rows, columns]
    return context._replace(condition=condition, streaming=True)


def _checked(net: Any) -> PixelCNN:
    net = uncompiled(net)
    if not isinstance(net, PixelCNN):
        raise TypeError(
            f"net: {type(net).__name__} does not draw images; use a tcn.models.PixelCNN, and "
            "generate for nets over sequences"
        )
    if any(module.training for module in net.modules()):
        raise in_training(net)
    return net


def _check_given(net: PixelCNN, given: Tensor, images: Tensor) -> None:
    net.check_values("given", given)
    count, _, height, width = images.shape
    if len(given) != count or given.shape[3] != width or given.shape[2] > height:
        raise ValueError(
            f"given: shape {tuple(given.shape)} for {count} images of {height} x {width}; give the "
            f"first rows of each, ({count}, {net.in_channels}, rows up to {height}, {width})"
        )


def _check_local(context: Context, images: Tensor) -> None:
    local = context.local_condition
    if local is not None and local.shape[2:] != images.shape[2:]:
        raise ValueError(
            f"condition: shape {tuple(local.shape)} for images of {tuple(images.shape[2:])}; give "
            "one for each pixel, or (batch, classes) for all"
        )
