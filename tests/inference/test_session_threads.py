"""Threads that share a session: each row gives what it would give alone, and nothing ends early."""

import sys
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tcn.inference import StreamSession
from tcn.inference.compile import compile_stream
from tcn.models import TCN

THREADS, TURNS = 4, 300


def in_threads(work: Callable[[int], object], count: int = THREADS) -> list[BaseException]:
    """Calls ``work`` with each number in a thread of its own; returns what they raised."""
    raised: list[BaseException] = []
    together = threading.Barrier(count)

    def run(number: int) -> None:
        together.wait()
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # a thousand times more often than usual
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return raised


@pytest.fixture
def net() -> TCN:
    torch.manual_seed(0)
    return TCN(1, [8, 8], 3).eval()


@pytest.mark.parametrize("native", [None, False])
@pytest.mark.parametrize("nan", ["raise", "hold"])
def test_rows_that_threads_push_give_what_they_give_alone(
    net: TCN, native: bool | None, nan: str
) -> None:
    turns = TURNS if native is None else TURNS // 10
    x = torch.randn(THREADS, 1, 3 * turns)
    session = StreamSession(net, THREADS, native=native, nan=nan)
    found: list[list[Tensor]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        begin = 0
        while begin < x.shape[-1]:  # lengths differ: so do the outputs that are made room for
            chunk = x[number : number + 1, :, begin : begin + 1 + (begin + number) % 5]
            found[number].append(session.push(chunk, rows=[number]))
            begin += chunk.shape[-1]

    assert not in_threads(work)
    with torch.no_grad():
        expected = net(x)
    torch.testing.assert_close(
        torch.stack([torch.cat(parts, -1)[0] for parts in found]), expected, rtol=1e-5, atol=1e-5
    )


def test_pushes_of_all_rows_come_one_after_the_other(net: TCN) -> None:
    session = StreamSession(net)
    session.push(torch.ones(1, 1, 1))

    def work(_: int) -> None:
        for _ in range(TURNS):
            session.push(torch.ones(1, 1, 1))

    assert not in_threads(work)
    with torch.no_grad():
        expected = net(torch.ones(1, 1, 50))[..., -1:]  # the receptive field is shorter
    torch.testing.assert_close(session.push(torch.ones(1, 1, 1)), expected)


def test_sessions_that_take_each_others_rows_do_not_wait_for_ever(net: TCN) -> None:
    sessions = [StreamSession(net, 2) for _ in range(2)]
    for session in sessions:
        session.push(torch.ones(2, 1, 3))

    def work(number: int) -> None:
        own, other = sessions[number % 2], sessions[1 - number % 2]
        for _ in range(TURNS // 3):
            own.scatter([1, 0], other)
            own.push(torch.ones(2, 1, 1))
            assert own.fork().batch_size == 2  # its rows may have been reset by another thread
            own.reset([0])
            own.push(torch.ones(1, 1, 2), rows=[0])

    assert not in_threads(work)


def test_rows_without_a_session_refuse_a_second_thread(net: TCN) -> None:
    program = compile_stream(net)
    if program is None:
        pytest.skip("the native library is not built")
    rows = program.rows(2)
    chunks = [torch.ones(2, 1, time) for time in (1, 700, 3000, 40)]
    with torch.no_grad():
        last = net(torch.ones(1, 1, 100))[0, :, -1]
    rows.push(torch.ones(2, 1, 100))  # from here on every output is the same
    refused: list[str] = []

    def work(number: int) -> None:
        for turn in range(TURNS):
            try:
                y = rows.push(chunks[(number + turn) % len(chunks)])
            except RuntimeError as error:
                refused.append(str(error))
                continue
            torch.testing.assert_close(y, last[:, None].expand_as(y), rtol=1e-4, atol=1e-4)

    assert not in_threads(work)
    assert refused
    assert all("in use by another thread" in message for message in refused)
