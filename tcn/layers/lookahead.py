"""A bounded look-ahead, shared out over the convolutions of a net."""

from __future__ import annotations

from torch import nn

from tcn.layers.convolution import Convolution
from tcn.layers.validation import is_integer


def look_ahead(module: nn.Module, steps: int) -> nn.Module:
    """Lets a causal net see ``steps`` of the future, shared out over its convolutions, in place.

    Each gets its share in proportion to the steps that its taps span, so that the receptive field
    keeps its size and moves to the right, level by level.

    Args:
        module: a net whose convolutions follow each other; shortcuts of kernel_size 1 aside.
        steps: of the future under the taps of all convolutions together.

    Raises:
        ValueError: if ``steps`` is negative, more than the net's taps span, or if a convolution is
            strided or not causal.
    """
    convolutions = [m for m in module.modules() if isinstance(m, Convolution) and m.span[-1]]
    span = sum(convolution.span[-1] for convolution in convolutions)
    if not is_integer(steps) or not 0 <= steps <= span:
        raise ValueError(
            f"lookahead: {steps!r} is not between 0 and {span}, the steps that the taps of all "
            "convolutions span; use more levels or a larger kernel_size"
        )
    before = 0
    for convolution in convolutions:
        after = before + convolution.span[-1]
        convolution.look_ahead(steps * after // span - steps * before // span)
        before = after
    return module
