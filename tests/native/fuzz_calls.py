"""The C interface of the streams without Python's checks: hostile programs, rows and addresses.

Every call is done, or refused before anything is read or written that is not there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from fuzz_programs import CONVOLVES, LARGEST_BUFFER, draw_program, fits

from tcn.native.operations import KINDS
from tcn.native.program import Interface, NativeOperation, kernels_of_streams
from tcn.native.rows import MISFIT, NO_MEMORY

UNTOUCHED = 12345.0
MOST_ROWS, MOST_CHANNELS = 70, 2**12  # of what is not only built


class Stream:
    """Rows of a program, and what is known of them."""

    def __init__(
        self,
        kernels: Any,
        handle: ctypes.c_void_p,
        program: tuple[Interface, list[NativeOperation]],
        count: int,
    ) -> None:
        self.kernels, self.handle, self.count = kernels, handle, count
        self.places, self.operations = program
        self.begins = False  # whether it has been said what rows begin with

    def index(self, draw: Any) -> tuple[int | None, int, bool]:
        """Where some rows are named, how many, and whether they may be."""
        if draw.chance(0.3):
            count = draw.pick(*[self.count] * 6, *draw.hostile)
            return None, count, 1 <= count <= self.count
        rows = draw.random.sample(range(self.count), draw.integer(1, self.count))
        if spoiled := draw.chance(0.2):
            rows[-1] = draw.pick(-1, self.count, 2**32, 2**63 - 1, -(2**63))
        elif spoiled := len(rows) > 1 and draw.chance(0.2):
            rows[-1] = rows[0]
        return draw.keep(torch.tensor(rows)), len(rows), not spoiled

    def chunk(self, draw: Any, rows: int, time: int) -> tuple[int, bool]:
        """An input, and whether its tokens are there."""
        vocabulary = self.places.vocabulary
        if not vocabulary:
            return draw.floats(rows * self.places.in_channels * time), True
        tokens = torch.randint(0, vocabulary, (rows * time,), generator=draw.generator)
        if spoiled := draw.chance(0.2):
            tokens[-1] = draw.pick(-1, vocabulary, 2**32, 2**62, -(2**63))
        return draw.keep(tokens), not spoiled

    def condition(self, draw: Any, rows: int, time: int) -> tuple[int | None, int, bool]:
        """A condition, of how many steps, and whether it fits."""
        steps = draw.pick(1, time, time)
        channels = self.places.condition_channels
        pointer = draw.floats(rows * channels * steps) or None
        if draw.chance(0.1):
            steps = draw.pick(0, time + 1, 2**62, -1)
        if draw.chance(0.05):
            pointer = None
        return pointer, steps, not channels or (pointer is not None and steps in (1, time))


def push(draw: Any, stream: Stream) -> tuple[int, bool]:
    index, rows, possible = stream.index(draw)
    time = draw.pick(1, 1, 2, 15, 16, 17, 40, 100)
    wide = rows if possible else 1
    x, known = stream.chunk(draw, wide, time)
    condition, steps, fitting = stream.condition(draw, wide, time)
    y = torch.full((wide * stream.places.out_channels * time,), UNTOUCHED)
    possible &= known and fitting
    if draw.chance(0.1):
        time, possible = draw.pick(0, -1, 2**61, 2**63 - 1), False
    threads = draw.pick(1, 1, 2, 0, -1, 2**31 - 1)
    outcome = stream.kernels.tcn_stream_push(
        stream.handle, x, condition, steps, index, rows, time, draw.keep(y), threads
    )
    assert not outcome or bool(y.eq(UNTOUCHED).all()), "refused, but something was written"
    return outcome, possible


def push_finite(draw: Any, stream: Stream) -> tuple[int, bool]:
    time = draw.pick(1, 1, 5, 20)
    x, known = stream.chunk(draw, stream.count, time)
    channels = 0 if stream.places.vocabulary else stream.places.in_channels
    values = draw.alive[-1]
    possible = known and not stream.places.condition_channels
    possible &= not channels or bool(values.isfinite().all())
    y = torch.empty(stream.count * stream.places.out_channels * time)
    if draw.chance(0.1):
        time, possible = draw.pick(0, -1, 2**61, 2**63 - 1), False
    outcome = stream.kernels.tcn_stream_push_finite(stream.handle, x, time, draw.keep(y))
    return outcome, possible


def sample(draw: Any, stream: Stream) -> tuple[int, bool]:
    places, steps = stream.places, draw.integer(0, 5)
    tokens, possible = stream.chunk(draw, stream.count, 1)
    possible &= places.vocabulary == places.out_channels
    condition, _, fitting = stream.condition(draw, stream.count, 1)
    fitting = condition is not None or not places.condition_channels
    noise = draw.floats(steps * stream.count * max(1, places.vocabulary)) or None
    samples = draw.keep(torch.empty(stream.count * steps, dtype=torch.int64)) or None
    if draw.chance(0.1):
        steps, possible = draw.pick(-1, -(2**63)), False
    outcome = stream.kernels.tcn_stream_sample(
        stream.handle, tokens, condition, noise, steps, samples, draw.pick(1, 2, 0, -1)
    )
    return outcome, possible and fitting


def reset(draw: Any, stream: Stream) -> tuple[int, bool]:
    index, rows, possible = stream.index(draw)
    return stream.kernels.tcn_stream_reset(stream.handle, index, rows), possible


def copy(draw: Any, stream: Stream) -> tuple[int, bool]:
    target, rows, possible = stream.index(draw)
    sources = torch.randint(0, stream.count, (rows if possible else 64,), generator=draw.generator)
    if draw.chance(0.1):
        sources[0], possible = draw.pick(-1, stream.count, 2**62), False
    possible &= target is not None
    outcome = stream.kernels.tcn_stream_copy(stream.handle, draw.keep(sources), target, rows)
    return outcome, possible


def keep_beginning(draw: Any, stream: Stream) -> tuple[int, bool]:
    row, possible = draw.integer(0, stream.count - 1), True
    if draw.chance(0.1):
        row, possible = draw.pick(-1, stream.count, 2**32, -(2**63)), False
    stream.begins |= possible
    return stream.kernels.tcn_stream_keep_beginning(stream.handle, row), possible


def begin(draw: Any, stream: Stream) -> tuple[int, bool]:
    index, rows, possible = stream.index(draw)
    outcome = stream.kernels.tcn_stream_begin(stream.handle, index, rows)
    return outcome, possible and stream.begins


def exchange(draw: Any, stream: Stream) -> tuple[int, bool]:
    index, rows, possible = stream.index(draw)
    number = draw.integer(0, len(stream.operations) - 1)
    size = state_size(stream.operations[number]) * (rows if possible else 1)
    if size > LARGEST_BUFFER or draw.chance(0.1):
        size, possible = draw.pick(*(s for s in (1, *draw.hostile) if s)), False
    if draw.chance(0.1):
        number, possible = draw.pick(-1, len(stream.operations), 2**32, -(2**63)), False
    data = torch.randint(0, 256, (size if possible else 1,), generator=draw.generator)
    data = draw.keep(data.to(torch.uint8)) or draw.floats(1)
    outcome = stream.kernels.tcn_stream_exchange(
        stream.handle, number, index, rows, data, size, draw.pick(0, 1)
    )
    return outcome, possible


def state_size(op: NativeOperation) -> int:
    """Bytes that are remembered of a row, as PyTorch holds them."""
    kind = KINDS[op.kind]
    if kind in CONVOLVES:
        return 4 * op.in_channels * ((op.kernel_size - 1) * op.dilation + op.shift)
    of_kind = {
        "cumulative_norm": 24,
        "running_mean": 8 * (op.out_channels + 1),
        "remember": 4 * op.in_channels,
    }
    return of_kind.get(kind, 0)


CALLS: list[Callable[[Any, Stream], tuple[int, bool]]] = [
    push, push, push, push_finite, sample, reset, copy, keep_beginning, begin, exchange,
]  # fmt: skip


# ------------------------------------------------------------------------------------ runs


def fuzz(_: Any, draw: Any) -> bool:
    """A program, rows of it and some calls; whether one of them was done."""
    kernels, program = kernels_of_streams(), draw_program(draw)
    made, rows = built(kernels, draw, program), ctypes.c_void_p()
    if made is None:
        return False
    count = draw.pick(1, 2, 5, 63, 64, 65, 70)
    if draw.chance(0.1):
        count = draw.pick(*draw.hostile)
    outcome = kernels.tcn_stream_rows(made, count, ctypes.byref(rows))
    kernels.tcn_stream_delete_program(made)  # the rows keep it
    assert outcome in ((0, NO_MEMORY) if count > 0 else (MISFIT,)), (outcome, count)
    if outcome:
        return False
    try:
        stream = Stream(kernels, rows, program, count)
        small = count <= MOST_ROWS and widest(*program) <= MOST_CHANNELS
        outcomes = [one_call(draw, stream) for _ in range(4 if small else 0)]
        return any(outcomes)
    finally:
        kernels.tcn_stream_delete_rows(rows)


def built(
    kernels: Any, draw: Any, program: tuple[Interface, list[NativeOperation]]
) -> ctypes.c_void_p | None:
    """The program in C, None where it is refused."""
    places, operations = program
    made, possible = ctypes.c_void_p(), fits(places, operations)
    given = (NativeOperation * len(operations))(*operations)
    count = len(operations)
    if draw.chance(0.02):
        count, possible = draw.pick(-1, -(2**63)), False
    outcome = kernels.tcn_stream_program(given, count, ctypes.byref(places), ctypes.byref(made))
    assert bool(made) == (outcome == 0), outcome
    assert outcome == (0 if possible else MISFIT), (outcome, possible, said(places, *operations))
    return None if outcome else made


def widest(places: Interface, operations: list[NativeOperation]) -> int:
    """Of all that a program counts channels of."""
    of_places = (places.in_channels, places.out_channels, places.condition_channels)
    return max(*of_places, *(max(op.in_channels, op.out_channels) for op in operations))


def one_call(draw: Any, stream: Stream) -> bool:
    """Whether it was done; too little memory is taken for an excuse of large frames and pasts."""
    call = draw.pick(*CALLS)
    outcome, possible = call(draw, stream)
    large = stream.places.frame_size > LARGEST_BUFFER
    assert (outcome == 0) == possible or (large and outcome == NO_MEMORY), (
        call.__name__, outcome, possible, said(stream.places, *stream.operations),
    )  # fmt: skip
    return outcome == 0


def said(*structures: ctypes.Structure) -> list[dict[str, Any]]:
    return [{name: getattr(s, name) for name, *_ in s._fields_} for s in structures]
