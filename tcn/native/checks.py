"""What the operators check before a kernel is given an address: it would read whatever lies there.

Every error is ``name: value ...; cure``, a ``TypeError`` for types and devices and a ``ValueError``
for shapes and numbers. Shapes may be symbolic: nothing is asked of them that has to be known before
a graph is compiled, but for the sizes in :func:`check_sizes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

MOST = 2**40
"""Of a size, or of the elements of a tensor, as in source/calling.h: beyond any memory, and far
from where products of sizes no longer fit 64 bits."""

Named = tuple[str, Tensor | None, Sequence[Any]]
"""A tensor, if there is one, and the shape that it must have."""


def check_tensors(x: Tensor, *tensors: Named) -> None:
    """Shapes, and that types and devices are those of ``x``.

    Raises:
        ValueError: if a shape differs.
        TypeError: if a type or a device differs.
    """
    dtype, device = x.dtype, x.device
    if not dtype.is_floating_point:
        raise TypeError(f"x: {dtype}; the kernels compute with real numbers: pass x.float()")
    for name, tensor, shape in tensors:
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise ValueError(
                f"{name}: shape {tuple(tensor.shape)}; expected {tuple(shape)}: pass a tensor that "
                f"fits x of shape {tuple(x.shape)} and the weights"
            )
        if tensor.dtype != dtype:
            raise TypeError(f"{name}: {tensor.dtype} with x of {dtype}; convert one of them")
        if tensor.device != device:
            raise TypeError(f"{name}: on {tensor.device} with x on {device}; move one of them")


def check_sizes(names: str, *sizes: int) -> None:
    """Sizes and numbers of elements.

    Raises:
        ValueError: if one is beyond :data:`MOST` in absolute value.
    """
    if max(sizes) <= MOST and min(sizes) >= -MOST:
        return
    for name, size in zip(names.split(), sizes, strict=True):
        if not -MOST <= size <= MOST:
            raise ValueError(f"{name}: {size} is beyond 2**40 in size; choose a smaller one")


def check_at_least(least: int, **numbers: int) -> None:
    """A lower bound.

    Raises:
        ValueError: if a number is below ``least``.
    """
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name}: {number} is too small; pass {least} or more")


def check_dimensions(name: str, tensor: Tensor, expected: Sequence[str]) -> None:
    """The number of axes.

    Raises:
        ValueError: if there are not as many as ``expected`` has names.
    """
    if tensor.dim() != len(expected):
        raise ValueError(
            f"{name}: shape {tuple(tensor.shape)}; expected ({', '.join(expected)}): add or remove "
            "axes"
        )


def check_probability(name: str, probability: float) -> None:
    """A share of values to drop.

    Raises:
        ValueError: if it is not at least 0 and below 1.
    """
    if not 0 <= probability < 1:  # NaN neither
        raise ValueError(f"{name}: {probability} is not at least 0 and below 1; pass such a share")


def check_seed(seed: Tensor | None, probability: float) -> None:
    """What decides on the values that are dropped.

    Raises:
        ValueError: if it is missing, or not one number.
        TypeError: if it is not int64 on the CPU.
    """
    if seed is None:
        if probability:
            raise ValueError(f"seed: None with dropout={probability}; pass a tensor of one number")
        return
    if seed.dtype == torch.int64 and seed.numel() == 1 and seed.is_cpu:
        return
    if seed.numel() != 1:
        raise ValueError(f"seed: shape {tuple(seed.shape)}; pass a tensor of one number")
    if not seed.is_meta:
        raise TypeError(f"seed: {seed.dtype} on {seed.device}; pass int64 on the CPU")


def check_wanted(wanted: Sequence[bool], expected: int) -> None:
    """Which gradients are asked for.

    Raises:
        ValueError: if it does not say so for each of them.
    """
    if len(wanted) != expected:
        raise ValueError(f"wanted: {list(wanted)}; pass {expected} of them, one per gradient")
