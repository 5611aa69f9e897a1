"""Images drawn pixel by pixel, with what the net remembers carried from row to row.

::

    rows above    v v v v v v     vertical stack: once a row, its state is the rows it needs
    this row      h h h . . .     horizontal stack: once a pixel, its state the pixels it needs

A pixel thus costs one evaluation of the net for one position; all others have been computed. Of a
float32 net on the CPU it is one native call (:mod:`tcn.inference.pixels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from tcn.inference.checks import in_training
from tcn.inference.pixels import Pixels, part_of, pixels_of
from tcn.inference.sampling import generator_of
from tcn.layers import Context, State
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_positive, check_switch, per_axis
from tcn.models import PixelCNN


def generate_images(
    net: PixelCNN,
    count: int,
    size: int | Sequence[int],
    *,
    condition: Tensor | None = None,
    given: Tensor | None = None,
    seed: SupportsIndex | torch.Generator | None = None,
    native: bool | None = None,
) -> Tensor:
    """Draws images, or what is missing of images whose first rows are given.

    The result is that of the net evaluated anew for every value, under the same random numbers, in
    a small part of the time. The weights are those that the net has when it is called.

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
        native: whether the native library evaluates the horizontal stack; None for wherever it can.

    Returns:
        ``(count, in_channels, height, width)``: integers if the net's values are classes, otherwise
        floats.

    Raises:
        TypeError: naming the argument, if the net is another, or something else than the expected
            tensor or number is given.
        ValueError: if the net is in training mode, an argument does not fit it or is not finite, or
            ``native`` is True and cannot be; naming the argument and the cure.
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
    _check_condition(context, images)
    generator = generator_of(seed)
    if native is not None:
        check_switch(native=native)
    with torch.no_grad():
        _draw(net, images, rows, context, generator, pixels_of(net, count, native))
    return images


def _draw(
    net: PixelCNN,
    images: Tensor,
    begin: int,
    context: Context,
    generator: torch.Generator,
    pixels: Pixels,
) -> None:
    """Draws the rows from ``begin`` on, in place."""
    states: list[State | None] = [None] * len(net.stacks)
    if begin:
        x = net.scaled(images[:, :, :begin])
        states = net.stacks.rows(x, states, part_of(context, slice(begin)))[1]
    for row in range(begin, images.shape[2]):
        here = slice(row, row + 1)
        x, at = images[:, :, here], part_of(context, here)
        told, states = net.stacks.rows(net.scaled(x), states, at)
        pixels.begin(told, at)
        _draw_row(net, x[:, :, 0], generator, pixels)
        # The first layer must not have seen it before it was drawn.
        states[0] = net.stacks.with_row(net.scaled(x), states[0])


def _draw_row(net: PixelCNN, row: Tensor, generator: torch.Generator, pixels: Pixels) -> None:
    """Draws a row ``(batch, colors, width)`` in place."""
    scaled = torch.zeros_like(row[..., 0], dtype=net.head.raw.weight.dtype)
    for column in range(row.shape[2]):
        pixels.advance(scaled)
        pixel = row[..., column]
        for color in range(net.in_channels):
            raw = pixels.raw(color, scaled[:, :color])
            pixel[:, color] = net.output.sample(raw, 1, generator)[0]
            scaled = net.scaled(pixel)


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


def _check_condition(context: Context, images: Tensor) -> None:
    if context.condition is not None and not context.condition.isfinite().all():
        raise ValueError(
            "condition: weights that are not finite, of which no value can be drawn; replace them, "
            "such as by condition.nan_to_num(0.0, 0.0, 0.0)"
        )
    local = context.local_condition
    if local is not None and local.shape[2:] != images.shape[2:]:
        raise ValueError(
            f"condition: shape {tuple(local.shape)} for images of {tuple(images.shape[2:])}; give "
            "one for each pixel, or (batch, classes) for all"
        )
