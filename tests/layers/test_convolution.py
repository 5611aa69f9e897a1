"""Convolution against plain loops, against numbers worked out by hand, and its symmetries."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.layers import PADDINGS, Chain, Conv1d, Conv2d, convolution

EXACT = {"rtol": 1e-12, "atol": 1e-12}


@st.composite
def settings_of(draw: st.DrawFn, ndim: int) -> dict:
    """Sizes of a convolution of few channels and steps."""
    small = 3 if ndim == 2 else 4
    groups = draw(st.integers(1, 2))
    drawn = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "groups": groups,
    }
    for name, strategy in {
        "kernel_size": st.integers(1, small),
        "dilation": st.integers(1, 3),
        "stride": st.integers(1, 3),
        "padding": st.sampled_from(PADDINGS),
    }.items():
        drawn[name] = tuple(draw(strategy) for _ in range(ndim))
    return drawn


def make(ndim: int, drawn: dict, weight_norm: bool) -> nn.Module:
    rest = {k: v for k, v in drawn.items() if k not in ("in_channels", "out_channels")}
    return convolution(ndim)(
        drawn["in_channels"], drawn["out_channels"], weight_norm=weight_norm, **rest
    ).double()


def check_against_loops(loops, ndim: int, drawn: dict, sizes: list[int], weight_norm: bool) -> None:
    for i, padding in enumerate(drawn["padding"]):
        lost = (drawn["kernel_size"][i] - 1) * drawn["dilation"][i]
        assume(padding != "valid" or sizes[i] > lost)
    conv = make(ndim, drawn, weight_norm)
    x = torch.randn(2, drawn["in_channels"], *sizes, dtype=torch.float64)
    expected = loops(
        x.numpy(),
        conv.weight.detach().numpy(),
        conv.bias.detach().numpy(),
        **{name: drawn[name] for name in ("padding", "dilation", "stride", "groups")},
    )
    np.testing.assert_allclose(conv(x).detach().numpy(), expected, **EXACT)


@given(settings_of(1), st.integers(1, 10), st.booleans(), st.integers(0, 99))
def test_1d_equals_the_loops(loops, drawn: dict, time: int, weight_norm: bool, seed: int) -> None:
    torch.manual_seed(seed)
    check_against_loops(loops, 1, drawn, [time], weight_norm)


@given(settings_of(2), st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_2d_equals_the_loops(loops, drawn: dict, height: int, time: int, seed: int) -> None:
    torch.manual_seed(seed)
    check_against_loops(loops, 2, drawn, [height, time], weight_norm=False)


def ramp(padding: str, kernel: list[float], **sizes: int) -> list[float]:
    """What a convolution with these taps makes of 1, 2, 3, 4, 5."""
    conv = Conv1d(1, 1, len(kernel), padding=padding, bias=False, **sizes)
    conv.set_weight(torch.tensor([[kernel]]))
    return conv(torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])).flatten().tolist()


def test_hand_computed_values() -> None:
    # Taps 100, 10, 1: the digits say which step each tap saw. Worked out by hand.
    taps = [100.0, 10.0, 1.0]
    assert ramp("causal", taps) == [1, 12, 123, 234, 345]
    assert ramp("strictly_causal", taps) == [0, 1, 12, 123, 234]
    assert ramp("same", taps) == [12, 123, 234, 345, 450]
    assert ramp("valid", taps) == [123, 234, 345]
    assert ramp("causal", taps, dilation=2) == [1, 2, 13, 24, 135]
    assert ramp("causal", taps, stride=2) == [1, 123, 345]
    # An even kernel with "same": the odd zero is on the right, so each output sees t and t + 1.
    assert ramp("same", [10.0, 1.0]) == [12, 23, 34, 45, 50]
    assert ramp("causal", [2.0]) == [2, 4, 6, 8, 10]
    assert ramp("strictly_causal", [2.0]) == [0, 2, 4, 6, 8]


def test_valid_equals_pytorch_own() -> None:
    conv = Conv2d(4, 6, (3, 2), padding="valid", dilation=(1, 2), stride=(2, 1), groups=2)
    x = torch.randn(2, 4, 7, 8)
    own = nn.functional.conv2d(x, conv.weight, conv.bias, (2, 1), 0, (1, 2), 2)
    assert torch.equal(conv(x), own)


@pytest.mark.parametrize("padding", ["causal", "strictly_causal", "same"])
def test_a_shifted_input_gives_a_shifted_output(padding: str) -> None:
    conv = Conv1d(2, 3, 3, padding=padding, dilation=2, bias=False).double()
    x = torch.zeros(1, 2, 40, dtype=torch.float64)
    x[..., 10:20] = torch.randn(1, 2, 10, dtype=torch.float64)  # zeros around: no border is met
    torch.testing.assert_close(conv(x.roll(7, -1)), conv(x).roll(7, -1), **EXACT)


def test_strictly_causal_is_causal_one_step_later() -> None:
    conv, strict = Conv1d(2, 3, 3), Conv1d(2, 3, 3, padding="strictly_causal")
    strict.load_state_dict(conv.state_dict())
    x = torch.randn(2, 2, 9)
    torch.testing.assert_close(strict(x)[..., 1:], conv(x)[..., :-1])
    torch.testing.assert_close(strict(x)[..., 0], conv.bias.expand(2, -1))


@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 4),
    st.sampled_from(["causal", "strictly_causal"]),
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
)  # fmt: skip
def test_any_chunking_gives_the_whole(
    kernel_size: int, dilation: int, stride: int, padding: str, sizes: list[int]
) -> None:
    conv = Conv1d(2, 3, kernel_size, dilation=dilation, stride=stride, padding=padding).double()
    x = torch.randn(2, 2, sum(sizes), dtype=torch.float64)
    state, outputs = None, []
    for chunk in x.split(sizes, dim=-1):
        y, state = conv.step(chunk, state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, -1), conv(x), **EXACT)


def test_length_one_convolutions_stream_whatever_their_padding_is_called() -> None:
    for padding in PADDINGS:
        conv = Conv1d(2, 3, 1, padding=padding)
        assert conv.causal
        assert conv.preserves_length
        x = torch.randn(1, 2, 6)
        first, state = conv.step(x[..., :4])
        torch.testing.assert_close(torch.cat([first, conv.step(x[..., 4:], state)[0]], -1), conv(x))


@pytest.mark.parametrize(("padding", "left", "right"), [
    ("causal", 6, 0), ("strictly_causal", 7, -1), ("same", 3, 3), ("valid", 0, 6),
])  # fmt: skip
def test_reach(padding: str, left: int, right: int) -> None:
    # kernel_size 4, dilation 2: the taps span (4 - 1) * 2 = 6 steps.
    (reach,) = Conv1d(1, 1, 4, padding=padding, dilation=2).reach
    assert (reach.left, reach.right) == (left, right)
    assert Conv1d(1, 1, 4, padding=padding, dilation=2).receptive_field == 7


def test_reach_through_strides_counts_input_steps() -> None:
    # Two convolutions of kernel 3, the first with stride 2: 2 + 2 * 2 steps to the left.
    net = Chain(Conv1d(1, 1, 3, stride=2), Conv1d(1, 1, 3))
    assert net.receptive_field == 7
    assert not net.preserves_length


def test_masked_steps_count_as_zeros_whatever_they_hold() -> None:
    conv = Conv1d(1, 1, 2, bias=False)
    conv.set_weight(torch.tensor([[[10.0, 1.0]]]))
    x = torch.tensor([[[1.0, float("nan"), 3.0, float("inf")]]])
    mask = torch.tensor([[True, False, True, False]])
    assert conv(x, mask=mask).flatten().tolist() == [1, 10, 3, 30]


def test_convolution_and_weight_are_those_of_pytorch() -> None:
    torch.manual_seed(0)
    ours = Conv1d(3, 5, 2)
    torch.manual_seed(0)
    theirs = nn.Conv1d(3, 5, 2)
    assert isinstance(ours, nn.Conv1d)
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize(("arguments", "match"), [
    ({"kernel_size": 0}, r"kernel_size: 0 must be at least 1"),
    ({"kernel_size": 2, "dilation": 0}, r"dilation: 0 must be at least 1"),
    ({"kernel_size": 2, "stride": -1}, r"stride: -1 must be at least 1"),
    ({"kernel_size": (2, 2)}, r"kernel_size: \(2, 2\) has 2 values for 1 axes"),
    ({"kernel_size": 2, "groups": 3}, r"groups: 3 does not divide in_channels=4"),
    ({"kernel_size": 2, "groups": 0}, r"groups: 0 must be at least 1"),
    ({"kernel_size": 2, "padding": "full"}, r"padding: 'full' is not one of 'causal', 'str"),
])  # fmt: skip
def test_bad_arguments_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Conv1d(4, 6, **arguments)


def test_bad_channels_and_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"in_channels: 0 must be at least 1"):
        Conv1d(0, 1, 1)
    with pytest.raises(ValueError, match=r"groups: 2 does not divide out_channels=5"):
        Conv1d(4, 5, 1, groups=2)
    with pytest.raises(TypeError, match=r"kernel_size: 2.0 is not an integer"):
        Conv1d(1, 1, (2.0,))
    with pytest.raises(ValueError, match=r"ndim: 3; sequences are 1 \(time\), images"):
        convolution(3)


def test_of_an_image_it_is_said_along_which_axes_it_looks_back() -> None:
    with pytest.raises(ValueError, match=r"padding: None for two axes.*\(\"same\", \"causal\"\)"):
        Conv2d(1, 1, (1, 2))
    # Of one step there is nothing to say.
    assert Conv2d(1, 1, 1).reach == Conv2d(1, 1, 1, padding="same").reach
    assert Conv1d(1, 1, 3).axis_padding == ("causal",)


@pytest.mark.parametrize(("shape", "match"), [
    ((2, 9, 4), r"x: shape \(2, 9, 4\) does not fit Conv1d: expected \(batch, 4 channels, time\); "
                r"the channels seem to be last: use x.movedim\(-1, 1\)"),
    ((2, 3, 9), r"expected \(batch, 4 channels, time\)$"),
    ((4, 9), r"an axis is missing: x.unsqueeze\(0\) for the batch"),
    ((9,), r"x: shape \(9,\) does not fit Conv1d"),
    ((2, 4, 9, 9), r"x: shape \(2, 4, 9, 9\) does not fit Conv1d"),
])  # fmt: skip
def test_inputs_that_do_not_fit_are_refused(shape: tuple[int, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Conv1d(4, 6, 3)(torch.zeros(shape))


@pytest.mark.parametrize(("padding", "why"), [
    ("same", "reads future steps"), ("valid", "returns fewer steps than it is given"),
])  # fmt: skip
def test_non_causal_paddings_have_no_step(padding: str, why: str) -> None:
    conv = Conv1d(1, 1, 3, padding=padding)
    assert not conv.causal
    with pytest.raises(TypeError, match=rf"Conv1d has no step\(\): .*padding='{padding}'.* {why}"):
        conv.step(torch.zeros(1, 1, 5))


def stepped(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return Conv1d(2, 3, 3, dilation=2).to(dtype).step(torch.zeros(*shape, dtype=dtype))[1]


def test_states_that_do_not_fit_are_refused() -> None:
    conv, x = Conv1d(2, 3, 3, dilation=2), torch.zeros(2, 2, 5)
    assert stepped(2, 2, 5).shape == (2, 2, 4)  # (3 - 1) * 2 remembered steps
    with pytest.raises(ValueError, match=r"state: Conv1d expected shape \(2, 2, '...'\), got sha"):
        conv.step(x, stepped(3, 2, 5))
    with pytest.raises(ValueError, match=r"state: torch.float64 on cpu for Conv1d, x is torch.flo"):
        conv.step(x, stepped(2, 2, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"expected 4 remembered steps, got 3 of them"):
        conv.step(x, stepped(2, 2, 5)[..., 1:])
    with pytest.raises(ValueError, match=r"state: Conv1d expected a tensor, got tuple"):
        conv.step(x, ())
    with pytest.raises(ValueError, match=r"x: a chunk of length 0 \(shape \(2, 2, 0\)\)"):
        conv.step(x[..., :0])


@given(
    kernel_size=st.integers(1, 6),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 2),
    data=st.data(),
)
def test_a_number_of_zeros_on_both_sides_is_the_padding_of_pytorch(
    kernel_size, stride, dilation, data
) -> None:
    padding = data.draw(st.integers(0, (kernel_size - 1) * dilation // 2))
    ours = Conv2d(2, 3, kernel_size, stride=stride, dilation=dilation, padding=padding)
    theirs = nn.Conv2d(2, 3, kernel_size, stride, padding, dilation)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 2, 11, data.draw(st.integers(11, 15)))
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.out_steps(x.shape[-1]) == theirs(x).shape[-1]


def test_more_zeros_than_keep_the_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"padding: 3 zeros .* a number from 0 to 2"):
        Conv1d(2, 2, 5, padding=3)
    with pytest.raises(ValueError, match=r"padding: -1 zeros"):
        Conv1d(2, 2, 5, padding=-1)


def test_an_input_shorter_than_the_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x: 4 steps on axis -1 do not fill one window of 5"):
        Conv1d(2, 2, 5, padding="valid")(torch.randn(1, 2, 4))


def test_bytes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"x: torch.uint8 for Conv2d.*x.float\(\), and / 255"):
        Conv2d(3, 2, 1)(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
