"""What travels with ``x`` through a net: which steps are padding, and the condition.

It follows the rate of what it travels with. An output step is valid if its own position is, and its
condition is that of its own position (stride 3, then an up-sampling by 3)::

    input         0 1 2 3 4 5 6 7        valid up to step 4:    + + + + + . . .
    stride 3      0     1     2          own positions 0 3 6:   +     +     .
    up-sampled    0 1 2 3 4 5 6 7 8      repeated:              + + + + + + . . .
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.layers.grid import Grid


class Sampling(NamedTuple):
    """Which positions of an axis have an output: ``start, start + step, ...``, ``repeat`` each."""

    start: int = 0
    step: int = 1
    repeat: int = 1


class Context(NamedTuple):
    """What travels with ``x`` through a net.

    Attributes:
        mask: bool, broadcastable to ``(batch, 1, *sizes)``; False marks padding. Padding counts as
            zeros in every layer, so its content and amount never change a valid output.
        condition: ``(batch, channels)`` for the whole sequence, or ``(batch, channels, *sizes)``.
        streaming: whether more chunks may follow; otherwise the state after this one is not kept.
        latency: of the whole net, while it streams: how many steps before this chunk ``history``
            begins.
        lag: steps by which what a layer sees here is behind the stream.
        history: mask and condition of the stream from ``latency`` steps before this chunk on.
        grids: where a whole sequence is computed though only some positions are read, so that hooks
            see all of it: the positions of each dropout that are read. It draws for these alone, as
            it does where nobody watches.
    """

    mask: Tensor | None = None
    condition: Tensor | None = None
    streaming: bool = False
    latency: int = 0
    lag: int = 0
    history: tuple[Tensor | None, Tensor | None] = (None, None)
    grids: Mapping[nn.Module, Grid] | None = None

    @property
    def local_condition(self) -> Tensor | None:
        """The condition, if there is one for every step."""
        has_steps = self.condition is not None and self.condition.dim() > 2
        return self.condition if has_steps else None

    @property
    def says_nothing(self) -> bool:
        """Whether a module would compute the same without it."""
        nothing = self.mask is None and self.condition is None and self.grids is None
        return nothing and not self.streaming

    @property
    def follows(self) -> bool:
        """Whether anything here changes with the rate or the delay of what it travels with."""
        return self.mask is not None or self.latency > 0 or self.local_condition is not None

    def completed(self, x: Tensor | None = None) -> Context:
        """With a mask for every step (of ``x`` if given), even if all of them are valid."""
        like = x if x is not None else self.local_condition
        if self.mask is None:
            assert like is not None
            return self._replace(
                mask=like.new_ones((like.shape[0], 1, *like.shape[2:]), dtype=torch.bool)
            )
        if x is None:
            return self
        return self._replace(mask=self.mask.expand(x.shape[0], 1, *x.shape[2:]))

    def sampled(self, axes: Sequence[Sampling]) -> Context:
        """Mask and condition at the positions that have an output; axes counted from the last."""
        if all(axis == Sampling() for axis in axes):
            return self
        mask, condition = self.mask, self.local_condition
        for axis, sampling in enumerate(reversed(axes), 1):
            # A mask of one row stands for all rows; along time each step has its own.
            if mask is not None and (axis == 1 or mask.shape[-axis] > 1):
                mask = _sample(mask, -axis, sampling)
            if condition is not None:
                condition = _sample(condition, -axis, sampling)
        condition = self.condition if condition is None else condition
        return self._replace(mask=mask, condition=condition)

    def delayed(self, steps: int) -> Context:
        """Mask and condition of ``steps`` earlier, for what has been held back so long."""
        if not self.latency or not steps:
            return self
        lag = self.lag + steps
        mask, condition = (
            None if past is None else past[..., self.latency - lag : past.shape[-1] - lag]
            for past in self.history
        )
        condition = self.condition if condition is None else condition
        return self._replace(mask=mask, condition=condition, lag=lag)


def _sample(x: Tensor, axis: int, sampling: Sampling) -> Tensor:
    start, step, repeat = sampling
    if (start, step) != (0, 1):
        index: list[slice] = [slice(None)] * x.dim()
        index[axis] = slice(start, None, step)
        x = x[tuple(index)]
    return x if repeat == 1 else x.repeat_interleave(repeat, axis)


def with_history(
    x: Tensor, context: Context, latency: int, past: tuple[Tensor, Tensor] | None
) -> tuple[Context, tuple[Tensor, Tensor]]:
    """The context of a chunk with what came before it; nothing exists before a stream begins."""
    valid = x.new_ones((x.shape[0], 1, *x.shape[2:]), dtype=torch.bool)
    mask = valid if context.mask is None else context.mask.expand_as(valid)
    local = context.condition is not None and context.condition.dim() > 2
    condition = context.condition if local else x.new_zeros((x.shape[0], 0, *x.shape[2:]))
    assert condition is not None
    if past is None:
        before = (*x.shape[2:-1], latency)
        past = (
            mask.new_zeros((x.shape[0], 1, *before)),
            condition.new_zeros((x.shape[0], condition.shape[1], *before)),
        )
    for now, then in zip((mask, condition), past, strict=True):
        if then.shape != (*now.shape[:-1], latency):
            raise ValueError(
                f"state: it remembers {tuple(then.shape)} of mask or condition, this chunk of "
                f"{tuple(now.shape)} needs {(*now.shape[:-1], latency)}; this state belongs to "
                "another net or batch, pass state=None to begin anew"
            )
    mask, condition = (
        torch.cat([then, now], -1) for now, then in zip((mask, condition), past, strict=True)
    )
    time = x.shape[-1]
    context = context._replace(
        mask=mask[..., latency:], latency=latency, history=(mask, condition if local else None)
    )
    return context, (mask[..., time:], condition[..., time:])


def padding_mask(x: Tensor, lengths: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """The bool mask ``(batch, 1, *sizes)`` of the valid positions, or None if all are.

    Raises:
        TypeError: if ``lengths`` are not integers or ``mask`` is not bool.
        ValueError: if shapes do not fit, or a length is negative or beyond the last axis.
    """
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask: expected bool, got {mask.dtype}; use mask.bool()")
        if mask.shape != (x.shape[0], *x.shape[2:]):
            raise ValueError(
                f"mask: shape {tuple(mask.shape)} does not fit x of shape {tuple(x.shape)}; "
                f"expected (batch, *sizes) = {(x.shape[0], *x.shape[2:])}"
            )
        mask = mask.unsqueeze(1)
    if lengths is None:
        return mask
    valid = _length_mask(lengths, x.shape[0], x.shape[-1], x.device)
    valid = valid.reshape(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1])
    return valid if mask is None else valid & mask


def _length_mask(lengths: Tensor, batch: int, time: int, device: torch.device) -> Tensor:
    if lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(f"lengths: expected integers, got {lengths.dtype}; use lengths.long()")
    if lengths.shape != (batch,):
        raise ValueError(
            f"lengths: shape {tuple(lengths.shape)} for a batch of {batch}; expected one length "
            f"per row, shape ({batch},)"
        )
    checked = batch > 0 and not torch.compiler.is_compiling()
    if checked and not 0 <= lengths.min() <= lengths.max() <= time:
        raise ValueError(
            f"lengths: {lengths.tolist()} must lie between 0 and the {time} steps of x; "
            "lengths count valid steps before padding"
        )
    return torch.arange(time, device=device) < lengths.to(device)[:, None]


def silence(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x`` with zeros where the mask is False, whatever stood there (NaN included).

    Raises:
        ValueError: if an earlier layer has changed the length without saying so.
    """
    if mask is None:
        return x
    if mask.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"mask: {mask.shape[-1]} steps for an input of {x.shape[-1]}; an earlier layer returns "
            "other sizes than its reach says: a custom layer with a stride, an up-sampling or "
            "'valid' padding must override reach (its jump) or sampling()"
        )
    return x.masked_fill(~mask, 0)
