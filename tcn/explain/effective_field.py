"""How far back, or how wide, a net looks in fact: its effective receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tcn.explain.gradients import as_leaf, differentiable, gradient
from tcn.explain.inputs import Data, batches
from tcn.explain.projection import check_position
from tcn.explain.targets import Asked, picked
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_positive, is_integer

ROUNDING = 1e-9
"""Share of the gradient that sums of it may lack."""


@dataclass(frozen=True)
class EffectiveField:
    """How much the input at each step or pixel moves what a layer says at one position.

    Attributes:
        profiles: per axis of the input the share of each step, which sum to 1, float64.
        position: in the layer.
        sample_rate: steps per second along the last axis; None if it was not given.
        examples: over how many the gradient was averaged.
    """

    profiles: tuple[Tensor, ...]
    position: tuple[int, ...]
    sample_rate: float | None
    examples: int

    def width(self, share: float = 0.95, axis: int = -1) -> int:
        """Steps of the narrowest stretch that holds a share of the gradient.

        Args:
            share: above 0, at most 1.
            axis: of the input behind the channels.

        Raises:
            ValueError: the share or the axis is out of range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share: {share}; give a number above 0, at most 1, such as 0.9")
        if not -len(self.profiles) <= axis < len(self.profiles):
            raise ValueError(f"axis: {axis} of {len(self.profiles)}")
        sums = torch.cat([torch.zeros(1, dtype=torch.float64), self.profiles[axis].cumsum(0)])
        ends = torch.searchsorted(sums, sums[:-1] + share * (1 - ROUNDING) * sums[-1])
        widths = ends - torch.arange(len(ends))
        return int(widths[ends < len(sums)].min())

    def seconds(self, share: float = 0.95) -> float:
        """The width along the last axis, in seconds.

        Raises:
            ValueError: the share is out of range, or no rate was given.
        """
        if self.sample_rate is None:
            raise ValueError("sample_rate: None; give steps per second to effective_field")
        return self.width(share) / self.sample_rate


def effective_field(
    net: nn.Module,
    data: Data,
    *,
    layer: str | None = None,
    position: int | Sequence[int] = -1,
    sample_rate: float | None = None,
    batch_size: int = 64,
) -> EffectiveField:
    """Measures the effective receptive field by the mean absolute gradient over data.

    The theoretical field, :func:`tcn.receptive_field`, says what a position can depend on; this
    one says where the weight lies. It is never wider.

    Args:
        net: any module; it is left as it was.
        data: inputs ``(examples, channels, *sizes)`` of one size, a data set, or batches.
        layer: see :func:`tcn.explain.activations`; the net's output if None.
        position: in what it returns, per axis, or one number for all axes: -1 is the last step,
            what a causal net says now. Of images take the middle. Not read where there is none.
        sample_rate: steps per second of the last axis, 1/3600 for hours.
        batch_size: of data that are not in batches yet.

    Raises:
        TypeError: an argument or a part of the data is of the wrong type.
        ValueError: there is no such layer or position, sizes differ, or no gradient arrives.

    Source: Luo et al. 2016, section 3: the gradient of the sum over channels at one position.

    ::

        net = TCN(1, [8] * 4, kernel_size=3)
        found = effective_field(net, torch.randn(100, 1, 200), sample_rate=16000)
        found.width(0.5), found.width(0.95), found.seconds(0.95)
    """
    check_positive("batch_size", [batch_size])
    if sample_rate is not None and not sample_rate > 0:
        raise ValueError(f"sample_rate: {sample_rate} must be above 0, in steps per second")
    inner = uncompiled(net)
    asked = Asked(inner, layer)
    total, count = None, 0
    for x in batches(data, batch_size):
        found, place = _sizes_of_gradient(asked, x, position)
        if total is not None and found.shape != total.shape:
            raise ValueError(
                f"data: inputs of {tuple(x.shape[2:])} after those of {tuple(total.shape)}; give "
                "inputs of one size"
            )
        total, count = found if total is None else total + found, count + len(x)
    assert total is not None
    if not 0 < float(total.sum()) < float("inf"):
        raise ValueError(
            f"position: the gradient at {place} of {layer or 'the output'} is {float(total.sum())}"
            " everywhere; choose another position or layer, or check the weights"
        )
    return EffectiveField(_profiles(total), place, sample_rate, count)


def _sizes_of_gradient(
    asked: Asked, x: Tensor, position: int | Sequence[int]
) -> tuple[Tensor, tuple[int, ...]]:
    """Summed over examples and channels, ``(*sizes)``, and the position."""
    if x.dim() < 3:
        raise ValueError(
            f"data: shape {tuple(x.shape)} has no axis to look along; give (examples, channels, "
            "*sizes)"
        )
    leaf = as_leaf(asked.net, x)
    with differentiable(asked.net):
        y = asked.whole(leaf.clone())
        sizes = tuple(y.shape[2:])
        given: Any = [position] * len(sizes) if is_integer(position) else position
        place = check_position(given if sizes else (), sizes)
        one = picked(y, slice(None), slice(None), *place).sum()
        found = gradient(one, leaf)
    return found.abs().double().sum((0, 1)).cpu(), place


def _profiles(total: Tensor) -> tuple[Tensor, ...]:
    share = total / total.sum()
    axes = range(total.dim())
    return tuple(share.sum([i for i in axes if i != axis]) if total.dim() > 1 else share
                 for axis in axes)  # fmt: skip
