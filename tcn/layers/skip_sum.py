"""WaveNet's chain of blocks, whose output is the sum of their skip outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from tcn.layers.containers import (
    advance,
    children_states,
    combine_reaches,
    hold_back,
    latency_of,
    needs,
    on_grid,
    reach_of,
    sum_of,
)
from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.module import Reach, SequenceModule, State


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


class SkipSum(SequenceModule):
    """WaveNet's chain of blocks, whose output is the sum of their skip outputs.

    Each block has three parts: ``body`` looks at the past, ``residual`` and ``skip`` are 1x1::

        x0 -> body -+-> residual -> + x0 = x1 -> body -+-> residual -> + x1 = x2 -> ...
                    +-> skip -> sum                    +-> skip -> sum

    Source: van den Oord et al. 2016 (WaveNet), section 2.4, figure 4.
    """

    blocks: Any

    def __init__(self, blocks: Sequence[SkipBlock]) -> None:
        """Chains blocks that have ``body``, ``shortcut``, ``residual`` and ``skip``.

        Raises:
            ValueError: if there is no block, or one has no skip output.
        """
        super().__init__()
        if not blocks or any(getattr(block, "skip", None) is None for block in blocks):
            raise ValueError(
                "blocks: SkipSum needs at least one block, each with skip_channels set"
            )
        self.blocks = nn.ModuleList(blocks)  # type: ignore[arg-type]
        self.ndim = blocks[0].ndim

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Sums the blocks' skip outputs; the state is that of the bodies."""
        states = children_states(self, state, len(self.blocks))
        if context.latency:
            return self._advance_with_latency(x, states, context)
        after, skips = [], []
        for block, before in zip(self.blocks, states, strict=True):
            hidden, next_state = advance(block.body, x, before, context)
            skips.append(block.skip(hidden))
            x = block.residual(hidden) + block.shortcut(x)
            after.append(next_state)
        return sum_of(skips), tuple(after)

    def _advance_with_latency(
        self, x: Tensor, states: Sequence[State | None], context: Context
    ) -> tuple[Tensor, State]:
        """The same, where shortcuts wait for the bodies and skip outputs for the last block."""
        after, skips, remaining = [], [], self.latency
        for block, state in zip(self.blocks, states, strict=True):
            before, shortcut, skip = (None, None, None) if state is None else state
            latency = latency_of(block.body)
            remaining -= latency
            hidden, before = advance(block.body, x, before, context)
            x, shortcut = hold_back(self, x, shortcut, latency)
            skipped, skip = hold_back(self, block.skip(hidden), skip, remaining)
            skips.append(skipped)
            x = block.residual(hidden) + block.shortcut(x)
            after.append((before, shortcut, skip))
            context = context.delayed(latency)
        return sum_of(skips), tuple(after)

    @property
    def latency(self) -> int:
        """The sum of the bodies' latencies."""
        return sum(latency_of(block.body) for block in self.blocks)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """That of the bodies, one after the other."""
        return combine_reaches([reach_of(block.body) for block in self.blocks], Reach.then)

    def _wants(self, want: Grid) -> list[Grid]:
        """The grid of the residual stream before every block, and ``want`` after the last."""
        grids = [want]
        for block in reversed(self.blocks):
            hidden = grids[-1].union(want)
            grids.append(hidden.union(needs(block.body, hidden)))
        return grids[::-1]

    def needs(self, want: Grid) -> Grid:
        """What the first block needs."""
        return self._wants(want)[0]

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Every block computes what its skip output and the later blocks need."""
        grids, skips = self._wants(want), []
        for block, before, after in zip(self.blocks, grids, grids[1:], strict=False):
            hidden_grid = after.union(want)
            body_grid = needs(block.body, hidden_grid)
            body_input = body_grid.take(x, before)
            hidden = on_grid(block.body, body_input, body_grid, hidden_grid, context)
            skips.append(block.skip(want.take(hidden, hidden_grid)))
            x = block.residual(after.take(hidden, hidden_grid)) + block.shortcut(
                after.take(x, before)
            )
        return sum_of(skips)
