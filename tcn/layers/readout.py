"""From a value per step to one per sequence: last, mean, max, attention.

Each streams: after a chunk it returns the readout of everything so far, so that the last chunk's
value is that of the whole sequence. Padding is never read.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tcn.layers.context import Context
from tcn.layers.module import Reach, SequenceModule, State
from tcn.layers.normalization import WHOLE_TIME
from tcn.layers.running import valid_steps
from tcn.layers.validation import check_positive, check_state, wrong_state


class Every(SequenceModule):
    """Reads every step: ``(batch, channels, *sizes)`` as it is."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The same."""
        return x, ()


class _Readout(SequenceModule):
    """A readout over all positions, ``(batch, channels, *sizes)`` to ``(batch, channels)``."""

    @property
    def changes_length(self) -> bool:
        """There is no time axis left."""
        return True

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Everything."""
        return WHOLE_TIME

    def _check_state(self, state: State, like: Tensor) -> None:
        """Refuses a state of other shape, type or place than ``like``."""
        check_state(self, state, tuple(like.shape[:-1]), like)
        if state.shape != like.shape:
            raise wrong_state(self, f"shape {tuple(like.shape)}", f"shape {tuple(state.shape)}")


class Last(_Readout):
    """The last valid position of each row; of an image the last row and column."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The state is the last value so far, for chunks in which a row has no valid step."""
        if context.mask is None:
            last = x.flatten(2)[..., -1]
            return last, last
        valid = valid_steps(x, context.mask).flatten(1)
        positions = torch.arange(valid.shape[1], device=x.device)
        index = torch.where(valid, positions, -1).amax(1).view(-1, 1, 1)
        last = x.flatten(2).gather(2, index.clamp_min(0).expand(-1, x.shape[1], 1)).squeeze(2)
        before = torch.zeros_like(last) if state is None else state
        self._check_state(before, last)
        last = torch.where(index.squeeze(2) >= 0, last, before)
        return last, last


class Mean(_Readout):
    """The mean over all valid positions."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The state is sum and count in float64: ``(batch, channels + 1)``."""
        valid = valid_steps(x, context.mask)
        flat = x.masked_fill(~valid, 0).flatten(2).double()
        total = torch.cat([flat.sum(2), valid.flatten(2).double().sum(2)], dim=1)
        if state is not None:
            self._check_state(state, total)
            total = total + state
        return (total[:, :-1] / total[:, -1:].clamp_min(1)).to(x.dtype), total


class Max(_Readout):
    """The largest value of each channel over all valid positions; 0 where there is none."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The state is the largest value so far: ``(batch, channels)``."""
        largest = x.masked_fill(~valid_steps(x, context.mask), -math.inf).flatten(2).amax(2)
        if state is not None:
            self._check_state(state, largest)
            largest = torch.maximum(largest, state)
        return largest.masked_fill(largest == -math.inf, 0), largest


class Attention(_Readout):
    """A mean over all valid positions, weighed by a learned score of each.

    Source: Yang et al. 2016 (Hierarchical attention networks), section 2.2, with a linear score.
    """

    def __init__(self, channels: int) -> None:
        """Scores positions by their ``channels`` channels.

        Raises:
            ValueError: if ``channels`` is below 1.
        """
        super().__init__()
        check_positive("channels", [channels])
        self.score = nn.Linear(channels, 1)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The state is largest score, sum of weights and weighed sum: ``(batch, 2 + channels)``."""
        valid = valid_steps(x, context.mask).flatten(1)
        steps = x.flatten(2)
        score = self.score(steps.transpose(1, 2)).squeeze(2).masked_fill(~valid, -math.inf)
        largest = score.amax(1, keepdim=True)
        if state is not None:
            self._check_state(state, x.new_empty(x.shape[0], 2 + x.shape[1]))
            largest = torch.maximum(largest, state[:, :1])
        # Scores are taken relative to the largest, which is -inf while there is no valid step.
        base = largest.clamp_min(torch.finfo(x.dtype).min)
        weights = (score - base).exp()
        read = steps.masked_fill(~valid.unsqueeze(1), 0)
        total = torch.cat(
            [weights.sum(1, keepdim=True), torch.einsum("bct,bt->bc", read, weights)], dim=1
        )
        if state is not None:
            total = total + state[:, 1:] * (state[:, :1] - base).exp()
        tiny = torch.finfo(x.dtype).tiny
        return total[:, 1:] / total[:, :1].clamp_min(tiny), torch.cat([largest, total], dim=1)


READOUTS: dict[str, type[SequenceModule]] = {
    "every": Every,
    "last": Last,
    "mean": Mean,
    "max": Max,
    "attention": Attention,
}
"""What ``readout="..."`` means."""


def readout_of(name: str, channels: int) -> SequenceModule:
    """The readout of a name, for ``channels`` channels.

    Raises:
        ValueError: if there is no readout of that name.
    """
    if name not in READOUTS:
        raise ValueError(f"readout: {name!r} is not one of {', '.join(map(repr, READOUTS))}")
    return Attention(channels) if name == "attention" else READOUTS[name]()
