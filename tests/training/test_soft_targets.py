"""Targets that are probabilities of classes, and accuracy among the five likeliest."""

import pytest
import torch

from tcn.training import Batch, Classification
from tests.training.running import Passes, as_loader, measured, trainer

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 1.0], [0.0, 3.0, 1.0]])


def test_whole_probabilities_are_the_classes() -> None:
    """One-hot targets give the loss of the classes they stand for, smoothed and weighted too."""
    classes = torch.tensor([0, 2, 2])
    one_hot = torch.nn.functional.one_hot(classes, 3).float()
    for smoothing in (0.0, 0.1):
        for weights in (None, [1.0, 2.0, 3.0]):
            task = Classification(Passes(), label_smoothing=smoothing, class_weights=weights)
            hard, count = task.loss(LOGITS, Batch(LOGITS, classes))
            soft, soft_count = task.loss(LOGITS, Batch(LOGITS, one_hot))
            assert soft_count == count == (3 if weights is None else 1.0 + 3.0 + 3.0)
            torch.testing.assert_close(soft, hard)


def test_a_mixed_target_is_the_mean_of_two_losses() -> None:
    """Zhang et al. 2018: the loss of a mixture is the mixture of the losses."""
    task = Classification(Passes())
    first, second = torch.tensor([0, 2, 2]), torch.tensor([1, 1, 0])
    one_hot = [torch.nn.functional.one_hot(each, 3).float() for each in (first, second)]
    mixed, _ = task.loss(LOGITS, Batch(LOGITS, 0.3 * one_hot[0] + 0.7 * one_hot[1]))
    losses = [task.loss(LOGITS, Batch(LOGITS, each))[0] for each in (first, second)]
    torch.testing.assert_close(mixed, 0.3 * losses[0] + 0.7 * losses[1])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.full((3, 3), 0.5), "target: .* 3 sums over the classes are not 1; give prob"),
        (torch.tensor([[2.0, -1.0, 0.0]] * 3), "of which the lowest is -1"),
        (torch.full((3, 2), 0.5), r"output \(3, 3\) and target \(3, 2\) do not fit"),
    ],
)
def test_what_are_not_probabilities_is_refused(target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classification(Passes()).loss(LOGITS, Batch(LOGITS, target))


def test_only_training_takes_probabilities() -> None:
    batch = Batch(LOGITS, torch.full((3, 3), 1 / 3))
    with pytest.raises(ValueError, match=r"target: torch.float32 are not classes; use target.long"):
        trainer().test(Classification(Passes()), as_loader(batch), verbose=False)


def test_top5_accuracy_by_hand() -> None:
    """Scores fall from class 0 to 6: targets 0, 4 and 3 are among the five, 5 and 6 are not."""
    scores = -torch.arange(7.0).expand(5, 7)
    batches = [
        Batch(scores[:2], torch.tensor([0, 4])),
        Batch(scores[:3], torch.tensor([5, 6, 3])),
    ]
    task = Classification(Passes(), metrics=["top5_accuracy"], classes=7)
    found = measured(task, *batches)
    assert found["test_top5_accuracy"] == pytest.approx(3 / 5)
    assert found["test_accuracy"] == pytest.approx(1 / 5)
    chosen = Classification(Passes(), monitor="top5_accuracy", classes=7)
    assert chosen.monitor == ("val_top5_accuracy", "max")


def test_top5_accuracy_needs_more_than_five_classes() -> None:
    with pytest.raises(ValueError, match="'top5_accuracy' of 5 classes is always 1; leave it out"):
        Classification(Passes(), metrics=["top5_accuracy"], classes=5)
