"""What a data module hands to a task."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.layers import Context, SequenceModule


class Batch(NamedTuple):
    """One batch of sequences.

    Attributes:
        x: inputs, ``(batch, channels, time)`` floats or ``(batch, time)`` int64 tokens.
        y: targets. One per step: ``(batch, time)`` int64 classes or ``(batch, channels, time)``
            floats. One per sequence: ``(batch,)`` int64 classes or ``(batch, channels)`` floats.
        lengths: ``(batch,)`` int64, the valid steps of each row when the rows are padded on the
            right; ``None`` when every row is whole. They count steps of ``x``: after a stride or
            up-sampling, a step of ``y`` counts if its own position in ``x`` is valid.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None


class Prediction(NamedTuple):
    """What ``predict_step`` of a task returns for one batch.

    Attributes:
        y: predictions, shaped like the output of the net; each task says what they are.
        lengths: ``(batch,)`` int64, the valid steps of each row, or ``None`` as in ``Batch``.
            Steps of ``y`` beyond them mean nothing.
    """

    y: Tensor
    lengths: Tensor | None = None


def behind(net: nn.Module, batch: Batch) -> Batch:
    """The batch with its lengths converted to those of the outputs, if ``net`` changes the rate."""
    if batch.lengths is None or not isinstance(net, SequenceModule):
        return batch
    if net.preserves_length or net.reads_out:
        return batch
    steps = torch.arange(batch.x.shape[-1], device=batch.lengths.device)
    valid = steps < batch.lengths.view(-1, *[1] * (net.ndim + 1))
    mask = net.context_after(Context(valid), None).mask
    assert mask is not None
    return batch._replace(lengths=mask.flatten(1).sum(1))
