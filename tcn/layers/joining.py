"""Branches over the same input whose outputs are joined step by step.

In a stream a branch may have a step before another does. Here one branch takes every second step
and repeats it, so after input 0 it has output 1 already, which waits for the other branch::

    input                      0    1    2
    identity                   0    1    2
    stride 2, up-sampled by 2  0 1  .    2 3
    joined                     0    1    2        waiting: output 1, nothing, output 3
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from tcn.layers.channels import side_by_side
from tcn.layers.containers import Container
from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.passing import (
    advance,
    after,
    children_states,
    grids,
    hold_back,
    latency_of,
    needs,
    on_grid,
)
from tcn.layers.reach import Composed, SideBySide, geometry_of
from tcn.layers.state import State
from tcn.layers.validation import wrong_state
from tcn.saving.description import recorded


class Join(Container):
    """What :class:`Add`, :class:`Concat` and :class:`Multiply` share: all but the joining."""

    joins_channels = False
    """Whether the branches may differ in their numbers of channels."""

    @recorded
    def __init__(self, *modules: nn.Module, **named: nn.Module) -> None:
        """Joins the branches.

        Raises:
            TypeError: if one is neither a ``SequenceModule`` nor a pointwise activation.
            ValueError: if there is none.
        """
        super().__init__(*modules, **named)
        if not self._order:
            raise ValueError(f"modules: none; {type(self).__name__} joins at least one branch")
        self.uneven = not self.reads_out and SideBySide(self).uneven()

    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        """One tensor from the outputs of all branches."""
        raise TypeError(f"{type(self).__name__} does not define join(outputs)")

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Every branch advances over the same chunk, held back until the slowest one has it."""
        if self.uneven and context.streaming:
            return self._advance_unevenly(x, state, context)
        states = children_states(self, state, len(self))
        latency = self.latency if context.latency else 0
        results = [
            _advance_later(module, x, before, context, latency and latency - latency_of(module))
            for module, before in zip(self, states, strict=True)
        ]
        return self._joined([y for y, _ in results]), tuple(remembered for _, remembered in results)

    def _advance_unevenly(
        self, x: Tensor, state: State | None, context: Context
    ) -> tuple[Tensor, State]:
        """Joins the steps that every branch has; the others wait in the state."""
        states, waiting = self._split(state)
        results = [
            advance(module, x, before, context) for module, before in zip(self, states, strict=True)
        ]
        traveling = [_traveling(c) for c in self._contexts(context.completed(x), states)]
        queues = [
            self._behind(held, (y, *others))
            for held, (y, _), others in zip(waiting, results, traveling, strict=True)
        ]
        ready = min(queue[0].shape[-1] for queue in queues)
        joined = self._joined([queue[0][..., :ready] for queue in queues])
        later = tuple(tuple(tensor[..., ready:] for tensor in queue) for queue in queues)
        return joined, (tuple(remembered for _, remembered in results), later)

    def context_after(self, context: Context, state: State | None) -> Context:
        """A step is valid if it is in every branch; its condition is that of the first one."""
        if context.latency:
            return context.delayed(self.latency)
        if self.reads_out:
            return context
        if not (self.uneven and context.streaming):
            contexts = self._contexts(context, children_states(self, state, len(self)))
            masks = [c.mask for c in contexts if c.mask is not None]
            return contexts[0]._replace(mask=_all(masks) if masks else None)
        states, waiting = self._split(state)
        full = context.completed()
        pairs = zip(waiting, self._contexts(full, states), strict=True)
        queues = [self._behind(held and held[1:], _traveling(c)) for held, c in pairs]
        ready = min(mask.shape[-1] for mask, _ in queues)
        condition = queues[0][1][..., :ready] if context.local_condition is not None else None
        return context._replace(
            mask=_all([mask[..., :ready] for mask, _ in queues]),
            condition=context.condition if condition is None else condition,
        )

    def _contexts(self, context: Context, states: Sequence[State | None]) -> list[Context]:
        """What travels on behind each branch."""
        return [after(module, context, s) for module, s in zip(self, states, strict=True)]

    def _split(self, state: State | None) -> tuple[Sequence[State | None], Sequence[State | None]]:
        """The states of the branches, and what waits of each: outputs, mask and condition."""
        branches, waiting = (None, None) if state is None else children_states(self, state, 2)
        count = len(self)
        return children_states(self, branches, count), children_states(self, waiting, count)

    def _behind(self, held: State | None, new: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """New tensors behind those that wait."""
        pairs = zip(children_states(self, held, len(new)), new, strict=True)
        return tuple(tensor if h is None else self._append(h, tensor) for h, tensor in pairs)

    def _append(self, held: State, new: Tensor) -> Tensor:
        if not isinstance(held, Tensor) or held.dim() != new.dim():
            raise wrong_state(self, f"a tensor of {new.dim()} axes", type(held).__name__)
        if 0 in (held.shape[-1], new.shape[-1]):  # under autocast what is empty has another type
            held, new = (t.to(held.dtype if held.shape[-1] else new.dtype) for t in (held, new))
        if held.dtype != new.dtype:
            raise wrong_state(self, f"{new.dtype} of what waits", f"{held.dtype}")
        try:
            return torch.cat([held, new.expand(*held.shape[:-1], new.shape[-1])], dim=-1)
        except RuntimeError as error:
            shape = (*new.shape[:-1], "...")
            raise wrong_state(self, f"shape {shape}", f"shape {tuple(held.shape)}") from error

    def _joined(self, outputs: Sequence[Tensor]) -> Tensor:
        """The outputs joined, once their sizes are the same."""
        first = outputs[0]
        for output in outputs[1:]:
            if output.shape != first.shape and not self._fit(output, first):
                raise ValueError(self._mismatch(outputs))
        return self.join(outputs)

    def _fit(self, a: Tensor, b: Tensor) -> bool:
        return self.joins_channels and (a.shape[0], *a.shape[2:]) == (b.shape[0], *b.shape[2:])

    def _mismatch(self, outputs: Sequence[Tensor]) -> str:
        """Which branches differ in what, and the cure."""
        shapes = ", ".join(
            f"{name!r} {tuple(output.shape)}"
            for name, output in zip(self._order, outputs, strict=True)
        )
        what = f"{type(self).__name__}: its branches return {shapes}, which differ"
        if len({output.shape[2:] for output in outputs}) == 1:
            return f"{what} in channels; end one of them with a 1x1 convolution to the other's"
        axes = range(-self.ndim, 0)
        rates = {tuple(geometry_of(module).rate_along(axis) for axis in axes) for module in self}
        if len(rates) > 1:
            return f"{what} in size because their rates differ; {self._rates_by_name()}"
        blocks = " x ".join(map(str, self.block_sizes))
        return (
            f"{what} in size; hand in a multiple of {blocks} steps (block_size), the last ones as "
            "padding, or give the branches the same padding"
        )

    def _rates_by_name(self) -> str:
        rates = (
            f"{name!r} {geometry_of(m).rate}" for name, m in zip(self._order, self, strict=True)
        )
        return f"input steps per output: {', '.join(rates)}; up-sample or stride one of them"

    @property
    def geometry(self) -> Composed:
        """Side by side."""
        return SideBySide(self)

    @property
    def streaming_obstacle(self) -> str | None:
        """Rates that differ: one branch would wait for the others forever."""
        if self.uneven and len({geometry_of(module).rate for module in self}) > 1:
            return f"{type(self).__name__}'s branches have different rates; {self._rates_by_name()}"
        return super().streaming_obstacle

    @property
    def latency(self) -> int:
        """The longest of the branches' latencies."""
        return max((latency_of(module) for module in self), default=0)

    def needs(self, want: Grid) -> Grid:
        """What any branch needs."""
        return reduce(Grid.union, [needs(module, want) for module in self])

    def grids(self, want: Grid) -> Iterator[tuple[nn.Module, Grid]]:
        """Those of the branches."""
        for module in self:
            yield from grids(module, want)

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Every branch takes its own part of the input."""
        places = [needs(module, want) for module in self]
        parts = [grid.take(x, have) for grid in places]
        return self._joined([
            on_grid(m, part, grid, want, context)
            for m, part, grid in zip(self, parts, places, strict=True)
        ])  # fmt: skip

    def _set_channels(self) -> None:
        in_channels, outs = side_by_side(list(self))
        self._say("in_channels", in_channels)
        known = [count for count in outs if count is not None]
        if not self.joins_channels:
            self._say("out_channels", known[0] if known else None)
        elif len(known) == len(outs):
            self._say("out_channels", sum(known))


class Add(Join):
    """Branches over the same input, added: ``x -> b0(x) + b1(x) + ...``."""

    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        """The sum."""
        return sum_of(outputs)


class Concat(Join):
    """Branches over the same input, their channels one after the other: ``x -> [b0(x), b1(x)]``.

    As in Szegedy et al. 2015 (Inception), figure 2, and Huang et al. 2017 (DenseNet), equation 2.
    """

    joins_channels = True

    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        """All channels."""
        return torch.cat(list(outputs), dim=1)


class Multiply(Join):
    """Branches over the same input, multiplied: ``x -> b0(x) * b1(x) * ...``; gates and masks."""

    def join(self, outputs: Sequence[Tensor]) -> Tensor:
        """The product."""
        return reduce(lambda a, b: a * b, outputs)


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return reduce(lambda a, b: a + b, tensors)


def _all(masks: Sequence[Tensor]) -> Tensor:
    first = masks[0]
    return first if all(mask is first for mask in masks) else reduce(lambda a, b: a & b, masks)


def _traveling(context: Context) -> tuple[Tensor, Tensor]:
    """Mask and condition as tensors with a step each; no channels if there is no such condition."""
    mask, condition = context.mask, context.local_condition
    assert mask is not None
    if condition is None:
        condition = mask.new_zeros((mask.shape[0], 0, *mask.shape[2:]), dtype=torch.float32)
    return mask, condition


def _advance_later(
    module: nn.Module, x: Tensor, state: State | None, context: Context, steps: int
) -> tuple[Tensor, State | None]:
    """``advance`` over the input of ``steps`` earlier."""
    if not steps:
        return advance(module, x, state, context)
    held, before = children_states(module, state, 2)
    x, held = hold_back(module, x, held, steps)
    y, remembered = advance(module, x, before, context.delayed(steps))
    return y, (held, remembered)
