"""A causal net as one native call per chunk of a stream: what PyTorch does in a hundred.

A :class:`Builder` writes down what a net computes, value by value, without knowing layers::

    builder = Builder()
    x = builder.input(1)
    y, past = builder.convolve(x, weight, bias, dilation=2)
    y = builder.activate(y, "relu")
    program = builder.build(y, states=(past,))      # None where the native library is missing

    rows = program.rows(64)                         # 64 streams, each at its own pace
    y = rows.push(chunk)                            # (64, 1, time) -> (64, channels, time)
    y = rows.push(part, rows=torch.tensor([3, 5]))  # two of them go on, the others pause

Weights are copied and packed by ``build``; rings, sums and remembered values of a row lie in one
piece of native memory, and pushing allocates nothing but its result. Of a net of few channels there
are two forms of the rings, one for short pushes and one for long ones (source/planar.h), for which
the first long push makes room.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tcn.native.operations import (
    IDENTITY,
    LARGEST,
    PANEL,
    WITH_EPILOGUE,
    Activation,
    Operation,
    Value,
    check_number,
    check_size,
    place,
    to_native,
    weights_read,
)
from tcn.native.program import (
    Interface,
    NativeOperation,
    StreamProgram,
    kernels_of_streams,
)
from tcn.native.rows import Slot

CACHED_WEIGHTS = 1 << 18
"""How many weights, at 4 bytes, a second-level cache is sure to hold. A net of more adds up past
taps several steps ahead (see stream.h): a single step of one row then takes about a third less."""


class Written(NamedTuple):
    """A net as operations on values, one after the other.

    Attributes:
        operations: in their order.
        input: the net's input; None if it is tokens.
        condition: what it is conditioned on; None if nothing.
        vocabulary: number of tokens; 0 if the input is not tokens.
        output: the net's output.
    """

    operations: tuple[Operation, ...]
    input: Value | None
    condition: Value | None
    vocabulary: int
    output: Value


class Builder:
    """Writes down a net's computation; see the example at the top of this file."""

    def __init__(self, *, recurrence: bool = False) -> None:
        """Begins with nothing.

        Args:
            recurrence: whether recurrent cells may be written down, which the native library of
                streams does not compute.
        """
        self.recurrence = recurrence
        self._operations: list[Operation] = []
        self._input: Value | None = None
        self._condition: Value | None = None
        self._vocabulary = 0
        self._values: set[Value] = set()
        self._slots: set[Slot] = set()

    # -------------------------------------------------------------------- inputs

    def input(self, channels: int) -> Value:
        """The net's input.

        Raises:
            ValueError: if there is an input already, or ``channels`` is out of range.
        """
        self._check_first()
        self._input = self._given("channels", channels)
        return self._input

    def embed(self, table: Tensor) -> Value:
        """The line of ``table``, ``(vocabulary, channels)``, that the step's token names.

        Raises:
            ValueError: if there is an input already, or the table is not a matrix.
        """
        self._check_first()
        if table.dim() != 2 or not table.numel():
            raise ValueError(f"table: shape {tuple(table.shape)}; expected (vocabulary, channels)")
        check_size("table", table, *table.shape)
        self._vocabulary, channels = table.shape
        return self._emit("embed", None, channels, in_channels=self._vocabulary, weight=table)

    def condition(self, channels: int) -> Value:
        """What the net is conditioned on, the same value at every call.

        Raises:
            ValueError: if it was asked for with another number of channels.
        """
        if self._condition is None:
            self._condition = self._given("channels", channels)
        if self._condition.channels != channels:
            raise ValueError(
                f"channels: {channels} of a condition that has {self._condition.channels}"
            )
        return self._condition

    def part(self, x: Value, begin: int, channels: int) -> Value:
        """Some adjacent channels of a value, read where they are: nothing is computed or copied.

        It may begin anywhere, and be a part of a part. The whole counts as shared from then on.

        Raises:
            ValueError: if ``x`` is of another builder, or has no such channels.
        """
        self._check_own(x)
        check_number("begin", begin, 0, x.channels - 1)
        check_number("channels", channels, 1, x.channels - begin)
        whole = self.share(x.placed)
        part = Value(channels, shared=True, whole=whole, begin=x.begin + begin)
        self._values.add(part)
        return part

    # ---------------------------------------------------------------- operations

    def convolve(
        self,
        x: Value,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        dilation: int = 1,
        shift: int = 0,
        groups: int = 1,
    ) -> tuple[Value, Slot]:
        """A causal convolution, its present excluded with ``shift=1``.

        Args:
            x: the input.
            weight: ``(out_channels, in_channels / groups, kernel_size)``.
            bias: ``(out_channels,)``.
            dilation: distance between taps, in steps.
            shift: 1 if the present is excluded, else 0.
            groups: blocks of channels convolved separately.

        Returns:
            The output, and the slot of the inputs that later steps need.

        Raises:
            ValueError: if a size does not fit, or that many steps cannot be remembered.
        """
        if weight.dim() != 3 or not weight.numel():
            raise ValueError(
                f"weight: shape {tuple(weight.shape)}; expected (out_channels, in_channels / "
                "groups, kernel_size)"
            )
        channels, _, kernel_size = weight.shape
        check_number("groups", groups, 1, LARGEST)
        check_number("shift", shift, 0, 1)
        check_number("dilation", dilation, 1, sys.maxsize)
        if x.channels % groups or channels % groups:
            raise ValueError(
                f"groups: {groups} do not divide {x.channels} channels into {channels}"
            )
        check_size("weight", weight, channels, x.channels // groups, kernel_size)
        check_size("bias", bias, channels)
        context = (kernel_size - 1) * dilation + shift
        check_number("dilation: remembered steps", context, 0, LARGEST - PANEL - 1)
        y = self._emit(
            "depthwise" if groups == x.channels == channels else "convolution",
            x,
            channels,
            kernel_size=kernel_size,
            dilation=dilation if kernel_size > 1 else 1,
            shift=shift,
            groups=groups,
            weight=weight,
            bias=bias,
        )
        return y, self._slot(x.channels, context)

    def linear(self, x: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
        """The channels of each step times ``weight``, ``(out_channels, in_channels)``."""
        return self.convolve(x, weight.unsqueeze(-1), bias)[0]

    def activate(self, x: Value, function: str, *parameters: float) -> Value:
        """A function of :data:`tcn.native.operations.FUNCTIONS` of every channel.

        It is done along with the operation that made ``x`` if possible. Then ``x`` no longer
        exists: a value that is read again has to be shared first.
        """
        activation = Activation(function, parameters)
        maker = self._unfinished(x)
        if activation == IDENTITY:
            return x
        if maker is not None and maker.other is None and maker.activation == IDENTITY:
            maker.activation = activation
        elif maker is not None and maker.other is not None and maker.after == IDENTITY:
            maker.after = activation
        else:
            return self._emit("pointwise", x, x.channels, activation=activation)
        return self._in_place_of(x, maker)

    def add(self, a: Value, b: Value) -> Value:
        """The sum; done along with the operation that made one of them, as by :meth:`activate`."""
        self._check_alike("b", b, a.channels)
        for made, other in ((b, a), (a, b)):
            maker = self._unfinished(made)
            if maker is not None and maker.other is None and made is not other:
                self._check_own(other)
                maker.other = other
                return self._in_place_of(made, maker)
        return self._emit("pointwise", a, a.channels, other=b)

    def multiply(self, a: Value, b: Value) -> Value:
        """The product, channel by channel."""
        self._check_alike("b", b, a.channels)
        return self._emit("multiply", a, a.channels, other=b)

    def gate(self, x: Value, function: str = "tanh", *parameters: float) -> Value:
        """The first half of the channels, activated, times the sigmoid of the second."""
        if x.channels % 2:
            raise ValueError(f"x: {x.channels} channels; a gate halves them")
        activation = Activation(function, parameters)
        return self._emit("gate", x, x.channels // 2, activation=activation)

    def modulate(self, x: Value, by: Value) -> Value:
        """``x * (1 + first half of by) + second half of by``."""
        self._check_alike("by", by, 2 * x.channels)
        return self._emit("modulate", x, x.channels, other=by)

    def scale(self, x: Value, weight: Tensor, bias: Tensor) -> Value:
        """``x * weight + bias``, one of each per channel."""
        return self._normalized("scale", x, weight, bias)

    def layer_norm(self, x: Value, weight: Tensor, bias: Tensor, epsilon: float) -> Value:
        """Every step to mean 0 and variance 1 over its channels, then scaled and shifted."""
        return self._normalized("layer_norm", x, weight, bias, epsilon)

    def rms_norm(self, x: Value, weight: Tensor, epsilon: float) -> Value:
        """Every step divided by its root mean square over the channels, then scaled."""
        return self._normalized("rms_norm", x, weight, None, epsilon)

    def cumulative_norm(
        self, x: Value, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Value, Slot]:
        """Layer norm over all steps so far; the slot holds sum, sum of squares and count."""
        y = self._normalized("cumulative_norm", x, weight, bias, epsilon)
        return y, self._slot(3, 1, dtype=torch.float64)

    def running_mean(self, x: Value) -> tuple[Value, Slot]:
        """The mean of each channel so far; the slot holds the sums, then the count."""
        y = self._emit("running_mean", x, x.channels)
        return y, self._slot(x.channels + 1, 1, dtype=torch.float64)

    def recur(
        self, cell: str, x: Value, weight: Tensor, bias: Tensor, start: Tensor | None = None
    ) -> Value:
        """A recurrent cell.

        Args:
            cell: ``"lstm"``, ``"gru"`` or ``"rnn"``.
            x: what the inputs bring to every gate, in PyTorch's order of gates.
            weight: ``(gates * hidden, hidden)``, of what the cell said last.
            bias: ``(gates * hidden,)``, added to that.
            start: ``(states, hidden)``, what it says, and remembers, before the first step; zeros
                if None.
        """
        hidden = weight.shape[1]
        check_size("weight", weight, x.channels, hidden)
        check_size("bias", bias, x.channels)
        check_size("start", start, 2 if cell == "lstm" else 1, hidden)
        return self._emit(cell, x, hidden, weight=weight, bias=bias, start=start)

    def remember(self, x: Value) -> Slot:
        """The slot of the latest value of ``x``."""
        self.share(x)
        self._operations.append(
            Operation("remember", x, None, in_channels=x.channels, out_channels=x.channels)
        )
        return self._slot(x.channels)

    def share(self, x: Value) -> Value:
        """Says that ``x`` has several readers, so that nothing may be done to it in place."""
        self._check_own(x)
        x.shared = True
        return x

    # -------------------------------------------------------------------- result

    def written(self, output: Value) -> Written:
        """What was written down, with ``output`` as the net's output.

        Raises:
            ValueError: if the output is of another builder.
        """
        self._check_own(output)
        given = (self._input, self._condition)
        return Written(tuple(self._operations), *given, self._vocabulary, output)

    def build(self, output: Value, states: Any) -> StreamProgram | None:
        """Packs the weights; None where there is no native library.

        Args:
            output: the net's output.
            states: the state's form: nested tuples of the slots.

        Raises:
            MemoryError: if there is no memory for the weights.
            ValueError: if there is no input, or the output or a slot is of another builder.
        """
        kernels = kernels_of_streams()
        if kernels is None:
            return None
        if self._input is None and not self._vocabulary:
            raise ValueError("input: none; call input() or embed() first")
        self._check_own(output)
        self._check_slots(states, set())
        inputs = [value for value in (self._input, self._condition) if value is not None]
        places, frame_size = place(self._operations, inputs, output)
        tensors: list[Tensor] = []
        natives = [to_native(operation, places, tensors) for operation in self._operations]
        interface = Interface(
            frame_size=frame_size,
            input=places.get(self._input, -1),
            in_channels=self._input.channels if self._input is not None else 1,
            output=places[output],
            out_channels=output.channels,
            condition=places.get(self._condition, -1),
            condition_channels=self._condition.channels if self._condition is not None else 0,
            vocabulary=self._vocabulary,
            ahead=weights_read(self._operations) > CACHED_WEIGHTS,
        )
        operations = (NativeOperation * len(natives))(*natives)
        return StreamProgram(kernels, operations, interface, states)

    # -------------------------------------------------------------------- checks

    def _check_first(self) -> None:
        if self._input is not None or self._vocabulary:
            raise ValueError("input: there is one already; a net has one input")

    def _check_own(self, value: Value) -> None:
        if value not in self._values:
            raise ValueError(
                "value: of another builder, or no longer there; share() what is read after it was "
                "activated or added to"
            )

    def _check_alike(self, name: str, value: Value, channels: int) -> None:
        if value.channels != channels:
            raise ValueError(f"{name}: {value.channels} channels; expected {channels}")

    def _check_slots(self, states: Any, seen: set[Slot]) -> None:
        """Checks that every leaf is a slot of this builder, and comes once."""
        if isinstance(states, tuple):
            for part in states:
                self._check_slots(part, seen)
        elif states not in self._slots or states in seen:
            raise ValueError("states: nested tuples of this builder's slots, each once")
        else:
            seen.add(states)

    # -------------------------------------------------------------------- making

    def _given(self, name: str, channels: int) -> Value:
        """A value that comes from outside."""
        check_number(name, channels, 1, LARGEST)
        value = Value(channels, shared=True)
        self._values.add(value)
        return value

    def _normalized(
        self, kind: str, x: Value, weight: Tensor, bias: Tensor | None, epsilon: float = 0.0
    ) -> Value:
        """An operation with a weight per channel and mostly a bias."""
        check_size("weight", weight, x.channels)
        check_size("bias", bias, x.channels)
        return self._emit(kind, x, x.channels, weight=weight, bias=bias, epsilon=float(epsilon))

    def _emit(self, kind: str, source: Value | None, channels: int, **numbers: Any) -> Value:
        # Groups that are not a multiple of a panel make the last one write beyond the output.
        padding = PANEL - 1 if numbers.get("groups", 1) > 1 else 0
        check_number("channels", channels, 1, LARGEST)
        target = Value(channels, padding)
        numbers.setdefault("in_channels", source.channels if source is not None else 1)
        operation = Operation(kind, source, target, out_channels=channels, **numbers)
        for value in operation.reads():
            self._check_own(value)
        self._operations.append(operation)
        self._values.add(target)
        return target

    def _in_place_of(self, value: Value, maker: Operation) -> Value:
        """What ``value`` has become by something done along with the operation that made it."""
        self._values.remove(value)
        maker.target = Value(value.channels, value.padding)
        self._values.add(maker.target)
        return maker.target

    def _unfinished(self, value: Value) -> Operation | None:
        """The latest operation, if it made ``value`` and can still do something to it."""
        last = self._operations[-1] if self._operations else None
        if last is None or last.target is not value or value.shared:
            return None
        return last if last.kind in WITH_EPILOGUE else None

    def _slot(self, *shape: int, dtype: torch.dtype = torch.float32) -> Slot:
        slot = Slot(len(self._operations) - 1, shape, dtype)
        self._slots.add(slot)
        return slot
