"""The planar form of a stream, which serves long pushes: against the other form and PyTorch.

A row that has only been pushed single steps is in the other form, which test_stream.py compares
with PyTorch's own functions.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tcn.native import library
from tcn.native.operations import FUNCTIONS, PARAMETERS
from tcn.native.stream import Builder, Slot, StreamProgram, Value

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")

Step = Callable[[Builder, Value], tuple[Value, tuple[Slot, ...]]]


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole(program: StreamProgram, x: Tensor, condition: Tensor | None = None) -> Tensor:
    return program.rows(len(x)).push(x, condition=condition)


def by_steps(program: StreamProgram, x: Tensor, condition: Tensor | None = None) -> Tensor:
    rows = program.rows(len(x))
    parts = []
    for step in range(x.shape[-1]):
        of_step = condition if condition is None else condition[..., step : step + 1].contiguous()
        parts.append(rows.push(x[..., step : step + 1].contiguous(), condition=of_step))
    return torch.cat(parts, dim=-1)


def scaled(weight: Tensor) -> Tensor:
    return weight / weight[0].numel() ** 0.5


# ---------------------------------------------------------------------------- operations


def convolution(outputs: int, kernel_size: int, dilation: int, shift: int, groups: int) -> Step:
    def write(builder: Builder, x: Value) -> tuple[Value, tuple[Slot, ...]]:
        inputs, of_group = x.channels, groups if x.channels % groups == 0 else 1
        channels = outputs * of_group
        weight = scaled(seeded(channels, inputs // of_group, kernel_size))
        bias = seeded(channels, seed=1)
        y, slot = builder.convolve(x, weight, bias, dilation=dilation, shift=shift, groups=of_group)
        return y, (slot,)

    return write


def depthwise(kernel_size: int, dilation: int) -> Step:
    def write(builder: Builder, x: Value) -> tuple[Value, tuple[Slot, ...]]:
        weight = scaled(seeded(x.channels, 1, kernel_size))
        y, slot = builder.convolve(
            x, weight, seeded(x.channels), dilation=dilation, groups=x.channels
        )
        return y, (slot,)

    return write


def residual(function: str, after: str) -> Step:
    """A branch that is activated, added to its input, and activated again."""

    def write(builder: Builder, x: Value) -> tuple[Value, tuple[Slot, ...]]:
        builder.share(x)
        weight = scaled(seeded(x.channels, x.channels, 2))
        y, slot = builder.convolve(x, weight, dilation=3)
        y = builder.add(activated(builder, y, function), x)
        return activated(builder, y, after), (slot,)

    return write


def conditioned(builder: Builder, x: Value) -> tuple[Value, tuple[Slot, ...]]:
    """Two sums that are added up together, of the condition and of the past."""
    mixed = builder.linear(builder.condition(2), seeded(5, 2), seeded(5, seed=1))
    y, slot = builder.convolve(x, scaled(seeded(5, x.channels, 3)), seeded(5), dilation=4)
    return activated(builder, builder.add(y, builder.share(mixed)), "leaky_relu"), (slot,)


def also_read(builder: Builder, x: Value) -> tuple[Value, tuple[Slot, ...]]:
    """The same, but of the first something else is made too."""
    mixed = builder.share(builder.linear(builder.condition(2), seeded(5, 2)))
    y, slot = builder.convolve(x, scaled(seeded(5, x.channels, 3)), dilation=4)
    return builder.multiply(builder.share(builder.add(y, mixed)), mixed), (slot,)


def activated(builder: Builder, x: Value, function: str) -> Value:
    numbers = (0.3, 1.5, 0.7)[: PARAMETERS.get(function, 0)]
    return builder.activate(x, function, *numbers)


def of_item(compute: Callable[[Builder, Value], Value]) -> Step:
    return lambda builder, x: (compute(builder, builder.share(x)), ())


def running(builder: Builder, x: Value) -> tuple[Value, tuple[Slot, ...]]:
    latest = builder.remember(x)
    y, slot = builder.running_mean(x)
    return y, (latest, slot)


def cumulative(builder: Builder, x: Value) -> tuple[Value, tuple[Slot, ...]]:
    y, slot = builder.cumulative_norm(
        builder.share(x), seeded(x.channels), seeded(x.channels, seed=1), 1e-3
    )
    return y, (slot,)


OTHERS: dict[str, Step] = {
    "conditioned": conditioned,
    "also_read": also_read,
    "running": running,
    "cumulative": cumulative,
    "layer_norm": of_item(
        lambda b, x: b.layer_norm(x, seeded(x.channels), seeded(x.channels, seed=1), 1e-3)
    ),
    "rms_norm": of_item(lambda b, x: b.rms_norm(x, seeded(x.channels), 1e-3)),
    "scale": of_item(lambda b, x: b.scale(x, seeded(x.channels), seeded(x.channels, seed=1))),
    "multiply": of_item(lambda b, x: b.multiply(x, x)),
    "add": of_item(lambda b, x: b.activate(b.add(x, x), "relu")),
    "gate": of_item(lambda b, x: b.gate(b.linear(x, scaled(seeded(6, x.channels))))),
    "modulate": of_item(
        lambda b, x: b.modulate(x, b.linear(x, scaled(seeded(2 * x.channels, x.channels))))
    ),
    "part": of_item(lambda b, x: b.part(x, x.channels // 2, x.channels - x.channels // 2)),
}

functions = st.sampled_from([name for name in FUNCTIONS if name != "identity"])
numbers = st.integers(1, 9)
steps_of_nets = st.one_of(
    st.builds(convolution, numbers, st.integers(1, 4), st.integers(1, 30), st.integers(0, 1),
              st.integers(1, 3)),
    st.builds(depthwise, st.integers(1, 4), st.integers(1, 30)),
    st.builds(residual, functions, functions),
    st.sampled_from(list(OTHERS.values())),
)  # fmt: skip


def built(inputs: int, steps: list[Step]) -> StreamProgram:
    builder = Builder()
    x = builder.linear(builder.input(inputs), scaled(seeded(4, inputs)))  # one that can be planar
    states: tuple[Slot, ...] = ()
    for step in steps:
        x, slots = step(builder, x)
        states += slots
    built = builder.build(x, states)
    assert built is not None
    return built


@given(
    inputs=st.integers(1, 3),
    steps=st.lists(steps_of_nets, min_size=1, max_size=4),
    rows=st.integers(1, 3),
    time=st.sampled_from([16, 17, 31, 64, 70, 130]),
)
def test_both_forms_compute_the_same(
    instruction_set: str, inputs: int, steps: list[Step], rows: int, time: int
) -> None:
    program = built(inputs, steps)
    x = seeded(rows, inputs, time, seed=2)
    channels = program.condition_channels
    condition = seeded(rows, channels, time, seed=3) if channels else None
    found = whole(program, x, condition)
    torch.testing.assert_close(found, by_steps(program, x, condition), atol=2e-4, rtol=2e-4)
    if channels and condition is not None:
        same = condition[..., :1].contiguous()
        repeated = same.expand_as(condition).contiguous()
        of_all = program.rows(rows).push(x, condition=same[..., 0])
        assert torch.equal(of_all, whole(program, x, repeated))


def test_tokens_are_embedded(instruction_set: str) -> None:
    builder = Builder()
    x = builder.embed(seeded(7, 3))
    y, slot = builder.convolve(x, seeded(2, 3, 2, seed=1))
    program = builder.build(y, (slot,))
    assert program is not None
    tokens = torch.arange(80).remainder(7).view(2, 40)
    rows = program.rows(2)
    steps = [rows.push(tokens[:, step : step + 1].contiguous()) for step in range(40)]
    found = program.rows(2).push(tokens)
    torch.testing.assert_close(found, torch.cat(steps, -1), atol=1e-5, rtol=1e-5)


@given(
    outputs=st.integers(1, 40),
    inputs=st.integers(1, 9),
    kernel_size=st.integers(1, 6),
    dilation=st.integers(1, 40),
    function=functions,
    cuts=st.lists(st.integers(16, 90), min_size=1, max_size=6),
)
def test_cuts_change_no_bit(
    instruction_set: str,
    outputs: int,
    inputs: int,
    kernel_size: int,
    dilation: int,
    function: str,
    cuts: list[int],
) -> None:
    """Each output is added up in the same order, wherever it lies in a block."""
    weight = scaled(seeded(outputs, inputs, kernel_size))
    builder = Builder()
    y, slot = builder.convolve(builder.input(inputs), weight, seeded(outputs), dilation=dilation)
    program = builder.build(activated(builder, y, function), (slot,))
    assert program is not None
    x = seeded(2, inputs, sum(cuts), seed=2)
    if outputs > 16:  # many channels are planar in pushes of a block or more, one row at a time
        x, cuts = x[:1], [cut + 64 for cut in cuts]
        x = seeded(1, inputs, sum(cuts), seed=2)
    rows = program.rows(len(x))
    parts = torch.cat([rows.push(part.contiguous()) for part in x.split(cuts, dim=-1)], dim=-1)
    assert torch.equal(parts, whole(program, x))


# ---------------------------------------------------------------------------------- rows


class Beside:
    """Rows of two convolutions beside each row's whole past through PyTorch in float64."""

    def __init__(self, rows: int, channels: int, kernel_size: int, dilations: list[int]) -> None:
        self.dilations = dilations
        self.weights = [
            scaled(seeded(channels, channels, kernel_size, seed=i)) for i, _ in enumerate(dilations)
        ]
        builder = Builder()
        y, slots = builder.input(channels), []
        for weight, dilation in zip(self.weights, dilations, strict=True):
            y, slot = builder.convolve(y, weight, torch.ones(channels), dilation=dilation)
            slots.append(slot)
        built = builder.build(y, tuple(slots))
        assert built is not None
        self.native = built.rows(rows)
        self.pasts = [torch.zeros(channels, 0) for _ in range(rows)]
        self.beginning = torch.zeros(channels, 0)
        self.generator = torch.Generator().manual_seed(0)

    def push(self, rows: list[int], time: int) -> None:
        x = torch.randn(len(rows), len(self.beginning), time, generator=self.generator)
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

    def reset(self, row: int, _: int) -> None:
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

    def keep(self, row: int, _: int) -> None:
        self.native.keep_beginning(row)
        self.beginning = self.pasts[row]

    def begin(self, row: int, other: int) -> None:
        if not self.beginning.numel():
            self.keep(other, row)
        self.native.begin(torch.tensor([row]))
        self.pasts[row] = self.beginning


@given(data=st.data())
def test_rows_go_on_whatever_their_form(instruction_set: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    numbers = st.integers(0, count - 1)
    dilations = data.draw(st.lists(st.sampled_from([1, 3, 20, 90]), min_size=1, max_size=2))
    rows = Beside(
        count, data.draw(st.sampled_from([1, 3, 8, 17])), data.draw(st.integers(2, 4)), dilations
    )
    kinds = ["long", "long", "short", "single", "reset", "copy", "carry", "keep", "begin"]
    for _ in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(kinds))
        some = data.draw(st.lists(numbers, min_size=1, max_size=count, unique=True))
        if what == "long":
            rows.push(some, data.draw(st.sampled_from([16, 23, 64, 65, 200])))
        elif what == "short":
            rows.push(some, data.draw(st.sampled_from([2, 8, 15])))
        elif what == "single":
            for _ in range(data.draw(st.integers(1, 12))):
                rows.push(some, 1)
        else:
            getattr(rows, what)(data.draw(numbers), data.draw(numbers))


def test_rings_are_read_all_around(instruction_set: str) -> None:
    rows = Beside(1, 3, 3, [1, 7, 200])
    for time in [1, 63, 64, 16, 500, 7, 1, 1, 64] * 4:
        rows.push([0], time)


def test_a_beginning_may_be_silence_or_sound(instruction_set: str) -> None:
    """Where every channel has been constant, only that level is kept."""
    ones = torch.ones(1, 2, 300)
    for sound in (ones, ones.cumsum(-1) / 300):
        builder = Builder()
        y, slot = builder.convolve(builder.input(2), seeded(2, 2, 3), dilation=70)
        program = builder.build(y, (slot,))
        assert program is not None
        x = seeded(1, 2, 100, seed=1)
        expected = whole(program, torch.cat([sound, x], -1))[..., 300:]
        rows = program.rows(3)
        rows.push(sound, torch.tensor([1]))
        rows.keep_beginning(1)
        rows.push(torch.cat([x, x, x]))
        for _ in range(2):
            rows.begin()
            for found in rows.push(torch.cat([x, x, x])):
                torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-5)
        assert rows.get_state()[0].shape == (3, 2, 140)


def test_what_cannot_begin_is_refused() -> None:
    rows = Beside(2, 1, 2, [1]).native
    with pytest.raises(ValueError, match="call keep_beginning"):
        rows.begin()
    with pytest.raises(ValueError, match="rows lie between 0 and 1"):
        rows.keep_beginning(2)
    rows.keep_beginning(0)
    with pytest.raises(ValueError, match="names a row twice"):
        rows.begin(torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="rows lie between 0 and 1"):
        rows.begin(torch.tensor([2]))
