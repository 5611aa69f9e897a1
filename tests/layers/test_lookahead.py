"""A bounded look-ahead: whole sequences see the future in place, streams are late by as much."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tcn import receptive_field
from tcn.layers import Add, Chain, Conv1d, FiLM, GatedBlock, SequenceModule, SkipSum, look_ahead
from tcn.models import LSTM, TCN, SequenceModel
from tcn.testing import check_sequence_module

quick_check = partial(check_sequence_module, compile_backend=None, export=False)
"""Raises an AssertionError where a promise is broken; beside it, tests say what is promised."""


def streamed(net: SequenceModule, x: Tensor, sizes: list[int]) -> Tensor:
    """The outputs of a stream, its last ones pushed out by padding, moved back into place."""
    chunks = [net.step(x[..., : sizes[0]])]
    start = sizes[0]
    for size in sizes[1:]:
        chunks.append(net.step(x[..., start : start + size], chunks[-1][1]))
        start += size
    padding = torch.zeros(*x.shape[:-1], net.latency, dtype=x.dtype)
    mask = torch.zeros(x.shape[0], *x.shape[2:-1], net.latency, dtype=torch.bool)
    chunks.append(net.step(padding, chunks[-1][1], mask=mask))
    return torch.cat([y for y, _ in chunks], -1)[..., net.latency :]


def test_the_taps_move_to_the_right() -> None:
    conv = Conv1d(2, 3, 4, dilation=2, lookahead=3)
    x = torch.randn(2, 2, 11)
    expected = F.conv1d(F.pad(x, (3, 3)), conv.weight, conv.bias, dilation=2)
    torch.testing.assert_close(conv(x), expected)
    assert conv.reach[0][:2] == (3, 3)
    assert conv.latency == 3


def test_a_stream_of_the_convolution_is_that_of_the_causal_one() -> None:
    conv = Conv1d(2, 3, 3, lookahead=2)
    causal = Conv1d(2, 3, 3)
    causal.load_state_dict(conv.state_dict())
    x = torch.randn(2, 2, 9)
    torch.testing.assert_close(conv.step(x)[0], causal(x))
    assert not conv.causal
    assert conv.streams


@pytest.mark.parametrize("block", ["residual", "preactivation", "separable", "gated"])
def test_blocks_keep_the_contract(block: str) -> None:
    net = TCN(2, [4, 4, 5], 3, lookahead=5, block=block)
    assert net.latency == net.reach[-1].right == 5
    quick_check(net)


@pytest.mark.parametrize("norm", ["none", "layer", "rms", "cumulative", "batch"])
def test_norms_keep_the_contract(norm: str) -> None:
    net = TCN(2, [4, 3], 3, lookahead=4, norm=norm).eval()
    assert net.latency == 4
    quick_check(net)


@pytest.mark.parametrize("readout", ["every", "last", "mean", "max", "attention"])
def test_readouts_keep_the_contract(readout: str) -> None:
    net = SequenceModel(TCN(2, [4, 3], 3, lookahead=4), 3, readout=readout)
    assert net.latency == 4
    quick_check(net)


def test_images_keep_the_contract() -> None:
    net = TCN(2, [3, 3], 3, lookahead=5, ndim=2, causal=True)
    assert net.latency == net.reach[-1].right == 5
    quick_check(net)


def test_compiled_and_exported() -> None:
    net = TCN(2, [4, 4], 3, lookahead=3)
    assert net.latency == 3
    check_sequence_module(net)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 24)], ids=["global", "local"])
def test_a_condition_waits_with_the_signal(shape: tuple[int, ...]) -> None:
    net = TCN(2, [4, 4], 3, lookahead=5, modulation=partial(FiLM, condition_channels=5))
    assert net.latency == 5
    quick_check(net, condition=torch.randn(shape))


def test_skip_outputs_wait_for_the_last_block() -> None:
    blocks = [GatedBlock(2, 2, 3, dilation=2**i, skip_channels=4) for i in range(3)]
    net = look_ahead(SkipSum(blocks), 7)
    assert net.latency == 7
    quick_check(net, torch.randn(3, 2, 24))


@settings(max_examples=30, deadline=None)
@given(
    lookahead=st.integers(0, 14),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    branches=st.integers(0, 4),
)
def test_a_late_stream_is_the_whole_sequence(
    lookahead: int, sizes: list[int], branches: int
) -> None:
    net = Chain(
        tcn=TCN(2, [3, 3, 2], 2, lookahead=lookahead),
        beside=Add(Conv1d(2, 3, 5, lookahead=branches), Conv1d(2, 3, 3, lookahead=1)),
    ).double()
    x = torch.randn(2, 2, sum(sizes), dtype=torch.float64)
    assert net.latency == lookahead + max(branches, 1)
    torch.testing.assert_close(streamed(net, x, sizes), net(x), rtol=1e-12, atol=1e-12)


def test_rows_may_begin_and_end_apart() -> None:
    net = TCN(1, [3, 3], 3, lookahead=4).double()
    x = torch.randn(2, 1, 10, dtype=torch.float64)
    exists = torch.ones(2, 10, dtype=torch.bool)
    exists[1, :3] = exists[1, 8:] = False  # row 1 has the steps 3 .. 7 only
    flush = torch.zeros(2, 4, dtype=torch.bool)
    y, state = net.step(x, mask=exists)
    late = torch.cat([y, net.step(x[..., :4], state, mask=flush)[0]], -1)[..., 4:]
    torch.testing.assert_close(late[:1], net(x[:1]))
    torch.testing.assert_close(late[1:, :, 3:8], net(x[1:, :, 3:8]))


def test_the_gradient_shows_the_look_ahead() -> None:
    net = TCN(2, [4, 4, 4], 3, lookahead=5)
    field = receptive_field(net)
    assert (field.left, field.right) == (23, 5)
    assert net.receptive_field == 29


def test_each_level_takes_its_share() -> None:
    # Spans 2, 2, 4, 4, 8, 8 of 28 in all: cumulative shares 14 * 2/28, 14 * 4/28, ...
    net = TCN(4, [4, 4, 4], 3, lookahead=14)
    shares = [m.lookahead for m in net.modules() if isinstance(m, Conv1d)]
    assert shares == [1, 1, 2, 2, 4, 4]


def test_more_than_the_taps_span_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lookahead: 29 is not between 0 and 28, the steps that"):
        TCN(2, [4, 4, 4], 3, lookahead=29)
    with pytest.raises(ValueError, match=r"lookahead: 5 is not between 0 and the 4 steps that the"):
        Conv1d(2, 2, 3, dilation=2, lookahead=5)


@pytest.mark.parametrize("settings", [{"padding": "same"}, {"stride": 2}])
def test_what_cannot_look_ahead_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"lookahead: 1 with padding=.* it needs 'causal' and str"):
        Conv1d(2, 2, 3, lookahead=1, **settings)


def test_a_stride_beside_it_cannot_stream() -> None:
    net = Chain(Conv1d(2, 2, 3, lookahead=1), Conv1d(2, 2, 3, stride=2))
    assert not net.streams
    with pytest.raises(TypeError, match=r"a look-ahead cannot stream along with a stride"):
        net.step(torch.randn(1, 2, 4))


def test_a_state_of_another_net_is_refused() -> None:
    net = TCN(2, [3, 3], 3, lookahead=4)
    x = torch.randn(2, 2, 6)
    for other in (TCN(2, [3, 3], 3), TCN(2, [3, 3], 3, lookahead=3), LSTM(2, 3)):
        with pytest.raises(ValueError, match=r"state: .* another net or batch"):
            net.step(x, other.step(x)[1])


def test_a_state_whose_parts_are_no_such_parts_is_refused() -> None:
    net = TCN(2, [3, 3], 3, lookahead=4)
    x = torch.randn(2, 2, 6)
    (mask, condition), rest = net.step(x)[1]
    for past in ((mask,), (mask, ()), (mask, None), (mask, condition, mask)):
        with pytest.raises(ValueError, match=r"expected a pair of \(mask, condition\) and state"):
            net.step(x, (past, rest))
    net = SkipSum([GatedBlock(2, 2, 2, skip_channels=2)])
    look_ahead(net, 1)
    past, ((before, shortcut, _),) = net.step(x)[1]
    with pytest.raises(ValueError, match="SkipSum expected 3 states, got 2 states"):
        net.step(x, (past, ((before, shortcut),)))
