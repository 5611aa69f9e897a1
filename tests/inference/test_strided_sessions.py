"""Sessions of nets with a stride, whose rows advance together."""

import pytest
import torch
from torch import nn

from tcn.inference import StreamSession
from tcn.layers import Add, Chain, Conv1d, Upsample
from tcn.models import SequenceModel

ROWS = 3


def strided() -> Chain:
    return Chain(Conv1d(2, 2, 2, stride=2), Conv1d(2, 2, 3)).eval()


def read_out() -> SequenceModel:
    return SequenceModel(Chain(Conv1d(2, 2, 2, stride=2)), 4, readout="mean").eval()


@pytest.mark.parametrize("rows", [1, ROWS])
def test_values_are_held_at_any_phase(rows: int) -> None:
    net, x = strided(), torch.randn(rows, 2, 11)
    session = StreamSession(net, rows, nan="hold")
    broken, held = x.clone(), x.clone()
    broken[0, 1, 6] = torch.nan
    held[0, 1, 6] = x[0, 1, 5]
    found = [session.push(broken[..., a:b]) for a, b in ((0, 5), (5, 8), (8, 11))]
    assert torch.allclose(torch.cat(found, -1), net(held), atol=1e-6)
    assert session.replaced.tolist() == [1, *[0] * (rows - 1)]


@pytest.mark.parametrize("rows", [1, ROWS])
def test_a_readout_is_finished_and_begins_anew(rows: int) -> None:
    net, x = read_out(), torch.randn(rows, 2, 7)
    session = StreamSession(net, rows)
    session.push(x)
    assert torch.allclose(session.finish(), net(x), atol=1e-6)
    assert torch.allclose(session.push(x), net(x), atol=1e-6)


def test_all_rows_may_be_named() -> None:
    net, x = strided(), torch.randn(ROWS, 2, 7)
    session = StreamSession(net, ROWS)
    first = session.push(x[..., :3], rows=range(ROWS))
    second = session.push(x[..., 3:], rows=torch.arange(ROWS))
    assert torch.allclose(torch.cat([first, second], -1), net(x), atol=1e-6)
    session.reset(range(ROWS))
    assert torch.allclose(session.push(x), net(x), atol=1e-6)
    for some in ([1], [0, 2], [2, 1, 0]):
        with pytest.raises(ValueError, match="with a stride all rows must advance together"):
            session.push(x[: len(some)], rows=some)


def test_rows_that_have_begun_do_not_come_beside_others_that_have_not() -> None:
    net, x = strided(), torch.randn(ROWS, 2, 7)
    session, other = StreamSession(net, ROWS), StreamSession(net, 1)
    other.push(x[:1, :, :1])
    with pytest.raises(ValueError, match="some would have begun and others not"):
        session.scatter([1], other)
    assert torch.allclose(session.push(x), net(x), atol=1e-6)  # nothing was half written
    session.reset()
    session.push(x)
    with pytest.raises(ValueError, match="some would have begun and others not"):
        session.scatter([0], StreamSession(net, 1))


def test_rows_of_a_session_that_is_as_far_are_taken_over() -> None:
    net, x = strided(), torch.randn(ROWS, 2, 8)
    session, other = StreamSession(net, ROWS), StreamSession(net, 1)
    session.push(x[..., :3])
    y = torch.randn(1, 2, 8)
    other.push(y[..., :3])
    session.scatter([1], other)
    mixed = torch.cat([x[:1], y, x[2:]])
    assert torch.allclose(session.push(mixed[..., 3:]), net(mixed)[..., 2:], atol=1e-6)


def test_a_net_without_an_output_per_step_is_not_sampled() -> None:
    net = SequenceModel(Chain(Conv1d(4, 4, 2, stride=2)), 7, embedding=7).eval()
    session = StreamSession(net)
    with pytest.raises(ValueError, match=r"net: .* has a stride or an up-sampling"):
        session.sample(torch.zeros(1, dtype=torch.int64), torch.zeros(3, 1, 7))


def test_a_join_of_other_rates_is_refused_when_the_session_is_made() -> None:
    net = Add(nn.Identity(), Chain(Conv1d(2, 2, 4, stride=4), Upsample(2))).eval()
    with pytest.raises(TypeError, match="branches have different rates"):
        StreamSession(net)
