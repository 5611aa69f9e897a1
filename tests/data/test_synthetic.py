import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tcn.data import AddingProblem, CopyingMemory
from tcn.data.loading import SPLITS


@given(length=st.integers(2, 40), size=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_adding_is_the_sum_at_two_marked_steps(length: int, size: int, seed: int):
    data = AddingProblem(length=length, train_size=size, validation_size=1, test_size=1, seed=seed)
    x, y = data.dataset("train").x, data.dataset("train").y
    assert x.shape == (size, 2, length)
    assert y.shape == (size, 1)
    assert x.dtype == y.dtype == torch.float32
    values, markers = x[:, 0], x[:, 1]
    assert ((values >= 0) & (values < 1)).all()
    assert torch.equal(markers.sort(dim=1).values[:, -2:], torch.ones(size, 2))
    assert torch.equal(markers.sum(dim=1), torch.full((size,), 2.0))
    for row in range(size):
        first, second = markers[row].nonzero()[:, 0].tolist()
        assert y[row, 0].item() == (values[row, first] + values[row, second]).item()


def test_adding_marks_every_pair_of_steps_equally_often():
    data = AddingProblem(length=4, train_size=60_000)
    pairs = data.dataset("train").x[:, 1] @ torch.tensor([1.0, 2.0, 4.0, 8.0])
    found, counts = pairs.unique(return_counts=True)
    # The six pairs of four steps as bits; each expected 10,000 times with deviation 91: 5 of them.
    assert found.tolist() == [3, 5, 6, 9, 10, 12]
    assert (counts - 10_000).abs().max() < 457


def test_adding_values_are_uniform_and_the_trivial_answer_costs_a_sixth():
    data = AddingProblem(length=50, train_size=40_000)
    x, y = data.dataset("train").x, data.dataset("train").y
    # Var(u + v) = 2/12. The error of its estimate from 40,000 sums is 0.0010 (the fourth central
    # moment of u + v is 1/15, and sqrt((1/15 - 1/36) / 40,000) = 0.0010): 5 of them.
    assert (y - 1).square().mean().item() == pytest.approx(1 / 6, abs=0.005)
    assert x[:, 0].mean().item() == pytest.approx(0.5, abs=0.002)
    assert x[:, 0].var().item() == pytest.approx(1 / 12, abs=0.002)


@given(length=st.integers(1, 60), size=st.integers(1, 10), seed=st.integers(0, 2**31))
def test_copying_has_the_layout_of_the_authors_code(length: int, size: int, seed: int):
    data = CopyingMemory(length=length, train_size=size, seed=seed)
    x, y = data.dataset("train").x, data.dataset("train").y
    assert x.shape == (size, 1, length + 20)
    assert y.shape == (size, length + 20)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    symbols = x[:, 0, :10]
    assert ((symbols >= 1) & (symbols <= 8)).all()
    assert (x[:, 0, 10 : 10 + length - 1] == 0).all()
    assert (x[:, 0, 10 + length - 1 :] == 9).all()
    assert x[:, 0, 10 + length - 1 :].shape[1] == 11
    assert (y[:, : length + 10] == 0).all()
    assert torch.equal(y[:, length + 10 :], symbols.long())


def test_copying_uses_the_eight_symbols_equally_often():
    symbols = CopyingMemory(length=1, train_size=8_000).dataset("train").y[:, -10:]
    found, counts = symbols.unique(return_counts=True)
    assert found.tolist() == list(range(1, 9))
    # 10,000 expected with deviation 94: 5 of them.
    assert (counts - 10_000).abs().max() < 470


def test_copying_costs_ten_ln_eight_for_a_net_that_forgets():
    data = CopyingMemory(length=1000, train_size=1, validation_size=1, test_size=200)
    y = data.dataset("test").y
    # Certain of the zeros, undecided between the eight symbols in the last ten steps.
    probabilities = torch.zeros(200, 10, 1020)
    probabilities[:, 0, :1010] = 1
    probabilities[:, 1:9, 1010:] = 1 / 8
    loss = torch.nn.functional.nll_loss(probabilities.log(), y)
    assert loss.item() == pytest.approx(10 * math.log(8) / 1020, rel=1e-5)
    assert loss.item() == pytest.approx(0.02039, abs=1e-5)


@pytest.mark.parametrize("kind", [AddingProblem, CopyingMemory])
def test_same_seed_same_data_other_seed_other_data(kind):
    settings = {"length": 30, "train_size": 8, "validation_size": 8, "test_size": 8}
    one, same, other = kind(**settings), kind(**settings), kind(**settings, seed=2)
    for split in SPLITS:
        assert torch.equal(one.dataset(split).x, same.dataset(split).x)
        assert torch.equal(one.dataset(split).y, same.dataset(split).y)
        assert not torch.equal(one.dataset(split).x, other.dataset(split).x)


@pytest.mark.parametrize("kind", [AddingProblem, CopyingMemory])
def test_splits_share_no_sequence(kind):
    data = kind(length=30, train_size=500, validation_size=300, test_size=200)
    rows = torch.cat([data.dataset(split).x.flatten(1) for split in SPLITS])
    assert [len(data.dataset(split)) for split in SPLITS] == [500, 300, 200]
    # Equal by chance: 8^10 different copying sequences, 500,000 pairs, so once in 2,000 seeds.
    assert len(rows.unique(dim=0)) == 1000


@pytest.mark.parametrize("kind", [AddingProblem, CopyingMemory])
def test_size_of_one_split_leaves_the_others_alone(kind):
    small, large = kind(length=9, train_size=5), kind(length=9, train_size=50)
    assert torch.equal(small.dataset("test").x, large.dataset("test").x)


def test_defaults_are_the_papers():
    adding, copying = AddingProblem(), CopyingMemory()
    assert (adding.length, adding.sizes["train"], adding.sizes["test"]) == (600, 50_000, 1_000)
    assert (copying.length, copying.sizes["train"], copying.sizes["test"]) == (1_000, 10_000, 1_000)
    assert (adding.in_channels, adding.out_channels) == (2, 1)
    assert (copying.in_channels, copying.out_channels) == (1, 10)


@pytest.mark.parametrize("name", ["train_size", "validation_size", "test_size"])
@pytest.mark.parametrize("kind", [AddingProblem, CopyingMemory])
def test_empty_splits_are_refused(kind, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        kind(**{name: 0})


@pytest.mark.parametrize(("kind", "least"), [(AddingProblem, 2), (CopyingMemory, 1)])
def test_lengths_without_room_are_refused(kind, least):
    with pytest.raises(ValueError, match=f"length must be at least {least}, got {least - 1}"):
        kind(length=least - 1)
    assert kind(length=least, train_size=1).dataset("train").x.shape[-1] >= least
