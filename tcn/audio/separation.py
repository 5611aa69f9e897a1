"""The task of taking a sum of sounds apart."""

from types import MappingProxyType

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics.functional.audio import (
    permutation_invariant_training,
    scale_invariant_signal_distortion_ratio,
)
from typing_extensions import override

from tcn.layers.running import at_least_float32
from tcn.training.batch import Batch
from tcn.training.schedules import Schedule
from tcn.training.task import Task


class Separation(Task):
    """Scale-invariant signal-to-distortion ratio of the sources, in whichever order is best.

    Inputs: sums ``(batch, 1, time)``; targets and outputs: the sources, ``(batch, sources, time)``.
    Logs ``*_loss``, the negative ratio in decibels, ``{val,test}_si_sdr``, and
    ``{val,test}_improvement``: by how much it is above that of the sum itself. All are means over
    the sources of all mixtures. A net whose outputs lag, by its attribute ``delay``, is compared
    with targets that are as much later.

    Source: Luo & Mesgarani 2019, arXiv:1809.07454, section III-C; Le Roux et al. 2019,
    arXiv:1811.02508; Yu et al. 2017, arXiv:1607.00325 (permutation-invariant training).
    """

    modes = MappingProxyType({"loss": "min", "si_sdr": "max", "improvement": "max"})

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: Schedule | LRSchedulerCallable | None = None,
    ) -> None:
        """Takes the net, and how to build its optimizer and schedule.

        Args:
            net: the net to train; see ``Task``.
            optimizer: called with the parameters, returns the optimizer.
            lr_scheduler: called with the optimizer, returns the scheduler, see ``Task``; or a
                ``Schedule``.
        """
        super().__init__(net, optimizer=optimizer, lr_scheduler=lr_scheduler)
        self.delay: int = getattr(self.net, "delay", 0)

    @property
    @override
    def monitor(self) -> tuple[str, str]:
        return "val_si_sdr", "max"

    @override
    def loss(self, output: Tensor, batch: Batch) -> tuple[Tensor, float]:
        """The negative ratio, in decibels, and how many sources it is the mean of.

        Raises:
            ValueError: outputs and targets differ in shape, or there are lengths.
        """
        if batch.lengths is not None:
            raise ValueError("lengths: sounds of a batch must be equally long; cut or pad them")
        if self.delay:  # a causal net returns whole frames
            output = output[..., : batch.y.shape[-1]]
        if output.shape != batch.y.shape:
            raise ValueError(
                f"y has shape {tuple(batch.y.shape)} and the net gives {tuple(output.shape)}; "
                "targets are the sources, (batch, sources, time)"
            )
        if not len(output):
            return output.sum(), 0
        lagging, target = self._together(output, batch.y)
        # torchmetrics keeps its permutations; made in inference mode, no training could use them.
        with torch.inference_mode(False):
            best, _ = permutation_invariant_training(
                at_least_float32(lagging), target, scale_invariant_signal_distortion_ratio
            )
        return -best.mean(), output.shape[0] * output.shape[1]

    @override
    def evaluate(self, stage: str, output: Tensor, batch: Batch) -> None:
        loss, weight = self.loss(output, batch)
        if not weight:
            return
        mixed = batch.x.expand_as(batch.y)
        before = scale_invariant_signal_distortion_ratio(mixed, batch.y).mean()
        self.log_mean(f"{stage}_si_sdr", -loss, weight)
        self.log_mean(f"{stage}_improvement", -loss - before, weight)

    def _together(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not self.delay:
            return output, target
        return output[..., self.delay :], target[..., : -self.delay]
