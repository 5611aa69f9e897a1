"""Dense layers as convolutions and convolutions as matrices: the same numbers."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import from_pretrained, save_pretrained
from tcn.layers import (
    AveragePool1d,
    AveragePool2d,
    BatchNorm,
    Chain,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    Dense,
    Dropout,
    Flatten,
    Gate,
    GroupNorm,
    LocallyConnected1d,
    LocallyConnected2d,
    MaxPool1d,
    MaxPool2d,
    PyramidPool,
    ResidualBlock,
    SqueezeExcite,
)
from tcn.models import VGG, LeNet5, conv_to_dense, dense_to_conv, resnet

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def over_time() -> Chain:
    """15 steps to 2 classes: kernels, a stride and a pool without zeros around them."""
    return Chain(
        conv=Conv1d(2, 4, 3, stride=2, padding="valid"), relu=nn.ReLU(),
        pool=MaxPool1d(3, stride=2, padding="valid"),
        flatten=Flatten(4, (3,)), drop=Dropout(0.5), dense=Dense(12, 5), tanh=nn.Tanh(),
        last=Dense(5, 2, bias=False),
    )  # fmt: skip


def picture() -> Chain:
    return Chain(
        conv=Conv2d(3, 4, (3, 2), stride=(1, 2), padding="valid"), relu=nn.ReLU(),
        pool=MaxPool2d(2, padding="valid"), flatten=Flatten(4, (3, 2)), dense=Dense(24, 3),
    )  # fmt: skip


# The net, the size it was built for, and how far apart its windows are.
NETS = {
    "over time": (over_time, (2, 15), (4,)),
    "picture": (picture, (3, 8, 8), (2, 4)),
    "LeNet-5": (LeNet5, (1, 32, 32), (4, 4)),
    "LeNet-5, modern": (partial(LeNet5, form="modern"), (1, 32, 32), (4, 4)),
    "LeNet-5 over time": (partial(LeNet5, ndim=1), (1, 32), (4,)),
}


def windows(net: nn.Module, x: Tensor, sizes: tuple[int, ...], steps: tuple[int, ...]) -> Tensor:
    """What the net says of every window, one by one."""
    for axis, (size, step) in enumerate(zip(sizes, steps, strict=True), 2):
        x = x.unfold(axis, size, step)
    count = len(sizes)
    positions = x.shape[2 : 2 + count]
    x = x.movedim(1, 1 + count).reshape(-1, x.shape[1], *sizes)
    return net(x).view(-1, *positions, net(x).shape[1]).movedim(-1, 1)


@pytest.mark.parametrize("name", NETS)
def test_on_the_size_it_was_built_for(name: str) -> None:
    build, shape, _ = NETS[name]
    net, x = build().double().eval(), torch.randn(2, *shape, dtype=torch.float64)
    torch.testing.assert_close(dense_to_conv(net)(x).flatten(1), net(x), **EXACT)


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=12)
@given(data=st.data())
def test_on_larger_inputs_it_is_the_net_on_every_window(name: str, data) -> None:
    build, shape, steps = NETS[name]
    torch.manual_seed(0)
    net = build().double().eval()
    more = data.draw(st.tuples(*(st.integers(0, 9) for _ in steps)))
    larger = [size + extra for size, extra in zip(shape[1:], more, strict=True)]
    x = torch.randn(2, shape[0], *larger, dtype=torch.float64)
    slid = dense_to_conv(net)(x)
    torch.testing.assert_close(slid, windows(net, x, shape[1:], steps), **EXACT)


def test_zeros_within_a_net_are_zeros_at_its_own_size_alone() -> None:
    net = VGG(3, 4, (1, 1), widths=(4, 5), width=6, input_size=16).double().eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(dense_to_conv(net)(x).flatten(1), net(x), **EXACT)


def test_the_net_is_not_changed_and_what_is_slid_can_be_saved(tmp_path) -> None:
    net = picture().eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    slid, x = dense_to_conv(net), torch.randn(1, 3, 12, 16)
    with torch.no_grad():
        for parameter in slid.parameters():
            parameter.mul_(2)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    assert torch.equal(from_pretrained(save_pretrained(slid, tmp_path / "net"))(x), slid(x))


def test_nets_that_cannot_be_slid() -> None:
    with pytest.raises(ValueError, match=r"net: ResNet has 0 layers Flatten.*takes inputs of any"):
        dense_to_conv(resnet(18, 3, 10))
    with pytest.raises(TypeError, match="net: Sequential is not a Chain; put its layers into one"):
        dense_to_conv(nn.Sequential(Dense(8, 3)))
    with pytest.raises(
        ValueError, match=r"net: nothing Dense is behind 0 \(Flatten\); put a Dense"
    ):
        dense_to_conv(Chain(Flatten(2, (4,)), nn.ReLU()))
    with pytest.raises(ValueError, match=r"net: 1 \(PReLU\) .*: put it behind the first Dense"):
        dense_to_conv(Chain(Flatten(2, (4,)), nn.PReLU(8), Dense(8, 3)))
    net = Chain(flatten=Flatten(2, (4,)), norm=BatchNorm(8), dense=Dense(8, 3))
    with pytest.raises(ValueError, match=r"net: norm \(BatchNorm\) behind Flatten, .*\(4,\)"):
        dense_to_conv(net)


def test_layers_behind_the_first_dense_one_need_only_treat_positions_alike() -> None:
    """A gate takes halves of the channels; nested chains; two parts that would get one name."""
    nested = Chain(f=Flatten(2, (4,)), d=Dense(8, 6))
    behind = Chain(gate=Gate(), relu=nn.ReLU())
    net = Chain(a=nested, a_d=behind, last=Dense(3, 2)).double().eval()
    x = torch.randn(2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(dense_to_conv(net)(x), windows(net, x, (4,), (1,)), **EXACT)


def test_what_is_frozen_and_what_is_evaluated_stays_so() -> None:
    net = picture().train()
    net.conv.eval()
    net.dense.weight.requires_grad_(False)
    slid = dense_to_conv(net)
    assert [part.training for part in slid] == [False, True, True, True]
    assert [p.requires_grad for p in slid.dense.parameters()] == [False, True]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (SqueezeExcite(2), r"net: 0 \(SqueezeExcite\) reads all of its input"),
        (PyramidPool((4,), flat=False), r"net: 0 \(PyramidPool\) reads all of its input"),
        (GroupNorm(2), r"net: 0 \(GroupNorm\) reads all of its input"),
        (LocallyConnected1d(2, 2, 4, 3), r"net: 0 \(LocallyConnected1d\) has filters for \(4,\)"),
        (ResidualBlock(2, 2, 3, modulation=SqueezeExcite), r"net: 0 \(SqueezeExcite\) reads all"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_bound_to_their_window_are_refused(part: nn.Module, message: str) -> None:
    """They would run on larger inputs, and return other numbers than the net on each window."""
    net = Chain(part, Flatten(2, (4,)), Dense(8, 3))
    with pytest.raises(ValueError, match=f"{message}.*x.unfold"):
        dense_to_conv(net)


LAYERS = {
    "causal": (Conv1d(2, 3, 4, dilation=2, stride=2), (11,)),
    "same": (Conv2d(2, 4, 3, padding="same", groups=2, weight_norm=True), (5, 4)),
    "valid, no bias": (Conv2d(2, 3, (3, 2), padding="valid", bias=False), (5, 4)),
    "transposed": (ConvTranspose1d(2, 3, 4, stride=2), (5,)),
    "locally connected": (LocallyConnected2d(2, 3, (5, 4), 2, padding="same"), (5, 4)),
    # Without weights its matrix is in float32: quarters are exact.
    "mean": (AveragePool1d(4, stride=2, padding="valid"), (8,)),
    "mean of windows": (AveragePool2d(2, padding="same"), (5, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_is_its_matrix(name: str) -> None:
    layer, sizes = LAYERS[name]
    layer = layer.double()
    x = torch.randn(2, getattr(layer, "in_channels", 1), *sizes, dtype=torch.float64)
    dense = conv_to_dense(layer, sizes).double()
    torch.testing.assert_close(dense(x.flatten(1)), layer(x).flatten(1), **EXACT)


def test_a_matrix_by_hand() -> None:
    layer = Conv1d(1, 1, 2)  # causal: y[t] = 3 x[t - 1] + 5 x[t] + 7
    layer.load_state_dict({"weight": torch.tensor([[[3.0, 5.0]]]), "bias": torch.tensor([7.0])})
    dense = conv_to_dense(layer, 3)
    assert dense.weight.tolist() == [[5, 0, 0], [3, 5, 0], [0, 3, 5]]
    assert dense.bias.tolist() == [7, 7, 7]


def test_what_has_no_matrix() -> None:
    with pytest.raises(TypeError, match="layer: MaxPool1d has no matrix; give a convolution"):
        conv_to_dense(MaxPool1d(2), 4)
    with pytest.raises(ValueError, match="sizes: 3 steps on axis -1 do not fill one window of 5"):
        conv_to_dense(Conv1d(1, 1, 5, padding="valid"), 3)
    with pytest.raises(ValueError, match=r"sizes: \(4, 4\) has 2 values for 1 axes"):
        conv_to_dense(Conv1d(1, 1, 2), (4, 4))
