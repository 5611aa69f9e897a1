"""How a net becomes operations of :mod:`tcn.native.stream`: each kind of layer has a translator.

A translator is one function that says, operation by operation, what a layer computes in evaluation
mode and what it remembers between chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tcn.layers import FastTanh
from tcn.native.operations import Activation, Value
from tcn.native.stream import Builder

States = Any
"""The form of a state: nested tuples of :class:`tcn.native.rows.Slot`."""

Translator = Callable[[Builder, Any, Value], tuple[Value, States]]
"""Writes down what a layer does to a value; returns its output and the form of its state."""

TRANSLATORS: dict[type, Translator] = {}
"""By the class of the layer; a subclass that computes the same is translated alike. Filled by
:mod:`tcn.inference.compile`."""


class Declined(Exception):  # noqa: N818 (not an error: PyTorch serves)
    """Why a net does not run natively."""


class Misfit(Exception):  # noqa: N818 (compile_stream makes a ValueError of it)
    """A layer whose parameters do not fit it."""

    def __init__(self, module: nn.Module, reason: str) -> None:
        super().__init__(reason)
        self.module = module


def translate(builder: Builder, module: nn.Module, x: Value) -> tuple[Value, States]:
    """Writes down what a module does to a value; returns its output and the form of its state.

    Raises:
        Declined: if the module has no native form.
        Misfit: if its parameters do not fit it.
    """
    activation = activation_of(module)
    if activation is not None:
        return builder.activate(x, activation.function, *activation.parameters), ()
    for kind in type(module).__mro__:
        if kind in TRANSLATORS and behaves_as(module, kind):
            try:
                return TRANSLATORS[kind](builder, module, x)
            except ValueError as error:
                raise Misfit(module, str(error)) from error
    said = module if isinstance(module, nn.GELU) else type(module).__name__  # one of two kinds
    raise Declined(f"{said} has no native form")


def behaves_as(module: nn.Module, kind: type) -> bool:
    """Whether a layer's class computes what ``kind`` does, of which it may be a subclass."""
    methods = ("advance", "forward", "modulate", "_read", "apply_head", "_initial_state")
    return all(getattr(type(module), name, None) is getattr(kind, name, None) for name in methods)


# ----------------------------------------------------------------------- activations


_SELU = (1.0507009873554805, 1.6732632423543772, 1.0)

_ACTIVATIONS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    nn.Identity: lambda module: ("identity",),
    nn.ReLU: lambda module: ("relu",),
    nn.LeakyReLU: lambda module: ("leaky_relu", module.negative_slope),
    nn.ELU: lambda module: ("elu", 1.0, module.alpha, 1.0),
    nn.CELU: lambda module: ("elu", 1.0, module.alpha, 1.0 / module.alpha),
    nn.SELU: lambda module: ("elu", *_SELU),
    nn.SiLU: lambda module: ("silu",),
    nn.Mish: lambda module: ("mish",),
    nn.Tanh: lambda module: ("tanh",),
    nn.Sigmoid: lambda module: ("sigmoid",),
    nn.Softsign: lambda module: ("softsign",),
    nn.Hardtanh: lambda module: ("clamp", module.min_val, module.max_val),
    nn.ReLU6: lambda module: ("clamp", 0.0, 6.0),
    nn.Hardsigmoid: lambda module: ("hard_sigmoid",),
    nn.Hardswish: lambda module: ("hard_swish",),
    FastTanh: lambda module: ("fast_tanh",),
}


def activation_of(module: nn.Module) -> Activation | None:
    """The native form of a pointwise module of PyTorch; None if it has none."""
    if type(module) is nn.GELU and module.approximate == "none":
        return Activation("gelu")
    if type(module) is nn.PReLU and module.num_parameters == 1:
        return Activation("leaky_relu", (module.weight.item(),))
    if type(module) not in _ACTIVATIONS:
        return None
    function, *parameters = _ACTIVATIONS[type(module)](module)
    return Activation(function, tuple(parameters))
