"""A joint output: exact probabilities, an order of keys, samples that follow them."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tcn.inference import from_pretrained, generate, save_pretrained
from tcn.models import GRU, LSTM, RNN, TCN, JointModel
from tcn.outputs import NADE
from tcn.testing import check_sequence_module

BACKBONES = {
    "tcn": lambda: TCN(3, [4, 4], 2),
    "lstm": lambda: LSTM(3, 4),
    "gru": lambda: GRU(3, 4),
    "rnn": lambda: RNN(3, 4),
}


def every_vector(values: int) -> Tensor:
    """``(2 ** values, values)``."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=values)), dtype=torch.float64)


def estimator(values: int, hidden: int, seed: int = 0) -> NADE:
    """With weights so large that values do depend on each other."""
    torch.manual_seed(seed)
    nade = NADE(values, hidden).double()
    with torch.no_grad():
        nade.read.mul_(3)
        nade.write.mul_(3)
    return nade


@settings(max_examples=15)
@given(values=st.integers(1, 7), hidden=st.integers(1, 5), seed=st.integers(0, 99))
def test_probabilities_of_all_vectors_add_up_to_one(values: int, hidden: int, seed: int):
    nade = estimator(values, hidden, seed)
    biases = torch.randn(1, nade.size, dtype=torch.float64)
    vectors = every_vector(values)
    total = (-nade.losses(biases.expand(len(vectors), -1), vectors)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_two_values_by_hand():
    # One hidden unit: c = 0, so 1/2 for the first value; told 1 * ln 3 it is 3/4 for the second.
    nade = NADE(2, 1).double()
    with torch.no_grad():
        nade.read.copy_(torch.tensor([[math.log(3)], [9.0]]))
        nade.write.copy_(torch.tensor([[2.0], [4.0]]))
    biases = torch.tensor([[-1.0, -3.0, 0.0]], dtype=torch.float64)  # b1, b2, c
    logits = nade(biases, torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    # -1 + 2 * 1/2 = 0 and -3 + 4 * 3/4 = 0: both values are fair coins.
    torch.testing.assert_close(logits, torch.zeros(1, 2, dtype=torch.float64))
    told = nade(biases, torch.tensor([[0.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(told, torch.tensor([[0.0, -1.0]], dtype=torch.float64))


def test_without_hidden_units_that_speak_the_keys_are_independent():
    nade = NADE(4, 3)
    torch.nn.init.zeros_(nade.write)
    biases, vectors = torch.randn(5, nade.size), torch.randint(2, (5, 4)).float()
    independent = functional.binary_cross_entropy_with_logits(
        biases[:, :4], vectors, reduction="none"
    )
    torch.testing.assert_close(nade.losses(biases, vectors), independent.sum(1))


def test_a_value_is_told_of_those_before_it_and_of_no_other():
    nade = estimator(5, 3)
    biases = torch.randn(1, nade.size, dtype=torch.float64)
    vectors = torch.zeros(1, 5, dtype=torch.float64)
    before = nade(biases, vectors)
    for value in range(5):
        changed = vectors.clone()
        changed[0, value] = 1
        after = nade(biases, changed)
        assert torch.equal(after[0, : value + 1], before[0, : value + 1])
        assert not (after[0, value + 1 :] == before[0, value + 1 :]).any()


def test_samples_are_as_frequent_as_they_are_probable():
    nade = estimator(3, 4)
    biases = torch.randn(1, nade.size, dtype=torch.float64)
    count = 20_000
    drawn = nade.sample(biases, count, torch.Generator().manual_seed(0))[:, 0]
    vectors = every_vector(3)
    probable = (-nade.losses(biases.expand(8, -1), vectors)).exp()
    frequent = (drawn[:, None] == vectors).all(2).double().mean(0)
    # Four standard deviations of a share of 20,000 draws: 0.014 at most.
    assert (frequent - probable).abs().max() < 4 * math.sqrt(0.25 / count)
    assert (probable > 0.02).sum() > 3  # a few vectors, not one


def test_learns_keys_that_sound_together():
    """Two keys, both or neither: log 2 nats, where independent outputs cannot get below 2 log 2."""
    torch.manual_seed(0)
    net = JointModel(TCN(2, [4], 2), 2, hidden=4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    target = torch.randint(2, (8, 1, 40)).float().expand(-1, 2, -1).contiguous()
    for _ in range(150):
        optimizer.zero_grad()
        loss = net.output.loss(net(torch.zeros_like(target)), target)
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(math.log(2), abs=0.02)


@pytest.mark.parametrize("name", BACKBONES)
def test_contract(name: str):
    net = JointModel(BACKBONES[name](), 5, hidden=3)
    x = torch.randn(3, 3, 14, generator=torch.Generator().manual_seed(0))
    check_sequence_module(net, x, compile_backend=None, export=name == "tcn")


def test_steps_and_rows_are_scored_alike():
    torch.manual_seed(0)
    net = JointModel(TCN(3, [4], 2), 5, hidden=3)
    output, target = net(torch.randn(2, 3, 7)), torch.randint(2, (2, 5, 7)).float()
    whole = net.output.losses(output, target)
    assert whole.shape == (2, 7)
    torch.testing.assert_close(net.output.losses(output[..., 4], target[..., 4]), whole[:, 4])


def test_dropped_units_are_the_same_for_all_keys_and_only_in_training():
    torch.manual_seed(0)
    nade = NADE(4, 50, dropout=0.5)
    biases, vectors = torch.randn(3, nade.size), torch.zeros(3, 4)
    assert not torch.equal(nade(biases, vectors), nade(biases, vectors))
    # Nothing before any value, equal weights: equal logits, if the same units are dropped.
    with torch.no_grad():
        nade.write.copy_(nade.write[:1].expand(4, -1))
    logits = nade(biases, vectors) - biases[:, :4]
    torch.testing.assert_close(logits, logits[:, :1].expand(-1, 4))
    nade.eval()
    assert torch.equal(nade(biases, vectors), nade(biases, vectors))


@pytest.mark.parametrize("name", ["tcn", "gru"])
def test_composes_key_by_key(name: str):
    torch.manual_seed(0)
    backbone = TCN(5, [4, 4], 2) if name == "tcn" else GRU(5, 4)
    net = JointModel(backbone, 5, hidden=3).eval()
    prompt = torch.randint(2, (2, 5, 6)).float()
    music = generate(net, prompt, 9, output=net.output, seed=1)
    assert music.shape == (2, 5, 9)
    assert set(music.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(music, generate(net, prompt, 9, output=net.output, seed=1))
    assert not torch.equal(music, generate(net, prompt, 9, output=net.output, seed=2))
    # The first frame is drawn from what the net says after the prompt.
    first = net.output.sample(net(prompt)[..., -1], 1, torch.Generator().manual_seed(1))[0]
    assert torch.equal(music[..., 0], first)


def test_likeliest_takes_each_key_given_those_before():
    torch.manual_seed(0)
    net = JointModel(TCN(3, [4], 2), 4, hidden=3)
    output = 5 * net(torch.randn(2, 3, 6)).detach()
    frames = net.output.mean(output)
    rows, vectors = output.movedim(1, -1).flatten(0, 1), frames.movedim(1, -1).flatten(0, 1)
    assert frames.shape == (2, 4, 6)
    assert torch.equal(net.nade(rows, vectors) > 0, vectors == 1)


def test_saved_and_loaded(tmp_path):
    net = JointModel(TCN(3, [4], 2), 5, hidden=3, dropout=0.2).eval()
    save_pretrained(net, tmp_path)
    loaded = from_pretrained(tmp_path)
    output, target = torch.randn(4, 8), torch.ones(4, 5)
    assert isinstance(loaded, JointModel)
    torch.testing.assert_close(
        loaded.output.losses(output, target), net.output.losses(output, target)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keys": 0}, "values"),
        ({"keys": 5, "hidden": 0}, "hidden"),
        ({"keys": 5, "dropout": 1.0}, "dropout"),
    ],
)
def test_wrong_sizes_are_refused(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        JointModel(TCN(3, [4], 2), **arguments)


@pytest.mark.parametrize("shape", [(2, 6, 7), (2, 5, 6), (1, 5, 7)])
def test_targets_that_do_not_fit_are_refused(shape: tuple[int, ...]):
    net = JointModel(TCN(3, [4], 2), 5, hidden=3)
    with pytest.raises(ValueError, match=r"target: shape .* does not fit raw of shape \(2, 8, 7\)"):
        net.output.loss(torch.zeros(2, 8, 7), torch.zeros(shape))
