"""The task of classes, of whole sequences or of every step."""

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from tcn.layers.running import at_least_float32
from tcn.training.batch import Batch
from tcn.training.schedules import Schedule
from tcn.training.targets import IGNORED, check_classes, is_valid, valid_classes
from tcn.training.task import Task


class Classification(Task):
    """Mean cross entropy, in nats, over all sequences or over all valid steps of them.

    Targets: int64 classes, ``(batch,)`` for outputs ``(batch, classes)`` or ``(batch, time)`` for
    ``(batch, classes, time)``; -100 counts nowhere. Logs ``*_loss``, ``{val,test}_accuracy`` and,
    with ``last``, ``{val,test}_last_accuracy``; predicts the probabilities of the classes.

    Args:
        net, optimizer, lr_scheduler: see ``Task``.
        last: also measure the accuracy over this many final valid steps of each sequence (Bai et
            al. 2018, figure 5: the 10 symbols to be remembered in copying memory).
        label_smoothing: in training this share of every target goes to all classes alike (Szegedy
            et al. 2016, arXiv:1512.00567, section 7); losses of validation and test have none.

    Raises:
        ValueError: ``last`` is not positive, or it is given and the targets have no time axis;
            ``label_smoothing`` is not from 0 to below 1.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        last: int | None = None,
        label_smoothing: float = 0.0,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if last is not None and last < 1:
            raise ValueError(f"last is {last}: give 1 step or more, or None")
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing is {label_smoothing}: give a share from 0 to below 1"
            )
        self.last = last
        self.label_smoothing = label_smoothing
        self.val_accuracy = _accuracy()
        self.test_accuracy = _accuracy()
        if last is not None:
            self.val_last_accuracy = _accuracy()
            self.test_last_accuracy = _accuracy()

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        # Accuracy over all steps may be high by chance: 99 % in copying memory, mostly blanks.
        if self.last is not None or getattr(self.net, "readout_name", None) == "every":
            return "val_loss", "min"
        return "val_accuracy", "max"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        smoothing = self.label_smoothing if self.training else 0.0
        return _cross_entropy(output, valid_classes(batch), smoothing)

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        target = valid_classes(batch)
        self.log_metric(f"{stage}_accuracy", output, target)
        if self.last is not None:
            final = _final_classes(target, batch.lengths, self.last)
            self.log_metric(f"{stage}_last_accuracy", output, final)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probabilities of the classes, along dimension 1."""
        return output.softmax(dim=1)


def _accuracy() -> MulticlassAccuracy:
    return MulticlassAccuracy(average="micro", ignore_index=IGNORED, validate_args=False)


def _final_classes(target: Tensor, lengths: Tensor | None, last: int) -> Tensor:
    if target.ndim != 2:
        raise ValueError(
            f"last={last} needs targets (batch, time), got {tuple(target.shape)}: "
            "leave last out when a sequence has one target"
        )
    time = target.shape[1]
    if lengths is None:
        lengths = torch.full((target.shape[0],), time, device=target.device)
    return target.masked_fill(is_valid(time, lengths - last), IGNORED)


def _cross_entropy(output: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, int]:
    check_classes(output, target)
    count = int((target != IGNORED).sum())
    total = functional.cross_entropy(
        at_least_float32(output),
        target,
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    return total / max(count, 1), count
