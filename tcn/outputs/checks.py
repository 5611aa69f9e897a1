"""What outputs ask of their arguments and targets, and where their random numbers come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from importlib import import_module
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

from tcn.extras import need
from tcn.layers.validation import as_float


def levels_of(q: Tensor | Sequence[float], raw: Tensor) -> Tensor:
    """``q``, checked, as float64 ``(len(q), 1, ...)`` for a target; see ``Output.quantile``."""
    values = torch.as_tensor(q, dtype=torch.float64, device=raw.device)
    if values.dim() != 1:
        raise ValueError(f"q: shape {tuple(values.shape)}; give a list such as [0.1, 0.5, 0.9]")
    if not ((values > 0) & (values < 1)).all():
        raise ValueError(
            f"q: {values.tolist()} are not all between 0 and 1, both excluded; a level of 90 is "
            "the pair 0.05 and 0.95"
        )
    return values.view(-1, *[1] * (raw.dim() - 1))


def random_source(raw: Tensor, generator: torch.Generator | None) -> torch.device:
    """The device to draw random numbers on: that of the generator, or of ``raw`` without one."""
    return raw.device if generator is None else generator.device


def can_be_looked_at(tensor: Tensor) -> bool:
    """Whether its values can be read without waiting for a device or breaking a graph."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def check_range(name: str, target: Tensor) -> None:
    """Refuses targets beyond [-1, 1]; NaN passes."""
    wrong = target.abs() > 1
    if wrong.any():
        raise ValueError(
            f"target: {int(wrong.sum())} values such as {float(target[wrong][0]):g}, and output "
            f"{name!r} is for values between -1 and 1; divide by the largest that may occur"
        )


def scipy(part: Literal["special", "stats"]) -> Any:
    """A part of scipy, which has quantiles that torch lacks, loaded where one is asked for.

    Raises:
        ModuleNotFoundError: scipy is not installed.
    """
    need("the quantile of this output", "training", "scipy")
    return import_module(f"scipy.{part}")


def check_binary(name: str, target: Tensor) -> None:
    """Refuses targets that are not between 0 and 1; NaN passes."""
    wrong = (target < 0) | (target > 1)
    if wrong.any():
        raise ValueError(
            f"target: {int(wrong.sum())} values such as {float(target[wrong][0]):g} are neither 0 "
            f"nor 1, which output {name!r} is for; use one for counts or numbers, such as "
            "'poisson' or 'normal'"
        )


def as_classes(target: Tensor) -> Tensor:
    """Classes as int64, which PyTorch wants; refuses what is not integers."""
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise ValueError(f"target: {target.dtype} are not classes; use target.long()")
    return target.long()


def check_real(**tensors: Tensor) -> None:
    """Refuses complex numbers, whose imaginary part would be lost."""
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise ValueError(
                f"{name}: {tensor.dtype}; give real numbers, such as {name}.abs() or both parts"
            )


def check_classes(target: Tensor, classes: int) -> None:
    """Refuses targets that are not one of the classes."""
    target = as_classes(target)
    if target.numel() and not 0 <= target.min() <= target.max() < classes:
        raise ValueError(
            f"target: classes from {int(target.min())} to {int(target.max())}; they lie between 0 "
            f"and {classes - 1}"
        )


def numbers_of(name: str, values: object) -> tuple[float, ...]:
    """Numbers in an order, checked to be so; infinite if too large for a float.

    Of a mapping the keys would be taken, and of a set the order would be any.
    """
    try:
        unordered = isinstance(values, str | bytes | Mapping | Set)
        numbers = [] if unordered else list(values)  # type: ignore[call-overload]
    except TypeError:  # not iterable, or a tensor or array of a single number
        unordered = True
    if unordered or not all(map(is_number, numbers)):
        raise TypeError(f"{name}: {values!r} is not a sequence of numbers; give a list of them")
    return tuple(map(as_float, numbers))


def is_number(value: object) -> bool:
    """Whether it is a single real number, perhaps in a tensor; True and False are not."""
    if isinstance(value, Tensor):
        return value.dim() == 0 and not value.is_complex() and value.dtype != torch.bool
    return isinstance(value, Real) and not isinstance(value, bool)


def check_number(name: str, value: object, *, above: float) -> None:
    """Refuses anything but a finite number above ``above``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {value!r} is not a number")
    if not above < as_float(value) < math.inf:
        raise ValueError(f"{name}: {value} is not a finite number above {above:g}")
