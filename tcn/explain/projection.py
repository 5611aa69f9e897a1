"""One activation led back to the input: what in it a unit answered to.

::

    up      input -> filters -> rectifier -> max pool, which keeps where each maximum was -> ...
    down    projection <- transposed filters <- rectifier <- each value to where it was <- one unit

Source: Zeiler & Fergus 2014, section 2.1 and figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.explain.gradients import Rule, as_leaf, differentiable, gradient, rectifying
from tcn.explain.inputs import Data, examples
from tcn.explain.layers import evaluate, recording
from tcn.explain.probe import Place, check_unit, places
from tcn.explain.targets import picked
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import is_integer


class Projections(NamedTuple):
    """The strongest places of a unit, what it saw there, and what of that it answered to.

    Attributes:
        places: the strongest first, see :class:`tcn.explain.Place`.
        patches: of the input, ``(channels, *sizes)`` each.
        projected: of the same shapes, the projections of the activations.
    """

    places: list[Place]
    patches: list[Tensor]
    projected: list[Tensor]


def project(
    net: nn.Module,
    x: Tensor,
    layer: str,
    unit: int,
    position: Sequence[int] | None = None,
    *,
    rule: Rule = "deconvolution",
) -> Tensor:
    """Leads one activation back to the input, all others being zero.

    Max pools hand what comes down to where their maximum was, rectifiers rectify it, filters are
    transposed; all other layers are led through by their gradient, normalization as the linear map
    that it is in evaluation mode. A net without rectifiers is led through by its gradient alone.

    Args:
        net: any module, whether it calls rectifiers as modules or as functions; it is left as it
            was.
        x: ``(batch, channels, *sizes)``.
        layer: see :func:`tcn.explain.activations`.
        unit: a channel of what the layer returns.
        position: of the activation in the layer, per axis; that of the unit's largest in each
            example if None.
        rule: of the rectifiers, see :func:`tcn.explain.gradients.rectifying`.

    Returns:
        Shaped as ``x``, per unit of the activation: times its value, it is the paper's.

    Raises:
        TypeError: ``x`` is not a tensor, or ``unit`` not an integer.
        ValueError: there is no such layer, unit, position or rule, or the net does not take ``x``.

    Source: Zeiler & Fergus 2014, section 2.1; of the guided rule Springenberg et al. 2015, 3.4.

    ::

        net = TCN(1, [8, 8], kernel_size=3)
        project(net, torch.randn(2, 1, 20), "levels.1", unit=3).shape  # (2, 1, 20)
    """
    inner = uncompiled(net)
    leaf = as_leaf(inner, x)
    with differentiable(inner), recording(inner, [layer]) as record:
        with rectifying(rule):
            evaluate(inner, leaf.clone())  # a net may change its input
        y = record.take()[layer]
        where = _positions(y, len(leaf), layer, unit, position)
        one = picked(y, torch.arange(len(y), device=y.device), unit, *where.unbind(1)).sum()
        return gradient(one, leaf)


def projections(
    net: nn.Module,
    data: Data,
    layer: str,
    unit: int,
    *,
    count: int = 9,
    rule: Rule = "deconvolution",
    batch_size: int = 64,
) -> Projections:
    """The strongest patches of a unit beside the projections of its activations.

    Args:
        net: any module.
        data: inputs ``(examples, ...)``, a data set, or batches in an order that does not change.
        layer: see :func:`tcn.explain.activations`.
        unit: a channel of what the layer returns.
        count: how many, the strongest first, one of each example.
        rule: see :func:`project`.
        batch_size: of data that are not in batches yet.

    Raises:
        TypeError: an argument or a part of the data is of the wrong type.
        ValueError: there is no such layer, unit or rule, the data hold nothing or are shuffled, or
            the net does not take them.

    Source: Zeiler & Fergus 2014, figure 2.

    ::

        net = TCN(1, [8, 8], kernel_size=3)
        found = projections(net, torch.randn(50, 1, 20), "levels.0", unit=3)
        for place, patch, projected in zip(*found):
            print(place.example, patch.shape == projected.shape)
    """
    where, patches = places(net, data, layer, unit, count=count, batch_size=batch_size)
    projected = []
    inputs = examples(data, [place.example for place in where], batch_size)
    for x, place in zip(inputs, where, strict=True):
        whole = project(net, x[None], layer, unit, place.position, rule=rule)
        projected.append(picked(whole, 0, slice(None), *place.span).to(x.device))
    return Projections(where, patches, projected)


def _positions(
    y: Tensor, examples: int, layer: str, unit: int, position: Sequence[int] | None
) -> Tensor:
    """Of one activation of each example, ``(examples, axes)``."""
    if y.dim() < 2 or len(y) != examples:
        raise ValueError(
            f"layer: {layer!r} returns {tuple(y.shape)} for {examples} examples; choose a layer "
            "that returns (batch, units, ...)"
        )
    check_unit(unit, y.shape[1])
    sizes = tuple(y.shape[2:])
    if position is None:
        at = y[:, unit].detach().flatten(1).argmax(1) if sizes else y.new_zeros(examples).long()
        found = torch.unravel_index(at, sizes) if sizes else ()
        return torch.stack(found, 1) if found else at[:, None][:, :0]
    place = check_position(position, sizes)
    return torch.tensor([place] * examples, device=y.device).view(examples, len(sizes)).long()


def check_position(position: Sequence[int], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """A position counted from the beginning, negative ones from the end.

    Raises:
        TypeError: it is not made of integers.
        ValueError: it lies outside, or has another number of axes.
    """
    if not all(is_integer(each) for each in position):
        raise TypeError(f"position: {position!r} is not a sequence of integers; give one per axis")
    if len(position) != len(sizes):
        raise ValueError(
            f"position: {tuple(position)} for {len(sizes)} axes of sizes {sizes}; give one per axis"
        )
    for at, size in zip(position, sizes, strict=True):
        if not -size <= at < size:
            raise ValueError(f"position: {at} on an axis of {size}; give 0 to {size - 1}")
    return tuple(int(at) % size for at, size in zip(position, sizes, strict=True))
