"""Targets that are NaN: refused, or left out of losses and metrics."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from tcn.layers import Chain, Conv1d
from tcn.models import TCN, SequenceModel
from tcn.training import Batch, MultiLabel, Regression, Task
from tcn.training.targets import is_known, observed, valid_rows
from tests.training.running import Passes, measured, trainer

NAN = math.nan


def test_the_mean_of_what_is_known_by_hand() -> None:
    """Squared errors 1 and 4, then 9: the mean of three values, not of two means."""
    first = Batch(torch.tensor([[1.0, 2.0, 5.0]]), torch.tensor([[0.0, 0.0, NAN]]))
    second = Batch(torch.tensor([[7.0, 3.0, 7.0]]), torch.tensor([[NAN, 0.0, NAN]]))
    task = Regression(Passes(), missing="ignore")
    found = measured(task, first, second)
    assert found["test_mse"] == pytest.approx(14 / 3)
    assert found["test_loss"] == pytest.approx(14 / 3)
    assert task.loss(second.x, second)[1] == 1


def test_keys_that_are_not_known_by_hand() -> None:
    """Probability 1/2 everywhere: ln 2 for each known key. Nothing is known of one of the three
    sequences, nor of a second frame."""
    y = torch.tensor(
        [[[1.0, NAN, NAN], [NAN, NAN, 0.0]], [[1.0, 1, 1], [0, 0, 0]], [[NAN] * 3] * 2]
    )
    batch = Batch(torch.zeros(3, 2, 3), y)
    task = MultiLabel(Passes(), missing="ignore")
    loss, sequences = task.loss(batch.x, batch)
    assert (loss.item(), sequences) == (pytest.approx(8 / 2 * math.log(2)), 2)
    found = measured(task, batch)
    assert found["test_loss"] == pytest.approx(8 / 2 * math.log(2))
    assert found["test_nll"] == pytest.approx(8 / 5 * math.log(2))


@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    rate=st.sampled_from([1, 2]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_losses_and_gradients_are_those_of_what_is_known(
    lengths: list[int], rate: int, weighted: bool, seed: int
) -> None:
    """Against PyTorch's functions of the values picked one by one, behind a stride too."""
    torch.manual_seed(seed)
    net = SequenceModel(Chain(Conv1d(2, 3, 2, stride=rate), Conv1d(3, 3, 2)), 2).double()
    steps = torch.tensor([rate * length for length in lengths])
    x = torch.randn(len(steps), 2, 5 * rate, dtype=torch.float64)
    y = torch.randint(2, (len(steps), 2, 5)).double()
    y[torch.rand_like(y) < 0.5] = NAN
    counts = ((torch.arange(5) * rate < steps[:, None])[:, None] & ~y.isnan()).nonzero().tolist()
    output = net(x, lengths=steps)
    picked = [(output[i, c, t], y[i, c, t], c) for i, c, t in counts]

    def gradients(task: Task) -> tuple[Tensor, Tensor]:
        loss = task.training_step(Batch(x, y, steps), 0)
        return loss, torch.cat([g.flatten() for g in torch.autograd.grad(loss, net.parameters())])

    def expected(terms: list[Tensor], count: int) -> tuple[Tensor, Tensor]:
        loss = output.sum() * 0 + sum(terms) / max(count, 1)
        parts = torch.autograd.grad(loss, net.parameters(), retain_graph=True)
        return loss, torch.cat([g.flatten() for g in parts])

    squares = [(value - target) ** 2 for value, target, _ in picked]
    torch.testing.assert_close(
        gradients(Regression(net, missing="ignore")), expected(squares, len(picked))
    )
    weights = [2.0, 0.5] if weighted else None
    entropy = functional.binary_cross_entropy_with_logits
    terms = [
        entropy(value, target, pos_weight=torch.tensor(weights[c]) if weights else None)
        for value, target, c in picked
    ]
    task = MultiLabel(net, missing="ignore", positive_weight=weights)
    torch.testing.assert_close(gradients(task), expected(terms, len({i for i, _, _ in counts})))


@pytest.mark.parametrize("make", [Regression, MultiLabel])
def test_a_batch_of_which_nothing_is_known_takes_no_step(make: Any) -> None:
    net = SequenceModel(TCN(1, [2, 2], 2), 1)
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    task = make(net, missing="ignore", optimizer=lambda p: torch.optim.SGD(p, lr=1.0))
    batch = Batch(torch.randn(2, 1, 4), torch.full((2, 1, 4), NAN))
    running = trainer(max_epochs=1)
    running.fit(task, DataLoader([batch], batch_size=None))
    assert running.callback_metrics["train_loss_step"] == 0
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize("make", [Regression, MultiLabel])
def test_missing_targets_are_refused_unless_they_are_to_be_ignored(make: Any) -> None:
    batch = Batch(torch.randn(2, 1, 4), torch.zeros(2, 1, 4))
    batch.y[1, 0, 2] = NAN
    task = make(SequenceModel(TCN(1, [2, 2], 2), 1))
    message = (
        "target y holds 1 NaN or infinite values of 8 in epoch 0, batch 0: fill them or leave "
        "those sequences out; a task with missing='ignore' leaves NaN out"
    )
    with pytest.raises(ValueError, match=message):
        trainer(max_epochs=1).fit(task, DataLoader([batch], batch_size=None))


@pytest.mark.parametrize("make", [Regression, MultiLabel])
def test_missing_targets_of_validation_are_refused_too(make: Any) -> None:
    """Those behind the lengths do not count; a net that gives NaN is not the targets' fault."""
    y = torch.zeros(2, 1, 4)
    y[1, 0, 2] = NAN
    batch = Batch(torch.randn(2, 1, 4), y, torch.tensor([4, 4]))
    with pytest.raises(
        ValueError, match=r"target y holds 1 .* of 8 in test batch 1: .* leaves NaN"
    ):
        measured(make(Passes()), batch._replace(y=torch.zeros(2, 1, 4)), batch)
    measured(make(Passes()), batch._replace(lengths=torch.tensor([4, 2])))
    found = measured(make(Passes()), Batch(torch.full((2, 1, 4), NAN), torch.zeros(2, 1, 4)))
    assert math.isnan(found["test_loss"])


def test_what_is_infinite_is_not_missing() -> None:
    """And the NaN beside it is not blamed."""
    batch = Batch(torch.randn(1, 1, 4), torch.tensor([[[NAN, 0.0, math.inf, NAN]]]))
    task = Regression(SequenceModel(TCN(1, [2, 2], 2), 1), missing="ignore")
    with pytest.raises(ValueError, match=r"target y holds 1 infinite values of 4 in .* out$"):
        task.training_step(batch, 0)


def test_a_net_that_gives_no_number_is_not_blamed_on_missing_targets() -> None:
    class Breaks(Passes):
        def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
            return x * NAN

    batch = Batch(torch.randn(1, 1, 2), torch.tensor([[[NAN, 0.0]]]))
    with pytest.raises(ValueError, match="training loss is nan in epoch 0"):
        Regression(Breaks(), missing="ignore").training_step(batch, 0)


@pytest.mark.parametrize("make", [Regression, MultiLabel])
def test_only_two_answers(make: Any) -> None:
    with pytest.raises(ValueError, match=r"missing: 'drop' is not known; give 'refuse', .* or"):
        make(Passes(), missing="drop")


def test_a_share_without_rows_has_no_valid_steps() -> None:
    """As a process gets it when a batch has fewer sequences than there are processes."""
    empty = Batch(torch.zeros(0, 2, 6), torch.zeros(0, 3, 6), torch.zeros(0, dtype=torch.int64))
    rows, target = valid_rows(torch.zeros(0, 3, 6), empty)
    assert rows.shape == target.shape == (0, 3)
    assert is_known(empty).shape == (0, 3, 6)
    assert observed(torch.zeros(0, 3, 6), empty, known=True).shape == (0, 3, 6)
