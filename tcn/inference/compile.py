"""Translates a net into the native program of :mod:`tcn.native.stream`, where every layer is known.

Each kind of layer has a translator (:mod:`tcn.inference.translation`). A layer without one, or a
net that cannot run natively, is declined with one line in the log, and PyTorch serves instead.
"""

from __future__ import annotations

import functools
import logging

import torch
from torch import nn

from tcn.inference.compile_captures import CAPTURES
from tcn.inference.compile_layers import LAYERS
from tcn.inference.translation import TRANSLATORS, Declined, Misfit, translate
from tcn.layers import SequenceModule
from tcn.models import SequenceModel
from tcn.native.library import library
from tcn.native.operations import Value
from tcn.native.program import StreamProgram
from tcn.native.rows import StreamRows
from tcn.native.stream import Builder

__all__ = ["StreamProgram", "StreamRows", "compile_stream"]

logger = logging.getLogger(__name__)

TRANSLATORS |= LAYERS | CAPTURES


def compile_stream(net: SequenceModule) -> StreamProgram | None:
    """The native program of a causal net, or None; the log then says why.

    The weights are those of the moment; a net that is trained on has to be compiled again.

    Args:
        net: a net in evaluation mode, float32, on the CPU, built of the layers of this library.

    Returns:
        A program whose rows compute what ``net.step`` does, to float32 rounding, and whose states
        are those of ``net.step``.

    Raises:
        MemoryError: if there is no memory for the packed weights.
        ValueError: if a parameter has another size than its layer reads, or a layer would remember
            more steps than any memory holds; the message names the layer.
    """
    try:
        _check(net)
        builder = Builder()
        x = begin(builder, net)
        y, states = translate(builder, net, x)
        return builder.build(y, states)
    except Declined as reason:
        log_once(str(reason))
        return None
    except Misfit as misfit:
        names = (name for name, module in net.named_modules() if module is misfit.module)
        place = ".".join(filter(None, (type(net).__name__, next(names, ""))))
        raise ValueError(f"net: {place}: {misfit}; load weights that fit, or build it anew") from (
            misfit
        )


@functools.cache
def log_once(reason: str) -> None:
    """Says why PyTorch serves, once for each reason."""
    logger.info("native stream: %s; PyTorch serves instead", reason)


def _check(net: SequenceModule) -> None:
    """Declines nets that no layer would refuse."""
    check_mode(net)
    if net.ndim != 1:
        raise Declined(f"{type(net).__name__} has {net.ndim} axes")
    if obstacles := net.streaming_obstacles():
        raise Declined(f"{type(net).__name__} does not stream: {obstacles[0]}")
    if getattr(net, "latency", 0):
        raise Declined(f"{type(net).__name__} looks ahead")


def check_mode(net: SequenceModule) -> None:
    """Declines a net of whatever layers for its mode, the type of its weights or where they are."""
    if library() is None:
        raise Declined("no native library")
    if any(module.training for module in net.modules()):
        raise Declined(f"{type(net).__name__} is in training mode (call eval())")
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise Declined(f"{name} is {tensor.dtype}")
        if tensor.device.type != "cpu":
            raise Declined(f"{name} is on {tensor.device}")


def begin(builder: Builder, net: SequenceModule) -> Value:
    """The input of a net, or the lines of its table that tokens name."""
    if isinstance(net, SequenceModel) and net.embedding is not None:
        return builder.embed(net.embedding.weight)
    return builder.input(in_channels_of(net))


def in_channels_of(module: nn.Module) -> int:
    """Channels that a module takes, as it or the first layer inside it says."""
    for layer in module.modules():
        for name in ("in_channels", "channels", "num_features"):
            if isinstance(count := getattr(layer, name, None), int):
                return count
    raise Declined(f"{type(module).__name__} does not say how many channels it takes")
