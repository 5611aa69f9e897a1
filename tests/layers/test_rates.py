"""Random nets of strides, pools, up-samplings, joins and readouts: every promise, at every rate."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn import receptive_field
from tcn.inference import StreamSession, export
from tcn.layers import (
    Add,
    Attention,
    AveragePool1d,
    Chain,
    ChannelNorm,
    Concat,
    Context,
    Conv1d,
    ConvTranspose1d,
    CumulativeNorm,
    FiLM,
    Gate,
    GatedBlock,
    Last,
    LocalResponseNorm,
    Max,
    MaxPool1d,
    Mean,
    Multiply,
    ResidualBlock,
    RMSNorm,
    SeparableBlock,
    SequenceModule,
    SqueezeExcite,
    Upsample,
)
from tcn.models import GRU, LSTM, RNN, SequenceModel

WIDTH = 4
READOUTS = {"last": Last, "mean": Mean, "max": Max, "attention": lambda: Attention(WIDTH)}

kernels = st.integers(1, 4)
dilations = st.sampled_from([1, 1, 2, 3])


@st.composite
def same_rate(draw) -> nn.Module:
    """A module of WIDTH channels that keeps the rate."""
    kernel, dilation = draw(kernels), draw(dilations)
    padding = draw(st.sampled_from(["causal", "causal", "strictly_causal"]))
    kinds = {
        "dilated": lambda: Conv1d(WIDTH, WIDTH, kernel, dilation=dilation, padding=padding),
        "depthwise": lambda: Conv1d(WIDTH, WIDTH, kernel, groups=WIDTH, weight_norm=True),
        "residual": lambda: ResidualBlock(WIDTH, WIDTH, kernel, dilation=dilation),
        "separable": lambda: SeparableBlock(WIDTH, WIDTH, kernel, dilation=dilation, norm="rms"),
        "gated block": lambda: GatedBlock(WIDTH, WIDTH, kernel, dilation=dilation),
        "gate": lambda: Chain(Conv1d(WIDTH, 2 * WIDTH, kernel), Gate()),
        "channel norm": lambda: ChannelNorm(WIDTH),
        "rms norm": lambda: RMSNorm(WIDTH),
        "cumulative norm": lambda: CumulativeNorm(WIDTH),
        "response norm": lambda: LocalResponseNorm(3),
        "squeeze-excite": lambda: SqueezeExcite(WIDTH),
        "lstm": lambda: LSTM(WIDTH, WIDTH),
        "gru": lambda: GRU(WIDTH, WIDTH),
        "rnn": lambda: RNN(WIDTH, WIDTH),
        "max pool": lambda: MaxPool1d(kernel, stride=1),
        "mean pool": lambda: AveragePool1d(kernel, stride=1),
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


@st.composite
def down(draw, stride: int) -> nn.Module:
    kernel = draw(kernels)
    kinds = {
        "strided": lambda: Conv1d(WIDTH, WIDTH, kernel, stride=stride),
        "strictly causal": lambda: Conv1d(
            WIDTH, WIDTH, kernel, stride=stride, padding="strictly_causal"
        ),
        "block": lambda: ResidualBlock(WIDTH, WIDTH, kernel, stride=stride),
        "max pool": lambda: MaxPool1d(kernel, stride=stride),
        "mean pool": lambda: AveragePool1d(kernel, stride=stride),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


@st.composite
def up(draw, factor: int) -> nn.Module:
    more = draw(st.integers(0, 3))
    kinds = {
        "transposed": lambda: ConvTranspose1d(WIDTH, WIDTH, factor + more, stride=factor),
        "nearest": lambda: Upsample(factor),
        "linear": lambda: Upsample(factor, mode="linear"),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


@st.composite
def keeping(draw, depth: int) -> nn.Module:
    """Some modules that end at the rate at which they began, joins with branches among them."""
    modules: list[nn.Module] = []
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(["same", "same", "down and up", "join"] if depth else ["same"]))
        if kind == "same":
            modules.append(draw(same_rate()))
        elif kind == "down and up":
            factor = draw(st.integers(2, 3))
            modules += [draw(down(factor)), draw(keeping(depth - 1)), draw(up(factor))]
        else:
            joined: type[nn.Module] = draw(st.sampled_from([Add, Concat, Multiply]))
            branches = [draw(keeping(depth - 1)) for _ in range(2)]
            modules.append(joined(*branches))
            if joined is Concat:
                modules.append(Conv1d(2 * WIDTH, WIDTH, 1))
    return Chain(*modules) if modules else nn.Identity()


@st.composite
def nets(draw) -> SequenceModule:
    modules: list[nn.Module] = [Conv1d(2, WIDTH, draw(kernels))]
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["keep", "keep", "down", "up"]))
        if kind == "keep":
            modules.append(draw(keeping(2)))
        elif kind == "down":
            modules.append(draw(down(draw(st.integers(2, 4)))))
        else:
            modules.append(draw(up(draw(st.integers(2, 3)))))
    readout = draw(st.sampled_from(["every", "every", "every", *READOUTS]))
    if readout != "every":
        modules.append(READOUTS[readout]())
    torch.manual_seed(draw(st.integers(0, 9)))
    return Chain(*modules).double().eval()


@st.composite
def small_strided_nets(draw) -> SequenceModule:
    """A stride and one module more, since an export takes seconds."""
    factor = draw(st.integers(2, 3))
    modules = [draw(down(factor))]
    kind = draw(st.sampled_from(["same", "same", "join", "down", "up"]))
    if kind == "join":
        joined: type[nn.Module] = draw(st.sampled_from([Add, Multiply]))
        modules.append(joined(draw(same_rate()), nn.Identity()))
    else:
        modules.append(draw({"same": same_rate(), "down": down(2), "up": up(factor)}[kind]))
    readout = draw(st.sampled_from(["every", "every", "every", *READOUTS]))
    if readout != "every":
        modules.append(READOUTS[readout]())
    torch.manual_seed(0)
    return Chain(Conv1d(2, WIDTH, 1), *modules).eval()


def streamed(net: SequenceModule, x: Tensor, sizes: list[int]) -> Tensor:
    state, outputs, start = None, [], 0
    for size in sizes:
        y, state = net.step(x[..., start : start + size], state)
        outputs.append(y)
        start += size
    return outputs[-1] if outputs[0].dim() == 2 else torch.cat(outputs, -1)


def cut(length: int, sizes: list[int]) -> list[int]:
    """Chunks of these sizes over and over, the last one shorter."""
    chunks, rest = [], length
    while rest:
        chunks.append(min(sizes[len(chunks) % len(sizes)], rest))
        rest -= chunks[-1]
    return chunks


def check(
    net: SequenceModule, blocks: int, sizes: list[int], valid: int, *, reach: bool = True
) -> None:
    multiple = net.multiple_of
    x = torch.randn(2, 2, max(multiple * blocks, multiple), dtype=torch.float64)
    time = x.shape[-1]
    with torch.no_grad():
        whole = net(x)
        for chunks in ([1] * time, cut(time, sizes)):
            torch.testing.assert_close(streamed(net, x, chunks), whole, rtol=1e-8, atol=1e-8)
        if whole.dim() > 2:
            assert whole.shape[-1] == net.out_steps(time)
        length = min(-(-valid // multiple) * multiple, time)
        noise = x.clone()
        noise[1, :, length:] = math.nan
        padded = net(noise, lengths=torch.tensor([time, length]))[1:]
        alone = net(x[1:, :, :length])
    padded = padded[..., : alone.shape[-1]] if alone.dim() > 2 else padded
    torch.testing.assert_close(padded, alone, rtol=1e-8, atol=1e-8)
    check_blocks(net, x[:1])
    if reach and whole.dim() > 2:
        check_reach(net)


def check_blocks(net: SequenceModule, x: Tensor) -> None:
    """Outputs come out even after a block, and the state has the same sizes then."""
    block, shapes = net.block_size, []
    state = None
    for _ in range(3):
        with torch.no_grad():
            y, state = net.step(x[..., :1].expand(1, 2, block), state)
        assert y.dim() == 2 or y.shape[-1] == block / net.rate
        shapes.append([tensor.shape for tensor in tensors_of(state)])
    assert shapes[0] == shapes[1] == shapes[2]


def tensors_of(state: object) -> list[Tensor]:
    if isinstance(state, tuple):
        return [tensor for part in state for tensor in tensors_of(part)]
    return [state] if isinstance(state, Tensor) else []


def check_reach(net: SequenceModule) -> None:
    """The declared reach is the measured one."""
    declared = net.reach[-1]
    measured = receptive_field(net, max_length=512)
    assert (measured.left, measured.right) == (declared.left, declared.right)


@settings(max_examples=25)
@given(nets(), st.integers(1, 4), st.lists(st.integers(1, 7), min_size=1, max_size=3),
       st.integers(1, 40))  # fmt: skip
def test_random_nets_keep_the_contract_at_every_rate(net, blocks, sizes, valid) -> None:
    check(net, 6 * blocks, sizes, valid)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_a_thousand_random_nets(part: int) -> None:
    seen, began = 0, time.monotonic()

    @settings(max_examples=260)
    @given(nets(), st.integers(1, 4), st.lists(st.integers(1, 9), min_size=1, max_size=4),
           st.integers(1 + part, 40 + part))  # fmt: skip
    def run(net, blocks, sizes, valid) -> None:
        nonlocal seen
        # To measure the reach takes most of the time: of every fourth net.
        check(net, (6 + part) * blocks, sizes, valid, reach=seen % 4 == 0)
        seen += 1

    run()
    print(f"{seen} nets in {time.monotonic() - began:.0f} s")
    assert seen >= 250


class Spy(SequenceModule):
    """Hands on what it is given, and keeps what came along."""

    reads_condition = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Context] = []

    def advance(self, x: Tensor, state: object, context: Context) -> tuple[Tensor, object]:
        self.seen.append(context)
        return x, ()


def test_mask_and_condition_behind_every_rate() -> None:
    # By hand: behind a stride of 3 stand steps 0, 3, 6; repeated twice, 0 0 3 3 6 6.
    behind, repeated = Spy(), Spy()
    net = Chain(Conv1d(2, 4, 3, stride=3), behind, Upsample(2), repeated)
    condition = torch.arange(8.0).view(1, 1, 8)
    net(torch.randn(1, 2, 8), lengths=torch.tensor([4]), condition=condition)
    assert behind.seen[0].condition.tolist() == [[[0.0, 3.0, 6.0]]]
    assert behind.seen[0].mask.tolist() == [[[True, True, False]]]
    assert repeated.seen[0].condition.tolist() == [[[0.0, 0.0, 3.0, 3.0, 6.0, 6.0]]]
    assert repeated.seen[0].mask.tolist() == [[[True, True, True, True, False, False]]]


def test_what_travels_in_a_stream_is_that_of_the_whole() -> None:
    spy = Spy()
    net = Chain(Conv1d(2, 4, 3, stride=3), Upsample(2), spy)
    x, condition = torch.randn(1, 2, 8), torch.arange(8.0).view(1, 1, 8)
    state, start = None, 0
    for size in (1, 1, 3, 2, 1):
        part = slice(start, start + size)
        mask = torch.tensor([[True] * 4 + [False] * 4])[:, part]
        _, state = net.step(x[..., part], state, condition=condition[..., part], mask=mask)
        start += size
    seen = torch.cat([context.condition for context in spy.seen], -1)
    assert seen.tolist() == [[[0.0, 0.0, 3.0, 3.0, 6.0, 6.0]]]
    masks = torch.cat([context.mask for context in spy.seen], -1)
    assert masks.tolist() == [[[True, True, True, True, False, False]]]


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("sizes", [[1], [2, 3], [5, 1]])
def test_conditions_and_padding_in_a_stream_of_uneven_branches(
    sizes: list[int], local: bool
) -> None:
    torch.manual_seed(0)
    deep = Chain(MaxPool1d(2), FiLM(WIDTH, 3), Conv1d(WIDTH, WIDTH, 3), Upsample(2))
    net = Chain(
        Conv1d(2, WIDTH, 3), Concat(nn.Identity(), deep), FiLM(2 * WIDTH, 3), SqueezeExcite(8)
    ).double()
    x = torch.randn(2, 2, 12, dtype=torch.float64)
    condition = torch.randn(2, 3, *([12] if local else []), dtype=torch.float64)
    mask = torch.tensor([[True] * 12, [True] * 7 + [False] * 5])
    whole = net(x, condition=condition, mask=mask)
    state, outputs, start = None, [], 0
    for size in cut(12, sizes):
        part = slice(start, start + size)
        now = condition[..., part] if local else condition
        y, state = net.step(x[..., part], state, condition=now, mask=mask[:, part])
        outputs.append(y)
        start += size
    streamed = torch.cat(outputs, -1)
    for row, length in enumerate((12, 7)):
        torch.testing.assert_close(streamed[row, :, :length], whole[row, :, :length])


def test_branches_of_other_sizes_are_named() -> None:
    strided = Chain(Conv1d(1, 1, 2, stride=2), ConvTranspose1d(1, 1, 2, stride=2))
    with pytest.raises(
        ValueError, match=r"Add: its branches return '0' \(1, 1, 1\), '1' \(1, 1, 2"
    ):
        Add(nn.Identity(), strided)(torch.randn(1, 1, 1))
    with pytest.raises(ValueError, match="hand in a multiple of 2 steps"):
        Add(nn.Identity(), strided)(torch.randn(1, 1, 3))
    with pytest.raises(ValueError, match=r"differ in channels; end one of them with a 1x1"):
        Add(Conv1d(2, 1, 1), Conv1d(2, 4, 1))(torch.randn(1, 2, 5))
    with pytest.raises(ValueError, match="because their rates differ; input steps per output: 'a'"):
        Multiply(a=nn.Identity(), b=Conv1d(1, 1, 2, stride=2))(torch.randn(1, 1, 4))
    with pytest.raises(TypeError, match=r"no step.*: Concat's branches have different rates"):
        Concat(nn.Identity(), Conv1d(1, 1, 2, stride=2)).step(torch.randn(1, 1, 4))
    with pytest.raises(ValueError, match="modules: none; Add joins at least one branch"):
        Add()


TAILS: list[Callable[[int], nn.Module]] = [
    SqueezeExcite,
    CumulativeNorm,
    Attention,
    lambda channels: LSTM(channels, 3),
    lambda channels: GRU(channels, 3),
    lambda channels: ConvTranspose1d(channels, 3, 5, stride=2),
    lambda channels: Last(),
    lambda channels: Mean(),
    lambda channels: Max(),
]


@pytest.mark.parametrize("tail", TAILS)
def test_what_stands_behind_a_stride_is_pushed_one_by_one(tail) -> None:
    net = Chain(Conv1d(1, 8, 4, stride=2), tail(8)).eval()
    x = torch.randn(2, 1, 12)
    whole = net(x)
    torch.testing.assert_close(streamed(net, x, [1] * 12), whole)
    session = StreamSession(net, 2)
    outputs = [session.push(step) for step in x.split(1, -1)]
    last = outputs[-1] if whole.dim() == 2 else torch.cat(outputs, -1)
    torch.testing.assert_close(last, whole)


def test_channels_of_containers_are_worked_out() -> None:
    net = SequenceModel(Chain(nn.ReLU(), Concat(Conv1d(3, 2, 1), Conv1d(3, 4, 1)), Gate()), 2)
    assert (net.in_channels, net.backbone.out_channels) == (3, 3)
    assert net(torch.randn(1, 3, 5)).shape == (1, 2, 5)


def test_a_subclass_may_say_its_channels_itself() -> None:
    class Net(Chain):
        @property
        def in_channels(self) -> int:
            return 7

    assert Net(Conv1d(3, 2, 1)).in_channels == 7


def test_a_part_may_not_hide_an_attribute() -> None:
    with pytest.raises(ValueError, match=r"rate: the name of a part, but Chain has an attribute"):
        Chain(rate=nn.ReLU())


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_forty_random_strided_nets_are_exported(part: int, tmp_path: Path) -> None:
    """export() runs each file on other sizes than it was traced with, and compares."""
    exported, began = set[str](), time.process_time()

    @seed(part)
    @settings(max_examples=11, phases=[Phase.generate])  # to shrink would take minutes
    @given(small_strided_nets())
    def run(net) -> None:
        for streaming in (False, True):
            export(net, tmp_path / "net.onnx", streaming=streaming)
        exported.add(str(net))

    run()
    print(f"{len(exported)} nets in {time.process_time() - began:.0f} s")
    assert len(exported) >= 10
