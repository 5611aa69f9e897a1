"""Programs of native operations: each against PyTorch's own function, and what rows may do.

Nets of layers are compared in tests/inference/test_compile.py.
"""

import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tcn.layers import FastTanh
from tcn.native import library, stream
from tcn.native.stream import Builder, StreamProgram, Value

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")


def program(channels: int, compute: Callable[[Builder, Value], Value]) -> StreamProgram:
    """A program that remembers nothing."""
    builder = Builder()
    built = builder.build(compute(builder, builder.input(channels)), ())
    assert built is not None
    return built


def convolution(weight: Tensor, bias: Tensor, **numbers: int) -> StreamProgram:
    builder = Builder()
    y, past = builder.convolve(
        builder.input(weight.shape[1] * numbers.get("groups", 1)), weight, bias, **numbers
    )
    built = builder.build(y, (past,))
    assert built is not None
    return built


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------ arithmetic

EXACT: dict[str, tuple[tuple[float, ...], Callable[[Tensor], Tensor]]] = {
    "relu": ((), torch.relu),
    "leaky_relu": ((0.2,), lambda x: F.leaky_relu(x, 0.2)),
    "elu": ((1.0, 0.7, 1.0), lambda x: F.elu(x, 0.7)),
    "gelu": ((), F.gelu),
    "silu": ((), F.silu),
    "mish": ((), F.mish),
    "tanh": ((), torch.tanh),
    "sigmoid": ((), torch.sigmoid),
    "softsign": ((), F.softsign),
    "clamp": ((-1.0, 2.0), lambda x: F.hardtanh(x, -1.0, 2.0)),
    "hard_sigmoid": ((), F.hardsigmoid),
    "hard_swish": ((), F.hardswish),
    "fast_tanh": ((), FastTanh()),
}


@pytest.mark.parametrize("function", EXACT)
def test_activations_to_float32_rounding(instruction_set: str, function: str) -> None:
    parameters, exact = EXACT[function]
    dense = torch.linspace(-20, 20, 40_001)
    x = torch.cat([dense, dense * 1e-3, dense * 10, torch.tensor([0.0, 1e30, -1e30])]).view(
        1, 1, -1
    )
    rows = program(1, lambda builder, value: builder.activate(value, function, *parameters)).rows(1)
    expected = exact(x.double())
    error = (rows.push(x) - expected).abs()
    assert (error <= 4e-7 * (1 + expected.abs())).all()


@pytest.mark.parametrize("function", ["tanh", "elu"])
def test_small_values_keep_their_relative_accuracy(instruction_set: str, function: str) -> None:
    parameters, exact = EXACT[function]
    x = -torch.logspace(-30, -2, 1000).view(1, 1, -1)
    rows = program(1, lambda builder, value: builder.activate(value, function, *parameters)).rows(1)
    expected = exact(x.double())
    assert ((rows.push(x) - expected).abs() <= 4e-7 * expected.abs()).all()


@pytest.mark.parametrize("function", EXACT)
def test_nan_stays_nan(instruction_set: str, function: str) -> None:
    parameters, _ = EXACT[function]
    rows = program(1, lambda builder, value: builder.activate(value, function, *parameters)).rows(1)
    y = rows.push(torch.tensor([[[math.nan, 1.0]]]))
    assert y[0, 0, 0].isnan()
    assert y[0, 0, 1].isfinite()


@given(
    widths=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40)),
    rows=st.integers(1, 19),
    time=st.integers(1, 20),
    function=st.sampled_from(["sigmoid", "relu"]),
)
def test_parts_are_read_like_slices(
    instruction_set: str, widths: tuple[int, int, int], rows: int, time: int, function: str
) -> None:
    """Any two adjacent parts, of a condition and of what is computed; read last, by everything."""
    before, width, behind = widths
    channels = before + 2 * width + behind
    weight, narrow = seeded(channels, 3), seeded(3, channels, seed=1)
    builder = Builder()
    x, condition = builder.input(3), builder.condition(channels)
    made = builder.linear(x, weight)
    both = builder.part(made, before, 2 * width)
    first, second = builder.part(both, 0, width), builder.part(both, width, width)
    told = builder.part(condition, before, width)
    for _ in range(3):  # whose places must not be those of what is still to be read
        x = builder.linear(builder.linear(x, weight), narrow)
    y = builder.add(builder.linear(first, torch.eye(width)), told)
    y = builder.multiply(builder.activate(second, function), y)
    y = builder.modulate(
        builder.add(y, builder.gate(both)), builder.part(condition, before, 2 * width)
    )
    y, past = builder.convolve(builder.add(y, second), torch.ones(width, 1, 2), groups=width)
    built = builder.build(builder.part(y, 0, width), (past,))
    assert built is not None

    values, of_steps = seeded(rows, 3, time, seed=2), seeded(rows, channels, time, seed=3)
    z = torch.einsum("oc,nct->not", weight, values)
    one, two = z[:, before : before + width], z[:, before + width : before + 2 * width]
    scale, shift = (of_steps[:, before + i * width :][:, :width] for i in (0, 1))
    expected = getattr(torch, function)(two) * (one + scale) + one.tanh() * two.sigmoid()
    expected = F.pad(expected * (1 + scale) + shift + two, (1, 0))
    found = built.rows(rows).push(values, condition=of_steps)
    torch.testing.assert_close(found, expected[..., 1:] + expected[..., :-1], atol=1e-4, rtol=1e-4)


def test_an_output_may_be_a_part() -> None:
    builder = Builder()
    x = builder.input(9)
    y = builder.part(builder.part(builder.linear(x, torch.eye(9)), 2, 6), 3, 2)
    for _ in range(3):  # whose places must not be that of the output
        x = builder.linear(x, 2 * torch.eye(9))
    program = builder.build(y, ())
    assert program is not None
    numbers = torch.arange(18.0).view(1, 9, 2)
    assert program.rows(1).push(numbers).tolist() == [[[10.0, 11.0], [12.0, 13.0]]]


@given(
    groups=st.sampled_from([1, 1, 2, 3]),
    inputs=st.integers(1, 35),
    outputs=st.integers(1, 70),
    depthwise=st.booleans(),
    kernel_size=st.integers(1, 8),
    dilation=st.integers(1, 20),
    shift=st.integers(0, 1),
    rows=st.integers(1, 19),
    time=st.integers(1, 40),
)
def test_convolution(
    instruction_set: str,
    groups: int,
    inputs: int,
    outputs: int,
    depthwise: bool,
    kernel_size: int,
    dilation: int,
    shift: int,
    rows: int,
    time: int,
) -> None:
    if depthwise:
        groups, inputs, outputs = inputs, 1, 1
    weight = seeded(outputs * groups, inputs, kernel_size)
    bias = seeded(outputs * groups, seed=1)
    x = seeded(rows, inputs * groups, time, seed=2)
    built = convolution(weight, bias, dilation=dilation, shift=shift, groups=groups)
    padded = F.pad(x.double(), ((kernel_size - 1) * dilation + shift, -shift))
    expected = F.conv1d(padded, weight.double(), bias.double(), dilation=dilation, groups=groups)
    y = built.rows(rows).push(x)
    torch.testing.assert_close(y, expected.float(), atol=2e-5, rtol=1e-5)


def test_convolution_by_hand(instruction_set: str) -> None:
    weight = torch.tensor([[[1.0, 10.0]]])  # one step earlier, and now
    rows = convolution(weight, torch.tensor([0.5])).rows(1)
    assert rows.push(torch.tensor([[[1.0, 2.0]]])).tolist() == [[[10.5, 21.5]]]
    assert rows.push(torch.tensor([[[3.0]]])).tolist() == [[[32.5]]]


@pytest.mark.parametrize("channels", [1, 3, 16, 25, 40])
def test_operations_on_one_step(instruction_set: str, channels: int) -> None:
    x = seeded(2, 2 * channels, 5)
    weight, bias = seeded(2 * channels, seed=1), seeded(2 * channels, seed=2)
    half, other = x.chunk(2, dim=1)
    last = x.transpose(1, 2)
    normal = F.layer_norm(last, (2 * channels,), weight, bias, 1e-5).transpose(1, 2)
    rms = F.rms_norm(last, (2 * channels,), weight, 1e-5).transpose(1, 2)
    scaled = x * weight[:, None] + bias[:, None]
    cases: list[tuple[Callable[[Builder, Value], Value], Tensor]] = [
        (lambda b, v: b.gate(v), torch.tanh(half) * torch.sigmoid(other)),
        (lambda b, v: b.scale(v, weight, bias), scaled),
        (lambda b, v: b.layer_norm(v, weight, bias, 1e-5), normal),
        (lambda b, v: b.rms_norm(v, weight, 1e-5), rms),
        (lambda b, v: b.multiply(v, v), x * x),
        (lambda b, v: b.add(v, v), 2 * x),
        (lambda b, v: b.activate(b.add(v, b.scale(v, weight, bias)), "relu"), (x + scaled).relu()),
        (lambda b, v: b.add(b.activate(b.scale(v, weight, bias), "relu"), v), scaled.relu() + x),
        (lambda b, v: b.modulate(b.gate(v, "identity"), v), _modulated(half, other)),
    ]
    for compute, expected in cases:
        y = program(2 * channels, compute).rows(2).push(x)
        torch.testing.assert_close(y, expected, atol=2e-6, rtol=2e-6)


def _modulated(half: Tensor, other: Tensor) -> Tensor:
    return half * torch.sigmoid(other) * (1 + half) + other


def test_a_shared_value_is_not_changed_by_its_readers() -> None:
    def compute(builder: Builder, x: Value) -> Value:
        y = builder.share(builder.scale(x, torch.tensor([2.0]), torch.tensor([0.0])))
        return builder.add(y, builder.activate(y, "relu"))

    assert program(1, compute).rows(1).push(torch.tensor([[[-1.0, 1.0]]])).tolist() == [
        [[-2.0, 4.0]]
    ]


def test_running_statistics_by_hand(instruction_set: str) -> None:
    builder = Builder()
    x = builder.input(2)
    mean, sums = builder.running_mean(x)
    latest = builder.remember(x)
    built = builder.build(mean, (sums, latest))
    assert built is not None
    rows = built.rows(1)
    chunk = torch.tensor([[[1.0, 3.0], [2.0, -2.0]]])
    assert rows.push(chunk).tolist() == [[[1.0, 2.0], [2.0, 0.0]]]
    sums_now, latest_now = rows.get_state()
    assert sums_now.dtype == torch.float64
    assert sums_now.tolist() == [[[4.0], [0.0], [2.0]]]
    assert latest_now.tolist() == [[3.0, -2.0]]


# ------------------------------------------------------------------------------ rows


@pytest.fixture
def delay() -> StreamProgram:
    """Returns its input of two steps before."""
    return convolution(torch.tensor([[[1.0, 0.0, 0.0]]]), torch.zeros(1))


def test_rows_that_pause_are_left_alone(delay: StreamProgram) -> None:
    rows = delay.rows(3)
    rows.push(torch.tensor([[[1.0]], [[2.0]], [[3.0]]]))
    some = torch.tensor([2, 0])
    assert rows.push(torch.full((2, 1, 2), 9.0), some)[..., -1].tolist() == [[3.0], [1.0]]
    assert rows.push(torch.full((3, 1, 2), 7.0))[..., -1].tolist() == [[9.0], [2.0], [9.0]]


def test_reset_and_copy(delay: StreamProgram) -> None:
    rows = delay.rows(3)
    rows.push(torch.arange(1.0, 7.0).view(3, 1, 2))
    rows.copy_rows(torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert rows.get_state()[0].tolist() == [[[3.0, 4.0]], [[1.0, 2.0]], [[5.0, 6.0]]]
    rows.reset(torch.tensor([2]))
    assert rows.get_state()[0].tolist() == [[[3.0, 4.0]], [[1.0, 2.0]], [[0.0, 0.0]]]
    rows.set_state((torch.tensor([[[8.0, 9.0]]]),), torch.tensor([2]))
    assert rows.get_state()[0].tolist() == [[[3.0, 4.0]], [[1.0, 2.0]], [[8.0, 9.0]]]
    rows.reset()
    assert not rows.get_state()[0].any()


def test_input_may_have_gaps(delay: StreamProgram) -> None:
    rows = delay.rows(2)
    x = torch.arange(12.0).view(2, 1, 6)
    assert rows.push(x[..., ::2])[..., 2].tolist() == [[0.0], [6.0]]


def test_threads_change_no_bit() -> None:
    weight = seeded(40, 30, 5)
    built = convolution(weight, seeded(40, seed=1), dilation=3)
    x = seeded(133, 30, 17, seed=2)
    one = built.rows(133).push(x)
    torch.set_num_threads(3)
    try:
        three = built.rows(133).push(x)
        steps = built.rows(133)
        several = torch.cat([steps.push(chunk) for chunk in x.split(1, dim=-1)], dim=-1)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one, three)
    torch.testing.assert_close(several, one, atol=2e-5, rtol=1e-5)


def test_the_program_lives_as_long_as_its_rows(delay: StreamProgram) -> None:
    rows = convolution(torch.tensor([[[1.0, 0.0]]]), torch.zeros(1)).rows(1)
    assert rows.push(torch.tensor([[[1.0, 2.0]]])).tolist() == [[[0.0, 1.0]]]


# ----------------------------------------------------------- sums of past taps, ahead


class Ahead:
    """Rows that add up past taps ahead, beside each row's whole past through PyTorch in float64."""

    def __init__(
        self, rows: int, kernel_size: int, dilations: list[int], channels: int, half: bool = False
    ) -> None:
        self.dilations = dilations
        self.weights = [
            seeded(channels, channels, kernel_size, seed=i) / (channels * kernel_size) ** 0.5
            for i, _ in enumerate(dilations)
        ]
        if half:
            self.weights = [weight.bfloat16().float() for weight in self.weights]
        builder = Builder()
        y, slots = builder.input(channels), []
        for weight, dilation in zip(self.weights, dilations, strict=True):
            y, slot = builder.convolve(y, weight, torch.ones(channels), dilation=dilation)
            slots.append(slot)
        with mock.patch.object(stream, "CACHED_WEIGHTS", 0):
            built = builder.build(y, tuple(slots))
        assert built is not None
        self.native = built.rows(rows)
        self.pasts = [torch.zeros(channels, 0) for _ in range(rows)]
        self.generator = torch.Generator().manual_seed(0)

    def push(self, rows: list[int], time: int) -> None:
        """Advances rows and compares their outputs with those of their whole pasts."""
        x = torch.randn(len(rows), len(self.pasts[0]), time, generator=self.generator)
        expected = []
        for row, chunk in zip(rows, x, strict=True):
            y = self.pasts[row] = torch.cat([self.pasts[row], chunk], dim=1)
            y = y.double()
            for weight, dilation in zip(self.weights, self.dilations, strict=True):
                padded = F.pad(y, ((weight.shape[2] - 1) * dilation, 0))
                y = F.conv1d(padded, weight.double(), dilation=dilation) + 1
            expected.append(y[:, -time:].float())
        y = self.native.push(x, torch.tensor(rows))
        torch.testing.assert_close(y, torch.stack(expected), atol=1e-5, rtol=1e-5)

    def reset(self, row: int) -> None:
        self.native.reset(torch.tensor([row]))
        self.pasts[row] = self.pasts[row][:, :0]

    def copy(self, source: int, target: int) -> None:
        self.native.copy_rows(torch.tensor([source]), torch.tensor([target]))
        self.pasts[target] = self.pasts[source]

    def carry(self, source: int, target: int) -> None:
        """As `copy`, through the state."""
        state = self.native.get_state(torch.tensor([source]))
        self.native.set_state(state, torch.tensor([target]))
        self.pasts[target] = self.pasts[source]


@given(data=st.data())
def test_sums_ahead_survive_whatever_happens_to_rows(
    instruction_set: str, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 9))
    numbers = st.integers(0, count - 1)
    rows = Ahead(
        count,
        data.draw(st.integers(2, 4)),
        data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=2)),
        data.draw(st.sampled_from([1, 5, 16, 17, 33, 64])),
        data.draw(st.booleans()),
    )
    for _ in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["steps", "steps", "chunk", "reset", "copy", "carry"]))
        if what == "steps":
            some = data.draw(st.lists(numbers, min_size=1, max_size=count, unique=True))
            for _ in range(data.draw(st.integers(1, 12))):
                rows.push(some, 1)
        elif what == "chunk":
            some = data.draw(st.lists(numbers, min_size=1, max_size=count, unique=True))
            rows.push(some, data.draw(st.sampled_from([2, 5, 17])))
        elif what == "reset":
            rows.reset(data.draw(numbers))
        else:
            getattr(rows, what)(data.draw(numbers), data.draw(numbers))


@pytest.mark.parametrize("way", ["copy", "carry"])
def test_sums_ahead_of_another_phase_are_not_taken_for_ones_own(way: str) -> None:
    rows = Ahead(2, 2, [8, 5], 3)
    for row, steps in [(0, 3), (1, 12), (0, 1)]:
        for _ in range(steps):
            rows.push([row], 1)
    getattr(rows, way)(0, 1)
    for _ in range(20):
        rows.push([1], 1)


def test_sums_ahead_around_the_ring(instruction_set: str) -> None:
    rows = Ahead(1, 3, [7, 2, 8, 64], 20)
    for _ in range(400):  # the longest ring has 144 positions
        rows.push([0], 1)


@pytest.mark.parametrize("channels", [32, 48])  # two panels of outputs, which are paired; three
@pytest.mark.parametrize("rows", [1, 3, 11])
def test_weights_of_16_bits_give_the_same_bits(
    instruction_set: str, channels: int, rows: int
) -> None:
    """A filter of 2^-k and one more output, whose weight needs 17 bits: that program keeps 32.

    Sums of such products are exact, so the order in which they are added does not matter.
    """
    weight = 2.0 ** -seeded(channels, 4, 2).abs().mul(3).round() * seeded(channels, 4, 2).sign()
    wider = weight.clone()
    wider[0, 0, 0] = 1 + 2**-8
    with mock.patch.object(stream, "CACHED_WEIGHTS", 0):
        half, full = (convolution(w, torch.zeros(channels), dilation=3) for w in (weight, wider))
    x = seeded(rows, 4, 20, seed=1).mul(8).round()
    y, other = half.rows(rows), full.rows(rows)
    for part in x.split([1, 1, 5, 13], -1):
        assert torch.equal(y.push(part)[:, 1:], other.push(part)[:, 1:])


# -------------------------------------------------------------------------- sampling


def logits_of_tokens(vocabulary: int = 7, channels: int = 5) -> StreamProgram:
    """A small net over tokens whose logits depend on the token two steps before."""
    builder = Builder()
    x = builder.embed(seeded(vocabulary, channels))
    y, past = builder.convolve(x, seeded(vocabulary, channels, 3, seed=1))
    built = builder.build(y, (past,))
    assert built is not None
    return built


def test_sampling_is_pushing_and_choosing(instruction_set: str) -> None:
    tokens, noise = torch.tensor([3, 0]), seeded(50, 2, 7, seed=2)
    one, other = logits_of_tokens().rows(2), logits_of_tokens().rows(2)
    for part in (noise[:20], noise[20:]):
        expected = []
        now = tokens
        for step in part:
            now = (one.push(now[:, None])[..., 0] + step).argmax(1)
            expected.append(now)
        samples = other.sample(tokens, part)
        assert torch.equal(samples, torch.stack(expected, dim=1))
        assert torch.equal(one.get_state()[0], other.get_state()[0])
        tokens = samples[:, -1]
    assert other.sample(tokens, noise[:0]).shape == (2, 0)


def test_sampling_takes_nan_and_equals_as_argmax_does() -> None:
    noise = torch.zeros(3, 1, 7)
    noise[0, 0, 4] = noise[0, 0, 5] = math.nan
    noise[1, 0, 2] = noise[1, 0, 6] = math.inf
    noise[2] = -math.inf
    assert logits_of_tokens().rows(1).sample(torch.tensor([0]), noise).tolist() == [[4, 2, 0]]


def test_sampling_under_a_condition() -> None:
    builder = Builder()
    builder.embed(torch.zeros(3, 1))
    built = builder.build(builder.condition(3), ())
    assert built is not None
    rows, noise = built.rows(2), torch.zeros(4, 2, 3)
    condition = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    tokens = torch.tensor([0, 0])
    assert rows.sample(tokens, noise, condition).tolist() == [[1] * 4, [2] * 4]
    with pytest.raises(ValueError, match=r"condition: .*\(2, 3, 4\).*expected \(2, 3\) float32"):
        rows.sample(tokens, noise, condition[..., None].expand(2, 3, 4))


def levels_of_values(levels: int = 7) -> StreamProgram:
    """A small net over numbers that returns a logit for each of some values."""
    builder = Builder()
    y, past = builder.convolve(builder.input(1), seeded(levels, 1, 3, seed=1))
    built = builder.build(y, (past,))
    assert built is not None
    return built


def test_sampling_values_is_pushing_and_choosing(instruction_set: str) -> None:
    levels, noise = torch.tensor([3, 0]), seeded(20, 2, 7, seed=2).double()
    values = seeded(7, seed=3)
    one, other = levels_of_values().rows(2), levels_of_values().rows(2)
    now, expected = levels, []
    for step in noise:
        now = (one.push(values[now].view(2, 1, 1))[..., 0] + step).argmax(1)
        expected.append(now)
    assert torch.equal(other.sample(levels, noise, None, values), torch.stack(expected, dim=1))
    assert torch.equal(one.get_state()[0], other.get_state()[0])
    assert other.sample(levels, noise[:0], None, values).shape == (2, 0)


@pytest.mark.parametrize(
    ("tokens", "noise", "values", "message"),
    [
        ([0, 7], torch.zeros(3, 2, 7).double(), torch.zeros(7), "tokens from 0 to 7; .* and 6"),
        ([0, -1], torch.zeros(3, 2, 7).double(), torch.zeros(7), "tokens from -1 to 0"),
        ([0, 1], torch.zeros(3, 2, 7), torch.zeros(7), r"noise: torch.float32 .* 7\) float64"),
        ([0, 1], torch.zeros(3, 2, 7).double(), torch.zeros(6), r"values: .*\(6,\); expected \(7,"),
        ([0, 1], torch.zeros(3, 2, 7).double(), torch.zeros(7).double(), "values: torch.float64"),
    ],
)
def test_sampling_values_refuses_what_does_not_fit(
    tokens: list[int], noise: Tensor, values: Tensor, message: str
) -> None:
    rows = levels_of_values().rows(2)
    with pytest.raises(ValueError, match=message):
        rows.sample(torch.tensor(tokens), noise, None, values)
    assert not rows.get_state()[0].any()


def test_values_are_those_of_a_net_of_one_channel(delay: StreamProgram) -> None:
    noise, tokens = torch.zeros(1, 1, 7).double(), torch.tensor([0])
    with pytest.raises(ValueError, match="values: this net takes tokens, not one number"):
        logits_of_tokens().rows(1).sample(tokens, noise, None, torch.zeros(7))
    with pytest.raises(ValueError, match="values: this net takes 2 channels"):
        program(2, lambda _, x: x).rows(1).sample(tokens, noise[..., :2], None, torch.zeros(2))


@pytest.mark.parametrize(
    ("tokens", "noise", "message"),
    [
        (torch.zeros(1, dtype=torch.int64), torch.zeros(3, 2, 7), r"tokens: .*\(1,\).*\(2,\)"),
        (torch.zeros(2), torch.zeros(3, 2, 7), "tokens: torch.float32"),
        (torch.tensor([0, 7]), torch.zeros(3, 2, 7), "tokens from 0 to 7"),
        (torch.tensor([0, 1]), torch.zeros(3, 2, 6), r"noise: .*\(3, 2, 6\).*\(steps, 2, 7\)"),
        (torch.tensor([0, 1]), torch.zeros(3, 2, 7).double(), "noise: torch.float64"),
    ],
)
def test_sampling_refuses_what_does_not_fit(tokens: Tensor, noise: Tensor, message: str) -> None:
    rows = logits_of_tokens().rows(2)
    with pytest.raises(ValueError, match=message):
        rows.sample(tokens, noise)
    assert not rows.get_state()[0].any()


def test_only_logits_of_tokens_are_sampled(delay: StreamProgram) -> None:
    with pytest.raises(ValueError, match="1 channels for a vocabulary of 0"):
        delay.rows(1).sample(torch.tensor([0]), torch.zeros(1, 1, 1))


# ---------------------------------------------------------------------------- errors


WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "channels": (lambda rows: rows.push(torch.zeros(2, 3, 1)), r"x: .*\(2, 3, 1\).*\(2, 1, time\)"),
    "batch": (lambda rows: rows.push(torch.zeros(3, 1, 1)), r"x: .*\(3, 1, 1\)"),
    "empty": (lambda rows: rows.push(torch.zeros(2, 1, 0)), "x: .*at least one step"),
    "type": (lambda rows: rows.push(torch.zeros(2, 1, 1).double()), "x: torch.float64"),
    "condition": (
        lambda rows: rows.push(torch.zeros(2, 1, 1), condition=torch.zeros(2, 1)),
        "condition: .*reads none",
    ),
    "row": (
        lambda rows: rows.push(torch.zeros(1, 1, 1), torch.tensor([2])),
        r"rows: \[2\].*between 0 and 1",
    ),
    "twice": (lambda rows: rows.reset(torch.tensor([1, 1])), r"rows: \[1, 1\] names a row twice"),
    "row type": (lambda rows: rows.reset(torch.tensor([1.0])), "rows: torch.float32"),
    "no rows": (lambda rows: rows.reset(torch.zeros(0, dtype=torch.int64)), "rows: .*at least"),
    "copy": (lambda rows: rows.copy_rows(torch.tensor([0]), torch.tensor([0, 1])), "target: "),
    "copied row": (
        lambda rows: rows.copy_rows(torch.tensor([-1]), torch.tensor([0])),
        r"\[-1, 0\]",
    ),
    "state shape": (lambda rows: rows.set_state((torch.zeros(2, 1, 3),)), r"state: .*\(2, 1, 2\)"),
    "state tree": (lambda rows: rows.set_state(torch.zeros(2)), "state: .*tuple of 1.*Tensor"),
    "state leaf": (lambda rows: rows.set_state(((),)), "state: .*tensor.*tuple of 0"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_calls_are_refused_and_change_nothing(delay: StreamProgram, what: str) -> None:
    call, message = WRONG[what]
    rows = delay.rows(2)
    rows.push(torch.arange(1.0, 5.0).view(2, 1, 2))
    with pytest.raises(ValueError, match=message):
        call(rows)
    assert rows.get_state()[0].tolist() == [[[1.0, 2.0]], [[3.0, 4.0]]]


def test_no_rows_are_refused(delay: StreamProgram) -> None:
    with pytest.raises(ValueError, match="count: 0"):
        delay.rows(0)


def test_tokens_beyond_the_vocabulary_are_refused() -> None:
    builder = Builder()
    built = builder.build(builder.embed(torch.tensor([[1.0], [2.0]])), ())
    assert built is not None
    rows = built.rows(1)
    assert rows.push(torch.tensor([[1, 0]])).tolist() == [[[2.0, 1.0]]]
    for token in (-1, 2):
        with pytest.raises(ValueError, match=f"x: tokens from .*{token}"):
            rows.push(torch.tensor([[token]]))


def test_conditions_of_one_net_have_one_width() -> None:
    builder = Builder()
    builder.condition(3)
    with pytest.raises(ValueError, match="channels: 2 of a condition that has 3"):
        builder.condition(2)
