"""A seeded fuzz of everything that the native library lets Python call.

Sizes and values are random, some of them hostile: beyond what fits, not a number, not there. Each
call must end as the rules say (done, or refused), under the sanitizers of ``make sanitize`` without
a report. Buffers are as large as the sizes say to the last byte.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_calls
import fuzz_streams
import torch
from torch import Tensor

import tcn.models  # noqa: F401  # registers torch.ops.tcn
from tcn.native import convolution_calls as calls
from tcn.native import recurrent_pieces as pieces

loading = sys.modules["tcn.native.library"]  # as a name of the package it is the function
MOST = 2**40
HOSTILE = (0, -1, 2**31, 2**32 + 1, 2**40, 2**40 + 1, 2**62, 2**63 - 1, -(2**63))
SPECIAL = (0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-40, 3e38)
LARGEST_BUFFER = 2**18  # sizes beyond it are called only if they must be refused
REFUSED = 1


class Draw:
    """Random sizes and buffers."""

    hostile = HOSTILE

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(62))
        self.alive: list[Tensor] = []

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, *values: Any) -> Any:
        return self.random.choice(values)

    def integer(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def floats(self, count: int) -> int:
        """The address of so many, some of them special."""
        values = torch.randn(count, generator=self.generator)
        for _ in range(self.integer(0, 2) if count and self.chance(0.3) else 0):
            values[self.integer(0, count - 1)] = self.pick(*SPECIAL)
        return self.keep(values)

    def keep(self, tensor: Tensor) -> int:
        self.alive.append(tensor)
        return tensor.data_ptr()

    def threads(self) -> int:
        return self.pick(0, -1, 1025, 2**32 + 1) if self.chance(0.05) else self.integer(1, 3)

    def spoil(self, structure: ctypes.Structure, names: list[str]) -> None:
        """Puts hostile values into one or two fields."""
        for name in self.random.sample(names, self.integer(1, 2)):
            setattr(structure, name, self.pick(*HOSTILE))


def product_fits(*sizes: int) -> bool:
    """As the library counts, which stops at the first product that is too large."""
    product = 1
    for size in sizes:
        product *= size
        if not 0 <= product <= MOST:
            return False
    return True


def shape_fits(s: Any) -> bool:
    """What source/convolution.cpp takes, said once more."""
    positive = (s.in_channels, s.out_channels, s.kernel_size, s.out_steps, s.dilation, s.stride)
    products = (
        (s.batch, s.in_channels, s.in_steps), (s.batch, s.out_channels, s.out_steps),
        (s.in_channels, s.in_steps + 1), (s.out_channels, s.out_steps),
        (s.out_channels, s.in_channels, s.kernel_size), (s.kernel_size, s.dilation),
        (s.out_steps, s.stride),
    )  # fmt: skip
    return (
        all(1 <= size <= MOST for size in positive)
        and 0 <= s.batch <= MOST
        and 0 <= s.in_steps <= MOST
        and -MOST <= s.left_zeros <= MOST
        and all(product_fits(*sizes) for sizes in products)
    )


def draw_shape(draw: Draw) -> Any:
    """A convolution, possible or not, whose buffers are small if it is."""
    while True:
        limits = {"batch": (0, 6), "in_channels": (1, 9), "out_channels": (1, 9)}
        limits |= {"kernel_size": (1, 6), "in_steps": (0, 70), "out_steps": (1, 80)}
        limits |= {"dilation": (1, 9), "stride": (1, 4), "left_zeros": (-9, 70)}
        shape = calls.Shape()
        for name, limit in limits.items():
            setattr(shape, name, draw.integer(*limit))
        if draw.chance(0.4):
            draw.spoil(shape, list(limits))
        if not shape_fits(shape) or max(buffers(shape)) <= LARGEST_BUFFER:
            return shape


def buffers(s: Any) -> tuple[int, int, int]:
    """Elements of x, weight and y."""
    return (
        s.batch * s.in_channels * s.in_steps,
        s.out_channels * s.in_channels * s.kernel_size,
        s.batch * s.out_channels * s.out_steps,
    )


def fuzz_convolution(kernels: Any, draw: Draw) -> bool:
    """One call forward and, where it was done, one backward; whether it was done."""
    shape, threads = draw_shape(draw), draw.threads()
    possible = shape_fits(shape) and 1 <= threads <= 1024
    sizes = buffers(shape) if shape_fits(shape) else (1, 1, 1)
    x, weight, y = (draw.floats(size) for size in sizes)
    channels, steps, batch = shape.out_channels, shape.out_steps, shape.batch
    finish = calls._Finish(relu=draw.pick(0, 1))
    size = None
    if shape_fits(shape):
        size = draw.pick(None, draw.floats(channels))
        finish.bias = draw.pick(None, draw.floats(channels))
        if finish.relu and draw.chance(0.6):
            strides = add_shortcut(draw, finish, (batch, channels, steps))
            finish.shortcut_strides = (ctypes.c_int64 * 3)(*strides)
            kept = torch.empty(batch * channels * ((steps + 7) // 8), dtype=torch.uint8)
            finish.kept = draw.pick(None, draw.keep(kept))
        below = draw.pick(0, 2**30, 2**31 - 1, 2**31, -1)
        finish.dropping = calls.Dropping(below, 1.5, draw.random.getrandbits(64))
        possible &= 0 <= below < 2**31
        if draw.chance(0.05):
            weight, possible = None, False
    outcome = kernels.tcn_convolve(
        ctypes.byref(shape), ctypes.byref(finish), x, weight, size, y, threads
    )
    assert outcome == (0 if possible else REFUSED), (outcome, possible, said(shape), threads)
    if possible or not shape_fits(shape):
        fuzz_backward(kernels, draw, shape, finish, (x, weight, size, y), sizes)
    return possible


def add_shortcut(draw: Draw, finish: Any, shape: tuple[int, int, int]) -> list[int]:
    """A view of any kind, whose buffer ends with its last element."""
    apart = draw.pick(1, 1, 2, 3)
    strides = [shape[1] * shape[2] * apart, shape[2] * apart, apart]
    strides = strides if draw.chance(0.8) else [0, 0, 0]
    last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    finish.shortcut = draw.floats(1 + max(0, last))
    return strides


def fuzz_backward(
    kernels: Any, draw: Draw, shape: Any, finish: Any, tensors: Any, sizes: tuple[int, int, int]
) -> None:
    x, weight, size, y = tensors
    threads, channels = draw.integer(1, 3), shape.out_channels if shape_fits(shape) else 1
    room = (sizes[0], sizes[1], channels, channels, sizes[2])
    results = [draw.pick(None, draw.floats(count)) for count in room]
    gradient = draw.pick(draw.floats(sizes[2]), None) if draw.chance(0.1) else draw.floats(sizes[2])
    outcome = kernels.tcn_convolve_backward(
        ctypes.byref(shape), ctypes.byref(finish), x, weight, size, y, gradient, *results, threads
    )
    reads = shape.batch > 0
    possible = shape_fits(shape) and bool(weight) and (bool(gradient) or not reads)
    possible &= not (results[2] and not size) and not (results[4] and not finish.kept)
    assert outcome == (0 if possible else REFUSED), (outcome, possible, said(shape), room)


def said(structure: ctypes.Structure) -> dict[str, Any]:
    return {name: getattr(structure, name) for name, *_ in structure._fields_}


def fuzz_recurrent(kernels: Any, draw: Draw) -> bool:
    """One layer, forward and backward; whether it was done."""
    cell, steps, batch, hidden = (draw.integer(0, top) for top in (2, 5, 5, 60))
    piece = pieces._Piece(cell, steps, batch, hidden)
    while draw.chance(0.3):
        draw.spoil(piece, ["cell", "steps", "batch", "hidden"])
    cell, steps, batch, hidden = piece.cell, piece.steps, piece.batch, piece.hidden
    sound = 0 <= cell <= 2 and 1 <= hidden <= MOST and 0 <= steps <= MOST and 0 <= batch <= MOST
    sound = sound and product_fits(steps, batch, 4, hidden) and product_fits(batch, 4, hidden)
    sound = sound and product_fits(hidden, 4, hidden)
    row = (1 if cell == 2 else 4) * hidden
    columns = (4, 3, 1)[cell] * hidden if sound else 0
    rows = steps * batch
    if sound and max(rows * row, columns * hidden, batch * hidden) > LARGEST_BUFFER:
        return False
    there = sound and rows > 0
    if there:
        fill_piece(draw, piece, row, columns)
    threads = draw.threads()
    possible = sound and 1 <= threads <= 1024
    if there and draw.chance(0.05):
        piece.weight, possible = None, False
    outcome = kernels.tcn_recur(ctypes.byref(piece), threads)
    assert outcome == (0 if possible else REFUSED), (outcome, possible, said(piece), threads)
    if possible and there:
        wide = (rows * hidden, rows * row, batch * hidden, batch * hidden)
        of = pieces._OfPiece(*(draw.floats(count) for count in wide))
        piece.weight = draw.floats(-(-hidden // 48) * 48 * columns)
        assert kernels.tcn_recur_backward(ctypes.byref(piece), ctypes.byref(of), threads) == 0
        of.state = None
        assert kernels.tcn_recur_backward(ctypes.byref(piece), ctypes.byref(of), 1) == REFUSED
    return possible


def fill_piece(draw: Draw, piece: Any, row: int, columns: int) -> None:
    """Buffers of a layer that is possible."""
    steps, batch, hidden = piece.steps, piece.batch, piece.hidden
    piece.weight = draw.floats(-(-columns // 48) * 48 * hidden)
    mask = torch.randint(0, 2, (steps * batch,), generator=draw.generator, dtype=torch.uint8)
    piece.mask = draw.pick(None, draw.keep(mask))
    piece.state, piece.states = draw.floats(batch * hidden), draw.floats(steps * batch * hidden)
    piece.gates = draw.floats(steps * batch * row)
    if piece.cell == 0:
        piece.memory, piece.memories = (
            draw.floats(batch * hidden),
            draw.floats(steps * batch * hidden),
        )


def fuzz_dropout(kernels: Any, draw: Draw) -> bool:
    """One tensor in either type; whether it was done."""
    size = draw.pick(*HOSTILE) if draw.chance(0.2) else draw.integer(0, 9000)
    below, threads = draw.pick(0, 5, 2**30, 2**31 - 1, 2**31, -(2**63)), draw.threads()
    possible = 0 <= size <= LARGEST_BUFFER and 0 <= below < 2**31 and 1 <= threads <= 1024
    if 0 <= size <= MOST and size > LARGEST_BUFFER:
        below, possible = -1, False
    dropping = calls.Dropping(below, 2.0, draw.random.getrandbits(64))
    dtype = draw.pick(torch.float32, torch.bfloat16)
    room = size if 0 <= size <= LARGEST_BUFFER else 1
    x, y = torch.randn(room, generator=draw.generator).to(dtype), torch.empty(room, dtype=dtype)
    function = kernels.tcn_dropout if dtype == torch.float32 else kernels.tcn_dropout_bfloat16
    outcome = function(
        draw.keep(x) or None, draw.keep(y) or None, size, ctypes.byref(dropping), threads
    )
    assert outcome == (0 if possible else REFUSED), (outcome, possible, size, below, threads)
    return possible


def fuzz_others(kernels: Any, draw: Draw) -> bool:
    """Settings of threads and instruction sets take any number."""
    kernels.tcn_flush_denormals_everywhere(draw.pick(0, 1), draw.pick(-(2**63), 0, 1, 2))
    kernels.tcn_flush_denormals_everywhere(0, 2)
    kernels.tcn_flush_denormals(draw.pick(0, 1, 2**32))
    kernels.tcn_flush_denormals(0)
    assert kernels.tcn_set_instruction_set(draw.pick(0, 1, *HOSTILE)) in (0, 1, 2)
    kernels.tcn_set_instruction_set(2)
    return True


# ------------------------------------------------------------------------------- operators


def spoiled(draw: Draw, value: Any) -> Any:
    """An argument of an operator, made wrong or odd."""
    if isinstance(value, bool) or not isinstance(value, (Tensor, int, float, str, list)):
        return draw.pick(None, value)
    if isinstance(value, int):
        return draw.pick(0, -1, -(2**40), 2**40 + 1, 2**62, -(2**62))
    if isinstance(value, float):
        return draw.pick(-0.5, 1.0, float("nan"), 1e300, 1 - 2**-50)
    if isinstance(value, str):
        return draw.pick("LSTM", "GRU", "RNN_TANH", "", "RNN_RELU")
    if isinstance(value, list):
        return value[: draw.integer(0, len(value))]
    ways: list[Callable[[Tensor], Any]] = [
        lambda t: t[..., :0], lambda t: t[None], lambda t: t.flatten(), lambda t: t[:1],
        lambda t: t.double(), lambda t: t.to(torch.int32), lambda t: t.transpose(0, -1),
        lambda t: t.new_zeros(1).expand(t.shape), lambda t: torch.cat([t, t], -1),
        lambda t: torch.cat([t, t], -1)[..., ::2], lambda t: t.new_zeros(()),
        lambda t: t.new_zeros(1).expand(2**31, 2**8, 2**8), lambda t: t.bfloat16(),
    ]  # fmt: skip
    return draw.pick(*ways)(value)


def fuzz_operators(_: Any, draw: Draw) -> bool:
    """An operator by its name, one or two of its arguments spoiled; whether it was done."""
    torch.manual_seed(draw.integer(0, 2**30))
    name, arguments = draw.pick(convolution_arguments, recurrent_arguments, dropout_arguments)(draw)
    operator = getattr(torch.ops.tcn, name).default
    arguments = list(arguments)
    # Each once: what is too large for memory must not be converted by a second spoil.
    for at in draw.random.sample(range(len(arguments)), draw.integer(0, 2)):
        arguments[at] = spoiled(draw, arguments[at])
    try:
        operator(*arguments)
    except (ValueError, TypeError, MemoryError):
        return False
    except RuntimeError as error:  # the dispatcher's, of arguments that the operator never sees
        if "Expected a value of type" not in str(error):
            raise
        return False
    return True


def convolution_arguments(draw: Draw) -> tuple[str, tuple[Any, ...]]:
    batch, inputs, outputs, steps = (draw.integer(1, top) for top in (4, 5, 5, 30))
    x, weight = torch.randn(batch, inputs, steps), torch.randn(outputs, inputs, 3)
    size, bias, y = (
        torch.rand(outputs, 1, 1),
        torch.randn(outputs),
        torch.randn(batch, outputs, steps),
    )
    geometry, rest = (4, 0, 1, 2), (True, 0.25)
    if draw.chance(0.5):
        return "convolve", (
            x,
            weight,
            size,
            bias,
            y,
            torch.tensor([7]),
            *geometry,
            *rest,
            draw.chance(0.5),
        )
    kept = torch.randint(0, 255, (batch, outputs, (steps + 7) // 8), dtype=torch.uint8)
    wanted = [draw.chance(0.5) for _ in range(5)]
    return "convolve_backward", (y, x, weight, size, y.relu(), kept, *geometry, *rest, wanted)


def recurrent_arguments(draw: Draw) -> tuple[str, tuple[Any, ...]]:
    cell, (steps, batch, channels, hidden) = draw.pick("LSTM", "GRU", "RNN_TANH"), (4, 3, 2, 5)
    rows = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1}[cell] * hidden
    x, state = torch.randn(steps, batch, channels), torch.randn(batch, hidden)
    memory = torch.randn(batch, hidden) if cell == "LSTM" else None
    weights = torch.randn(rows, channels), torch.randn(rows, hidden)
    mask = draw.pick(None, torch.rand(steps, batch) < 0.5)
    forward = (x, state, memory, *weights, torch.randn(rows), torch.randn(rows), mask, cell, True)
    if draw.chance(0.5):
        return "recur", forward
    y, after, memories, gates = torch.ops.tcn.recur(*forward)
    of_memory = None if memory is None else after
    wanted = [draw.chance(0.5), draw.chance(0.5)]
    kept = (mask, y, memories, gates, cell, wanted)
    return "recur_backward", (y, of_memory, x, state, memory, *weights, *kept)


def dropout_arguments(draw: Draw) -> tuple[str, tuple[Any, ...]]:
    return "dropout", (torch.randn(3, draw.integer(0, 200)), torch.tensor([3]), 0.5)


# ------------------------------------------------------------------------------------ runs

KINDS: dict[str, Callable[[Any, Draw], bool]] = {
    "convolution": fuzz_convolution,
    "recurrent": fuzz_recurrent,
    "dropout": fuzz_dropout,
    "operators": fuzz_operators,
    "others": fuzz_others,
    "streams": fuzz_streams.fuzz,
    "raw streams": fuzz_calls.fuzz,
}
SHARES = (4, 2, 2, 3, 0.2, 2, 4)


def run(count: int, seed: int, only: str | None = None) -> Counter[str]:
    """So many draws; how many calls of each kind were done and refused."""
    if path := os.environ.get("TCN_SANITIZED_KERNELS"):
        loading._built = lambda: Path(path)
    kernels, seen = loading.library(), Counter[str]()
    assert kernels is not None
    for number in range(count):
        draw = Draw(f"{seed} {number}")
        kind = only or draw.random.choices(list(KINDS), SHARES)[0]
        try:
            done = KINDS[kind](kernels, draw)
        except BaseException:
            print(f"fuzz: seed {seed}, call {number}, {kind}", flush=True)
            raise
        seen[f"{kind} {'done' if done else 'refused'}"] += 1
    return seen


def main() -> None:
    """Prints the counts and the time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.monotonic()
    seen = run(arguments.calls, arguments.seed, arguments.only)
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(seen.items()))
    print(f"fuzz: {seen.total()} calls in {time.monotonic() - begin:.0f} s: {counts}")


if __name__ == "__main__":
    main()
