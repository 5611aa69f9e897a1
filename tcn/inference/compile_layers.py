"""Translators of the layers and nets of sequences; see :mod:`tcn.inference.translation`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tcn.inference.translation import Declined, States, Translator, activation_of, translate
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
    SkipSum,
    SqueezeExcite,
    StochasticDepth,
)
from tcn.layers import blocks as library_blocks
from tcn.layers.normalization import EPSILON
from tcn.models import GRU, LSTM, RNN, SequenceModel
from tcn.native.operations import Value, check_size
from tcn.native.stream import Builder

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


def _dropout(builder: Builder, layer: nn.Module, x: Value) -> tuple[Value, States]:
    return x, ()


def _prelu(builder: Builder, layer: nn.PReLU, x: Value) -> tuple[Value, States]:
    """Of a slope for each channel: what is above 0, and what is below it times its slope."""
    builder.share(x)
    ones = torch.ones(x.channels)
    below = builder.activate(builder.scale(x, -ones, 0 * ones), "relu")
    below = builder.share(builder.scale(below, -layer.weight, 0 * ones))
    return builder.add(builder.activate(x, "relu"), below), ()


def _gate(builder: Builder, gate: Gate, x: Value) -> tuple[Value, States]:
    activation = activation_of(gate.activation)
    if activation is None:
        raise Declined(f"a gate with {type(gate.activation).__name__} has no native form")
    return builder.gate(x, activation.function, *activation.parameters), ()


def _channel_norm(builder: Builder, norm: ChannelNorm, x: Value) -> tuple[Value, States]:
    return builder.layer_norm(x, norm.weight, norm.bias, norm.epsilon), ()


def _rms_norm(builder: Builder, norm: RMSNorm, x: Value) -> tuple[Value, States]:
    return builder.rms_norm(x, norm.weight, EPSILON), ()


def _cumulative_norm(builder: Builder, norm: CumulativeNorm, x: Value) -> tuple[Value, States]:
    return builder.cumulative_norm(x, norm.weight, norm.bias, norm.epsilon)


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
    return recurrence(builder, net, x, [None] * net.recurrence.num_layers)


def recurrence(
    builder: Builder, net: LSTM | GRU | RNN, x: Value, starts: Sequence[Tensor | None]
) -> tuple[Value, States]:
    """The layers of a recurrent net, each with what it begins with, ``(states, hidden)``."""
    if not builder.recurrence:
        raise Declined(f"{type(net).__name__} has no native form")
    cell = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn"}[net.recurrence.mode]
    for weights, start in zip(net.recurrence.all_weights, starts, strict=True):
        weight, recurrent_weight, bias, recurrent_bias = weights
        x = builder.linear(x, weight, bias)
        x = builder.recur(cell, x, recurrent_weight, recurrent_bias, start)
    return x, ()


def _squeeze_excite(builder: Builder, layer: SqueezeExcite, x: Value) -> tuple[Value, States]:
    mean, state = builder.running_mean(builder.share(x))
    squeezed = builder.linear(mean, layer.squeeze.weight, layer.squeeze.bias)
    squeezed = builder.activate(squeezed, "relu")
    weights = builder.linear(squeezed, layer.excite.weight, layer.excite.bias)
    return builder.multiply(x, builder.activate(weights, "sigmoid")), state


LAYERS: dict[type, Translator] = {
    Chain: _chain,
    Add: _add,
    SkipSum: _skip_sum,
    SequenceModel: _sequence_model,
    Every: _every,
    Last: _last,
    Conv1d: _convolution,
    Dropout: _dropout,
    StochasticDepth: _dropout,
    Gate: _gate,
    nn.PReLU: _prelu,
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
