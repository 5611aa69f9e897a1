"""Blocks against plain loops and formulas; containers by the same rules as their children."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.layers import (
    Add,
    Chain,
    ChannelNorm,
    Conv1d,
    Conv2d,
    Gate,
    GatedBlock,
    PreactivationBlock,
    ResidualBlock,
    SeparableBlock,
    SkipSum,
)
from tcn.models import TCN
from tcn.testing import check_sequence_module

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


@st.composite
def block_settings(draw: st.DrawFn) -> dict:
    return {
        "in_channels": draw(st.integers(1, 3)),
        "out_channels": draw(st.integers(1, 3)),
        "kernel_size": draw(st.integers(1, 3)),
        "dilation": draw(st.integers(1, 3)),
        "ndim": draw(st.integers(1, 2)),
        "norm": draw(st.sampled_from(["none", "weight"])),
    }


def build(kind: type, drawn: dict) -> nn.Module:
    rest = {k: v for k, v in drawn.items() if not k.endswith("channels")}
    block = kind(drawn["in_channels"], drawn["out_channels"], padding="causal", **rest).double()
    with torch.no_grad():  # a shortcut of N(0, 0.01) would hide a mistake
        for parameter in block.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return block


def input_of(drawn: dict, time: int) -> Tensor:
    height = [3] * (drawn["ndim"] - 1)
    return torch.randn(2, drawn["in_channels"], *height, time, dtype=torch.float64)


@given(block_settings(), st.integers(1, 7), st.integers(0, 99))
def test_residual_block_equals_the_loops(loops, drawn: dict, time: int, seed: int) -> None:
    torch.manual_seed(seed)
    block, x, ndim = build(ResidualBlock, drawn), input_of(drawn, time), drawn["ndim"]
    shape = {"padding": ["causal"] * ndim, "stride": [1] * ndim}
    hidden = numbers(x)
    for name in ("layer1", "layer2"):
        conv = block.get_submodule(f"sum.body.{name}.convolution")
        weight, bias = numbers(conv.weight), numbers(conv.bias)
        dilation = [drawn["dilation"]] * ndim
        hidden = np.maximum(loops(hidden, weight, bias, dilation=dilation, **shape), 0)
    shortcut = numbers(x)
    if drawn["in_channels"] != drawn["out_channels"]:
        conv = block.get_submodule("sum.shortcut")
        weight, bias = numbers(conv.weight), numbers(conv.bias)
        shortcut = loops(shortcut, weight, bias, dilation=[1] * ndim, **shape)
    np.testing.assert_allclose(numbers(block(x)), np.maximum(hidden + shortcut, 0), **EXACT)


def test_residual_block_hand_computed_value() -> None:
    # Taps (1, 1), dilation 2: 1 2 3 -> 1 2 4 -> 1 2 5; plus the input and activated: 2 4 8.
    block = ResidualBlock(1, 1, 2, dilation=2, norm="none")
    for name in ("layer1", "layer2"):
        conv = block.get_submodule(f"sum.body.{name}.convolution")
        conv.set_weight(torch.ones(1, 1, 2))
        nn.init.zeros_(conv.bias)
    assert block(torch.tensor([[[1.0, 2.0, 3.0]]])).flatten().tolist() == [2, 4, 8]
    # What is negative after the sum is cut too: the shortcut carries -1, the body ends in relu.
    assert block(torch.tensor([[[-1.0]]])).item() == 0


@given(block_settings(), st.integers(1, 7), st.integers(0, 99))
def test_preactivation_block_is_its_formula(drawn: dict, time: int, seed: int) -> None:
    torch.manual_seed(seed)
    block, x = build(PreactivationBlock, {**drawn, "norm": ChannelNorm}), input_of(drawn, time)
    hidden = x
    for name in ("layer1", "layer2"):
        layer = block.get_submodule(f"sum.body.{name}")
        hidden = layer.convolution(torch.relu(layer.norm(hidden)))
    torch.testing.assert_close(block(x), hidden + block.get_submodule("sum.shortcut")(x), **EXACT)


def test_separable_convolutions_equal_one_dense_one() -> None:
    # Depthwise d and pointwise p make the dense kernel p[o, c] * d[c, tap].
    layer = SeparableBlock(3, 5, 2, norm="none").double().get_submodule("sum.body.layer1")
    depthwise, pointwise = layer.convolution.depthwise, layer.convolution.pointwise
    dense = Conv1d(3, 5, 2).double()
    dense.set_weight(pointwise.weight * depthwise.weight.squeeze(1))
    with torch.no_grad():
        dense.bias.copy_(pointwise.bias + pointwise.weight.squeeze(2) @ depthwise.bias)
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    torch.testing.assert_close(layer.convolution(x), dense(x), **EXACT)


@given(block_settings(), st.integers(1, 7), st.integers(0, 99))
def test_gated_block_is_its_formula(drawn: dict, time: int, seed: int) -> None:
    torch.manual_seed(seed)
    block, x, width = build(GatedBlock, drawn), input_of(drawn, time), drawn["out_channels"]
    z = block.body.convolution(x)
    hidden = torch.tanh(z[:, :width]) * torch.sigmoid(z[:, width:])
    torch.testing.assert_close(block(x), block.residual(hidden) + block.shortcut(x), **EXACT)


def test_gate_hand_computed_value() -> None:
    # tanh(ln 2) = 3/5 and sigmoid(ln 3) = 3/4.
    x = torch.log(torch.tensor([2.0, 3.0])).view(1, 2, 1)
    assert Gate()(x).item() == pytest.approx(0.45)
    assert Gate("none")(x).item() == pytest.approx(0.75 * np.log(2))
    with pytest.raises(ValueError, match=r"x: 3 channels cannot be halved into signal and gate"):
        Gate()(torch.zeros(1, 3, 1))


def test_a_gate_of_images_does_not_depend_on_how_they_lie_in_memory() -> None:
    """With the channels of a pixel side by side it gates copies: the same values and gradients."""
    whole = torch.randn(2, 6, 4, 5, requires_grad=True)
    aside = whole.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for x in (whole, aside):
        Gate()(x).square().sum().backward()
    torch.testing.assert_close(Gate()(aside), Gate()(whole))
    torch.testing.assert_close(aside.grad, whole.grad)


def wavenet(skip_channels: int = 3) -> SkipSum:
    blocks = [GatedBlock(2, 2, 2, dilation=d, skip_channels=skip_channels) for d in (1, 2, 4)]
    return SkipSum(blocks).double()


def test_skip_sum_adds_the_skip_outputs() -> None:
    net, x = wavenet(), torch.randn(2, 2, 9, dtype=torch.float64)
    hidden, total = x, torch.zeros(2, 3, 9, dtype=torch.float64)
    for block in net.blocks:
        total = total + block.skip(block.body(hidden))
        hidden = block(hidden)  # the block alone returns its residual output
    torch.testing.assert_close(net(x), total, **EXACT)
    assert net.receptive_field == 1 + 1 + 2 + 4


def test_skip_sum_wants_blocks_with_skip_outputs() -> None:
    with pytest.raises(ValueError, match=r"blocks: SkipSum needs at least one block, each with sk"):
        SkipSum([GatedBlock(1, 1, 2)])
    with pytest.raises(ValueError, match=r"blocks: SkipSum needs at least one block"):
        SkipSum([])


def test_chain_and_add_do_what_they_say() -> None:
    first, second, x = Conv1d(2, 2, 2), Conv1d(2, 2, 3), torch.randn(1, 2, 6)
    torch.testing.assert_close(Chain(first, nn.Tanh(), second)(x), second(torch.tanh(first(x))))
    torch.testing.assert_close(Add(first, second, nn.Identity())(x), first(x) + second(x) + x)
    chain = Chain(first, last=second)
    assert len(chain) == 2
    assert chain[0] is first
    assert chain[1] is chain.last is second
    assert list(chain) == [first, second]
    assert Chain(first, second).receptive_field == 2 + 3 - 1
    assert Add(first, second).receptive_field == 3


def test_containers_take_their_rank_from_their_children() -> None:
    net = Chain(nn.ReLU(), Conv2d(1, 1, (2, 3), padding=("same", "causal")))
    assert net.ndim == 2
    assert net.receptive_field == (2, 3)


def test_containers_refuse_what_they_cannot_pass_on() -> None:
    for module in (nn.Linear(2, 2), nn.Conv1d(2, 2, 3), nn.LSTM(2, 2), nn.Softmax(-1)):
        with pytest.raises(TypeError, match=rf"0: {type(module).__name__} is neither a tcn.layers"):
            Chain(module)
    with pytest.raises(TypeError, match=r"branch: Linear is neither .*subclass SequenceModule"):
        Add(branch=nn.Linear(2, 2))


def test_containers_refuse_states_that_do_not_fit() -> None:
    chain, x = Chain(Conv1d(2, 2, 2), Conv1d(2, 2, 2)), torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match=r"state: Chain expected 2 states, got 1 states; this sta"):
        chain.step(x, Chain(Conv1d(2, 2, 2)).step(x)[1])
    with pytest.raises(ValueError, match=r"state: Chain expected 2 states, got Tensor"):
        chain.step(x, x)
    # As many states, but of a convolution of another size.
    with pytest.raises(ValueError, match=r"expected 1 remembered steps, got 2 of them"):
        chain.step(x, Chain(Conv1d(2, 2, 3), Conv1d(2, 2, 2)).step(x)[1])


@pytest.mark.parametrize("kind", [ResidualBlock, PreactivationBlock, SeparableBlock, GatedBlock])
def test_bad_arguments_are_refused(kind: type) -> None:
    for arguments, match in [
        ({"kernel_size": 0}, r"kernel_size: 0 must be at least 1"),
        ({"kernel_size": 2, "activation": "swish"}, r"activation: 'swish' is not one of 'relu'"),
        ({"kernel_size": 2, "norm": "instance"}, r"norm: 'instance' is not one of 'none'"),
        ({"kernel_size": 2, "padding": "full"}, r"padding: 'full' in a block"),
        ({"kernel_size": 2, "dropout": 1.0}, r"dropout: 1.0 is not in \[0, 1\)"),
        ({"kernel_size": 2, "ndim": 2}, r"padding: None for two axes.*\"same\" for an image"),
        ({"kernel_size": 2, "ndim": 3}, r"ndim: 3; sequences are 1"),
    ]:
        with pytest.raises(ValueError, match=match):
            kind(2, 2, **arguments)


def test_shortcuts_begin_small_and_convolutions_as_pytorch_does() -> None:
    # N(0, 0.01) on the shortcut; PyTorch draws from U(-1/sqrt(n), 1/sqrt(n)) with n = 30 * 7 taps.
    torch.manual_seed(0)
    block = TCN(30, [60], 7, initialization="pytorch").get_submodule("levels.0.sum")
    assert block.shortcut.weight.std().item() == pytest.approx(0.01, rel=0.1)
    weight = block.body.layer1.convolution.weight
    assert weight.std().item() == pytest.approx((3 * 30 * 7) ** -0.5, rel=0.05)


@pytest.mark.parametrize("padding", ["strictly_causal", "valid"])
@pytest.mark.parametrize("block", [ResidualBlock, GatedBlock, SeparableBlock, PreactivationBlock])
def test_a_block_refuses_padding_that_its_shortcut_would_break(block, padding: str) -> None:
    with pytest.raises(ValueError, match=f"padding: '{padding}' in a block.*use 'causal'"):
        block(2, 2, 3, padding=padding)


def test_a_sum_of_skips_behind_a_stride_streams_step_by_step() -> None:
    # Two of three steps bring no output: the 1x1 layers of the blocks then have nothing to read.
    blocks = [GatedBlock(4, 4, 2, dilation=d, skip_channels=3) for d in (1, 2)]
    net = Chain(first=Conv1d(2, 4, 3, stride=3), blocks=SkipSum(blocks))
    check_sequence_module(net)
