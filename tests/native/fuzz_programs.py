"""Programs of native streams as C is given them: some fit, some are spoiled.

``fits`` says once more what source/stream_check.cpp takes. A place is often the last possible one.
"""

from __future__ import annotations

import ctypes
from typing import Any

from tcn.native.operations import FUNCTIONS, KINDS, LARGEST, WITH_EPILOGUE
from tcn.native.program import Interface, NativeActivation, NativeOperation

CONVOLVES = ("convolution", "depthwise")
BIASED = (*CONVOLVES, "scale", "layer_norm", "cumulative_norm")
WEIGHTED = ("scale", "layer_norm", "rms_norm", "cumulative_norm")
NUMBERS = [name for name, *_ in NativeOperation._fields_[:10]]
PLACES = [name for name, *_ in Interface._fields_]
LARGEST_BUFFER = 2**16


# -------------------------------------------------------------------------------- programs


def draw_interface(draw: Any) -> Interface:
    size = draw.integer(40, 200)
    places = Interface(frame_size=size, vocabulary=draw.pick(0, 0, 0, 5), ahead=draw.pick(0, 1))
    places.in_channels, places.out_channels = draw.integer(1, 20), draw.integer(1, 20)
    if places.vocabulary and draw.chance(0.7):
        places.out_channels = 5
    places.condition_channels = draw.pick(0, 0, draw.integer(1, 9))
    for name, channels in (("input", "in"), ("output", "out"), ("condition", "condition")):
        setattr(places, name, at(draw, size, getattr(places, f"{channels}_channels")))
    return places


def at(draw: Any, size: int, channels: int) -> int:
    """A place for so many values, often the last one."""
    return size - channels if draw.chance(0.3) else draw.integer(0, size - channels)


def draw_operation(draw: Any, places: Interface) -> NativeOperation:
    kind = draw.pick(*KINDS)
    channels = draw.integer(1, 20)
    op = NativeOperation(kind=KINDS.index(kind), in_channels=channels, out_channels=channels)
    op.kernel_size = op.dilation = op.groups = 1
    if kind == "convolution":
        op.groups = draw.pick(1, 1, 2, 3)
        op.in_channels, op.out_channels = (op.groups * draw.integer(1, 6) for _ in range(2))
    elif kind == "depthwise":
        op.groups = channels
    elif kind == "gate":
        op.in_channels = 2 * channels
    elif kind == "embed":
        op.in_channels = places.vocabulary or 1
    if kind in CONVOLVES:
        op.kernel_size, op.dilation = draw.integer(1, 5), draw.pick(1, 2, 7, 16, 300)
        op.shift = draw.integer(0, 1)
    op.source = at(draw, places.frame_size, op.in_channels)
    op.target = at(draw, places.frame_size, op.out_channels)
    op.other = -1
    if kind in ("multiply", "modulate") or (kind in WITH_EPILOGUE and draw.chance(0.4)):
        op.other = at(draw, places.frame_size, channels_of_other(op))
    op.epsilon = draw.pick(1e-5, 0.0, -1.0, float("nan"))
    for name in ("activation", "after"):
        function = draw.integer(0, len(FUNCTIONS) - 1)
        parameters = (draw.pick(0.1, 1.0, -1.0, float("nan"), 1e38) for _ in range(3))
        setattr(op, name, NativeActivation(function, (ctypes.c_float * 3)(*parameters)))
    give_weights(draw, op, kind)
    return op


def channels_of_other(op: NativeOperation) -> int:
    return (2 if op.kind == KINDS.index("modulate") else 1) * op.out_channels


def give_weights(draw: Any, op: NativeOperation, kind: str) -> None:
    """As many as are read, to the last one."""
    op.weights = weights_of(op)
    op.weight = draw.floats(op.weights) or None
    if kind in BIASED and draw.chance(0.6):
        op.bias, op.biases = draw.floats(op.out_channels), op.out_channels


def weights_of(op: NativeOperation) -> int:
    kind = KINDS[op.kind]
    if kind in CONVOLVES:
        return op.out_channels * (op.in_channels // op.groups) * op.kernel_size
    if kind == "embed":
        return op.out_channels * op.in_channels
    return op.out_channels if kind in WEIGHTED else 0


def draw_program(draw: Any) -> tuple[Interface, list[NativeOperation]]:
    """One that fits, or one that is spoiled; its buffers are as large as it says."""
    places = draw_interface(draw)
    operations = [draw_operation(draw, places) for _ in range(draw.integer(1, 5))]
    for _ in range(draw.pick(0, 0, 1, 2)):
        spoil(draw, places, draw.pick(*operations))
    for op in operations:
        if operation_fits(op, places):
            assert op.weights <= LARGEST_BUFFER, "no size that is hostile asks for few weights"
            op.weight = draw.floats(op.weights) or None
            op.bias = draw.floats(op.biases) or None
    return places, operations


def spoil(draw: Any, places: Interface, op: NativeOperation) -> None:
    """One or two numbers of something, or where the weights are."""
    way = draw.integer(0, 5)
    if way <= 1:
        draw.spoil(op, NUMBERS)
    elif way == 2:
        draw.spoil(places, PLACES)
    elif way == 3:
        draw.spoil(op, ["weights", "biases"])
    elif way == 4:
        draw.pick(op.activation, op.after).function = draw.pick(len(FUNCTIONS), *draw.hostile)
    else:
        setattr(op, draw.pick("weight", "bias"), None)


# ----------------------------------------------------------------------------- what is taken


def lies(place: int, channels: int, places: Interface) -> bool:
    return 0 <= place <= places.frame_size - channels


def interface_fits(places: Interface) -> bool:
    some = (places.frame_size, places.in_channels, places.out_channels)
    any_number = (places.vocabulary, places.condition_channels)
    conditioned = places.condition_channels > 0
    return (
        all(1 <= size <= LARGEST for size in some)
        and all(0 <= size <= LARGEST for size in any_number)
        and lies(places.output, places.out_channels, places)
        and (places.vocabulary > 0 or lies(places.input, places.in_channels, places))
        and (not conditioned or lies(places.condition, places.condition_channels, places))
    )


def operation_fits(op: NativeOperation, places: Interface) -> bool:
    inputs, outputs = op.in_channels, op.out_channels
    functions = (op.activation.function, op.after.function)
    if not 0 <= op.kind < len(KINDS) or not all(0 <= f < len(FUNCTIONS) for f in functions):
        return False
    kind = KINDS[op.kind]
    if not (1 <= inputs <= LARGEST and 1 <= outputs <= LARGEST):
        return False
    if kind in CONVOLVES:
        sizes = convolution_fits(op)
    elif kind == "embed":
        sizes = places.vocabulary == inputs
    else:
        sizes = inputs == (2 if kind == "gate" else 1) * outputs
    return sizes and places_fit(op, kind, places) and weights_fit(op, kind)


def convolution_fits(op: NativeOperation) -> bool:
    if not (1 <= op.kernel_size <= LARGEST // 64 and 0 <= op.shift <= 1 and op.dilation >= 1):
        return False
    if op.kernel_size > 1 and op.dilation > (LARGEST - 17) // (op.kernel_size - 1):
        return False
    if not 1 <= op.groups <= LARGEST or op.in_channels % op.groups or op.out_channels % op.groups:
        return False
    return KINDS[op.kind] != "depthwise" or op.groups == op.in_channels == op.out_channels


def places_fit(op: NativeOperation, kind: str, places: Interface) -> bool:
    needed = kind in ("multiply", "modulate")
    reads = needed or (kind in WITH_EPILOGUE and op.other != -1)
    return (
        (kind == "embed" or lies(op.source, op.in_channels, places))
        and (kind == "remember" or lies(op.target, op.out_channels, places))
        and (lies(op.other, channels_of_other(op), places) if reads else op.other == -1)
    )


def weights_fit(op: NativeOperation, kind: str) -> bool:
    kernel = op.kernel_size if kind in CONVOLVES else 1
    if op.in_channels * op.out_channels * kernel >= 2**63:
        return False
    weights = weights_of(op)
    biases = op.biases == op.out_channels and kind in BIASED if op.bias else op.biases == 0
    return op.weights == weights and bool(op.weight) == (weights > 0) and biases


def fits(places: Interface, operations: list[NativeOperation]) -> bool:
    return interface_fits(places) and all(operation_fits(op, places) for op in operations)
