"""The strongest inputs of every unit of a layer, over a data set of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.explain.fields import Fields, Span
from tcn.explain.inputs import Data, Inputs, check_repeatable, examples, padded_batches
from tcn.explain.layers import evaluate, recording
from tcn.layers.validation import check_positive, is_integer


class Place(NamedTuple):
    """Where a unit answered, and what it saw.

    Attributes:
        value: the unit's activation.
        example: number of the input in the data.
        position: of the activation in the layer, per axis.
        span: what of the input it covers, a slice per axis.
    """

    value: float
    example: int
    position: tuple[int, ...]
    span: Span


class Strongest(NamedTuple):
    """The strongest activations of the units of a layer, one of each example.

    Attributes:
        values: ``(units, count)``, the largest first; ``-inf`` where the data hold fewer examples.
        examples: ``(units, count)`` int64, number of the input in the data.
        positions: ``(units, count, axes)`` int64, where in the layer.
        sizes: of the layer's output behind the channels, at the first example.
        seen: how many examples the data held.
    """

    values: Tensor
    examples: Tensor
    positions: Tensor
    sizes: tuple[int, ...]
    seen: int

    def check_unit(self, unit: int, layer: str | None = None) -> None:
        """Refuses a unit that the layer does not have; see :func:`check_unit`."""
        check_unit(unit, len(self.values), layer)


def check_unit(unit: int, units: int, layer: str | None = None) -> None:
    """Refuses a unit that a layer does not have.

    Args:
        unit: its number.
        units: how many the layer has.
        layer: its name, for the message.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is out of range.
    """
    if not is_integer(unit):
        raise TypeError(f"unit: {unit!r} is not an integer; give the number of a channel")
    if not 0 <= unit < units:
        where = "a layer" if layer is None else layer
        raise ValueError(f"unit: {unit} of {where} with {units}; give 0 to {units - 1}")


def strongest(
    net: nn.Module, data: Data, layer: str, *, count: int = 9, batch_size: int = 64
) -> Strongest:
    """Finds the inputs that drive each unit of a layer most.

    A unit is a channel (axis 1) of what the layer returns. Each example counts once, by its largest
    activation. One batch and ``count`` numbers per unit are held at a time, however many examples
    there are.

    Args:
        net: any module.
        data: inputs ``(examples, ...)``, a data set, or batches of inputs or of tuples that begin
            with them, on any device.
        layer: see :func:`tcn.explain.activations`.
        count: how many of each unit are kept.
        batch_size: of data that are not in batches yet.

    Raises:
        TypeError: an argument or a part of the data is of the wrong type.
        ValueError: there is no such layer, the data hold nothing, or the net does not take them.

    Source: Zeiler & Fergus 2014, section 4 and figure 2 (nine strongest activations per map).
    """
    check_positive("count", [count])
    check_positive("batch_size", [batch_size])
    found: Strongest | None = None
    with recording(net, [layer]) as record, torch.no_grad():
        for inputs in padded_batches(data, batch_size):
            evaluate(net, inputs.x, inputs.lengths)
            y = record.take()[layer]
            y = _without_padding(y, inputs, record.steps.get(layer.partition("#")[0]))
            found = _merged(found, y, len(inputs.x), layer, count)
    assert found is not None
    return found


def places(
    net: nn.Module, data: Data, layer: str, unit: int, *, count: int = 9, batch_size: int = 64
) -> tuple[list[Place], list[Tensor]]:
    """The strongest places of one unit, and the patch or segment of the input at each.

    Returns:
        The places, the strongest first, and ``(channels, *sizes)`` of each, as large as the
        receptive field within the input; fewer than ``count`` if there are fewer examples.

    Raises:
        TypeError, ValueError: as :func:`strongest`, and of a unit that is not there.
    """
    check_repeatable(data)
    found = strongest(net, data, layer, count=count, batch_size=batch_size)
    found.check_unit(unit, layer)
    inputs = inputs_of(data, found, [unit], batch_size=batch_size)
    return Locator(net, layer)(found, unit, inputs)


def inputs_of(
    data: Data, found: Strongest, units: Sequence[int], *, batch_size: int = 64
) -> dict[int, Tensor]:
    """The inputs to which units answer most, by their number in the data, read in one pass."""
    numbers = found.examples[list(units)][found.values[list(units)] > -torch.inf]
    wanted = numbers.unique().tolist()
    return dict(zip(wanted, examples(data, wanted, batch_size), strict=True))


class Locator:
    """Finds what of its input an activation saw, for one layer; fields are measured once."""

    def __init__(self, net: nn.Module, layer: str) -> None:
        """Measures nothing yet."""
        self._net = net
        self._layer = layer
        self._fields: dict[tuple[int, ...], Fields] = {}

    def __call__(
        self, found: Strongest, unit: int, inputs: Mapping[int, Tensor]
    ) -> tuple[list[Place], list[Tensor]]:
        """Place and patch of each of a unit's strongest activations.

        Args:
            found: what :func:`strongest` returned.
            unit: a channel of the layer.
            inputs: by number, see :func:`inputs_of`.
        """
        where, patches = [], []
        rows = zip(
            found.values[unit].tolist(), found.examples[unit].tolist(),
            found.positions[unit].tolist(), strict=True,
        )  # fmt: skip
        for value, number, position in rows:
            if value > -torch.inf:
                x = inputs[number]
                at, span = self._span(x, position)
                where.append(Place(value, number, at, span))
                patches.append(x[(slice(None), *span)])
        return where, patches

    def _span(self, x: Tensor, position: Sequence[int]) -> tuple[tuple[int, ...], Span]:
        sizes = tuple(x.shape)
        if sizes not in self._fields:
            self._fields[sizes] = Fields(self._net, self._layer, x[None])
        fields = self._fields[sizes]
        # Without its padding an example may have a position less.
        at = tuple(min(p, n - 1) for p, n in zip(position, fields.positions, strict=True))
        return at, fields.span(at)


def _without_padding(y: Tensor, inputs: Inputs, steps: Tensor | None) -> Tensor:
    """The output of a layer, ``-inf`` where the input was padding.

    Args:
        y: the output.
        inputs: what the net was given.
        steps: of each row of the output, if the layer said so.
    """
    if inputs.lengths is None or y.dim() < 3:
        return y
    if steps is None:  # behind a stride fewer positions are valid, behind an up-sampling more
        steps = (inputs.lengths * y.shape[-1] / inputs.x.shape[-1]).ceil()
    padding = torch.arange(y.shape[-1], device=y.device) >= steps.to(y.device)[:, None]
    return y.masked_fill(padding.view(len(y), *[1] * (y.dim() - 2), -1), -torch.inf)


def _merged(
    before: Strongest | None, y: Tensor, examples: int, layer: str, count: int
) -> Strongest:
    """The strongest of those before and of one more batch."""
    if y.dim() < 2 or len(y) != examples:
        raise ValueError(
            f"layer: {layer!r} returns {tuple(y.shape)} for {examples} examples; choose a layer "
            "that returns (batch, units, ...)"
        )
    if before is not None and y.shape[1] != len(before.values):
        raise ValueError(f"data: {layer!r} returns {y.shape[1]} units, {len(before.values)} before")
    flat = y.float().flatten(2) if y.dim() > 2 else y.float()[..., None]
    if torch.isnan(flat).any():
        raise ValueError(f"data: {layer!r} returns NaN; check the inputs and the weights")
    values, at = flat.max(dim=2)  # (examples, units)
    sizes = tuple(y.shape[2:])
    positions = torch.stack(torch.unravel_index(at, sizes), -1) if sizes else at[..., None][..., :0]
    start = 0 if before is None else before.seen
    numbers = torch.arange(start, start + examples, device=y.device)[:, None].expand_as(values)
    new = (values.T.cpu(), numbers.T.cpu(), positions.transpose(0, 1).cpu())
    if before is None:
        units = len(new[0])
        before = Strongest(
            torch.full((units, count), -torch.inf),
            torch.zeros(units, count, dtype=torch.int64),
            torch.zeros(units, count, len(sizes), dtype=torch.int64),
            sizes,
            0,
        )
    joined = [torch.cat([old, add], 1) for old, add in zip(before[:3], new, strict=True)]
    # A stable order: of equal activations the earlier example comes first.
    order = joined[0].argsort(dim=1, descending=True, stable=True)[:, :count]
    kept = [
        torch.take_along_dim(each, order.view(*order.shape, *[1] * (each.dim() - 2)), 1)
        for each in joined
    ]
    return Strongest(kept[0], kept[1], kept[2], before.sizes, start + examples)
