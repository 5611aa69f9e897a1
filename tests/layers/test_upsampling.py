"""Up-sampling against PyTorch's interpolation and lines drawn by hand."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tcn.layers import Chain, Conv1d, Upsample

EXACT = {"rtol": 1e-12, "atol": 1e-12}
SIZES = st.integers(1, 6)
FACTORS = st.integers(1, 5)


@given(SIZES, FACTORS)
def test_1d_equals_pytorch_interpolation(time: int, factor: int) -> None:
    x = torch.randn(2, 3, time, dtype=torch.float64)
    nearest = Upsample(factor)
    torch.testing.assert_close(nearest(x), F.interpolate(x, scale_factor=factor), **EXACT)
    linear = Upsample(factor, mode="linear", padding="same")
    expected = F.interpolate(x, scale_factor=factor, mode="linear", align_corners=False)
    torch.testing.assert_close(linear(x), expected, **EXACT)


@given(SIZES, SIZES, FACTORS, FACTORS)
def test_2d_equals_pytorch_interpolation(height: int, time: int, up: int, along: int) -> None:
    x = torch.randn(2, 3, height, time, dtype=torch.float64, requires_grad=True)
    nearest, linear = (
        Upsample((up, along), ndim=2),
        Upsample((up, along), ndim=2, mode="linear", padding="same"),
    )
    for ours, settings in (
        (nearest, {"mode": "nearest"}),
        (linear, {"mode": "bilinear", "align_corners": False}),
    ):
        y, expected = ours(x), F.interpolate(x, scale_factor=(up, along), **settings)
        torch.testing.assert_close(y, expected, **EXACT)
        weights = torch.randn_like(y)
        found, wanted = (torch.autograd.grad((z * weights).sum(), x)[0] for z in (y, expected))
        torch.testing.assert_close(found, wanted, **EXACT)


def test_hand_computed_values() -> None:
    x = torch.tensor([[[2.0, 6.0, 4.0]]])
    assert Upsample(2)(x).flatten().tolist() == [2, 2, 6, 6, 4, 4]
    # Before the first value: held. Then lines that end at each value with its last output.
    line = Upsample(4, mode="linear")
    assert line(x).flatten().tolist() == [2, 2, 2, 2, 3, 4, 5, 6, 5.5, 5, 4.5, 4]
    assert Upsample(2, mode="linear", padding="same")(x).flatten().tolist() == [
        2,
        3,
        5,
        5.5,
        4.5,
        4,
    ]
    # With the middle one missing the others hold.
    mask = torch.tensor([[True, False, True]])
    assert line(x, mask=mask).flatten().tolist()[8:] == [4, 4, 4, 4]


def test_a_mixed_image_is_one_axis_after_the_other() -> None:
    # A row of lines in time, and columns between neighbors: the two do not know of each other.
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    both = Upsample((3, 2), ndim=2, mode="linear", padding=("same", "causal"))
    time = Upsample(2, mode="linear")
    rows = time(x.flatten(1, 2)).unflatten(1, (3, 4))
    columns = Upsample(3, mode="linear", padding="same")
    expected = columns(rows.movedim(2, 3).flatten(1, 2)).unflatten(1, (3, 10)).movedim(3, 2)
    torch.testing.assert_close(both(x), expected, **EXACT)


@given(FACTORS, st.lists(st.integers(1, 4), min_size=1, max_size=5), st.booleans())
def test_any_chunking_gives_the_whole(factor: int, sizes: list[int], image: bool) -> None:
    x = torch.randn(2, 3, *([3] if image else []), sum(sizes), dtype=torch.float64)
    mask = torch.rand(2, *x.shape[2:]) < 0.7
    settings = {"ndim": 2, "padding": ("same", "causal")} if image else {}
    up, state, outputs = Upsample(factor, mode="linear", **settings), None, []
    for chunk, valid in zip(x.split(sizes, -1), mask.split(sizes, -1), strict=True):
        y, state = up.step(chunk, state, mask=valid)
        outputs.append(y)
    assert torch.equal(torch.cat(outputs, -1), up(x, mask=mask))


@pytest.mark.parametrize("padding", ["causal", "same"])
@given(FACTORS, SIZES, st.integers(1, 4))
def test_padding_is_invisible(padding: str, factor: int, time: int, more: int) -> None:
    x = torch.randn(1, 2, time, dtype=torch.float64)
    up = Upsample(factor, mode="linear", padding=padding)
    padded = up(F.pad(x, (0, more), value=float("nan")), torch.tensor([time]))
    torch.testing.assert_close(padded[..., : time * factor], up(x), **EXACT)
    before = up(
        F.pad(x, (more, 0), value=float("nan")), mask=torch.arange(time + more)[None] >= more
    )
    torch.testing.assert_close(before[..., more * factor :], up(x), **EXACT)


@pytest.mark.parametrize("padding", ["causal", "same"])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_what_an_output_sees_is_what_its_gradient_shows(padding: str, factor: int) -> None:
    up = Upsample(factor, mode="linear", padding=padding)
    x = torch.randn(1, 1, 5, requires_grad=True)
    for first in range(factor, 4 * factor):
        for last in range(first, 4 * factor):
            shown = torch.autograd.grad(up(x)[..., first : last + 1].square().sum(), x)[0]
            where = shown.flatten().nonzero().flatten().tolist()
            assert up.sees(first, last) == (where[0], where[-1])


def test_it_stands_in_a_chain_that_streams() -> None:
    net = Chain(Upsample(2), Conv1d(2, 3, 3), Upsample(3, mode="linear"))
    x, state, outputs = torch.randn(1, 2, 7), None, []
    for chunk in x.split([1, 2, 4], -1):
        y, state = net.step(chunk, state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, -1), net(x))


WRONG = [
    (lambda: Upsample(0), r"factor: 0 must be at least 1"),
    (lambda: Upsample((2, 2)), r"factor: \(2, 2\) has 2 values for 1 axes"),
    (lambda: Upsample(2, ndim=3), r"ndim: 3; sequences are 1"),
    (lambda: Upsample(2, mode="cubic"), r"mode: 'cubic' is not one of 'nearest', 'linear'"),
    (lambda: Upsample(2, padding="same"), r"padding: 'same' with mode='nearest'.*leave it out"),
    (lambda: Upsample(2, ndim=2, mode="linear"), r"padding: None for two axes"),
    (lambda: Upsample(2, mode="linear", padding="valid"), r"padding: 'valid' is not one of"),
    (lambda: Upsample(2)(torch.randn(2, 3)), r"x: shape \(2, 3\) does not fit Upsample"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_is_wrong_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_line_to_the_next_value_does_not_stream() -> None:
    with pytest.raises(TypeError, match="padding='same' on the time axis reads a future step"):
        Upsample(2, mode="linear", padding="same").step(torch.randn(1, 1, 3))


def test_a_wrong_state_is_refused() -> None:
    up, x = Upsample(2, mode="linear"), torch.randn(2, 1, 5)
    state = up.step(x)[1]
    with pytest.raises(ValueError, match="a pair of a step and whether it exists"):
        up.step(x, state[0])
    with pytest.raises(ValueError, match="this state belongs to another net or batch"):
        up.step(x[:1], state)
    with pytest.raises(ValueError, match="1 remembered step, got 2 of them"):
        up.step(x, tuple(torch.cat([part, part], -1) for part in state))
