"""The container that chains, and what all containers share; they alone pass state and context on.

Blocks are made of containers and know nothing of streaming. Those that join branches are in
:mod:`tcn.layers.joining`, WaveNet's in :mod:`tcn.layers.skip_sum`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from torch import Tensor, nn

from tcn.layers.channels import in_series
from tcn.layers.compiled import uncompiled
from tcn.layers.context import Context
from tcn.layers.grid import Grid
from tcn.layers.module import SequenceModule
from tcn.layers.passing import (
    POINTWISE,
    advance,
    after,
    children_states,
    grids,
    is_sequence_module,
    latency_of,
    needs,
    on_grid,
)
from tcn.layers.reach import Composed, InSeries, Reach
from tcn.layers.state import State
from tcn.saving.description import recorded


class Composite(SequenceModule):
    """A module whose geometry is that of its parts."""

    @property
    def geometry(self) -> Composed:
        """How the parts are arranged."""
        raise TypeError(f"{type(self).__name__} does not define geometry")

    @property
    def reach(self) -> tuple[Reach, ...]:
        """That of the parts together."""
        return self.geometry.reach

    @property
    def axes(self) -> int:
        """As many as any part names."""
        return self.geometry.axes

    def sees(self, first: float, last: float, axis: int = -1) -> tuple[float, float]:
        """The inputs that the parts together depend on."""
        return self.geometry.sees(first, last, axis)

    def out_steps(self, steps: int, axis: int = -1) -> int:
        """What the parts together return."""
        return self.geometry.out_steps(steps, axis)

    def rate_along(self, axis: int) -> Fraction:
        """That of the parts together."""
        return self.geometry.rate_along(axis)

    def block_along(self, axis: int) -> int:
        """That of the parts together."""
        return self.geometry.block_along(axis)

    def nothing(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Every part is handed nothing."""
        return self.advance(x, state, context)

    @property
    def reads_out(self) -> bool:
        """Whether a part reads out."""
        return any(getattr(part, "reads_out", False) for part in self.children())

    @property
    def streaming_obstacle(self) -> str | None:
        """A look-ahead with a change of rate: there is no whole number of steps to wait."""
        if not self.latency or self.preserves_length:
            return None
        return "a look-ahead cannot stream along with a stride, an up-sampling or 'valid' padding"


class Container(Composite):
    """Children in order, given by position or by name."""

    @recorded
    def __init__(self, *modules: nn.Module, **named: nn.Module) -> None:
        super().__init__()
        self._order: list[str] = []
        for name, module in [*((str(i), m) for i, m in enumerate(modules)), *named.items()]:
            module = uncompiled(module)
            if not (isinstance(module, POINTWISE) or is_sequence_module(module)):
                raise TypeError(
                    f"{name}: {type(module).__name__} is neither a tcn.layers.SequenceModule nor a "
                    "pointwise activation of torch.nn; subclass SequenceModule, or "
                    "tcn.layers.Pointwise if it treats every position alike and alone"
                )
            if hasattr(self, name):
                raise ValueError(
                    f"{name}: the name of a part, but {type(self).__name__} has an attribute of "
                    f"that name; call it {name}_part or anything else"
                )
            self.add_module(name, module)
            self._order.append(name)
        self.ndim = max((getattr(module, "ndim", 1) for module in self), default=1)
        self._set_channels()

    def _set_channels(self) -> None:
        """Sets ``in_channels`` and ``out_channels`` where the parts say them."""

    def _say(self, name: str, channels: int | None) -> None:
        """Sets one of them, unless it is not known or a subclass has a property of that name."""
        if channels is not None and not isinstance(getattr(type(self), name, None), property):
            setattr(self, name, channels)

    def __iter__(self) -> Iterator[nn.Module]:
        return (self._modules[name] for name in self._order)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> nn.Module:
        return getattr(self, self._order[index])


class Chain(Container):
    """One module after the other: ``x -> m0 -> m1 -> ... -> y``."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Each child advances over what the one before returned."""
        states = children_states(self, state, len(self))
        remembered = []
        for module, before in zip(self, states, strict=True):
            x, next_state = advance(module, x, before, context)
            remembered.append(next_state)
            context = after(module, context, before)
        return x, tuple(remembered)

    def context_after(self, context: Context, state: State | None) -> Context:
        """What travels on behind the last child."""
        for module, before in zip(self, children_states(self, state, len(self)), strict=True):
            context = after(module, context, before)
        return context

    @property
    def geometry(self) -> Composed:
        """One after the other."""
        return InSeries(self)

    @property
    def latency(self) -> int:
        """The sum of the children's latencies."""
        return sum(latency_of(module) for module in self)

    def needs(self, want: Grid) -> Grid:
        """What the first child needs for what the second needs, and so on."""
        return _grids(list(self), want)[0]

    def grids(self, want: Grid) -> Iterator[tuple[nn.Module, Grid]]:
        """Those of the children."""
        for module, wanted in zip(self, _grids(list(self), want)[1:], strict=True):
            yield from grids(module, wanted)

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Each child computes only what the later ones need."""
        modules = list(self)
        places = [have, *_grids(modules[1:], want)]
        for module, before, wanted in zip(modules, places, places[1:], strict=False):
            x = on_grid(module, x, before, wanted, context)
        return x

    def _set_channels(self) -> None:
        in_channels, out_channels = in_series(list(self))
        self._say("in_channels", in_channels)
        self._say("out_channels", out_channels)


def _grids(modules: Sequence[nn.Module], want: Grid) -> list[Grid]:
    """The grid before every module of a chain, and ``want`` after the last."""
    places = [want]
    for module in reversed(modules):
        places.append(needs(module, places[-1]))
    return places[::-1]
