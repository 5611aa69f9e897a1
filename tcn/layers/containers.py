"""The containers that chain and add; they alone pass state, mask and condition on.

Blocks are made of these and know nothing of streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import zip_longest

import torch
from torch import Tensor, nn

from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.module import Reach, SequenceModule, State
from tcn.layers.validation import check_state, wrong_state

POINTWISE = (
    nn.Identity, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish,
    nn.Hardsigmoid, nn.ReLU6,
)  # fmt: skip
"""PyTorch's own modules that treat every position alike and alone; they need no wrapper here."""


class _Container(SequenceModule):
    """Children in order, given by position or by name."""

    def __init__(self, *modules: nn.Module, **named: nn.Module) -> None:
        super().__init__()
        self._order: list[str] = []
        for name, module in [*((str(i), m) for i, m in enumerate(modules)), *named.items()]:
            if not isinstance(module, (SequenceModule, *POINTWISE)):
                raise TypeError(
                    f"{name}: {type(module).__name__} is neither a tcn.layers.SequenceModule nor a "
                    "pointwise activation of torch.nn; subclass SequenceModule, or "
                    "tcn.layers.Pointwise if it treats every position alike and alone"
                )
            self.add_module(name, module)
            self._order.append(name)
        self.ndim = max((getattr(module, "ndim", 1) for module in self), default=1)

    def __iter__(self) -> Iterator[nn.Module]:
        return (self._modules[name] for name in self._order)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> nn.Module:
        return getattr(self, self._order[index])


class Chain(_Container):
    """One module after the other: ``x -> m0 -> m1 -> ... -> y``."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Each child advances over what the one before returned."""
        states = children_states(self, state, len(self))
        after = []
        for module, before in zip(self, states, strict=True):
            x, next_state = advance(module, x, before, context)
            after.append(next_state)
            if context.latency:
                context = context.delayed(latency_of(module))
        return x, tuple(after)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The sum of the children's reaches."""
        return combine_reaches([reach_of(module) for module in self], Reach.then)

    @property
    def latency(self) -> int:
        """The sum of the children's latencies."""
        return sum(latency_of(module) for module in self)

    @property
    def streaming_obstacle(self) -> str | None:
        """A look-ahead beside a change of rate: there is no whole number of steps to wait."""
        if self.preserves_length or not self.latency:
            return None
        return "a look-ahead cannot stream beside a stride, an up-sampling or 'valid' padding"

    def needs(self, want: Grid) -> Grid:
        """What the first child needs for what the second needs, and so on."""
        return _grids(list(self), want)[0]

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Each child computes only what the later ones need."""
        modules = list(self)
        grids = [have, *_grids(modules[1:], want)]
        for module, before, after in zip(modules, grids, grids[1:], strict=False):
            x = on_grid(module, x, before, after, context)
        return x


class Add(_Container):
    """Branches over the same input, added: ``x -> b0(x) + b1(x) + ...``."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Every branch advances over the same chunk, held back until the slowest one has it."""
        states = children_states(self, state, len(self))
        latency = self.latency if context.latency else 0
        results = [
            _advance_later(module, x, before, context, latency and latency - latency_of(module))
            for module, before in zip(self, states, strict=True)
        ]
        return sum_of([y for y, _ in results]), tuple(after for _, after in results)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The longest of the branches' reaches."""
        return combine_reaches([reach_of(module) for module in self], Reach.beside)

    @property
    def latency(self) -> int:
        """The longest of the branches' latencies."""
        return max((latency_of(module) for module in self), default=0)

    def needs(self, want: Grid) -> Grid:
        """What any branch needs."""
        return reduce(Grid.union, [needs(module, want) for module in self])

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Every branch takes its own part of the input."""
        grids = [needs(module, want) for module in self]
        parts = [grid.take(x, have) for grid in grids]
        return sum_of([
            on_grid(m, part, grid, want, context)
            for m, part, grid in zip(self, parts, grids, strict=True)
        ])  # fmt: skip


def advance(
    module: nn.Module, x: Tensor, state: State | None, context: Context
) -> tuple[Tensor, State]:
    """``module.advance``, where a plain activation has no state."""
    if isinstance(module, SequenceModule):
        return module.advance(x, state, context)
    return module(x), ()


def _advance_later(
    module: nn.Module, x: Tensor, state: State | None, context: Context, steps: int
) -> tuple[Tensor, State]:
    """``advance`` over the input of ``steps`` earlier."""
    if not steps:
        return advance(module, x, state, context)
    held, before = (None, None) if state is None else state
    x, held = hold_back(module, x, held, steps)
    y, after = advance(module, x, before, context.delayed(steps))
    return y, (held, after)


def hold_back(module: nn.Module, x: Tensor, held: State | None, steps: int) -> tuple[Tensor, State]:
    """``x`` of ``steps`` earlier, zeros before the first, and the steps that are still held."""
    if held is None:
        held = x.new_zeros((*x.shape[:-1], steps))
    check_state(module, held, tuple(x.shape[:-1]), x)
    both, time = torch.cat([held, x], -1), x.shape[-1]
    return both[..., :time], both[..., time:]


def latency_of(module: nn.Module) -> int:
    """``module.latency``, where a plain activation has none."""
    return module.latency if isinstance(module, SequenceModule) else 0


def needs(module: nn.Module, want: Grid) -> Grid:
    """``module.needs``, where a plain activation needs the same positions."""
    return module.needs(want) if isinstance(module, SequenceModule) else want


def on_grid(module: nn.Module, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
    """``module.on_grid``, where a plain activation takes no notice of positions."""
    if isinstance(module, SequenceModule):
        return module.on_grid(x, have, want, context)
    return module(x)


def _grids(modules: Sequence[nn.Module], want: Grid) -> list[Grid]:
    """The grid before every module of a chain, and ``want`` after the last."""
    grids = [want]
    for module in reversed(modules):
        grids.append(needs(module, grids[-1]))
    return grids[::-1]


def reach_of(module: nn.Module) -> tuple[Reach, ...]:
    """``module.reach``, where a plain activation sees one position."""
    return module.reach if isinstance(module, SequenceModule) else ()


def combine_reaches(
    reaches: Sequence[tuple[Reach, ...]], combine: Callable[[Reach, Reach], Reach]
) -> tuple[Reach, ...]:
    """Combines per axis, from the last one; an axis that a module does not name has reach 0."""
    backwards = [reach[::-1] for reach in reaches]
    axes = [reduce(combine, axis) for axis in zip_longest(*backwards, fillvalue=Reach())]
    return tuple(axes[::-1])


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return reduce(lambda a, b: a + b, tensors)


def children_states(module: nn.Module, state: State | None, count: int) -> Sequence[State | None]:
    """One state per child; None for each at the start of a sequence."""
    if state is None:
        return (None,) * count
    if not isinstance(state, tuple) or len(state) != count:
        found = f"{len(state)} states" if isinstance(state, tuple) else type(state).__name__
        raise wrong_state(module, f"{count} states", found)
    return state
