"""Gradients where what a convolution adds is small beside its shortcut.

A sum of floats does not show what was added to it: 1 + 1e-9 is 1. Which values ReLU and dropout let
pass has to be known apart from the sum. The expected gradients are PyTorch's in float64, where the
masks are those of the same formula.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tcn.models import TCN, SequenceModel
from tcn.native import library, switched_off
from tcn.native.convolution import Geometry, convolve
from tcn.native.reference import backward, forward, mask, pack, unpack

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")

SMALL = st.floats(-8, 0).map(lambda exponent: 10.0**exponent)
"""The size of a branch beside its shortcut."""


def worst(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest error of a gradient, relative to the largest value of that gradient."""
    errors = (
        (a.double() - b).abs().max() / b.abs().max() for a, b in zip(found, expected, strict=True)
    )
    return max(error.item() for error in errors)


def slopes(net: torch.nn.Module, x: Tensor) -> list[Tensor]:
    y = net(x)
    return list(
        torch.autograd.grad((y * torch.linspace(-1, 1, y.shape[2])).sum(), list(net.parameters()))
    )


@pytest.mark.parametrize("size", [1e-5, 1e-6, 1e-8])
def test_a_block_that_hardly_adds_anything(instruction_set: str, size: float) -> None:
    """Of the gradients that the sum alone would show, one in seven was wrong at 1e-5."""
    torch.manual_seed(0)
    net, x = TCN(8, [8], 3), torch.randn(16, 8, 100)
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith("bias"):
                parameter.zero_()
            if "layer2" in name and name.endswith("weight_g"):
                parameter.fill_(size)
    found, expected = slopes(net, x), slopes(copy.deepcopy(net).double(), x.double())
    assert worst(found, expected) < 1e-5


@pytest.mark.parametrize("share", [0.0, 0.3])
@settings(max_examples=60)
@given(data=st.data(), size=SMALL)
def test_gradients_behind_a_shortcut(
    instruction_set: str, share: float, data: st.DataObject, size: float
) -> None:
    """Any geometry, a shortcut that is a view, long and short sequences; dropped values too."""
    integer = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    batch, channels, kernel, time = integer(1, 9), integer(1, 20), integer(1, 5), integer(1, 90)
    geometry = Geometry(integer(8, 20), integer(0, 3), integer(1, 3), integer(1, 2))
    steps, apart = geometry.out_steps(time, kernel), integer(1, 3)
    torch.manual_seed(integer(0, 99))
    x, weight = torch.randn(batch, 3, time), torch.randn(channels, 3, kernel) * size
    whole = torch.randn(batch, channels, steps * apart)
    seed, gradient = torch.tensor([integer(0, 2**62 - 1)]), torch.randn(batch, channels, steps)
    leaves = [t.requires_grad_() for t in (x, weight, whole)]
    y, _ = torch.ops.tcn.convolve(
        x, weight, None, None, whole[..., apart - 1 :: apart], seed, *geometry, True, share, True
    )
    found = torch.autograd.grad(y, leaves, gradient)
    wide = [t.detach().double().requires_grad_() for t in leaves]
    left, right, stride, dilation = geometry
    inner = F.conv1d(F.pad(wide[0], (left, right)), wide[1], None, stride, 0, dilation)
    inner = F.relu(inner) * (mask(inner, seed, share) if share else 1)
    expected = torch.autograd.grad(
        F.relu(inner + wide[2][..., apart - 1 :: apart]), wide, gradient.double()
    )
    for a, b in zip(found, expected, strict=True):
        # A sum within a rounding error of 0 may fall on either side of the second ReLU.
        assert (a - b).abs().max() <= 2e-5 * max(float(b.abs().max()), size * 1e-3)


@settings(max_examples=30)
@given(size=SMALL, share=st.sampled_from([0.0, 0.4]))
def test_second_derivatives_behind_a_shortcut(size: float, share: float) -> None:
    """A gradient that is differentiated again, against float64."""
    torch.manual_seed(3)
    tensors = torch.randn(2, 5, 30), torch.randn(5, 5, 3) * size, torch.randn(2, 5, 30)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [t.to(dtype).requires_grad_() for t in tensors]
        x, weight, shortcut = leaves
        torch.manual_seed(4)
        y = convolve(x, weight, None, Geometry(left=2), True, share, shortcut)
        (slope,) = torch.autograd.grad(
            (y * torch.linspace(-1, 1, 30)).sum(), weight, create_graph=True
        )
        results.append([slope, *torch.autograd.grad(slope.square().sum(), [x])])
    assert worst([t.detach() for t in results[0]], results[1]) < 1e-5


@pytest.mark.parametrize("readout", ["every", "last"])
@settings(max_examples=20)
@given(size=SMALL)
def test_nets_with_small_branches(readout: str, size: float) -> None:
    """Whole nets, and the decimated grid of the last step."""
    torch.manual_seed(0)
    net, x = SequenceModel(TCN(3, [6, 6, 6], 3), 2, readout=readout), torch.randn(8, 3, 41)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "layer2" in name and name.endswith(("weight_g", "bias")):
                parameter.fill_(0.0 if name.endswith("bias") else size)
    results = []
    for model, of in ((net, x), (copy.deepcopy(net).double(), x.double())):
        y = model(of)
        results.append(list(torch.autograd.grad(y.square().sum(), list(model.parameters()))))
    assert worst(*results) < 2e-5


def test_bits_are_the_same_by_kernels_and_by_pytorch(instruction_set: str) -> None:
    """Of every length, with the lowest bit first and zeros behind the last step."""
    seed = torch.tensor([5])
    for steps in range(1, 40):
        torch.manual_seed(steps)
        x, weight, shortcut = (
            torch.randn(3, 2, steps),
            torch.randn(5, 2, 1),
            torch.randn(3, 5, steps),
        )
        rest = (x, weight, None, None, shortcut, seed)
        _, found = torch.ops.tcn.convolve(*rest, 0, 0, 1, 1, True, 0.3, True)
        _, expected = forward(*rest, Geometry(), True, 0.3, True)
        assert torch.equal(found, expected)
    first = pack(torch.tensor([[[True, False, True] + [False] * 5 + [True]]]))
    assert first.tolist() == [[[0b101, 0b1]]]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_there_and_back(values: list[bool]) -> None:
    kept = torch.tensor([[values]])
    assert torch.equal(unpack(pack(kept), len(values)), kept)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_keep_their_type_and_their_bits(dtype: torch.dtype) -> None:
    """By the lines of PyTorch: the output has the input's type, dropped values no gradient."""
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 20, dtype=dtype), torch.randn(4, 3, 2, dtype=dtype)
    shortcut, seed = 1000 * torch.rand(2, 4, 20, dtype=dtype), torch.tensor([9])
    y, kept = torch.ops.tcn.convolve(
        x, weight, None, None, shortcut, seed, 1, 0, 1, 1, True, 0.5, True
    )
    assert y.dtype == dtype
    inner = F.relu(F.conv1d(F.pad(x, (1, 0)), weight))
    assert torch.equal(unpack(kept, 20), inner * mask(inner, seed, 0.5) > 0)
    wanted = [False, False, False, True, False]
    found = backward(torch.ones_like(y), x, weight, None, y, kept, Geometry(1), True, 0.5, wanted)
    expected = 2 * (inner * mask(inner, seed, 0.5) > 0).sum((0, 2))
    assert torch.equal(found[3], expected.to(dtype))


def test_autocast_gradients_of_small_branches() -> None:
    """PyTorch's own convolution in bfloat16 with what follows: as with the kernels switched off."""
    torch.manual_seed(0)
    net, x = TCN(8, [8], 3), torch.randn(4, 8, 50)
    results = []
    for off in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            if off:
                with switched_off():
                    results.append(slopes(net, x))
            else:
                results.append(slopes(net, x))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_nothing_is_kept_where_nobody_asks() -> None:
    """Without gradients, or without a shortcut, there are no bits."""
    x, weight = torch.randn(2, 4, 20), torch.randn(4, 4, 1)
    for shortcut, keep in ((None, True), (x, False)):
        kept = torch.ops.tcn.convolve(
            x, weight, None, None, shortcut, None, 0, 0, 1, 1, True, 0.0, keep
        )[1]
        assert kept.numel() == 0
    y, _ = torch.ops.tcn.convolve(
        x, weight.requires_grad_(), None, None, x, None, 0, 0, 1, 1, True, 0.0, False
    )
    with pytest.raises(ValueError, match="convolve with keep=True where gradients are wanted"):
        y.sum().backward()
