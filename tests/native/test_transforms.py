"""The kernels step aside where PyTorch takes functions apart, and are seen by what looks on."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tcn.models import GRU, LSTM, RNN, TCN
from tcn.native import library, switched_off
from tcn.native.convolution import Geometry, convolve, dropout
from tcn.native.recurrent import recur

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")

NETS: dict[str, Callable[[], Any]] = {
    "TCN": lambda: TCN(2, [4, 5], 3),
    "LSTM": lambda: LSTM(2, 6),
    "GRU": lambda: GRU(2, 6),
    "RNN": lambda: RNN(2, 6),
}


@pytest.fixture
def without_one_dnn() -> Iterator[None]:
    """PyTorch's LSTM as operators that can be counted and differentiated forward."""
    torch._C._set_mkldnn_enabled(False)
    yield
    torch._C._set_mkldnn_enabled(True)


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return NETS[request.param]()


# ----------------------------------------------------------------- forward-mode derivatives


@pytest.mark.usefixtures("without_one_dnn")
def test_directional_derivatives(net: Any) -> None:
    """Dual numbers, torch.func.jvp, and jvp in a compiled graph, against a difference quotient."""
    x, along = torch.randn(3, 2, 64), torch.randn(3, 2, 64)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(net(forward_ad.make_dual(x, along))).tangent
    wide = NETS[type(net).__name__]().double()
    wide.load_state_dict(net.state_dict())
    step = 1e-6
    expected = wide(x.double() + step * along.double()) - wide(x.double() - step * along.double())
    assert (dual - expected / (2 * step)).abs().max() < 1e-4
    found = torch.func.jvp(net, (x,), (along,))[1]
    torch.testing.assert_close(found, dual)


def test_jacobian_in_forward_mode() -> None:
    """Many directions at once; the kernels' backward pass many gradients at once."""
    net, x = TCN(2, [4], 3), torch.randn(1, 2, 7)

    def function(x: Tensor) -> Tensor:
        return net(x)

    jacobian = torch.autograd.functional.jacobian
    forward = jacobian(function, x, strategy="forward-mode", vectorize=True)
    one_by_one = jacobian(function, x)
    torch.testing.assert_close(forward, one_by_one)
    torch.testing.assert_close(jacobian(function, x, vectorize=True), one_by_one)


def test_many_gradients_at_once(net: Any) -> None:
    """``is_grads_batched`` behind the kernels: as one after the other."""
    x = torch.randn(3, 2, 64, requires_grad=True)
    y = net(x)
    gradients = torch.randn(4, *y.shape)
    (found,) = torch.autograd.grad(y, x, gradients, is_grads_batched=True, retain_graph=True)
    one_by_one = [torch.autograd.grad(y, x, g, retain_graph=True)[0] for g in gradients]
    torch.testing.assert_close(found, torch.stack(one_by_one))


def test_functions_of_this_package_in_forward_mode() -> None:
    """Called by oneself, whatever the layers would choose; with a shortcut, sizes and dropout."""
    torch.manual_seed(0)
    x, weight, bias, size = (
        torch.randn(2, 4, 9),
        torch.randn(4, 4, 3),
        torch.randn(4),
        torch.rand(4, 1, 1),
    )
    layer, steps = nn.GRU(4, 5), torch.randn(9, 2, 4)
    state, along = [torch.zeros(2, 5)], torch.randn(2, 4, 9)

    def block(x: Tensor) -> Tensor:
        return convolve(x, weight, bias, Geometry(2), True, shortcut=x, size=size)

    def by_pytorch(x: Tensor) -> Tensor:
        filters = weight / weight.norm(dim=(1, 2), keepdim=True) * size
        y = torch.nn.functional.conv1d(torch.nn.functional.pad(x, (2, 0)), filters, bias)
        return (y.relu() + x).relu()

    expected = torch.func.jvp(by_pytorch, (x,), (along,))[1]
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(block(forward_ad.make_dual(x, along))).tangent
        kept = forward_ad.unpack_dual(dropout(forward_ad.make_dual(x, along), 0.5))
        y, _ = recur(forward_ad.make_dual(steps, steps), state, layer.all_weights[0], cell="GRU")
        slope = forward_ad.unpack_dual(y).tangent
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(kept.tangent, torch.where(kept.primal == 0, 0, 2 * along))
    expected = torch.func.jvp(lambda x: layer(x)[0], (steps,), (steps,))[1]
    torch.testing.assert_close(slope, expected)
    with pytest.raises(ValueError, match="bias: shape"), forward_ad.dual_level():
        convolve(forward_ad.make_dual(x, along), weight, torch.zeros(1), Geometry(2))


@pytest.mark.parametrize("name", ["TCN", "GRU"])
def test_compiled_transforms(name: str) -> None:
    """torch.func inside torch.compile."""
    net, x = NETS[name](), torch.randn(3, 2, 64)

    def loss(x: Tensor) -> Tensor:
        return net(x).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(torch.func.grad(loss), backend="aot_eager")
    torch.testing.assert_close(compiled(x), torch.func.grad(loss)(x))


# ------------------------------------------------------------------ counts of multiplications


def count(net: Any, x: Tensor, *state: Any, kernels: bool) -> tuple[int, int]:
    """Of the forward pass, and of both."""
    with nullcontext() if kernels else switched_off(), FlopCounterMode(display=False) as counter:
        y, _ = net.step(x, *state) if state else (net(x), None)
        forward = counter.get_total_flops()
        y.sum().backward()
    return forward, counter.get_total_flops()


def test_multiplications_of_a_tcn() -> None:
    """By hand, 2 * batch * outputs * inputs * taps * steps each, and as without kernels."""
    net, x = TCN(2, [4, 5], 3), torch.randn(3, 2, 20)
    products = [4 * 2 * 3, 4 * 4 * 3, 4 * 2, 5 * 4 * 3, 5 * 5 * 3, 5 * 4]
    forward = 2 * 3 * 20 * sum(products)
    of_input = 2 * 3 * 20 * (4 * 2 * 3 + 4 * 2)  # nobody asks for the data's gradient
    expected = forward, 3 * forward - of_input
    assert count(net, x, kernels=True) == expected
    assert count(net, x, kernels=False) == expected


@pytest.mark.usefixtures("without_one_dnn")
@pytest.mark.parametrize(("name", "stacked"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_multiplications_of_recurrent_nets(name: str, stacked: int) -> None:
    """By hand, 2 * steps * batch * stacked * hidden * (inputs + hidden), and as without kernels.

    The state needs gradients here: of one that does not, PyTorch leaves the last product out.
    """
    net, x = NETS[name](), torch.randn(3, 2, 64, requires_grad=True)
    parts = tuple(torch.zeros(3, 1, 6, requires_grad=True) for _ in range(net.states))
    forward = 2 * 64 * 3 * stacked * 6 * (2 + 6)
    expected = forward, 3 * forward
    assert count(net, x, parts, kernels=True) == expected
    assert count(net, x, parts, kernels=False) == expected


def test_the_counter_is_not_imported_for_its_formulas() -> None:
    """It brings a compiler along; imported later, it has them all the same."""
    code = (
        "import sys, tcn.native.recurrent, tcn.native.convolution, torch\n"
        "assert 'torch.utils.flop_counter' not in sys.modules\n"
        "import importlib.util; importlib.util.find_spec('torch.utils.flop_counter')\n"
        "from torch.utils.flop_counter import flop_registry\n"
        "assert torch.ops.tcn.convolve in flop_registry and torch.ops.tcn.recur in flop_registry\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
