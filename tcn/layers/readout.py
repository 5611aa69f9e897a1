"""From a value per step to one per sequence: last, mean, max, attention.

Each streams: after a chunk it returns the readout of everything so far, so that the last chunk's
value is that of the whole sequence. Padding is never read.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tcn.layers.context import Context
from tcn.layers.module import SequenceModule
from tcn.layers.normalization import WHOLE_TIME
from tcn.layers.reach import Reach
from tcn.layers.running import valid_steps
from tcn.layers.state import State
from tcn.layers.validation import check_positions, check_positive, check_state, wrong_state
from tcn.saving.description import recorded


class Every(SequenceModule):
    """Reads every step: ``(batch, channels, *sizes)`` as it is."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The same."""
        return x, ()


class Readout(SequenceModule):
    """A readout over all positions, ``(batch, channels, *sizes)`` to ``(batch, channels)``.

    Subclasses say what is remembered from a chunk, and what is read from that.
    """

    def remember(self, x: Tensor, state: State | None, mask: Tensor | None) -> Tensor:
        """What is known after a chunk, ``state`` being what was known before it."""
        raise TypeError(f"{type(self).__name__} does not define remember(x, state, mask)")

    def read(self, state: Tensor, dtype: torch.dtype) -> Tensor:
        """The readout, ``(batch, channels)``, of what is known."""
        raise TypeError(f"{type(self).__name__} does not define read(state, dtype)")

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The readout of everything so far."""
        check_positions(self, x)
        known = self.remember(x, state, context.mask)
        return self.read(known, x.dtype), known

    def nothing(
        self, x: Tensor, state: State | None, context: Context
    ) -> tuple[Tensor, State | None]:
        """The readout so far."""
        if state is None:
            return x.new_zeros(x.shape[:2]), None
        if not isinstance(state, Tensor):
            raise wrong_state(self, "a tensor", type(state).__name__)
        return self.read(state, x.dtype), state

    @property
    def changes_length(self) -> bool:
        """There is no time axis left."""
        return True

    @property
    def reads_out(self) -> bool:
        """There is no time axis left."""
        return True

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Everything."""
        return WHOLE_TIME

    def _checked(self, state: State, like: Tensor) -> Tensor:
        """The state, refused if it is of another shape, type or place than ``like``."""
        state = check_state(self, state, tuple(like.shape[:-1]), like)
        if state.shape != like.shape:
            raise wrong_state(self, f"shape {tuple(like.shape)}", f"shape {tuple(state.shape)}")
        return state


class Last(Readout):
    """The last valid position of each row; of an image the last row and column."""

    def remember(self, x: Tensor, state: State | None, mask: Tensor | None) -> Tensor:
        """The last value so far, for chunks in which a row has no valid step."""
        if mask is None:
            return x.flatten(2)[..., -1]
        valid = valid_steps(x, mask).flatten(1)
        positions = torch.arange(valid.shape[1], device=x.device)
        index = torch.where(valid, positions, -1).amax(1).view(-1, 1, 1)
        last = x.flatten(2).gather(2, index.clamp_min(0).expand(-1, x.shape[1], 1)).squeeze(2)
        before = torch.zeros_like(last) if state is None else self._checked(state, last)
        return torch.where(index.squeeze(2) >= 0, last, before)

    def read(self, state: Tensor, dtype: torch.dtype) -> Tensor:
        """The same."""
        return state


class Mean(Readout):
    """The mean over all valid positions: global average pooling (Lin et al. 2014, section 3.2)."""

    def remember(self, x: Tensor, state: State | None, mask: Tensor | None) -> Tensor:
        """Sum and count in float64: ``(batch, channels + 1)``."""
        valid = valid_steps(x, mask)
        flat = x.masked_fill(~valid, 0).flatten(2).double()
        total = torch.cat([flat.sum(2), valid.flatten(2).double().sum(2)], dim=1)
        if state is None:
            return total
        return total + self._checked(state, total)

    def read(self, state: Tensor, dtype: torch.dtype) -> Tensor:
        """Their ratio."""
        return (state[:, :-1] / state[:, -1:].clamp_min(1)).to(dtype)


class Max(Readout):
    """The largest value of each channel over all valid positions; 0 where there is none."""

    def remember(self, x: Tensor, state: State | None, mask: Tensor | None) -> Tensor:
        """The largest value so far: ``(batch, channels)``."""
        largest = x.masked_fill(~valid_steps(x, mask), -math.inf).flatten(2).amax(2)
        if state is None:
            return largest
        return torch.maximum(largest, self._checked(state, largest))

    def read(self, state: Tensor, dtype: torch.dtype) -> Tensor:
        """The same."""
        return state.masked_fill(state == -math.inf, 0)


class Attention(Readout):
    """A mean over all valid positions, weighed by a learned score of each.

    Source: Yang et al. 2016 (Hierarchical attention networks), section 2.2, with a linear score.
    """

    @recorded
    def __init__(self, channels: int) -> None:
        """Scores positions by their ``channels`` channels.

        Raises:
            ValueError: if ``channels`` is below 1.
        """
        super().__init__()
        check_positive("channels", [channels])
        self.score = nn.Linear(channels, 1)

    def remember(self, x: Tensor, state: State | None, mask: Tensor | None) -> Tensor:
        """Largest score, sum of weights and weighed sum, ``(batch, 2 + channels)``.

        In float32 at least: a sum of thousands of weights is beyond half precision.
        """
        valid = valid_steps(x, mask).flatten(1)
        steps = x.flatten(2)
        score = self.score(steps.transpose(1, 2)).squeeze(2)
        precise = torch.promote_types(score.dtype, torch.float32)
        score, steps = score.to(precise).masked_fill(~valid, -math.inf), steps.to(precise)
        largest = score.amax(1, keepdim=True)
        before = None
        if state is not None:
            before = self._checked(state, steps.new_empty(x.shape[0], 2 + x.shape[1]))
            largest = torch.maximum(largest, before[:, :1])
        # Scores are taken relative to the largest, which is -inf while there is no valid step.
        base = largest.clamp_min(torch.finfo(precise).min)
        weights = (score - base).exp()
        read = steps.masked_fill(~valid.unsqueeze(1), 0)
        if torch.compiler.is_exporting():  # a matrix product of one step would be a special case
            weighed = (read * weights.unsqueeze(1)).sum(2)
        else:
            weighed = torch.einsum("bct,bt->bc", read, weights)
        total = torch.cat([weights.sum(1, keepdim=True), weighed], dim=1)
        if before is not None:
            total = total + before[:, 1:] * (before[:, :1] - base).exp()
        return torch.cat([largest, total], dim=1)

    def read(self, state: Tensor, dtype: torch.dtype) -> Tensor:
        """The weighed sum over the sum of weights."""
        tiny = torch.finfo(state.dtype).tiny
        return (state[:, 2:] / state[:, 1:2].clamp_min(tiny)).to(dtype)


READOUTS: dict[str, type[SequenceModule]] = {
    "every": Every,
    "last": Last,
    "mean": Mean,
    "max": Max,
    "attention": Attention,
}
"""What ``readout="..."`` means."""


def readout_of(name: str, channels: int) -> SequenceModule:
    """The readout of that name, for ``channels`` channels.

    Raises:
        ValueError: if there is no readout of that name.
    """
    if name not in READOUTS:
        raise ValueError(f"readout: {name!r} is not one of {', '.join(map(repr, READOUTS))}")
    return Attention(channels) if name == "attention" else READOUTS[name]()
