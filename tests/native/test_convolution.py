"""The kernels of the convolution against PyTorch's own, and as operators of PyTorch."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tcn.models import TCN, SequenceModel
from tcn.native import library, switched_off
from tcn.native.convolution import (
    FEW_CHANNELS,
    MOST_CHANNELS,
    Geometry,
    convolve,
    dropout,
    drops,
    wins,
)
from tcn.native.reference import backward, mask

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")


@pytest.fixture
def threads() -> Iterator[None]:
    """Two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    relu: bool = False,
    shortcut: Tensor | None = None,
) -> Tensor:
    """The same from PyTorch's convolution."""
    left, right, stride, dilation = geometry
    y = F.conv1d(F.pad(x, (left, right)), weight, bias, stride, 0, dilation)
    y = F.relu(y) if relu else y
    return y if shortcut is None else F.relu(y + shortcut)


def leaf(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random parameters."""
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """Compares, relative to the largest value of each tensor."""
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max().clamp_min(1e-3)


def values_and_gradients(y: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of a random functional of it."""
    torch.manual_seed(1)
    return [y.detach(), *torch.autograd.grad(y, leaves, torch.randn(y.shape).to(y))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=60)
@given(data=st.data())
def test_equals_pytorch(instruction_set: str, dtype: torch.dtype, data: st.DataObject) -> None:
    """Values and all gradients, for any geometry, tile and set of instructions."""
    integer = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    batch, inputs, outputs, kernel = integer(1, 5), integer(1, 40), integer(1, 40), integer(1, 9)
    time, stride, dilation = integer(1, 130), integer(1, 3), integer(1, 20)
    geometry = Geometry(integer(-3, 170), integer(-3, 40), stride, dilation)
    assume(time + min(geometry.left, 0) + min(geometry.right, 0) > 0)
    assume(geometry.out_steps(time, kernel) > 0)
    ending = data.draw(st.sampled_from(["nothing", "relu", "shortcut"]))
    torch.manual_seed(0)
    x, weight = leaf(batch, inputs, time, dtype=dtype), leaf(outputs, inputs, kernel, dtype=dtype)
    bias = leaf(outputs, dtype=dtype) if data.draw(st.booleans()) else None
    shortcut = None
    if ending == "shortcut":
        shortcut = leaf(batch, outputs, geometry.out_steps(time, kernel), dtype=dtype)
    leaves = [t for t in (x, weight, bias, shortcut) if t is not None]
    relu = ending != "nothing"
    found = convolve(x, weight, bias, geometry, relu, shortcut=shortcut)
    expected = reference(x, weight, bias, geometry, relu, shortcut)
    assert_same(
        values_and_gradients(found, leaves),
        values_and_gradients(expected, leaves),
        1e-5 if dtype == torch.float32 else 1e-12,
    )


@settings(max_examples=60)
@given(data=st.data())
def test_short_sequences_side_by_side(instruction_set: str, data: st.DataObject) -> None:
    """Many short examples share a row of the kernels, and none of them reaches into another."""
    integer = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    batch, channels, kernel, stride = integer(2, 70), integer(1, 12), integer(1, 9), integer(1, 3)
    time = integer(1, 64)
    geometry = Geometry(integer(-2, 12), integer(-2, 5), stride, integer(1, 2))
    assume(time + min(geometry.left, 0) + min(geometry.right, 0) > 0)
    steps = geometry.out_steps(time, kernel)
    assume(steps > 0)
    torch.manual_seed(0)
    x, weight, bias = leaf(batch, 3, time), leaf(channels, 3, kernel), leaf(channels)
    shortcut = leaf(batch, channels, steps) if data.draw(st.booleans()) else None
    leaves = [t for t in (x, weight, bias, shortcut) if t is not None]
    found = convolve(x, weight, bias, geometry, True, shortcut=shortcut)
    expected = reference(x, weight, bias, geometry, True, shortcut)
    assert_same(values_and_gradients(found, leaves), values_and_gradients(expected, leaves), 1e-5)
    with torch.no_grad():
        alone = convolve(
            x[-1:],
            weight,
            bias,
            geometry,
            True,
            shortcut=None if shortcut is None else shortcut[-1:],
        )
        torch.testing.assert_close(found[-1:], alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wanted", ["both", "direction", "size"])
def test_weight_norm_is_taken_along(dtype: torch.dtype, wanted: str, instruction_set: str) -> None:
    """Filters scaled to given sizes, with the gradients that PyTorch finds for the formula."""
    x, bias = leaf(4, 7, 90, dtype=dtype), leaf(11, dtype=dtype)
    weight, size = leaf(11, 7, 5, dtype=dtype), leaf(11, 1, 1, dtype=dtype)
    weight.requires_grad_(wanted != "size")
    size.requires_grad_(wanted != "direction")
    found = convolve(x, weight, bias, Geometry(8, dilation=2), True, size=size)
    filters = weight / weight.norm(dim=(1, 2), keepdim=True) * size
    expected = reference(x, filters, bias, Geometry(8, dilation=2), True)
    leaves = [t for t in (x, weight, size, bias) if t.requires_grad]
    assert_same(
        values_and_gradients(found, leaves),
        values_and_gradients(expected, leaves),
        1e-5 if dtype == torch.float32 else 1e-12,
    )


@pytest.mark.parametrize("step", [1, 2, 3])
def test_shortcut_may_be_a_view(instruction_set: str, step: int) -> None:
    """On a decimated grid the shortcut is every second step of the input."""
    x, weight, bias = leaf(3, 10, 100), leaf(10, 10, 3), leaf(10)
    shortcut = leaf(3, 10, 100 * step)
    geometry = Geometry(left=2)
    found = convolve(x, weight, bias, geometry, True, shortcut=shortcut[..., step - 1 :: step])
    expected = reference(x, weight, bias, geometry, True, shortcut[..., step - 1 :: step])
    leaves = [x, weight, bias, shortcut]
    assert_same(values_and_gradients(found, leaves), values_and_gradients(expected, leaves), 1e-5)


@pytest.mark.usefixtures("threads")
def test_threads_change_nothing_but_rounding() -> None:
    """Twice the same numbers from two threads, nearly those of one."""
    x, weight, bias = leaf(5, 12, 300), leaf(9, 12, 5), leaf(9)
    geometry = Geometry(left=8, dilation=2)
    runs = [
        values_and_gradients(convolve(x, weight, bias, geometry, True), [x, weight, bias])
        for _ in range(2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    torch.set_num_threads(1)
    one = values_and_gradients(convolve(x, weight, bias, geometry, True), [x, weight, bias])
    assert_same(runs[0], one, 1e-5)


def test_only_the_gradients_asked_for() -> None:
    """Data has no gradient, frozen weights neither."""
    x, weight, bias = torch.randn(2, 3, 20), leaf(4, 3, 2), leaf(4)
    convolve(x, weight, bias, Geometry(left=1), True).sum().backward()
    expected = torch.autograd.grad(
        reference(x, weight, bias, Geometry(left=1), True).sum(), [weight, bias]
    )
    assert_same([weight.grad, bias.grad], list(expected), 1e-5)  # type: ignore[list-item]
    y = convolve(x.requires_grad_(), weight.detach(), None, Geometry(left=1))
    y.sum().backward()
    assert x.grad is not None


def test_not_a_number_shows() -> None:
    """ReLU keeps NaN, as PyTorch's does, and only outputs that see it have it."""
    x = torch.zeros(1, 1, 6)
    x[..., 3] = torch.nan
    y = convolve(x, torch.ones(1, 1, 2), None, Geometry(left=1), True)
    assert y[0, 0].isnan().tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize("relu", [False, True])
def test_gradcheck(relu: bool) -> None:
    """First and second derivatives against finite differences."""
    shapes = (2, 3, 9), (2, 3, 3), (2,), (2, 1, 1)
    leaves = tuple(leaf(*shape, dtype=torch.float64) for shape in shapes)
    geometry = Geometry(left=4, right=1, stride=2, dilation=2)

    def function(x: Tensor, weight: Tensor, bias: Tensor, size: Tensor) -> Tensor:
        return convolve(x, weight, bias, geometry, relu, size=size)

    torch.autograd.gradcheck(function, leaves)
    torch.autograd.gradgradcheck(function, leaves)


def test_second_derivatives_in_float32() -> None:
    """A gradient penalty works as with PyTorch's own convolution."""
    x, weight, shortcut = leaf(2, 5, 30), leaf(5, 5, 3), leaf(2, 5, 30)
    results = []
    for function in (convolve, reference):
        y = function(x, weight, None, Geometry(left=2), True, shortcut=shortcut)
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        results.append(torch.autograd.grad(slope.square().sum(), [x, weight, shortcut]))
    assert_same(list(results[0]), list(results[1]), 1e-5)


def operator_arguments(dtype: torch.dtype) -> tuple[Any, ...]:
    x, weight, bias = leaf(2, 3, 20, dtype=dtype), leaf(4, 3, 2, dtype=dtype), leaf(4, dtype=dtype)
    size, shortcut = leaf(4, 1, 1, dtype=dtype), leaf(2, 4, 20, dtype=dtype)
    return x, weight, size, bias, shortcut, torch.tensor([7]), 2, 0, 1, 2, True, 0.25, True


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operators_pass_pytorchs_own_checks(dtype: torch.dtype) -> None:
    """Schema, fake tensors, gradients registered, traceable with dynamic shapes."""
    arguments = operator_arguments(dtype)
    torch.library.opcheck(torch.ops.tcn.convolve.default, arguments)
    torch.library.opcheck(torch.ops.tcn.dropout.default, (arguments[0], arguments[5], 0.25))
    plain = [t.detach() if isinstance(t, Tensor) else t for t in arguments]
    torch.library.opcheck(torch.ops.tcn.convolve.default, (*plain[:-1], False))
    y, kept = torch.ops.tcn.convolve(*plain)
    x, weight, size, *_ = plain
    gradient, wanted = torch.randn(2, 4, 20, dtype=dtype), [True, True, False, False, True]
    backward = (gradient, x, weight, size, y, kept, *plain[6:-1], wanted)
    torch.library.opcheck(torch.ops.tcn.convolve_backward.default, backward)


def test_compiles_in_one_graph() -> None:
    """torch.compile sees one operator, forward and backward, no graph break."""
    x, weight, bias = leaf(2, 6, 40), leaf(6, 6, 3), leaf(6)

    def function(x: Tensor) -> Tensor:
        return convolve(x, weight, bias, Geometry(left=4, dilation=2), True, shortcut=x) * 2

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    leaves = [x, weight, bias]
    assert_same(
        values_and_gradients(compiled(x), leaves), values_and_gradients(function(x), leaves), 1e-6
    )


def test_a_net_compiles_in_one_graph() -> None:
    net, x = TCN(2, [6, 9, 9], 3), torch.randn(3, 2, 41)
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), net(x))
    assert "ConvolveBackward" in graph_of(net(x))  # the kernels, where nothing is compiled


def test_numbers_below_the_smallest_normal_one_count_as_zero() -> None:
    """They would slow a multiplication down a hundred times; the caller's own mode stays."""
    x, weight = torch.full((2, 3, 40), 1e-39), torch.ones(4, 3, 2)
    assert convolve(x, weight).count_nonzero() == 0
    assert (x * 0.5).count_nonzero() == x.numel()


# ------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.8])
def test_share_and_scale_of_dropout(probability: float) -> None:
    """The share dropped is within 5 standard deviations; the others keep the mean."""
    x = torch.ones(100, 10, 400)
    y = dropout(x, probability)
    dropped = (y == 0).float().mean().item()
    deviation = (probability * (1 - probability) / x.numel()) ** 0.5
    assert abs(dropped - probability) < 5 * deviation
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - probability)))


def test_dropped_values_are_unrelated() -> None:
    """Neighbors in time, channel and batch, and the next call, drop independently."""
    x = torch.ones(64, 32, 128)
    kept = (dropout(x, 0.5) != 0).float() - 0.5
    again = (dropout(x, 0.5) != 0).float() - 0.5
    pairs = [
        kept[..., 1:] * kept[..., :-1],
        kept[:, 1:] * kept[:, :-1],
        kept[1:] * kept[:-1],
        kept * again,
    ]
    for pair in pairs:  # each product is +-0.25 with mean 0
        assert abs(pair.mean()) < 5 * 0.25 / pair.numel() ** 0.5


def test_seed_decides_what_is_dropped() -> None:
    """The same seed, the same mask; another call, another mask."""
    x = torch.ones(4, 5, 60)
    torch.manual_seed(3)
    first, second = dropout(x, 0.3), dropout(x, 0.3)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.3), first)
    assert not torch.equal(first, second)


def test_dropout_is_the_hash_it_says(instruction_set: str) -> None:
    """The kernels on every set of instructions drop what the plain lines of PyTorch drop."""
    x, seed = torch.randn(3, 7, 53), torch.tensor([2**61 + 12345])
    found = torch.ops.tcn.dropout(x, seed, 0.4)
    torch.testing.assert_close(found, x * mask(x, seed, 0.4))
    half = x.bfloat16()
    expected = (half.float() * mask(half, seed, 0.4)).bfloat16()
    torch.testing.assert_close(torch.ops.tcn.dropout(half, seed, 0.4), expected, rtol=0, atol=0)
    weight, bias = torch.randn(5, 7, 3), torch.randn(5)
    fused, _ = torch.ops.tcn.convolve(
        x, weight, None, bias, None, seed, 2, 0, 1, 1, True, 0.4, False
    )
    plain = reference(x, weight, bias, Geometry(left=2), True)
    torch.testing.assert_close(fused, plain * mask(plain, seed, 0.4), rtol=1e-4, atol=1e-5)


@settings(max_examples=60)
@given(st.integers(0, 100), st.integers(0, 2**62 - 1), st.floats(0.01, 0.99))
def test_dropout_of_bfloat16_is_rounded_once(size: int, seed: int, probability: float) -> None:
    """The product in float32, rounded as PyTorch rounds; NaN and infinity stay what they are."""
    x = torch.cat([torch.randn(size) * 1e30, torch.tensor([math.nan, math.inf, -math.inf, 1e-40])])
    x, seeds = x.bfloat16(), torch.tensor([seed])
    found = torch.ops.tcn.dropout(x, seeds, probability)
    factor = mask(x, seeds, probability)
    expected = torch.where(factor == 0, 0, x.float() * factor).bfloat16()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    with switched_off():
        plain = torch.ops.tcn.dropout(x[:size], seeds, probability)
    torch.testing.assert_close(found[:size], plain, rtol=0, atol=0)


def test_gradient_is_masked_as_the_output_is() -> None:
    """Of dropout alone, and of dropout behind convolution and ReLU."""
    x = leaf(3, 6, 50)
    y = dropout(x, 0.5)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, torch.where(y != 0, 2.0, 0.0))
    # With the identity as weight, the gradient of x is that of the convolution's output.
    y = convolve(x, torch.eye(6)[..., None], None, Geometry(), True, 0.5)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, torch.where(y > 0, 2.0, 0.0))


def test_native_and_plain_gradients_under_dropout_and_shortcut() -> None:
    """The backward kernels against the lines of PyTorch that serve float64."""
    x, weight, shortcut = torch.randn(3, 6, 50), torch.randn(5, 6, 3), torch.randn(3, 5, 50)
    seed, gradient = torch.tensor([99]), torch.randn(3, 5, 50)
    y, kept = torch.ops.tcn.convolve(
        x, weight, None, None, shortcut, seed, 2, 0, 1, 1, True, 0.3, True
    )
    wanted = [True, True, False, True, True]
    found = torch.ops.tcn.convolve_backward(
        gradient, x, weight, None, y, kept, 2, 0, 1, 1, True, 0.3, wanted
    )
    plain = backward(gradient, x, weight, None, y, kept, Geometry(2), True, 0.3, wanted)
    for i in (0, 1, 3, 4):
        assert_same([found[i]], [plain[i]], 1e-5)  # type: ignore[list-item]


# ------------------------------------------------------------------------------ in the nets


@pytest.mark.parametrize("readout", ["every", "last"])
@pytest.mark.parametrize("causal", [True, False])
def test_net_equals_its_double(readout: str, causal: bool) -> None:
    """A net in float32, by the kernels, against the same in float64, by PyTorch."""
    net = SequenceModel(TCN(2, [6, 9, 9], 3, causal=causal), 4, readout=readout)
    double = copy.deepcopy(net).double()
    x = leaf(3, 2, 41)
    y = net(x)
    assert "ConvolveBackward" in graph_of(y)
    found = values_and_gradients(y, [x, *net.parameters()])
    wide = x.detach().double().requires_grad_()
    y = double(wide)
    assert "ConvolveBackward" not in graph_of(y)
    expected = values_and_gradients(y, [wide, *double.parameters()])
    assert_same([t.double() for t in found], expected, 1e-5)


def graph_of(y: Tensor) -> set[str]:
    """The names of the functions that made a tensor."""
    names, waiting = set(), [y.grad_fn]
    while waiting:
        function = waiting.pop()
        if function is not None:
            names.add(function.name())
            waiting += [before for before, _ in function.next_functions]
    return names


def test_net_under_autocast_and_transforms() -> None:
    """bfloat16 by autocast, and gradients per example by torch.func, go PyTorch's own way."""
    net = TCN(2, [6, 6], 3, dropout=0.1)
    x = torch.randn(3, 2, 30)
    with torch.autocast("cpu", torch.bfloat16):
        y = net(x)
    y.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    parameters: dict[str, Tensor] = dict(net.named_parameters())

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(net, parameters, (row[None],)).square().sum()

    rows = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    whole = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    assert_same([rows[name].sum(0) for name in parameters], list(whole), 1e-4)


def test_training_with_dropout_is_reproducible() -> None:
    """The same seed, the same loss and gradients of a whole net."""
    net = TCN(2, [6, 6], 3, dropout=0.3)
    x = torch.randn(3, 2, 30)
    runs = []
    for _ in range(2):
        torch.manual_seed(5)
        y = net(x)
        runs.append([y, *torch.autograd.grad(y.sum(), list(net.parameters()))])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert not torch.equal(net(x), runs[0][0])


# ------------------------------------------------------------------------ errors and choice


def test_errors_name_the_cure() -> None:
    """Wrong shapes and orders."""
    x, weight = torch.zeros(2, 3, 4), torch.zeros(5, 3, 9)
    with pytest.raises(ValueError, match="add zeros on the left"):
        convolve(x, weight)
    with pytest.raises(ValueError, match=r"expected \(batch, in_channels, time\)"):
        convolve(x, torch.zeros(5, 2, 1))
    with pytest.raises(ValueError, match="after a ReLU only"):
        convolve(x, weight, dropout=0.5)
    with pytest.raises(ValueError, match="shortcut: shape"):
        convolve(x, weight, None, Geometry(left=8), True, shortcut=x)


def test_where_the_kernels_are_chosen() -> None:
    """Few channels in float32; not in float64, under autocast, while exporting or in torch.func."""
    x, weight = torch.zeros(8, 25, 100), torch.zeros(25, 25, 7)
    assert wins(x, weight)
    assert drops(x)
    assert not wins(x.double(), weight.double())
    assert not wins(x, torch.zeros(MOST_CHANNELS + 1, 25, 7))
    with torch.autocast("cpu", torch.bfloat16):
        assert not wins(x, weight)
        assert drops(x)  # which leaves the type as it is
        assert drops(x.bfloat16())
    assert not drops(x.double())
    chosen = []

    def choose(row: Tensor) -> Tensor:
        chosen.append(wins(row, weight))
        return row

    torch.func.vmap(choose)(x[None])
    assert chosen == [False]


@pytest.mark.usefixtures("threads")
def test_rows_for_the_threads() -> None:
    """A row for each thread, of few channels for every other one."""
    few, many = torch.zeros(FEW_CHANNELS, 25, 7), torch.zeros(MOST_CHANNELS, 25, 7)
    one, two = torch.zeros(1, 25, 100), torch.zeros(2, 25, 100)
    assert [wins(x, weight) for x in (one, two) for weight in (few, many)] == [
        True,
        False,
        True,
        True,
    ]
    torch.set_num_threads(3)
    assert not wins(one, few)
