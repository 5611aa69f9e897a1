"""Convolutions in two dimensions over the next step of the last axis: a row, or a pixel of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers import Context, Conv2d, State
from tcn.layers.passing import advance


def with_latest(x: Tensor, state: State | None) -> State:
    """The state of a convolution, which is its latest inputs, with another last one."""
    assert isinstance(state, Tensor)
    return append(state[..., :-1], x)


def append(past: Tensor, x: Tensor) -> Tensor:
    """The past and the next step of the last axis, with the zeros that the past has on the other.

    Args:
        past: ``(batch, channels, size with zeros, steps)``.
        x: ``(batch, channels, size, 1)``.
    """
    zeros = (past.shape[2] - x.shape[2]) // 2  # at both ends
    return torch.cat([past, F.pad(x, (0, 0, zeros, zeros)) if zeros else x], dim=3)


def advance_step(
    convolution: Conv2d, x: Tensor, state: State | None, context: Context
) -> tuple[Tensor, State | None]:
    """``advance`` of a convolution; over one step of the last axis as one over the other alone.

    The taps of that axis are then channels like others, and of a single pixel nothing but a product
    of matrices is left. PyTorch's convolution in two dimensions takes 2 to 10 times as long.

    Args:
        convolution: one of a :class:`tcn.models.pixel_stacks.PixelLayer`: dense, ``"same"`` on the
            other axis.
        x: ``(batch, channels, size, steps)``; of several steps it is the layer's own ``advance``.
        state: see there.
        context: see there.
    """
    one_step = context.streaming and context.mask is None and x.shape[3] == 1
    if not one_step or type(convolution) is not Conv2d:
        return advance(convolution, x, state, context)
    if state is None and convolution.context_size:
        return advance(convolution, x, None, context)
    state = x[..., :0] if state is None else state
    assert isinstance(state, Tensor)
    window, weight, taps = append(state, x), convolution.weight, convolution.kernel_size[1]
    seen = window[..., :taps]  # without the present, where it is excluded
    if window.shape[2] == convolution.kernel_size[0]:
        y = F.linear(seen.flatten(1), weight.flatten(1), convolution.bias)[..., None, None]
    else:
        seen, weight = (each.transpose(2, 3).flatten(1, 2) for each in (seen, weight))
        y = F.conv1d(seen, weight, convolution.bias).unsqueeze(3)
    return y, window[..., 1:]
