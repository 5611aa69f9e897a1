"""Which targets count: those of valid steps, except the ones to be ignored."""

from typing import Literal, get_args

import torch
from torch import Tensor

from tcn.layers.running import at_least_float32
from tcn.outputs.checks import as_classes, check_real
from tcn.training.batch import Batch

IGNORED = -100
"""A class target with this value is ignored by losses and metrics (PyTorch's own default)."""

Missing = Literal["refuse", "ignore"]
"""What happens to float targets that are NaN: the run stops, or they are ignored."""


def is_valid(time: int, lengths: Tensor) -> Tensor:
    """``(batch, time)`` bool: the steps before each row's length."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def valid_classes(batch: Batch) -> Tensor:
    """The targets, int64, with those beyond the lengths marked as ignored.

    Raises:
        ValueError: they are not integers.
    """
    target = as_classes(batch.y)
    if batch.lengths is None or target.ndim == 1:
        return target
    return target.masked_fill(~is_valid(target.shape[-1], batch.lengths), IGNORED)


def valid_values(output: Tensor, batch: Batch, *, known: bool = False) -> tuple[Tensor, Tensor]:
    """Output and target, flat, without the steps beyond the lengths, in float32 at least.

    With ``known``, values whose target is NaN are left out too.
    """
    check_shape(output, batch.y)
    values, target = output, as_floats(batch.y)
    if batch.lengths is not None and batch.y.ndim > 2:
        valid = is_valid(batch.y.shape[-1], batch.lengths)
        values, target = output.movedim(-1, 1)[valid], batch.y.movedim(-1, 1)[valid]
    if known:
        there = ~target.isnan()
        values, target = values[there], target[there]
    return at_least_float32(values.flatten()), at_least_float32(target.flatten())


def valid_rows(output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Output and target, ``(rows, channels)``: a row for each valid step, or each sequence."""
    check_shape(output, batch.y)
    values, target = output.movedim(1, -1), as_floats(batch.y).movedim(1, -1)
    if batch.lengths is not None and batch.y.ndim > 2:
        valid = _beside(batch.lengths, batch.y[:, 0]).expand(batch.y[:, 0].shape)
        values, target = values[valid], target[valid]
    return at_least_float32(values.flatten(0, -2)), at_least_float32(target.flatten(0, -2))


def as_floats(target: Tensor) -> Tensor:
    """The targets as they are if they are floats, else in float32: labels are often integers.

    Raises:
        ValueError: they are complex.
    """
    check_real(target=target)
    return target if target.is_floating_point() else target.float()


def is_known(batch: Batch) -> Tensor:
    """Bool, shaped like the targets: whether the step is valid and the target is not NaN."""
    known = ~batch.y.isnan()
    if batch.lengths is not None and batch.y.ndim > 2:
        known = known & _beside(batch.lengths, batch.y)
    return known


def observed(output: Tensor, batch: Batch, *, known: bool) -> Tensor:
    """Bool, shaped like the targets: whether the step is valid and, with ``known``, not NaN."""
    there = ~batch.y.isnan() if known else torch.ones_like(batch.y, dtype=torch.bool)
    if batch.lengths is None or output.ndim == 2 or batch.y.ndim < 2:
        return there
    return there & _beside(batch.lengths, batch.y)


def _beside(lengths: Tensor, y: Tensor) -> Tensor:
    """The valid steps as bool ``(batch, 1, ..., time)``, for targets ``(batch, ..., time)``."""
    time = y.shape[-1]  # said: of a share without rows it could not be worked out
    return is_valid(time, lengths).view(len(lengths), *[1] * (y.ndim - 2), time)


def check_missing(missing: str) -> None:
    """Refuses any word that is not one of ``Missing``."""
    if missing not in get_args(Missing):
        raise ValueError(
            f"missing: {missing!r} is not known; give 'refuse', which stops at a target that is "
            "NaN, or 'ignore', which leaves it out of losses and metrics"
        )


def check_classes(output: Tensor, target: Tensor) -> None:
    """Refuses targets that are not one class for each row and step of the output."""
    if output.shape[:1] + output.shape[2:] != target.shape:
        raise ValueError(
            f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: targets "
            "are (batch,) for outputs (batch, classes), (batch, time) for (batch, classes, time)"
        )


def check_shape(output: Tensor, target: Tensor) -> None:
    """Refuses targets that are not shaped like the output."""
    if output.shape != target.shape:
        raise ValueError(
            f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: targets "
            "are shaped like outputs, (batch, channels, time) or (batch, channels)"
        )
