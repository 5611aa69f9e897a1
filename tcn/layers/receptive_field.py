"""The receptive field measured by gradient: what a net really looks at, holes included."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tcn.layers.weight_norm import fold_weight_norm

PROBES = 4
FADED = 1e-280
"""A gradient this small in float64 has faded away, it has not ended."""


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
    positive weights that average, so that no path is hidden by a dead unit or cancelled by another.
    The window begins with room for every tap of the net's convolutions, so that no hole is taken
    for the end, and is doubled until the field ends inside it.

    Args:
        net: maps ``(batch, channels, *sizes)`` to the same sizes, one output step per input step.
        in_channels: channels of the input; ``net.in_channels`` unless given.
        ndim: axes after the channels; ``net.ndim`` unless given.
        max_length: longest window, in steps; a field that fills it is taken as unbounded. 16,384
            unless given, 512 in 2-D.

    Returns:
        The field, or a tuple with one per axis if ``ndim`` is 2.

    Raises:
        ValueError: if the channels are not known, or output and input sizes differ.
    """
    in_channels = getattr(net, "in_channels", None) if in_channels is None else in_channels
    if not isinstance(in_channels, int):
        raise ValueError("in_channels: not given and the net has none; pass it, as in_channels=2")
    axes = getattr(net, "ndim", 1) if ndim is None else ndim
    probes = [_averaging_copy(net, seed) for seed in range(PROBES)]
    if max_length is None:
        max_length = 2**14 if axes == 1 else 2**9
    size = _first_window(net, max_length)
    while True:
        profile = sum(_gradient(probe, in_channels, size, axes) for probe in probes)
        assert isinstance(profile, Tensor)
        fields = [_field(_along(profile, axis), size // 2) for axis in range(axes)]
        ended = all(math.isfinite(field.left) and math.isfinite(field.right) for field in fields)
        if ended or 2 * size > max_length or _has_faded(profile):
            return fields[0] if axes == 1 else tuple(fields)
        size *= 2


def _first_window(net: nn.Module, max_length: int) -> int:
    """A window whose halves are longer than all dilated kernels together, if that is allowed."""
    spans = 0
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            axes = zip(module.kernel_size, module.dilation, strict=True)
            spans += max((kernel_size - 1) * dilation for kernel_size, dilation in axes)
    size = 32
    while size // 2 <= spans and 2 * size <= max_length:
        size *= 2
    return size


def _averaging_copy(net: nn.Module, seed: int) -> nn.Module:
    # Folded, because a normalised filter sums to more than 1: wide nets would saturate tanh.
    probe = fold_weight_norm(copy.deepcopy(net).double().eval())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in probe.parameters():
            values = 0.1 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() > 1:
                values /= values.sum(dim=tuple(range(1, values.dim())), keepdim=True)
            parameter.copy_(values)
    return probe


def _gradient(probe: nn.Module, channels: int, size: int, axes: int) -> Tensor:
    """Absolute gradient of the middle output, summed over batch and channels: ``(*sizes)``."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, channels, *[size] * axes, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    y = probe(x)
    if y.shape[2:] != x.shape[2:]:
        raise ValueError(
            f"net: output shape {tuple(y.shape)} for an input of {tuple(x.shape)}; the receptive "
            "field is measured of nets that keep the sizes, such as the backbone before a readout"
        )
    middle = y[(slice(None), slice(None), *[size // 2] * axes)]
    (gradient,) = torch.autograd.grad(middle.sum(), x)
    return gradient.abs().sum((0, 1))


def _along(profile: Tensor, axis: int) -> Tensor:
    others = [i for i in range(profile.dim()) if i != axis]
    return profile.sum(others) if others else profile


def _field(profile: Tensor, middle: int) -> ReceptiveField:
    offsets = [int(i) - middle for i in profile.nonzero()]
    if not offsets:
        return ReceptiveField(-1, 0, ())
    unbounded_left = offsets[0] == -middle or bool(profile[offsets[0] + middle] < FADED)
    unbounded_right = offsets[-1] == len(profile) - 1 - middle
    return ReceptiveField(
        math.inf if unbounded_left else -offsets[0],
        math.inf if unbounded_right else offsets[-1],
        tuple(offsets),
    )


def _has_faded(profile: Tensor) -> bool:
    seen = profile[profile > 0]
    return bool(len(seen) and seen.min() < FADED)
