"""The measured receptive field: formulas of the literature, holes, and what it refuses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tcn
from tcn.layers import BLOCKS, Conv1d, Conv2d, CumulativeNorm, GatedBlock, SkipSum
from tcn.models import LSTM, TCN


def sides(net: nn.Module, max_length: int | None = None) -> tuple[float, float]:
    field = tcn.receptive_field(net, max_length=max_length)
    return field.left, field.right


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 5))
def test_the_formula_of_the_tcn(kernel_size: int, levels: int) -> None:
    # Two convolutions per level, dilations 1, 2, 4, ...: 1 + 2 (k - 1)(2^n - 1).
    net = TCN(1, [2] * levels, kernel_size)
    field = tcn.receptive_field(net)
    assert field.size == net.receptive_field == 1 + 2 * (kernel_size - 1) * (2**levels - 1)
    assert field.right == 0
    assert field.holes == ()


@pytest.mark.parametrize(("kernel_size", "levels", "expected"), [
    (3, 4, 61),  # Penn Treebank, words
    (8, 8, 3571),  # adding problem, 600 steps
    pytest.param(8, 9, 7155, marks=pytest.mark.slow),  # copying memory, 2,000 steps
])  # fmt: skip
def test_nets_of_the_paper(kernel_size: int, levels: int, expected: int) -> None:
    # Bai et al. 2018, table 2; one channel, as width does not matter.
    assert tcn.receptive_field(TCN(1, [1] * levels, kernel_size)).size == expected


def test_dilations_that_grow_too_fast_leave_holes() -> None:
    # Dilations 4 and 8 with two taps, two convolutions each, and shortcuts: only multiples of 4.
    field = tcn.receptive_field(TCN(1, [2, 2], 2, dilations=[4, 8]))
    assert field.offsets == tuple(range(-24, 1, 4))
    assert field.size == 25
    assert field.holes == tuple(i for i in range(-24, 1) if i % 4)
    assert str(field) == "25 steps: 24 left, 0 right, 18 holes"
    assert str(tcn.receptive_field(TCN(1, [2], 2))) == "3 steps: 2 left, 0 right, no holes"


@pytest.mark.parametrize("dilation", [20, 100, 1000])
def test_a_hole_is_not_taken_for_the_end(dilation: int) -> None:
    # Nothing but the present and the first level's steps is seen for a long way back.
    net = TCN(1, [1, 1], 2, dilations=[1, dilation])
    field = tcn.receptive_field(net)
    assert field.size == net.receptive_field == 1 + 2 + 2 * dilation
    conv = nn.Conv1d(1, 1, 2, dilation=dilation)
    theirs = nn.Sequential(nn.ConstantPad1d((dilation, 0), 0.0), conv)
    assert tcn.receptive_field(theirs, in_channels=1).offsets == (-dilation, 0)


def test_single_convolutions() -> None:
    assert sides(Conv1d(2, 3, 1)) == (0, 0)
    assert sides(Conv1d(2, 3, 3, dilation=5)) == (10, 0)
    # Strictly causal: from one step back on, the present excluded.
    field = tcn.receptive_field(Conv1d(2, 3, 3, padding="strictly_causal"))
    assert (field.left, field.right, field.size, field.offsets) == (3, -1, 3, (-3, -2, -1))
    assert sides(Conv1d(2, 3, 5, padding="same")) == (2, 2)
    # An even kernel has one tap more on the right.
    assert sides(Conv1d(2, 3, 4, padding="same")) == (1, 2)
    assert sides(TCN(1, [1], 3, causal=False)) == (2, 2)


def test_two_dimensions_have_a_field_per_axis() -> None:
    conv = Conv2d(1, 1, (2, 5), padding=("strictly_causal", "same"))
    height, time = tcn.receptive_field(conv)
    assert (height.left, height.right) == (2, -1)
    assert (time.left, time.right) == (2, 2)
    assert [f.size for f in tcn.receptive_field(TCN(1, [1, 1], 2, ndim=2, causal=True))] == [7, 7]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_wide_nets_do_not_saturate(block: str, activation: str) -> None:
    net = TCN(4, [128] * 3, 8, block=block, activation=activation)
    assert tcn.receptive_field(net).size == net.receptive_field


def test_skip_outputs_count() -> None:
    blocks = [GatedBlock(2, 2, 2, dilation=d, skip_channels=3) for d in (1, 2, 4)]
    field = tcn.receptive_field(SkipSum(blocks), in_channels=2)
    assert (field.size, field.holes) == (8, ())


def test_unbounded_fields() -> None:
    assert sides(LSTM(2, 3), 64) == (math.inf, 0)
    assert sides(CumulativeNormNet(), 64) == (math.inf, 0)
    field = tcn.receptive_field(TCN(1, [2], 2, norm="group"), max_length=64)
    assert (field.left, field.right, field.size) == (math.inf, math.inf, math.inf)


class CumulativeNormNet(CumulativeNorm):
    def __init__(self) -> None:
        super().__init__(3)
        self.in_channels = 3


def test_nets_of_others_are_measured_too() -> None:
    net = nn.Sequential(nn.Conv1d(3, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv1d(4, 1, 1))
    field = tcn.receptive_field(net, in_channels=3)
    assert (field.left, field.right, field.offsets) == (2, 2, (-2, 0, 2))


def test_the_net_is_left_as_it_was() -> None:
    net = TCN(1, [2], 2, norm="batch").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    tcn.receptive_field(net)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in_channels: not given and the net has none; pass it"):
        tcn.receptive_field(nn.Sequential(nn.Conv1d(1, 1, 1)))
    with pytest.raises(
        ValueError, match=r"net: output shape \(2, 1, 31\) for an input of \(2, 1, 3"
    ):
        tcn.receptive_field(Conv1d(1, 1, 2, padding="valid"))
