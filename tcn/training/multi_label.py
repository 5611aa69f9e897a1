"""The tasks of several channels of yes or no, apart or together."""

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tcn.models.joint import JointModel
from tcn.outputs import NADE
from tcn.training.batch import Batch
from tcn.training.schedules import Schedule
from tcn.training.targets import is_valid, valid_values
from tcn.training.task import Task


class MultiLabel(Task):
    """Binary cross entropy of independent channels, such as the 88 keys of a piano.

    Targets: floats 0 or 1 shaped like the output, ``(batch, channels, time)``. The loss is summed
    over the channels and valid steps of a sequence and averaged over the sequences of the batch.
    Logs ``*_loss`` and ``{val,test}_nll``: the total over all sequences divided by their total
    number of steps, as Bai et al. 2018 report music (nats per frame; not the mean over sequences of
    their means). Predicts the probability of each channel.
    """

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_nll", "min"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        sequences = output.shape[0]
        return self._total(output, batch)[0] / max(sequences, 1), sequences

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        total, steps = self._total(output, batch)
        self.log_mean(f"{stage}_nll", total / max(steps, 1), steps)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """Probability of each channel."""
        return output.sigmoid()

    def _total(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """Sum over all channels and valid steps, and the number of these steps."""
        values, target = valid_values(output, batch)
        total = functional.binary_cross_entropy_with_logits(values, target, reduction="sum")
        return total, target.numel() // output.shape[1]


class JointMultiLabel(MultiLabel):
    """Negative log likelihood of channels that depend on each other, such as the keys of a chord.

    Targets, ``*_loss`` and ``{val,test}_nll`` are those of ``MultiLabel``, so the two compare; only
    the distribution differs, which is the exact one of a ``JointModel``. Predicts the likelier
    value of each channel given those before it.

    Raises:
        TypeError: the net is no ``tcn.models.JointModel``.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        if not isinstance(self.net, JointModel):
            raise TypeError(
                f"net: {type(self.net).__name__} says nothing of channels together; use a "
                "tcn.models.JointModel around the backbone, or the task MultiLabel"
            )

    @override
    def predict(self, output: Tensor) -> Tensor:
        """The likelier value of each channel given those before it, 0 or 1."""
        return self._joint.mean(output)

    @property
    def _joint(self) -> NADE:
        assert isinstance(self.net, JointModel)
        return self.net.output

    @override
    def _total(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        valid = torch.ones_like(output[:, 0], dtype=torch.bool)
        if batch.lengths is not None:
            valid = is_valid(output.shape[-1], batch.lengths)
        rows, target = output.movedim(1, -1)[valid], batch.y.movedim(1, -1)[valid]
        return self._joint.losses(rows, target).sum(), len(rows)
