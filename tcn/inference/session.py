"""A live stream of many users at once: each row is one, and they come, pause and go one by one.

session = StreamSession(net, batch_size=3)
session.push(chunk)                     all rows advance by a chunk, of any length
session.push(chunk, rows=[0, 2])        row 1 pauses
session.reset([1])                      row 1 begins anew, for another user
session.save("users.safetensors")       to be continued elsewhere
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tcn.inference import session_file
from tcn.inference.beginnings import padding_like
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
from tcn.inference.finite import all_finite
from tcn.inference.nan_policy import Chunk
from tcn.inference.session_copies import CopiedRows
from tcn.inference.session_rows import Rows, alone
from tcn.layers import SequenceModule, State
from tcn.layers.validation import check_positive, check_switch
from tcn.saving.tensors import damaged


class StreamSession(CopiedRows):
    """The state of many streams through one net, each in a row of its own.

    The outputs of a row are those of ``net.forward`` on all that the row was given. Where the
    native library knows the net (float32, on the CPU) it does the work, otherwise ``net.step``, in
    which, of a net with a stride, it does the work of the parts that it knows. No gradient is kept.

    Threads may share a session: each call has it to itself, and the next one waits. Calls that name
    different rows thus return what they would alone; which of two calls for the same row comes
    first is for the threads to settle. Sessions of one net do not wait for each other.

    What runs natively keeps the weights that the net had when the session was built, and stays in
    float32 under autocast, while ``net.step`` follows both: after training, build a new session.

    Attributes:
        net: the net, in evaluation mode.
        batch_size: how many rows there are.
        nan: the policy for NaN and infinity.
        sample_rate: steps per second, or None.
        latency: steps by which outputs lag behind inputs; 0 unless the net looks ahead.
        native: whether the native library does all the work.
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
        net = check_net(net)
        check_positive("batch_size", [batch_size])
        if native is not None:
            check_switch(native=native)
        if sample_rate is not None and not sample_rate > 0:
            raise ValueError(f"sample_rate: {sample_rate} must be above 0 steps per second")
        if isinstance(initial, StreamSession):
            session_file.check_same_net(
                "initial: it", session_file.parameter_shapes(initial.net), net
            )
            initial = initial.state if initial.state is not None else "zeros"
        super().__init__(net, batch_size, initial=initial, nan=nan, native=native)
        self.sample_rate = sample_rate
        self.latency = net.latency
        self._tokens = takes_tokens(net)
        self._dtype = input_dtype(net)
        # The native program returns every step; the model's readout is the last of them.
        self._reads_last = self.native and getattr(net, "readout_name", "every") == "last"
        channels = () if self._tokens else (getattr(net, "in_channels", 1),)
        self._sizes = channels + (1,) * (net.ndim - 1)

    @property
    def latency_seconds(self) -> float | None:
        """:attr:`latency` in seconds; None without a sample rate."""
        return None if self.sample_rate is None else self.latency / self.sample_rate

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
            TypeError: if chunk or condition is not a tensor, or ``rows`` are not integers.
            ValueError: if a shape or type does not fit, a row does not exist, or a value is not
                finite (under ``nan="raise"``; for a condition under every policy).
        """
        with self._lock:
            plain = self._push_plain
            if plain and rows is None and condition is None and isinstance(chunk, Tensor):
                y = plain(chunk)
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
        if self._policy.last:
            self._record.remember(self._policy.last(x, y), rows)
        return y

    @alone
    def sample(
        self,
        tokens: Tensor,
        noise: Tensor,
        condition: Tensor | None = None,
        values: Tensor | None = None,
    ) -> Tensor:
        """Advances all rows by steps of which each makes the next one's token.

        A token is the largest of the net's last outputs plus the noise; natively, by one call.

        Args:
            tokens: ``(batch_size,)``, the first step's, of a net that embeds them.
            noise: ``(steps, batch_size, vocabulary)``, as the outputs; float64 with ``values``.
            condition: ``(batch_size, channels)``, where the net takes one.
            values: ``(vocabulary,)`` float32, the input of one channel that each token is.

        Returns:
            ``(batch_size, steps)`` tokens, of which the last has not been pushed.

        Raises:
            TypeError: if one of them is not a tensor.
            ValueError: if a shape or type does not fit, or a condition is not finite.
        """
        check_tensor("tokens", tokens)
        if not self._keeps_length:
            check_rate(self.net)
        check_noise(self.net, noise, self.batch_size)
        if self._native_rows is not None and not (self._waiting or self._policy.last):
            if condition is not None:
                check_condition(self.net, condition, self.batch_size, None)
            return self._native_rows.sample(tokens, noise, condition, values)
        samples = [tokens.new_empty(self.batch_size, 0)]
        for now in noise:
            x = tokens.unsqueeze(-1) if values is None else values[tokens].view(-1, 1, 1)
            y = self.push(x, condition=condition)
            tokens = ((y if y.dim() == 2 else y[..., -1]) + now).argmax(1)
            samples.append(tokens.unsqueeze(1))
        return torch.cat(samples, dim=1)

    @alone
    @torch.no_grad()
    def finish(self, rows: Rows | None = None, condition: Tensor | None = None) -> Tensor:
        """Ends the stream of all rows, or of those named; they begin anew with their next push.

        Args:
            rows: which rows end.
            condition: as the rows had it; if there is one per step, only the last is read.

        Returns:
            The last :attr:`latency` outputs, ``(rows, out_channels, ..., latency)``: all outputs of
            the stream and these, without the first ``latency``, are those of ``forward``. For a net
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

    # ---------------------------------------------------------------------- files

    @alone
    def save(self, path: str | Path) -> None:
        """Writes the session, without the weights of the net, to a safetensors file.

        The file is whole or not there: it is written next to ``path``, then renamed to it.
        """
        settings = {
            "batch_size": self.batch_size,
            "nan": self.nan,
            "sample_rate": self.sample_rate,
        }
        record, state = self._copied(self._index(None))
        beginning = self._beginning
        initial = beginning.carried if beginning.name == "carried" else beginning.name
        saved = session_file.Saved(settings, self._sizes, initial, state, record)
        session_file.write(Path(path), self.net, saved)

    @classmethod
    def load(
        cls, path: str | Path, net: SequenceModule, *, native: bool | None = None
    ) -> StreamSession:
        """Continues a session that :meth:`save` wrote.

        Args:
            path: the file.
            net: with the parameters of the net that was saved; their values are not compared.
            native: see the class.

        Raises:
            FileNotFoundError: if there is no file.
            ValueError: naming the path, if it cannot be read, is damaged, is not a session, or is
                of another version of the format or another net.
        """
        net = check_net(net)
        saved = session_file.read(Path(path), net)
        with damaged(Path(path)):
            session = cls(net, **saved.settings, initial=saved.initial, native=native)
            session._restore(session._index(None), saved.record, saved.state, "state")
            session._sizes = saved.sizes
        return session

    def _check_chunk(self, chunk: Tensor, rows: Tensor | None) -> None:
        count = self.batch_size if rows is None else len(rows)
        check_chunk(self.net, chunk, count, self._dtype, self._device)
        self._accepted = chunk.shape if rows is None else None
        self._sizes = tuple(chunk.shape[1:-1])
