"""A live stream of many users at once: each row is one, and they come, pause and go one by one.

session = StreamSession(net, batch_size=3)
session.push(chunk)                     all rows advance by a chunk, of any length
session.push(chunk, rows=[0, 2])        row 1 pauses
session.reset([1])                      row 1 begins anew, for another user
session.save("users.safetensors")       to be continued elsewhere
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import torch
from torch import Tensor

from tcn.inference import session_file
from tcn.inference.beginnings import Beginning, padding_like
from tcn.inference.checks import (
    check_chunk,
    check_condition,
    check_net,
    check_noise,
    check_rate,
    check_tensor,
    input_dtype,
    takes_tokens,
)
from tcn.inference.compile import compile_stream
from tcn.inference.engines import TorchRows
from tcn.inference.finite import all_finite, refuse_poison
from tcn.inference.nan_policy import POLICIES, Chunk, RowRecord
from tcn.inference.state import row_indices
from tcn.layers import SequenceModule, State
from tcn.layers.validation import check_positive, check_switch
from tcn.saving.tensors import damaged

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")


def _alone(
    method: Callable[Concatenate[StreamSession, _Given], _Returned],
) -> Callable[Concatenate[StreamSession, _Given], _Returned]:
    """A method that waits until no other thread is in one of the same session."""

    @functools.wraps(method)
    def waiting(self: StreamSession, *args: _Given.args, **named: _Given.kwargs) -> _Returned:
        with self._lock:
            return method(self, *args, **named)

    return waiting


Rows = int | Sequence[int] | Tensor
"""Rows by number, or a bool mask of all."""


class StreamSession:
    """The state of many streams through one net, each in a row of its own.

    The outputs of a row are those of ``net.forward`` on all that the row was given. Where the
    native library knows the net (float32, on the CPU) it does the work, otherwise ``net.step``. No
    gradient is kept.

    Threads may share a session: each call has it to itself, and the next one waits. Calls that name
    rows of their own so give what they would give alone; which of two calls for the same row comes
    first is for the threads to settle. Sessions of one net do not wait for each other.

    A native session keeps the weights that the net had when it was built, and stays in float32
    under autocast, while ``net.step`` follows both: after further training, build a new session.

    Attributes:
        net: the net, in evaluation mode.
        batch_size: how many rows there are.
        nan: the policy for NaN and infinity.
        sample_rate: steps per second, or None.
        latency: steps by which outputs lag behind inputs; 0 unless the net looks ahead.
        native: whether the native library does the work.
    """

    def __init__(
        self,
        net: SequenceModule,
        batch_size: int = 1,
        *,
        initial: str | State | StreamSession = "zeros",
        nan: str = "raise",
        sample_rate: float | None = None,
        native: bool | None = None,
    ) -> None:
        """Makes ``batch_size`` rows, none of which has begun.

        Args:
            net: any net that streams, in evaluation mode.
            batch_size: rows, that is, users.
            initial: what each row begins with, now and after a reset: ``"zeros"`` at every layer,
                as ``forward`` pads; ``"silence"``, the steady state under zeros at the input;
                ``"first"``, that under the row's first value; or a state that ``net.step`` or
                another session returned, of one row or of ``batch_size``.
            nan: what NaN or infinity in a chunk does: ``"raise"`` a ValueError before anything
                advances, ``"hold"`` the last finite value of that row and channel (0 before any),
                or ``"skip"`` the step for that row and repeat its last output (zeros before any).
            sample_rate: steps per second, for :attr:`latency_seconds`.
            native: whether the native library does the work; None for wherever it can.

        Raises:
            TypeError: if the net cannot stream, with the reason.
            ValueError: if it is in training mode, a name is unknown, ``initial`` does not fit the
                net, or ``native`` is True and cannot be.
        """
        net = self.net = check_net(net)
        check_positive("batch_size", [batch_size])
        if native is not None:
            check_switch(native=native)
        if nan not in POLICIES:
            raise ValueError(f"nan: {nan!r} is not one of {', '.join(map(repr, POLICIES))}")
        if sample_rate is not None and not sample_rate > 0:
            raise ValueError(f"sample_rate: {sample_rate} must be above 0 steps per second")
        self._strided = not net.preserves_length and (net.block_size != 1 or net.rate != 1)
        if self._strided and nan == "skip":
            raise ValueError("nan: 'skip', but the rows of a net with a stride advance together")
        self._program = None if native is False else compile_stream(net)
        self.native = self._program is not None
        if native and not self.native:
            raise ValueError(
                f"native: True, but {type(net).__name__} cannot run natively (the log says why); "
                "with native=None PyTorch serves then"
            )
        if isinstance(initial, StreamSession):
            session_file.check_same_net(
                "initial: it", session_file.parameter_shapes(initial.net), net
            )
            initial = initial.state if initial.state is not None else "zeros"
        self.nan = nan
        self.sample_rate = sample_rate
        self.latency = net.latency
        self._policy = POLICIES[nan](net)
        self._beginning = Beginning.of(net, initial, batch_size)
        refuse_poison("initial", self._beginning.carried, self.native)
        self._tokens = takes_tokens(net)
        self._dtype = input_dtype(net)
        self._device = next((p.device for p in net.parameters()), torch.device("cpu"))
        # The native program returns every step; the model's readout is the last of them.
        self._reads_last = self.native and getattr(net, "readout_name", "every") == "last"
        channels = () if self._tokens else (getattr(net, "in_channels", 1),)
        self._sizes: tuple[int, ...] = channels + (1,) * (net.ndim - 1)  # between row and time
        self._make_rows(batch_size)

    def _make_rows(self, batch_size: int) -> None:
        """Makes ``batch_size`` rows of which none has begun."""
        self._lock = threading.RLock()
        self.batch_size = batch_size
        self._engine: Any = (
            self._program.rows(batch_size)
            if self._program is not None
            else TorchRows(self.net, batch_size)
        )
        self._record = RowRecord.fresh(batch_size, self._device)
        self._wait(True)
        self._accepted: torch.Size | None = None  # the shape last seen of a chunk for all rows

    def _wait(self, waiting: bool) -> None:
        """Says whether a row has not begun, and so whether there is more to do than a step."""
        self._waiting = waiting
        plain = self.native and not waiting and not self._policy.remembers
        self._push_plain = self._engine.push_finite if plain else None

    @property
    def latency_seconds(self) -> float | None:
        """:attr:`latency` in seconds; None without a sample rate."""
        return None if self.sample_rate is None else self.latency / self.sample_rate

    @property
    @_alone
    def replaced(self) -> Tensor:
        """``(batch_size,)`` int64: values held or steps skipped since each row began."""
        return self._record.replaced.clone()

    # ----------------------------------------------------------------- streaming

    def push(
        self, chunk: Tensor, rows: Rows | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Advances all rows, or those named, by a chunk; the others pause.

        Args:
            chunk: ``(rows, in_channels, ..., time)`` with at least one step, or ``(rows, time)``
                tokens if the net embeds them.
            rows: which rows they are, in the order of the chunk; all of them if None.
            condition: ``(rows, channels)`` or ``(rows, channels, ..., time)``, where the net takes
                one.

        Returns:
            ``(rows, out_channels, ..., time)``, or ``(rows, out_channels)``, the readout so far, if
            the net reads out over time.

        Raises:
            TypeError: if chunk or condition is no tensor, or ``rows`` are not integers.
            ValueError: if a shape or type does not fit, a row does not exist, or a value is not
                finite (under ``nan="raise"``; of a condition under every policy).
        """
        with self._lock:
            plain = self._push_plain
            if plain and rows is None and condition is None and isinstance(chunk, Tensor):
                y: Tensor | None = plain(chunk)
                if y is not None:
                    return y[..., -1] if self._reads_last else y
            return self._push(chunk, rows, condition)

    def _push(self, chunk: Tensor, rows: Rows | None, condition: Tensor | None) -> Tensor:
        """The same for any chunk; the lock is held."""
        check_tensor("chunk", chunk)
        chunk = chunk.resolve_neg()
        index = None if rows is None else self._moving(rows)
        if chunk.shape != self._accepted or chunk.dtype is not self._dtype or rows is not None:
            self._check_chunk(chunk, index)
        if condition is not None:
            check_condition(self.net, condition, len(chunk), index)
            condition = condition.resolve_neg()
        # The sum of finite values may overflow: isfinite is exact, but slow.
        if self._tokens or all_finite(chunk) or chunk.isfinite().all():
            return self._advance(chunk, index, condition)
        part = Chunk(chunk, self._index(None) if index is None else index, condition)
        return self._policy.mend(part, self._record, lambda part: self._advance(*part))

    def _advance(self, x: Tensor, rows: Tensor | None, condition: Tensor | None) -> Tensor:
        """Pushes a chunk that has been checked and is finite."""
        if self._strided:
            rows = None  # all of them, see _moving
        beginning = self._begin(x, rows, condition) if self._waiting else None
        y = self._engine.push(x, rows, condition)
        if self._reads_last:
            y = y[..., -1]
        if beginning is not None:
            self._record.begun[beginning] = True
            self._wait(not bool(self._record.begun.all()))
        if self._policy.remembers:
            self._record.remember(self._policy.last(x, y), rows)
        return y

    @_alone
    def sample(self, tokens: Tensor, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """Advances all rows by steps of which each makes the next one's token.

        A token is the largest of the net's last outputs plus the noise of the step. Natively, this
        is one call for all steps.

        Args:
            tokens: ``(batch_size,)``, the first step's, of a net that embeds them.
            noise: ``(steps, batch_size, vocabulary)``, of the type of the outputs.
            condition: ``(batch_size, channels)``, where the net takes one.

        Returns:
            ``(batch_size, steps)`` tokens, of which the last has not been pushed.

        Raises:
            TypeError: if one of them is no tensor.
            ValueError: if a shape or type does not fit, or a condition is not finite.
        """
        check_tensor("tokens", tokens)
        check_rate(self.net)
        check_noise(self.net, noise, self.batch_size)
        if self.native and not self._waiting and not self._policy.remembers:
            if condition is not None:
                check_condition(self.net, condition, self.batch_size, None)
                condition = condition.resolve_neg()
            return self._engine.sample(tokens, noise, condition)
        samples = [tokens.new_empty(self.batch_size, 0)]
        for now in noise:
            y = self.push(tokens.unsqueeze(-1), condition=condition)
            tokens = ((y if y.dim() == 2 else y[..., -1]) + now).argmax(1)
            samples.append(tokens.unsqueeze(1))
        return torch.cat(samples, dim=1)

    def _begin(self, x: Tensor, rows: Tensor | None, condition: Tensor | None) -> Tensor:
        """Gives the rows that begin with ``x`` their initial state; returns which they are."""
        rows = self._index(None) if rows is None else rows
        new = ~self._record.begun[rows]
        beginning = rows[new]
        everyone = len(beginning) == self.batch_size
        if everyone:
            self._engine.reset()
        if len(beginning) and not (everyone and self._beginning.name == "zeros"):
            condition = None if condition is None else condition[new]
            self._engine.set_state(self._beginning.state(x[new], beginning, condition), beginning)
        return beginning

    @_alone
    @torch.no_grad()
    def finish(self, rows: Rows | None = None, condition: Tensor | None = None) -> Tensor:
        """Ends the stream of all rows, or of those named; they begin anew with their next push.

        Args:
            rows: which rows end.
            condition: as the rows had it; of a condition per step only the last step is read.

        Returns:
            The last :attr:`latency` outputs, ``(rows, out_channels, ..., latency)``: all outputs of
            the stream and these, without the first ``latency``, are those of ``forward``. Of a net
            that reads out over time, the readout of everything, ``(rows, out_channels)``.

        Raises:
            ValueError: if a row has not begun, or the condition does not fit or is not finite.
        """
        index = self._moving(rows)
        state = self._state_of(index)
        steps = max(self.latency, 1)
        sizes = (len(index), *self._sizes, steps)
        nothing = torch.zeros(sizes, dtype=self._dtype, device=self._device)
        if condition is not None:
            check_tensor("condition", condition)
            if condition.dim() > 2:
                condition = condition[..., -1:].expand(*condition.shape[:-1], steps)
            check_condition(self.net, condition, len(index), index)
        mask = padding_like(self.net, nothing)
        y, _ = self.net.step(nothing, state, condition=condition, mask=mask)
        self.reset(index)
        return y if y.dim() == 2 else y[..., : self.latency]

    @_alone
    def reset(self, rows: Rows | None = None) -> None:
        """Lets all rows, or those named, begin anew with their next push.

        Raises:
            TypeError: if ``rows`` are not integers.
            ValueError: if a row does not exist.
        """
        self._record.clear(self._moving(rows))
        self._wait(True)

    # --------------------------------------------------------------------- state

    @property
    @_alone
    def state(self) -> State | None:
        """The state that ``net.step`` would have returned, a copy; None if no row has begun.

        All rows go on from a state that is set; None is a :meth:`reset`.

        Raises:
            ValueError: if some rows have begun and others not, or the state set is of another net
                or batch, or NaN or infinite somewhere.
        """
        return self._state_of(self._index(None)) if self._record.begun.any() else None

    @state.setter
    @_alone
    def state(self, state: State | None) -> None:
        if state is not None:
            refuse_poison("state", state, self.native)
            self._engine.set_state(state)
        self.reset()
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

    def fork(self) -> StreamSession:
        """An independent session that continues from here, as this one does, of the same net.

        It has the weights that this one has. ``copy.copy`` and ``copy.deepcopy`` do the same.
        """
        return self.gather(range(self.batch_size))

    __copy__ = fork

    def __deepcopy__(self, _: dict[int, Any]) -> StreamSession:
        return self.fork()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a StreamSession cannot be pickled; use save() and StreamSession.load()")

    @_alone
    def gather(self, rows: Rows) -> StreamSession:
        """A new session of copies of these rows, which continue there from where they are here.

        Raises:
            TypeError: if ``rows`` are not integers.
            ValueError: if a row does not exist, or comes twice, or its state is not finite.
        """
        index = self._index(rows)
        other: StreamSession = object.__new__(type(self))
        vars(other).update(vars(self))
        other._make_rows(len(index))
        other._beginning = self._beginning.take(index)
        other._restore(other._index(None), *self._copied(index), "rows")
        return other

    def scatter(self, rows: Rows, other: StreamSession) -> None:
        """Takes over the rows of another session in place of these.

        Args:
            rows: which of this session, in the order of the other's.
            other: a session of the same net with as many rows; it is left as it is.

        Raises:
            TypeError: if ``rows`` are not integers, or the other is no session.
            ValueError: if a row does not exist, or the other session has another number of rows,
                another net or another policy for NaN, or its state is not finite.
        """
        if not isinstance(other, StreamSession):
            raise TypeError(f"other: {type(other).__name__} is not a StreamSession")
        index = self._index(rows)
        if other.batch_size != len(index):
            raise ValueError(f"other: {other.batch_size} rows in place of {len(index)}")
        if other.nan != self.nan:
            raise ValueError(f"other: nan={other.nan!r} into a session with nan={self.nan!r}")
        session_file.check_same_net("other: it", session_file.parameter_shapes(other.net), self.net)
        # One after the other: two sessions that take each other's rows would wait for ever.
        with other._lock:
            record, state = other._copied(other._index(None))
            sizes = other._sizes
        with self._lock:
            self._check_together(index, record)
            self._restore(index, record, state, "other")
            self._sizes = sizes

    def _check_together(self, rows: Tensor, record: RowRecord) -> None:
        """Refuses rows that have begun beside others that have not, where all advance together."""
        begun = self._record.begun.clone()
        begun[rows] = record.begun
        if self._strided and begun.any() and not begun.all():
            raise ValueError(
                "other: with a stride all rows must advance together, and some would have begun "
                "and others not; scatter into all rows at once, or into a session that is as far"
            )

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

    # ---------------------------------------------------------------------- files

    @_alone
    def save(self, path: str | Path) -> None:
        """Writes the session, without the weights of the net, to a safetensors file.

        The file is whole or not there: it is written beside ``path`` and renamed into its place.
        """
        begun = self._record.begun.nonzero().flatten()
        settings = {
            "batch_size": self.batch_size,
            "initial": self._beginning.name,
            "nan": self.nan,
            "sample_rate": self.sample_rate,
            "sizes": self._sizes,
        }
        states = {
            "state": self._engine.get_state(begun) if len(begun) else (),
            "initial": self._beginning.carried,
        }
        session_file.write(Path(path), self.net, settings, states, vars(self._record))

    @classmethod
    def load(
        cls, path: str | Path, net: SequenceModule, *, native: bool | None = None
    ) -> StreamSession:
        """Continues a session that :meth:`save` wrote.

        Args:
            path: the file.
            net: with the parameters of the net that was saved; their values are not compared.
            native: as of the class.

        Raises:
            FileNotFoundError: if there is no file.
            ValueError: naming the path, if it cannot be read, is damaged, no session, of another
                version of the format or of another net.
        """
        net = check_net(net)
        settings, states, record = session_file.read(Path(path), net)
        initial = states["initial"] if settings["initial"] == "carried" else settings["initial"]
        with damaged(Path(path)):
            session = cls(
                net,
                settings["batch_size"],
                initial=initial,
                nan=settings["nan"],
                sample_rate=settings["sample_rate"],
                native=native,
            )
            state = states["state"] if len(record["begun"].nonzero()) else None
            session._restore(session._index(None), RowRecord(**record), state, "state")
            session._sizes = tuple(settings["sizes"])
        return session

    # ----------------------------------------------------------------------- rows

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

    def _check_chunk(self, chunk: Tensor, rows: Tensor | None) -> None:
        count = self.batch_size if rows is None else len(rows)
        check_chunk(self.net, chunk, count, self._dtype, self._device)
        self._accepted = chunk.shape if rows is None else None
        self._sizes = tuple(chunk.shape[1:-1])
