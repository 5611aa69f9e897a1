"""Weights with 16 bits."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

from tcn.inference.checks import check_net
from tcn.layers import SequenceModule

Net = TypeVar("Net", bound=SequenceModule)


@torch.no_grad()
def with_bfloat16_weights(net: Net) -> Net:
    """A copy whose weights are rounded to numbers of bfloat16, and still float32 in form.

    They are still held, and everything is computed, in float32. A native stream of a net that
    exceeds the second-level cache keeps such weights with 16 bits, so that a step of one row, which
    reads all of them, takes about a third of the time; its outputs are those of this copy. Each
    weight changes by up to 2^-9 of its size: measure what that does to your net, such as the loss
    of a validation set. Fold weight norm first.

    Args:
        net: a net in evaluation mode.

    Returns:
        The copy.

    Raises:
        TypeError: it is not a net that streams.
        ValueError: it is in training mode.
    """
    check_net(net)
    rounded = copy.deepcopy(net)
    for tensor in [*rounded.parameters(), *rounded.buffers()]:
        if tensor.is_floating_point():
            tensor.copy_(tensor.to(torch.bfloat16))
    return rounded
