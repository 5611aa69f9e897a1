"""Sessions of nets with a stride, of which parts run natively.

Expected outputs and states are those of ``forward`` and of sessions that PyTorch serves.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import StreamSession
from tcn.inference.parts import PartlyNativeRows, compile_parts
from tcn.layers import (
    Add,
    AddCondition,
    BatchNorm,
    Chain,
    Conv1d,
    ConvTranspose1d,
    MelSpectrogram,
    Multiply,
    SequenceModule,
    Upsample,
)
from tcn.models import TCN, ConvTasNet, SequenceModel, SoundModel
from tcn.native.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="needs the native kernels")

ROWS = 2


def voices() -> ConvTasNet:
    net = ConvTasNet(
        2, filters=12, kernel_size=6, channels=7, hidden=9, layers=3, stacks=2, causal=True
    )
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.4)
    return net.eval()


def words(readout: str = "mean") -> SoundModel:
    mels = MelSpectrogram(8000, 8, window_size=64, hop=20)
    net = SequenceModel(TCN(8, [6, 6], 3, norm="batch"), 4, readout=readout)
    return SoundModel(net, features=mels).eval()


def branches() -> Chain:
    """A rate of a half, two branches that are multiplied, and the old rate again."""
    down = Conv1d(1, 4, 4, stride=2)
    gates = Chain(Conv1d(4, 4, 3, dilation=2), nn.Sigmoid())
    joined = Multiply(gates, Add(nn.Identity(), Conv1d(4, 4, 1)))
    return Chain(down, joined, ConvTranspose1d(4, 1, 3, stride=2)).eval()


def last() -> SequenceModel:
    return SequenceModel(
        Chain(Conv1d(1, 3, 3, stride=3), TCN(3, [4, 4], 2)), 2, readout="last"
    ).eval()


def twice() -> Chain:
    """Modules that come several times have the same weights, and a state in each place."""
    gate, shared = nn.Tanh(), Conv1d(3, 3, 3, dilation=2)
    half = Chain(shared, Conv1d(3, 3, 2, stride=2), gate)
    return Chain(Conv1d(1, 3, 3), half, gate, half, Upsample(4), Conv1d(3, 1, 2), gate).eval()


NETS: list[Callable[[], SequenceModule]] = [voices, words, branches, last, twice]
EVERY = pytest.mark.parametrize("make", NETS)


def pushed(session: StreamSession, x: Tensor, cuts: list[int]) -> list[Tensor]:
    places = [0, *sorted(cuts), x.shape[-1]]
    return [session.push(x[..., a:b]) for a, b in pairwise(places) if b > a]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-4, atol=2e-5)


@EVERY
def test_there_are_native_parts(make: Callable[[], SequenceModule]) -> None:
    session = StreamSession(make(), ROWS)
    assert isinstance(session._engine, PartlyNativeRows)
    assert not session.native
    assert not isinstance(StreamSession(make(), native=False)._engine, PartlyNativeRows)


@EVERY
@given(cuts=st.lists(st.integers(1, 160), max_size=8))
def test_chunks_of_any_length_are_the_whole(
    make: Callable[[], SequenceModule], cuts: list[int]
) -> None:
    torch.manual_seed(0)
    net, x = make(), torch.randn(ROWS, 1, 161)
    outputs = pushed(StreamSession(net, ROWS), x, cuts)
    whole = net(x)
    close(outputs[-1] if whole.dim() == 2 else torch.cat(outputs, -1), whole)


@EVERY
def test_the_state_is_that_of_step(make: Callable[[], SequenceModule], tmp_path: Path) -> None:
    net, x = make(), torch.randn(ROWS, 1, 95)
    ours, theirs = StreamSession(net, ROWS), StreamSession(net, ROWS, native=False)
    for session in (ours, theirs):
        session.push(x[..., :33])
    wanted = theirs.push(x[..., 33:])
    close(ours.fork().push(x[..., 33:]), wanted)
    close(StreamSession(net, ROWS, initial=ours, native=False).push(x[..., 33:]), wanted)
    ours.save(tmp_path / "session")
    close(StreamSession.load(tmp_path / "session", net).push(x[..., 33:]), wanted)
    again = StreamSession(net, ROWS)
    again.push(x)
    before = StreamSession(net, ROWS, native=False)
    before.push(x[..., :33])
    again.state = before.state
    close(again.push(x[..., 33:]), wanted)


@EVERY
def test_rows_begin_anew(make: Callable[[], SequenceModule]) -> None:
    net, x = make(), torch.randn(ROWS, 1, 60)
    session = StreamSession(net, ROWS)
    first = session.push(x)
    session.reset()
    assert torch.equal(session.push(x), first)


@pytest.mark.parametrize("initial", ["first", "silence"])
def test_rows_begin_in_a_steady_state(initial: str) -> None:
    net, x = branches(), torch.randn(ROWS, 1, 40)
    ours, theirs = (StreamSession(net, ROWS, initial=initial, native=n) for n in (None, False))
    close(ours.push(x), theirs.push(x))


def test_a_state_of_another_net_is_refused_and_nothing_has_happened() -> None:
    net, x = branches(), torch.randn(ROWS, 1, 40)
    session, other = StreamSession(net, ROWS), StreamSession(voices(), ROWS)
    other.push(x)
    session.push(x[..., :20])
    with pytest.raises(ValueError, match="state"):
        session.state = other.state
    close(session.push(x[..., 20:]), net(x)[..., 20:])


def test_a_push_that_ends_half_way_is_not_gone_on_from() -> None:
    net, x = branches(), torch.randn(ROWS, 1, 40)
    session = StreamSession(net, ROWS)
    session.push(x[..., :20])
    up = net[2]
    whole = up.weight.data
    up.weight.data = whole[:1]
    with pytest.raises(RuntimeError):
        session.push(x[..., 20:])
    up.weight.data = whole
    with pytest.raises(RuntimeError, match=r"interrupted half-way.*reset\(\) the session"):
        session.push(x[..., 20:])
    session.reset()
    close(session.push(x), net(x))


@pytest.mark.parametrize(
    "net",
    [
        Chain(Conv1d(1, 2, 2), BatchNorm(2)),  # native as a whole
        Chain(Conv1d(1, 2, 2, stride=2), AddCondition(2, 3), Conv1d(2, 2, 2)),
        Chain(Conv1d(1, 2, 2, stride=2), Conv1d(2, 2, 2)).double(),
        Add(nn.Identity(), Chain(Conv1d(1, 1, 2, stride=2), Conv1d(1, 1, 2), Upsample(2))),
        Chain(Conv1d(1, 2, 2, stride=2)),  # nothing that is native
    ],
    ids=["no stride", "conditioned", "double", "uneven", "stride alone"],
)
def test_other_nets_are_left_to_pytorch(net: SequenceModule) -> None:
    assert compile_parts(net.eval()) is None


def test_a_net_in_half_precision_around_native_parts() -> None:
    """Under autocast PyTorch's layers give bfloat16, and native parts stay in float32."""
    net, x = branches(), torch.randn(ROWS, 1, 40)
    with torch.autocast("cpu", torch.bfloat16):
        found = StreamSession(net, ROWS).push(x)
    torch.testing.assert_close(found.float(), net(x).detach(), rtol=0.05, atol=0.05)
