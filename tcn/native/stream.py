"""A causal net as one native call per chunk of a stream: what PyTorch does in a hundred.

A :class:`Builder` writes down what a net computes, value by value, without knowing layers::

    builder = Builder()
    x = builder.input(1)
    y, past = builder.convolve(x, weight, bias, dilation=2)
    y = builder.activate(y, "relu")
    program = builder.build(y, states=(past,))      # None where the native library is missing

    rows = program.rows(64)                         # 64 streams, each at a pace of its own
    y = rows.push(chunk)                            # (64, 1, time) -> (64, channels, time)
    y = rows.push(part, rows=torch.tensor([3, 5]))  # two of them go on, the others pause

Weights are copied and packed by ``build``; rings, sums and remembered values of a row lie in one
piece of native memory, and pushing allocates nothing but its result.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Iterable, Sequence
from ctypes import POINTER, c_float, c_int, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tcn.native.library import library
from tcn.native.rows import Slot, StreamRows

KINDS = (
    "convolution", "depthwise", "pointwise", "multiply", "gate", "modulate", "scale", "layer_norm",
    "rms_norm", "cumulative_norm", "running_mean", "embed", "remember",
)  # fmt: skip
"""The operations, in the order of ``Kind`` in stream.h."""

FUNCTIONS = (
    "identity", "relu", "leaky_relu", "elu", "gelu", "silu", "mish", "tanh", "sigmoid", "softsign",
    "clamp", "hard_sigmoid", "hard_swish",
)  # fmt: skip
"""The activations, in the order of ``Function`` in stream.h, where their parameters are named."""

WITH_EPILOGUE = ("convolution", "depthwise", "pointwise", "scale")
PANEL = 16
CACHED_WEIGHTS = 1 << 18
"""How many weights, at 4 bytes, a second-level cache is sure to hold. A net of more adds up past
taps several steps ahead (see stream.h): a single step of one row then takes about a third less."""


@dataclass(eq=False)
class Value:
    """A vector of channels that every step has; ``shared`` once it has several readers."""

    channels: int
    padding: int = 0
    shared: bool = False


@dataclass(frozen=True)
class Activation:
    """A function of :data:`FUNCTIONS` and its parameters."""

    function: str = "identity"
    parameters: tuple[float, ...] = ()


IDENTITY = Activation()


@dataclass(eq=False)
class _Operation:
    """One operation, on values; the numbers it has no use for are 1 or None."""

    kind: str
    source: Value | None
    target: Value | None
    other: Value | None = None
    in_channels: int = 1
    out_channels: int = 1
    kernel_size: int = 1
    dilation: int = 1
    shift: int = 0
    groups: int = 1
    epsilon: float = 0.0
    activation: Activation = IDENTITY
    after: Activation = IDENTITY
    weight: Tensor | None = None
    bias: Tensor | None = None

    def reads(self) -> Iterable[Value]:
        return (value for value in (self.source, self.other) if value is not None)


class Builder:
    """Writes down a net's computation; see the example at the top of this file."""

    def __init__(self) -> None:
        self._operations: list[_Operation] = []
        self._input: Value | None = None
        self._condition: Value | None = None
        self._vocabulary = 0

    # -------------------------------------------------------------------- inputs

    def input(self, channels: int) -> Value:
        """The net's input."""
        self._input = Value(channels, shared=True)
        return self._input

    def embed(self, table: Tensor) -> Value:
        """The line of ``table``, ``(vocabulary, channels)``, that the step's token names."""
        self._vocabulary, channels = table.shape
        return self._emit("embed", None, channels, in_channels=self._vocabulary, weight=table)

    def condition(self, channels: int) -> Value:
        """What the net is conditioned on, the same value at every call.

        Raises:
            ValueError: if it was asked for with another number of channels.
        """
        if self._condition is None:
            self._condition = Value(channels, shared=True)
        if self._condition.channels != channels:
            raise ValueError(
                f"channels: {channels} of a condition that has {self._condition.channels}"
            )
        return self._condition

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
            groups: blocks of channels convolved apart.

        Returns:
            The output, and the slot of the inputs that later steps need.
        """
        channels, _, kernel_size = weight.shape
        context = (kernel_size - 1) * dilation + shift
        depthwise = groups == x.channels == channels
        y = self._emit(
            "depthwise" if depthwise else "convolution",
            x,
            channels,
            kernel_size=kernel_size,
            dilation=dilation,
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
        """One of :data:`FUNCTIONS`; done along with the operation that made ``x`` if it can be."""
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
        return x

    def add(self, a: Value, b: Value) -> Value:
        """The sum; done along with the operation that made one of them if it can be."""
        for made, other in ((b, a), (a, b)):
            maker = self._unfinished(made)
            if maker is not None and maker.other is None:
                maker.other = other
                return made
        return self._emit("pointwise", a, a.channels, other=b)

    def multiply(self, a: Value, b: Value) -> Value:
        """The product, channel by channel."""
        return self._emit("multiply", a, a.channels, other=b)

    def gate(self, x: Value, function: str = "tanh", *parameters: float) -> Value:
        """The first half of the channels, activated, times the sigmoid of the second."""
        activation = Activation(function, parameters)
        return self._emit("gate", x, x.channels // 2, activation=activation)

    def modulate(self, x: Value, by: Value) -> Value:
        """``x * (1 + first half of by) + second half of by``."""
        return self._emit("modulate", x, x.channels, other=by)

    def scale(self, x: Value, weight: Tensor, bias: Tensor) -> Value:
        """``x * weight + bias``, one of each per channel."""
        return self._emit("scale", x, x.channels, weight=weight, bias=bias)

    def layer_norm(self, x: Value, weight: Tensor, bias: Tensor, epsilon: float) -> Value:
        """Every step to mean 0 and variance 1 over its channels, then scaled and shifted."""
        parameters = {"weight": weight, "bias": bias, "epsilon": epsilon}
        return self._emit("layer_norm", x, x.channels, **parameters)

    def rms_norm(self, x: Value, weight: Tensor, epsilon: float) -> Value:
        """Every step divided by its root mean square over the channels, then scaled."""
        return self._emit("rms_norm", x, x.channels, weight=weight, epsilon=epsilon)

    def cumulative_norm(
        self, x: Value, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Value, Slot]:
        """Layer norm over all steps so far; the slot holds sum, sum of squares and count."""
        parameters = {"weight": weight, "bias": bias, "epsilon": epsilon}
        y = self._emit("cumulative_norm", x, x.channels, **parameters)
        return y, self._slot(3, 1, dtype=torch.float64)

    def running_mean(self, x: Value) -> tuple[Value, Slot]:
        """The mean of each channel so far; the slot holds the sums, then the count."""
        y = self._emit("running_mean", x, x.channels)
        return y, self._slot(x.channels + 1, 1, dtype=torch.float64)

    def remember(self, x: Value) -> Slot:
        """The slot of the latest value of ``x``."""
        self.share(x)
        self._operations.append(_Operation("remember", x, None, in_channels=x.channels))
        return self._slot(x.channels)

    def share(self, x: Value) -> Value:
        """Says that ``x`` has several readers, so that nothing may be done to it in place."""
        x.shared = True
        return x

    # -------------------------------------------------------------------- result

    def build(self, output: Value, states: Any) -> StreamProgram | None:
        """Packs the weights; None where there is no native library.

        Args:
            output: the net's output.
            states: the state's form: nested tuples of the slots.
        """
        kernels = _kernels()
        if kernels is None:
            return None
        inputs = [value for value in (self._input, self._condition) if value is not None]
        places, frame_size = _place(self._operations, inputs, output)
        operations = (_NativeOperation * len(self._operations))()
        tensors: list[Tensor] = []  # keeps alive what the operations point to
        for native, operation in zip(operations, self._operations, strict=True):
            _translate(operation, places, native, tensors)
        interface = _Interface(
            frame_size=frame_size,
            input=places.get(self._input, -1),
            in_channels=self._input.channels if self._input is not None else 1,
            output=places[output],
            out_channels=output.channels,
            condition=places.get(self._condition, -1),
            condition_channels=self._condition.channels if self._condition is not None else 0,
            vocabulary=self._vocabulary,
            ahead=_weights_read(self._operations) > CACHED_WEIGHTS,
        )
        return StreamProgram(kernels, operations, interface, states)

    def _emit(self, kind: str, source: Value | None, channels: int, **numbers: Any) -> Value:
        # Groups that are no multiple of a panel make the last one write beyond the output.
        padding = PANEL - 1 if numbers.get("groups", 1) > 1 else 0
        target = Value(channels, padding)
        numbers.setdefault("in_channels", source.channels if source is not None else 1)
        self._operations.append(_Operation(kind, source, target, out_channels=channels, **numbers))
        return target

    def _unfinished(self, value: Value) -> _Operation | None:
        """The latest operation, if it made ``value`` and can still do something to it."""
        last = self._operations[-1] if self._operations else None
        if last is None or last.target is not value or value.shared:
            return None
        return last if last.kind in WITH_EPILOGUE else None

    def _slot(self, *shape: int, dtype: torch.dtype = torch.float32) -> Slot:
        return Slot(len(self._operations) - 1, shape, dtype)


class StreamProgram:
    """A net in native form; made by :meth:`Builder.build`.

    Attributes:
        in_channels: channels of the input; 1 if it is tokens.
        out_channels: channels of the output.
        condition_channels: channels of the condition; 0 if there is none.
        vocabulary: number of tokens; 0 if the input is not tokens.
    """

    def __init__(
        self,
        kernels: ctypes.CDLL,
        operations: ctypes.Array[_NativeOperation],
        interface: _Interface,
        states: Any,
    ) -> None:
        """Packs the operations' weights.

        Raises:
            MemoryError: if there is no memory for them.
        """
        self.in_channels: int = interface.in_channels
        self.out_channels: int = interface.out_channels
        self.condition_channels: int = interface.condition_channels
        self.vocabulary: int = interface.vocabulary
        self.states = states
        self.kernels = kernels
        self.handle = kernels.tcn_stream_program(operations, len(operations), interface)
        if not self.handle:
            raise MemoryError("no memory for the packed weights of a native stream")
        weakref.finalize(self, kernels.tcn_stream_delete_program, self.handle)

    def rows(self, count: int) -> StreamRows:
        """The state of ``count`` fresh rows.

        Raises:
            ValueError: if ``count`` is below 1.
            MemoryError: if there is no memory for them.
        """
        return StreamRows(self, count)


# ------------------------------------------------------------------- the native side


class _NativeActivation(ctypes.Structure):
    _fields_ = (("function", c_int32), ("parameters", c_float * 3))


class _NativeOperation(ctypes.Structure):
    _fields_ = (
        *((name, c_int32) for name in (
            "kind", "source", "other", "target", "in_channels", "out_channels", "kernel_size",
            "dilation", "shift", "groups",
        )),
        ("epsilon", c_float),
        ("activation", _NativeActivation),
        ("after", _NativeActivation),
        ("weight", c_void_p),
        ("bias", c_void_p),
    )  # fmt: skip


class _Interface(ctypes.Structure):
    _fields_ = tuple(
        (name, c_int32)
        for name in (
            "frame_size", "input", "in_channels", "output", "out_channels", "condition",
            "condition_channels", "vocabulary", "ahead",
        )
    )  # fmt: skip


@functools.cache
def _kernels() -> ctypes.CDLL | None:
    """The library, its functions declared."""
    kernels = library()
    if kernels is None:
        return None
    handle, index, count = c_void_p, c_void_p, c_int64
    signatures: dict[str, tuple[Any, Sequence[Any]]] = {
        "program": (handle, [POINTER(_NativeOperation), c_int, POINTER(_Interface)]),
        "delete_program": (None, [handle]),
        "rows": (handle, [handle, count]),
        "delete_rows": (None, [handle]),
        "push": (
            c_int,
            [handle, c_void_p, c_void_p, c_int64, index, count, c_int64, c_void_p, c_int],
        ),
        "sample": (
            c_int,
            [handle, c_void_p, c_void_p, c_void_p, c_int64, c_void_p, c_int],
        ),
        "exchange": (c_int, [handle, c_int, index, count, c_void_p, c_int]),
        "reset": (c_int, [handle, index, count]),
        "copy": (c_int, [handle, index, index, count]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(kernels, f"tcn_stream_{name}")
        function.restype, function.argtypes = result, arguments
    return kernels


def _weights_read(operations: Sequence[_Operation]) -> int:
    """How many weights a step reads."""
    return sum(
        operation.weight.numel()
        for operation in operations
        if operation.weight is not None and operation.kind != "embed"
    )


def _place(
    operations: Sequence[_Operation], inputs: Sequence[Value], output: Value
) -> tuple[dict[Value | None, int], int]:
    """Where each value lies in the frame; places are used again after a value's last reader."""
    last_use = {value: index for index, op in enumerate(operations) for value in op.reads()}
    last_use[output] = len(operations)
    places: dict[Value | None, int] = {}
    taken: dict[Value, tuple[int, int]] = {}  # begin and end of the values alive
    frame_size = 0

    def place(value: Value) -> None:
        nonlocal frame_size
        width = -(-(value.channels + value.padding) // PANEL) * PANEL
        begin = 0
        for other_begin, other_end in sorted(taken.values()):
            if begin + width <= other_begin:
                break
            begin = other_end
        places[value], taken[value] = begin, (begin, begin + width)
        frame_size = max(frame_size, begin + width)

    for value in inputs:
        place(value)
    for index, operation in enumerate(operations):
        if operation.target is not None:
            place(operation.target)
        for value in [value for value in taken if last_use.get(value, -1) <= index]:
            del taken[value]
    return places, frame_size


def _translate(
    operation: _Operation,
    places: dict[Value | None, int],
    native: _NativeOperation,
    tensors: list[Tensor],
) -> None:
    """Fills in the native form of an operation."""
    native.kind = KINDS.index(operation.kind)
    for name in ("source", "other", "target"):
        setattr(native, name, places.get(getattr(operation, name), -1))
    for name in ("in_channels", "out_channels", "kernel_size", "dilation", "shift", "groups"):
        setattr(native, name, getattr(operation, name))
    native.epsilon = operation.epsilon
    for name in ("activation", "after"):
        activation: Activation = getattr(operation, name)
        parameters = (c_float * 3)(*activation.parameters)
        setattr(native, name, _NativeActivation(FUNCTIONS.index(activation.function), parameters))
    for name in ("weight", "bias"):
        tensor: Tensor | None = getattr(operation, name)
        if tensor is not None:
            tensors.append(tensor.detach().to("cpu", torch.float32).contiguous())
            setattr(native, name, tensors[-1].data_ptr())
