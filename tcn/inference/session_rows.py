"""The rows of a session: which of them have begun, and the state of each."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from tcn.inference.beginnings import Beginning, begins_in_silence
from tcn.inference.compile import compile_stream
from tcn.inference.engines import Engine, TorchRows
from tcn.inference.finite import refuse_poison
from tcn.inference.nan_policy import RowRecord, policy_of
from tcn.inference.parts import compile_parts
from tcn.inference.state import row_indices
from tcn.layers import SequenceModule, State
from tcn.native.rows import StreamRows

_Session = TypeVar("_Session", bound="SessionRows")
_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")

Rows = int | Sequence[int] | Tensor
"""Rows by number, or a bool mask of all."""


def alone(
    method: Callable[Concatenate[_Session, _Given], _Returned],
) -> Callable[Concatenate[_Session, _Given], _Returned]:
    """A method that waits until no other thread is in one of the same session."""

    @functools.wraps(method)
    def waiting(self: _Session, *args: _Given.args, **named: _Given.kwargs) -> _Returned:
        with self._lock:
            return method(self, *args, **named)

    return waiting


class SessionRows:
    """What a session knows of its rows, and whichever engine advances them.

    Attributes:
        net: the net, in evaluation mode.
        batch_size: how many rows there are.
        nan: the policy for NaN and infinity.
        native: whether the native library does the work.
    """

    def __init__(
        self,
        net: SequenceModule,
        batch_size: int,
        *,
        initial: str | State,
        nan: str,
        native: bool | None,
    ) -> None:
        """Makes ``batch_size`` rows, none of which has begun.

        Args:
            net: one that :func:`tcn.inference.checks.check_net` lets through.
            batch_size: how many rows.
            initial: a name or a state, see :class:`tcn.inference.beginnings.Beginning`.
            nan: the name of a policy, see :func:`tcn.inference.nan_policy.policy_of`.
            native: whether the native library does the work; None for wherever it can.

        Raises:
            TypeError: if ``initial`` is neither a name nor a state.
            ValueError: if a name is unknown, ``initial`` does not fit the net, or ``native`` is
                True and cannot be.
        """
        self.net, self.nan = net, nan
        self._policy = policy_of(nan, net)
        self._keeps_length = net.preserves_length  # to ask takes a walk through all modules
        self._strided = not self._keeps_length and (net.block_size != 1 or net.rate != 1)
        if self._strided and nan == "skip":
            raise ValueError("nan: 'skip', but the rows of a net with a stride advance together")
        self._program = None if native is False else compile_stream(net)
        self.native = self._program is not None
        self._partly = None if self.native or native is False else compile_parts(net)
        if native and not self.native:
            raise ValueError(
                f"native: True, but {type(net).__name__} cannot run natively (the log says why); "
                "with native=None PyTorch serves then"
            )
        self._beginning = Beginning.of(net, initial, batch_size)
        refuse_poison("initial", self._beginning.carried, self.native)
        self._device = next((p.device for p in net.parameters()), torch.device("cpu"))
        self._make_rows(batch_size)

    def _make_rows(self, batch_size: int) -> None:
        """Makes ``batch_size`` rows of which none has begun."""
        self._lock = threading.RLock()
        self.batch_size = batch_size
        native = None if self._program is None else self._program.rows(batch_size)
        self._native_rows: StreamRows | None = native
        self._engine: Engine
        if native is not None:
            self._engine = native
        elif self._partly is not None:
            self._engine = self._partly.rows(batch_size)
        else:
            self._engine = TorchRows(self.net, batch_size)
        self._kept = False  # whether native rows know what every row begins with
        self._recorded, self._restarted = RowRecord.fresh(batch_size, self._device), False
        self._wait(True)
        self._accepted: torch.Size | None = None  # the shape last seen of a chunk for all rows

    def _wait(self, waiting: bool) -> None:
        """Says whether a row has not begun, and so whether there is more to do than a step."""
        self._waiting = waiting
        plain = None if waiting or self._policy.last else self._native_rows
        self._push_plain: Callable[[Tensor], Tensor | None] | None = (
            None if plain is None else plain.push_finite
        )

    @property
    @alone
    def replaced(self) -> Tensor:
        """``(batch_size,)`` int64: values held or steps skipped since each row began."""
        return self._record.replaced.clone()

    @property
    def _record(self) -> RowRecord:
        """The record of each row; see :meth:`_begin_all`."""
        if self._restarted:
            self._recorded.begun.fill_(False)
            self._restarted = False
        return self._recorded

    def _begin(self, x: Tensor, rows: Tensor | None, condition: Tensor | None) -> Tensor:
        """Gives the rows that begin with ``x`` their initial state; returns which they are."""
        rows = self._index(None) if rows is None else rows
        new = ~self._record.begun[rows]
        beginning = rows[new]
        if self._kept and self._native_rows is not None:
            if len(beginning):
                self._native_rows.begin(beginning)
            return beginning
        everyone = len(beginning) == self.batch_size
        if everyone:
            self._engine.reset()
        zeros = self._beginning.name == "zeros" and not begins_in_silence(self.net)
        if len(beginning) and not (everyone and zeros):
            condition = None if condition is None else condition[new]
            self._engine.set_state(self._beginning.state(x[new], beginning, condition), beginning)
        if len(beginning) and self._native_rows is not None and self._beginning.is_alike:
            self._native_rows.keep_beginning(int(beginning[0]))
            self._kept = True
        return beginning

    def _begin_all(self) -> None:
        """Begins rows that all have begun anew, so that the next push is like any other.

        That none has begun is noted down when somebody asks, which is seldom before that push.
        """
        assert self._native_rows is not None
        self._native_rows.begin()
        self._restarted = True
        self._waiting, self._push_plain = True, self._push_first

    def _push_first(self, chunk: Tensor) -> Tensor | None:
        """Pushes a chunk to rows of which each is where it begins; None as from ``push_finite``."""
        assert self._native_rows is not None
        y = self._native_rows.push_finite(chunk)
        if y is not None:
            if not self._restarted:
                self._recorded.begun.fill_(True)
            self._restarted = False
            self._wait(False)
        return y

    @alone
    def reset(self, rows: Rows | None = None) -> None:
        """Lets all rows, or those named, begin anew with their next push.

        Raises:
            TypeError: if ``rows`` are not integers.
            ValueError: if a row does not exist.
        """
        if rows is None and self._kept and not self._waiting and not self._policy.last:
            self._begin_all()
        else:
            self._forget(self._moving(rows))

    def _forget(self, rows: Tensor) -> None:
        """Lets rows begin anew, without a change to what is remembered of them until then."""
        self._record.clear(rows)
        self._wait(True)

    @property
    @alone
    def state(self) -> State | None:
        """The state that ``net.step`` would have returned, a copy; None if no row has begun.

        All rows go on from a state that is set; None is a :meth:`reset`.

        Raises:
            ValueError: if some rows have begun and others not, or the state set is of another net
                or batch, or NaN or infinite somewhere.
        """
        return self._state_of(self._index(None)) if self._record.begun.any() else None

    @state.setter
    @alone
    def state(self, state: State | None) -> None:
        if state is not None:
            refuse_poison("state", state, self.native)
            self._engine.set_state(state)
        self._forget(self._index(None))
        self._record.begun[:] = state is not None
        self._wait(state is None)

    def _state_of(self, rows: Tensor) -> State:
        waiting = rows[~self._record.begun[rows]].tolist()
        if waiting:
            raise ValueError(
                f"rows: {waiting} have not begun and so have no state; push to them first, or "
                "gather the others"
            )
        return self._engine.get_state(rows)

    def _copied(self, rows: Tensor) -> tuple[RowRecord, State | None]:
        """The record of some rows, and the state of those of them that have begun."""
        record = self._record.take(rows)
        begun = rows[record.begun]
        return record, self._engine.get_state(begun) if len(begun) else None

    def _restore(self, rows: Tensor, record: RowRecord, state: State | None, what: str) -> None:
        """Puts in what :meth:`_copied` returned; ``what`` it came from is named in errors."""
        begun = rows[record.begun]
        if record.last is not None:
            refuse_poison(what, record.last, native=True)
        if len(begun) and state is not None:
            refuse_poison(what, state, self.native)
            self._engine.set_state(state, begun)
        self._record.put(rows, record)
        self._wait(not bool(self._record.begun.all()))

    def _index(self, rows: Rows | None) -> Tensor:
        if rows is None:
            return torch.arange(self.batch_size, device=self._device)
        return row_indices(rows, self.batch_size).to(self._device)

    def _moving(self, rows: Rows | None) -> Tensor:
        """The rows that are to advance or to begin."""
        index = self._index(rows)
        if self._strided and rows is not None and not index.equal(self._index(None)):
            raise ValueError(
                f"rows: {rows!r}, but with a stride all rows must advance together; pass "
                "rows=None, or use a session per user"
            )
        return index
