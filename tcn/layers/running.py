"""Sums over everything so far, for the layers that stream statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tcn.layers.state import State
from tcn.layers.validation import check_state

EPSILON = 1e-5
"""Added to every variance before a norm divides by its root."""


def running_sum(module: nn.Module, x: Tensor, state: State | None) -> tuple[Tensor, Tensor]:
    """The sum of ``x`` up to every step of the last axis, and the sum to carry on with.

    Sums are kept in float64: a stream of millions of steps loses nothing that shows in float32.

    Args:
        module: the layer that asks, named in errors.
        x: ``(batch, channels, time)``.
        state: ``(batch, channels, 1)`` float64, the sum before this chunk; None for zero.

    Raises:
        ValueError: if the state does not fit.
    """
    total = x.double().cumsum(-1)
    if state is not None:
        total = total + check_state(module, state, tuple(total.shape[:-1]), total)
    return total, total[..., -1:]


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` as statistics are computed from it: in float32 if in half precision, else as it is.

    In float16 sums end at 65504 and counts lose their last digit at 2048.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def flatten_to_time(x: Tensor) -> Tensor:
    """Sums ``(batch, channels, height, time)`` over height; 1-D is left as it is."""
    return x if x.dim() == 3 else x.flatten(2, -2).sum(2)


def valid_steps(x: Tensor, mask: Tensor | None) -> Tensor:
    """``(batch, 1, *sizes)`` bool, the mask at full size."""
    if mask is None:
        return torch.ones_like(x[:, :1], dtype=torch.bool)
    return mask.expand_as(x[:, :1])
