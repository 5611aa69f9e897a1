"""Weights of classes and of positive labels, given or worked out from the training data."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tcn.layers import Chain, Conv1d
from tcn.models import TCN, SequenceModel
from tcn.training import Batch, Classification, MultiLabel, Task
from tests.training.running import Passes, as_loader, trainer


def test_a_weighted_loss_by_hand() -> None:
    """Odds of 3: a mistake (weight 3) costs ln 4, what is right (weight 1) ln 4/3."""
    x = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    loss, weight = Classification(Passes(), class_weights=[3.0, 1.0]).loss(
        x, Batch(x, torch.tensor([0, 1]))
    )
    assert weight == 4
    assert loss.item() == pytest.approx((3 * math.log(4) + math.log(4 / 3)) / 4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_weighted_mean_is_that_of_pytorch(smoothing: float) -> None:
    x, y = torch.randn(5, 3, 7), torch.randint(3, (5, 7))
    y[0, 2:5] = -100
    weights = torch.tensor([0.01, 0.0, 0.3])  # sums below 1
    task = Classification(Passes(), class_weights=weights, label_smoothing=smoothing)
    found, weight = task.loss(x, Batch(x, y))
    expected = functional.cross_entropy(x, y, weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    assert weight == pytest.approx(weights[y[y != -100]].sum().item())


def test_targets_that_weigh_nothing_leave_the_loss_at_0() -> None:
    x = torch.randn(2, 2, requires_grad=True)
    task = Classification(Passes(), class_weights=[0.0, 1.0])
    loss, weight = task.loss(x, Batch(x, torch.tensor([0, 0])))
    loss.backward()
    assert (loss.item(), weight) == (0, 0)
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0], [0, 0]]


def test_losses_of_validation_and_test_are_weighted_too() -> None:
    """Over the whole set: batches of other classes do not count alike."""
    x, y, weights = torch.randn(6, 3), torch.tensor([0, 0, 0, 0, 1, 2]), torch.tensor([1.0, 5, 9])
    task = Classification(Passes(), class_weights=weights.tolist(), label_smoothing=0.1)
    batches = as_loader(Batch(x[:4], y[:4]), Batch(x[4:], y[4:]))
    (found,) = trainer().test(task, batches, verbose=False)
    expected = functional.cross_entropy(x, y, weight=weights)
    assert found["test_loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_positive_weights_are_those_of_pytorch() -> None:
    """Of each sequence the sum of its two valid steps; ``nll`` is a likelihood and has none."""
    x, y, lengths = torch.randn(3, 4, 5), torch.randint(2, (3, 4, 5)).float(), torch.full((3,), 2)
    weights = torch.tensor([1.0, 2, 3, 4])
    task = MultiLabel(Passes(), positive_weight=weights)
    loss, sequences = task.loss(x, Batch(x, y, lengths))
    expected = functional.binary_cross_entropy_with_logits(
        x[..., :2], y[..., :2], pos_weight=weights[:, None], reduction="sum"
    )
    assert sequences == 3
    torch.testing.assert_close(loss, expected / 3)
    (found,) = trainer().test(task, as_loader(Batch(x, y, lengths)), verbose=False)
    plain = functional.binary_cross_entropy_with_logits(x[..., :2], y[..., :2], reduction="sum")
    assert found["test_nll"] == pytest.approx(plain.item() / 6)
    assert found["test_loss"] == pytest.approx(expected.item() / 3)


@pytest.mark.parametrize("one", [2.5, np.float32(2.5), torch.tensor(2.5)])
def test_one_positive_weight_is_that_of_every_channel(one: Any) -> None:
    x, y = torch.randn(3, 4), torch.randint(2, (3, 4)).float()
    single, all_of_them = (
        MultiLabel(Passes(), positive_weight=given).loss(x, Batch(x, y))[0]
        for given in (one, [2.5] * 4)
    )
    assert single == all_of_them


def rare(steps: int = 12) -> list[Batch]:
    """Classes 0, 2 and 3 of which 0 is frequent; behind the lengths and at -100 nothing counts."""
    y = torch.zeros(6, steps, dtype=torch.int64)
    y[0, 0], y[3, 1], y[4, 1], y[5, :] = 2, 2, 3, 3
    y[1, :2] = -100
    lengths = torch.tensor([steps, 7, 5, 9, steps, 0])
    x = torch.randn(6, 1, steps)
    return [Batch(x[:4], y[:4], lengths[:4]), Batch(x[4:], y[4:], lengths[4:])]


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    """Of the classes that there are; class 1 has no target."""
    task = Classification(SequenceModel(TCN(1, [2], 2), 5), class_weights="balanced")
    batches = rare()
    trainer(max_epochs=1).fit(task, as_loader(*batches), as_loader(*batches))
    counted = torch.cat(
        [
            row[:length]
            for batch in batches
            for row, length in zip(batch.y, batch.lengths, strict=True)
        ]
    )
    counted = counted[counted != -100]
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=counted.numpy())
    assert task.weights.values == pytest.approx([expected[0], 1, expected[1], expected[2]])
    assert task.weights.of(torch.zeros(1, 5)).tolist()[4] == 1


def test_steps_behind_a_stride_are_counted_as_the_loss_counts_them() -> None:
    """Outputs stand at steps 0, 2, 4 ...: of lengths 12, 7, 1 and 0 there are 6, 4, 1 and 0."""
    net = SequenceModel(Chain(Conv1d(1, 2, 2, stride=2), Conv1d(2, 2, 2)), 2)
    y = torch.tensor([[0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [1] * 6])
    batch = Batch(torch.randn(4, 1, 12), y, torch.tensor([12, 7, 1, 0]))
    task = Classification(net, class_weights="balanced")
    trainer(max_epochs=1).fit(task, as_loader(batch))
    assert task.weights.values == [11 / (2 * 9), 11 / (2 * 2)]


def test_balanced_positive_weights_by_hand() -> None:
    """Channels with 1 yes and 3 no, 2 and 2, none, and all of the four valid steps."""
    y = torch.tensor([[[1.0, 0, 0, 9], [1, 1, 0, 9], [0, 0, 0, 9], [1, 1, 1, 9]],
                      [[0.0, 9, 9, 9], [0, 9, 9, 9], [0, 9, 9, 9], [1, 9, 9, 9]]])  # fmt: skip
    batch = Batch(torch.randn(2, 1, 4), y, torch.tensor([3, 1]))
    task = MultiLabel(SequenceModel(TCN(1, [2], 2), 4), positive_weight="balanced")
    trainer(max_epochs=1).fit(task, as_loader(batch))
    assert task.weights.values == [3, 1, 1, 1]


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.parametrize("generator", [False, True])
def test_counting_uses_up_no_random_numbers(generator: bool) -> None:
    """Order, dropout and weights are those of a fit that was given the same numbers."""
    torch.manual_seed(0)
    x, y = torch.randn(30, 3), (torch.arange(30) % 5 == 0).long()

    def fitted(weights: Any) -> dict[str, Tensor]:
        torch.manual_seed(1)
        own = torch.Generator().manual_seed(3) if generator else None
        loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True, generator=own)
        task = Classification(Noisy(), class_weights=weights)
        trainer(max_epochs=2).fit(task, loader, DataLoader(TensorDataset(x, y), batch_size=9))
        return task.state_dict()

    balanced, given = fitted("balanced"), fitted([30 / (2 * 24), 30 / (2 * 6)])
    for name, weight in balanced.items():
        assert torch.equal(weight, given[name]), name


def test_balanced_weights_go_with_the_checkpoint(tmp_path: Path) -> None:
    """To where nothing is counted (a test), and to a run that goes on, on other data."""
    x, y = torch.randn(8, 3), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    first = Classification(Noisy(), class_weights="balanced")
    running = trainer(max_epochs=1, enable_checkpointing=True, default_root_dir=tmp_path)
    running.fit(first, loader)
    running.save_checkpoint(tmp_path / "first.ckpt")
    assert first.weights.values == [8 / 12, 8 / 4]

    tested = Classification(Noisy(), class_weights="balanced")
    with pytest.raises(ValueError, match=r"class_weights: 'balanced' is worked out .* ckpt_path"):
        trainer().test(tested, loader, verbose=False)
    trainer().test(tested, loader, verbose=False, ckpt_path=tmp_path / "first.ckpt")
    assert tested.weights.values == first.weights.values

    other = DataLoader(TensorDataset(x, 1 - y), batch_size=4)
    tested = Classification(Noisy(), class_weights="balanced")
    trainer(max_epochs=2).fit(tested, other, ckpt_path=tmp_path / "first.ckpt")
    assert tested.weights.values == first.weights.values
    trainer(max_epochs=1).fit(tested, other)
    assert tested.weights.values == [8 / 4, 8 / 12]


class Endless(IterableDataset):
    def __iter__(self) -> Any:
        while True:
            yield torch.zeros(3), torch.tensor(0)
            yield torch.ones(3), torch.tensor(1)


def test_data_without_an_end_are_not_counted() -> None:
    loader = DataLoader(Endless(), batch_size=2)
    task = Classification(Noisy(), class_weights="balanced")
    with pytest.raises(ValueError, match=r"class_weights: .* or set limit_train_batches"):
        trainer(max_steps=2).fit(task, loader)
    trainer(max_epochs=1, limit_train_batches=3).fit(task, loader)
    assert task.weights.values == [1, 1]


def test_weights_make_the_loss_choose_the_checkpoint() -> None:
    assert Classification(Passes(), class_weights=[1, 2]).monitor == ("val_loss", "min")
    assert MultiLabel(Passes(), positive_weight=2.0).monitor == ("val_loss", "min")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Classification(Passes(), class_weights="even"), ValueError,
         "class_weights: 'even' is not known; give numbers, or 'balanced'"),
        (lambda: Classification(Passes(), class_weights=[1.0, -1.0]), ValueError,
         r"class_weights: \[1.0, -1.0\] are not weights; give numbers from 0"),
        (lambda: Classification(Passes(), class_weights=[0, 0]), ValueError, "some above 0"),
        (lambda: MultiLabel(Passes(), positive_weight=math.nan), ValueError,
         r"positive_weight: \[nan\] are not weights"),
        (lambda: Classification(Passes(), class_weights=2.0), TypeError,
         "class_weights: 2.0 is not a sequence of numbers; give a list"),
        (lambda: Classification(Passes(), class_weights={0: 1.0, 1: 9.0}), TypeError,
         "class_weights: {0: 1.0, 1: 9.0} is not a sequence of numbers"),
        (lambda: Classification(Passes(), class_weights=["1", "2"]), TypeError,
         r"class_weights: \['1', '2'\] is not a sequence of numbers"),
        (lambda: Classification(Passes(), class_weights=torch.ones(2, 2)), TypeError,
         "is not a sequence of numbers"),
        (lambda: Classification(Passes(), class_weights=[10**400, 1]), ValueError,
         r"class_weights: \[inf, 1.0\] are not weights; give numbers from 0 to 1e\+30"),
        (lambda: MultiLabel(Passes(), positive_weight=1e39), ValueError,
         r"positive_weight: \[1e\+39\] are not weights; give numbers from 0 to 1e\+30"),
        (lambda: MultiLabel(Passes(), positive_weight=True), TypeError,
         "positive_weight: True is not a sequence of numbers"),
    ],
)  # fmt: skip
def test_what_is_not_a_weight_is_refused(make: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "task",
    [Classification(Passes(), class_weights=[1, 2]), MultiLabel(Passes(), positive_weight=[1, 2])],
)
def test_as_many_weights_as_channels(task: Task) -> None:
    x = torch.zeros(2, 3)
    y = torch.zeros(2).long() if isinstance(task, Classification) else x
    with pytest.raises(ValueError, match=r"weights?: 2 weights for an output of 3 channels; give"):
        task.loss(x, Batch(x, y))


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        (Classification, [0, 7], "target: classes from 0 to 7; they lie between 0 and 1"),
        (Classification, [0, 10**9], "target: classes from 0 to 1000000000; they lie between"),
        (Classification, [0, -1], "target: classes from -1 to 0; they lie between 0 and 1"),
        (Classification, [0.0, 1.0], r"target: torch.float32 are not classes; use target.long\(\)"),
        (MultiLabel, [[0, 1], [0, 5]], "target: 1 values such as 5 are neither 0 nor 1"),
        (MultiLabel, [[0, 1], [-1, 1]], "target: 1 values such as -1 are neither 0 nor 1"),
    ],
)
def test_what_cannot_be_counted_is_blamed_on_the_targets(task: Any, y: Any, message: str) -> None:
    """Not on the weights, which nobody gave; nor are there weights for a billion classes."""
    name = "class_weights" if task is Classification else "positive_weight"
    weighted = task(SequenceModel(TCN(1, [2], 2), 2, readout="last"), **{name: "balanced"})
    batch = Batch(torch.randn(2, 1, 4), torch.tensor(y))
    with pytest.raises(ValueError, match=message):
        trainer(max_epochs=1).fit(weighted, as_loader(batch))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 2], "target: 3 classes or channels in the training data, for an output of 2 channels"),
        ([0, -1], "target: class -1; classes are numbered from 0"),
    ],
)
def test_classes_that_a_net_of_ones_own_cannot_give(y: list[int], message: str) -> None:
    """It does not say how many it returns, so that only the first output shows it."""
    task = Classification(Passes(), class_weights="balanced")
    with pytest.raises(ValueError, match=message):
        trainer(max_epochs=1).fit(task, as_loader(Batch(torch.randn(2, 2), torch.tensor(y))))


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8])
def test_labels_may_be_integers(kind: torch.dtype) -> None:
    """With the numbers that floats give, weights and metrics included."""
    x, y = torch.randn(6, 3), torch.arange(18).view(6, 3) % 4 == 0
    found = []
    for target in (y.float(), y.to(kind)):
        torch.manual_seed(0)
        net = nn.Linear(3, 3)
        task = MultiLabel(
            net, positive_weight="balanced", missing="ignore", metrics=["f1"], channels=3
        )
        running, loader = trainer(max_epochs=1), as_loader(Batch(x, target))
        running.fit(task, loader, loader)
        found.append({name: value.item() for name, value in running.callback_metrics.items()})
    assert found[0] == found[1]
    assert len(found[0]) >= 4
