"""Translates what a PixelCNN computes pixel after pixel into a program of :mod:`tcn.native.stream`.

Along a row the horizontal stack is a causal net of one axis. The program's input is the pixel
before, so that the first layer, which excludes the present pixel, has an ordinary causal
convolution; its condition is what all layers are told of this pixel::

    pixel before -> causal -> + -> gate -> ... -> sum of skips -> hidden layer (-> raw numbers)
    condition      [ told, told and FiLM's projection, ... of each layer ]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tcn.inference.compile import check_mode, log_once
from tcn.inference.translation import Declined, Misfit, behaves_as, translate
from tcn.layers import AddCondition, Context, Conv2d, FiLM
from tcn.layers.hooks import watched
from tcn.models import PixelCNN
from tcn.models.pixel_stacks import ColorHead, PixelLayer, PixelStacks
from tcn.native.operations import Value
from tcn.native.program import StreamProgram
from tcn.native.rows import Slot
from tcn.native.stream import Builder


def compile_pixels(net: PixelCNN) -> StreamProgram | None:
    """The native program of a net's horizontal stack and head, or None; the log then says why.

    Its input is ``(batch, colors)`` scaled values of the pixel before, zeros at the first; its
    condition :func:`conditions`. It returns the raw numbers of the pixel where there is one color,
    otherwise what the head's hidden layers know of the pixels before, ``(batch, features *
    colors)``. The weights are those of the moment.

    Raises:
        MemoryError: if there is no memory for the packed weights.
    """
    try:
        _check(net)
        return _program(net)
    except (Declined, Misfit) as reason:
        log_once(f"{type(net).__name__}: {reason}")
        return None


def conditions(net: PixelCNN, told: list[Tensor], context: Context) -> Tensor:
    """What the program is told of every pixel of a row, ``(width, batch, channels)``.

    Args:
        net: one that has a program.
        told: by the vertical stack, ``(batch, 2 * features, 1, width)`` per layer.
        context: of these pixels.
    """
    parts: list[Tensor] = []
    for layer, of_layer in zip(net.stacks, told, strict=True):
        modulation = _modulation(layer)
        if isinstance(modulation, AddCondition):
            of_layer = modulation.advance(of_layer, None, context)[0]
        parts.append(of_layer)
        if isinstance(modulation, FiLM):
            projected = modulation.project(of_layer, context.condition)
            parts.append(projected.expand(*projected.shape[:2], *of_layer.shape[2:]))
    return torch.cat(parts, dim=1)[:, :, 0].permute(2, 0, 1).contiguous()


def _check(net: PixelCNN) -> None:
    check_mode(net)
    if torch.is_autocast_enabled("cpu"):
        raise Declined("autocast is on")
    if watched(net):
        raise Declined("a hook watches")
    own = (PixelStacks, PixelLayer, ColorHead)
    for module in (net.stacks, *net.stacks, net.head):
        if type(module) not in own:
            raise Declined(f"{type(module).__name__} has no native form")


def _program(net: PixelCNN) -> StreamProgram | None:
    builder = Builder()
    x, condition = builder.input(net.in_channels), builder.condition(_condition_channels(net))
    features: Value | None = None
    at, slots = 0, []
    for layer in net.stacks:
        told = builder.part(condition, at, _told_channels(layer))
        at += told.channels
        x, features, slot = _layer(builder, layer, x, told, features)
        slots.append(slot)
    assert features is not None
    y = _pointwise(builder, net.head.hidden, builder.activate(features, "relu"))
    if net.in_channels == 1:
        y = _pointwise(builder, net.head.raw, builder.activate(y, "relu"))
    return builder.build(y, tuple(slots))


def _layer(
    builder: Builder, layer: PixelLayer, x: Value, told: Value, skips: Value | None
) -> tuple[Value, Value, Slot]:
    """The next layer's input, the sum of the skip outputs so far, and the slot of the past."""
    # The first layer's input is the pixel before: what excludes the present is done already.
    seen, slot = _along_row(builder, layer.horizontal, builder.share(x))
    width = seen.channels
    y = builder.add(seen, builder.part(told, 0, width))
    modulation = _modulation(layer)
    for module in layer.across:
        if isinstance(module, FiLM) and module is modulation:
            y = builder.modulate(y, builder.part(told, width, 2 * width))
        elif module is not modulation:
            y = _inside_gate(builder, module, y)
    builder.share(y)
    skip = _pointwise(builder, layer.skip, y)
    skips = skip if skips is None else builder.add(skip, builder.share(skips))
    if layer.residual is not None:
        residual = _pointwise(builder, layer.residual, y)
        y = builder.add(residual, x) if layer.has_shortcut else residual
    return y, skips, slot


def _inside_gate(builder: Builder, module: nn.Module, y: Value) -> Value:
    if any(getattr(part, "reads_condition", False) for part in module.modules()):
        raise Declined(
            f"{type(module).__name__} has no native form inside a gate"
        )  # see conditions
    y, state = translate(builder, module, y)
    if state != ():
        raise Declined(f"{type(module).__name__} remembers pixels inside a gate")
    return y


def _modulation(layer: PixelLayer) -> AddCondition | FiLM | None:
    """What conditions the horizontal stack, where it comes first and is one of the library's."""
    first = next(iter(layer.across))
    known = next((kind for kind in (AddCondition, FiLM) if isinstance(first, kind)), None)
    return first if known is not None and behaves_as(first, known) else None  # type: ignore[return-value]


def _told_channels(layer: PixelLayer) -> int:
    width = layer.horizontal.out_channels
    return 3 * width if isinstance(_modulation(layer), FiLM) else width


def _condition_channels(net: PixelCNN) -> int:
    return sum(_told_channels(layer) for layer in net.stacks)


def _pointwise(builder: Builder, layer: Conv2d, x: Value) -> Value:
    return _along_row(builder, layer, x)[0]


def _along_row(builder: Builder, layer: Conv2d, x: Value) -> tuple[Value, Slot]:
    """A convolution that sees one row, as one of a single axis."""
    if not isinstance(layer, Conv2d) or not behaves_as(layer, Conv2d):
        raise Declined(f"{type(layer).__name__} has no native form")
    plain = layer.kernel_size[0] == layer.groups == 1 and {*layer.stride, *layer.dilation} == {1}
    if not plain:
        raise Declined(f"{layer} has no native form in a row of pixels")
    try:
        return builder.convolve(x, layer.weight[:, :, 0], layer.bias)
    except ValueError as error:
        raise Misfit(layer, str(error)) from error
