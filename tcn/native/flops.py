"""What ``torch.utils.flop_counter`` counts for the kernels: 2 for each product that is added up.

Biases, activations and products with zeros around a sequence are counted, or not, as PyTorch does
for its own convolution and matrix products, so that a net has one number with kernels and without.
The formulas wait until the counter is imported: with it comes a compiler, which takes a second.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from math import prod
from types import ModuleType
from typing import Any

import torch

COUNTER = "torch.utils.flop_counter"
Size = Sequence[int]


def _convolve(x: Size, weight: Size, *rest: Any, out_shape: Sequence[Size], **_: Any) -> int:
    batch, steps = out_shape[0][0], out_shape[0][2]
    return 2 * batch * steps * prod(weight)


def _convolve_backward(gradient: Size, x: Size, weight: Size, *rest: Any, **_: Any) -> int:
    batch, steps = gradient[0], gradient[2]
    wanted = rest[-1]
    products = wanted[0] + (wanted[1] or wanted[2])
    return 2 * batch * steps * prod(weight) * products


def _recur(
    x: Size, state: Size, memory: Any, weight_ih: Size, weight_hh: Size, *_: Any, **__: Any
) -> int:
    steps, batch = x[0], x[1]
    return 2 * steps * batch * (prod(weight_ih) + prod(weight_hh))


def _recur_backward(
    of_y: Any, of_memory: Any, x: Size, state: Size, memory: Any, weight_ih: Size, weight_hh: Size,
    *rest: Any, **_: Any,
) -> int:  # fmt: skip
    steps, batch = x[0], x[1]
    of_x, of_weights = rest[-1]
    by_inputs, by_state = prod(weight_ih), prod(weight_hh)
    products = by_state + of_x * by_inputs + of_weights * (by_inputs + by_state)
    return 2 * steps * batch * products


def _register(counter: ModuleType) -> None:
    for name, formula in FORMULAS.items():
        operator = getattr(torch.ops.tcn, name, None)  # those of recurrence are defined later
        if operator is not None and operator not in counter.flop_registry:
            counter.register_flop_formula(operator)(formula)


FORMULAS: dict[str, Callable[..., int]] = {
    "convolve": _convolve,
    "convolve_backward": _convolve_backward,
    "recur": _recur,
    "recur_backward": _recur_backward,
}


class _Waiting(MetaPathFinder):
    """Finds the counter as it would be found anyway, and adds the formulas once it is there."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Nothing but the counter."""
        if name != COUNTER or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                _register(module)

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_when_imported() -> None:
    """Adds the formulas now if the counter is there, otherwise as soon as it is imported."""
    if COUNTER in sys.modules:
        _register(sys.modules[COUNTER])
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())
