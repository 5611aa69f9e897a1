"""What the convolution's kernels are told of sizes, checked once per kind of call.

A check costs as much as a small convolution. All it asks is in the key of a plan: shapes, types and
places of the tensors, and the numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from tcn.native import convolution_calls as calls
from tcn.native import reference
from tcn.native.reference import Geometry


class Plan(NamedTuple):
    """What follows from sizes, types and numbers alone, once they have been checked."""

    out_shape: tuple[int, int, int]
    shape: calls.Shape
    below: int
    scale: float

    def dropping(self, seed: Tensor | None) -> calls.Dropping:
        """What is dropped, of a seed that has been checked."""
        if seed is None:
            return calls.Dropping(0, self.scale, 0)
        return calls.Dropping(self.below, self.scale, int(seed) % 2**64)


_PLANS: dict[tuple[Any, ...], Plan] = {}
_MOST_PLANS = 1024
"""Sequences may have any length; beyond this many kinds of calls all are checked anew."""


def plan_forward(
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    bias: Tensor | None,
    shortcut: Tensor | None,
    seed: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
) -> Plan:
    """The plan of a convolution, checked once per kind of call.

    Raises:
        ValueError: if a shape or a number does not fit.
        TypeError: if a type or a device does not.
    """
    others = _kind(size), _kind(bias), _kind(shortcut), _kind(seed)
    key = (_kind_of(x), _kind_of(weight), *others, geometry, relu, dropout)
    plan = _PLANS.get(key)
    if plan is None:
        y = calls.check_forward(x, weight, size, bias, shortcut, seed, geometry, relu, dropout)
        plan = _remember(key, x, weight, y, geometry, dropout)
    return plan


def plan_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    size: Tensor | None,
    y: Tensor,
    kept: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
    wanted: Sequence[bool],
) -> Plan:
    """The plan of the gradients, checked once per kind of call.

    Raises:
        ValueError: if a shape or a number does not fit.
        TypeError: if a type or a device does not.
    """
    tensors = gradient, x, weight, size, y, kept
    key = (*map(_kind, tensors), geometry, relu, dropout, tuple(wanted))
    plan = _PLANS.get(key)
    if plan is None:
        calls.check_backward(*tensors, geometry, relu, dropout, wanted)
        plan = _remember(key, x, weight, tuple(y.shape), geometry, dropout)
    return plan


_kind_of = operator.attrgetter("shape", "dtype", "is_cpu")


def _kind(tensor: Tensor | None) -> tuple[Any, ...] | None:
    """All that a check asks of a tensor where a kernel is about to run."""
    return None if tensor is None else _kind_of(tensor)


def _remember(
    key: tuple[Any, ...], x: Tensor, weight: Tensor, y: Any, geometry: Geometry, dropout: float
) -> Plan:
    calls.check_sizes(x, weight, y, geometry)
    (batch, in_channels, in_steps), (out_channels, _, kernel_size) = x.shape, weight.shape
    shape = calls.Shape(
        batch, in_channels, out_channels, kernel_size, in_steps, y[2],
        geometry.dilation, geometry.stride, geometry.left,
    )  # fmt: skip
    plan = Plan(y, shape, reference.drop_below(dropout), 1 / (1 - dropout))
    if len(_PLANS) >= _MOST_PLANS:
        _PLANS.clear()
    _PLANS[key] = plan
    return plan
