"""Pools against plain loops, against PyTorch's own, and their symmetries."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.layers import AveragePool1d, AveragePool2d, Chain, Conv1d, MaxPool1d, MaxPool2d, Upsample

EXACT = {"rtol": 1e-12, "atol": 1e-12}
POOLS = {("max", 1): MaxPool1d, ("max", 2): MaxPool2d, ("average", 1): AveragePool1d}
POOLS[("average", 2)] = AveragePool2d
PADDINGS = ("causal", "same", "valid")


def pool_by_loops(x, valid, *, kind, kernel_size, stride, padding, dilation) -> np.ndarray:
    """Every output over the steps of its window that exist and are valid; arguments per axis."""
    batch, channels, *sizes = x.shape
    axes = range(len(sizes))
    spans = [(kernel_size[i] - 1) * dilation[i] for i in axes]
    lost = [spans[i] if padding[i] == "valid" else 0 for i in axes]
    before = [{"causal": s, "same": s // 2, "valid": 0}[padding[i]] for i, s in enumerate(spans)]
    counts = [-(-(sizes[i] - lost[i]) // stride[i]) for i in axes]
    y = np.zeros((batch, channels, *counts))
    for b, c, *place in itertools.product(range(batch), range(channels), *map(range, counts)):
        seen = []
        for tap in itertools.product(*map(range, kernel_size)):
            at = [place[i] * stride[i] - before[i] + tap[i] * dilation[i] for i in axes]
            inside = all(0 <= at[i] < sizes[i] for i in axes)
            if inside and valid[(b, 0, *at)]:
                seen.append(x[(b, c, *at)])
        if seen:
            y[(b, c, *place)] = max(seen) if kind == "max" else sum(seen) / len(seen)
    return y


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, dict]:
    """A kind of pool and where its windows lie, per axis."""
    kind, ndim = draw(st.sampled_from(["max", "average"])), draw(st.integers(1, 2))
    axes = lambda values: tuple(draw(values) for _ in range(ndim))  # noqa: E731
    drawn = {"kernel_size": axes(st.integers(1, 4)), "stride": axes(st.integers(1, 4))}
    drawn["padding"] = axes(st.sampled_from(PADDINGS))
    drawn["dilation"] = axes(st.integers(1, 3)) if kind == "max" else (1,) * ndim
    return kind, drawn


def build(kind: str, drawn: dict) -> nn.Module:
    drawn = drawn if kind == "max" else {k: v for k, v in drawn.items() if k != "dilation"}
    return POOLS[kind, len(drawn["kernel_size"])](**drawn)


def smallest(drawn: dict) -> list[int]:
    """The fewest steps per axis that fill a window."""
    axes = zip(drawn["kernel_size"], drawn["dilation"], drawn["padding"], strict=True)
    return [(k - 1) * d + 1 if padding == "valid" else 1 for k, d, padding in axes]


@given(windows(), st.integers(0, 6), st.sampled_from(["none", "all", "some"]), st.integers(0, 99))
def test_it_is_the_loops_and_padding_is_invisible(
    window: tuple[str, dict], more: int, masked: str, seed: int
) -> None:
    kind, drawn = window
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 2, *(s + more for s in smallest(drawn)), generator=generator)
    x = x.double()
    mask = torch.rand(2, *x.shape[2:], generator=generator) < (0.6 if masked == "some" else 2)
    hidden = x.masked_fill(~mask.unsqueeze(1), float("nan"))
    expected = pool_by_loops(x.numpy(), mask.unsqueeze(1).numpy(), kind=kind, **drawn)
    y = build(kind, drawn)(hidden, mask=None if masked == "none" else mask)
    np.testing.assert_allclose(y.numpy(), expected, **EXACT)


@given(windows(), st.lists(st.integers(1, 5), min_size=1, max_size=6), st.booleans())
def test_any_chunking_gives_the_whole_and_its_gradients(
    window: tuple[str, dict], sizes: list[int], masked: bool
) -> None:
    kind, drawn = window
    drawn["padding"] = (*drawn["padding"][:-1], "causal")
    pool = build(kind, drawn)
    x = torch.randn(2, 2, *smallest(drawn)[:-1], sum(sizes), dtype=torch.float64)
    x.requires_grad_()
    mask = torch.rand(2, *x.shape[2:]) < 0.7 if masked else torch.ones(2, *x.shape[2:]) > 0
    whole, state, outputs = pool(x, mask=mask), None, []
    for chunk, valid in zip(x.split(sizes, -1), mask.split(sizes, -1), strict=True):
        y, state = pool.step(chunk, state, mask=valid)
        outputs.append(y)
    streamed = torch.cat(outputs, -1)
    assert torch.equal(streamed, whole)
    weights = torch.randn_like(whole)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (streamed, whole))
    torch.testing.assert_close(ours, theirs, **EXACT)


def test_the_phase_of_a_stream_is_in_its_state() -> None:
    # Outputs stand at 0, 3, 6; after 1, 2, 3 and 4 steps there are 2, 1, 0 and 2 to wait.
    pool, state, waits = MaxPool1d(2, stride=3), None, []
    assert pool.phase(None) == 0
    for _ in range(4):
        state = pool.step(torch.zeros(1, 1, 1), state)[1]
        waits.append(pool.phase(state))
    assert waits == [2, 1, 0, 2]


def both_gradients(ours: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    x = x.requires_grad_()
    expected = theirs(x)
    found = ours(x)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    ours_, theirs_ = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, expected))
    torch.testing.assert_close(ours_, theirs_)


# With "same" the kernels are odd: PyTorch puts as much on either side.
@pytest.mark.parametrize("stride", [None, 1, 2, 3])
@pytest.mark.parametrize(
    ("kernel_size", "padding"),
    [(1, "valid"), (2, "valid"), (3, "valid"), (5, "valid"), (1, "same"), (3, "same"), (5, "same")],
)
def test_equals_pytorch_own(kernel_size: int, stride: int | None, padding: str) -> None:
    zeros = kernel_size // 2 if padding == "same" else 0
    sizes = {"kernel_size": kernel_size, "stride": stride, "padding": zeros}
    own = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    line, image = torch.randn(2, 3, 17), torch.randn(2, 3, 11, 12)
    both_gradients(MaxPool1d(**own), nn.MaxPool1d(**sizes), line)
    both_gradients(MaxPool2d(**own), nn.MaxPool2d(**sizes), image)
    average = {**sizes, "count_include_pad": False}
    both_gradients(AveragePool1d(**own), nn.AvgPool1d(**average), line)
    both_gradients(AveragePool2d(**own), nn.AvgPool2d(**average), image)


def test_a_dilated_maximum_equals_pytorch_own() -> None:
    ours = MaxPool2d(3, stride=(1, 2), padding="valid", dilation=(2, 1))
    both_gradients(ours, nn.MaxPool2d(3, (1, 2), 0, (2, 1)), torch.randn(2, 3, 9, 8))


def test_hand_computed_values() -> None:
    x = torch.tensor([[[3.0, 1.0, 2.0, 6.0, 5.0]]])
    looks_back = MaxPool1d(3, stride=2)  # windows 3 | 3 1 2 | 2 6 5
    assert looks_back(x).flatten().tolist() == [3, 3, 6]
    assert AveragePool1d(3, stride=2)(x).flatten().tolist() == [3, 2, pytest.approx(13 / 3)]
    assert MaxPool1d(2, padding="valid")(x).flatten().tolist() == [3, 6]
    assert MaxPool1d(3, stride=1, dilation=2)(x).flatten().tolist() == [3, 1, 3, 6, 5]
    # Only 3 and 2 are valid: no window has more to see, and the fourth sees 2 alone.
    mask = torch.tensor([[True, False, True, False, False]])
    assert AveragePool1d(3, stride=1)(x, mask=mask).flatten().tolist() == pytest.approx(
        [3, 3, 2.5, 2, 2]
    )


def test_a_maximum_may_be_minus_infinity() -> None:
    # What does not exist is not a value: a window of -inf alone has the maximum -inf, not 0.
    x = torch.full((1, 1, 4), -torch.inf)
    assert (MaxPool1d(2, stride=1)(x) == -torch.inf).all()
    assert (MaxPool1d(2, stride=1)(x, torch.tensor([3]))[..., :3] == -torch.inf).all()
    assert (MaxPool1d(2, stride=1)(x - 5, torch.tensor([1]))[..., 2:] == 0).all()


def test_a_shifted_input_gives_a_shifted_output() -> None:
    x = torch.zeros(1, 2, 40, dtype=torch.float64)
    x[..., 10:20] = torch.rand(1, 2, 10, dtype=torch.float64)
    for pool in (MaxPool1d(3, stride=2), AveragePool1d(3, stride=2)):
        torch.testing.assert_close(pool(x.roll(6, -1)), pool(x).roll(3, -1), **EXACT)


WRONG = [
    (lambda: MaxPool2d(2), r"padding: None for two axes.*padding=\(\"same\", \"causal\"\)"),
    (lambda: AveragePool2d(2), r"padding: None for two axes.*\"same\" for an image"),
    (lambda: MaxPool1d(2, padding="full"), r"padding: 'full' is not one of 'causal', 'same'"),
    (lambda: MaxPool1d(0), r"kernel_size: 0 must be at least 1"),
    (lambda: MaxPool1d(2, dilation=0), r"dilation: 0 must be at least 1"),
    (lambda: AveragePool1d(2, stride=0), r"stride: 0 must be at least 1"),
    (
        lambda: MaxPool2d(2, padding="same")(torch.randn(1, 2, 4)),
        r"x: shape \(1, 2, 4\).*height, time",
    ),
    (
        lambda: MaxPool1d(4, padding="valid")(torch.randn(1, 2, 3)),
        r"x: 3 steps on axis -1 do not fill one window of 4; .*padding=\"same\"",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_is_wrong_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (lambda: MaxPool1d(3, padding="same"), "a pool with padding='same' on the time axis reads"),
        (lambda: AveragePool1d(3, padding="valid"), "a pool with padding='valid' on the time axis"),
    ],
)
def test_what_reads_the_future_does_not_stream(pool, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        pool().step(torch.randn(1, 2, 6))


def test_a_wrong_state_is_refused() -> None:
    pool, x = MaxPool1d(3, stride=2), torch.randn(2, 1, 5)
    state = pool.step(x)[1]
    with pytest.raises(ValueError, match="a pair of steps and whether they exist"):
        pool.step(x, state[0])
    with pytest.raises(ValueError, match="this state belongs to another net or batch"):
        pool.step(x[:1], state)
    with pytest.raises(ValueError, match="2 remembered steps, got 4 of them"):
        pool.step(
            x, tuple(torch.cat([part, part], -1)[..., :4] for part in pool.step(x[..., :2])[1])
        )


@given(st.integers(1, 3), st.integers(1, 4), st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_in_a_chain_padding_is_invisible_and_chunks_are_the_whole(
    kernel_size: int, stride: int, sizes: list[int]
) -> None:
    # Each row alone and unpadded is the reference; biases make something of what is padding.
    net = Chain(
        Conv1d(2, 3, 2),
        MaxPool1d(kernel_size, stride=stride),
        Conv1d(3, 3, 2),
        AveragePool1d(kernel_size, stride=2),
        Upsample(2, mode="linear"),
        Conv1d(3, 2, 2),
    ).double()
    x, time = torch.randn(3, 2, sum(sizes), dtype=torch.float64), sum(sizes)
    lengths = [time, (time + 1) // 2, 1]
    padded = x.clone()
    for row, length in enumerate(lengths):
        padded[row, :, length:] = float("nan")
    whole = net(padded, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = net(x[row : row + 1, :, :length])
        torch.testing.assert_close(whole[row : row + 1, :, : alone.shape[-1]], alone, **EXACT)
    state, outputs, start = None, [], 0
    for chunk in padded.split(sizes, -1):
        left = [max(0, min(length - start, chunk.shape[-1])) for length in lengths]
        y, state = net.step(chunk, state, torch.tensor(left))
        outputs.append(y)
        start += chunk.shape[-1]
    torch.testing.assert_close(torch.cat(outputs, -1), whole, **EXACT)


@given(
    kernel_size=st.integers(1, 5),
    stride=st.integers(1, 4),
    sizes=st.tuples(st.integers(5, 12), st.integers(5, 12)),
)
def test_ceil_is_the_ceil_mode_of_pytorch(kernel_size, stride, sizes) -> None:
    x = torch.randn(2, 3, *sizes)
    options = {"stride": stride, "padding": 0, "ceil_mode": True}
    ours = MaxPool2d(kernel_size, stride=stride, padding="ceil")
    assert torch.equal(ours(x), nn.MaxPool2d(kernel_size, **options)(x))
    ours = AveragePool2d(kernel_size, stride=stride, padding="ceil")
    theirs = nn.AvgPool2d(kernel_size, **options, count_include_pad=False)
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.out_steps(sizes[0], -2) == theirs(x).shape[-2]


@given(kernel_size=st.integers(1, 6), stride=st.integers(1, 4), data=st.data())
def test_a_number_of_steps_on_both_sides_is_the_padding_of_pytorch(
    kernel_size, stride, data
) -> None:
    padding = data.draw(st.integers(0, (kernel_size - 1) // 2))
    x = torch.randn(2, 3, data.draw(st.integers(6, 12)), 9)
    ours = MaxPool2d(kernel_size, stride=stride, padding=padding)
    assert torch.equal(ours(x), nn.MaxPool2d(kernel_size, stride, padding)(x))
    ours = AveragePool2d(kernel_size, stride=stride, padding=padding)
    theirs = nn.AvgPool2d(kernel_size, stride, padding, count_include_pad=False)
    torch.testing.assert_close(ours(x), theirs(x))


def test_more_steps_outside_than_a_window_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"padding: 2 zeros on both sides of taps that span 3"):
        MaxPool1d(3, padding=2)
