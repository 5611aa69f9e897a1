"""Losses and metrics of nets in half precision, against the same numbers in float64."""

from collections.abc import Callable

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tcn.models import TCN, JointModel, TokenModel
from tcn.training import (
    Batch,
    Classification,
    JointMultiLabel,
    LanguageModel,
    MultiLabel,
    Regression,
    Task,
)

HALVES = (torch.float16, torch.bfloat16)
ROWS, TIME, LENGTHS = 3, 700, torch.tensor([700, 300, 1])


class Passes(nn.Module):
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return x


def numbers(*sizes: int, scale: float) -> Tensor:
    """Random, and the same in either half precision: their last bits are zero."""
    values = torch.randn(*sizes, generator=torch.Generator().manual_seed(sum(sizes))) * scale
    return values.bfloat16().double()


# Sums beyond 65504, as every task has them of a few hundred steps.
CASES: dict[str, Callable[[], tuple[Task, Batch]]] = {
    "regression": lambda: (
        Regression(Passes()),
        Batch(numbers(ROWS, 2, TIME, scale=10), numbers(ROWS, 2, TIME, scale=1), LENGTHS),
    ),
    "classes": lambda: (
        Classification(Passes()),
        Batch(numbers(ROWS, 5, TIME, scale=50), torch.arange(ROWS * TIME).view(ROWS, -1) % 5),
    ),
    "tokens": lambda: (
        LanguageModel(Passes()),
        Batch(numbers(ROWS, 5, TIME, scale=50), torch.arange(ROWS * TIME).view(ROWS, -1) % 5),
    ),
    "keys": lambda: (
        MultiLabel(Passes()),
        Batch(numbers(ROWS, 8, TIME, scale=50), numbers(ROWS, 8, TIME, scale=1).gt(0).double()),
    ),
}


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_losses_are_summed_in_float32(case: str, dtype: torch.dtype) -> None:
    task, batch = CASES[case]()
    expected, weight = task.loss(batch.x, batch)
    half = Batch(*(t.to(dtype) if t is not None and t.is_floating_point() else t for t in batch))
    output = half.x.requires_grad_()
    loss, count = task.loss(output, half)
    assert loss.dtype == torch.float32
    assert count == weight
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5 if case != "regression" else 1e-3)
    loss.backward()
    assert output.grad.dtype == dtype
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_metrics_are_summed_in_float32(case: str, dtype: torch.dtype) -> None:
    found = []
    for kind in (torch.float64, dtype):
        task, batch = CASES[case]()
        batch = Batch(
            *(t.to(kind) if t is not None and t.is_floating_point() else t for t in batch)
        )
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
        loader = DataLoader([batch, batch], batch_size=None)
        found.append(dict(trainer.test(task, loader, verbose=False)[0]))
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def joint() -> tuple[Task, Batch]:
    keys = numbers(ROWS, 20, TIME, scale=1).gt(0).double()
    return JointMultiLabel(JointModel(TCN(3, [4], 3), keys=20, hidden=4)), Batch(
        numbers(ROWS, 3, TIME, scale=4), keys, LENGTHS
    )


def clusters() -> tuple[Task, Batch]:
    tokens = torch.arange(ROWS * 9 * TIME).view(ROWS, -1) * 7 % 30
    model = TokenModel(TCN(8, [8], 3), 30, cutoffs=[6], division=2)
    return LanguageModel(model), Batch(tokens, tokens.roll(-1, dims=1))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("make", [joint, clusters])
def test_nets_that_score_themselves_lose_a_rounding_and_no_more(
    make: Callable[[], tuple[Task, Batch]], dtype: torch.dtype
) -> None:
    losses = []
    for kind in (torch.float64, dtype):
        torch.manual_seed(0)
        task, batch = make()
        task.to(dtype).to(kind)
        # Targets stay as a data module has them: the loss has to take float32 with a half net.
        x = batch.x.to(kind) if batch.x.is_floating_point() else batch.x
        batch = Batch(x, batch.y.float() if batch.y.is_floating_point() else batch.y, batch.lengths)
        loss, _ = task.loss(task(x, batch.lengths), batch)
        losses.append(loss)
    assert losses[1].dtype == torch.float32
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=torch.finfo(dtype).eps)


def test_the_mean_of_squares_whose_sum_overflows() -> None:
    """By hand: 2000 errors of 10 have the mean 100 and the sum 200,000."""
    x = torch.full((1, 1, 2000), 10.0).half()
    assert Regression(Passes()).loss(x, Batch(x, torch.zeros_like(x)))[0].item() == 100
