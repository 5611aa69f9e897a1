"""Which targets count: those of valid steps, and not those that are to be ignored."""

import torch
from torch import Tensor

from tcn.layers.running import at_least_float32
from tcn.training.batch import Batch

IGNORED = -100
"""A class target with this value counts in no loss and no metric (PyTorch's own default)."""


def is_valid(time: int, lengths: Tensor) -> Tensor:
    """``(batch, time)`` bool: the steps before each row's length."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def valid_classes(batch: Batch) -> Tensor:
    """The targets, those beyond the lengths ignored."""
    if batch.lengths is None or batch.y.ndim == 1:
        return batch.y
    return batch.y.masked_fill(~is_valid(batch.y.shape[-1], batch.lengths), IGNORED)


def valid_values(output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Output and target, flat, without the steps beyond the lengths, to be summed in float32."""
    _check_shape(output, batch.y)
    values: tuple[Tensor, Tensor] = output, batch.y
    if batch.lengths is not None and batch.y.ndim > 2:
        valid = is_valid(batch.y.shape[-1], batch.lengths)
        values = output.mT[valid], batch.y.mT[valid]
    return at_least_float32(values[0].flatten()), at_least_float32(values[1].flatten())


def check_classes(output: Tensor, target: Tensor) -> None:
    """Refuses targets that are not one class for each row and step of the output."""
    if output.shape[:1] + output.shape[2:] != target.shape:
        raise ValueError(
            f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: targets "
            "are (batch,) for outputs (batch, classes), (batch, time) for (batch, classes, time)"
        )


def _check_shape(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape:
        raise ValueError(
            f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: targets "
            "are shaped like outputs, (batch, channels, time) or (batch, channels)"
        )
