"""The gradients of several batches, added up, give the step of one batch with all their rows."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from tcn.models import LSTM, TCN, JointModel, SequenceModel, TokenModel
from tcn.training import (
    Batch,
    Classification,
    JointMultiLabel,
    LanguageModel,
    MultiLabel,
    Regression,
    Task,
)
from tcn.training.accumulation import Accumulation

TIME = 20


def sgd(parameters: Any) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def rows(kind: str, count: int) -> Batch:
    """Rows of 3 to 20 steps, short ones first: neighbors hold unlike many."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.linspace(3, TIME, count).long()
    x = torch.randn(count, 3, TIME, generator=generator, dtype=torch.float64)
    tokens = torch.randint(9, (count, TIME), generator=generator)
    targets = {
        "values": x.cumsum(-1)[:, :2],
        "classes": tokens.where(tokens != 4, -100),  # some count nowhere
        "tokens": tokens,
        "keys": (x > 0).double(),
    }
    unknown = torch.rand(x.shape, generator=generator) < torch.linspace(0, 1, count)[:, None, None]
    targets["gaps"] = targets["values"].masked_fill(unknown[:, :2], math.nan)
    targets["unknown keys"] = targets["keys"].masked_fill(unknown, math.nan)
    return Batch(tokens if kind == "tokens" else x, targets[kind], lengths)


CASES: dict[str, tuple[str, Callable[[], Task]]] = {
    "regression": (
        "values", lambda: Regression(SequenceModel(TCN(3, [6, 6], 3), 2), optimizer=sgd)
    ),
    "classification": (
        "classes", lambda: Classification(SequenceModel(LSTM(3, 6), 9), optimizer=sgd)
    ),
    "language": (
        "tokens", lambda: LanguageModel(TokenModel(TCN(6, [6], 3), 9, cutoffs=[4], division=2.0),
                                        optimizer=sgd)
    ),
    "weighted": (
        "classes", lambda: Classification(SequenceModel(TCN(3, [6], 3), 9), optimizer=sgd,
                                          class_weights=[0.01, 0, 3, 0.2, 1, 50, 0.7, 1, 0.3])
    ),
    "gaps": (
        "gaps", lambda: Regression(SequenceModel(TCN(3, [6], 3), 2), optimizer=sgd,
                                   missing="ignore")
    ),
    "weighted keys": (
        "unknown keys", lambda: MultiLabel(SequenceModel(TCN(3, [6], 3), 3), optimizer=sgd,
                                           missing="ignore", positive_weight=[0.5, 3, 20])
    ),
    "keys": ("keys", lambda: MultiLabel(SequenceModel(TCN(3, [6], 3), 3), optimizer=sgd)),
    "joint": ("keys", lambda: JointMultiLabel(JointModel(TCN(3, [6], 3), keys=3, hidden=4),
                                              optimizer=sgd)),
}  # fmt: skip


def trained(case: str, size: int, accumulate: int, **settings: Any) -> tuple[Task, list[Tensor]]:
    """The task after an epoch of 48 rows in batches of `size`, and the gradients of each step."""
    kind, make = CASES[case]
    torch.manual_seed(0)
    task, whole = make().double(), rows(kind, 48)
    batches = [
        Batch(*(part[start : start + size] for part in whole)) for start in range(0, 48, size)
    ]
    seen: list[Tensor] = []

    class Watch(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            seen.append(torch.cat([p.grad.flatten() for p in task.parameters()]))

    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[Watch()],
        accumulate_grad_batches=accumulate, **settings,
    )  # fmt: skip
    trainer.fit(task, DataLoader(batches, batch_size=None, shuffle=False))
    return task, [*seen, trainer.callback_metrics["train_loss_epoch"]]


@pytest.mark.parametrize("case", CASES)
def test_four_batches_of_eight_take_the_steps_of_one_of_thirty_two(case: str) -> None:
    """And the last two of the six, which are all that is left, the step of one of sixteen."""
    one, expected = trained(case, 32, 1, gradient_clip_val=0.2)
    four, found = trained(case, 8, 4, gradient_clip_val=0.2)
    assert len(found) == 3  # two steps and the loss of the epoch
    for actual, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(four.state_dict(), one.state_dict(), rtol=1e-6, atol=1e-9)


@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=4, max_size=9),
    weights=st.lists(st.sampled_from([0.0, 0.01, 1.0, 30.0]), min_size=3, max_size=3),
    ignored=st.floats(0, 1),
    size=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_any_lengths_class_weights_and_ignored_targets(
    lengths: list[int], weights: list[float], ignored: float, size: int, seed: int
) -> None:
    """Batches of any size, added up, give the gradient of one, by the definition of the mean."""
    generator, net = torch.Generator().manual_seed(seed), SequenceModel(TCN(3, [4], 2), 3).double()
    weights[0] = weights[0] or 0.5
    x = torch.randn(len(lengths), 3, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (len(lengths), 5), generator=generator)
    y[torch.rand(y.shape, generator=generator) < ignored] = -100
    whole = Batch(x, y, torch.tensor(lengths))
    counts = (torch.arange(5) < whole.lengths[:, None]) & (y != -100)
    each = torch.nn.functional.cross_entropy(net(x, lengths=whole.lengths), y, reduction="none")
    weight = torch.tensor(weights).double()[y.clamp_min(0)] * counts
    wanted = torch.autograd.grad(
        (each * weight).sum() / (weight.sum() if weight.any() else 1), net.parameters()
    )

    task = Classification(
        net, class_weights=weights, optimizer=lambda p: torch.optim.SGD(p, lr=0.0)
    )
    starts = range(0, len(lengths), size)
    batches = [Batch(*(part[start : start + size] for part in whole)) for start in starts]
    found = gradients(task, batches)
    torch.testing.assert_close(
        found, torch.cat([g.flatten() for g in wanted]), rtol=1e-6, atol=1e-9
    )


def gradients(task: Task, batches: list[Batch]) -> Tensor:
    """Of the one step that all batches together make."""
    seen: list[Tensor] = []

    class Watch(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            seen.append(torch.cat([p.grad.flatten() for p in task.parameters()]))

    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[Watch()],
        accumulate_grad_batches=len(batches),
    )  # fmt: skip
    trainer.fit(task, DataLoader(batches, batch_size=None, shuffle=False))
    (step,) = seen
    return step


def test_batches_that_weigh_alike_take_the_steps_that_lightning_takes() -> None:
    """To the digit: nothing is multiplied."""
    accumulation, weight = Accumulation(), torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([0.1, 0.7])
    for batch in range(4):
        accumulation.begin(batch, 37, count=4)
        assert accumulation.share == 1.0
    accumulation.set_right(torch.optim.SGD([weight]))
    assert torch.equal(weight.grad, torch.tensor([0.1, 0.7]))


@settings(max_examples=30)
@given(
    weights=st.lists(st.integers(0, 9) | st.floats(1e-3, 1e3), min_size=1, max_size=9),
    count=st.integers(1, 4),
)
def test_any_weights_give_the_weighted_mean(weights: list[float], count: int) -> None:
    """By the definition: the sum of weight times gradient over the sum of the weights."""
    accumulation, parameter = Accumulation(), torch.nn.Parameter(torch.zeros(1).double())
    optimizer = torch.optim.SGD([parameter])
    group: list[tuple[float, float]] = []
    for batch, weight in enumerate(weights):
        gradient = math.sin(batch + 1) if weight else 0.0
        accumulation.begin(batch, weight, count=count)
        if batch % count == 0:
            parameter.grad, group = torch.zeros(1).double(), []
        group.append((weight, gradient))
        parameter.grad += accumulation.share * gradient / count  # Lightning divides
        if batch % count == count - 1 or batch == len(weights) - 1:
            accumulation.set_right(optimizer)
            total = sum(w for w, _ in group)
            expected = sum(w * g for w, g in group) / total if total else 0.0
            assert parameter.grad.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_training_step_of_ones_own_is_left_alone() -> None:
    """What it weighs is not known: Lightning's mean."""
    accumulation, parameter = Accumulation(), torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    assert accumulation.share == 1.0
    accumulation.set_right(torch.optim.SGD([parameter]))
    assert parameter.grad.item() == 1.0
