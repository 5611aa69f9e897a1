"""Causal up-sampling against plain loops and numbers worked out by hand."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tcn.layers import Chain, Conv1d, ConvTranspose1d, ConvTranspose2d
from tcn.models import TCN

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def scatter_by_loops(x, weight, bias, stride: int) -> np.ndarray:
    """Each input adds its filter to the outputs from its own place on; the rest is cut."""
    batch, in_channels, time = x.shape
    _, out_channels, kernel_size = weight.shape
    y = np.zeros((batch, out_channels, time * stride))
    for b, c, t in itertools.product(range(batch), range(in_channels), range(time)):
        for o, tap in itertools.product(range(out_channels), range(kernel_size)):
            if t * stride + tap < y.shape[-1]:
                y[b, o, t * stride + tap] += x[b, c, t] * weight[c, o, tap]
    return y + bias[:, None]


SIZES = st.integers(1, 3).flatmap(lambda s: st.tuples(st.integers(s, 7), st.just(s)))


@given(SIZES, st.integers(1, 3), st.integers(1, 3), st.lists(st.integers(1, 4), min_size=1))
def test_whole_and_chunks_equal_the_loops(
    sizes: tuple[int, int], in_channels: int, out_channels: int, chunks: list[int]
) -> None:
    kernel_size, stride = sizes
    up = ConvTranspose1d(in_channels, out_channels, kernel_size, stride=stride).double()
    x = torch.randn(2, in_channels, sum(chunks), dtype=torch.float64)
    expected = scatter_by_loops(
        x.numpy(), up.weight.detach().numpy(), up.bias.detach().numpy(), stride
    )
    np.testing.assert_allclose(up(x).detach().numpy(), expected, **EXACT)
    state, outputs = None, []
    for chunk in x.split(chunks, dim=-1):
        y, state = up.step(chunk, state)
        outputs.append(y)
    np.testing.assert_allclose(torch.cat(outputs, -1).detach().numpy(), expected, **EXACT)


def test_hand_computed_value() -> None:
    # Inputs 1 and 2 with the filter 100, 10, 1 and stride 2: 1 writes 100 10 1 at outputs 0 to 2,
    # 2 writes 200 20 (2 is cut) at outputs 2 and 3, and 0.5 is added to all.
    up = ConvTranspose1d(1, 1, 3, stride=2)
    with torch.no_grad():
        up.weight.copy_(torch.tensor([[[100.0, 10.0, 1.0]]]))
        up.bias.fill_(0.5)
    assert up(torch.tensor([[[1.0, 2.0]]])).flatten().tolist() == [100.5, 10.5, 201.5, 20.5]


def test_equals_pytorch_own_but_for_the_cut() -> None:
    up = ConvTranspose1d(2, 3, 5, stride=2)
    x = torch.randn(2, 2, 6)
    own = nn.functional.conv_transpose1d(x, up.weight, up.bias, stride=2)
    torch.testing.assert_close(up(x), own[..., :12])


def test_a_shifted_input_gives_a_shifted_output() -> None:
    up = ConvTranspose1d(2, 3, 5, stride=2, bias=False)
    x = torch.zeros(1, 2, 20)
    x[..., 3:8] = torch.randn(1, 2, 5)
    torch.testing.assert_close(up(x.roll(4, -1)), up(x).roll(8, -1))


def test_masked_inputs_write_nothing() -> None:
    up = ConvTranspose1d(2, 3, 5, stride=2)
    x = torch.randn(1, 2, 6)
    hidden, shorter = x.clone(), x[..., :4]
    hidden[..., 4:] = float("nan")
    torch.testing.assert_close(up(hidden, torch.tensor([4]))[..., :8], up(shorter))


def test_reach_and_lengths() -> None:
    # kernel_size 5, stride 2: an output is reached by the present input and two before it.
    up = ConvTranspose1d(1, 1, 5, stride=2)
    assert up.receptive_field == 3
    assert not up.preserves_length
    assert ConvTranspose1d(1, 1, 5).preserves_length
    # Down by 3 and up by 3: kernel_size 3 down reaches 2 back; the output's own input may be one.
    net = Chain(Conv1d(1, 1, 3, stride=3), ConvTranspose1d(1, 1, 3, stride=3))
    assert net(torch.zeros(1, 1, 9)).shape == (1, 1, 9)


@pytest.mark.parametrize(("arguments", "match"), [
    ({"kernel_size": 2, "stride": 3}, r"kernel_size: 2 is smaller than stride=3.*>= stride"),
    ({"kernel_size": 0}, r"kernel_size: 0 must be at least 1"),
    ({"kernel_size": 2, "stride": 0}, r"stride: 0 must be at least 1"),
])  # fmt: skip
def test_bad_arguments_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ConvTranspose1d(1, 1, **arguments)


def test_bad_inputs_and_states_are_refused() -> None:
    up, x = ConvTranspose1d(2, 3, 5, stride=2), torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match=r"does not fit ConvTranspose1d: .*channels seem to be la"):
        up(x.movedim(1, -1))
    with pytest.raises(ValueError, match=r"state: ConvTranspose1d expected 3 steps left over, got"):
        up.step(x, torch.zeros(1, 3, 2))
    with pytest.raises(ValueError, match=r"state: ConvTranspose1d expected a tensor, got tuple"):
        up.step(x, TCN(2, [3], 2).step(x)[1])


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    height=st.integers(1, 4),
    time=st.integers(1, 4),
)
def test_2d_is_torch_cut_after_the_last_inputs_own_outputs(kernel, stride, height, time) -> None:
    kernel = tuple(max(k, s) for k, s in zip(kernel, stride, strict=True))
    up = ConvTranspose2d(2, 3, kernel, padding="causal", stride=stride).double()
    x = torch.randn(2, 2, height, time, dtype=torch.float64)
    whole = nn.functional.conv_transpose2d(x, up.weight, up.bias, stride)
    expected = whole[..., : height * stride[0], : time * stride[1]]
    torch.testing.assert_close(up(x), expected, rtol=1e-12, atol=1e-12)


@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    height=st.integers(1, 4),
    time=st.integers(1, 4),
)
def test_same_is_pytorch_padding(kernel, stride, height, time) -> None:
    # PyTorch cuts as much on either side, and output_padding gives back the odd one on the right.
    kernel = tuple(max(k, s) for k, s in zip(kernel, stride, strict=True))
    up = ConvTranspose2d(2, 3, kernel, padding="same", stride=stride).double()
    x = torch.randn(2, 2, height, time, dtype=torch.float64)
    whole = nn.functional.conv_transpose2d(x, up.weight, up.bias, stride)
    cut = [(k - s) // 2 for k, s in zip(kernel, stride, strict=True)]
    expected = whole.narrow(2, cut[0], height * stride[0]).narrow(3, cut[1], time * stride[1])
    torch.testing.assert_close(up(x), expected, rtol=1e-12, atol=1e-12)
    if all((k - s) % 2 == 0 for k, s in zip(kernel, stride, strict=True)):
        own = nn.functional.conv_transpose2d(x, up.weight, up.bias, stride, padding=cut)
        torch.testing.assert_close(up(x), own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", ["causal", "same"])
@pytest.mark.parametrize(
    ("kernel_size", "stride"), [(1, 1), (4, 2), (5, 2), (3, 3), (7, 3), (4, 1)]
)
def test_what_an_output_sees_is_what_its_gradient_shows(
    padding: str, kernel_size: int, stride: int
) -> None:
    up = ConvTranspose1d(1, 1, kernel_size, padding=padding, stride=stride)
    x = torch.randn(1, 1, 9, requires_grad=True)
    lefts, rights = [], []
    for output in range(4 * stride, 5 * stride):
        shown = torch.autograd.grad(up(x)[..., output].sum(), x)[0].flatten().nonzero().flatten()
        first, last = shown[0].item(), shown[-1].item()
        assert up.sees(output, output) == (first, last)
        lefts.append(4 - first)
        rights.append(last - 4)
    assert up.reach[-1][:2] == (max(lefts), max(rights))


def test_of_an_image_it_is_said_along_which_axes_it_looks_back() -> None:
    with pytest.raises(ValueError, match=r"padding: None for two axes.*\(\"same\", \"causal\"\)"):
        ConvTranspose2d(1, 1, (4, 2), stride=2)
    ConvTranspose2d(1, 1, 2, stride=2)  # no filters overlap: there is nothing to say


def test_what_later_inputs_add_to_does_not_stream() -> None:
    with pytest.raises(TypeError, match="padding='same' on the time axis reads future steps"):
        ConvTranspose1d(1, 1, 4, padding="same", stride=2).step(torch.zeros(1, 1, 3))
