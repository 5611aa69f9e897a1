"""What outputs ask of their arguments and targets, and where their random numbers come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib import import_module
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

from tcn.extras import need
from tcn.layers.validation import is_integer


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


def check_classes(target: Tensor, classes: int) -> None:
    """Refuses targets that are not one of the classes."""
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise ValueError(f"target: {target.dtype} are not classes; use target.long()")
    if target.numel() and not 0 <= target.min() <= target.max() < classes:
        raise ValueError(
            f"target: classes from {int(target.min())} to {int(target.max())}; they lie between 0 "
            f"and {classes - 1}"
        )


def numbers_of(name: str, values: object) -> tuple[float, ...]:
    """A sequence of numbers, checked to be one."""
    numbers = None if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    if numbers is None or not all(isinstance(value, Real | Tensor) for value in numbers):
        raise TypeError(f"{name}: {values!r} is not a sequence of numbers; give a list of them")
    return tuple(map(float, numbers))


def check_number(name: str, value: object, *, above: float) -> None:
    """Refuses anything but a finite number above ``above``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {value!r} is not a number")
    if not above < float(value) < math.inf:
        raise ValueError(f"{name}: {value} is not a finite number above {above:g}")


def check_count(name: str, value: int) -> None:
    """Refuses anything but an integer of at least 1."""
    if not is_integer(value):
        raise TypeError(f"{name}: {value!r} is not an integer")
    if value < 1:
        raise ValueError(f"{name}: {value}; give 1 or more")
