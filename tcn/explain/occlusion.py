"""What a net says while a part of its input is covered.

Source: Zeiler & Fergus 2014, section 4.2: a gray square over the image.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.explain.layers import Recording, as_input, evaluate, recording
from tcn.explain.probe import check_unit
from tcn.explain.targets import Target, checked_target, first_tensor, picked
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_positive, check_switch, per_axis

AT_ONCE = 64
"""Covered inputs in one forward pass."""

FILLS = ("gray", "mean")


class Occlusion(NamedTuple):
    """What a net said while each window was covered; maps have an axis per axis of the input.

    Attributes:
        answer: ``(batch, *windows)``, of the target: its probability, or the net's own number.
        predicted: ``(batch, *windows)`` int64, the class with the largest number.
        activity: ``(batch, *windows)``, the sum of the unit's map; None if no layer was given.
        starts: of the windows, per axis.
        uncovered: ``(batch,)``, the answer to the whole input.
        uncovered_activity: ``(batch,)``, likewise; None if no layer was given.
        targets: ``(batch,)`` int64, the class or channel that was asked about.
        units: ``(batch,)`` int64; None if no layer was given.
    """

    answer: Tensor
    predicted: Tensor
    activity: Tensor | None
    starts: tuple[Tensor, ...]
    uncovered: Tensor
    uncovered_activity: Tensor | None
    targets: Tensor
    units: Tensor | None


def occlusion(
    net: nn.Module,
    x: Tensor,
    target: Target = None,
    *,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    value: float | str = "gray",
    layer: str | None = None,
    unit: int | None = None,
    raw: bool = False,
) -> Occlusion:
    """Slides a patch over inputs and records what the net says of each.

    Args:
        net: any module that returns ``(batch, classes)`` or ``(batch, channels, *sizes)``; it is
            left as it was.
        x: ``(batch, channels, *sizes)``, of any number of axes behind the channels, one or more.
        target: see :func:`tcn.explain.attribute`; None: of each example the class that the net
            answers to the whole input.
        size: of the patch in steps or pixels, per axis.
        stride: from patch to patch, per axis; ``size`` if None. The last patch ends where the
            input ends.
        value: that covers: a number, ``"gray"``, halfway between the smallest and the largest of
            the example, or ``"mean"``, of each channel of the example.
        layer: whose activity is recorded, see :func:`tcn.explain.activations`.
        unit: a channel of it; that with the strongest activation in the whole example if None.
        raw: whether ``answer`` is the net's own number in place of a softmax over the classes.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: a size does not fit, there is no such target, layer or unit, or the net does not
            take ``x``.

    Source: Zeiler & Fergus 2014, section 4.2 and figure 7.

    ::

        net = nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten())
        occlusion(net, torch.randn(2, 1, 50), size=5, layer="0").answer.shape  # (2, 10)
    """
    check_switch(raw=raw)
    if unit is not None and layer is None:
        raise ValueError(f"unit: {unit} of no layer; give layer, too")
    inner = uncompiled(net)
    x = as_input(inner, x)
    cover, sizes = covering(x, value), _sizes(x, size)
    starts = _starts(x, sizes, stride)
    with recording(inner, [] if layer is None else [layer]) as record, torch.no_grad():
        asked = _Asked(inner, record, raw)
        whole = asked.first(x, target, unit)
        said = []
        for windows in _in_parts(list(itertools.product(*starts)), max(AT_ONCE // len(x), 1)):
            covered = [_covered(x, cover, at, sizes) for at in windows]
            said.append(asked.again(torch.cat(covered), len(windows)))
    shape = (len(x), *map(len, starts))
    answer, predicted, activity = (_joined(parts, shape) for parts in zip(*said, strict=True))
    assert answer is not None
    assert predicted is not None
    return Occlusion(
        answer, predicted, activity, tuple(map(torch.tensor, starts)), whole.answer[0],
        None if whole.activity is None else whole.activity[0], asked.targets, asked.units,
    )  # fmt: skip


class _Said(NamedTuple):
    """Of inputs covered in several ways, ``(ways, batch)`` each."""

    answer: Tensor
    predicted: Tensor
    activity: Tensor | None


class _Asked:
    """A net and what is read from its answers."""

    targets: Tensor
    units: Tensor | None = None

    def __init__(self, net: nn.Module, record: Recording, raw: bool) -> None:
        self.net = net
        self.record = record
        self.raw = raw
        self.tail: tuple[int, ...] = ()

    def first(self, x: Tensor, target: Target, unit: int | None) -> _Said:
        """Asks about whole inputs, and settles target and unit."""
        y = self._answer(x)
        if target is None and y.dim() == 2 and len(y) == len(x):
            self.targets = y.argmax(1)
        else:
            place = checked_target(target, y, len(x))
            self.targets = torch.full((len(x),), place[0], device=y.device)
            self.tail = place[1:]
        if y.shape[1] == 1 and not self.raw:
            raise ValueError("raw: the softmax over a single number is always 1; give raw=True")
        maps = self._maps()
        if maps is not None:
            if unit is not None:
                check_unit(unit, maps.shape[1])
            strongest = maps.flatten(2).amax(2).argmax(1)
            self.units = strongest if unit is None else torch.full_like(strongest, unit)
        return self._read(y, maps, 1)

    def again(self, x: Tensor, ways: int) -> _Said:
        """Asks about the same inputs covered, ``(ways * batch, channels, *sizes)``."""
        return self._read(self._answer(x), self._maps(), ways)

    def _answer(self, x: Tensor) -> Tensor:
        y = first_tensor(self.net, evaluate(self.net, x))
        return y[:, None] if y.dim() == 1 else y

    def _maps(self) -> Tensor | None:
        """``(batch, units, positions)`` of the layer."""
        for layer, maps in self.record.take().items():
            if maps.dim() < 2:
                raise ValueError(
                    f"layer: {layer!r} returns {tuple(maps.shape)}; choose a layer that returns "
                    "(batch, units, ...)"
                )
            return maps.flatten(2) if maps.dim() > 2 else maps[..., None]
        return None

    def _read(self, y: Tensor, maps: Tensor | None, ways: int) -> _Said:
        classes = picked(y, slice(None), slice(None), *self.tail)
        numbers = classes if self.raw else classes.softmax(1)
        answer = numbers.gather(1, self.targets.repeat(ways)[:, None])
        activity = None
        if maps is not None and self.units is not None:
            activity = maps.sum(2).gather(1, self.units.repeat(ways)[:, None]).view(ways, -1)
        return _Said(answer.view(ways, -1), classes.argmax(1).view(ways, -1), activity)


def covering(x: Tensor, value: float | str) -> Tensor:
    """What covers each example, ``(batch, channels or 1, 1, ...)``.

    Args:
        x: ``(batch, channels, *sizes)``.
        value: see :func:`occlusion`.

    Raises:
        ValueError: there is no axis to slide over, or no such value.
    """
    if x.dim() < 3:
        raise ValueError(
            f"x: shape {tuple(x.shape)} has nothing to slide over; give (batch, channels, *sizes)"
        )
    axes = tuple(range(1, x.dim()))
    if value == "gray":
        return (x.amax(axes, keepdim=True) + x.amin(axes, keepdim=True)) / 2
    if value == "mean":
        return x.mean(axes[1:], keepdim=True)
    if isinstance(value, str):
        raise ValueError(f"value: {value!r}; give a number or {' or '.join(map(repr, FILLS))}")
    return torch.full((len(x), *[1] * len(axes)), float(value)).to(x)


def _sizes(x: Tensor, size: int | Sequence[int]) -> tuple[int, ...]:
    sizes = per_axis("size", size, x.dim() - 2)
    check_positive("size", sizes)
    for each, whole in zip(sizes, x.shape[2:], strict=True):
        if each > whole:
            raise ValueError(f"size: {each} on an axis of {whole}; give {whole} or less")
    return sizes


def _starts(
    x: Tensor, sizes: tuple[int, ...], stride: int | Sequence[int] | None
) -> list[list[int]]:
    """Where the patches begin, per axis; the last one ends with the input."""
    strides = sizes if stride is None else per_axis("stride", stride, x.dim() - 2)
    check_positive("stride", strides)
    found = []
    for whole, size, step in zip(x.shape[2:], sizes, strides, strict=True):
        last = whole - size
        found.append(sorted({*range(0, last + 1, step), last}))
    return found


def _covered(x: Tensor, cover: Tensor, at: tuple[int, ...], sizes: tuple[int, ...]) -> Tensor:
    covered = x.clone()
    span = tuple(slice(start, start + size) for start, size in zip(at, sizes, strict=True))
    covered[(slice(None), slice(None), *span)] = cover
    return covered


def _in_parts(windows: list[tuple[int, ...]], count: int) -> Iterator[list[tuple[int, ...]]]:
    for start in range(0, len(windows), count):
        yield windows[start : start + count]


def _joined(parts: Sequence[Tensor | None], shape: tuple[int, ...]) -> Tensor | None:
    """``(ways, batch)`` of one part after the other as ``(batch, *windows)``."""
    there = [part for part in parts if part is not None]
    return torch.cat(there).T.reshape(shape) if there else None
