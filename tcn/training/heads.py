"""Nets with more heads in training than in use, such as GoogLeNet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def every_head(net: nn.Module) -> Callable[..., Tensor] | None:
    """What returns ``(batch, heads, ...)`` of a net with ``head_weights``; None of any other.

    Such a net has ``training_heads(x, lengths)``, whose first head is what ``forward`` returns.
    """
    heads: Any = getattr(net, "training_heads", None)
    return heads if getattr(net, "head_weights", None) else None


def weighted(
    net: nn.Module, output: Tensor, loss: Callable[[Tensor], tuple[Tensor, float]]
) -> tuple[Tensor, float]:
    """The loss of every head by its weight, and the weight that a task's loss returns.

    The loss of any other net is that of its output.
    """
    weights: Any = getattr(net, "head_weights", None)
    if not weights:
        return loss(output)
    losses = [loss(head) for head in output.unbind(1)]
    total = sum(weight * value for weight, (value, _) in zip(weights, losses, strict=True))
    return total, losses[0][1]
