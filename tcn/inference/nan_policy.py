"""What a session does when NaN or infinity arrives, and what it has to remember of each row.

chunk of one row     1  2 nan  4        outputs
"raise"              ValueError, nothing advances
"hold"               1  2  2  4         y1 y2 y3 y4
"skip"               1  2     4         y1 y2 y2 y3
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tcn.inference.finite import finite_steps, hold_last, refuse_not_finite
from tcn.layers import SequenceModule


class Chunk(NamedTuple):
    """What arrives in one push.

    Attributes:
        x: ``(rows, channels, ..., time)``, or ``(rows, time)`` tokens.
        rows: ``(rows,)`` int64, which rows of the session they are.
        condition: ``(rows, channels)``, ``(rows, channels, ..., time)`` or None.
    """

    x: Tensor
    rows: Tensor
    condition: Tensor | None

    def take(self, which: Tensor | slice) -> Chunk:
        """Some of the rows."""
        condition = None if self.condition is None else self.condition[which]
        return Chunk(self.x[which], self.rows[which], condition)

    def at(self, steps: Tensor | slice) -> Chunk:
        """Some of the steps."""
        condition = self.condition
        if condition is not None and condition.dim() > 2:
            condition = condition[..., steps]
        return Chunk(self.x[..., steps], self.rows, condition)


Advance = Callable[[Chunk], Tensor]
"""Pushes a chunk that is finite; returns its outputs."""


@dataclass
class RowRecord:
    """What a session knows of each row in addition to the state of the net; row first everywhere.

    Attributes:
        begun: ``(batch,)`` bool, whether a step has come since the start or the last reset.
        replaced: ``(batch,)`` int64, values held or steps skipped since then.
        last: ``(batch, ...)``, the last finite input under ``"hold"``, the last output under
            ``"skip"``; None until the first.
    """

    begun: Tensor
    replaced: Tensor
    last: Tensor | None = None

    @classmethod
    @torch.inference_mode(False)  # tensors made in it could not be changed outside of it
    def fresh(cls, count: int, device: torch.device) -> RowRecord:
        """For ``count`` rows, none of which has begun."""
        return cls(
            torch.zeros(count, dtype=torch.bool, device=device),
            torch.zeros(count, dtype=torch.int64, device=device),
        )

    def take(self, rows: Tensor) -> RowRecord:
        """The record of these rows alone, as a copy."""
        last = None if self.last is None else self.last[rows]
        return RowRecord(self.begun[rows], self.replaced[rows], last)

    def put(self, rows: Tensor, other: RowRecord) -> None:
        """Takes over another's rows."""
        self.begun[rows] = other.begun
        self.replaced[rows] = other.replaced
        if other.last is not None:
            self.remember(other.last, rows)
        elif self.last is not None:
            self.last[rows] = 0

    def clear(self, rows: Tensor) -> None:
        """Forgets these rows."""
        self.begun[rows] = False
        self.replaced[rows] = 0
        if self.last is not None:
            self.last[rows] = 0

    def remember(self, last: Tensor, rows: Tensor | None) -> None:
        """Keeps a copy of the last value of all rows or of some; of the others it is 0 at first."""
        if self.last is None:
            with torch.inference_mode(False):
                self.last = last.new_zeros(len(self.begun), *last.shape[1:])
        if rows is None:
            self.last.copy_(last.detach())
        else:
            self.last[rows] = last.detach()


class Policy(Protocol):
    """What a session asks when a value is NaN or infinite."""

    @property
    def last(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """What :class:`RowRecord` keeps of the inputs and outputs of a push; None for nothing."""

    def mend(self, chunk: Chunk, record: RowRecord, advance: Advance) -> Tensor:
        """The outputs of a chunk in which a value is NaN or infinite.

        Raises:
            ValueError: if the policy is to refuse it, naming row, channel and step.
        """


class Raise:
    """Refuses the chunk."""

    last = None

    def mend(self, chunk: Chunk, record: RowRecord, advance: Advance) -> Tensor:
        """There are no outputs.

        Raises:
            ValueError: naming row, channel and step.
        """
        cure = "mend the input, or build the session with nan='hold' or nan='skip'"
        refuse_not_finite("chunk", chunk.x, chunk.rows, cure)
        return advance(chunk)


class Hold:
    """Puts the last finite value of the row and channel in place of each that is not finite."""

    def mend(self, chunk: Chunk, record: RowRecord, advance: Advance) -> Tensor:
        """Mends the chunk and advances over all of it."""
        x, rows = chunk.x, chunk.rows
        before = torch.zeros_like(x[..., :1]) if record.last is None else record.last[rows]
        x, replaced = hold_last(x, before)
        y = advance(chunk._replace(x=x))
        record.replaced[rows] += replaced
        return y

    def last(self, x: Tensor, y: Tensor) -> Tensor:
        """The last input."""
        return x[..., -1:]


class Skip:
    """Does not advance a row over a step that is not finite, and repeats its last output."""

    def __init__(self, net: SequenceModule) -> None:
        self.net = net

    def mend(self, chunk: Chunk, record: RowRecord, advance: Advance) -> Tensor:
        """Advances the whole rows together and each other row over its finite steps."""
        if record.last is None:
            record.remember(self._silence(chunk), chunk.rows)
        valid = finite_steps(chunk.x)
        whole = valid.all(1)
        parts: dict[int, Tensor] = {}
        if whole.any():
            y = advance(chunk.take(whole))
            parts = dict(zip(whole.nonzero().flatten().tolist(), y.split(1), strict=True))
        for i in (~whole).nonzero().flatten().tolist():
            parts[i] = self._skip(chunk.take(slice(i, i + 1)), valid[i], record, advance)
        return torch.cat([parts[i] for i in range(len(chunk.x))])

    def _skip(self, chunk: Chunk, valid: Tensor, record: RowRecord, advance: Advance) -> Tensor:
        """One row over its ``valid`` steps, ``(time,)`` bool."""
        assert record.last is not None
        y = record.last[chunk.rows]
        if valid.any():
            kept = advance(chunk.at(valid))
            y = torch.cat([y, kept], dim=-1)[..., valid.cumsum(0)] if kept.dim() > 2 else kept
        elif y.dim() > 2:
            y = y.expand(*y.shape[:-1], len(valid))
        record.replaced[chunk.rows] += (~valid).sum()
        return y

    @torch.no_grad()
    def _silence(self, chunk: Chunk) -> Tensor:
        """Zeros of the shape of an output of these rows."""
        first = chunk.at(slice(0, 1))
        y = self.net.step(torch.zeros_like(first.x), condition=first.condition)[0]
        return torch.zeros_like(y)

    def last(self, x: Tensor, y: Tensor) -> Tensor:
        """The last output."""
        return y[..., -1:] if y.dim() > 2 else y


def policy_of(name: str, net: SequenceModule) -> Policy:
    """What ``nan="..."`` means for a session of this net.

    Raises:
        ValueError: if the policy is unknown.
    """
    policies: dict[str, Policy] = {"raise": Raise(), "hold": Hold(), "skip": Skip(net)}
    if name not in policies:
        raise ValueError(f"nan: {name!r} is not one of {', '.join(map(repr, policies))}")
    return policies[name]
