"""The native program of a net computes what the net does, chunk by chunk and row by row."""

import copy
import logging
import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import compile as compiler
from tcn.inference.compile import compile_stream
from tcn.layers import (
    ACTIVATIONS,
    BLOCKS,
    AddCondition,
    Chain,
    Conv1d,
    Conv2d,
    Dropout,
    FiLM,
    GatedBlock,
    GroupNorm,
    SequenceModule,
    SkipSum,
    SqueezeExcite,
)
from tcn.layers.containers import POINTWISE
from tcn.models import LSTM, TCN, SequenceModel
from tcn.native import library, stream
from tcn.native.rows import StreamRows

native = pytest.mark.skipif(library() is None, reason="the native library is not built")

NORMS = ["none", "weight", "layer", "rms", "cumulative", "batch"]
MODULATIONS: dict[str, Callable[[int], nn.Module] | None] = {
    "none": None,
    "film": lambda channels: FiLM(channels, 3),
    "add": lambda channels: AddCondition(channels, 3),
    "squeeze": lambda channels: SqueezeExcite(channels),
}
WIDTHS = st.sampled_from([1, 2, 3, 5, 16, 17, 25, 33])


def distance(found: Any, expected: Any) -> float:
    """The largest difference of two trees of tensors, relative to the scale of each tensor."""
    if isinstance(expected, tuple):
        pairs = zip(found, expected, strict=True)
        return max((distance(a, b) for a, b in pairs), default=0.0)
    assert found.shape == expected.shape
    if not expected.numel():
        return 0.0
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1.0))


NOT_NATIVE = {"scaled_tanh"}  # activations that PyTorch computes in a stream, too


def form(state: Any) -> Any:
    """A state's tree, each tensor by shape and type."""
    if isinstance(state, tuple):
        return tuple(form(part) for part in state)
    return tuple(state.shape), state.dtype


def randomize(net: nn.Module, seed: int) -> None:
    """Weights and statistics that nothing cancels: no ones, no zeros, small ones made larger."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.rand(tensor.shape, generator=generator)
            if name.endswith("running_var") or "weight_g" in name or tensor.dim() == 1:
                tensor.copy_(0.5 + noise)
            elif "weight_v" in name or tensor.dim() == 3:
                tensor.copy_((noise - 0.5) * 2 / math.sqrt(tensor[0].numel()))


@st.composite
def nets(draw: st.DrawFn) -> SequenceModule:
    """Every kind of block with every norm, activation and modulation, bare or within a model."""
    torch.manual_seed(draw(st.integers(0, 99)))
    block = draw(st.sampled_from([*BLOCKS, "skip"]))
    options = {
        "norm": draw(st.sampled_from(NORMS)),
        "activation": draw(st.sampled_from(sorted(ACTIVATIONS.keys() - NOT_NATIVE))),
        "modulation": MODULATIONS[draw(st.sampled_from(list(MODULATIONS)))],
    }
    inputs, kernel_size = draw(WIDTHS), draw(st.integers(1, 8))
    dilations = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    widths = [draw(WIDTHS) for _ in dilations]
    net: SequenceModule
    if block == "skip":
        net = _wavenet(inputs, widths, kernel_size, dilations, options)
    else:
        net = TCN(inputs, widths, kernel_size, dilations=dilations, block=block, **options)
        if draw(st.booleans()):
            readout = draw(st.sampled_from(["every", "last"]))
            embedding = draw(st.sampled_from([None, 11]))
            net = SequenceModel(net, draw(WIDTHS), readout=readout, embedding=embedding)
    randomize(net, draw(st.integers(0, 99)))
    return net.eval()


def _wavenet(
    inputs: int, widths: list[int], kernel_size: int, dilations: list[int], options: Any
) -> SequenceModule:
    blocks = [
        GatedBlock(before, width, kernel_size, dilation=dilation, skip_channels=5, **options)
        for before, width, dilation in zip([widths[0], *widths], widths, dilations, strict=False)
    ]
    groups = math.gcd(inputs, widths[0])
    return Chain(
        Conv1d(inputs, widths[0], 2, padding="strictly_causal", groups=groups),
        SkipSum(blocks),
        nn.PReLU(),
        Conv1d(5, 3, 1, bias=False),
    )


class Stream:
    """A net's rows natively, and as states of ``net.step`` in float32 and float64, side by side.

    The native results have to be as close to the exact ones as 1e-5, or as a few times PyTorch's
    own: where a norm divides two almost equal channels by their difference, float32 has no more.
    """

    def __init__(self, net: SequenceModule, rows: int, seed: int, *, ahead: bool = False) -> None:
        """With ``ahead``, past taps are added up ahead as for a large net."""
        with mock.patch.object(stream, "CACHED_WEIGHTS", 0 if ahead else stream.CACHED_WEIGHTS):
            program = compile_stream(net)
        assert program is not None
        self.net, self.exact_net = net, copy.deepcopy(net).double()
        self.rows = list(range(rows))
        self.native: StreamRows = program.rows(rows)
        self.states: list[Any] = [None] * rows
        self.exact_states: list[Any] = [None] * rows
        self.program = program
        self.generator = torch.Generator().manual_seed(seed)

    def chunk(self, rows: int, time: int) -> Tensor:
        if self.program.vocabulary:
            size = (rows, time)
            return torch.randint(self.program.vocabulary, size, generator=self.generator)
        return torch.randn(rows, self.program.in_channels, time, generator=self.generator)

    @torch.no_grad()
    def push(self, rows: list[int], time: int, *, local: bool = False) -> None:
        """Advances rows on all sides and compares the outputs."""
        x, condition = self.chunk(len(rows), time), None
        if self.program.condition_channels:
            sizes = (len(rows), 3, time) if local else (len(rows), 3)
            condition = torch.randn(sizes, generator=self.generator)
        expected, exact = [], []
        for i, row in enumerate(rows):
            one = x[i : i + 1]
            given = None if condition is None else condition[i : i + 1]
            y, self.states[row] = self.net.step(one, self.states[row], condition=given)
            expected.append(y)
            if not self.program.vocabulary:
                one = one.double()
            given = None if given is None else given.double()
            y, self.exact_states[row] = self.exact_net.step(
                one, self.exact_states[row], condition=given
            )
            exact.append(y)
        y = self.native.push(x, None if rows == self.rows else torch.tensor(rows), condition)
        if exact[0].dim() == 2:  # readout "last"
            y = y[..., -1]
        self.compare(y, torch.cat(expected), torch.cat(exact))

    @staticmethod
    def compare(found: Any, expected: Any, exact: Any) -> None:
        assert distance(found, exact) <= 1e-5 + 3 * distance(expected, exact)

    def compare_states(self) -> None:
        for row in self.rows:
            if self.states[row] is not None:
                found = self.native.get_state(torch.tensor([row]))
                assert form(found) == form(self.states[row])
                self.compare(found, self.states[row], self.exact_states[row])

    def exchange(self, row: int) -> None:
        """Carries a row's state from each side to the other."""
        if self.states[row] is not None:
            mine = self.native.get_state(torch.tensor([row]))
            self.native.set_state(self.states[row], torch.tensor([row]))
            self.states[row] = mine


def follow(net: SequenceModule, data: st.DataObject) -> None:
    """Any chunks to any rows, states carried back and forth in between, equal PyTorch.

    ``Stream`` asserts it: ``push`` of the outputs, ``compare_states`` of the states.
    """
    count, seed = data.draw(st.integers(1, 11)), data.draw(st.integers(0, 99))
    stream = Stream(net, count, seed, ahead=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(1, 5))):
        rows = stream.rows
        if data.draw(st.booleans()):
            rows = data.draw(st.permutations(rows))[: data.draw(st.integers(1, len(rows)))]
        time = data.draw(st.sampled_from([1, 1, 1, 2, 7, 16, 17, 50]))
        stream.push(rows, time, local=data.draw(st.booleans()))
        stream.exchange(data.draw(st.sampled_from(rows)))
    stream.compare_states()


@native
@settings(max_examples=60)
@given(net=nets(), data=st.data())
def test_random_nets(net: SequenceModule, data: st.DataObject) -> None:
    follow(net, data)


@native
@pytest.mark.slow
@settings(max_examples=600)
@given(net=nets(), data=st.data())
def test_many_random_nets(net: SequenceModule, data: st.DataObject) -> None:
    follow(net, data)


@native
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("instruction_set", [0, 1, 2])
def test_every_instruction_set(block: str, instruction_set: int) -> None:
    kernels = library()
    assert kernels is not None
    torch.manual_seed(0)
    net = SequenceModel(TCN(2, [25, 33, 17], 7, block=block, norm="layer"), 3).eval()
    try:
        if kernels.tcn_set_instruction_set(instruction_set) != instruction_set:
            pytest.skip("this machine has no such instructions")
        stream = Stream(net, 13, 0)
        for time in (1, 20, 3):
            stream.push(stream.rows, time)
            stream.push([4], time)
    finally:
        kernels.tcn_set_instruction_set(2)


@native
@pytest.mark.parametrize("kind", POINTWISE)
def test_pointwise_modules(kind: type[nn.Module]) -> None:
    """Also in the middle of a chain, where the convolution before takes them along."""
    net = Chain(Conv1d(2, 5, 3), kind(), Conv1d(5, 5, 1), kind()).eval()
    if compile_stream(net) is None:
        assert kind is nn.Softplus
        return
    Stream(net, 2, 0).push([0, 1], 30)


@native
def test_a_long_chunk_equals_single_steps() -> None:
    torch.manual_seed(0)
    program = compile_stream(TCN(3, [25] * 8, 7, norm="rms").eval())
    assert program is not None
    x = torch.randn(1, 3, 4000)
    whole, steps = program.rows(1), program.rows(1)
    expected = torch.cat([steps.push(x[..., t : t + 1]) for t in range(4000)], dim=-1)
    assert distance(whole.push(x), expected) < 1e-5


@native
def test_nan_passes_through_and_out_again() -> None:
    """NaN comes out as long as it is within reach, as in PyTorch, and no longer."""
    torch.manual_seed(0)
    net = TCN(1, [4, 4], 2).eval()
    program = compile_stream(net)
    assert program is not None
    rows = program.rows(1)
    x = torch.zeros(1, 1, 20)
    x[..., 2] = math.nan
    assert torch.equal(rows.push(x).isnan(), net(x).isnan())


@native
def test_compiled_weights_are_those_of_the_moment() -> None:
    net = Chain(Conv1d(1, 1, 1)).eval()
    program = compile_stream(net)
    assert program is not None
    x = torch.ones(1, 1, 1)
    before = net(x)
    net[0].weight.data.zero_()
    assert torch.equal(program.rows(1).push(x), before)
    assert not torch.equal(net(x), before)


# -------------------------------------------------------------------------- declined


class Doubled(Chain):
    """A user's layer that is more than the chain it is made of."""

    def advance(self, x: Tensor, state: Any, context: Any) -> tuple[Tensor, Any]:
        y, state = super().advance(x, state, context)
        return 2 * y, state


DECLINED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "2-D": (lambda: Conv2d(1, 1, 2, padding=("same", "causal")), "2 axes"),
    "future": (lambda: TCN(1, [2], 2, causal=False), "does not stream"),
    "group norm": (lambda: GroupNorm(2), "does not stream"),
    "stride": (lambda: Conv1d(1, 1, 2, stride=2), "stride=2"),
    "recurrent": (lambda: LSTM(1, 2), "LSTM has no native form"),
    "readout": (lambda: SequenceModel(TCN(1, [2], 2), 1, readout="mean"), "Mean has no"),
    "type": (lambda: TCN(1, [2], 2).double(), "float64"),
    "own layer": (lambda: Doubled(Conv1d(1, 1, 1)), "Doubled has no native form"),
    "activation": (lambda: Chain(Conv1d(1, 1, 1), nn.Softplus()), "Softplus has no native form"),
    "scaled_tanh": (lambda: TCN(1, [2], 2, activation="scaled_tanh"), "ScaledTanh has no native"),
    "gate": (lambda: GatedBlock(1, 1, 1, activation=nn.Softplus), "gate with Softplus"),
    "no channels": (lambda: Chain(nn.ReLU()), "does not say how many channels"),
}


@native
@pytest.mark.parametrize("what", DECLINED)
def test_declined_with_one_line_in_the_log(what: str, caplog: pytest.LogCaptureFixture) -> None:
    build, reason = DECLINED[what]
    compiler._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="tcn.inference.compile"):
        assert compile_stream(build().eval()) is None  # type: ignore[arg-type]
        assert compile_stream(build().eval()) is None  # type: ignore[arg-type]
    assert len(caplog.messages) == 1
    assert reason in caplog.messages[0]


@native
def test_declined_in_training_mode() -> None:
    net = Chain(Conv1d(1, 1, 1), Dropout(0.5))
    assert compile_stream(net.train()) is None
    assert compile_stream(net.eval()) is not None


def test_declined_without_the_library(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiler, "library", lambda: None)
    compiler._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="tcn.inference.compile"):
        assert compile_stream(TCN(1, [2], 2).eval()) is None
    assert caplog.messages == ["native stream: no native library; PyTorch serves instead"]
