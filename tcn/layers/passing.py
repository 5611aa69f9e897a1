"""How a container hands a sequence on to one of its parts, whatever kind of module that is.

Over a whole sequence a part is *called*, so that hooks, summaries and wrappers see it; a chunk of a
stream *advances* it. A chunk in which no step falls due, as behind a stride that is longer than the
chunk, never reaches a layer: it is handed on empty, and the layer's state is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.module import Pointwise, SequenceModule
from tcn.layers.state import State
from tcn.layers.validation import check_state, wrong_state

POINTWISE = (
    nn.Identity, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish,
    nn.Hardsigmoid, nn.ReLU6,
)  # fmt: skip
"""PyTorch's own modules that treat every position alike and alone; they need no wrapper here."""


def is_sequence_module(module: Any) -> bool:
    """Whether a module keeps the contract, itself or through a wrapper such as checkpointing's."""
    return isinstance(module, SequenceModule) or (
        not isinstance(module, POINTWISE) and hasattr(module, "advance")
    )


def is_nothing(x: Tensor) -> bool:
    """Whether no step falls due; an exported graph takes whole blocks, in which one always does."""
    return not torch.compiler.is_exporting() and x.shape[-1] == 0


def call(module: nn.Module, x: Tensor, context: Context) -> Tensor:
    """The outputs for a whole sequence, through ``Module.__call__``."""
    if isinstance(module, Pointwise) or context.says_nothing or not is_sequence_module(module):
        return module(x)
    if module.takes_context:
        return module(x, context=context)
    return module.advance(x, None, context)[0]  # type: ignore[operator]


def advance(
    module: nn.Module, x: Tensor, state: State | None, context: Context
) -> tuple[Tensor, State | None]:
    """The outputs for a chunk and the state after it; a plain activation has none."""
    if not is_sequence_module(module):
        return module(x), ()
    if not context.streaming and state is None:
        return call(module, x, context), ()
    if is_nothing(x):
        return module.nothing(x, state, context)  # type: ignore[operator]
    return module.advance(x, state, context)  # type: ignore[operator]


def after(module: nn.Module, context: Context, state: State | None) -> Context:
    """What travels on behind a module, for a chunk that found it in ``state``."""
    if not context.follows or not is_sequence_module(module):
        return context
    return module.context_after(context, state)  # type: ignore[operator]


def latency_of(module: nn.Module) -> int:
    """``module.latency``, where a plain activation has none."""
    return module.latency if is_sequence_module(module) else 0  # type: ignore[return-value]


def needs(module: nn.Module, want: Grid) -> Grid:
    """``module.needs``; a plain activation needs the same positions, a wrapped module all."""
    if isinstance(module, SequenceModule):
        return module.needs(want)
    return Grid.whole(want.sizes) if is_sequence_module(module) else want


def grids(module: nn.Module, want: Grid) -> Iterator[tuple[nn.Module, Grid]]:
    """``module.grids``; a plain activation and a wrapped module have nothing to say."""
    return module.grids(want) if isinstance(module, SequenceModule) else iter(())


def on_grid(module: nn.Module, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
    """``module.on_grid``; a plain activation takes no notice of positions.

    A wrapped module is called over the whole sequence: what the wrapper does, it does to a call.
    """
    if isinstance(module, SequenceModule):
        return module.on_grid(x, have, want, context)
    if is_sequence_module(module):
        return want.take(call(module, x, context), have)
    return module(x)


def hold_back(
    module: nn.Module, x: Tensor, held: State | None, steps: int
) -> tuple[Tensor, Tensor]:
    """``x`` of ``steps`` earlier, zeros before the first, and the steps that are still held."""
    if held is None:
        held = x.new_zeros((*x.shape[:-1], steps))
    held = check_state(module, held, tuple(x.shape[:-1]), x)
    if held.shape[-1] != steps:
        raise wrong_state(module, f"{steps} steps held back", f"{held.shape[-1]}")
    both, time = torch.cat([held, x], -1), x.shape[-1]
    return both[..., :time], both[..., time:]


def children_states(module: nn.Module, state: State | None, count: int) -> Sequence[State | None]:
    """One state per child; None for each at the start of a sequence."""
    if state is None:
        return (None,) * count
    if not isinstance(state, tuple) or len(state) != count:
        found = f"{len(state)} states" if isinstance(state, tuple) else type(state).__name__
        raise wrong_state(module, f"{count} states", found)
    return state
