"""The contract that every sequence module keeps.

Axis order is ``(batch, channel, time)`` in 1-D and ``(batch, channel, height, time)`` in 2-D;
*time* is always the last axis. A module implements one method, :meth:`SequenceModule.advance`, and
both ways of using it are that method: ``forward(x)`` advances over the whole sequence from nothing,
``step(chunk, state)`` advances over a chunk from where the last one ended. The two therefore
cannot drift apart.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

from torch import Tensor, nn

from tcn.layers.context import Context, padding_mask, silence, with_history
from tcn.layers.grid import Grid
from tcn.layers.validation import wrong_state

State = Any
"""What a module remembers between chunks: a tensor, or a tuple of states; ``()`` if nothing."""


class Reach(NamedTuple):
    """How far one output looks along one axis, in input steps; ``jump``: input steps per output."""

    left: float = 0
    right: float = 0
    jump: Fraction = Fraction(1)

    def then(self, later: Reach) -> Reach:
        """The reach of a module followed by another."""
        return Reach(
            self.left + _input_steps(later.left, self.jump),
            self.right + _input_steps(later.right, self.jump),
            self.jump * later.jump,
        )

    def beside(self, other: Reach) -> Reach:
        """The reach of two branches whose outputs are added."""
        return Reach(max(self.left, other.left), max(self.right, other.right), self.jump)


def _input_steps(reach: float, jump: Fraction) -> float:
    """``reach * jump`` rounded up to whole input steps, for a reach that may be infinite."""
    return reach if math.isinf(reach) else math.ceil(reach * jump)


class SequenceModule(nn.Module):
    """Base class of every layer, block and net: whole sequences and chunks through one method.

    Attributes:
        ndim: axes after batch and channel; the last is time.
        in_channels: channels of the input, of modules that fix them.
        out_channels: channels of the output, likewise.
        reads_condition: whether this module itself reads ``context.condition``.
    """

    ndim: int = 1
    reads_condition: bool = False
    in_channels: int
    out_channels: int

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
    ) -> Tensor:
        """Evaluates whole sequences.

        Args:
            x: ``(batch, channels, *sizes)``.
            lengths: ``(batch,)`` integers, valid steps of each row; the rest is padding.
            condition: ``(batch, channels)`` or ``(batch, channels, *sizes)``, where the module
                is conditioned.
            mask: ``(batch, *sizes)`` bool, for padding that is not on the right.

        Raises:
            ValueError: if a shape or a length does not fit.
        """
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
            :attr:`latency` steps behind: the first so many of a stream belong to no step of it,
            and pushing as many steps of padding (``mask`` False) at its end brings the last ones.

        Raises:
            TypeError: if the module cannot stream, with the reason.
            ValueError: if the chunk is empty or the state is not one of this module's.
        """
        obstacles = self.streaming_obstacles()
        if obstacles:
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
        latency = self.latency
        if latency == 0:
            return self.advance(x, state, context)
        past, state = self._past_of(state)
        context, past = with_history(x, context, latency, past)
        y, state = self.advance(x, state, context)
        return y, (past, state)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Registers a child; one already there under that name may have itself kept.

        PyTorch's converters put another module in the place of a child this way.
        """
        has_its_say = getattr(self._modules.get(name), "replaced_by", None)
        super().add_module(name, has_its_say(module) if has_its_say else module)

    def _past_of(self, state: State | None) -> tuple[tuple[Tensor, Tensor] | None, State | None]:
        """Mask and condition of the last steps, which a look-ahead still needs, and the rest."""
        if state is None:
            return None, None
        if not isinstance(state, tuple) or len(state) != 2 or not isinstance(state[0], tuple):
            raise wrong_state(self, "a pair of (mask, condition) and state", type(state).__name__)
        return state

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
                "AddCondition (a layer of your own says reads_condition = True), or leave it out"
            )
        mask = padding_mask(x, lengths, mask)
        return silence(x, mask), Context(mask, condition, streaming)

    def _takes_condition(self) -> bool:
        modules = (m for m in self.modules() if isinstance(m, SequenceModule))
        return any(module.reads_condition for module in modules)

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
    def preserves_length(self) -> bool:
        """Whether output and input have the same sizes (no stride, no ``"valid"`` padding)."""
        modules = (m for m in self.modules() if isinstance(m, SequenceModule))
        return not any(module.changes_length for module in modules)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """How far an output looks, per axis, the last being time.

        An axis that is not named has reach 0: ``()`` is a module that sees one position only.
        """
        return ()

    @property
    def receptive_field(self) -> float | tuple[float, ...]:
        """Input steps that one output depends on, itself included; a tuple per axis in 2-D.

        ``math.inf`` where it is unbounded, as in a recurrent net.
        """
        reach = [Reach()] * self.ndim + list(self.reach)
        sizes = tuple(axis.left + axis.right + 1 for axis in reach[-self.ndim :])
        return sizes[0] if self.ndim == 1 else sizes

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

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The same function, whatever came before."""
        return self.forward(x), ()

    def needs(self, want: Grid) -> Grid:
        """The same positions."""
        return want
