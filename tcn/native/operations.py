"""Operations on values: what a program is made of before it becomes native."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ctypes import c_float
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tcn.native.program import NativeActivation, NativeOperation

KINDS = (
    "convolution", "depthwise", "pointwise", "multiply", "gate", "modulate", "scale", "layer_norm",
    "rms_norm", "cumulative_norm", "running_mean", "embed", "remember",
)  # fmt: skip
"""The operations, in the order of ``Kind`` in stream.h."""

FUNCTIONS = (
    "identity", "relu", "leaky_relu", "elu", "gelu", "silu", "mish", "tanh", "sigmoid", "softsign",
    "clamp", "hard_sigmoid", "hard_swish", "fast_tanh",
)  # fmt: skip
"""The activations, in the order of ``Function`` in stream.h, where their parameters are named."""

WITH_EPILOGUE = ("convolution", "depthwise", "pointwise", "scale")
PANEL = 16
PARAMETERS = {"leaky_relu": 1, "elu": 3, "clamp": 2}
"""How many parameters an activation has; the others have none."""
LARGEST = 1 << 30
"""``LARGEST`` of stream_check.h: channels, and the steps that a convolution remembers."""


@dataclass(eq=False)
class Value:
    """A vector of channels that every step has.

    Attributes:
        channels: how many.
        padding: further channels that whatever makes it may write to.
        shared: whether it has several readers.
        whole: the value of which this is a part; None if it has a place of its own.
        begin: the part's first channel in the whole.
    """

    channels: int
    padding: int = 0
    shared: bool = False
    whole: Value | None = None
    begin: int = 0

    @property
    def placed(self) -> Value:
        """The value whose place it lies in: the whole, or itself."""
        return self if self.whole is None else self.whole


@dataclass(frozen=True)
class Activation:
    """A function of :data:`FUNCTIONS` and its parameters."""

    function: str = "identity"
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks them.

        Raises:
            ValueError: if there is no such function, or it has another number of parameters.
        """
        if self.function not in FUNCTIONS:
            raise ValueError(f"function: {self.function!r} is not one of {', '.join(FUNCTIONS)}")
        if len(self.parameters) != PARAMETERS.get(self.function, 0):
            raise ValueError(
                f"parameters: {self.parameters} of {self.function!r}; it has "
                f"{PARAMETERS.get(self.function, 0)}"
            )


IDENTITY = Activation()


@dataclass(eq=False)
class Operation:
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
    start: Tensor | None = None

    def reads(self) -> Iterable[Value]:
        """The values it reads."""
        return (value for value in (self.source, self.other) if value is not None)


def check_number(name: str, number: Any, least: int, most: int) -> None:
    """Refuses what C could not count with.

    Raises:
        ValueError: if it is not an integer from ``least`` to ``most``.
    """
    if not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{name}: {number!r} is not an integer from {least} to {most}")


def check_size(name: str, tensor: Tensor | None, *sizes: int) -> None:
    """Refuses weights of another size than the operation reads.

    Raises:
        ValueError: if they are not real numbers in memory, or of another shape.
    """
    if tensor is None:
        return
    where, what = tensor.device.type, tensor.layout
    if tensor.is_complex() or where == "meta" or what is not torch.strided:
        raise ValueError(f"{name}: {tensor.dtype}, {what} on {where}; real numbers are needed")
    if tensor.shape != sizes:
        raise ValueError(f"{name}: shape {tuple(tensor.shape)}; expected {sizes}")


def native_tensor(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As native code reads it: what a lazy view only promises (a sign, a conjugate) is done."""
    tensor = tensor.detach().to("cpu", dtype)
    return tensor.resolve_conj().resolve_neg().contiguous()


def to_native(
    operation: Operation, places: dict[Value | None, int], tensors: list[Tensor]
) -> NativeOperation:
    """The native form of an operation; ``tensors`` keeps alive what it points to."""
    native = NativeOperation(kind=KINDS.index(operation.kind), epsilon=operation.epsilon)
    for name in ("source", "other", "target"):
        setattr(native, name, places.get(getattr(operation, name), -1))
    for name in ("in_channels", "out_channels", "kernel_size", "dilation", "shift", "groups"):
        setattr(native, name, getattr(operation, name))
    for name in ("activation", "after"):
        activation: Activation = getattr(operation, name)
        parameters = (c_float * 3)(*activation.parameters)
        setattr(native, name, NativeActivation(FUNCTIONS.index(activation.function), parameters))
    for name, count in (("weight", "weights"), ("bias", "biases")):
        tensor: Tensor | None = getattr(operation, name)
        if tensor is not None:
            tensors.append(native_tensor(tensor, torch.float32))
            setattr(native, name, tensors[-1].data_ptr())
            setattr(native, count, tensors[-1].numel())
    return native


def weights_read(operations: Sequence[Operation]) -> int:
    """How many weights a step reads."""
    return sum(
        operation.weight.numel()
        for operation in operations
        if operation.weight is not None and operation.kind != "embed"
    )


def place(
    operations: Sequence[Operation], inputs: Sequence[Value], output: Value
) -> tuple[dict[Value | None, int], int]:
    """Where each value lies in the frame; places are used again after a value's last reader.

    A part lies inside its whole, whose place is kept until the last reader of any part.
    """
    last_use = {value.placed: index for index, op in enumerate(operations) for value in op.reads()}
    last_use[output.placed] = len(operations)
    places: dict[Value | None, int] = {}
    taken: dict[Value, tuple[int, int]] = {}  # begin and end of the values alive
    frame_size = 0

    def put(value: Value) -> None:
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
        put(value)
    for index, operation in enumerate(operations):
        if operation.target is not None:
            put(operation.target)
        for value in [value for value in taken if last_use.get(value, -1) <= index]:
            del taken[value]
    for value in [output, *(value for operation in operations for value in operation.reads())]:
        places[value] = places[value.placed] + value.begin
    return places, frame_size
