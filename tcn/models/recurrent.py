"""LSTM, GRU and plain RNN on the contract of the convolutional nets, as baselines beside them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tcn.layers import Context, Reach, SequenceModule, State
from tcn.layers.context import silence
from tcn.layers.hooks import everywhere
from tcn.layers.validation import (
    check_input,
    check_positive,
    check_probability,
    check_state,
    wrong_state,
)
from tcn.native.convolution import dropout
from tcn.native.recurrent import recur, wins
from tcn.saving.description import recorded


class _Recurrent(SequenceModule):
    """What the recurrent nets share: ``(batch, in_channels, time)`` to ``(batch, hidden, time)``.

    The state is a tuple of ``(batch, layers, hidden)`` tensors. A masked step is skipped: the
    state stays as it was, wherever the padding is. The parameters are those of PyTorch's own layer,
    which does the work unless :func:`tcn.native.recurrent.wins`.
    """

    cell: type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]
    states: int

    @recorded
    def __init__(
        self, in_channels: int, hidden: int, layers: int = 1, *, dropout: float = 0.0
    ) -> None:
        """Builds the net.

        Args:
            in_channels: channels of the input.
            hidden: width of every layer.
            layers: layers on top of each other.
            dropout: share of values dropped in training after every layer, the last included.

        Raises:
            ValueError: if a size is below 1 or ``dropout`` not in [0, 1).
        """
        super().__init__()
        check_positive("in_channels", [in_channels])
        check_positive("hidden", [hidden])
        check_positive("layers", [layers])
        check_probability("dropout", dropout)
        # PyTorch warns of dropout with one layer, where it drops nothing; ours follows every layer.
        between = dropout if layers > 1 else 0.0
        self.recurrence = self.cell(in_channels, hidden, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.in_channels = in_channels
        self.out_channels = hidden

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The whole past."""
        return (Reach(math.inf, 0),)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Runs the recurrence over the chunk."""
        check_input(self, x, self.in_channels, 1)
        before = self._initial_state(x) if state is None else self._check_state(state, x)
        steps = silence(x, context.mask).transpose(1, 2)
        valid = None if context.mask is None else context.mask.squeeze(1).expand(steps.shape[:2])
        if not everywhere() and wins(steps, self.recurrence, masked=valid is not None):
            y, after = self._run_natively(steps, valid, before)
        elif valid is None:
            y, after = self._run(steps, before)
        else:
            y, after = self._run_valid(steps, valid, before)
        if valid is not None:
            y = y.masked_fill(~valid.unsqueeze(2), 0)
        return self.dropout(y).transpose(1, 2), after

    def _run_natively(
        self, steps: Tensor, valid: Tensor | None, before: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs over the valid steps of each row, by the kernels, which want time first."""
        y, mask, after = steps.transpose(0, 1), None if valid is None else valid.t(), []
        for layer, weights in enumerate(self.recurrence.all_weights):
            if layer and self.recurrence.training and self.recurrence.dropout:
                y = dropout(y, self.recurrence.dropout)
            state = [part[:, layer] for part in before]
            y, ended = recur(y, state, weights, mask, cell=self.recurrence.mode)
            after.append(ended)
        return y.transpose(0, 1), tuple(torch.stack(parts, 1) for parts in zip(*after, strict=True))

    def _run(self, steps: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs over every step; batch first, in the state too."""
        if steps.is_cpu and self.cell is nn.LSTM and _lacks_type_of_autocast():
            with torch.autocast("cpu", enabled=False):
                dtype = next(self.recurrence.parameters()).dtype
                before = tuple(part.to(dtype) for part in before)
                y, after = self.recurrence(steps.to(dtype), self._to_torch(before))
        else:
            y, after = self.recurrence(steps, self._to_torch(before))
        return y, self._from_torch(after)

    def _run_valid(
        self, steps: Tensor, valid: Tensor, before: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs over the valid steps of each row only, moved to its front and back again."""
        order = torch.argsort((~valid).to(torch.int8), dim=1, stable=True).unsqueeze(2)
        counts = valid.sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(
            steps.gather(1, order.expand_as(steps)),
            counts.clamp_min(1).cpu(),  # a row without a valid step runs over one and is put back
            batch_first=True,
            enforce_sorted=False,
        )
        packed_y, after = self.recurrence(packed, self._to_torch(before))
        y, _ = nn.utils.rnn.pad_packed_sequence(
            packed_y, batch_first=True, total_length=steps.shape[1]
        )
        y = torch.zeros_like(y).scatter(1, order.expand_as(y), y)
        moved = (counts > 0).view(-1, 1, 1)
        pairs = zip(self._from_torch(after), before, strict=True)
        return y, tuple(torch.where(moved, new, old) for new, old in pairs)

    def _draw_log_memory(self, longest: int) -> Tensor:
        """Biases with which a gate keeps between one step and ``longest`` of them."""
        if longest < 3:
            raise ValueError(f"chrono: {longest} steps must be at least 3")
        return torch.empty(self.recurrence.hidden_size).uniform_(1, longest - 1).log()

    @torch.no_grad()
    def _set_bias(self, layer: int, gate: int, value: Tensor | float) -> None:
        """Sets what a gate adds: of PyTorch's two biases one, the other becomes 0."""
        hidden = self.recurrence.hidden_size
        rows = slice(gate * hidden, (gate + 1) * hidden)
        getattr(self.recurrence, f"bias_ih_l{layer}")[rows] = value
        getattr(self.recurrence, f"bias_hh_l{layer}")[rows] = 0.0

    def _initial_state(self, x: Tensor) -> tuple[Tensor, ...]:
        zeros = x.new_zeros(x.shape[0], self.recurrence.num_layers, self.recurrence.hidden_size)
        return (zeros,) * self.states

    def _check_state(self, state: State, x: Tensor) -> tuple[Tensor, ...]:
        shape = (x.shape[0], self.recurrence.num_layers, self.recurrence.hidden_size)
        fits = isinstance(state, tuple) and len(state) == self.states
        if not fits or any(getattr(part, "shape", None) != shape for part in state):
            found = (
                [tuple(getattr(p, "shape", ())) for p in state]
                if isinstance(state, tuple)
                else type(state).__name__
            )
            raise wrong_state(self, f"{self.states} tensors of shape {shape}", found)
        return tuple(check_state(self, part, shape[:-1], x) for part in state)

    def _to_torch(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...] | Tensor:
        """``nn.LSTM`` wants layers first, and the others a single tensor."""
        parts = tuple(part.transpose(0, 1).contiguous() for part in state)
        return parts if self.states > 1 else parts[0]

    def _from_torch(self, state: tuple[Tensor, ...] | Tensor) -> tuple[Tensor, ...]:
        parts = (state,) if isinstance(state, Tensor) else state
        return tuple(part.transpose(0, 1) for part in parts)


def _lacks_type_of_autocast() -> bool:
    """Whether this machine has no LSTM in the type that autocast asks for on a CPU.

    oneDNN, which runs it, refuses; PyTorch's GRU and RNN compute in float32 under autocast anyway.
    """
    if not torch.is_autocast_enabled("cpu"):
        return False
    half = torch.get_autocast_dtype("cpu") == torch.float16
    if half and torch.is_grad_enabled():  # refused where there is one without gradients, too
        return True
    support = torch.ops.mkldnn
    return not (
        support._is_mkldnn_fp16_supported() if half else support._is_mkldnn_bf16_supported()
    )


class LSTM(_Recurrent):
    """Long short-term memory, ``(batch, in_channels, time)`` to ``(batch, hidden, time)``.

    Source: Hochreiter & Schmidhuber 1997; forget-gate bias Jozefowicz et al. 2015; chrono
    initialization Tallec & Ollivier 2018, section 2.
    """

    cell = nn.LSTM
    states = 2
    input_gate, forget_gate = 0, 1  # as PyTorch stacks them, before cell and output

    @recorded
    def __init__(
        self,
        in_channels: int,
        hidden: int,
        layers: int = 1,
        *,
        dropout: float = 0.0,
        forget_bias: float | None = None,
        chrono: int | None = None,
    ) -> None:
        """Builds the net.

        Args:
            in_channels: channels of the input.
            hidden: width of every layer.
            layers: layers on top of each other.
            dropout: share of values dropped in training after every layer, the last included.
            forget_bias: initial bias of the forget gates; PyTorch's small random one if None.
            chrono: the longest dependency in steps; each cell begins with a memory of its own,
                between one step and that many. Long sequences are learned far sooner.

        Raises:
            ValueError: if a size is below 1, ``dropout`` not in [0, 1), ``chrono`` below 3, or
                both biases of the forget gates are given.
        """
        super().__init__(in_channels, hidden, layers, dropout=dropout)
        if chrono is not None and forget_bias is not None:
            raise ValueError(
                f"forget_bias: {forget_bias} with chrono={chrono}, which sets the same biases; "
                "give one of them"
            )
        for layer in range(layers):
            if forget_bias is not None:
                self._set_bias(layer, self.forget_gate, forget_bias)
            if chrono is not None:
                memory = self._draw_log_memory(chrono)
                self._set_bias(layer, self.forget_gate, memory)
                self._set_bias(layer, self.input_gate, -memory)


class GRU(_Recurrent):
    """Gated recurrent unit, ``(batch, in_channels, time)`` to ``(batch, hidden, time)``.

    Source: Cho et al. 2014, section 2.3; chrono initialization Tallec & Ollivier 2018, section 2.
    """

    cell = nn.GRU
    states = 1
    update_gate = 1  # as PyTorch stacks them: reset, update, new

    @recorded
    def __init__(
        self,
        in_channels: int,
        hidden: int,
        layers: int = 1,
        *,
        dropout: float = 0.0,
        chrono: int | None = None,
    ) -> None:
        """Builds the net.

        Args:
            in_channels: channels of the input.
            hidden: width of every layer.
            layers: layers on top of each other.
            dropout: share of values dropped in training after every layer, the last included.
            chrono: the longest dependency in steps; see :class:`LSTM`.

        Raises:
            ValueError: if a size is below 1, ``dropout`` not in [0, 1) or ``chrono`` below 3.
        """
        super().__init__(in_channels, hidden, layers, dropout=dropout)
        if chrono is not None:
            for layer in range(layers):  # PyTorch's update gate is the share of the old state
                self._set_bias(layer, self.update_gate, self._draw_log_memory(chrono))


class RNN(_Recurrent):
    """Plain recurrent net with tanh, ``(batch, in_channels, time)`` to ``(batch, hidden, time)``.

    Source: Elman 1990.
    """

    cell = nn.RNN
    states = 1
