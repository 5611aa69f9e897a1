"""The contract that every sequence module keeps.

Axis order is ``(batch, channel, time)`` in 1-D and ``(batch, channel, height, time)`` in 2-D;
*time* is always the last axis. A module implements one method, :meth:`SequenceModule.advance`.
``forward(x)`` is that method over the whole sequence from nothing, ``step(chunk, state)`` over a
chunk from where the last one ended. The two therefore cannot drift apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tcn.layers.context import Context, Sampling, padding_mask, silence, with_history
from tcn.layers.grid import Grid
from tcn.layers.reach import Geometry
from tcn.layers.state import State
from tcn.layers.validation import wrong_state
from tcn.saving.description import Description


class SequenceModule(Geometry, nn.Module):
    """Base class of every layer, block and net: whole sequences and chunks through one method.

    Attributes:
        ndim: axes after batch and channel; the last is time.
        in_channels: channels of the input, of modules that fix them.
        out_channels: channels of the output, likewise.
        reads_condition: whether this module itself reads ``context.condition``.
    """

    ndim: int = 1
    reads_condition: bool = False
    takes_context: ClassVar[bool] = True
    """Whether ``forward`` is that of the contract; set where a subclass defines it anew."""
    in_channels: int
    out_channels: int
    construction: Description = None
    """The call that built this module, as plain data; see :mod:`tcn.saving.description`."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "forward" in vars(cls):
            parameters = inspect.signature(cls.forward).parameters.values()
            cls.takes_context = any(p.name == "context" for p in parameters)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Computes the outputs of a chunk and the state after it.

        Args:
            x: ``(batch, channels, *sizes)``.
            state: what the previous chunk returned, or None at the start of a sequence.
            context: mask and condition of this chunk.

        Returns:
            The outputs, and the state to hand to the next chunk (``()`` if there is none).
        """
        raise TypeError(
            f"{type(self).__name__} does not define advance(x, state, context); "
            "every SequenceModule must"
        )

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        condition: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        context: Context | None = None,
    ) -> Tensor:
        """Evaluates whole sequences.

        Args:
            x: ``(batch, channels, *sizes)``.
            lengths: ``(batch,)`` integers, valid steps of each row; the rest is padding.
            condition: ``(batch, channels)`` or ``(batch, channels, *sizes)``, where the module
                is conditioned.
            mask: ``(batch, *sizes)`` bool, for padding that is not on the right.
            context: what a container hands on to its parts, in place of the three above.

        Raises:
            ValueError: if a shape or a length does not fit.
        """
        if context is None:
            x, context = self._enter(x, lengths, condition, mask, streaming=False)
        return self.advance(x, None, context)[0]

    def step(
        self,
        x: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        condition: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Evaluates the next chunk of a stream; the chunks' outputs equal those of the whole.

        Args:
            x: ``(batch, channels, *sizes)``, at least one step on the last axis.
            state: what the last call returned; None begins a new sequence.
            lengths: valid steps of each row within this chunk.
            condition: as in :meth:`forward`, for this chunk.
            mask: as in :meth:`forward`, for this chunk.

        Returns:
            The outputs of this chunk and the state after it. With a look-ahead the outputs lag
            :attr:`latency` steps behind: that many at the start of a stream belong to no step,
            and pushing that many steps of padding (``mask`` False) at its end brings the last ones.

        Raises:
            TypeError: if the module cannot stream, with the reason.
            ValueError: if the chunk is empty or the state is not one of this module's.
        """
        if obstacles := self.streaming_obstacles():
            raise TypeError(
                f"{type(self).__name__} has no step(): {'; '.join(obstacles)}. "
                "Use forward() on whole sequences, or build the net without it."
            )
        if x.shape[-1] == 0:
            raise ValueError(
                f"x: a chunk of length 0 (shape {tuple(x.shape)}); a chunk needs at least one "
                "step on the last axis: skip the call when nothing has arrived"
            )
        x, context = self._enter(x, lengths, condition, mask, streaming=True)
        if context.mask is None and self.joins_unevenly and not torch.compiler.is_exporting():
            context = context.completed(x)  # what waits may have come with a mask
        if not self.latency:
            return self.advance(x, state, context)
        past, state = self._past_of(state)
        context, past = with_history(x, context, self.latency, past)
        y, state = self.advance(x, state, context)
        return y, (past, state)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Registers a child; one that PyTorch's converters would replace can keep its place."""
        has_its_say = getattr(self._modules.get(name), "replaced_by", None)
        super().add_module(name, has_its_say(module) if has_its_say else module)

    def _past_of(self, state: State | None) -> tuple[tuple[Tensor, Tensor] | None, State | None]:
        """Mask and condition of the last steps, which a look-ahead still needs, and the rest."""
        match state:
            case None:
                return None, None
            case ((Tensor() as mask, Tensor() as condition), rest):
                return (mask, condition), rest
        raise wrong_state(self, "a pair of (mask, condition) and state", type(state).__name__)

    def _enter(
        self,
        x: Tensor,
        lengths: Tensor | None,
        condition: Tensor | None,
        mask: Tensor | None,
        *,
        streaming: bool,
    ) -> tuple[Tensor, Context]:
        """The input with its padding silenced, and what travels with it."""
        if condition is not None and not self._takes_condition():
            raise ValueError(
                f"condition: shape {tuple(condition.shape)} given, but no layer of "
                f"{type(self).__name__} reads one; build the net with modulation=FiLM or "
                "AddCondition (in a custom layer set reads_condition = True), or leave it out"
            )
        mask = padding_mask(x, lengths, mask)
        return silence(x, mask), Context(mask, condition, streaming)

    def _takes_condition(self) -> bool:
        return any(m.reads_condition for m in self.modules() if isinstance(m, SequenceModule))

    @property
    def streaming_obstacle(self) -> str | None:
        """Why this module alone, its children aside, cannot stream; None if it can."""
        return None

    def streaming_obstacles(self) -> list[str]:
        """Every reason why this module or a part of it cannot stream; empty if it can."""
        found = [m.streaming_obstacle for m in self.modules() if isinstance(m, SequenceModule)]
        return list(dict.fromkeys(reason for reason in found if reason))

    @property
    def streams(self) -> bool:
        """Whether :meth:`step` works: no output depends on more than a bounded look-ahead."""
        return not self.streaming_obstacles()

    @property
    def causal(self) -> bool:
        """Whether :meth:`step` works, and no output depends on a later input."""
        return self.streams and self.latency == 0

    @property
    def latency(self) -> int:
        """Steps by which the outputs of :meth:`step` lag behind its inputs: the look-ahead.

        :meth:`forward`, which has the whole sequence at hand, returns every output in its place.
        """
        return 0

    @property
    def changes_length(self) -> bool:
        """Whether this module alone, its children aside, returns other sizes than it was given."""
        return False

    @property
    def reads_out(self) -> bool:
        """Whether the outputs have no time axis: each call of :meth:`step` reads out all so far."""
        return False

    @property
    def preserves_length(self) -> bool:
        """Whether output and input have the same sizes (no stride, no ``"valid"`` padding)."""
        return not any(getattr(part, "changes_length", False) for part in self.modules())

    def sampling(self, state: State | None) -> tuple[Sampling, ...]:
        """Which inputs of the next chunk have outputs of their own, per axis, time last."""
        rates = {axis: self.rate_along(axis) for axis in range(-self.axes, 0)}
        return tuple(
            Sampling(self.phase(state) if axis == -1 else 0, rate.numerator, rate.denominator)
            for axis, rate in rates.items()
        )

    def phase(self, state: State | None) -> int:
        """Inputs of the next chunk before the next output's own position; 0 without a stride."""
        return 0

    def context_after(self, context: Context, state: State | None) -> Context:
        """What travels on with the outputs for a chunk that came with ``context``.

        Args:
            context: what came with the chunk.
            state: the state before the chunk.
        """
        return context.sampled(self.sampling(state)).delayed(self.latency)

    def nothing(
        self, x: Tensor, state: State | None, context: Context
    ) -> tuple[Tensor, State | None]:
        """The output for a chunk in which no step falls due; the state is kept.

        A module that changes the number of channels says so by ``out_channels``.

        Args:
            x: ``(batch, channels, ..., 0)``.
            state: the state before the chunk.
            context: what came with it.
        """
        channels = getattr(self, "out_channels", x.shape[1])
        axes = range(-(x.dim() - 2), -1)
        sizes = [self.out_steps(x.shape[axis], axis) for axis in axes]
        return x.new_empty((x.shape[0], channels, *sizes, 0)), state

    @property
    def multiple_of(self) -> int:
        """Steps of which whole sequences must be a multiple, so that all branches end together."""
        return self.block_size if self.joins_unevenly else 1

    @property
    def joins_unevenly(self) -> bool:
        """Whether joined branches somewhere have other numbers of outputs within a block."""
        return any(getattr(module, "uneven", False) for module in self.modules())

    def grids(self, want: Grid) -> Iterator[tuple[nn.Module, Grid]]:
        """This module, or its parts, with the positions that each computes for ``want``."""
        yield self, want

    def needs(self, want: Grid) -> Grid:
        """The input positions needed for the outputs at ``want``; here every one of them."""
        return Grid.whole(want.sizes)

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """Computes the outputs at ``want`` from the inputs at ``have``, which is ``needs(want)``.

        The context is not decimated: its tensors hold every position.
        """
        return want.take(self.advance(x, None, context)[0], have)


class Pointwise(SequenceModule):
    """A module that treats every position alike and alone: subclasses define ``forward(x)``."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Maps ``(batch, channels, *sizes)`` to the same sizes."""
        raise TypeError(f"{type(self).__name__} does not define forward(x)")

    def nothing(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The same function: without a step the output is empty too."""
        return self.forward(x), ()

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The same function, whatever came before."""
        return self.forward(x), ()

    def needs(self, want: Grid) -> Grid:
        """The same positions."""
        return want
