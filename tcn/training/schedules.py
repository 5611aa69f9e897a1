"""Learning-rate schedules over a whole run, however many steps the trainer will take."""

import math
from abc import ABC, abstractmethod

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from typing_extensions import override

from tcn.layers.validation import check_share, check_switch


class Schedule(ABC):
    """Builds a scheduler that is stepped after every optimizer step.

    A task calls it with the total number of steps of its trainer, so that a configuration need not
    repeat a number that follows from the data, the batch size and the epochs.
    """

    @abstractmethod
    def __call__(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        """The scheduler of ``optimizer`` for a run of ``total_steps`` optimizer steps."""


class OneCycle(Schedule):
    """A rise to ``max_lr``, then a long fall to nearly 0 (PyTorch's ``OneCycleLR``).

    Source: Smith and Topin 2018, arXiv:1708.07120. The defaults are PyTorch's.
    """

    def __init__(
        self,
        max_lr: float,
        *,
        rise: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        cycle_momentum: bool = True,
    ) -> None:
        """Checks the shape of the cycle.

        Args:
            max_lr: highest learning rate; the optimizer's own is not used.
            rise: share of the run, between 0 and 1, in which the rate rises.
            div_factor: ``max_lr`` over the first learning rate.
            final_div_factor: the first learning rate over the last.
            cycle_momentum: also move the momentum against the learning rate, from 0.95 down to 0.85
                and back (Adam: its first beta).

        Raises:
            ValueError: ``max_lr`` is not positive or ``rise`` is not between 0 and 1.
            TypeError: ``cycle_momentum`` is not a bool.
        """
        if max_lr <= 0:
            raise ValueError(f"max_lr is {max_lr}: give a learning rate above 0")
        check_share("rise", rise)
        check_switch(cycle_momentum=cycle_momentum)
        self.max_lr = max_lr
        self.rise = rise
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.cycle_momentum = cycle_momentum

    @override
    def __call__(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        """The scheduler of ``optimizer`` for a run of ``total_steps`` optimizer steps.

        Raises:
            ValueError: ``cycle_momentum`` is True and the optimizer has no momentum to move.
        """
        # PyTorch would silently give RMSprop and SGD without momentum one of 0.95.
        if self.cycle_momentum and not {"betas", "momentum"} & _used(optimizer):
            raise ValueError(
                f"cycle_momentum is True and {type(optimizer).__name__} has no momentum: "
                "set cycle_momentum to False or give the optimizer a momentum"
            )
        return _OneCycleLR(
            optimizer,
            self.max_lr,
            total_steps=total_steps,
            pct_start=self.rise,
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
            cycle_momentum=self.cycle_momentum,
        )


class _OneCycleLR(OneCycleLR):
    """PyTorch's ``OneCycleLR``; its error says why, when a run goes on longer than planned."""

    @override
    def get_lr(self) -> list[float | Tensor]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"lr_scheduler: step {self.last_epoch} of a OneCycle that was built for "
                f"{self.total_steps} steps, and whose rate is almost 0; continue a run with the "
                "epochs it was begun with, or train on from its weights without --ckpt_path"
            )
        return super().get_lr()


class CosineDecay(Schedule):
    """Linear warm-up to the optimizer's learning rate, then half a cosine down.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, section 3, without restarts.
    """

    def __init__(self, *, warmup: float = 0.0, final: float = 0.0) -> None:
        """Checks the shape of the decay.

        Args:
            warmup: share of the run, between 0 and 1, in which the rate rises in equal steps.
            final: last learning rate as a share, between 0 and 1, of the optimizer's.

        Raises:
            ValueError: a share is not between 0 and 1.
        """
        check_share("warmup", warmup)
        check_share("final", final)
        self.warmup = warmup
        self.final = final

    @override
    def __call__(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        rising = round(self.warmup * total_steps)
        falling = max(1, total_steps - rising)

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / (rising + 1)
            progress = min(1.0, (step - rising) / falling)
            return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))

        return LambdaLR(optimizer, factor)


def _used(optimizer: Optimizer) -> set[str]:
    return {name for name, value in optimizer.defaults.items() if value}
