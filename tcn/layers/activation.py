"""What ``activation="..."`` means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tcn.layers.module import Pointwise
from tcn.saving.description import recorded


class ScaledTanh(Pointwise):
    """``1.7159 tanh(2 x / 3)``, which is 1 at 1 and -1 at -1.

    Source: LeCun et al. 1998 (Gradient-based learning), section II.B and appendix A.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, channels, *sizes)`` to the same."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class FastTanh(Pointwise):
    """A ratio of polynomials close to tanh: off by at most 3e-3 up to inputs of 20, 8e-3 beyond.

    Source: NeuralAmpModelerCore, NAM/activations.h, ``fast_tanh``.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, channels, *sizes)`` to the same."""
        size, square = x.abs(), x * x
        above = 2.45550750702956 * (1 + size)
        above = above + (0.893229853513558 + 0.821226666969744 * size) * square
        below = (x + 0.814642734961073 * x * size).abs()
        return x * above / (2.44506634652299 + (2.44506634652299 + square) * below)


class LeakyHardtanh(Pointwise):
    """The input between two limits, and lines of other slopes outside them.

    Source: NeuralAmpModelerCore, NAM/activations.h, ``leaky_hardtanh``.
    """

    @recorded
    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        min_slope: float = 0.01,
        max_slope: float = 0.01,
    ) -> None:
        """Sets the limits and the slopes below and above them.

        Raises:
            ValueError: if ``min_val`` is above ``max_val``.
        """
        super().__init__()
        if min_val > max_val:
            raise ValueError(f"min_val: {min_val} is above max_val={max_val}; swap them")
        self.min_val, self.max_val = min_val, max_val
        self.min_slope, self.max_slope = min_slope, max_slope

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, channels, *sizes)`` to the same."""
        within = x.clamp(self.min_val, self.max_val)
        outside = x - within
        return within + torch.where(outside < 0, self.min_slope, self.max_slope) * outside

    def extra_repr(self) -> str:
        """The limits and slopes."""
        return f"{self.min_val}, {self.max_val}, {self.min_slope}, {self.max_slope}"


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
