"""Pyramid pooling: the same number of values for an input of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.context import Context, silence
from tcn.layers.module import SequenceModule
from tcn.layers.normalization import WHOLE_TIME
from tcn.layers.reach import Reach
from tcn.layers.running import valid_steps
from tcn.layers.state import State
from tcn.layers.validation import check_positions, check_positive, check_switch
from tcn.saving.description import recorded


class PyramidPool(SequenceModule):
    """Each axis in 1, 2, 4, ... parts, each part pooled, whatever the size of the input.

    ::

        levels (1, 2, 4)    a a a a a a a a a a
                            b b b b b c c c c c
                            d d d e e|f f f g g      parts share a step where they do not come out
                                                     even (here | is in e and in f)

    ``(batch, channels, *sizes)`` to ``(batch, channels * parts)``: level by level, in each level
    channel by channel; ``parts`` is the sum of ``level ** ndim``. The parts are those of
    ``torch.nn.AdaptiveMaxPool1d``; for a row with padding they are parts of its valid steps. A
    level of 1 alone is global pooling.

    Source: He et al. 2014 (Spatial pyramid pooling), section 2.2 and figure 3.
    """

    @recorded
    def __init__(
        self, levels: Sequence[int] = (1, 2, 4), *, pool: str = "max", flat: bool = True
    ) -> None:
        """Pools sequences and images alike.

        Args:
            levels: parts of every axis, level by level.
            pool: ``"max"`` or ``"average"`` over each part.
            flat: whether the parts are put side by side; otherwise those of a single level keep
                their axes, ``(batch, channels, *parts)``.

        Raises:
            ValueError: if there is no level, one is below 1, there is no pool of that name, or
                several levels are to keep their axes.
        """
        super().__init__()
        if not levels:
            raise ValueError("levels: none; give the parts of an axis per level, such as (1, 2, 4)")
        check_positive("levels", levels)
        if pool not in ("max", "average"):
            raise ValueError(f"pool: {pool!r} is not one of 'max', 'average'")
        check_switch(flat=flat)
        if not flat and len(levels) > 1:
            raise ValueError(
                f"flat: False with levels={tuple(levels)}, whose parts do not fit side by side; "
                f"give one level, such as ({levels[-1]},)"
            )
        self.levels, self.pool, self.flat = tuple(levels), pool, flat

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Pools the whole sequence.

        Raises:
            ValueError: if the input has no positions.
        """
        check_positions(self, x)
        if context.mask is None:
            pooled = [self._adaptive(x, parts) for parts in self.levels]
        else:
            x, valid = silence(x, context.mask), valid_steps(x, context.mask)
            pooled = [self._masked(x, valid, parts) for parts in self.levels]
        if not self.flat:
            return pooled[0].view(*x.shape[:2], *self.levels * (x.dim() - 2)), ()
        return torch.cat([level.flatten(1) for level in pooled], 1), ()

    def context_after(self, context: Context, state: State | None) -> Context:
        """Parts are never padding."""
        return context._replace(mask=None)

    def _adaptive(self, x: Tensor, parts: int) -> Tensor:
        largest = self.pool == "max"
        if x.dim() == 3:
            return F.adaptive_max_pool1d(x, parts) if largest else F.adaptive_avg_pool1d(x, parts)
        shape = (parts, parts)
        return F.adaptive_max_pool2d(x, shape) if largest else F.adaptive_avg_pool2d(x, shape)

    def _masked(self, x: Tensor, valid: Tensor, parts: int) -> Tensor:
        """``(batch, channels, parts ** ndim)``: every part as a mask over all positions."""
        members = valid.unsqueeze(2)  # (batch, 1, parts so far, *sizes)
        for axis in range(2, x.dim()):
            along = _parts_of_axis(valid, axis, parts)
            members = (members.unsqueeze(3) & along.unsqueeze(2)).flatten(2, 3)
        members, x = members.flatten(3), x.flatten(2)
        if self.pool == "average":
            weights = members[:, 0].to(x.dtype)
            count = weights.sum(2).clamp_min(1)
            return torch.einsum("bcs,bps->bcp", x, weights) / count.unsqueeze(1)
        largest = [x.masked_fill(~part, -math.inf).amax(2) for part in members.unbind(2)]
        empty = ~members.any(3)
        return torch.stack(largest, 2).masked_fill(empty, 0)

    @property
    def changes_length(self) -> bool:
        """There is no time axis left."""
        return True

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Everything."""
        return WHOLE_TIME

    @property
    def streaming_obstacle(self) -> str | None:
        """Parts of a sequence are known when it has ended."""
        return "PyramidPool divides the whole sequence, whose end a stream does not know"

    def extra_repr(self) -> str:
        """Levels and pool."""
        return f"levels={self.levels}, pool={self.pool!r}"


def _parts_of_axis(valid: Tensor, axis: int, parts: int) -> Tensor:
    """``(batch, 1, parts, *sizes)`` bool: the parts of the valid places of one axis of each row."""
    others = [i for i in range(2, valid.dim()) if i != axis]
    places = valid.any(dim=others[0], keepdim=True) if others else valid
    count = places.sum(axis, keepdim=True).unsqueeze(2)
    rank = (places.cumsum(axis) - 1).unsqueeze(2)
    part = torch.arange(parts, device=valid.device).view(1, 1, -1, *[1] * (valid.dim() - 2))
    first, end = part * count // parts, ((part + 1) * count + parts - 1) // parts
    return places.unsqueeze(2) & (rank >= first) & (rank < end)
