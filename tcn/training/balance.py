"""Weights that offset rare classes, given or worked out from the targets of the training data."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from tcn.outputs import Bernoulli
from tcn.outputs.checks import is_number, numbers_of
from tcn.training.batch import Batch
from tcn.training.processes import gathered

BALANCED = "balanced"
LARGEST = 1e30
"""With a larger weight a sum of losses may be infinite in float32."""


class Weights:
    """One weight for each class or channel, or no weights.

    Attributes:
        balanced: whether the weights are worked out from the training targets when a fit begins.
        values: the weights; None if there are none, or none yet.
    """

    def __init__(
        self,
        name: str,
        given: float | Sequence[float] | Tensor | str | None,
        *,
        single: bool = False,
    ) -> None:
        """Checks the weights as they were given.

        Args:
            name: of the argument, for messages.
            given: numbers, ``"balanced"`` or None.
            single: whether a single number, for all, is accepted too.

        Raises:
            ValueError: a number is negative or not finite, no number is above 0, or the word is not
                ``"balanced"``.
            TypeError: ``given`` is not a sequence of numbers.
        """
        if isinstance(given, str) and given != BALANCED:
            raise ValueError(f"{name}: {given!r} is not known; give numbers, or {BALANCED!r}")
        self.name = name
        self.balanced = isinstance(given, str)
        self.for_all = single and is_number(given)
        self.values = None
        if given is not None and not isinstance(given, str):
            self.values = _checked(name, [given] if self.for_all else given)

    @property
    def present(self) -> bool:
        """Whether anything is weighted."""
        return self.balanced or self.values is not None

    def of(self, output: Tensor) -> Tensor:
        """``(channels,)``: a weight for each channel of an output, at least in float32.

        Raises:
            ValueError: there is not one weight for each channel, or they are not worked out yet.
        """
        if self.values is None:
            raise ValueError(
                f"{self.name}: {BALANCED!r} is worked out from the training data when a fit "
                "begins, and this task has had none; give the ckpt_path of a fit, or the numbers"
            )
        values, channels = self.values, output.shape[1]
        if self.balanced and len(values) > channels:
            raise ValueError(
                f"target: {len(values)} classes or channels in the training data, for an output of "
                f"{channels} channels; build the net with as many, or correct the targets"
            )
        if self.for_all:
            values = values * channels
        if self.balanced:
            values = values + [1.0] * (channels - len(values))
        if len(values) != channels:
            raise ValueError(
                f"{self.name}: {len(values)} weights for an output of {channels} channels; "
                "give one for each"
            )
        dtype = torch.promote_types(output.dtype, torch.float32)
        return torch.tensor(values, dtype=dtype, device=output.device)


def training_batches(trainer: pl.Trainer, name: str) -> Iterator[Batch]:
    """One pass through the training data, this process's part of it; uses up no random numbers.

    Raises:
        ValueError: the length of the data is not known; ``name`` is the argument that asked.
    """
    trainer.fit_loop.setup_data()
    count = trainer.num_training_batches
    if math.isinf(count):
        raise ValueError(
            f"{name}: {BALANCED!r} needs a pass through the training data, and how long they are "
            "is not known; give the numbers, or set limit_train_batches of the trainer"
        )
    loader: Any = trainer.train_dataloader
    owners: list[Any] = [loader, getattr(loader, "sampler", None)]
    found = (getattr(owner, "generator", None) for owner in owners)
    own = [generator for generator in found if generator is not None]
    before = [generator.get_state() for generator in own]
    with isolate_rng():
        for batch in islice(() if loader is None else loader, int(count)):
            yield Batch(*trainer.strategy.batch_to_device(batch))
    for generator, state in zip(own, before, strict=True):
        generator.set_state(state)


def balanced_classes(targets: Iterator[Tensor]) -> list[float]:
    """A weight for each class: ``targets / (classes * targets of the class)``, over all processes.

    All classes then have the same total weight, and the mean weight of a target is 1
    (scikit-learn's ``class_weight="balanced"``). A class without targets has the weight 1.

    Raises:
        ValueError: a class is negative.
    """
    here: Counter[int] = Counter()
    for target in targets:
        classes, counts = target.unique(return_counts=True)
        if len(classes) and classes[0] < 0:
            raise ValueError(f"target: class {int(classes[0])}; classes are numbered from 0")
        here.update(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
    found: Counter[int] = sum(gathered(here), Counter())
    total = found.total()
    return [
        total / (len(found) * found[label]) if label in found else 1.0
        for label in range(max(found, default=-1) + 1)
    ]


def balanced_channels(targets: Iterator[Tensor]) -> list[float]:
    """The weight of a 1 in each channel: the number of 0 for each 1, over all processes.

    The ones and the zeros of a channel then have the same total weight. A channel that is always 1
    or always 0 has the weight 1. ``targets`` are ``(rows, channels)``, 0, 1 or NaN.

    Raises:
        ValueError: a target is below 0 or above 1.
    """
    yes: Any = 0
    no: Any = 0
    for target in targets:
        Bernoulli().check_target(target)
        yes = yes + target.nansum(0).double().cpu()
        no = no + (1 - target).nansum(0).double().cpu()
    parts = [part for part in gathered((yes, no)) if isinstance(part[0], Tensor)]
    pairs = zip(*(sum(each).tolist() for each in zip(*parts, strict=True)), strict=True)
    return [no / yes if no and yes else 1.0 for yes, no in pairs]


def _checked(name: str, given: object) -> list[float]:
    values = list(numbers_of(name, given))
    if not all(0 <= value <= LARGEST for value in values) or not any(values):
        raise ValueError(
            f"{name}: {values} are not weights; give numbers from 0 to {LARGEST:g}, some above 0"
        )
    return values
