"""Metrics by name, against scikit-learn's, and the one that chooses the best checkpoint."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.loggers import CSVLogger
from sklearn import metrics as reference
from torch import Tensor

from tcn.layers import Chain, Conv1d
from tcn.models import TCN, SequenceModel
from tcn.training import Batch, Classification, MultiLabel
from tests.training.running import Passes, as_loader, trainer

NAMES = ["f1", "average_precision", "balanced_accuracy", "confusion"]


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=2, max_size=4),
    classes=st.integers(2, 4),
    seed=st.integers(0, 99),
    rate=st.sampled_from([1, 2]),
)
def test_classes_against_scikit_learn(
    lengths: list[int], classes: int, seed: int, rate: int
) -> None:
    """Of the valid steps that are not ignored, in batches of one row; behind a stride too."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    inner = Conv1d(2, 3, 2, stride=rate)
    task = Classification(
        SequenceModel(Chain(inner, Conv1d(3, 3, 2)), classes), metrics=NAMES, classes=classes
    )
    lengths = [rate * length for length in [3, *lengths]]
    time = max(lengths)
    x = torch.randn(len(lengths), 2, time, generator=generator)
    y = torch.randint(classes, (len(lengths), time // rate), generator=generator)
    y[0, :2] = torch.tensor([0, -100])  # something counts
    valid = (torch.arange(time // rate) * rate < torch.tensor(lengths)[:, None]) & (y != -100)
    rows = [
        Batch(*(part[i : i + 1] for part in (x, y, torch.tensor(lengths)))) for i in range(len(y))
    ]
    (found,) = trainer().test(task, as_loader(*rows), verbose=False)

    with torch.no_grad():
        scores = task.net(x, lengths=torch.tensor(lengths)).softmax(1).movedim(1, -1)[valid]
    target, predicted = y[valid].numpy(), scores.argmax(1).numpy()
    present = [label for label in range(classes) if (target == label).any()]
    precisions = [reference.average_precision_score(target == c, scores[:, c]) for c in present]
    assert found["test_average_precision"] == pytest.approx(np.mean(precisions), rel=1e-5)
    f1 = reference.f1_score(target, predicted, average="macro")
    assert found["test_f1"] == pytest.approx(f1, rel=1e-5)
    recall = reference.recall_score(target, predicted, labels=present, average="macro")
    assert found["test_balanced_accuracy"] == pytest.approx(recall, rel=1e-5)
    matrix = reference.confusion_matrix(target, predicted, labels=range(classes))
    assert task.confusion["test"].tolist() == matrix.tolist()


@pytest.mark.parametrize("missing", ["refuse", "ignore"])
def test_channels_against_scikit_learn(missing: Any) -> None:
    """A channel that is never positive has no precision; what is NaN is left out by channel."""
    x, lengths = torch.randn(3, 4, 9), torch.tensor([9, 4, 7])
    y = torch.randint(2, (3, 4, 9)).float()
    y[:, 2] = 0
    if missing == "ignore":
        y[0, 0, :5], y[2, :, 3] = math.nan, math.nan
    y[1, :, 4:] = 1  # beyond the length
    task = MultiLabel(Passes(), missing=missing, metrics=["f1", "average_precision"], channels=4)
    (found,) = trainer().test(task, as_loader(Batch(x, y, lengths)), verbose=False)
    valid = torch.arange(9) < lengths[:, None, None]
    precisions, f1 = [], []
    for channel in range(4):
        known = valid[:, 0] & ~y[:, channel].isnan()
        target, score = y[:, channel][known].numpy(), x[:, channel][known].sigmoid().numpy()
        f1.append(reference.f1_score(target, score > 0.5, zero_division=0))
        if channel != 2:
            precisions.append(reference.average_precision_score(target, score))
    assert found["test_average_precision"] == pytest.approx(np.mean(precisions), rel=1e-5)
    assert found["test_f1"] == pytest.approx(np.mean(f1), rel=1e-5)


def test_one_channel_is_enough() -> None:
    x, y = torch.randn(9, 1), (torch.arange(9) % 3 == 0).float()[:, None]
    task = MultiLabel(Passes(), metrics=["average_precision", "f1"], channels=1)
    (found,) = trainer().test(task, as_loader(Batch(x, y)), verbose=False)
    expected = reference.average_precision_score(y[:, 0], x[:, 0])
    assert found["test_average_precision"] == pytest.approx(expected, rel=1e-5)
    assert found["test_f1"] == pytest.approx(reference.f1_score(y[:, 0], x[:, 0] > 0), rel=1e-5)


def test_nothing_positive_has_no_precision() -> None:
    """NaN, which chooses no checkpoint, rather than a number that says something."""
    task = MultiLabel(Passes(), metrics=["average_precision"], channels=2)
    batch = Batch(torch.randn(3, 2), torch.zeros(3, 2))
    (found,) = trainer().test(task, as_loader(batch), verbose=False)
    assert math.isnan(found["test_average_precision"])


def test_the_confusion_of_every_epoch_is_a_table_beside_the_log(tmp_path: Path) -> None:
    """By hand: of three zeros one is taken for a one. It does not change, with a rate of 0."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    batch = Batch(x, torch.tensor([0, 0, 0, 1]))
    task = Classification(
        Learns(), metrics=["confusion"], classes=2, optimizer=lambda p: torch.optim.SGD(p, lr=0)
    )
    running = trainer(max_epochs=2, logger=CSVLogger(tmp_path, name=None))
    running.fit(task, as_loader(batch), as_loader(batch))
    running.test(task, as_loader(batch), verbose=False)
    assert task.confusion["val"].tolist() == task.confusion["test"].tolist() == [[2, 1], [0, 1]]
    head = ["epoch", "target", "predicted_0", "predicted_1"]
    assert table(tmp_path, "val") == [
        head, ["0", "0", "2", "1"], ["0", "1", "0", "1"], ["1", "0", "2", "1"], ["1", "1", "0", "1"]
    ]  # fmt: skip
    assert table(tmp_path, "test") == [head, ["", "0", "2", "1"], ["", "1", "0", "1"]]


class Learns(Passes):
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return x + self.unused


def table(folder: Path, stage: str) -> list[list[str]]:
    with (folder / "version_0" / f"{stage}_confusion.csv").open() as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", ("val_loss", "min")),
        ("accuracy", ("val_accuracy", "max")),
        ("average_precision", ("val_average_precision", "max")),
        ("f1", ("val_f1", "max")),
        ("balanced_accuracy", ("val_balanced_accuracy", "max")),
    ],
)
def test_a_metric_chooses_the_checkpoint_by_name(name: str, expected: tuple[str, str]) -> None:
    """And is measured then, whether it is one of ``metrics`` or not."""
    net = SequenceModel(TCN(1, [2], 2), 3, readout="last")
    task = Classification(net, monitor=name)
    assert task.monitor == expected
    x, y = torch.randn(4, 1, 5), torch.tensor([0, 1, 2, 0])
    (found,) = trainer().validate(task, as_loader(Batch(x, y)), verbose=False)
    assert expected[0] in found


def test_music_chooses_by_name_too() -> None:
    net = SequenceModel(TCN(1, [2], 2), 3)
    assert MultiLabel(net, monitor="f1").monitor == ("val_f1", "max")
    assert MultiLabel(net, monitor="nll", positive_weight=2.0).monitor == ("val_nll", "min")
    assert Classification(net, last=2, monitor="last_accuracy").monitor[0] == "val_last_accuracy"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Classification(Passes(), metrics=["avarage_precision"]), ValueError,
         "metrics: 'avarage_precision' is not one of .*; did you mean average_precision"),
        (lambda: Classification(Passes(), monitor="val_f1_", classes=2), ValueError,
         "monitor: 'val_f1_' is not one of .*; did you mean f1"),
        (lambda: Classification(Passes(), monitor="confusion"), ValueError,
         "monitor: 'confusion' is not one of accuracy, average_precision, balanced_accuracy, f1"),
        (lambda: Classification(Passes(), monitor="last_accuracy"), ValueError,
         "monitor: 'last_accuracy' is not one of .*; did you mean"),
        (lambda: MultiLabel(Passes(), metrics=["confusion"], channels=2), ValueError,
         "metrics: 'confusion' is not one of average_precision, f1, loss, nll"),
        (lambda: Classification(Passes(), metrics=["f1"]), ValueError,
         "classes: f1 needs it, and Passes has no out_channels .*; give how many classes there"),
        (lambda: Classification(Passes(), metrics=["f1"], classes=0), ValueError,
         "classes: 0 must be at least 1"),
        (lambda: Classification(Passes(), metrics="f1"), TypeError,
         "metrics: 'f1' is one name; give a list"),
        (lambda: Classification(Passes(), metrics=None), TypeError,
         r"metrics: None is not a list of names; give one, such as \['f1'\]"),
        (lambda: Classification(Passes(), metrics=iter(["f1"]), classes=2), TypeError,
         "metrics: .*iterator.* is not a list of names"),
        (lambda: Classification(Passes(), metrics=[1]), TypeError,
         "metrics: 1 is not a name; names are accuracy, "),
        (lambda: Classification(Passes(), monitor=["f1"]), TypeError,
         r"monitor: \['f1'\] is not a name; names are accuracy, "),
        (lambda: Classification(Passes(), metrics=["f1"], classes=2.0), TypeError,
         "classes: 2.0 is not an integer"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_refused(make: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("count", [1, 4, np.int64(2)])
def test_another_number_of_classes_than_the_net_returns_is_refused(count: int) -> None:
    tasks: list[Any] = [Classification(Passes(), metrics=["f1"], classes=count)]
    tasks.append(MultiLabel(Passes(), metrics=["f1"], channels=count))
    for task, argument in zip(tasks, ["classes", "channels"], strict=True):
        batch = Batch(torch.randn(2, 3), torch.tensor([[0, 1, 0]] * 2))
        if argument == "classes":
            batch = batch._replace(y=batch.y[:, 0])
        message = f"{argument}: {count}, and the net returns 3; give as many, or leave it out"
        with pytest.raises(ValueError, match=message):
            trainer().test(task, as_loader(batch), verbose=False)


def test_a_net_that_gives_no_numbers_is_not_measured() -> None:
    """All is 0 here, and argmax takes NaN for the class where it stands: it would be right."""
    x, y = torch.full((4, 2), math.nan), torch.zeros(4, dtype=torch.int64)
    names = ["f1", "average_precision", "balanced_accuracy"]
    task = Classification(Passes(), metrics=names, classes=2)
    (found,) = trainer().test(task, as_loader(Batch(x, y)), verbose=False)
    channels = MultiLabel(Passes(), metrics=names[:2], channels=2)
    (music,) = trainer().test(channels, as_loader(Batch(x, torch.ones(4, 2))), verbose=False)
    assert len(found) == 5
    assert len(music) == 4
    assert all(math.isnan(value) for value in [*found.values(), *music.values()])
    (after,) = trainer().test(task, as_loader(Batch(torch.zeros(4, 2), y)), verbose=False)
    assert after["test_accuracy"] == 1


def test_numbers_that_do_not_count_may_be_none() -> None:
    x, y = torch.tensor([[3.0, 0], [math.nan, 0]]), torch.tensor([0, -100])
    task = Classification(Passes(), metrics=["f1", "balanced_accuracy"], classes=2)
    (found,) = trainer().test(task, as_loader(Batch(x, y)), verbose=False)
    assert found["test_accuracy"] == found["test_balanced_accuracy"] == 1
