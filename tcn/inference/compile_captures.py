"""Translators of captured devices: :class:`tcn.models.Capture` and the nets of Neural Amp Modeler.

Their rows begin in silence, not with zeros at every layer; that is not part of a program: a session
sets the state of rows that begin (:mod:`tcn.inference.beginnings`), a C file is given silence.
"""

from __future__ import annotations

import torch
from torch import nn

from tcn.inference.compile_layers import recurrence
from tcn.inference.translation import States, Translator, activation_of, translate
from tcn.layers.activation import LeakyHardtanh
from tcn.models import Capture, StartedLSTM
from tcn.models.nam import NAMStack, NAMWaveNet
from tcn.models.nam_block import NAMBlock, NAMFiLM, PairedActivation
from tcn.native.operations import Value
from tcn.native.stream import Builder


def _capture(builder: Builder, capture: Capture, x: Value) -> tuple[Value, States]:
    return translate(builder, capture.net, x)


def _started(builder: Builder, net: StartedLSTM, x: Value) -> tuple[Value, States]:
    starts = torch.stack([net.start_hidden, net.start_cell], dim=1)
    return recurrence(builder, net, x, list(starts.detach()))


def _wavenet(builder: Builder, net: NAMWaveNet, x: Value) -> tuple[Value, States]:
    condition, first = builder.share(x), ()
    if net.condition is not None:
        condition, first = translate(builder, net.condition, x)
        builder.share(condition)
    total, states = None, []
    for stack in net.stacks:
        x, total, state = _stack(builder, stack, x, total, condition)
        states.append(state)
    assert total is not None
    y, last = _times(builder, total, net.scale), ()
    if net.head is not None:
        y, last = translate(builder, net.head, y)
    return y, (first, *states, last)


def _stack(
    builder: Builder, stack: NAMStack, x: Value, total: Value | None, condition: Value
) -> tuple[Value, Value, States]:
    x, states = translate(builder, stack.entry, x)[0], []
    for block in stack.blocks:
        x, skip, state = _block(builder, block, x, condition)
        total = skip if total is None else builder.add(total, skip)
        states.append(state)
    assert total is not None
    builder.share(x)
    y, state = translate(builder, stack.head, builder.share(total))
    return x, builder.share(y), (*states, state)


def _block(
    builder: Builder, block: NAMBlock, x: Value, condition: Value
) -> tuple[Value, Value, States]:
    def conditioned(place: str, value: Value) -> Value:
        if place not in block.films:
            return value
        return _film(builder, block.films[place], value, condition)

    builder.share(x)
    mixed = translate(builder, block.mixin, conditioned("input_mixin_pre", condition))[0]
    mixed = builder.share(conditioned("input_mixin_post", mixed))
    z, state = translate(builder, block.convolution, conditioned("conv_pre", x))
    z = builder.add(conditioned("conv_post", z), mixed)
    z = translate(builder, block.activation, conditioned("activation_pre", z))[0]
    z = builder.share(conditioned("activation_post", z))
    skip = z if block.skip is None else translate(builder, block.skip, z)[0]
    skip = builder.share(conditioned("head1x1_post", skip))
    onward = z if block.residual is None else translate(builder, block.residual, z)[0]
    return builder.add(x, conditioned("layer1x1_post", onward)), skip, state


def _film(builder: Builder, film: NAMFiLM, x: Value, condition: Value) -> Value:
    projected = translate(builder, film.projection, condition)[0]
    if not film.shift:
        return builder.multiply(builder.share(x), projected)
    scale = builder.part(projected, 0, film.channels)
    shift = builder.part(projected, film.channels, film.channels)
    return builder.add(builder.multiply(builder.share(x), scale), shift)


def _paired(builder: Builder, layer: PairedActivation, x: Value) -> tuple[Value, States]:
    half = x.channels // 2
    sigmoid = type(layer.secondary) is nn.Sigmoid
    primary = activation_of(layer.primary)
    if layer.pairing == "gated" and sigmoid and primary is not None:
        return builder.gate(x, primary.function, *primary.parameters), ()
    signal, gate = builder.part(x, 0, half), builder.part(x, half, half)
    gate = builder.share(translate(builder, layer.secondary, gate)[0])
    active = translate(builder, layer.primary, signal)[0]
    if layer.pairing == "gated":
        return builder.multiply(builder.share(active), gate), ()
    # gate * active + (1 - gate) * signal, as signal + gate * (active - signal)
    change = builder.add(_times(builder, signal, -1.0), builder.share(active))
    return builder.add(builder.multiply(builder.share(change), gate), signal), ()


def _times(builder: Builder, x: Value, factor: float) -> Value:
    if factor == 1:
        return x
    return builder.scale(x, torch.full((x.channels,), factor), torch.zeros(x.channels))


def _leaky_hardtanh(builder: Builder, layer: LeakyHardtanh, x: Value) -> tuple[Value, States]:
    """The limited input, and what is beyond each limit times its slope."""
    builder.share(x)
    within = builder.activate(x, "clamp", layer.min_val, layer.max_val)
    builder.share(within)
    beyond = builder.share(builder.add(_times(builder, within, -1.0), x))
    above = _times(builder, builder.activate(beyond, "relu"), layer.max_slope)
    below = builder.activate(_times(builder, beyond, -1.0), "relu")
    below = _times(builder, below, -layer.min_slope)
    return builder.add(builder.add(above, builder.share(below)), within), ()


CAPTURES: dict[type, Translator] = {
    Capture: _capture,
    StartedLSTM: _started,
    NAMWaveNet: _wavenet,
    PairedActivation: _paired,
    LeakyHardtanh: _leaky_hardtanh,
}
