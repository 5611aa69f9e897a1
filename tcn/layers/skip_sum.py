"""WaveNet's chain of blocks, whose output is the sum of their skip outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from tcn.layers.compiled import uncompiled
from tcn.layers.containers import Composite
from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.hooks import watched
from tcn.layers.joining import sum_of
from tcn.layers.module import SequenceModule
from tcn.layers.passing import (
    advance,
    after,
    call,
    children_states,
    grids,
    hold_back,
    is_nothing,
    is_sequence_module,
    latency_of,
    needs,
    on_grid,
)
from tcn.layers.reach import Composed, InSeries
from tcn.layers.state import State
from tcn.saving.description import recorded


class SkipBlock(Protocol):
    """What :class:`SkipSum` asks of a block; ``GatedBlock`` with ``skip_channels`` is one."""

    ndim: int
    skip: nn.Module | None

    @property
    def body(self) -> nn.Module: ...  # noqa: D102

    @property
    def shortcut(self) -> nn.Module: ...  # noqa: D102

    @property
    def residual(self) -> nn.Module: ...  # noqa: D102


class SkipSum(Composite):
    """WaveNet's chain of blocks, whose output is the sum of their skip outputs.

    Each block has three parts: ``body`` looks at the past, ``residual`` and ``skip`` are 1x1::

        x0 -> body -+-> residual -> + x0 = x1 -> body -+-> residual -> + x1 = x2 -> ...
                    +-> skip -> sum                    +-> skip -> sum

    Source: van den Oord et al. 2016 (WaveNet), section 2.4, figure 4.
    """

    blocks: Any

    @recorded
    def __init__(self, blocks: Sequence[SkipBlock]) -> None:
        """Chains blocks that have ``body``, ``shortcut``, ``residual`` and ``skip``.

        Raises:
            ValueError: if there is no block, or one has no skip output.
        """
        super().__init__()
        blocks = [uncompiled(block) for block in blocks]
        if not blocks or any(getattr(block, "skip", None) is None for block in blocks):
            raise ValueError(
                "blocks: SkipSum needs at least one block, each with skip_channels set"
            )
        self.blocks = nn.ModuleList(blocks)  # type: ignore[arg-type]
        self.ndim = blocks[0].ndim
        in_channels = getattr(blocks[0], "in_channels", None)
        if in_channels is not None:
            self.in_channels = in_channels
        out_channels = getattr(blocks[0].skip, "out_channels", None)
        if out_channels is not None:
            self.out_channels = out_channels

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Sums the blocks' skip outputs; the state is that of the bodies."""
        states = children_states(self, state, len(self.blocks))
        if context.latency:
            return self._advance_with_latency(x, states, context)
        remembered, skips = [], []
        for block, before in zip(self.blocks, states, strict=True):
            if before is None and not context.streaming and _is_called(block):
                hidden, x = _call(block, x, context)
                next_state: State | None = ()
            else:
                hidden, next_state = advance(block.body, x, before, context)
                x = _of(block.residual, hidden, context) + _of(block.shortcut, x, context)
            skips.append(_of(block.skip, hidden, context))
            remembered.append(next_state)
            context = after(block.body, context, before)
        return sum_of(skips), tuple(remembered)

    def _advance_with_latency(
        self, x: Tensor, states: Sequence[State | None], context: Context
    ) -> tuple[Tensor, State]:
        """The same, where shortcuts wait for the bodies and skip outputs for the last block."""
        remembered, skips, remaining = [], [], self.latency
        for block, state in zip(self.blocks, states, strict=True):
            before, shortcut, skip = children_states(self, state, 3)
            latency = latency_of(block.body)
            remaining -= latency
            hidden, before = advance(block.body, x, before, context)
            x, shortcut = hold_back(self, x, shortcut, latency)
            skipped, skip = hold_back(self, _of(block.skip, hidden, context), skip, remaining)
            skips.append(skipped)
            x = _of(block.residual, hidden, context) + _of(block.shortcut, x, context)
            remembered.append((before, shortcut, skip))
            context = context.delayed(latency)
        return sum_of(skips), tuple(remembered)

    @property
    def latency(self) -> int:
        """The sum of the bodies' latencies."""
        return sum(latency_of(block.body) for block in self.blocks)

    @property
    def geometry(self) -> Composed:
        """The bodies, one after the other."""
        return InSeries(block.body for block in self.blocks)

    def context_after(self, context: Context, state: State | None) -> Context:
        """What travels on behind the last body."""
        states = children_states(self, state, len(self.blocks))
        for block, before in zip(self.blocks, states, strict=True):
            context = after(block.body, context, before)
        return context

    def _wants(self, want: Grid) -> list[Grid]:
        """The grid of the residual stream before every block, and ``want`` after the last."""
        places = [want]
        for block in reversed(self.blocks):
            hidden = places[-1].union(want)
            places.append(hidden.union(needs(block.body, hidden)))
        return places[::-1]

    def needs(self, want: Grid) -> Grid:
        """What the first block needs."""
        return self._wants(want)[0]

    def grids(self, want: Grid) -> Iterator[tuple[nn.Module, Grid]]:
        """Those of the bodies."""
        for block, behind in zip(self.blocks, self._wants(want)[1:], strict=True):
            yield from grids(block.body, behind.union(want))

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Every block computes what its skip output and the later blocks need."""
        places, skips = self._wants(want), []
        for block, before, behind in zip(self.blocks, places, places[1:], strict=False):
            hidden_grid = behind.union(want)
            body_grid = needs(block.body, hidden_grid)
            body_input = body_grid.take(x, before)
            hidden = on_grid(block.body, body_input, body_grid, hidden_grid, context)
            skips.append(block.skip(want.take(hidden, hidden_grid)))
            x = block.residual(behind.take(hidden, hidden_grid)) + block.shortcut(
                behind.take(x, before)
            )
        return sum_of(skips)


def _of(part: Any, x: Tensor, context: Context) -> Tensor:
    """What a 1x1 part makes of a chunk, which may be one in which no step falls due."""
    if is_nothing(x) and is_sequence_module(part):
        y: Tensor = part.nothing(x, None, context)[0]
        return y
    return part(x)


def _is_called(block: Any) -> bool:
    """Whether a hook sits on a block or a part, which then must not be bypassed."""
    return isinstance(block, SequenceModule) and watched(block)


def _call(block: Any, x: Tensor, context: Context) -> tuple[Tensor, Tensor]:
    """What the body of a block returns, and the block."""
    seen: list[Tensor] = []
    handle = block.body.register_forward_hook(lambda module, given, hidden: seen.append(hidden))
    try:
        y = call(block, x, context)
    finally:
        handle.remove()
    return seen[0], y
