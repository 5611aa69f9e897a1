"""What does not fit ends in an error that says so: from Python, and from C where Python is not."""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tcn.native import library
from tcn.native.operations import KINDS, to_native
from tcn.native.program import Interface, NativeOperation, StreamProgram, kernels_of_streams
from tcn.native.rows import IN_USE, MISFIT, NO_MEMORY, ROW_OUT_OF_RANGE, ROW_TWICE
from tcn.native.stream import Builder, Value

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")

ONES = torch.ones


def built(builder: Builder, y: Value, states: Any = ()) -> StreamProgram:
    program = builder.build(y, states)
    assert program is not None
    return program


# --------------------------------------------------------------------------- builder

MISFITS: dict[str, tuple[Callable[[Builder, Value], object], str]] = {
    "bias": (lambda b, x: b.convolve(x, ONES(3, 2, 2), ONES(4)), r"bias: .*\(4,\).*\(3,\)"),
    "inputs": (lambda b, x: b.convolve(x, ONES(3, 4, 2)), r"weight: .*\(3, 4, 2\).*\(3, 2, 2\)"),
    "axes": (lambda b, x: b.convolve(x, ONES(3, 2)), r"weight: shape \(3, 2\)"),
    "no taps": (lambda b, x: b.convolve(x, ONES(3, 2, 0)), r"weight: shape \(3, 2, 0\)"),
    "groups": (lambda b, x: b.convolve(x, ONES(3, 1, 1), groups=2), "groups: 2 do not divide"),
    "no groups": (
        lambda b, x: b.convolve(x, ONES(3, 2, 1), groups=0),
        "groups: 0 is not an integer",
    ),
    "shift": (lambda b, x: b.convolve(x, ONES(3, 2, 1), shift=2), "shift: 2 is not an integer"),
    "dilation": (lambda b, x: b.convolve(x, ONES(3, 2, 2), dilation=0), "dilation: 0 is no"),
    "long": (lambda b, x: b.convolve(x, ONES(3, 2, 5), dilation=2**30), "remembered steps: 42949"),
    "wraps": (lambda b, x: b.convolve(x, ONES(3, 2, 5), dilation=2**32 + 1), "remembered steps"),
    "beyond": (lambda b, x: b.convolve(x, ONES(3, 2, 2), dilation=2**70), "dilation: .* is no"),
    "linear": (lambda b, x: b.linear(x, ONES(3, 5)), r"weight: .*\(3, 5, 1\).*\(3, 2, 1\)"),
    "scale": (lambda b, x: b.scale(x, ONES(3), ONES(2)), r"weight: .*\(3,\); expected \(2,\)"),
    "norm": (lambda b, x: b.layer_norm(x, ONES(2), ONES(1), 1e-5), r"bias: .*\(1,\)"),
    "rms": (lambda b, x: b.rms_norm(x, ONES(1), 1e-5), r"weight: .*\(1,\)"),
    "cumulative": (lambda b, x: b.cumulative_norm(x, ONES(2, 1), ONES(2), 1e-5), "weight: "),
    "sum": (lambda b, x: b.add(x, b.linear(x, ONES(3, 2))), "b: 3 channels; expected 2"),
    "product": (lambda b, x: b.multiply(x, b.linear(x, ONES(3, 2))), "b: 3 channels; expected 2"),
    "modulation": (lambda b, x: b.modulate(x, x), "by: 2 channels; expected 4"),
    "gate": (lambda b, x: b.gate(b.linear(x, ONES(3, 2))), "x: 3 channels; a gate halves"),
    "part before": (lambda b, x: b.part(x, -1, 1), "begin: -1 is not an integer from 0 to 1"),
    "part behind": (lambda b, x: b.part(x, 2, 1), "begin: 2 is not an integer from 0 to 1"),
    "part of nothing": (lambda b, x: b.part(x, 0, 0), "channels: 0 is not an integer from 1 to 2"),
    "part beyond": (lambda b, x: b.part(x, 1, 2), "channels: 2 is not an integer from 1 to 1"),
    "part that wraps": (lambda b, x: b.part(x, 1, 2**64), "channels: .* from 1 to 1"),
    "half a channel": (lambda b, x: b.part(x, 0.5, 1), "begin: 0.5 is not an integer"),
    "part beyond a part": (lambda b, x: b.part(b.part(x, 1, 1), 1, 1), "begin: 1 .* 0 to 0"),
    "part of another": (lambda b, x: b.part(Builder().input(2), 0, 1), "value: of another builder"),
    "part as a sum": (lambda b, x: b.add(b.part(x, 0, 1), x), "b: 2 channels; expected 1"),
    "function": (lambda b, x: b.activate(x, "step"), "function: 'step' is not one of identity"),
    "parameters": (lambda b, x: b.activate(x, "clamp", 1.0), r"parameters: \(1.0,\) of 'clamp'"),
    "more parameters": (lambda b, x: b.gate(x, "elu", 1, 1, 1, 1), "parameters: .*'elu'; it has 3"),
    "complex": (lambda b, x: b.linear(x, ONES(3, 2) * 1j), "weight: torch.complex64"),
    "meta": (lambda b, x: b.linear(x, ONES(3, 2, device="meta")), "weight: .* on meta"),
    "another": (lambda b, x: b.add(x, Builder().input(2)), "value: of another builder"),
    "two inputs": (lambda b, x: b.input(2), "input: there is one already"),
    "table": (lambda b, x: Builder().embed(ONES(3)), r"table: shape \(3,\)"),
    "channels": (lambda b, x: Builder().input(0), "channels: 0 is not an integer"),
    "channels beyond": (
        lambda b, x: Builder().input(2**33),
        "channels: 8589934592 is not an integer",
    ),
    "output": (lambda b, x: Builder().build(x, ()), "input: none"),
    "other output": (lambda b, x: b.build(Value(2), ()), "value: of another builder"),
    "slots": (lambda b, x: b.build(x, (Builder().remember,)), "states: nested tuples"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_what_does_not_fit_is_refused_before_a_pointer_is_taken(what: str) -> None:
    call, message = MISFITS[what]
    builder = Builder()
    with pytest.raises(ValueError, match=message):
        call(builder, builder.input(2))


def test_a_slot_of_another_builder_would_be_of_another_size() -> None:
    one, other = Builder(), Builder()
    y = one.linear(one.input(2), ONES(2, 2))
    _, slot = other.convolve(other.input(9), ONES(9, 9, 50))
    with pytest.raises(ValueError, match="states: nested tuples of this builder's slots"):
        one.build(y, (slot,))


def test_a_value_that_was_changed_in_place_is_not_read_again() -> None:
    builder = Builder()
    y = builder.scale(builder.input(1), ONES(1), ONES(1))
    builder.activate(y, "relu")
    with pytest.raises(ValueError, match=r"value: .*share\(\) what is read"):
        builder.multiply(y, y)


def test_what_has_parts_is_not_changed_in_place() -> None:
    builder = Builder()
    y = builder.scale(builder.input(2), torch.tensor([2.0, 3.0]), torch.zeros(2))
    second = builder.part(y, 1, 1)
    changed = builder.activate(y, "relu")
    both = builder.add(builder.part(changed, 1, 1), second)
    # Channel 1 is -3 before and 0 behind relu: by hand.
    assert built(builder, both).rows(1).push(-ONES(1, 2, 1)).tolist() == [[[-3.0]]]


def test_a_value_is_added_to_itself() -> None:
    builder = Builder()
    y = builder.activate(builder.scale(builder.input(1), ONES(1), ONES(1)), "relu")
    rows = built(builder, builder.add(y, y)).rows(1)
    assert rows.push(torch.tensor([[[2.0, -3.0]]])).tolist() == [[[6.0, 0.0]]]


def test_more_outputs_than_what_is_left_of_the_frame_behind_the_input() -> None:
    builder = Builder()
    x = builder.input(2)
    hidden = builder.share(builder.linear(x, ONES(4, 2)))
    y = builder.linear(builder.add(builder.linear(hidden, ONES(4, 4)), hidden), ONES(40, 4))
    assert built(builder, y).rows(1).push(ONES(1, 2, 1)).flatten().tolist() == [40.0] * 40


def test_with_one_tap_the_dilation_says_nothing() -> None:
    builder = Builder()
    y, past = builder.convolve(builder.input(1), torch.full((1, 1, 1), 3.0), dilation=2**40)
    assert built(builder, y, (past,)).rows(1).push(ONES(1, 1, 2)).tolist() == [[[3.0, 3.0]]]


# ------------------------------------------------------------------------------ sizes


def delay(steps: int) -> StreamProgram:
    """Returns its input of so many steps before."""
    builder = Builder()
    weight = torch.tensor([[[1.0, 0.0]]])
    y, past = builder.convolve(builder.input(1), weight, dilation=steps)
    return built(builder, y, (past,))


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def test_a_long_past_takes_memory_as_it_comes() -> None:
    rows = delay(2**28).rows(1)  # a gigabyte
    before = resident()
    for _ in range(3):
        assert rows.push(ONES(1, 1, 50)).eq(0).all()
        rows.reset()
    rows.copy_rows(torch.tensor([0]), torch.tensor([0]))
    assert resident() - before < 64 << 20


def test_after_the_ring_has_gone_around_a_reset_forgets_all_of_it() -> None:
    rows, x = delay(40).rows(2), torch.arange(1.0, 201).view(2, 1, 100)
    expected = F.pad(x, (40, 0))[..., :100]
    torch.testing.assert_close(rows.push(x), expected)
    rows.copy_rows(torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(rows.push(ONES(2, 1, 40)), x[:1, :, 60:].expand(2, 1, 40))
    rows.reset(torch.tensor([1]))
    assert rows.push(ONES(2, 1, 40))[:, 0].tolist() == [[1.0] * 40, [0.0] * 40]
    rows.set_state((torch.full((2, 1, 40), 7.0),))
    rows.reset()
    assert not rows.push(ONES(2, 1, 40)).any()


@pytest.mark.parametrize("count", [2**40, 2**62, 2**63 - 1, 2**70])
def test_more_rows_than_memory(count: int) -> None:
    with pytest.raises(MemoryError, match=f"count: no memory for the state of {count} rows"):
        delay(3).rows(count)


def test_more_past_than_memory() -> None:
    with pytest.raises(MemoryError, match="count: no memory"):
        delay(2**29).rows(10_000)


# ------------------------------------------------------------------- what Python cannot ask

NULL = None
HERE = 64
"""An address that nothing lies at: a function that reads it ends the process."""


def operation(**changes: Any) -> NativeOperation:
    builder = Builder()
    x = builder.input(2)
    builder.convolve(x, ONES(3, 2, 2), ONES(3))
    made = builder._operations[0]
    native = to_native(made, {x: 0, made.target: 16}, KEPT)
    for name, value in changes.items():
        setattr(native, name, value)
    return native


KEPT: list[Tensor] = []


def interface(**changes: int) -> Interface:
    numbers = {
        "frame_size": 32, "input": 0, "in_channels": 2, "output": 16, "out_channels": 3,
        "condition": -1, "condition_channels": 0, "vocabulary": 0, "ahead": 0,
    }  # fmt: skip
    return Interface(**{**numbers, **changes})


def refusal(of: NativeOperation, places: Interface) -> int:
    kernels = kernels_of_streams()
    assert kernels is not None
    program = ctypes.c_void_p()
    found: int = kernels.tcn_stream_program(of, 1, places, ctypes.byref(program))
    assert bool(program) == (not found)
    kernels.tcn_stream_delete_program(program)
    return found


WILD = st.one_of(
    st.sampled_from([-1, 0, 1, 2, 3, 16, 2**30, 2**31, 2**32, 2**32 + 1, 2**62, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
)
FIELDS = [field[0] for field in NativeOperation._fields_ if field[1] is ctypes.c_int64]
PLACES = [field[0] for field in Interface._fields_]


def test_the_operation_that_the_wild_ones_are_made_of_is_accepted() -> None:
    assert refusal(operation(), interface()) == 0


@settings(max_examples=500)
@given(
    st.dictionaries(st.sampled_from(FIELDS), WILD, max_size=3),
    st.dictionaries(st.sampled_from(PLACES), WILD, max_size=2),
)
def test_wild_operations_are_refused_or_harmless(
    changes: dict[str, int], places: dict[str, int]
) -> None:
    kernels = kernels_of_streams()
    assert kernels is not None
    program, rows = ctypes.c_void_p(), ctypes.c_void_p()
    found = kernels.tcn_stream_program(
        operation(**changes), 1, interface(**places), ctypes.byref(program)
    )
    if found:
        assert found in (MISFIT, NO_MEMORY)
        return
    given_places = interface(**places)
    assert kernels.tcn_stream_rows(program, 1, ctypes.byref(rows)) in (0, NO_MEMORY)
    kernels.tcn_stream_delete_program(program)  # the rows keep it
    inputs, outputs = given_places.in_channels, given_places.out_channels
    if rows and max(inputs, outputs) < 2**16 and not given_places.vocabulary:
        x, y = ONES(inputs), torch.zeros(outputs)
        condition = ONES(max(1, min(given_places.condition_channels, 2**16)))
        assert not kernels.tcn_stream_push(
            rows, x.data_ptr(), condition.data_ptr(), 1, None, 1, 1, y.data_ptr(), 1
        )
    kernels.tcn_stream_delete_rows(rows)


@pytest.mark.parametrize("in_channels", [0, -1, 2**31, 2**62])
def test_channels_are_checked_of_tokens_too(in_channels: int) -> None:
    """A push multiplies with them: 2**62 would overflow there."""
    table = torch.ones(5, 2)
    of = NativeOperation(
        kind=KINDS.index("embed"), source=-1, other=-1, in_channels=5, out_channels=2,
        weight=table.data_ptr(), weights=table.numel(),
    )  # fmt: skip
    tokens = {"vocabulary": 5, "output": 0, "out_channels": 2}
    assert refusal(of, interface(**tokens, in_channels=1)) == 0
    assert refusal(of, interface(**tokens, in_channels=in_channels)) == MISFIT


def arguments() -> dict[str, tuple[Callable[[Any, Any, int], int], int]]:
    """Calls of two rows of a net (1 channel, 3 steps before) and what each is refused for."""
    some = (ctypes.c_int64 * 3)(0, 5, 5)
    twice = (ctypes.c_int64 * 2)(1, 1)
    return {
        "no rows": (lambda k, r, p: k.tcn_stream_reset(NULL, NULL, 1), MISFIT),
        "no input": (lambda k, r, p: k.tcn_stream_push(r, NULL, NULL, 1, NULL, 2, 1, p, 1), MISFIT),
        "no output": (
            lambda k, r, p: k.tcn_stream_push(r, p, NULL, 1, NULL, 2, 1, NULL, 1), MISFIT,
        ),
        "no step": (lambda k, r, p: k.tcn_stream_push(r, p, NULL, 1, NULL, 2, 0, p, 1), MISFIT),
        "time": (lambda k, r, p: k.tcn_stream_push(r, p, NULL, 1, NULL, 2, 2**62, p, 1), MISFIT),
        "count": (lambda k, r, p: k.tcn_stream_push(r, p, NULL, 1, NULL, 3, 1, p, 1), MISFIT),
        "negative": (lambda k, r, p: k.tcn_stream_push(r, p, NULL, 1, NULL, -1, 1, p, 1), MISFIT),
        "row": (lambda k, r, p: k.tcn_stream_push(r, p, NULL, 1, some, 2, 1, p, 1),
                ROW_OUT_OF_RANGE),
        "twice": (lambda k, r, p: k.tcn_stream_reset(r, twice, 2), ROW_TWICE),
        "sample": (lambda k, r, p: k.tcn_stream_sample(r, p, NULL, p, 1, p, 1), MISFIT),
        "values": (
            lambda k, r, p: k.tcn_stream_sample_values(r, p, NULL, p, 1, p, 1, NULL), MISFIT,
        ),
        "operation": (
            lambda k, r, p: k.tcn_stream_exchange(r, 1, NULL, 2, p, 24, 0), MISFIT,
        ),
        "size": (lambda k, r, p: k.tcn_stream_exchange(r, 0, NULL, 2, p, 20, 0), MISFIT),
        "source": (lambda k, r, p: k.tcn_stream_copy(r, some, some, 2), ROW_OUT_OF_RANGE),
        "nowhere": (lambda k, r, p: k.tcn_stream_copy(r, NULL, some, 1), MISFIT),
        "no program": (lambda k, r, p: k.tcn_stream_rows(NULL, 1, ctypes.c_void_p()), MISFIT),
        "no operations": (
            lambda k, r, p: k.tcn_stream_program(NULL, 1, interface(), ctypes.c_void_p()), MISFIT,
        ),
    }  # fmt: skip


@pytest.mark.parametrize("what", arguments())
def test_wrong_arguments_are_refused_by_c(what: str) -> None:
    kernels, rows = kernels_of_streams(), delay(3).rows(2)
    call, expected = arguments()[what]
    assert call(kernels, rows._handle, HERE) == expected
    assert rows.push(ONES(2, 1, 4))[:, 0].tolist() == [[0, 0, 0, 1]] * 2


def test_rows_outlive_their_program_in_c() -> None:
    kernels = kernels_of_streams()
    assert kernels is not None
    program, rows = ctypes.c_void_p(), ctypes.c_void_p()
    kernels.tcn_stream_program(operation(), 1, interface(), ctypes.byref(program))
    kernels.tcn_stream_rows(program, 1, ctypes.byref(rows))
    kernels.tcn_stream_delete_program(program)
    x, y = ONES(2), torch.zeros(3)
    assert not kernels.tcn_stream_push(rows, x.data_ptr(), None, 1, None, 1, 1, y.data_ptr(), 1)
    assert y.tolist() == [3.0] * 3  # two channels under the present tap, and the bias
    kernels.tcn_stream_delete_rows(rows)


# -------------------------------------------------------------------------- lazy views


def negated(x: Tensor) -> Tensor:
    """A view whose sign is yet to be changed: -x."""
    lazy = torch.complex(torch.zeros_like(x), x).conj().imag
    assert lazy.is_neg()
    return lazy


def test_the_sign_of_a_lazy_view_is_not_lost() -> None:
    x = torch.arange(1.0, 7).view(2, 1, 3)
    builder = Builder()
    weight = negated(torch.tensor([[[0.0, 2.0]]]))
    y, past = builder.convolve(builder.input(1), weight, negated(ONES(1)))
    y = builder.add(y, builder.condition(1))
    rows = built(builder, y, (past,)).rows(2)
    expected = -2 * -x - 1 - 5
    torch.testing.assert_close(rows.push(negated(x), None, negated(torch.full((2, 1), 5.0))),
                               expected)  # fmt: skip
    rows.set_state((negated(x[..., :1]),))
    assert rows.get_state()[0].tolist() == [[[-1.0]], [[-4.0]]]


def test_the_sign_of_lazy_noise_is_not_lost() -> None:
    builder = Builder()
    rows = built(builder, builder.embed(torch.zeros(3, 3))).rows(1)
    noise = negated(torch.tensor([[[1.0, 0.5, 3.0]], [[2.0, 7.0, 0.5]]]))
    assert rows.sample(torch.tensor([0]), noise).tolist() == [[1, 2]]


# ----------------------------------------------------------------------------- threads


def test_rows_in_use_say_so() -> None:
    rows = delay(3).rows(1)
    error = rows._refused(IN_USE, None)
    assert isinstance(error, RuntimeError)
    assert "in use by another thread" in str(error)


def test_finite_pushes_take_only_what_is_finite_and_like_before() -> None:
    rows = delay(1).rows(1)
    x = torch.tensor([[[2.0]]])
    assert rows.push_finite(x) is None
    rows.push(x)
    for wrong in (math.nan, math.inf, -math.inf):
        assert rows.push_finite(torch.full((1, 1, 1), wrong)) is None
    assert rows.push_finite(x.double()) is None
    assert rows.push_finite(torch.ones(1, 1, 2)) is None
    assert rows.push_finite(negated(x)) is None
    y = rows.push_finite(torch.full((1, 1, 1), 3.4e38))
    assert y is not None
    assert y.tolist() == [[[2.0]]]
