"""What the nets for images share: their input is looked at before any layer sees it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tcn.layers import Chain, Context, Dense, Dropout, Flatten, SequenceModule
from tcn.layers.pooling import AVERAGE_POOLS, MAX_POOLS
from tcn.layers.reach import Geometry, InSeries
from tcn.layers.validation import (
    SIZE_NAMES,
    check_input,
    check_positive,
    check_switch,
    per_axis,
)


class Classifier(Chain):
    """A chain of layers, usually ``features -> readout -> head``.

    ``(batch, in_channels, *sizes)`` to ``(batch, classes)``: logits, whose softmax are
    probabilities.
    """

    def _enter(
        self,
        x: Tensor,
        lengths: Tensor | None,
        condition: Tensor | None,
        mask: Tensor | None,
        *,
        streaming: bool,
    ) -> tuple[Tensor, Context]:
        check_input(self, x, self.in_channels, self.ndim)
        if not streaming and not torch.compiler.is_compiling():
            self._check_sizes(x)
        return super()._enter(x, lengths, condition, mask, streaming=streaming)

    def _check_sizes(self, x: Tensor) -> None:
        """Refuses images too small for the layers with windows, or for one step of the last."""
        for axis, least in enumerate(self._least_sizes()):
            if x.shape[axis + 2] >= least or (axis == self.ndim - 1 and self.streams):
                continue
            names = SIZE_NAMES[self.ndim].split(", ")
            raise ValueError(
                f"x: shape {tuple(x.shape)}, {names[axis]} {x.shape[axis + 2]}; "
                f"{type(self).__name__} needs {least} of it: enlarge or pad x to at least {least}"
            )

    def _least_sizes(self) -> tuple[int, ...]:
        """The fewest input steps that every layer has enough of, per axis."""
        if "_least_found" not in vars(self):
            before = InSeries(itertools.takewhile(lambda part: not _reads_out(part), self))
            wanted = [1] * self.ndim
            for part in self:
                if isinstance(part, Flatten) and self.ndim == 2:  # a sequence may be shorter
                    wanted = list(part.sizes)
            axes = range(-self.ndim, 0)
            self._least_found = tuple(map(least_size, [before] * self.ndim, axes, wanted))
        return self._least_found


def _reads_out(part: nn.Module) -> bool:
    return isinstance(part, SequenceModule) and part.reads_out


def least_size(features: Geometry, axis: int, steps: int = 1) -> int:
    """The fewest steps of which ``features`` make so many, each of its rate at least."""
    size = steps * math.ceil(features.rate_along(axis))
    while features.out_steps(size, axis) < steps:
        size += 1
    return size


class Placing(NamedTuple):
    """Where windows lie along each axis: behind their own position where a net is causal."""

    ndim: int
    causal: tuple[bool, ...]

    @classmethod
    def of(cls, causal: bool | Sequence[bool], ndim: int) -> Placing:
        """From what a net is told.

        Raises:
            TypeError: if ``causal`` is neither True nor False.
            ValueError: if it has another number of axes.
        """
        axes = per_axis("causal", causal, ndim)
        for axis in axes:
            check_switch(causal=axis)
        return cls(ndim, tuple(map(bool, axes)))

    def padding(self, otherwise: str | int = "same") -> list[Any]:
        """``"causal"``, or the other one, per axis."""
        return ["causal" if causal else otherwise for causal in self.causal]

    def max_pool(self, kernel_size: int, stride: int, otherwise: str | int) -> nn.Module:
        """A pool of the largest values."""
        return MAX_POOLS[self.ndim](kernel_size, stride=stride, padding=self.padding(otherwise))

    def average_pool(self, kernel_size: int, stride: int, otherwise: str | int) -> nn.Module:
        """A pool of means."""
        return AVERAGE_POOLS[self.ndim](kernel_size, stride=stride, padding=self.padding(otherwise))


def dense_head(
    channels: int,
    sizes: Sequence[int],
    classes: int,
    *,
    width: int,
    dropout: float,
    dropout_last: bool = True,
) -> dict[str, nn.Module]:
    """The three dense layers at the end of AlexNet, ZFNet and VGG.

    Args:
        channels: channels of the features.
        sizes: steps of the features per axis.
        classes: numbers that are returned.
        width: channels of the two hidden layers.
        dropout: share of values dropped in training.
        dropout_last: whether values are dropped before the second and the third layer, as in VGG;
            otherwise before the first and the second, as in AlexNet.
    """
    flatten = Flatten(channels, sizes)
    drops = (False, True, True) if dropout_last else (True, True, False)
    drop: list[dict[str, nn.Module]] = [
        {f"dropout{index}": Dropout(dropout)} if asked else {}
        for index, asked in enumerate(drops, 1)
    ]
    return {
        "flatten": flatten,
        **drop[0], "dense1": Dense(flatten.out_channels, width), "relu1": nn.ReLU(),
        **drop[1], "dense2": Dense(width, width), "relu2": nn.ReLU(),
        **drop[2], "dense3": Dense(width, classes),
    }  # fmt: skip


def steps_behind(features: Any, input_size: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Steps per axis that a net of convolutions makes of an input.

    Raises:
        ValueError: if nothing is left of it.
    """
    given = per_axis("input_size", input_size, ndim)
    check_positive("input_size", given)
    least = tuple(least_size(features, axis) for axis in range(-ndim, 0))
    sizes = tuple(
        features.out_steps(size, axis) for size, axis in zip(given, range(-ndim, 0), strict=True)
    )
    if min(sizes) < 1:
        raise ValueError(
            f"input_size: {given} is too small, nothing is left of it behind the convolutions and "
            f"pools; give at least {least}"
        )
    return sizes


def load_renamed(
    net: nn.Module,
    found: Mapping[str, Tensor],
    names: Mapping[str, str],
    example: str,
    library: str = "torchvision",
) -> None:
    """Loads tensors under other names.

    Args:
        net: the net to load into.
        found: the checkpoint's tensors.
        names: the checkpoint's name of every tensor of the net.
        example: a name that such a checkpoint has, for errors.
        library: where such checkpoints come from, likewise.

    Raises:
        ValueError: if a tensor is missing, superfluous, or of another shape.
    """
    own = net.state_dict()
    for name, there in names.items():
        if there not in found:
            raise missing(there, found, example, library)
        if found[there].shape != own[name].shape:
            raise ValueError(
                f"state_dict: {there} has shape {tuple(found[there].shape)}, expected "
                f"{tuple(own[name].shape)}; these weights are of another net"
            )
    rest = sorted(found.keys() - set(names.values()))
    if rest:
        raise ValueError(
            f"state_dict: {rest[0]!r} has no place in {type(net).__name__}; expected keys such as "
            f"{example!r}: load it into the net it was saved from"
        )
    net.load_state_dict({name: found[there] for name, there in names.items()})


def missing(
    name: str, found: Mapping[str, Tensor], example: str, library: str = "torchvision"
) -> ValueError:
    """The error for a checkpoint without a tensor."""
    return ValueError(
        f"state_dict: no tensor for {name}; expected keys such as {example!r}, found "
        f"{sorted(found)[:4]} ...: give the state_dict of {library}'s net"
    )


def in_order(net: nn.Module, modules: Sequence[str]) -> dict[str, str]:
    """Names of the checkpoint's tensors, from those of its modules in the order of the net's.

    Args:
        net: whose modules with weights follow each other as the checkpoint's.
        modules: the checkpoint's names of them.
    """
    own = [name for name, part in net.named_modules() if part._parameters]
    state = net.state_dict()
    pairs = list(zip(own, modules, strict=True))
    return {
        key: f"{there}.{key.removeprefix(f'{here}.')}"
        for here, there in pairs
        for key in state
        if key.startswith(f"{here}.")
    }
