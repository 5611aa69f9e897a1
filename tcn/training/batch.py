"""What a data module hands to a task."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """One batch of sequences.

    Attributes:
        x: inputs, ``(batch, channels, time)`` floats or ``(batch, time)`` int64 tokens.
        y: targets. One per step: ``(batch, time)`` int64 classes or ``(batch, channels, time)``
            floats. One per sequence: ``(batch,)`` int64 classes or ``(batch, channels)`` floats.
        lengths: ``(batch,)`` int64, the valid steps of each row when the rows are padded on the
            right; ``None`` when every row is whole.
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
