"""Rows of a native session that begin anew: each as the rows of a session that is new."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tcn.inference import StreamSession
from tcn.layers import Chain, Conv1d, SequenceModule
from tcn.models import TCN, Capture
from tcn.native import library

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")


def capture() -> Capture:
    """Silence leaves constants behind in it that are not zeros."""
    torch.manual_seed(0)
    first, second = Conv1d(1, 3, 5, dilation=3), Conv1d(3, 1, 4, dilation=20)
    return Capture(Chain(first, nn.Tanh(), second)).eval()


NETS: dict[str, Callable[[], SequenceModule]] = {
    "capture": capture,
    "tcn": lambda: TCN(1, [4, 4], 3).eval(),
}


def sound(time: int, rows: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(rows, 1, time, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=NETS)
def session(request: pytest.FixtureRequest) -> StreamSession:
    """Two rows that have begun and been reset."""
    session = StreamSession(NETS[request.param](), batch_size=2)
    assert session.native
    for time in (1, 64, 64):
        session.push(sound(time, seed=time))
    session.reset()
    return session


def expected(session: StreamSession, x: Tensor) -> Tensor:
    with torch.no_grad():
        return session.net(x)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cuts", [[1, 1, 1], [64, 64, 7], [5, 100], [200]])
def test_they_give_what_the_net_gives(session: StreamSession, cuts: list[int]) -> None:
    x = sound(sum(cuts), seed=1)
    for _ in range(2):
        y = torch.cat([session.push(part) for part in x.split(cuts, dim=-1)], dim=-1)
        close(y, expected(session, x))
        session.reset()


def test_none_has_begun(session: StreamSession) -> None:
    assert session.state is None
    with pytest.raises(ValueError, match="have not begun"):
        session.finish()
    close(session.push(sound(64)), expected(session, sound(64)))


def test_one_after_the_other(session: StreamSession) -> None:
    x = sound(64, seed=2)
    close(session.push(x[:1], rows=[0]), expected(session, x[:1]))
    with pytest.raises(ValueError, match="have not begun"):
        _ = session.state
    y = session.push(torch.cat([x[1:], x[1:]]))  # row 1 begins, row 0 goes on
    close(y[1:], expected(session, x[1:]))
    close(y[:1], expected(session, torch.cat([x[:1], x[1:]], dim=-1))[..., 64:])


def test_a_chunk_that_is_refused_begins_nothing(session: StreamSession) -> None:
    with pytest.raises(ValueError, match="nan"):
        session.push(sound(64) * torch.nan)
    assert session.state is None
    close(session.push(sound(64)), expected(session, sound(64)))


def test_copies_begin_too(session: StreamSession) -> None:
    x = sound(64)
    for other in (session.fork(), session.gather([1, 0])):
        close(other.push(x), expected(session, x))
        assert session.state is None
        other.reset()
        close(other.push(x), expected(session, x))


def test_a_state_that_is_set_stays(session: StreamSession) -> None:
    x = sound(200)
    session.push(x[..., :100])
    state = session.state
    session.reset()
    session.state = state
    close(session.push(x[..., 100:]), expected(session, x)[..., 100:])


def test_one_of_them_alone(session: StreamSession) -> None:
    x = sound(200)
    session.push(x[..., :100])
    session.reset(1)
    y = session.push(x[..., 100:])
    close(y[:1], expected(session, x[:1])[..., 100:])
    close(y[1:], expected(session, x[1:, :, 100:]))
