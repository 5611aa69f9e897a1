"""Which of a net's numbers is asked about: a class, or a channel at a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tcn.explain.layers import evaluate, recording
from tcn.layers.validation import is_integer

Target = int | Sequence[int] | None
"""A class of ``(batch, classes)``; ``(channel, step)`` of a sequence; None: the only number."""


class Asked(nn.Module):
    """A net that returns one number of each example: of its output, or of what a layer returns.

    Attributes:
        place: of that number, see :func:`checked_target`.
    """

    place: tuple[int, ...] = ()

    def __init__(self, net: nn.Module, layer: str | None) -> None:
        super().__init__()
        self.net = net
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """That number, ``(batch,)``."""
        return picked(self.whole(x), slice(None), *self.place)

    def whole(self, x: Tensor) -> Tensor:
        """All numbers, ``(batch, units, ...)``.

        Raises:
            TypeError: the net returns no tensor.
            ValueError: the net does not take the input.
        """
        if self.layer is None:
            return first_tensor(self.net, evaluate(self.net, x))
        with recording(self.net, [self.layer]) as record:
            evaluate(self.net, x)
            return record.take()[self.layer]


def first_tensor(net: nn.Module, output: Any) -> Tensor:
    """What a net returns; of several tensors the first.

    Raises:
        TypeError: there is none.
    """
    found = output
    while isinstance(found, tuple | list) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise TypeError(
            f"net: {type(net).__name__} returns {type(output).__name__}; wrap it in a module that "
            "returns a tensor (batch, ...)"
        )
    return found


def picked(values: Tensor, *index: Any) -> Tensor:
    """``values[index]``, where the number of axes is not known beforehand."""
    return values[index]


def checked_target(target: Target, y: Tensor, examples: int) -> tuple[int, ...]:
    """The place of one number of an output ``(examples, ...)``, counted from the beginning.

    Raises:
        TypeError: it is not made of integers.
        ValueError: it does not name one number of what is there.
    """
    sizes = tuple(y.shape[1:])
    if len(y) != examples:
        raise ValueError(
            f"net: it returns {tuple(y.shape)} for {examples} examples; ask about an output whose "
            "first axis is the batch"
        )
    if target is None:
        if y[0].numel() == 1:
            return (0,) * len(sizes)
        raise ValueError(
            f"target: None, but there are {y[0].numel()} numbers, {sizes}, of each example; give "
            f"{'a class' if len(sizes) == 1 else 'one integer per axis, as (channel, step)'}"
        )
    place: Any = (target,) if is_integer(target) else target
    if not hasattr(place, "__len__") or not all(map(is_integer, place)):
        raise TypeError(f"target: {target!r}; give an integer, or one per axis of {sizes}")
    if len(place) != len(sizes):
        raise ValueError(f"target: {target!r} for an output of {sizes}; give one integer per axis")
    for at, size in zip(place, sizes, strict=True):
        if not -size <= at < size:
            raise ValueError(f"target: {target!r} of an output of {sizes}; {at} is out of range")
    return tuple(int(at) % size for at, size in zip(place, sizes, strict=True))
