"""Hundreds of thousands of classes, of which a loss computes a few."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tcn.layers.running import at_least_float32
from tcn.layers.validation import check_positive
from tcn.outputs.checks import can_be_looked_at
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
                f"channels: an adaptive softmax of {self.size} channels after a net of "
                f"{channels}; build it with channels={channels}"
            )
        return nn.Identity()

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        if can_be_looked_at(target):
            self.check_target(target)
        rows = _rows(raw).to(self.head.weight.dtype)
        found: Tensor = _precisely(self, rows, target.flatten()).output
        return -at_least_float32(found).view(target.shape)

    def logits(self, raw: Tensor) -> Tensor:
        """Logarithms of the probabilities of all classes, ``(batch, classes, *axes)``."""
        self.check_raw(raw)
        rows = raw.movedim(1, -1)
        every: Tensor = _precisely(self.log_prob, rows.flatten(end_dim=-2))
        return every.unflatten(0, rows.shape[:-1]).movedim(-1, 1)

    def mean(self, raw: Tensor) -> Tensor:
        """The likeliest class, int64."""
        self.check_raw(raw)
        found: Tensor = _precisely(self.predict, _rows(raw))
        return found.view(raw.shape[0], *raw.shape[2:])


def _rows(raw: Tensor) -> Tensor:
    """``(batch, channels, *axes)`` to ``(n, channels)``."""
    return raw.movedim(1, -1).flatten(end_dim=-2)


def _precisely(function: Callable[..., Any], rows: Tensor, *others: Tensor) -> Any:
    """Calls it without autocast: PyTorch's adaptive softmax cannot add up two precisions."""
    device = rows.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return function(rows, *others)
    with torch.autocast(device, enabled=False):
        return function(rows.float(), *others)


def _check_clusters(cutoffs: Sequence[int], classes: int, division: float, channels: int) -> None:
    edges = [0, *cutoffs, classes]
    if not cutoffs or any(low >= high for low, high in itertools.pairwise(edges)):
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
