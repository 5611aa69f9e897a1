"""A stream of many users gives each what the whole-sequence net gives on all that user sent."""

import copy
import gc
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import StreamSession
from tcn.inference.state import flatten, skeleton
from tcn.layers import Chain, Conv1d, ConvTranspose1d, FiLM, GatedBlock, SequenceModule, SkipSum
from tcn.models import GRU, LSTM, RNN, TCN, SequenceModel

TOKENS = 5


def conditioned(block: str = "residual") -> SequenceModel:
    net = TCN(2, [3, 4], 2, block=block, modulation=lambda channels: FiLM(channels, 3))
    return SequenceModel(net, 2)


def skip_sum() -> SequenceModule:
    blocks = [GatedBlock(2, 2, 2, dilation=2**i, skip_channels=3) for i in range(3)]
    net = SkipSum(blocks)
    net.in_channels, net.out_channels = 2, 3
    return net


NETS: dict[str, Callable[[], SequenceModule]] = {
    "tcn": lambda: TCN(2, [4, 3], 3),
    "one_tap": lambda: TCN(2, [4, 3], 1),
    "layer_norm": lambda: SequenceModel(TCN(2, [4], 3, norm="layer"), 2),
    "cumulative": lambda: SequenceModel(TCN(2, [4], 3, norm="cumulative"), 2),
    "gated": lambda: SequenceModel(TCN(2, [3, 3], 2, block="gated"), 2),
    "skip_sum": skip_sum,
    "lstm": lambda: SequenceModel(LSTM(2, 4, 2), 3),
    "gru": lambda: GRU(2, 3),
    "rnn": lambda: RNN(2, 3),
    "tokens": lambda: SequenceModel(TCN(3, [4, 4], 2), TOKENS, embedding=TOKENS),
    "last": lambda: SequenceModel(TCN(2, [4, 4], 2), 3, readout="last"),
    "mean": lambda: SequenceModel(TCN(2, [4, 4], 2), 3, readout="mean"),
    "max": lambda: SequenceModel(LSTM(2, 3), 3, readout="max"),
    "attention": lambda: SequenceModel(TCN(2, [4, 4], 2), 3, readout="attention"),
    "conditioned": conditioned,
    "conditioned_series": lambda: conditioned("gated"),
}


def build(name: str, seed: int = 0) -> SequenceModule:
    torch.manual_seed(seed)
    return NETS[name]().eval()


def inputs(name: str, rows: int, time: int, generator: torch.Generator) -> Tensor:
    if name == "tokens":
        return torch.randint(TOKENS, (rows, time), generator=generator)
    return torch.randn(rows, 2, time, generator=generator)


def condition_of(name: str, x: Tensor) -> Tensor | None:
    """A condition that follows from the input, so that a row's history implies it."""
    if not name.startswith("conditioned"):
        return None
    series = torch.cat([x, x[:, :1].sin()], 1)
    return series if name == "conditioned_series" else torch.full((len(x), 3), 0.5)


def whole(name: str, net: SequenceModule, x: Tensor) -> Tensor:
    condition = condition_of(name, x)
    with torch.no_grad():
        return net(x) if condition is None else net(x, condition=condition)


def push(name: str, session: StreamSession, x: Tensor, rows: list[int] | None = None) -> Tensor:
    return session.push(x, rows=rows, condition=condition_of(name, x))


def assert_close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def ending(y: Tensor, steps: int) -> Tensor:
    """The outputs of the last steps; a readout over time as it is."""
    return y if y.dim() == 2 else y[..., -steps:]


# ------------------------------------------------------------------ equal to the whole

ACTIONS = st.lists(
    st.tuples(st.sets(st.integers(0, 2)), st.integers(1, 6), st.booleans()), min_size=1, max_size=6
)


@settings(max_examples=120)
@given(
    st.sampled_from(sorted(NETS)), ACTIONS, st.sampled_from([None, False]), st.integers(0, 10**6)
)
def test_rows_come_pause_and_go(
    name: str, actions: list[tuple[set[int], int, bool]], native: bool | None, seed: int
) -> None:
    check_actions(name, actions, native, seed)


@pytest.mark.slow
@settings(max_examples=1000)
@given(
    st.sampled_from(sorted(NETS)), ACTIONS, st.sampled_from([None, False]), st.integers(0, 10**6)
)
def test_rows_come_pause_and_go_often(
    name: str, actions: list[tuple[set[int], int, bool]], native: bool | None, seed: int
) -> None:
    check_actions(name, actions, native, seed)


def check_actions(
    name: str, actions: list[tuple[set[int], int, bool]], native: bool | None, seed: int
) -> None:
    """Each action: which rows (all if none), how many steps, and whether they begin anew."""
    net, generator = build(name, seed), torch.Generator().manual_seed(seed)
    session = StreamSession(net, 3, native=native)
    history: list[Tensor | None] = [None] * 3
    for chosen, time, anew in actions:
        rows = sorted(chosen) or None
        moving = rows or [0, 1, 2]
        if anew:
            session.reset(rows)
        x = inputs(name, len(moving), time, generator)
        y = push(name, session, x, rows)
        for position, row in enumerate(moving):
            before = None if anew else history[row]
            now = x[position : position + 1]
            history[row] = now if before is None else torch.cat([before, now], -1)
            expected = ending(whole(name, net, history[row]), time)
            assert_close(y[position : position + 1], expected)


def test_the_native_program_is_what_is_tested_where_it_exists() -> None:
    pytest.importorskip("tcn.native.stream")
    from tcn.native import library

    if library() is None:
        pytest.skip("no native library")
    assert StreamSession(build("gated")).native
    assert not StreamSession(build("gated"), native=False).native
    assert not StreamSession(build("lstm")).native
    with pytest.raises(ValueError, match="native: True, but SequenceModel cannot run natively"):
        StreamSession(build("lstm"), native=True)


@pytest.mark.parametrize("name", ["tcn", "lstm", "conditioned_series"])
def test_double_precision(name: str) -> None:
    net, generator = build(name).double(), torch.Generator().manual_seed(0)
    x = inputs(name, 2, 20, generator).double()
    session = StreamSession(net, 2)
    y = torch.cat([push(name, session, part) for part in x.split([1, 12, 7], -1)], -1)
    assert_close(y, whole(name, net, x), 1e-12)


def test_two_dimensions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = TCN(1, [3, 3], 2, ndim=2, causal=True).eval()
    x = torch.randn(2, 1, 4, 9)
    session = StreamSession(net, 2)
    first = session.push(x[:1, ..., :4], rows=[0])
    both = session.push(torch.cat([x[:1, ..., 4:], x[1:, ..., :5]]))
    with torch.no_grad():
        assert_close(torch.cat([first, both[:1]], -1), net(x[:1]))
        assert_close(both[1:], net(x[1:, ..., :5]))
    assert session.gather([1]).finish().shape == (1, 3, 4, 0)
    other = StreamSession(net, 2)
    other.scatter([1, 0], session)
    assert other.finish().shape == (2, 3, 4, 0)
    session.save(tmp_path / "images.safetensors")
    assert StreamSession.load(tmp_path / "images.safetensors", net).finish().shape == (2, 3, 4, 0)


def test_nets_that_change_the_length_advance_all_rows_together() -> None:
    torch.manual_seed(0)
    net = Chain(down=Conv1d(2, 3, 3, stride=2), up=ConvTranspose1d(3, 2, 4, stride=2)).eval()
    half = Chain(down=Conv1d(2, 3, 3, stride=2)).eval()
    x = torch.randn(2, 2, 11)
    for each in (net, half):
        session = StreamSession(each, 2, initial="zeros")
        y = torch.cat([session.push(part) for part in x.split([1, 4, 6], -1)], -1)
        with torch.no_grad():
            assert_close(y, each(x))
    with pytest.raises(ValueError, match="with a stride all rows must advance together"):
        session.push(x[:1], rows=[0])
    with pytest.raises(ValueError, match="nan: 'skip', but"):
        StreamSession(half, nan="skip")


def test_no_gradient_is_kept() -> None:
    session = StreamSession(build("tcn"), native=False)
    assert not session.push(torch.randn(1, 2, 3)).requires_grad


# ------------------------------------------------------------------------- look-ahead


@pytest.mark.parametrize("readout", ["every", "last", "mean"])
@pytest.mark.parametrize("block", ["residual", "gated"])
def test_a_net_that_looks_ahead_is_late_by_its_latency(block: str, readout: str) -> None:
    torch.manual_seed(0)
    backbone = TCN(2, [3, 3], 3, block=block, lookahead=4)
    net = SequenceModel(backbone, 2, readout=readout).eval()
    x = torch.randn(3, 2, 17)
    session = StreamSession(net, 3, sample_rate=8.0)
    assert session.latency == 4
    assert session.latency_seconds == 0.5
    parts = [session.push(part) for part in x.split([5, 1, 11], -1)]
    parts.append(session.finish())
    with torch.no_grad():
        if readout == "every":
            assert_close(torch.cat(parts, -1)[..., 4:], net(x))
        else:
            assert_close(parts[-1], net(x))
    again = session.push(x[:, :, :6])
    with torch.no_grad():
        expected = StreamSession(net, 3).push(x[:, :, :6])
    assert_close(again, expected)


def test_one_row_that_looks_ahead_ends_alone() -> None:
    torch.manual_seed(0)
    net = TCN(2, [3, 3], 3, lookahead=3, modulation=lambda channels: FiLM(channels, 2)).eval()
    x, condition = torch.randn(2, 2, 9), torch.randn(2, 2, 9)
    session = StreamSession(net, 2)
    first = session.push(x[..., :5], condition=condition[..., :5])
    last = session.finish(rows=[1], condition=condition[1:, :, :5])
    other = session.push(x[:1, :, 5:], rows=[0], condition=condition[:1, :, 5:])
    rest = session.finish(rows=[0], condition=condition[:1])
    with torch.no_grad():
        short = net(x[1:, :, :5], condition=condition[1:, :, :5])
        long = net(x[:1], condition=condition[:1])
    assert_close(torch.cat([first[1:], last], -1)[..., 3:], short)
    assert_close(torch.cat([first[:1], other, rest], -1)[..., 3:], long)


def test_without_latency_nothing_is_left_to_finish() -> None:
    session = StreamSession(build("tcn"), 2)
    with pytest.raises(ValueError, match=r"rows: \[0, 1\] have not begun"):
        session.finish()
    session.push(torch.randn(2, 2, 3))
    assert session.finish().shape == (2, 3, 0)


# --------------------------------------------------------------------- what came before

LONG = 600


def before(initial: str, x: Tensor) -> Tensor:
    """The input with a long constant before it: the definition of ``initial``."""
    first = x[..., :1] if initial == "first" else torch.zeros_like(x[..., :1])
    return torch.cat([first.expand(*x.shape[:-1], LONG), x], -1)


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("initial", ["silence", "first"])
@pytest.mark.parametrize("name", ["tcn", "gated", "lstm", "gru", "last", "conditioned", "tokens"])
def test_steady_states(name: str, initial: str, native: bool | None) -> None:
    if name == "tokens" and initial == "silence":
        pytest.skip("no token is silence")
    net, generator = build(name), torch.Generator().manual_seed(0)
    session = StreamSession(net, 3, initial=initial, native=native)
    x = inputs(name, 3, 7, generator)
    early = push(name, session, x[:2, ..., :4], [0, 1])
    y = push(name, session, torch.cat([x[:2, ..., 4:], x[2:, ..., :3]]))
    for row in (0, 1):
        expected = whole(name, net, before(initial, x[row : row + 1]))
        got = y[row : row + 1]
        if y.dim() > 2:
            got = torch.cat([early[row : row + 1], got], -1)
        assert_close(got, ending(expected, 7))
    assert_close(y[2:], ending(whole(name, net, before(initial, x[2:, ..., :3])), 3))
    session.reset([1])
    again = push(name, session, x[2:], [1])
    assert_close(again, ending(whole(name, net, before(initial, x[2:])), 7))


def test_a_steady_state_with_a_condition_of_each_step_holds_its_first() -> None:
    net = build("conditioned_series")
    x, condition = torch.randn(1, 2, 6), torch.randn(1, 3, 6)
    held = torch.cat([condition[..., :1].expand(1, 3, LONG), condition], -1)
    y = StreamSession(net, initial="first").push(x, condition=condition)
    with torch.no_grad():
        expected = net(before("first", x), condition=held)
    assert_close(y, expected[..., -6:])


@pytest.mark.parametrize("initial", ["silence", "first"])
def test_a_steady_state_of_a_net_that_looks_ahead(initial: str) -> None:
    torch.manual_seed(0)
    net = TCN(2, [3, 3], 3, lookahead=4).eval()
    x = torch.randn(2, 2, 9)
    session = StreamSession(net, 2, initial=initial)
    y = torch.cat([session.push(x[..., :2]), session.push(x[..., 2:]), session.finish()], -1)
    with torch.no_grad():
        assert_close(y[..., 4:], net(before(initial, x))[..., -9:])


@pytest.mark.parametrize("name", ["cumulative", "mean"])
def test_what_counts_for_ever_has_no_steady_state(name: str) -> None:
    session = StreamSession(build(name), initial="first")
    with pytest.raises(ValueError, match="still changes after 12700 steps of a constant"):
        session.push(torch.ones(1, 2, 1))


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("name", ["tcn", "lstm", "last"])
def test_a_carried_state(name: str, native: bool | None) -> None:
    net, generator = build(name), torch.Generator().manual_seed(0)
    past, x = inputs(name, 2, 9, generator), inputs(name, 2, 4, generator)
    expected = ending(whole(name, net, torch.cat([past, x], -1)), 4)
    with torch.no_grad():
        state = net.step(past)[1]
    earlier = StreamSession(net, 2)
    earlier.push(past)
    for initial in (state, earlier):
        session = StreamSession(net, 2, initial=initial, native=native)
        assert_close(session.push(x), expected)
        session.reset([1])
        assert_close(session.push(x[1:], rows=[1]), expected[1:])
    with torch.no_grad():
        one = net.step(past[:1])[1]
    both = StreamSession(net, 2, initial=one, native=native).push(x[:1].expand(2, -1, -1))
    assert_close(both, expected[:1].expand_as(both))


def test_the_state_is_that_of_step() -> None:
    net = build("gated")
    x = torch.randn(2, 2, 9)
    session = StreamSession(net, 2)
    assert session.state is None
    session.push(x[..., :5])
    with torch.no_grad():
        y, expected = net.step(x[..., 5:], session.state)
    assert_close(session.push(x[..., 5:]), y)
    assert skeleton(session.state) == skeleton(expected)
    for a, b in zip(flatten(session.state), flatten(expected), strict=True):
        assert_close(a, b)
    other = StreamSession(net, 2, native=False)
    other.state = expected
    assert_close(other.push(x), session.push(x))
    other.state = None
    assert_close(other.push(x), whole("gated", net, x))
    other.reset([0])
    with pytest.raises(ValueError, match=r"rows: \[0\] have not begun"):
        _ = other.state


# -------------------------------------------------------------------- NaN and infinity

BAD = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 1), st.integers(0, 9),
        st.sampled_from([math.nan, math.inf, -math.inf]),
    ),
    max_size=8,
)  # fmt: skip


def held(x: Tensor) -> Tensor:
    """The last finite value in place of others, one value at a time."""
    x = x.clone()
    for row in x:
        for channel in row:
            last = 0.0
            for step, value in enumerate(channel.tolist()):
                last = value if math.isfinite(value) else last
                channel[step] = last
    return x


@settings(max_examples=50)
@given(BAD, st.sampled_from(["tcn", "lstm", "last"]), st.sampled_from([None, False]))
def test_hold(bad: list[tuple[int, int, int, float]], name: str, native: bool | None) -> None:
    net, generator = build(name), torch.Generator().manual_seed(0)
    x = inputs(name, 3, 10, generator)
    for row, channel, step, value in bad:
        x[row, channel, step] = value
    session = StreamSession(net, 3, nan="hold", native=native)
    parts = [session.push(part) for part in x.split([3, 1, 4, 2], -1)]
    expected = whole(name, net, held(x))
    got = parts[-1] if expected.dim() == 2 else torch.cat(parts, -1)
    assert_close(got, expected)
    assert session.replaced.tolist() == (~x.isfinite()).sum((1, 2)).tolist()


@settings(max_examples=50)
@given(BAD, st.sampled_from(["tcn", "lstm", "last"]), st.sampled_from([None, False]))
def test_skip(bad: list[tuple[int, int, int, float]], name: str, native: bool | None) -> None:
    net, generator = build(name), torch.Generator().manual_seed(0)
    x = inputs(name, 3, 10, generator)
    for row, channel, step, value in bad:
        x[row, channel, step] = value
    session = StreamSession(net, 3, nan="skip", native=native)
    parts = [session.push(part) for part in x.split([3, 1, 4, 2], -1)]
    for row in range(3):
        valid = x[row].isfinite().all(0).tolist()
        kept = x[row : row + 1, :, [step for step in range(10) if valid[step]]]
        y = whole(name, net, kept) if any(valid) else None
        if parts[0].dim() == 2:
            expected = torch.zeros(3) if y is None else y[0]
            assert_close(parts[-1][row], expected)
        else:
            got = torch.cat(parts, -1)[row]
            for step in range(10):
                seen = sum(valid[: step + 1])
                expected = y[0, :, seen - 1] if y is not None and seen else torch.zeros(3)
                assert_close(got[:, step], expected)
        assert session.replaced[row] == valid.count(False)


def test_raise_names_the_place_and_nothing_advances() -> None:
    net = build("tcn")
    x = torch.randn(3, 2, 8)
    session = StreamSession(net, 3)
    session.push(x[..., :4])
    for value in (math.nan, math.inf, -math.inf):
        bad = x[1:, :, 4:].clone()
        bad[1, 1, 2] = value
        message = rf"chunk: {value} in row 2, channel 1 at step 2 of 4; nothing has advanced"
        with pytest.raises(ValueError, match=message):
            session.push(bad, rows=[1, 2])
    assert_close(session.push(x[..., 4:]), whole("tcn", net, x)[..., 4:])
    assert session.replaced.tolist() == [0, 0, 0]


def test_finite_values_whose_sum_overflows_are_let_through() -> None:
    net = Chain(convolution=Conv1d(1, 1, 2)).eval()
    with torch.no_grad():
        net[0].weight.fill_(0.25)
    x = torch.full((1, 1, 4), 3e38)
    assert StreamSession(net).push(x).isfinite().all()


@pytest.mark.parametrize("nan", ["raise", "hold", "skip"])
def test_a_condition_must_be_finite(nan: str) -> None:
    session = StreamSession(build("conditioned"), 2, nan=nan)
    condition = torch.zeros(2, 3)
    condition[1, 2] = math.nan
    with pytest.raises(ValueError, match="condition: nan in row 1, channel 2; nothing"):
        session.push(torch.zeros(2, 2, 1), condition=condition)


@pytest.mark.parametrize("nan", ["hold", "skip"])
def test_a_new_user_gets_nothing_of_the_one_before(nan: str) -> None:
    net = build("tcn")
    session = StreamSession(net, 2, nan=nan)
    session.push(torch.ones(2, 2, 3))
    session.push(torch.full((2, 2, 1), math.nan))
    assert session.replaced.sum() > 0
    session.reset([1])
    assert session.replaced[1] == 0
    y = session.push(torch.full((1, 2, 1), math.nan), rows=[1])
    silence = whole("tcn", net, torch.zeros(1, 2, 1)) if nan == "hold" else torch.zeros(1, 3, 1)
    assert_close(y, silence)


# ---------------------------------------------------------- copies, moves and files


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("nan", ["raise", "hold", "skip"])
@pytest.mark.parametrize("name", ["gated", "lstm", "mean"])
def test_a_session_continues_from_a_file_and_from_a_fork(
    name: str, nan: str, native: bool | None, tmp_path: Path
) -> None:
    net, generator = build(name), torch.Generator().manual_seed(0)
    session = StreamSession(net, 3, nan=nan, sample_rate=10, native=native)
    session.push(inputs(name, 2, 5, generator), rows=[0, 2])  # row 1 has not begun
    if nan != "raise":
        session.push(torch.full((1, 2, 1), math.nan), rows=[2])
    session.save(tmp_path / "users.safetensors")
    loaded = StreamSession.load(tmp_path / "users.safetensors", net)
    fork = session.fork()
    assert loaded.sample_rate == 10
    x = inputs(name, 3, 4, generator)
    if nan != "raise":
        x[2, :, 0] = math.nan
    expected = session.push(x)
    for other in (loaded, fork):
        assert_close(other.push(x), expected)
        assert torch.equal(other.replaced, session.replaced)
    fork.reset()
    assert_close(session.push(x[:1], rows=[0]), loaded.push(x[:1], rows=[0]))


@pytest.mark.parametrize("initial", ["first", "carried"])
def test_a_file_keeps_what_rows_begin_with(initial: str, tmp_path: Path) -> None:
    net = build("tcn")
    x = torch.randn(2, 2, 5)
    state = net.step(torch.randn(2, 2, 9))[1] if initial == "carried" else initial
    session = StreamSession(net, 2, initial=state)
    session.save(tmp_path / "s")
    other = StreamSession.load(tmp_path / "s", net)
    expected = session.push(x)[1:]
    assert_close(other.push(x[1:], rows=[1]), expected)
    alone = session.gather([1])
    alone.reset()
    assert_close(alone.push(x[1:]), expected)


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, StreamSession.fork])
def test_a_copy_is_a_fork(native: bool | None, duplicate: Callable[..., StreamSession]) -> None:
    net, x = build("gated"), torch.randn(2, 2, 9)
    session = StreamSession(net, 2, native=native, nan="hold")
    session.push(x[..., :5])
    other = duplicate(session)
    other.push(torch.randn(2, 2, 3))
    assert other.net is net
    assert_close(session.push(x[..., 5:]), whole("gated", net, x)[..., 5:])
    with pytest.raises(TypeError, match=r"cannot be pickled; use save\(\)"):
        pickle.dumps(session)


@pytest.mark.parametrize("native", [None, False])
def test_rows_leave_and_return_while_others_go_on(native: bool | None) -> None:
    net = build("gated")
    x = torch.randn(4, 2, 12)
    expected = whole("gated", net, x)
    session = StreamSession(net, 4, native=native)
    session.push(x[..., :5])
    away = session.gather([3, 1])
    assert_close(away.push(x[[3, 1], :, 5:9]), expected[[3, 1], :, 5:9])
    assert_close(session.push(x[[0, 2], :, 5:], rows=[0, 2]), expected[[0, 2], :, 5:])
    session.scatter([3, 1], away)
    away.push(x[:2, :, :1])
    assert_close(session.push(x[[1, 3], :, 9:], rows=[1, 3]), expected[[1, 3], :, 9:])
    session.scatter([0], StreamSession(net, 1, native=native))
    assert_close(session.push(x[:1], rows=[0]), expected[:1])


def test_scatter_refuses_what_does_not_fit() -> None:
    session = StreamSession(build("tcn"), 3)
    with pytest.raises(ValueError, match="other: 2 rows in place of 1"):
        session.scatter([0], StreamSession(build("tcn"), 2))
    with pytest.raises(ValueError, match="nan='hold' into a session with nan='raise'"):
        session.scatter([0], StreamSession(build("tcn"), nan="hold"))
    with pytest.raises(ValueError, match="other: it belongs to another net: parameter"):
        session.scatter([0], StreamSession(build("lstm")))


def saved(path: Path) -> Path:
    session = StreamSession(build("tcn"), 2)
    session.push(torch.randn(2, 2, 5))
    session.save(path)
    return path


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path, net = saved(tmp_path / "users.safetensors"), build("tcn")
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    generator = torch.Generator().manual_seed(0)
    places = [0, 7, header, len(data) - 1, *range(8, header, 37)]
    places += torch.randint(len(data), (60,), generator=generator).tolist()
    for place in places:
        if data[place] == ord(" "):
            continue  # the header ends in blanks
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"path: .*users\.safetensors"):
            StreamSession.load(path, net)
    for length in (0, 5, header - 1, header, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"path: .*users\.safetensors is cut off or damaged"):
            StreamSession.load(path, net)


def test_a_file_of_another_kind_version_or_net_is_refused(tmp_path: Path) -> None:
    import safetensors.torch

    path = saved(tmp_path / "users.safetensors")
    with pytest.raises(ValueError, match=r"another net: parameter 'recurrence\.weight_ih_l0'"):
        StreamSession.load(path, build("gru"))
    with pytest.raises(ValueError, match=r"has shape \[3\] there and \[5\] in this TCN"):
        StreamSession.load(path, TCN(2, [4, 5], 3).eval())
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="holds no stream"):
        StreamSession.load(path, build("tcn"))
    metadata = {"format": "tcn stream", "version": "99"}
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(ValueError, match="version '99', this library reads '1'"):
        StreamSession.load(path, build("tcn"))
    with pytest.raises(FileNotFoundError):
        StreamSession.load(tmp_path / "absent", build("tcn"))


def test_a_net_with_folded_weight_norm_continues(tmp_path: Path) -> None:
    from tcn.layers import fold_weight_norm

    path, x = saved(tmp_path / "users.safetensors"), torch.randn(2, 2, 3)
    expected = StreamSession.load(path, build("tcn")).push(x)
    folded = fold_weight_norm(build("tcn"))
    assert_close(StreamSession.load(path, folded).push(x), expected)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "users.safetensors")
    data = path.read_bytes()
    session = StreamSession(build("tcn"))
    session.sample_rate = object()  # type: ignore[assignment]  # what JSON cannot hold
    with pytest.raises(TypeError):
        session.save(path)
    assert path.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir()] == ["users.safetensors"]


# ------------------------------------------------------------------------- what is refused


class Foreign(nn.Module):
    """Not one of ours."""


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"net": Foreign()}, TypeError, "net: Foreign is not a tcn.layers.SequenceModule"),
        ({"net": TCN(1, [1], 3, causal=False).eval()}, TypeError, "cannot stream: a convolution"),
        ({"net": TCN(1, [1], 3).train()}, ValueError, r"in training mode.*call net\.eval\(\)"),
        ({"batch_size": 0}, ValueError, "batch_size: 0"),
        ({"nan": "drop"}, ValueError, "nan: 'drop' is not one of 'raise', 'hold', 'skip'"),
        ({"initial": "noise"}, ValueError, "initial: 'noise' is not one of"),
        ({"initial": None}, TypeError, "initial: None is neither one of 'zeros', .* nor a state"),
        ({"initial": 3}, TypeError, "initial: 3 is neither one of 'zeros', .* nor a state"),
        (
            {"initial": StreamSession(TCN(2, [7], 3).eval())},
            ValueError,
            "initial: it belongs to another net: parameter",
        ),
        ({"sample_rate": 0}, ValueError, "sample_rate: 0 must be above 0"),
        ({"initial": (torch.zeros(3, 1),)}, ValueError, r"a state of \[3\] rows for batch_size=1"),
    ],
)
def test_wrong_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        StreamSession(**{"net": build("tcn"), **arguments})


@pytest.mark.parametrize("native", [None, False])
def test_wrong_chunks(native: bool | None) -> None:
    session = StreamSession(build("tcn"), 2, native=native)
    good = torch.zeros(2, 2, 3)
    for chunk in (good[0], good[:1], good[:, :1], good.double(), good[..., :0]):
        with pytest.raises(ValueError, match="chunk: "):
            session.push(chunk)
    with pytest.raises(TypeError, match="chunk: ndarray is not a tensor"):
        session.push(good.numpy())
    with pytest.raises(ValueError, match=r"chunk: shape \(2, 2, 3\) for 1 rows of TCN; expected"):
        session.push(good, rows=[1])
    with pytest.raises(ValueError, match="condition: "):
        session.push(good, condition=torch.zeros(2, 1))
    with pytest.raises(ValueError, match="condition: 1 rows for a chunk of 2"):
        session.push(good, condition=torch.zeros(1, 1))
    assert session.state is None
    session.push(good)
    with pytest.raises(ValueError, match="state"):
        session.state = build("lstm").step(good)[1]


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("kind", ["wider", "longer", "double", "lstm", "rows"])
def test_a_state_of_another_net_is_refused_before_anything_has_begun(
    native: bool | None, kind: str
) -> None:
    net, x = build("tcn"), torch.randn(2, 2, 5)
    state: Any = {
        "wider": lambda: TCN(2, [5, 3], 3).eval().step(x)[1],
        "longer": lambda: TCN(2, [4, 3], 4).eval().step(x)[1],
        "double": lambda: build("tcn").double().step(x.double())[1],
        "lstm": lambda: build("lstm").step(x)[1],
        "rows": lambda: net.step(torch.cat([x, x]))[1],
    }[kind]()
    session = StreamSession(net, 2, native=native)
    with pytest.raises(ValueError, match=r"state: .*net"):
        session.state = state
    assert session.state is None
    with torch.no_grad():
        assert_close(session.push(x), net(x))
    with pytest.raises(ValueError, match=r"initial: .*state"):
        StreamSession(net, 2, initial=state, native=native)


@pytest.mark.parametrize("name", sorted(NETS))
@pytest.mark.parametrize("native", [None, False])
def test_a_state_of_the_net_is_taken_before_anything_has_begun(
    name: str, native: bool | None
) -> None:
    net = build(name)
    x = inputs(name, 2, 9, torch.Generator().manual_seed(0))
    early, late = x[..., :5], x[..., 5:]
    source = StreamSession(net, 2, native=False)
    push(name, source, early)
    state = source.state
    expected = push(name, source, late)
    session = StreamSession(net, 2, native=native)
    session.state = state
    assert_close(push(name, session, late), expected)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("block", ["residual", "gated"])
def test_a_state_of_either_kind_of_condition_is_taken(per_step: bool, block: str) -> None:
    torch.manual_seed(0)
    modulation = partial(FiLM, condition_channels=3)
    net = TCN(2, [4, 4], 3, lookahead=3, block=block, modulation=modulation).eval()
    x = torch.randn(2, 2, 9)
    condition = torch.randn(2, 3, 9) if per_step else torch.randn(2, 3, 1)
    early, late = (condition[..., :5], condition[..., 5:]) if per_step else [condition[..., 0]] * 2
    source = StreamSession(net, 2, native=False)
    source.push(x[..., :5], condition=early)
    state = source.state
    expected = source.push(x[..., 5:], condition=late)
    session = StreamSession(net, 2, native=False)
    session.state = state
    assert_close(session.push(x[..., 5:], condition=late), expected)
    begun = StreamSession(net, 2, initial=state)
    assert_close(begun.push(x[..., 5:], condition=late), expected)


def test_a_state_of_any_height_or_phase_is_taken() -> None:
    torch.manual_seed(0)
    image = TCN(1, [3, 3], 2, ndim=2, causal=True).eval()
    half = Chain(down=Conv1d(2, 3, 3, stride=2)).eval()
    hourglass = Chain(down=Conv1d(2, 3, 3, stride=2), up=ConvTranspose1d(3, 2, 4, stride=2)).eval()
    half.in_channels = hourglass.in_channels = 2
    sequence = torch.randn(2, 2, 9)
    for net, x in ((image, torch.randn(2, 1, 4, 9)), (half, sequence), (hourglass, sequence)):
        source = StreamSession(net, 2)
        source.push(x[..., :5])
        session = StreamSession(net, 2)
        session.state = source.state
        assert_close(session.push(x[..., 5:]), source.push(x[..., 5:]))


@pytest.mark.parametrize("nan", ["raise", "hold", "skip"])
@pytest.mark.parametrize("name", ["tcn", "lstm"])
@pytest.mark.parametrize("native", [None, False])
def test_inference_mode_may_come_and_go(nan: str, name: str, native: bool | None) -> None:
    net, x = build(name), torch.randn(3, 2, 12)
    with torch.inference_mode():
        session = StreamSession(net, 3, nan=nan, native=native)
        session.push(x[:1, :, :2], rows=[0])
        session.push(x[1:, :, :2], rows=[1, 2])
        fork = session.fork()
        outputs = [session.push(x[..., 2:4])]
    for each in (session, fork):
        each.push(x[:1, :, :1], rows=[0])
        each.reset([0])
        each.push(x[:1, :, :4], rows=[0])
    outputs.append(session.push(x[..., 4:8]))
    with torch.inference_mode():
        outputs.append(session.push(x[..., 8:]))
    expected = whole(name, net, x)
    assert_close(torch.cat(outputs, -1)[1:], expected[1:, :, 2:])


@pytest.mark.parametrize("native", [None, False])
def test_a_wrong_condition_is_refused_also_at_the_end(native: bool | None) -> None:
    session = StreamSession(build("conditioned"), 2, native=native)
    x, good = torch.zeros(2, 2, 3), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"condition: torch\.float64, the net takes torch\.float3"):
        session.push(x, condition=good.double())
    session.push(x, condition=good)
    wrong = good.clone()
    wrong[1, 2] = math.nan
    with pytest.raises(ValueError, match="condition: nan in row 1, channel 2; nothing"):
        session.finish(condition=wrong)
    with pytest.raises(ValueError, match="condition: 2 rows for a chunk of 1"):
        session.finish([0], condition=good)
    assert session.finish(condition=good).shape == (2, 2, 0)


def test_wrong_tokens() -> None:
    session = StreamSession(build("tokens"), 2)
    with pytest.raises(ValueError, match=f"tokens from 0 to {TOKENS}"):
        session.push(torch.tensor([[0], [TOKENS]]))
    with pytest.raises(ValueError, match="no token is silence"):
        StreamSession(build("tokens"), initial="silence")


def test_a_net_put_into_training_is_noticed() -> None:
    net = build("lstm")
    session = StreamSession(net)
    net.train()
    with pytest.raises(ValueError, match="in training mode"):
        session.push(torch.zeros(1, 2, 1))


# ---------------------------------------------------------------------- a long time


def resident() -> int:
    """Bytes of this process in memory, what PyTorch and native code hold included."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if file.exists() else 0


def check_long_run(name: str, steps: int, chunk: int, native: bool | None) -> int:
    """Memory stays, and the end is what the last receptive field alone gives.

    Returns by how many bytes this process grew from a tenth of the way to its end.
    """
    net = build(name)
    session = StreamSession(net, native=native)
    generator = torch.Generator().manual_seed(0)
    window = 64  # beyond the receptive field, and where the gated recurrences have forgotten
    recent = torch.zeros(1, 2, 0)
    memory = []
    tracemalloc.start()
    for begin in range(0, steps, chunk):
        x = torch.randn(1, 2, chunk, generator=generator)
        y = session.push(x)
        recent = torch.cat([recent, x], -1)[..., -window:]
        if begin in (steps // 10 // chunk * chunk, steps - chunk):
            gc.collect()  # what waits to be collected is not a leak
            memory.append((tracemalloc.get_traced_memory()[0], resident()))
    tracemalloc.stop()
    # Around PyTorch's layers some ten kilobytes settle; a state that grew would take far more.
    assert memory[1][0] - memory[0][0] < 60_000
    expected = whole(name, net, recent)
    assert_close(y[..., -1], expected[..., -1], 1e-4)
    return memory[1][1] - memory[0][1]


@pytest.mark.parametrize(("name", "native"), [("tcn", None), ("gated", None), ("tcn", False)])
def test_twenty_thousand_steps(name: str, native: bool | None) -> None:
    check_long_run(name, 20_000, 1 if native is None else 100, native)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "native"), [("tcn", None), ("lstm", None), ("tcn", False)])
def test_a_million_steps(name: str, native: bool | None) -> None:
    """In a process of its own: what other tests left there grows and shrinks on its own account."""
    chunk = 100 if name == "lstm" or native is False else 1
    code = (
        f"from {Path(__file__).parent.name}.{Path(__file__).stem} import check_long_run\n"
        f"print(check_long_run({name!r}, 1_000_000, {chunk}, {native}))"
    )
    tests = Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 8_000_000
