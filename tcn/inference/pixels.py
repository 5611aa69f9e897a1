"""What evaluates a PixelCNN pixel after pixel: the native program, or the layers in PyTorch."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from tcn.inference.compile_pixels import compile_pixels, conditions
from tcn.layers import Context, State
from tcn.models import PixelCNN
from tcn.native.program import StreamProgram


class Pixels(Protocol):
    """The pixels of a row one after the other, for images side by side."""

    def begin(self, told: list[Tensor], context: Context) -> None:
        """Begins a row.

        Args:
            told: by the vertical stack, ``(batch, 2 * features, 1, width)`` per layer.
            context: of its pixels.
        """

    def advance(self, before: Tensor) -> None:
        """Goes on to the next pixel.

        Args:
            before: the values of the pixel before it, scaled, ``(batch, colors)``; zeros if there
                is none.
        """

    def raw(self, color: int, earlier: Tensor) -> Tensor:
        """The raw numbers of one color of the present pixel, ``(batch, size)``.

        Args:
            color: its number.
            earlier: the colors before it, scaled, ``(batch, color)``.
        """


def pixels_of(net: PixelCNN, count: int, native: bool | None) -> Pixels:
    """The native program where it can be, otherwise the layers.

    Args:
        net: in evaluation mode.
        count: images side by side.
        native: whether the native library does the work; None for wherever it can.

    Raises:
        ValueError: if ``native`` is True and cannot be.
    """
    program = None if native is False else compile_pixels(net)
    if program is not None:
        return NativePixels(net, program, count)
    if native:
        raise ValueError(
            f"native: True, but {type(net).__name__} cannot run natively (the log says why); with "
            "native=None PyTorch serves then"
        )
    return TorchPixels(net)


class NativePixels:
    """One native call a pixel."""

    def __init__(self, net: PixelCNN, program: StreamProgram, count: int) -> None:
        self._net = net
        self._rows = program.rows(count)

    def begin(self, told: list[Tensor], context: Context) -> None:
        """See :class:`Pixels`."""
        self._rows.reset()
        self._conditions = iter(conditions(self._net, told, context))

    def advance(self, before: Tensor) -> None:
        """See :class:`Pixels`."""
        self._y = self._rows.push(before.unsqueeze(2), None, next(self._conditions))[..., 0]

    def raw(self, color: int, earlier: Tensor) -> Tensor:
        """See :class:`Pixels`."""
        head = self._net.head
        return self._y if head.colors == 1 else head.raw_of(color, self._y, earlier)


class TorchPixels:
    """A call of every layer a pixel."""

    def __init__(self, net: PixelCNN) -> None:
        self._net = net

    def begin(self, told: list[Tensor], context: Context) -> None:
        """See :class:`Pixels`."""
        self._told, self._context, self._column = told, context, 0
        self._states: list[State | None] = [None] * len(told)

    def advance(self, before: Tensor) -> None:
        """See :class:`Pixels`."""
        stacks, here = self._net.stacks, slice(self._column, self._column + 1)
        at = part_of(self._context, slice(None), here)
        if self._column:
            self._states[0] = stacks.with_pixel(before[..., None, None], self._states[0])
        told = [each[..., here] for each in self._told]
        unseen = torch.zeros_like(before)[..., None, None]
        features, self._states = stacks.pixel(unseen, told, self._states, at)
        self._hidden = self._net.head.hidden_of(features, at).flatten(1)
        self._column += 1

    def raw(self, color: int, earlier: Tensor) -> Tensor:
        """See :class:`Pixels`."""
        return self._net.head.raw_of(color, self._hidden, earlier)


def part_of(context: Context, rows: slice, columns: slice = slice(None)) -> Context:
    """The context of some of the pixels; its tensors lie as images do."""
    local = context.local_condition
    condition = context.condition if local is None else local[:, :, rows, columns]
    return context._replace(condition=condition, streaming=True)
