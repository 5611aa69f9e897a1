"""The receptive field measured by gradient: what a net really looks at, holes included."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import torch
from torch import Tensor, nn

from tcn.layers.compiled import uncompiled
from tcn.layers.pooling import MaxPool
from tcn.layers.taps import Taps
from tcn.layers.validation import is_integer
from tcn.layers.weight_norm import fold_weight_norm

T = TypeVar("T")

PROBES = 4
FADED = 1e-280
"""A gradient this small in float64 has faded away; the field has not ended."""


@dataclass(frozen=True)
class ReceptiveField:
    """What one output depends on along one axis.

    Attributes:
        left: steps into the past, ``math.inf`` if no end was found.
        right: steps into the future; 0 for a causal net, -1 if the present is excluded.
        offsets: the input positions that matter, relative to the output's; those within a window
            if the receptive field is unbounded.
    """

    left: float
    right: float
    offsets: tuple[int, ...]

    @property
    def size(self) -> float:
        """Steps from the first to the last that matters, both included."""
        return self.left + self.right + 1

    @property
    def holes(self) -> tuple[int, ...]:
        """Positions within the field that no path reaches: dilations that grow too fast."""
        if not self.offsets:
            return ()
        seen = set(self.offsets)
        return tuple(i for i in range(self.offsets[0], self.offsets[-1] + 1) if i not in seen)

    def __str__(self) -> str:
        """One line: size, sides and holes."""
        holes = f", {len(self.holes)} holes" if self.holes else ", no holes"
        return f"{self.size} steps: {self.left} left, {self.right} right{holes}"


def receptive_field(
    net: nn.Module,
    *,
    in_channels: int | None = None,
    ndim: int | None = None,
    max_length: int | None = None,
) -> ReceptiveField | tuple[ReceptiveField, ...]:
    """Measures the receptive field of a net by the gradient of one output.

    What is measured is the structure: copies of the net in evaluation mode and float64 get random
    positive weights that average, so that no path is hidden by a dead unit or canceled by another.
    The window begins with room for every tap of the net's convolutions, so that no hole is taken
    for the end, and is doubled until the field ends inside it.

    With a stride, a pool or an up-sampling the outputs of a block (``net.block_sizes``) differ in
    what they see; positions are relative to each output's own, and the farthest of any counts.

    Args:
        net: maps ``(batch, channels, *sizes)`` to the same sizes, or to those that its ``rates``
            say.
        in_channels: channels of the input; ``net.in_channels`` unless given.
        ndim: axes after the channels; ``net.ndim`` unless given.
        max_length: longest window, in steps; a field that fills it is taken as unbounded. 16,384
            unless given, 512 in 2-D.

    Returns:
        The field, or a tuple with one per axis if ``ndim`` is 2.

    Raises:
        ValueError: if the channels are not known, or the sizes of the output are not those that the
            net's rates say.
    """
    net = uncompiled(net)
    in_channels = getattr(net, "in_channels", None) if in_channels is None else in_channels
    if not is_integer(in_channels):
        raise ValueError("in_channels: not given and the net has none; pass it, as in_channels=2")
    axes = getattr(net, "ndim", 1) if ndim is None else ndim
    probes = [_averaging_copy(net, seed) for seed in range(PROBES)]
    if max_length is None:
        max_length = 2**14 if axes == 1 else 2**9
    size = _first_window(net, max_length)
    while True:
        profile = sum(_profile(probe, in_channels, size, axes) for probe in probes)
        assert isinstance(profile, Tensor)
        fields = [_field(_along(profile, axis), size) for axis in range(axes)]
        ended = all(math.isfinite(field.left) and math.isfinite(field.right) for field in fields)
        if ended or 2 * size > max_length or _has_faded(profile):
            return fields[0] if axes == 1 else tuple(fields)
        size *= 2


def _first_window(net: nn.Module, max_length: int) -> int:
    """A window whose halves are longer than all dilated kernels together, if that is allowed."""
    spans = 0
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | Taps):
            axes = zip(module.kernel_size, module.dilation, strict=True)
            spans += max((kernel_size - 1) * dilation for kernel_size, dilation in axes)
    block = math.lcm(*getattr(net, "block_sizes", (1,)))
    rates = getattr(net, "rates", (Fraction(1),))
    # Taps behind a stride reach as many times farther; a window is a whole number of blocks.
    spans, size = spans * math.ceil(max(1, *(block / rate for rate in rates))), 32 * block
    while size // 2 <= spans and 2 * size <= max_length:
        size *= 2
    return size


def _averaging_copy(net: nn.Module, seed: int) -> nn.Module:
    # Folded, because a normalized filter sums to more than 1: wide nets would saturate tanh.
    probe = fold_weight_norm(copy.deepcopy(net).double().eval())
    for module in probe.modules():
        if isinstance(module, MaxPool):
            module.averages = True
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in probe.parameters():
            values = 0.1 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() > 1:
                values /= values.sum(dim=tuple(range(1, values.dim())), keepdim=True)
            parameter.copy_(values)
    return probe


def _profile(probe: nn.Module, channels: int, size: int, axes: int) -> Tensor:
    """How much the outputs of a block in the middle depend on the inputs, relative to their own.

    Summed over batch, channels and outputs: ``(*sizes)``, each output's own position at ``size``.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, channels, *[size] * axes, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    y = probe(x)
    rates = _every_axis(getattr(probe, "rates", ()), Fraction(1), axes)
    if y.dim() != x.dim() or any(
        n * rate != size for n, rate in zip(y.shape[2:], rates, strict=True)
    ):
        raise ValueError(
            f"net: output shape {tuple(y.shape)} for an input of {tuple(x.shape)}; the receptive "
            "field can be measured for nets that keep the sizes or return those that their rates "
            "say, such as the backbone before a readout"
        )
    blocks = _every_axis(getattr(probe, "block_sizes", ()), 1, axes)
    middles = [size // 2 // block * block for block in blocks]
    profile = x.new_zeros([2 * size + 1] * axes)
    outputs = [range(int(b / r)) for b, r in zip(blocks, rates, strict=True)]
    for output in itertools.product(*outputs):
        place = [int(m / r) + o for m, r, o in zip(middles, rates, output, strict=True)]
        own = [math.floor(p * r) for p, r in zip(place, rates, strict=True)]
        one = y[(slice(None), slice(None), *place)].sum()
        (gradient,) = torch.autograd.grad(one, x, retain_graph=True)
        window = tuple(slice(size - at, 2 * size - at) for at in own)
        profile[window] += gradient.abs().sum((0, 1))
    return profile


def _every_axis(values: tuple[T, ...], default: T, axes: int) -> tuple[T, ...]:
    """A layer that serves any rank names the last axis alone."""
    return (default,) * (axes - len(values)) + values


def _along(profile: Tensor, axis: int) -> Tensor:
    others = [i for i in range(profile.dim()) if i != axis]
    return profile.sum(others) if others else profile


def _field(profile: Tensor, size: int) -> ReceptiveField:
    offsets = [int(i) - size for i in profile.nonzero()]
    if not offsets:
        return ReceptiveField(-1, 0, ())
    # The middle outputs see no farther than the ends of the window.
    first, last = offsets[0], offsets[-1]
    unbounded_left = first <= -(size // 2) or bool(profile[first + size] < FADED)
    unbounded_right = last >= size - 1 - size // 2
    return ReceptiveField(
        math.inf if unbounded_left else -first,
        math.inf if unbounded_right else last,
        tuple(offsets),
    )


def _has_faded(profile: Tensor) -> bool:
    seen = profile[profile > 0]
    return bool(len(seen) and seen.min() < FADED)
