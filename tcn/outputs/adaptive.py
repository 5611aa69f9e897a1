"""Classes by the hundred thousand, of which a loss computes a few."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tcn.layers.validation import check_positive
from tcn.outputs.checks import can_be_looked_at, check_number
from tcn.outputs.classes import OfClasses
from tcn.saving.description import recorded


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss, OfClasses):
    """A categorical distribution over a large vocabulary; the loss is the cross entropy, in nats.

    The most frequent classes have a layer of their own and the others smaller ones, of which a loss
    computes only those that a target lies in; classes must be numbered by falling frequency. Raw
    numbers are the features of a net, ``(batch, channels, *axes)``: the last layer belongs to the
    output. Targets are int64 classes ``(batch, *axes)``; the point forecast is the likeliest class.
    Source: Grave et al. 2017, arXiv:1609.04309.
    """

    name: ClassVar[str] = "adaptive_softmax"

    @recorded
    def __init__(
        self, channels: int, classes: int, cutoffs: Sequence[int], *, division: float = 4.0
    ) -> None:
        """A distribution over ``classes``, read off ``channels`` features.

        Args:
            channels: of the net's features.
            classes: how many there are.
            cutoffs: numbers of the classes with which the clusters begin.
            division: how much narrower each cluster is than the one before.

        Raises:
            TypeError: a number is none, or ``cutoffs`` is not a list of integers.
            ValueError: the cutoffs do not rise from 1 to below ``classes``, or a cluster would have
                no channel left.
        """
        check_positive("channels", [channels])
        check_positive("classes", [classes])
        _check_clusters(cutoffs, classes, division, channels)
        super().__init__(channels, classes, list(cutoffs), div_value=division)
        self.classes = classes

    @property
    def size(self) -> int:
        """The channels of the features."""
        return self.in_features

    def layer(self, channels: int) -> nn.Module:
        """None: the features are read as they are."""
        if channels != self.size:
            raise ValueError(
                f"channels: an adaptive softmax of {self.size} channels behind a net of "
                f"{channels}; build it with channels={channels}"
            )
        return nn.Identity()

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        if can_be_looked_at(target):
            self.check_target(target)
        # At the precision of the raw numbers at least, whatever that of the weights.
        dtype = torch.promote_types(raw.dtype, self.head.weight.dtype)
        weights = {name: weight.to(dtype) for name, weight in self.named_parameters()}
        with _without_autocast(raw):
            rows = _rows(raw).to(dtype)
            found = torch.func.functional_call(self, weights, (rows, target.flatten())).output
        return -found.view(target.shape)

    def logits(self, raw: Tensor) -> Tensor:
        """Logarithms of the probabilities of all classes, ``(batch, classes, *axes)``."""
        self.check_raw(raw)
        with _without_autocast(raw):
            every = self.log_prob(_rows(raw).to(self.head.weight.dtype)).to(raw.dtype)
        return every.unflatten(0, (raw.shape[0], *raw.shape[2:])).movedim(-1, 1)

    def mean(self, raw: Tensor) -> Tensor:
        """The likeliest class, int64."""
        self.check_raw(raw)
        with _without_autocast(raw):
            found = self.predict(_rows(raw).to(self.head.weight.dtype))
        return found.view(raw.shape[0], *raw.shape[2:])


def _rows(raw: Tensor) -> Tensor:
    """``(batch, channels, *axes)`` to ``(n, channels)``."""
    return raw.movedim(1, -1).flatten(end_dim=-2)


def _without_autocast(raw: Tensor) -> AbstractContextManager[None]:
    """PyTorch's adaptive softmax cannot add up two precisions."""
    device = raw.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def _check_clusters(given: Any, classes: int, division: float, channels: int) -> None:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"cutoffs: {given!r} is not a list; give one, such as [{classes // 2}]")
    cutoffs = list(given)
    check_positive("cutoffs", cutoffs)
    check_number("division", division, above=0)
    edges = [0, *cutoffs, classes]
    if len(edges) == 2 or any(low >= high for low, high in itertools.pairwise(edges)):
        raise ValueError(
            f"cutoffs: {list(cutoffs)} do not rise from 1 to below the {classes} classes; give the "
            "numbers of the classes with which the clusters begin, or use one categorical output"
        )
    if division < 1:
        raise ValueError(f"division: {division} is below 1; clusters cannot widen, give 1 or more")
    if channels < division ** len(cutoffs):
        raise ValueError(
            f"cutoffs: {len(cutoffs)} clusters of {channels} channels, narrowed by {division} "
            "each, leave none for the last; give fewer cutoffs or a smaller division"
        )
