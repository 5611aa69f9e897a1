"""The error message for a batch that holds, or leads to, numbers that are not finite."""

import torch
from torch import Tensor

from tcn.training.batch import Batch
from tcn.training.targets import Missing


def complaint(batch: Batch, loss: Tensor, where: str, missing: Missing | None) -> str | None:
    """What is wrong with the numbers of a training step and how to fix it, or None.

    Args:
        batch: as the step saw it.
        loss: of the step.
        where: such as ``"epoch 3, batch 17"``.
        missing: what the task does with targets that are NaN; None where it has no choice.
    """
    if torch.isfinite(batch.x).all() & torch.isfinite(loss):  # one wait for the device, not two
        return None
    if wrong := batch.x.numel() - int(torch.isfinite(batch.x).sum()):
        return (
            f"input x holds {wrong} NaN or infinite values of {batch.x.numel()} in {where}: "
            "fill them or leave those sequences out"
        )
    return _of_targets(batch, where, missing) or (
        f"training loss is {loss.item()} in {where}: lower the learning rate "
        "or set gradient_clip_val of the trainer"
    )


def check_targets(batch: Batch, loss: Tensor, where: str, missing: Missing | None) -> None:
    """Refuses targets that make a loss of validation or test NaN; takes what ``complaint`` takes.

    Raises:
        ValueError: ``missing`` is ``"refuse"``, and a target is NaN.
    """
    if missing == "refuse" and loss.isnan() and batch.y.isnan().any():
        raise ValueError(_of_targets(batch, where, missing))


def _of_targets(batch: Batch, where: str, missing: Missing | None) -> str | None:
    ignored = batch.y.isnan() if missing == "ignore" else torch.zeros_like(batch.y).bool()
    wrong = int((~(torch.isfinite(batch.y) | ignored)).sum())
    if not wrong:
        return None
    kind = "infinite" if missing == "ignore" else "NaN or infinite"
    cure = "; a task with missing='ignore' leaves NaN out" if missing == "refuse" else ""
    return (
        f"target y holds {wrong} {kind} values of {batch.y.numel()} in {where}: "
        f"fill them or leave those sequences out{cure}"
    )
