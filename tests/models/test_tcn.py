"""The TCN: sizes of the paper's nets, what it refuses, nets for a length."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tcn.layers import Chain, Dropout
from tcn.models import TCN, SequenceModel


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# Bai et al. 2018, table 2: kernel size, levels and width by task. The receptive field is
# 1 + 2 (k - 1)(2^n - 1). Parameters by hand: a weight-normalized convolution of a to b channels has
# a * b * k weights, b sizes and b biases, a shortcut a * b + b, the head c * o + o; "70K", "66K",
# "13K" and "14.7M" in the paper.
PAPER = {
    "adding 200": (2, [27] * 7, 6, 1, 58_051, 1271),
    "adding 400": (2, [27] * 7, 7, 1, 67_582, 1525),
    "adding 600": (2, [24] * 8, 8, 1, 70_369, 3571),
    "sequential MNIST": (1, [25] * 8, 7, 10, 66_910, 3061),
    "sequential MNIST, small": (1, [20] * 8, 6, 10, 37_010, 2551),
    "copying 500": (1, [10] * 9, 6, 10, 10_750, 5111),
    "copying 1000": (1, [10] * 8, 8, 10, 12_530, 3571),
    "copying 2000": (1, [10] * 9, 8, 10, 14_170, 7155),
    "JSB chorales": (88, [150] * 2, 3, 88, 269_938, 13),
}


@pytest.mark.parametrize("task", PAPER)
def test_sizes_of_the_paper(task: str) -> None:
    in_channels, channels, kernel_size, out_channels, count, field = PAPER[task]
    net = SequenceModel(TCN(in_channels, channels, kernel_size), out_channels)
    assert parameters(net) == count
    assert net.receptive_field == field == 1 + 2 * (kernel_size - 1) * (2 ** len(channels) - 1)


def test_size_of_the_word_model() -> None:
    with torch.device("meta"):
        net = SequenceModel(TCN(600, [600] * 4, 3), 10_000, embedding=10_000, tie_weights=True)
    assert parameters(net) == 14_659_600
    assert net.receptive_field == 61


def test_hand_computed_output() -> None:
    # One level, one channel, taps (1, 1): 1 1 1 -> 1 2 2 -> 1 3 4, plus the input.
    net = TCN(1, [1], 2, norm="none")
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.fill_(0.0 if "bias" in name else 1.0)
    assert net(torch.ones(1, 1, 3)).flatten().tolist() == [2, 4, 5]


def test_levels_double_their_dilation_or_take_the_given_ones() -> None:
    def dilations(net: TCN) -> list[int]:
        return [c.dilation[0] for n, c in net.named_modules() if n.endswith("layer1.convolution")]

    assert dilations(TCN(1, [2] * 4, 2)) == [1, 2, 4, 8]
    assert dilations(TCN(1, [2] * 3, 2, dilations=[5, 1, 3])) == [5, 1, 3]


def test_a_net_that_looks_both_ways_mirrors() -> None:
    # Odd kernels and "same": reversing filters and input reverses the output.
    net, mirror = TCN(2, [3, 3], 3, causal=False), TCN(2, [3, 3], 3, causal=False)
    state = net.state_dict()
    mirror.load_state_dict({k: v.flip(-1) if "weight_v" in k else v for k, v in state.items()})
    x = torch.randn(2, 2, 20)
    torch.testing.assert_close(mirror(x.flip(-1)), net(x).flip(-1))
    assert not net.causal
    with pytest.raises(TypeError, match=r"TCN has no step\(\): .*padding='same'.*reads future"):
        net.step(x)


def test_causal_by_axis() -> None:
    torch.manual_seed(0)
    net = TCN(1, [4], 3, ndim=2, causal=(False, True), activation="tanh")
    assert net.causal
    assert net.receptive_field == (5, 5)
    x, changed = torch.zeros(1, 1, 5, 6), torch.zeros(1, 1, 5, 6)
    changed[0, 0, 2, 3] = 1
    moved = (net(changed) != net(x)).flatten(0, 1).any(0)
    assert not moved[:, :3].any()  # not the past in time
    assert moved[0, 3:].any()  # but the rows above and below
    assert moved[4, 3:].any()


@pytest.mark.parametrize(("arguments", "match"), [
    ({"channels": []}, r"channels: \[\]; give one width per level"),
    ({"channels": [2, 0]}, r"channels: 0 must be at least 1"),
    ({"in_channels": 0}, r"in_channels: 0 must be at least 1"),
    ({"kernel_size": 0}, r"kernel_size: 0 must be at least 1"),
    ({"dilations": [1]}, r"dilations: \[1\] has 1 values for 2 levels of channels; give one dila"),
    ({"dilations": [1, 0]}, r"dilations: 0 must be at least 1"),
    ({"dropout": 1.0}, r"dropout: 1.0 is not in \[0, 1\)"),
    ({"norm": "batchnorm"}, r"norm: 'batchnorm' is not one of 'none', 'weight'"),
    ({"activation": "swish"}, r"activation: 'swish' is not one of 'relu', 'leaky_relu'"),
    ({"block": "dense"}, r"block: 'dense' is not one of 'residual', 'preactivation', 'separable'"),
    ({"ndim": 2}, r"causal: None for two axes.*causal=\(False, True\) for a spectrogram"),
    ({"ndim": 3}, r"ndim: 3; sequences are 1 \(time\)"),
    ({"causal": (True, False)}, r"causal: \(True, False\) has 2 values for 1 axes"),
])  # fmt: skip
def test_bad_arguments_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TCN(**{"in_channels": 1, "channels": [2, 2], "kernel_size": 2, **arguments})


def test_a_single_width_is_refused() -> None:
    with pytest.raises(TypeError, match=r"channels: 25 is not a sequence; .* such as \[25\] \* 8"):
        TCN(1, 25, 7)


NET = TCN(2, [3, 4], 2)


@pytest.mark.parametrize(("keywords", "error", "match"), [
    ({"lengths": torch.tensor([3, 10])}, ValueError, r"lengths: \[3, 10\] must lie between 0 and th"
                                                     r"e 9 steps of x"),
    ({"lengths": torch.tensor([-1, 9])}, ValueError, r"lengths: \[-1, 9\] must lie between"),
    ({"lengths": torch.tensor([3.0, 9.0])}, TypeError, r"lengths: expected integers, got torch.f"),
    ({"lengths": torch.tensor([True, False])}, TypeError, r"lengths: expected integers, got torch"),
    ({"lengths": torch.tensor([3])}, ValueError, r"lengths: shape \(1,\) for a batch of 2"),
    ({"lengths": torch.tensor([[3], [9]])}, ValueError, r"lengths: shape \(2, 1\) for a batch"),
    ({"mask": torch.ones(2, 8, dtype=torch.bool)}, ValueError, r"mask: shape \(2, 8\) does not fit"
                                                               r" x .*expected .* = \(2, 9\)"),
    ({"mask": torch.ones(2, 1, 9, dtype=torch.bool)}, ValueError, r"mask: shape \(2, 1, 9\) does"),
    ({"mask": torch.ones(2, 9)}, TypeError, r"mask: expected bool, got torch.float32; use mask"),
])  # fmt: skip
def test_bad_lengths_and_masks_are_refused(keywords: dict, error: type, match: str) -> None:
    x = torch.zeros(2, 2, 9)
    with pytest.raises(error, match=match):
        NET(x, **keywords)
    with pytest.raises(error, match=match):
        NET.step(x, **keywords)


def test_states_of_other_nets_batches_and_types_are_refused() -> None:
    x = torch.zeros(2, 2, 5)
    for other, chunk in [
        (TCN(2, [3], 2), x),
        (TCN(2, [3, 4], 3), x),
        (TCN(2, [3, 5], 2, dilations=[1, 3]), x),
        (NET, torch.zeros(3, 2, 5)),
    ]:
        with pytest.raises(ValueError, match=r"state: .*belongs to another net or batch"):
            NET.step(x, other.step(chunk)[1])
    state = TCN(2, [3, 4], 2).double().step(x.double())[1]
    with pytest.raises(ValueError, match=r"state: torch.float64 on cpu .* move the state along"):
        NET.step(x, state)
    with pytest.raises(ValueError, match=r"x: a chunk of length 0 \(shape \(2, 2, 0\)\)"):
        NET.step(x[..., :0])


# ------------------------------------------------------------------ nets for a length


@settings(max_examples=40)
@given(st.integers(1, 3000), st.integers(2, 8), st.sampled_from(["residual", "gated"]))
def test_for_length_covers_it_and_one_level_fewer_would_not(
    length: int, kernel_size: int, block: str
) -> None:
    net = TCN.for_length(length, 1, kernel_size, width=1, block=block)
    convolutions = {"residual": 2, "gated": 1}[block]
    levels = len(net.levels)
    field = [1 + convolutions * (kernel_size - 1) * (2**n - 1) for n in (levels - 1, levels)]
    assert net.receptive_field == field[1]
    assert field[0] < length <= field[1] or levels == 1


@settings(max_examples=15)
@given(st.integers(400, 200_000), st.integers(2, 6), st.sampled_from(["weight", "layer", "group"]))
def test_for_length_takes_the_widest_net_in_the_budget(
    budget: int, kernel_size: int, norm: str
) -> None:
    net = TCN.for_length(50, 3, kernel_size, max_parameters=budget, norm=norm)
    assert parameters(net) <= budget
    wider = TCN.for_length(50, 3, kernel_size, width=net.out_channels + 1, norm=norm)
    assert parameters(wider) > budget


def test_for_length_hands_its_settings_on() -> None:
    dropout = Dropout(0.2, spatial=True)
    net = TCN.for_length(9, 2, 3, width=5, dropout=dropout, norm="rms", block="preactivation")
    expected = TCN(2, [5, 5], 3, dropout=dropout, norm="rms", block="preactivation")
    assert repr(net) == repr(expected)
    assert all(parameter.device.type == "cpu" for parameter in net.parameters())
    assert TCN.for_length(1, 2, 1, width=5).receptive_field == 1


@pytest.mark.parametrize("norm", ["cumulative", "group"])
def test_for_length_counts_the_convolutions_not_the_norm(norm: str) -> None:
    # 1 + 2 (2 - 1)(2^6 - 1) = 127: six levels, though the norm alone looks at everything.
    assert len(TCN.for_length(100, 1, 2, width=2, norm=norm).levels) == 6


@pytest.mark.parametrize(("arguments", "match"), [
    ({}, r"width: None and max_parameters: None; give exactly one of them"),
    ({"width": 2, "max_parameters": 9}, r"width: 2 and max_parameters: 9; give exactly one"),
    ({"width": 2, "kernel_size": 1}, r"kernel_size: 1 sees one step .* not length=100; use at lea"),
    ({"width": 2, "kernel_size": 0}, r"kernel_size: 0 must be at least 1"),
    ({"width": 2, "length": 0}, r"length: 0 must be at least 1"),
    ({"width": 0}, r"channels: 0 must be at least 1"),
    # Six levels of two convolutions with 2 weights, size and bias: 48 parameters at width 1.
    ({"max_parameters": 47}, r"max_parameters: 47 is too few for the 6 levels that cover length=100"
                             r" with kernel_size=2; one channel takes 48"),
])  # fmt: skip
def test_for_length_refuses_what_cannot_be(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TCN.for_length(**{"length": 100, "in_channels": 1, "kernel_size": 2, **arguments})


def test_a_net_is_a_chain_of_levels() -> None:
    assert isinstance(NET, Chain)
    assert len(NET.levels) == 2
    assert TCN(2, [3], 2, norm="group").receptive_field == math.inf
