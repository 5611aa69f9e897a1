"""The speed benchmark measures what it says: the same work by all, ours first, ratios by turns."""

import json
import math
import re
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.speed import cases, page, sweeps
from benchmarks.speed.contestants import (
    PEER,
    TEXTBOOK,
    Net,
    TextbookTCN,
    check_equal,
    convolutional,
    count,
    hidden_for,
    peer_installed,
    recurrent,
)
from benchmarks.speed.limits import Limits
from benchmarks.speed.timing import ratios, spread, take_turns
from tcn.models import GRU, LSTM, TCN

TINY = Net(2, (3, 4), 3)


def test_the_contestants_compute_the_same_function() -> None:
    nets = convolutional(TINY)
    assert list(nets)[:2] == ["tcn", TEXTBOOK]
    x = torch.randn(3, 2, 17)
    for net in nets.values():
        torch.testing.assert_close(net.eval()(x), nets["tcn"].eval()(x))


@pytest.mark.skipif(not peer_installed(), reason="needs the extra 'peers'")
def test_the_peer_is_among_them_where_it_is_installed() -> None:
    assert PEER in convolutional(TINY)


def test_a_contestant_that_computes_something_else_is_refused() -> None:
    nets = {"tcn": TCN(2, [3, 4], 3), "other": TextbookTCN(TINY)}
    with pytest.raises(RuntimeError, match=r"other differs from tcn by \d"):
        check_equal(nets, torch.randn(1, 2, 9))


def test_recurrent_nets_have_as_many_parameters() -> None:
    net = Net(1, (25,) * 8, 7)
    budget = count(TCN(1, net.channels, 7))
    for built in recurrent(net).values():
        assert 0.97 * budget < count(built) <= budget


def test_their_steps_are_the_last_axis() -> None:
    x = torch.randn(2, 1, 9)
    for built in recurrent(Net(1, (5, 5), 3)).values():
        y = built(x)
        assert y.shape[::2] == (2, 9)
        torch.testing.assert_close(y[..., :4], built(x[..., :4]))


@pytest.mark.parametrize(("cell", "gates"), [(LSTM, 4), (GRU, 3)])
def test_one_unit_more_is_over_the_budget(cell: type, gates: int) -> None:
    hidden = hidden_for(5000, 3, gates)
    assert count(cell(3, hidden)) <= 5000 < count(cell(3, hidden + 1))


def test_multiplications_are_those_of_the_weights() -> None:
    # By hand: (2 + 3) * 3 * 3 + 2 * 3 and (3 + 4) * 4 * 3 + 3 * 4.
    assert TINY.multiplications == 45 + 6 + 84 + 12


def test_turns_alternate_and_ratios_are_taken_within_a_turn() -> None:
    called: list[str] = []
    turns = take_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3)
    runs = re.sub(r"(.)\1+", r"\1", "".join(called))
    assert runs.endswith("ababab")
    assert len(turns["a"]) == len(turns["b"]) == 3
    assert ratios([2.0, 6.0, 4.0], [1.0, 2.0, 2.0]).median == 2.0
    assert spread([1.0, 2.0, 3.0]).median == 2.0


def test_one_round_has_no_spread() -> None:
    with pytest.raises(ValueError, match=r"rounds is 1: give 2 or more, a spread needs them"):
        take_turns({"a": lambda: None}, rounds=1)


def test_a_row_says_how_many_times_longer_than_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases.training("tiny", TINY, 20, 2, 3)
    rows = page.measure(case, Limits(matrix=1e9, memory=1e9), threads=1, rounds=2)
    assert [row.contestant for row in rows][:2] == ["tcn", TEXTBOOK]
    assert rows[0].ratio.median == 1.0
    assert all(row.microseconds.median > 0 for row in rows)
    # 3 passes x 2 operations x 147 multiplications x 20 steps x 2 rows.
    assert case.operations == 3 * 2 * 147 * 20 * 2
    seconds = rows[0].microseconds.median / 1e6
    assert rows[0].share is not None
    assert math.isclose(rows[0].share, case.operations / seconds / 1e9, rel_tol=1e-6)


@pytest.mark.parametrize("build", [
    lambda: cases.training("last", TINY, 20, 2, 3, last_only=True),
    lambda: cases.whole("whole", TINY, 20, 2),
    lambda: cases.recurrent_training(LSTM, 4, 9, 2, 3),
    lambda: cases.streaming(TINY, 1),
    lambda: cases.streaming(TINY, 3),
    lambda: cases.drawing(3, 2, 2, 4),
])  # fmt: skip
def test_every_kind_of_case_runs(build) -> None:
    case = build()
    assert next(iter(case.actions)).startswith("tcn")
    for action in case.actions.values():
        action()


@pytest.mark.parametrize("size", sweeps.VALUES)
def test_a_sweep_changes_one_size(size: str) -> None:
    small = sweeps._with(sweeps.Setting(TINY, time=20, batch=2), size, 5)
    sizes = {
        "length": small.time,
        "batch": small.batch,
        "levels": len(small.net.channels),
        "channels": small.net.channels[0],
    }
    expected = {"length": 20, "batch": 2, "levels": 2, "channels": 3, size: 5}
    assert sizes == expected


def test_the_command_writes_json_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = sweeps.Setting(TINY, time=20, batch=2)
    monkeypatch.setattr(sweeps, "MIDDLE", tiny)
    monkeypatch.setattr(sweeps, "VALUES", dict.fromkeys(sweeps.VALUES, (1, 2)))
    monkeypatch.setattr(page, "cases", lambda: [("stream", lambda: cases.streaming(TINY, 1))])
    output = tmp_path / "speed.json"
    threads = torch.get_num_threads()
    arguments = ["speed", "--threads", "1", "--rounds", "2", "--json", str(output)]
    try:
        assert main(arguments) == 0
    finally:
        torch.set_num_threads(threads)
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["command"] == "python -m benchmarks " + " ".join(arguments)
    assert {row["contestant"] for row in content["rows"]} >= {"tcn", "nn.LSTM(2, 130)"}
    assert content["limits"]["1"]["matrix"] > 0
    assert len(content["sweeps"]) == 8
    assert output.with_suffix(".svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert "times ours" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "match"), [
    (["--threads", "0"], "threads is [0]: give 1 or more"),
    (["--only", "nothing"], "only is 'nothing': no kind of case contains it; there are"),
])  # fmt: skip
def test_bad_arguments_are_refused(
    arguments: list[str], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["speed", *arguments])
    assert match in capsys.readouterr().err
