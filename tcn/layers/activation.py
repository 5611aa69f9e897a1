"""What ``activation="..."`` means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tcn.layers.module import Pointwise


class ScaledTanh(Pointwise):
    """``1.7159 tanh(2 x / 3)``, which is 1 at 1 and -1 at -1.

    Source: LeCun et al. 1998 (Gradient-based learning), section II.B and appendix A.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, channels, *sizes)`` to the same."""
        return 1.7159 * torch.tanh(x * (2 / 3))


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "scaled_tanh": ScaledTanh,
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
