"""What ``activation="..."`` means."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}
"""What ``activation="..."`` means."""


def activation_function(activation: str | Callable[[], nn.Module]) -> nn.Module:
    """The activation of that name, or what a builder makes.

    Raises:
        ValueError: if there is no activation of that name.
    """
    if not isinstance(activation, str):
        return activation()
    if activation not in ACTIVATIONS:
        names = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(f"activation: {activation!r} is not one of {names}")
    return ACTIVATIONS[activation]()
