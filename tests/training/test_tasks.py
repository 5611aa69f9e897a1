"""Losses and metrics against numbers worked out by hand, and that padding changes neither."""

import math

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.training import Batch, Classification, LanguageModel, MultiLabel, Regression, Task
from tests.training.running import Passes, as_loader, measured


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_regression_by_hand():
    # Squared errors 1, 4 and 0, 9, 1, 1 in two batches: the mean of all six, not of two means.
    first = Batch(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]))
    second = Batch(torch.tensor([[0.0, 3.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    results = measured(Regression(Passes()), first, second)
    assert results["test_mse"] == pytest.approx(16 / 6)
    assert results["test_loss"] == pytest.approx(16 / 6)


def test_classification_by_hand():
    # The classes have probability 1/4 and 3/4 (odds 3): right once in the two valid steps of row
    # one, in the only one of row two.
    odds = math.log(3)
    x = torch.tensor([[[0.0, 0.0, 9.0], [odds, odds, 0.0]], [[odds, 9.0, 9.0], [0.0, 0.0, 0.0]]])
    y = torch.tensor([[1, 0, 1], [0, 1, 1]])
    results = measured(Classification(Passes()), Batch(x, y, torch.tensor([2, 1])))
    assert results["test_loss"] == pytest.approx(-(2 * math.log(3 / 4) + math.log(1 / 4)) / 3)
    assert results["test_accuracy"] == pytest.approx(2 / 3)


def test_last_accuracy_counts_the_final_valid_steps_of_each_row():
    x = torch.zeros(2, 2, 4)
    x[:, 1] = 1.0  # always predicts class 1
    y = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])
    task = Classification(Passes(), last=2)
    assert measured(task, Batch(x, y))["test_last_accuracy"] == pytest.approx(3 / 4)
    # Row two now ends after two steps, 0 and 1.
    results = measured(task, Batch(x, y, torch.tensor([4, 2])))
    assert results["test_last_accuracy"] == pytest.approx(3 / 4)
    assert results["test_accuracy"] == pytest.approx(3 / 6)
    # A row shorter than `last` counts whole: 0 wrong, and the two of row one.
    results = measured(task, Batch(x, y, torch.tensor([4, 1])))
    assert results["test_last_accuracy"] == pytest.approx(2 / 3)


def test_ignored_targets_count_nowhere():
    x = torch.zeros(1, 2, 3)
    x[:, 1] = 1.0
    results = measured(Classification(Passes()), Batch(x, torch.tensor([[1, -100, 0]])))
    assert results["test_accuracy"] == pytest.approx(1 / 2)
    nothing = Batch(x, torch.full((1, 3), -100))
    assert Classification(Passes()).loss(x, nothing)[0] == 0


def test_labels_are_smoothed_in_training_alone():
    # Probabilities 1/4 and 3/4; of the target 0.8 on the second class and 0.1 for each of the two.
    x, y = torch.tensor([[0.0, math.log(3)]]), torch.tensor([1])
    task = Classification(Passes(), label_smoothing=0.2)
    loss, count = task.loss(x, Batch(x, y))
    assert loss == pytest.approx(-(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4)))
    assert count == 1
    assert measured(task, Batch(x, y))["test_loss"] == pytest.approx(-math.log(3 / 4))


def test_perplexity_of_a_uniform_guess_is_the_vocabulary():
    batch = Batch(torch.zeros(3, 50, 7), torch.randint(50, (3, 7)), torch.tensor([7, 2, 5]))
    results = measured(LanguageModel(Passes()), batch)
    assert results["test_perplexity"] == pytest.approx(50)
    assert results["test_bits"] == pytest.approx(math.log2(50))
    assert results["test_loss"] == pytest.approx(math.log(50))


def test_perplexity_is_of_all_tokens_not_a_mean_over_batches():
    # Three tokens of probability 1/2, then one of 1/8: exp(mean of logs) = (2 * 2 * 2 * 8) ** 1/4.
    sure = Batch(torch.zeros(1, 2, 3), torch.zeros(1, 3, dtype=torch.int64))
    unsure = Batch(torch.tensor([[[0.0], [math.log(7)]]]), torch.zeros(1, 1, dtype=torch.int64))
    results = measured(LanguageModel(Passes()), sure, unsure)
    assert results["test_perplexity"] == pytest.approx(64**0.25)


def test_perplexity_of_a_confident_mistake_is_finite():
    # The softmax of these logits is 0 in float32, its logarithm is not finite; the loss is 150.
    batch = Batch(torch.tensor([[[0.0], [150.0]]]), torch.zeros(1, 1, dtype=torch.int64))
    results = measured(LanguageModel(Passes()), batch, Batch(batch.x, 1 - batch.y))
    assert results["test_perplexity"] == pytest.approx(math.exp(75))


def test_perplexity_of_a_batch_that_diverged_is_not_left_out():
    batch = Batch(torch.zeros(1, 2, 1), torch.zeros(1, 1, dtype=torch.int64))
    results = measured(LanguageModel(Passes()), batch, Batch(batch.x * math.nan, batch.y))
    assert math.isnan(results["test_perplexity"])


def test_music_by_hand():
    # Two keys, two frames with probabilities .5 .25 / .8 .5 and notes 1 0 / 1 1, then one frame.
    x = torch.tensor([[[log_odds(0.5), log_odds(0.8)], [log_odds(0.25), log_odds(0.5)]]])
    y = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]])
    two = -(math.log(0.5) + math.log(0.75) + math.log(0.8) + math.log(0.5))
    short = Batch(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1))  # 2 ln 2
    task = MultiLabel(Passes())
    loss, sequences = task.loss(x, Batch(x, y))
    assert (loss.item(), sequences) == (pytest.approx(two), 1)
    results = measured(task, Batch(x, y), short)
    assert results["test_loss"] == pytest.approx((two + 2 * math.log(2)) / 2)
    assert results["test_nll"] == pytest.approx((two + 2 * math.log(2)) / 3)


def test_music_as_the_authors_compute_it():
    # -trace(y log p + (1 - y) log(1 - p)) of matrices (frames, keys), in float64.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 88, 30, generator=generator)
    y = (torch.rand(1, 88, 30, generator=generator) < 0.05).float()
    p, notes = x[0].T.double().sigmoid(), y[0].T.double()
    total = -torch.trace(notes @ torch.log(p).T + (1 - notes) @ torch.log(1 - p).T)
    assert MultiLabel(Passes()).loss(x, Batch(x, y))[0].item() == pytest.approx(total.item())


def test_music_loss_of_huge_outputs_is_finite():
    x = torch.tensor([[[1000.0], [-1000.0]]])
    y = torch.tensor([[[0.0], [0.0]]])
    assert MultiLabel(Passes()).loss(x, Batch(x, y))[0].item() == pytest.approx(1000)


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    padding=st.integers(1, 5),
    garbage=st.floats(-1e6, 1e6),
    name=st.sampled_from(["regression", "classification", "language", "music"]),
)
def test_padding_changes_nothing(lengths: list[int], padding: int, garbage: float, name: str):
    """Whatever stands beyond the lengths, a padded batch equals its rows taken one by one."""
    tasks = {
        "regression": Regression(Passes()),
        "classification": Classification(Passes(), last=2),
        "language": LanguageModel(Passes()),
        "music": MultiLabel(Passes()),
    }
    task, time = tasks[name], max(lengths) + padding
    generator = torch.Generator().manual_seed(sum(lengths))
    x = torch.randn(len(lengths), 3, time, generator=generator)
    y = torch.randint(2, (len(lengths), 3, time), generator=generator).float()
    if isinstance(task, Classification | LanguageModel):
        y = torch.randint(3, (len(lengths), time), generator=generator)
    rows = [Batch(x[i : i + 1, ..., :n], y[i : i + 1, ..., :n]) for i, n in enumerate(lengths)]
    expected = measured(task, *rows)
    for i, n in enumerate(lengths):
        x[i, ..., n:] = garbage
        y[i, ..., n:] = 1
    padded = measured(task, Batch(x, y, torch.tensor(lengths)))
    assert padded == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_net_gets_the_lengths():
    seen = []

    class Listens(Passes):
        def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
            seen.append(lengths)
            return x

    task, lengths = Regression(Listens()), torch.tensor([1])
    task(torch.zeros(1, 1, 2))
    task(torch.zeros(1, 1, 2), lengths)
    assert seen == [None, lengths]


def test_a_net_without_lengths_takes_whole_batches():
    task = Regression(nn.Linear(2, 1))
    x = torch.randn(4, 2)
    assert "test_mse" in measured(task, Batch(x, task(x).detach() + 1))


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Regression(Passes()), lambda x: x),
        (Classification(Passes()), lambda x: x.softmax(1)),
        (LanguageModel(Passes()), lambda x: x.softmax(1)),
        (MultiLabel(Passes()), torch.sigmoid),
    ],
)
def test_predictions(task: Task, expected):
    x, lengths = torch.randn(2, 3, 5), torch.tensor([5, 2])
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    (prediction,) = trainer.predict(task, as_loader(Batch(x, torch.zeros(2), lengths)))
    assert torch.equal(prediction.y, expected(x))
    assert torch.equal(prediction.lengths, lengths)


def test_what_chooses_the_best_checkpoint():
    per_step = Passes()
    per_step.readout_name = "every"
    assert Regression(Passes()).monitor == ("val_mse", "min")
    assert Classification(Passes()).monitor == ("val_accuracy", "max")
    assert Classification(per_step).monitor == ("val_loss", "min")
    assert Classification(Passes(), last=10).monitor == ("val_loss", "min")
    assert LanguageModel(Passes()).monitor == ("val_loss", "min")
    assert MultiLabel(Passes()).monitor == ("val_nll", "min")


def test_wrong_shapes_are_refused():
    x = torch.zeros(2, 3, 5)
    with pytest.raises(ValueError, match=r"output \(2, 3, 5\) and target \(2, 3\) do not fit"):
        Regression(Passes()).loss(x, Batch(x, torch.zeros(2, 3)))
    with pytest.raises(ValueError, match=r"output \(2, 3, 5\) and target \(2, 1, 5\) do not fit"):
        MultiLabel(Passes()).loss(x, Batch(x, torch.zeros(2, 1, 5)))
    with pytest.raises(ValueError, match=r"targets are \(batch,\) for outputs"):
        Classification(Passes()).loss(x, Batch(x, torch.zeros(2, dtype=torch.int64)))
    with pytest.raises(ValueError, match="last: 0 must be at least 1"):
        Classification(Passes(), last=0)
    with pytest.raises(
        ValueError, match=r"label_smoothing is 1\.0: give a share from 0 to below 1"
    ):
        Classification(Passes(), label_smoothing=1.0)
    with pytest.raises(TypeError, match=r"label_smoothing: '0\.1' is not a number; give a share"):
        Classification(Passes(), label_smoothing="0.1")
    with pytest.raises(TypeError, match=r"last: 1\.5 is not an integer"):
        Classification(Passes(), last=1.5)
    task, y = Classification(Passes(), last=1), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"last=1 needs targets \(batch, time\), got \(2,\)"):
        measured(task, Batch(x[..., 0], y))
