"""Translates a net into the native program of :mod:`tcn.native.stream`, where every layer is known.

Each kind of layer has one function here that says, operation by operation, what the layer computes
in evaluation mode and what it remembers between chunks. A layer without one, or a net that cannot
run natively, is declined with one line in the log, and PyTorch serves instead.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tcn.layers import (
    Add,
    AddCondition,
    BatchNorm,
    Chain,
    ChannelNorm,
    Conv1d,
    CumulativeNorm,
    Dropout,
    Every,
    FiLM,
    Gate,
    Last,
    RMSNorm,
    SequenceModule,
    SkipSum,
    SqueezeExcite,
)
from tcn.layers import blocks as library_blocks
from tcn.layers.normalization import EPSILON
from tcn.models import GRU, LSTM, RNN, SequenceModel
from tcn.native.library import library
from tcn.native.operations import Activation, Value, check_size
from tcn.native.program import StreamProgram
from tcn.native.rows import StreamRows
from tcn.native.stream import Builder

__all__ = ["StreamProgram", "StreamRows", "compile_stream"]

logger = logging.getLogger(__name__)

States = Any
"""The form of a state: nested tuples of :class:`tcn.native.rows.Slot`."""

Translator = Callable[[Builder, Any, Value], tuple[Value, States]]
"""Writes down what a layer does to a value; returns its output and the form of its state."""


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


class Declined(Exception):  # noqa: N818 (not an error: PyTorch serves)
    """Why a net does not run natively."""


class Misfit(Exception):  # noqa: N818 (compile_stream makes a ValueError of it)
    """A layer whose parameters do not fit it."""

    def __init__(self, module: nn.Module, reason: str) -> None:
        super().__init__(reason)
        self.module = module


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
    return builder.input(_in_channels(net))


def _in_channels(module: nn.Module) -> int:
    """Channels that a module takes, as it or the first layer inside it says."""
    for layer in module.modules():
        for name in ("in_channels", "channels", "num_features"):
            if isinstance(count := getattr(layer, name, None), int):
                return count
    raise Declined(f"{type(module).__name__} does not say how many channels it takes")


def translate(builder: Builder, module: nn.Module, x: Value) -> tuple[Value, States]:
    """Writes down what a module does to a value; returns its output and the form of its state.

    Raises:
        Declined: if the module has no native form.
        Misfit: if its parameters do not fit it.
    """
    activation = _activation(module)
    if activation is not None:
        return builder.activate(x, activation.function, *activation.parameters), ()
    for kind in type(module).__mro__:
        if kind in _TRANSLATORS and behaves_as(module, kind):
            try:
                return _TRANSLATORS[kind](builder, module, x)
            except ValueError as error:
                raise Misfit(module, str(error)) from error
    raise Declined(f"{type(module).__name__} has no native form")


def behaves_as(module: nn.Module, kind: type) -> bool:
    """Whether a layer's class computes what ``kind`` does, of which it may be a subclass."""
    methods = ("advance", "forward", "modulate", "_read", "apply_head")
    return all(getattr(type(module), name, None) is getattr(kind, name, None) for name in methods)


# ------------------------------------------------------------------------ containers


def _chain(builder: Builder, chain: Chain, x: Value) -> tuple[Value, States]:
    states = []
    for module in chain:
        x, state = translate(builder, module, x)
        states.append(state)
    return x, tuple(states)


def _add(builder: Builder, add: Add, x: Value) -> tuple[Value, States]:
    builder.share(x)
    total, states = None, []
    for module in add:
        y, state = translate(builder, module, x)
        total = y if total is None else _sum(builder, total, y)
        states.append(state)
    assert total is not None
    return total, tuple(states)


def _sum(builder: Builder, a: Value, b: Value) -> Value:
    if a.channels != b.channels:  # PyTorch knows what one channel plus several is
        raise Declined(f"a sum of {a.channels} and {b.channels} channels has no native form")
    return builder.add(a, b)


def _skip_sum(builder: Builder, skip_sum: SkipSum, x: Value) -> tuple[Value, States]:
    total, states = None, []
    for block in skip_sum.blocks:
        builder.share(x)
        hidden, state = translate(builder, block.body, x)
        builder.share(hidden)
        skip = translate(builder, block.skip, hidden)[0]
        total = skip if total is None else _sum(builder, total, skip)
        states.append(state)
        if block is not skip_sum.blocks[-1]:  # whose residual output nobody reads
            shortcut = translate(builder, block.shortcut, x)[0]
            x = _sum(builder, shortcut, translate(builder, block.residual, hidden)[0])
    assert total is not None
    return total, tuple(states)


def _sequence_model(builder: Builder, net: SequenceModel, x: Value) -> tuple[Value, States]:
    y, past = translate(builder, net.backbone, x)
    y, read = translate(builder, net.readout, y)
    if not isinstance(net.head, nn.Linear):  # the output has a last layer of its own
        return y, (past, read)
    return builder.linear(y, net.head.weight, net.head.bias), (past, read)


def _every(builder: Builder, readout: Every, x: Value) -> tuple[Value, States]:
    return x, ()


def _last(builder: Builder, readout: Last, x: Value) -> tuple[Value, States]:
    """Every step goes on to the head: which of them is the last, only the caller knows."""
    return x, builder.remember(x)


# ---------------------------------------------------------------------------- layers


def _convolution(builder: Builder, layer: Conv1d, x: Value) -> tuple[Value, States]:
    if layer.stride != (1,):
        raise Declined(f"a convolution with stride={layer.stride[0]} has no native form")
    if x.channels != layer.in_channels:
        raise Declined(f"a convolution of {layer.in_channels} channels is given {x.channels}")
    sizes = (layer.out_channels, layer.in_channels // layer.groups, layer.kernel_size[0])
    check_size("weight", layer.weight, *sizes)
    return builder.convolve(
        x,
        layer.weight,
        layer.bias,
        dilation=layer.dilation[0],
        shift=layer.shift[0],
        groups=layer.groups,
    )


def _dropout(builder: Builder, layer: Dropout, x: Value) -> tuple[Value, States]:
    return x, ()


def _gate(builder: Builder, gate: Gate, x: Value) -> tuple[Value, States]:
    activation = _activation(gate.activation)
    if activation is None:
        raise Declined(f"a gate with {type(gate.activation).__name__} has no native form")
    return builder.gate(x, activation.function, *activation.parameters), ()


def _channel_norm(builder: Builder, norm: ChannelNorm, x: Value) -> tuple[Value, States]:
    return builder.layer_norm(x, norm.weight, norm.bias, EPSILON), ()


def _rms_norm(builder: Builder, norm: RMSNorm, x: Value) -> tuple[Value, States]:
    return builder.rms_norm(x, norm.weight, EPSILON), ()


def _cumulative_norm(builder: Builder, norm: CumulativeNorm, x: Value) -> tuple[Value, States]:
    return builder.cumulative_norm(x, norm.weight, norm.bias, EPSILON)


def _batch_norm(builder: Builder, norm: BatchNorm, x: Value) -> tuple[Value, States]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    for name in ("weight", "bias", "running_mean", "running_var"):
        check_size(name, getattr(norm, name), x.channels)  # PyTorch might broadcast others
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return builder.scale(x, scale, norm.bias - norm.running_mean * scale), ()


def _film(builder: Builder, film: FiLM, x: Value) -> tuple[Value, States]:
    return builder.modulate(x, _projected(builder, film)), ()


def _add_condition(builder: Builder, layer: AddCondition, x: Value) -> tuple[Value, States]:
    return builder.add(x, _projected(builder, layer)), ()


def _projected(builder: Builder, layer: FiLM | AddCondition) -> Value:
    condition = builder.condition(layer.condition_channels)
    return builder.linear(condition, layer.projection.weight, layer.projection.bias)


def _recurrent(builder: Builder, net: LSTM | GRU | RNN, x: Value) -> tuple[Value, States]:
    if not builder.recurrence:
        raise Declined(f"{type(net).__name__} has no native form")
    cell = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn"}[net.recurrence.mode]
    for weight, recurrent_weight, bias, recurrent_bias in net.recurrence.all_weights:
        x = builder.linear(x, weight, bias)
        x = builder.recur(cell, x, recurrent_weight, recurrent_bias)
    return x, ()


def _squeeze_excite(builder: Builder, layer: SqueezeExcite, x: Value) -> tuple[Value, States]:
    mean, state = builder.running_mean(builder.share(x))
    squeezed = builder.linear(mean, layer.squeeze.weight, layer.squeeze.bias)
    squeezed = builder.activate(squeezed, "relu")
    weights = builder.linear(squeezed, layer.excite.weight, layer.excite.bias)
    return builder.multiply(x, builder.activate(weights, "sigmoid")), state


_TRANSLATORS: dict[type, Translator] = {
    Chain: _chain,
    Add: _add,
    SkipSum: _skip_sum,
    SequenceModel: _sequence_model,
    Every: _every,
    Last: _last,
    Conv1d: _convolution,
    Dropout: _dropout,
    Gate: _gate,
    ChannelNorm: _channel_norm,
    RMSNorm: _rms_norm,
    CumulativeNorm: _cumulative_norm,
    BatchNorm: _batch_norm,
    FiLM: _film,
    AddCondition: _add_condition,
    SqueezeExcite: _squeeze_excite,
    LSTM: _recurrent,
    GRU: _recurrent,
    RNN: _recurrent,
    # The library's own blocks may take short cuts in PyTorch; what they compute is the chain.
    **{
        block: _chain
        for block in vars(library_blocks).values()
        if isinstance(block, type) and issubclass(block, Chain)
    },
}


# ----------------------------------------------------------------------- activations


_SELU = (1.0507009873554805, 1.6732632423543772, 1.0)

_ACTIVATIONS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    nn.Identity: lambda module: ("identity",),
    nn.ReLU: lambda module: ("relu",),
    nn.LeakyReLU: lambda module: ("leaky_relu", module.negative_slope),
    nn.ELU: lambda module: ("elu", 1.0, module.alpha, 1.0),
    nn.CELU: lambda module: ("elu", 1.0, module.alpha, 1.0 / module.alpha),
    nn.SELU: lambda module: ("elu", *_SELU),
    nn.SiLU: lambda module: ("silu",),
    nn.Mish: lambda module: ("mish",),
    nn.Tanh: lambda module: ("tanh",),
    nn.Sigmoid: lambda module: ("sigmoid",),
    nn.Softsign: lambda module: ("softsign",),
    nn.Hardtanh: lambda module: ("clamp", module.min_val, module.max_val),
    nn.ReLU6: lambda module: ("clamp", 0.0, 6.0),
    nn.Hardsigmoid: lambda module: ("hard_sigmoid",),
    nn.Hardswish: lambda module: ("hard_swish",),
}


def _activation(module: nn.Module) -> Activation | None:
    """The native form of a pointwise module of PyTorch; None if it has none."""
    if type(module) is nn.GELU and module.approximate == "none":
        return Activation("gelu")
    if type(module) is nn.PReLU and module.num_parameters == 1:
        return Activation("leaky_relu", (module.weight.item(),))
    if type(module) not in _ACTIVATIONS:
        return None
    function, *parameters = _ACTIVATIONS[type(module)](module)
    return Activation(function, tuple(parameters))
