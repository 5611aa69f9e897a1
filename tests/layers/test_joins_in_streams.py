"""Joins of branches that run ahead of each other: masks, readouts, autocast, forged states."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import export
from tcn.layers import (
    Add,
    AveragePool1d,
    Chain,
    Concat,
    Conv1d,
    ConvTranspose1d,
    CumulativeNorm,
    Last,
    LocallyConnected1d,
    Max,
    MaxPool1d,
    MaxPool2d,
    Mean,
    ResidualBlock,
    Upsample,
)
from tcn.models import GRU, SequenceModel

TIME = 12


def up_and_down(stride: int, channels: int = 2) -> Chain:
    return Chain(Conv1d(2, channels, stride, stride=stride), Upsample(stride))


def numbers(state: object) -> int:
    if isinstance(state, Tensor):
        return state.numel()
    return sum(map(numbers, state)) if isinstance(state, tuple) else 0


@given(st.lists(st.integers(1, TIME - 1), max_size=5), st.integers(0, 999))
def test_a_mask_may_come_with_some_chunks_alone(cuts: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    net = SequenceModel(Chain(Add(up_and_down(2), up_and_down(3)), Conv1d(2, 2, 3)), 2).eval()
    x, mask = torch.randn(2, 2, TIME), torch.rand(2, TIME) > 0.3
    ends = sorted({0, TIME, *cuts})
    state, outputs = None, []
    for start, end in itertools.pairwise(ends):
        part = mask[:, start:end]
        if seed % 2 and end % 2:  # whatever stood there, this chunk has no padding
            part[:] = True
        given_mask = None if part.all() else part
        y, state = net.step(x[..., start:end], state, mask=given_mask)
        outputs.append(y)
    expected = net(x, mask=mask)
    found = torch.cat(outputs, -1)
    assert torch.allclose(
        found.masked_fill(~mask[:, None], 0), expected.masked_fill(~mask[:, None], 0), atol=1e-6
    )


READ_OUT = {
    "channels that differ": lambda: Concat(
        Chain(MaxPool1d(2), Upsample(2), Mean()), Chain(Conv1d(2, 3, 1), Mean())
    ),
    "rates that differ": lambda: Concat(
        Chain(Conv1d(2, 2, 2, stride=2), Mean()), Chain(Conv1d(2, 3, 3, stride=3), Max())
    ),
    "added": lambda: Add(Chain(up_and_down(2), Last()), Chain(up_and_down(3), Mean())),
    "in a chain": lambda: Chain(Concat(Chain(up_and_down(2), Mean()), Last())),
}


@pytest.mark.parametrize("name", READ_OUT)
@pytest.mark.parametrize("masked", [False, True])
def test_readouts_are_joined_without_waiting(name: str, masked: bool) -> None:
    net = READ_OUT[name]().eval()
    assert net.multiple_of == 1
    x = torch.randn(3, 2, 60)
    lengths = torch.tensor([60, 31, 8]) if masked else None
    mask = None if lengths is None else torch.arange(60) < lengths[:, None]
    state, sizes = None, []
    for start in range(60):
        now = None if mask is None else mask[:, start : start + 1]
        y, state = net.step(x[..., start : start + 1], state, mask=now)
        sizes.append(numbers(state))
    assert torch.allclose(y, net(x, lengths=lengths), atol=1e-6)
    assert max(sizes[6:]) <= max(sizes[:6])  # nothing is piled up


UNDER_AUTOCAST = {
    "U-Net": lambda: Chain(
        Conv1d(2, 4, 3),
        Concat(
            nn.Identity(),
            Chain(MaxPool1d(2), ResidualBlock(4, 4, 3), ConvTranspose1d(4, 4, 2, stride=2)),
        ),
        ResidualBlock(8, 4, 3),
    ),
    "pool behind a block": lambda: Chain(ResidualBlock(2, 4, 3, stride=2), AveragePool1d(3)),
    "norm": lambda: Chain(Conv1d(2, 2, 3, stride=2), CumulativeNorm(2), Upsample(2)),
    "two joins": lambda: Chain(Add(up_and_down(2), up_and_down(3)), Conv1d(2, 2, 3)),
}


@pytest.mark.parametrize("name", UNDER_AUTOCAST)
def test_single_steps_under_autocast(name: str) -> None:
    net, x = UNDER_AUTOCAST[name]().eval(), torch.randn(2, 2, TIME)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected, state, outputs = net(x), None, []
        for start in range(TIME):
            y, state = net.step(x[..., start : start + 1], state)
            outputs.append(y)
    found = torch.cat(outputs, -1)
    assert found.shape == expected.shape
    assert torch.allclose(found.float(), expected.float(), atol=0.05)  # bfloat16: 8 bits


@pytest.mark.slow
def test_a_recurrence_behind_branches_that_wait_is_exported(tmp_path: Path) -> None:
    """export() runs the file on chunks of several sizes, and compares."""
    net = Chain(Add(nn.Identity(), Chain(MaxPool1d(2), Upsample(2))), GRU(2, 2)).eval()
    assert export(net, tmp_path / "net.onnx", streaming=True).is_file()


def test_an_image_of_another_size_is_told_of_the_multiple() -> None:
    net = Add(nn.Identity(), Chain(MaxPool2d((1, 2), padding="same"), Upsample((1, 2), ndim=2)))
    with pytest.raises(ValueError, match="hand in a multiple of 1 x 2 steps"):
        net(torch.randn(1, 1, 4, 7))


def test_a_bias_of_one_number_is_not_spread_over_the_channels() -> None:
    x = torch.randn(1, 2, TIME)
    for layer in (ConvTranspose1d(2, 3, 3), LocallyConnected1d(2, 3, TIME, 3)):
        layer.bias = nn.Parameter(torch.zeros(1))
        with pytest.raises(ValueError, match=r"bias: shape \(1,\) in .*1d; expected \(3,"):
            layer(x)


def test_a_net_whose_channels_nobody_says() -> None:
    with pytest.raises(ValueError, match=r"backbone: Chain has no in_channels.*set backbone\.in_"):
        SequenceModel(Chain(MaxPool1d(2)), 2)


def test_branches_of_other_rates_do_not_stream() -> None:
    net = Add(nn.Identity(), Conv1d(2, 2, 2, stride=2))
    assert not net.streams
    assert Add(Chain(nn.Identity(), Mean()), Chain(Conv1d(2, 2, 2, stride=2), Mean())).streams


def test_a_state_of_what_waits_that_is_no_such_state() -> None:
    net = Chain(Add(up_and_down(2), up_and_down(3))).eval()
    x = torch.randn(1, 2, 4)
    _, ((states, waiting),) = net.step(x)
    wrong = tuple(tuple(t.double() for t in queue) for queue in waiting)
    with pytest.raises(ValueError, match=r"torch\.float32 of what waits"):
        net.step(x, ((states, wrong),))
    wrong = tuple(tuple(t[0] for t in queue) for queue in waiting)
    with pytest.raises(ValueError, match="a tensor of 3 axes"):
        net.step(x, ((states, wrong),))
