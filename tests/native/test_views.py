"""Views of every kind through the kernels: what they give is what plain copies give."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from tcn.native import library
from tcn.native.convolution import Geometry, convolve, dropout
from tcn.native.recurrent import recur

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")

GEOMETRY = Geometry(left=2, right=0, stride=1, dilation=1)
ROWS = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1}
HIDDEN = 5


def negated(*shape: int) -> Tensor:
    """Whose sign is yet to be changed; it has no gaps, so that contiguous() leaves it as it is."""
    lazy = torch._neg_view(torch.randn(*shape))
    assert lazy.is_neg()
    return lazy


VIEWS: dict[str, Callable[..., Tensor]] = {
    "negated": negated,
    "negated with gaps": lambda *shape: torch.randn(*shape, dtype=torch.complex64).conj().imag,
    "imaginary part": lambda *shape: torch.randn(*shape, dtype=torch.complex64).imag,
    "transposed": lambda *shape: torch.randn(shape[::-1]).permute(*range(len(shape))[::-1]),
    "channels last": lambda *shape: torch.randn(shape[0], *shape[2:], *shape[1:2]).movedim(-1, 1)
    if len(shape) > 1 else torch.randn(shape),
    "expanded": lambda *shape: torch.randn(*shape[:-1], 1).expand(shape),
    "one number": lambda *shape: torch.randn(1).expand(shape),
    "a part": lambda *shape: torch.randn(*(size + 3 for size in shape))[
        tuple(slice(1, 1 + size) for size in shape)
    ],
}  # fmt: skip


def check(function: Callable[..., Tensor], tensors: Sequence[Tensor], view: str) -> None:
    """The function and its gradients are the same for views as for copies."""
    plain = [
        tensor.resolve_neg().clone(memory_format=torch.contiguous_format) for tensor in tensors
    ]
    views = [tensor.detach().requires_grad_() for tensor in tensors]
    copies = [tensor.requires_grad_() for tensor in plain]
    y, expected = function(*views), function(*copies)
    torch.testing.assert_close(y.resolve_neg(), expected)
    gradient = VIEWS[view](*y.shape)
    found = torch.autograd.grad(y, views, gradient)
    wanted = torch.autograd.grad(expected, copies, gradient.resolve_neg().clone())
    torch.testing.assert_close([t.resolve_neg() for t in found], list(wanted))
    with torch.inference_mode():
        torch.testing.assert_close(function(*tensors).resolve_neg(), expected)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_of_the_convolution(view: str, batch: int) -> None:
    make = VIEWS[view]
    shapes = ((batch, 3, 20), (4, 3, 3), (4,), (4, 1, 1), (batch, 4, 20))
    tensors = [make(*shape) for shape in shapes]

    def function(x: Tensor, weight: Tensor, bias: Tensor, size: Tensor, more: Tensor) -> Tensor:
        return convolve(x, weight, bias, GEOMETRY, relu=True, shortcut=more, size=size)

    check(function, tensors, view)
    check(lambda x, weight: convolve(x, weight, None, GEOMETRY), tensors[:2], view)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("batch", [0, 2])
def test_of_the_convolution_beside_pytorchs(view: str, batch: int) -> None:
    x, weight, bias = (VIEWS[view](*shape) for shape in ((batch, 3, 20), (4, 3, 3), (4,)))
    padded = torch.nn.functional.pad(x.resolve_neg(), (2, 0))
    expected = torch.nn.functional.conv1d(padded, weight.resolve_neg(), bias.resolve_neg())
    torch.testing.assert_close(convolve(x, weight, bias, GEOMETRY), expected)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("batch", [0, 3])
def test_of_the_dropout(view: str, batch: int) -> None:
    def function(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return dropout(x, 0.4)

    check(function, [VIEWS[view](batch, 3, 20)], view)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("cell", ROWS)
@pytest.mark.parametrize("masked", [False, True])
def test_of_the_recurrent_layers(view: str, batch: int, cell: str, masked: bool) -> None:
    make, rows = VIEWS[view], ROWS[cell] * HIDDEN
    state = [make(batch, HIDDEN) for _ in range(2 if cell == "LSTM" else 1)]
    shapes = ((7, batch, 3), (rows, 3), (rows, HIDDEN), (rows,), (rows,))
    mask = (torch.rand(batch, 7) < 0.7).t() if masked else None

    def function(x: Tensor, *rest: Tensor) -> Tensor:
        return recur(x, rest[4:], rest[:4], mask, cell=cell)[0]

    check(function, [*(make(*shape) for shape in shapes), *state], view)
