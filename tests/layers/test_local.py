"""Unshared convolutions against plain loops, and as convolutions where all filters are the same."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tcn.layers import PADDINGS, Chain, Conv1d, Conv2d, LocallyConnected1d, LocallyConnected2d

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LAYERS = {1: LocallyConnected1d, 2: LocallyConnected2d}


@st.composite
def settings_of(draw: st.DrawFn) -> dict:
    """Sizes of a layer of few channels and positions."""
    ndim, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    axes = lambda values: tuple(draw(values) for _ in range(ndim))  # noqa: E731
    drawn = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "groups": groups,
        "kernel_size": axes(st.integers(1, 3)),
        "dilation": axes(st.integers(1, 2)),
        "stride": axes(st.integers(1, 3)),
        "padding": axes(st.sampled_from(PADDINGS)),
    }
    axis = zip(drawn["kernel_size"], drawn["dilation"], drawn["padding"], strict=True)
    fewest = [(k - 1) * d + 1 if padding == "valid" else 1 for k, d, padding in axis]
    drawn["sizes"] = tuple(least + draw(st.integers(0, 3)) for least in fewest)
    return drawn


def connect_by_loops(x, weight, bias, drawn: dict):
    """Every output as a sum over its own taps and channels, in plain Python; differentiable."""
    kernel_size, dilation, stride = (drawn[n] for n in ("kernel_size", "dilation", "stride"))
    spans = [(k - 1) * d for k, d in zip(kernel_size, dilation, strict=True)]
    before = [
        {"causal": span, "strictly_causal": span + 1, "same": span // 2, "valid": 0}[name]
        for span, name in zip(spans, drawn["padding"], strict=True)
    ]
    axes, outputs = range(len(spans)), weight.shape[: len(spans)]
    y = torch.zeros(x.shape[0], drawn["out_channels"], *outputs, dtype=x.dtype)
    of_group = [drawn[n] // drawn["groups"] for n in ("in_channels", "out_channels")]
    for o, *place in itertools.product(range(drawn["out_channels"]), *map(range, outputs)):
        total = bias[(o, *place)].expand(x.shape[0])
        for c, *tap in itertools.product(range(of_group[0]), *map(range, kernel_size)):
            at = [place[i] * stride[i] - before[i] + tap[i] * dilation[i] for i in axes]
            if all(0 <= at[i] < x.shape[2 + i] for i in axes):
                channel = o // of_group[1] * of_group[0] + c
                total = total + weight[(*place, o, c, *tap)] * x[(slice(None), channel, *at)]
        y[(slice(None), o, *place)] = total
    return y


@given(settings_of(), st.integers(0, 99))
def test_values_and_gradients_are_those_of_the_loops(drawn: dict, seed: int) -> None:
    torch.manual_seed(seed)
    layer = LAYERS[len(drawn["sizes"])](**drawn).double()
    x = torch.randn(2, drawn["in_channels"], *drawn["sizes"], dtype=torch.float64)
    x.requires_grad_()
    y, expected = layer(x), connect_by_loops(x, layer.weight, layer.bias, drawn)
    torch.testing.assert_close(y, expected, **EXACT)
    parts, weights = (x, layer.weight, layer.bias), torch.randn_like(y)
    found, wanted = (
        torch.autograd.grad((z * weights).sum(), parts, allow_unused=True) for z in (y, expected)
    )
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs)


@given(settings_of())
def test_with_one_filter_everywhere_it_is_a_convolution(drawn: dict) -> None:
    layer = LAYERS[len(drawn["sizes"])](**drawn).double()
    shared = {name: value for name, value in drawn.items() if name != "sizes"}
    conv = {1: Conv1d, 2: Conv2d}[len(drawn["sizes"])](**shared).double()
    with torch.no_grad():
        layer.weight.copy_(conv.weight.expand_as(layer.weight))
        layer.bias.copy_(conv.bias.view(-1, *[1] * layer.ndim).expand_as(layer.bias))
    x = torch.randn(2, drawn["in_channels"], *drawn["sizes"], dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(x), **EXACT)


def test_hand_computed_value() -> None:
    # Taps 10 and 1 at the first position, 100 and 10 at the second, 1000 and 100 at the third:
    # 0 * 10 + 1 * 1, 1 * 100 + 2 * 10, 2 * 1000 + 3 * 100, and 0, 5 and 7 are added.
    layer = LocallyConnected1d(1, 1, 3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[10.0, 1], [100, 10], [1000, 100]]).view(3, 1, 1, 2))
        layer.bias.copy_(torch.tensor([[0.0, 5, 7]]))
    assert layer(torch.tensor([[[1.0, 2, 3]]])).flatten().tolist() == [1, 125, 2307]


def test_weights_begin_as_those_of_a_convolution() -> None:
    # U(-1, 1) / sqrt(taps): 2 channels of 3 taps; at most 1 / sqrt(6), on average of squares 1/18.
    torch.manual_seed(0)
    layer = LocallyConnected1d(4, 50, 40, 3, groups=2)
    assert layer.weight.shape == (40, 50, 2, 3)
    assert layer.bias.shape == (50, 40)
    for parameter in layer.parameters():
        assert parameter.abs().max() <= 6**-0.5
        assert parameter.square().mean().item() == pytest.approx(1 / 18, rel=0.1)
    assert LocallyConnected2d(1, 1, 3, 2, padding="same", bias=False).bias is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: LocallyConnected1d(2, 3, 12, 3),
        lambda: LocallyConnected1d(2, 3, 12, 3, padding="same", stride=2),
        lambda: LocallyConnected2d(2, 3, (5, 10), (2, 3), padding=("same", "causal")),
    ],
)
def test_padding_is_invisible_and_no_row_sees_another(build) -> None:
    layer = build()
    x = torch.randn(3, 2, *layer.sizes)
    lengths = torch.tensor([layer.sizes[-1], 6, 1])
    y = layer(x, lengths)
    hidden = x.clone()
    for row, length in enumerate(lengths.tolist()):
        hidden[row, ..., length:] = float("nan")
        silent = x[row : row + 1].clone()
        silent[..., length:] = 0
        torch.testing.assert_close(y[row : row + 1], layer(silent))
    assert torch.equal(layer(hidden, lengths), y)


def test_padding_behind_a_bias_is_invisible() -> None:
    # The bias before it makes something of nothing, so that the layer itself has to take it away.
    before, layer = Conv1d(2, 2, 1), LocallyConnected1d(2, 3, 8, 3, padding="same")
    x = torch.randn(1, 2, 8)
    silent = before(x).clone()
    silent[..., 5:] = 0
    torch.testing.assert_close(Chain(before, layer)(x, torch.tensor([5])), layer(silent))


WRONG = [
    (
        lambda: LocallyConnected1d(2, 3, 8, 3)(torch.randn(1, 2, 9)),
        r"x: sizes \(9,\) for LocallyConnected1d.*of \(8,\); pad or cut the input",
    ),
    (lambda: LocallyConnected1d(2, 3, 2, 3, padding="valid"), r"sizes: 2 steps on axis -1 do not"),
    (lambda: LocallyConnected1d(2, 3, 0, 3), r"sizes: 0 must be at least 1"),
    (lambda: LocallyConnected2d(2, 3, 8, 3), r"padding: None for two axes"),
    (lambda: LocallyConnected1d(2, 3, 8, 3, groups=2), r"groups: 2 does not divide out_channels=3"),
    (lambda: LocallyConnected1d(2, 3, 8, 3)(torch.randn(1, 3, 8)), r"x: shape \(1, 3, 8\)"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_is_wrong_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_it_does_not_stream_and_says_why() -> None:
    layer = LocallyConnected1d(2, 3, 8, 3)
    with pytest.raises(TypeError, match="a filter for each of 8 steps, and a stream goes on"):
        layer.step(torch.randn(1, 2, 3))
