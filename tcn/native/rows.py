"""The streams of many rows through one native program, each with its own state and pace."""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tcn.native.program import StreamProgram


(
    ROW_OUT_OF_RANGE, ROW_TWICE, TOKEN_OUT_OF_RANGE, NO_MEMORY, MISFIT, IN_USE, NOT_FINITE
) = range(1, 8)  # fmt: skip
"""Why C refuses something, in the order of ``Refusal`` in stream.h."""


class Accepted(NamedTuple):
    """What is known of chunks of one shape.

    Attributes:
        shape: theirs.
        like: a tensor as their output will be.
        small: whether one of all rows, without a condition, is one thread's work.
    """

    shape: torch.Size
    like: Tensor
    small: bool


@dataclass(eq=False)
class Slot:
    """A leaf of the state: what an operation remembers of a row, as PyTorch holds it."""

    operation: int
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32


class StreamRows:
    """The streams of ``count`` rows, each with its own state and pace.

    Rows are named by a 1-D int64 tensor of distinct indices; None is all of them in order. One
    thread at a time may use them: what another asks for meanwhile is refused by a RuntimeError, and
    nothing has happened. (A :class:`tcn.inference.StreamSession` lets it wait.)
    """

    def __init__(self, program: StreamProgram, count: int) -> None:
        """Makes fresh rows; see :meth:`StreamProgram.rows`."""
        if count < 1:
            raise ValueError(f"count: {count} must be at least 1 row")
        self.program = program
        self.count = count
        kernels = program.kernels
        self._push = kernels.tcn_stream_push
        self._push_finite = kernels.tcn_stream_push_finite
        self._dtype = torch.int64 if program.vocabulary else torch.float32
        # A stream's chunks are mostly alike: what has been checked once is not checked again.
        # One object, since another thread may replace it at any time.
        self._accepted = Accepted(torch.Size(), torch.empty(0), False)
        self._kernels = kernels
        handle = ctypes.c_void_p()
        # What ctypes could not hand over is beyond any memory.
        if count > sys.maxsize or kernels.tcn_stream_rows(
            program.handle, count, ctypes.byref(handle)
        ):
            raise MemoryError(f"count: no memory for the state of {count} rows of this net")
        self._handle = handle.value
        weakref.finalize(self, kernels.tcn_stream_delete_rows, self._handle)

    def push(
        self, x: Tensor, rows: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Advances rows over their next chunk.

        Args:
            x: ``(n, in_channels, time)`` float32, or ``(n, time)`` int64 tokens if the net embeds
                them; ``n`` is ``count`` or ``len(rows)``.
            rows: the rows that advance, ``(n,)`` int64; the others pause.
            condition: ``(n, channels)`` or ``(n, channels, time)`` float32, if the net has one.

        Returns:
            ``(n, out_channels, time)``, every step of the chunk.

        Raises:
            RuntimeError: if another thread is using the rows.
            ValueError: if a shape, a type, a row or a token does not fit; nothing has happened
                then.
        """
        count, index = (self.count, None) if rows is None else self._index(rows)
        shape, like, _ = self._accepted
        if x.shape != shape or shape[0] != count or x.dtype != self._dtype or not x.is_cpu:
            shape, like, _ = self._prepare(x, count)
        time = shape[-1]
        steps, pointer = 1, None
        if condition is not None or self.program.condition_channels:
            condition = self._checked_condition(condition, count, time)
            steps = condition.shape[2] if condition.dim() == 3 else 1
            pointer = condition.data_ptr()
        if x.is_neg() or not x.is_contiguous():
            x = x.resolve_neg().contiguous()
        y = torch.empty_like(like)
        refusal = self._push(
            self._handle, x.data_ptr(), pointer, steps, index, count, time, y.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip
        if refusal:
            raise self._refused(refusal, rows, x)
        return y

    def push_finite(self, x: Tensor) -> Tensor | None:
        """Advances all rows over a chunk that is finite and like the one before.

        It is what :meth:`push` does, with less to look at: for a single step of a small net that is
        a third of the time, more where other work has emptied the caches.

        Returns:
            As :meth:`push`; None if something is unlike or a value is NaN or infinite, and nothing
            has happened then.

        Raises:
            RuntimeError: if another thread is using the rows.
        """
        shape, like, small = self._accepted
        if x.shape != shape or not small or x.dtype is not self._dtype or not x.is_cpu:
            return None
        if x.is_neg() or not x.is_contiguous():
            return None
        y = torch.empty_like(like)
        refusal = self._push_finite(self._handle, x.data_ptr(), shape[-1], y.data_ptr())
        if not refusal:
            return y
        if refusal == IN_USE:
            raise self._refused(refusal, None)
        return None

    def sample(
        self,
        tokens: Tensor,
        noise: Tensor,
        condition: Tensor | None = None,
        values: Tensor | None = None,
    ) -> Tensor:
        """Advances all rows by steps of which each makes the next one's token.

        It is ``tokens = (push(tokens) + noise).argmax(1)`` for each step's noise, in one call.

        Args:
            tokens: ``(count,)`` int64, the first step's.
            noise: ``(steps, count, vocabulary)`` float32, added to the logits; with ``values``
                float64.
            condition: ``(count, channels)`` float32, if the net has one.
            values: ``(vocabulary,)`` float32, the input that each token is, if the net takes one
                number a step.

        Returns:
            ``(count, steps)`` int64, the tokens made, of which the last has not been pushed.

        Raises:
            ValueError: if a shape, a type or a token does not fit, or the net does not return a
                logit per token that it embeds, or per value; nothing has happened then.
        """
        count, vocabulary = self.count, self._vocabulary(values)
        kind = torch.float32 if values is None else torch.float64
        if noise.shape[1:] != (count, vocabulary) or not _is_native(noise, kind):
            raise ValueError(
                f"noise: {noise.dtype} of shape {tuple(noise.shape)}; expected (steps, {count}, "
                f"{vocabulary}) {str(kind).removeprefix('torch.')} on the CPU"
            )
        if tokens.shape != (count,) or not _is_native(tokens, torch.int64):
            raise ValueError(
                f"tokens: {tokens.dtype} of shape {tuple(tokens.shape)}; expected ({count},) int64 "
                "on the CPU"
            )
        pointer = None
        if condition is not None or self.program.condition_channels:
            condition = self._checked_condition(condition, count)
            pointer = condition.data_ptr()
        tokens, noise = tokens.resolve_neg().contiguous(), noise.resolve_neg().contiguous()
        samples = torch.empty((count, len(noise)), dtype=torch.int64)
        arguments = (
            self._handle, tokens.data_ptr(), pointer, noise.data_ptr(), len(noise),
            samples.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        if values is None:
            refusal = self._kernels.tcn_stream_sample(*arguments)
        else:
            values = values.resolve_neg().contiguous()
            refusal = self._kernels.tcn_stream_sample_values(*arguments, values.data_ptr())
        if refusal:
            raise self._refused(refusal, None, tokens)
        return samples

    def _vocabulary(self, values: Tensor | None) -> int:
        """How many tokens there are to draw from, those that are embedded or have a value."""
        program, embedded = self.program, self.program.vocabulary
        if values is None:
            if not embedded or program.out_channels != embedded:
                raise ValueError(
                    f"tokens: this net returns {program.out_channels} channels for a vocabulary of "
                    f"{embedded}; only a logit per token that it embeds can be sampled"
                )
            return embedded
        if embedded or program.in_channels != 1:
            takes = "tokens" if embedded else f"{program.in_channels} channels"
            raise ValueError(f"values: this net takes {takes}, not one number a step")
        if values.shape != (program.out_channels,) or not _is_native(values, torch.float32):
            raise ValueError(
                f"values: {values.dtype} of shape {tuple(values.shape)}; expected "
                f"({program.out_channels},) float32 on the CPU, one per output"
            )
        return program.out_channels

    def get_state(self, rows: Tensor | None = None) -> Any:
        """The state of rows in PyTorch's form: nested tuples of ``(n, ...)`` tensors."""
        count, index = (self.count, None) if rows is None else self._index(rows)

        def read(slot: Slot) -> Tensor:
            tensor = torch.empty((count, *slot.shape), dtype=slot.dtype)
            self._exchange(slot, rows, index, count, tensor, into_rows=False)
            return tensor

        return _map(read, self.program.states)

    def set_state(self, state: Any, rows: Tensor | None = None) -> None:
        """Makes rows go on from a state in PyTorch's form, of this net on either path.

        Raises:
            ValueError: if the state is not one of this net and this number of rows; nothing has
                happened then.
        """
        count, index = (self.count, None) if rows is None else self._index(rows)
        leaves = list(_pairs(self.program.states, state))
        for slot, tensor in leaves:
            if tensor.shape != (count, *slot.shape) or tensor.dtype != slot.dtype:
                raise ValueError(
                    f"state: a {tensor.dtype} tensor of shape {tuple(tensor.shape)} where this net "
                    f"has {slot.dtype} of {(count, *slot.shape)}; the state belongs to another net "
                    "or number of rows"
                )
        for slot, tensor in leaves:
            tensor = tensor.detach().cpu().resolve_neg().contiguous()
            self._exchange(slot, rows, index, count, tensor, into_rows=True)

    def reset(self, rows: Tensor | None = None) -> None:
        """Begins rows anew: zeros before the first step of every layer."""
        count, index = (self.count, None) if rows is None else self._index(rows)
        refusal = self._kernels.tcn_stream_reset(self._handle, index, count)
        if refusal:
            raise self._refused(refusal, rows)

    def keep_beginning(self, row: int) -> None:
        """Keeps a copy of what a row has now, for :meth:`begin`.

        Raises:
            ValueError: if there is no such row.
        """
        refusal = self._kernels.tcn_stream_keep_beginning(self._handle, row)
        if refusal:
            raise self._refused(refusal, torch.tensor([row]))

    def begin(self, rows: Tensor | None = None) -> None:
        """Begins rows anew with what :meth:`keep_beginning` has kept.

        Raises:
            ValueError: if nothing has been kept, or a row does not exist or is named twice.
        """
        count, index = (self.count, None) if rows is None else self._index(rows)
        refusal = self._kernels.tcn_stream_begin(self._handle, index, count)
        if refusal == MISFIT and count <= self.count:
            raise ValueError("rows: none can begin anew; call keep_beginning() first")
        if refusal:
            raise self._refused(refusal, rows)

    def copy_rows(self, source: Tensor, target: Tensor) -> None:
        """Gives each row of ``target`` the state of the row of ``source`` at the same place.

        Raises:
            ValueError: if the two differ in length, a row does not exist, or a target is named
                twice.
        """
        count, sources = self._index(source)
        if target.shape != source.shape:
            raise ValueError(
                f"target: {tuple(target.shape)} rows for source {tuple(source.shape)}; name one "
                "target for each source"
            )
        targets = self._index(target)[1]
        refusal = self._kernels.tcn_stream_copy(self._handle, sources, targets, count)
        if refusal:
            raise self._refused(refusal, torch.cat([source, target]))

    def _exchange(
        self,
        slot: Slot,
        rows: Tensor | None,
        index: int | None,
        count: int,
        tensor: Tensor,
        *,
        into_rows: bool,
    ) -> None:
        if not tensor.numel():
            return
        refusal = self._kernels.tcn_stream_exchange(
            self._handle, slot.operation, index, count, tensor.data_ptr(), tensor.nbytes, into_rows
        )
        if refusal:
            raise self._refused(refusal, rows)

    def _index(self, rows: Tensor) -> tuple[int, int]:
        """How many rows are named, and where."""
        if rows.dtype != torch.int64 or rows.dim() != 1 or not rows.is_cpu or not len(rows):
            raise ValueError(
                f"rows: {rows.dtype} of shape {tuple(rows.shape)} on {rows.device}; name at least "
                "one row by a 1-D int64 tensor on the CPU"
            )
        if not rows.is_contiguous():
            raise ValueError("rows: a tensor with gaps; use rows.contiguous()")
        return len(rows), rows.data_ptr()

    def _checked_condition(
        self, condition: Tensor | None, count: int, time: int | None = None
    ) -> Tensor:
        """A condition that fits: one of all steps or, where there is a ``time``, one of each."""
        channels = self.program.condition_channels
        shapes = (
            [(count, channels)] if time is None else [(count, channels), (count, channels, time)]
        )
        expected = " or ".join(map(str, shapes))
        if condition is None:
            raise ValueError(f"condition: None, but this net is conditioned; pass {expected}")
        fits = condition.shape in shapes and _is_native(condition, torch.float32)
        if not channels or not fits:
            expected += " float32 on the CPU"
            raise ValueError(
                f"condition: {condition.dtype} of shape {tuple(condition.shape)} does not fit; "
                + (f"expected {expected}" if channels else "this net reads none: leave it out")
            )
        return condition.resolve_neg().contiguous()

    def _prepare(self, x: Tensor, count: int) -> Accepted:
        """Checks an input unlike the one before, and says what its output will be like."""
        program, shape = self.program, x.shape
        if program.vocabulary:
            fits, expected = len(shape) == 2, f"({count}, time) int64 tokens"
        else:
            fits = len(shape) == 3 and shape[1] == program.in_channels
            expected = f"({count}, {program.in_channels}, time) float32"
        if not fits or x.dtype != self._dtype or shape[0] != count or not shape[-1] or not x.is_cpu:
            raise ValueError(
                f"x: {x.dtype} of shape {tuple(shape)} on {x.device}; expected {expected} on the "
                "CPU, one line per row that advances and at least one step"
            )
        like = torch.empty((count, program.out_channels, shape[-1]), dtype=torch.float32)
        threads = self._kernels.tcn_stream_threads(self._handle, shape[-1], 2)
        small = threads == 1 and count == self.count and not program.condition_channels
        accepted = self._accepted = Accepted(shape, like, small)
        return accepted

    def _refused(self, refusal: int, rows: Tensor | None, x: Tensor | None = None) -> Exception:
        named = rows.tolist() if rows is not None else "all"
        if refusal == ROW_OUT_OF_RANGE:
            return ValueError(f"rows: {named}; rows lie between 0 and {self.count - 1}")
        if refusal == ROW_TWICE:
            return ValueError(f"rows: {named} names a row twice; a row advances once per call")
        if refusal == TOKEN_OUT_OF_RANGE and x is not None:
            return ValueError(
                f"x: tokens from {int(x.min())} to {int(x.max())}; tokens lie between 0 and "
                f"{(self.program.vocabulary or self.program.out_channels) - 1}"
            )
        if refusal == IN_USE:
            return RuntimeError(
                "rows: in use by another thread; let one thread at a time use them, or use a "
                "StreamSession, which waits"
            )
        if refusal == NO_MEMORY:
            return MemoryError("no memory for the values of a native stream")
        return ValueError(f"rows: {named} of {self.count}; more than there are")


def _is_native(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether it lies where native code can read it, as ``dtype``."""
    return tensor.dtype is dtype and tensor.is_cpu


def _map(function: Callable[[Slot], Tensor], states: Any) -> Any:
    if isinstance(states, Slot):
        return function(states)
    return tuple(_map(function, part) for part in states)


def _pairs(states: Any, state: Any) -> Iterable[tuple[Slot, Tensor]]:
    """Every slot with its tensor, in order."""
    if isinstance(states, Slot) and isinstance(state, Tensor):
        yield states, state
    elif isinstance(states, tuple) and isinstance(state, tuple) and len(states) == len(state):
        for part, value in zip(states, state, strict=True):
            yield from _pairs(part, value)
    else:
        expected = "a tensor" if isinstance(states, Slot) else f"a tuple of {len(states)}"
        found = f"a tuple of {len(state)}" if isinstance(state, tuple) else type(state).__name__
        raise ValueError(
            f"state: expected {expected}, got {found}; the state belongs to another net"
        )
