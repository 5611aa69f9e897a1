"""The order of a file's weights: one walk through a net, for reading and for writing.

Every weight is a tensor as PyTorch shapes it, ``(out, in / groups, kernel)``, row by row::

    WaveNet    each stack: entry; each block: convolution, mixin, residual 1x1, skip 1x1, then what
               scales and shifts, in the order of PLACES; the stack's head.
               Then the output head, and the scale as the last number
    LSTM       each layer: [W_ih | W_hh], bias, first output, first memory; then the head
    ConvNet    each block: convolution, and mean, variance, weight, bias, epsilon of a batch norm
    Linear     the impulse response, the present sample's first, then the bias

Source: neural-amp-modeler, ``export_weights`` of each net; for Linear NeuralAmpModelerCore,
docs/linear.rst. (The trainer itself writes a Linear's taps the other way round, oldest first.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.layers import BatchNorm, Chain, Conv1d, SequenceModule
from tcn.models import NAMBlock, NAMStack, NAMWaveNet, StartedLSTM
from tcn.models.nam_block import PLACES


class Piece(NamedTuple):
    """Consecutive weights.

    Attributes:
        numbers: what they are now.
        fill: takes a tensor of the same shape; None for numbers that a net is built with.
    """

    numbers: Tensor
    fill: Callable[[Tensor], object] | None


def pieces(net: SequenceModule) -> Iterator[Piece]:
    """The weights of a net in the order of a file.

    Raises:
        TypeError: if it is a net that has no place in such a file.
    """
    if isinstance(net, NAMWaveNet):
        yield from _wavenet(net)
    elif isinstance(net, Conv1d):
        yield Piece(net.weight.flip(-1), lambda new: net.weight.copy_(new.flip(-1)))
        yield from _plain(net.bias)
    elif type(net) is Chain and len(net) == 2 and isinstance(net[0], StartedLSTM):
        yield from _lstm(net[0])
        yield from _convolution(net[1])
    elif type(net) is Chain:  # not one of the nets that are chains
        for part in net:
            yield from _norm(part) if isinstance(part, BatchNorm) else _convolution(part)
    else:
        raise TypeError(
            f"net: a {type(net).__name__} has no place in a .nam file; give a Capture of a "
            "NAMWaveNet, or one that load_nam returned"
        )


def _plain(*tensors: Tensor | None) -> Iterator[Piece]:
    for tensor in tensors:
        if tensor is not None:
            yield Piece(tensor, tensor.copy_)


def _convolution(module: nn.Module | None) -> Iterator[Piece]:
    """Weight and bias of a convolution; an activation has none in the list of weights."""
    if isinstance(module, Conv1d):
        yield from _plain(module.weight, module.bias)


def _norm(norm: BatchNorm) -> Iterator[Piece]:
    yield from _plain(norm.running_mean, norm.running_var, norm.weight, norm.bias)
    yield Piece(torch.tensor([norm.eps]), None)


def _lstm(net: StartedLSTM) -> Iterator[Piece]:
    recurrence = net.recurrence
    for layer, (by_input, by_hidden, bias, other) in enumerate(recurrence.all_weights):

        def split(new: Tensor, parts: tuple[Tensor, Tensor] = (by_input, by_hidden)) -> None:
            for part, columns in zip(parts, new.split([p.shape[1] for p in parts], 1), strict=True):
                part.copy_(columns)

        def share(new: Tensor, parts: tuple[Tensor, Tensor] = (bias, other)) -> None:
            parts[0].copy_(new)
            parts[1].zero_()

        yield Piece(torch.cat([by_input, by_hidden], 1), split)
        yield Piece(bias + other, share)
        yield from _plain(net.start_hidden[layer], net.start_cell[layer])


def _wavenet(net: NAMWaveNet) -> Iterator[Piece]:
    for stack in net.stacks:
        yield from _stack(stack)
    if net.head is not None:
        for part in net.head.children():
            yield from _convolution(part)
    yield Piece(torch.tensor([net.scale]), None)


def _stack(stack: NAMStack) -> Iterator[Piece]:
    yield from _convolution(stack.entry)
    for block in stack.blocks:
        yield from _block(block)
    yield from _convolution(stack.head)


def _block(block: NAMBlock) -> Iterator[Piece]:
    for part in (block.convolution, block.mixin, block.residual, block.skip):
        yield from _convolution(part)
    for place in PLACES:
        if place in block.films:
            yield from _convolution(block.films[place].projection)
