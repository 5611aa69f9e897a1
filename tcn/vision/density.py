"""The task of density estimation: how likely a net finds an image, pixel by pixel."""

import math
from types import MappingProxyType

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from typing_extensions import override

from tcn.models import PixelCNN
from tcn.models.pixel_values import LEVELS, gives_probabilities
from tcn.outputs import Output
from tcn.outputs.checks import can_be_looked_at
from tcn.training import Batch, Prediction, Schedule, Task
from tcn.training.meaning import output_of, raw_of
from tcn.vision.loading import ImageDataModule


class DensityEstimation(Task):
    """Negative log-likelihood of images under a net that says what its numbers mean.

    The net has an output of :mod:`tcn.outputs` that gives probabilities: ``Bernoulli`` for black
    and white, ``Categorical(256)`` or ``Logistics(levels=256)`` for levels. It must see none of the
    pixel it predicts, as :class:`tcn.models.PixelCNN` does, which is given the targets as its
    input. Targets are those of the output, ``(batch, channel, height, width)``: see
    ``BinarizedMNIST``, and ``targets`` of the data modules of images.

    The loss is the mean over all values, in nats. Logs ``*_loss`` and, of the whole set,
    ``{val,test}_nats``, the mean over the images of the sum over their values, and
    ``{val,test}_bits_per_dimension``, the mean over all values divided by ln 2. Predicts the point
    forecast of the output.
    """

    modes = MappingProxyType({"loss": "min", "nats": "min", "bits_per_dimension": "min"})

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Checks that the net gives probabilities.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.

        Raises:
            TypeError: the net does not say what its numbers mean, or they are not probabilities.
            ValueError: the net is to be told the class of an image. In ``fit`` and ``test``: its
                output has other levels than the images of a data module.
        """
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        said = output_of(self.net)
        if said is None or not gives_probabilities(said):
            kind = "nothing of its numbers" if said is None else f"output {said.name!r}"
            raise TypeError(
                f"net: {type(self.net).__name__} says {kind}, which gives no probability of a "
                "pixel's value; give a net with an output such as "
                "tcn.outputs.Bernoulli() or Logistics(levels=256)"
            )
        if isinstance(self.net, PixelCNN) and self.net.classes is not None:
            raise ValueError(
                f"net: PixelCNN with classes={self.net.classes}, and this task hands in images "
                "without classes; build it with classes=None, or minimize net.loss(images, "
                "classes) in a loop of your own"
            )

    @override
    def setup(self, stage: str) -> None:
        levels = getattr(self._said, "levels", LEVELS)
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, ImageDataModule) and levels != LEVELS:
            raise ValueError(
                f"net: its output has levels={levels}, and the images of {type(data).__name__} "
                f"have {LEVELS}; build it with {type(self._said).__name__}(levels={LEVELS})"
            )

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_bits_per_dimension", "min"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        total, values = self._total(output, batch)
        return total / max(values, 1), values

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        total, values = self._total(output, batch)
        images = len(batch.y)
        self.log_mean(f"{stage}_nats", total / max(images, 1), images)
        bits = total / (max(values, 1) * math.log(2))
        self.log_mean(f"{stage}_bits_per_dimension", bits, values)

    @override
    def predict(self, output: Tensor) -> Tensor:
        """The point forecast of each pixel given those before it."""
        return self._said.mean(raw_of(self.net, output))

    @override
    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        return super().predict_step(self._seen(Batch(*batch)), batch_idx)

    @override
    def _own_rows(self, stage: str, batch: Batch, batch_idx: int) -> Batch:
        return self._seen(super()._own_rows(stage, batch, batch_idx))

    def _seen(self, batch: Batch) -> Batch:
        """The batch; a net of pixels takes the values that it gives probabilities of."""
        return batch._replace(x=batch.y) if isinstance(self.net, PixelCNN) else batch

    @property
    def _said(self) -> Output:
        said = output_of(self.net)
        assert said is not None
        return said

    def _total(self, output: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """Sum over all values in nats, and how many there are."""
        if can_be_looked_at(batch.y):
            self._said.check_target(batch.y)
        losses = self._said.losses(raw_of(self.net, output), batch.y)
        return losses.sum(), batch.y.numel()
