import json

import pytest
import torch

from benchmarks.studies import many_to_one
from benchmarks.studies.many_to_one import CASES, Case, measure, measure_all, whole_sequence
from tcn.models import TCN, SequenceModel
from tcn.native import library

TINY = Case("tiny", 1, 2, (4, 4, 4), 3, 40, 2)


def test_the_nets_are_the_paper_s():
    # Bai et al. 2018, Table 2; parameters computed from the formulas: 70,369 and 66,910.
    for case, parameters in zip(CASES, (70_369, 66_910), strict=True):
        backbone = TCN(case.in_channels, case.channels, case.kernel_size)
        net = SequenceModel(backbone, case.out_channels, readout="last")
        assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_both_ways_compute_the_same_and_have_the_same_gradients():
    torch.manual_seed(0)
    net = SequenceModel(TCN(1, (4, 4, 4), 3), 2, readout="last")
    x = torch.randn(2, 1, 40)
    torch.testing.assert_close(net(x), whole_sequence(net, x))
    gradients = [
        torch.autograd.grad(way.square().sum(), list(net.parameters()))
        for way in (net(x), whole_sequence(net, x))
    ]
    torch.testing.assert_close(*gradients)


def test_a_ratio_is_of_turns_that_were_taken_together():
    timing = measure(TINY, rounds=5)
    assert timing.rounds == 5
    assert 0 < timing.ratio_low <= timing.ratio <= timing.ratio_high
    assert timing.last_step > 0


def test_one_round_has_no_spread():
    with pytest.raises(ValueError, match="rounds is 1: give 2 or more"):
        measure(TINY, rounds=1)


def test_threads_must_be_positive():
    with pytest.raises(ValueError, match="threads is 0: give 1 or more"):
        measure_all(threads=0)


def test_the_file_says_what_made_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(many_to_one, "CASES", (TINY,))
    path = tmp_path / "many_to_one.json"
    measure_all(threads=1, rounds=3, output=path)
    content = json.loads(path.read_text())
    assert content["command"] == "python -m benchmarks many_to_one --threads 1 --rounds 3"
    assert content["machine"]["threads"] == 1
    assert content["timings"][0]["case"] == "tiny"
    ways = [timing["kernels"] for timing in content["timings"]]
    assert ways == ([False, True] if library() is not None else [False])
    assert "tiny" in capsys.readouterr().out
