"""Categorical and Bernoulli outputs, against sums by hand, torch's own losses and frequencies."""

import math

import pytest
import torch
from torch.nn import functional

from tcn.outputs import Bernoulli, Categorical, build

DRAWS = 20_000


def test_even_odds_cost_the_logarithm_of_the_number_of_classes() -> None:
    raw, target = torch.zeros(2, 7, 5), torch.tensor([[0, 1, 2, 3, 4], [5, 6, 0, 1, 2]])
    assert Categorical(7).loss(raw, target).item() == pytest.approx(math.log(7))
    assert Bernoulli().loss(raw[:, :1], target % 2).item() == pytest.approx(math.log(2))


def test_the_loss_is_that_of_torch_over_what_was_observed() -> None:
    raw, target = torch.randn(3, 4, 6), torch.randint(4, (3, 6))
    mask = torch.rand(3, 6) > 0.3
    expected = functional.cross_entropy(raw.mT[mask], target[mask])
    assert Categorical(4).loss(raw, target, mask).item() == pytest.approx(expected.item(), rel=1e-5)
    expected = functional.binary_cross_entropy_with_logits(raw[:, 0][mask], target[mask] % 2.0)
    found = Bernoulli().loss(raw[:, :1], target % 2, mask)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_was_not_observed_may_be_anything() -> None:
    target = torch.tensor([[1, -100]])
    mask = torch.tensor([[True, False]])
    raw = torch.tensor([[[0.0, math.nan], [0.0, math.nan]]], requires_grad=True)
    loss = Categorical(2).loss(raw, target, mask)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert raw.grad is not None
    assert torch.equal(raw.grad[..., 1], torch.zeros(1, 2))


def test_the_likeliest_class_and_the_probability_of_one() -> None:
    raw = torch.tensor([[[0.0, 2.0], [1.0, 1.0], [-1.0, 0.0]]])
    assert torch.equal(Categorical(3).mean(raw), torch.tensor([[1, 0]]))
    # odds of 3 to 1
    raw = torch.tensor([[[math.log(3.0)]]])
    assert Bernoulli().mean(raw).item() == pytest.approx(0.75)
    quantiles = Bernoulli().quantile(raw, [0.2, 0.3])
    assert quantiles.flatten().tolist() == [0.0, 1.0]  # a quarter of the draws are 0


@pytest.mark.parametrize("given", [Categorical(3), Bernoulli()], ids=lambda each: each.name)
def test_draws_come_as_often_as_they_are_likely(given: Categorical | Bernoulli) -> None:
    raw = torch.tensor([0.3, -0.7, 1.2])[: given.size].view(1, -1, 1)
    draws = given.sample(raw, DRAWS, torch.Generator().manual_seed(3)).flatten().long()
    often = torch.bincount(draws, minlength=2) / DRAWS
    likely = raw.softmax(1).flatten() if given.size > 1 else torch.tensor([0.0, 0.0])
    if given.size == 1:
        likely = torch.stack([1 - raw.sigmoid(), raw.sigmoid()]).flatten()
    # five standard deviations of a frequency
    assert (often - likely).abs().max() < 5 * math.sqrt(0.25 / DRAWS)


def test_the_same_seed_draws_the_same() -> None:
    raw = torch.randn(2, 5, 3)
    first, second = (
        Categorical(5).sample(raw, 4, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert first.shape == (4, 2, 3)
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([[0.0]]), r"target: torch.float32 are not classes; use target.long\(\)"),
        (torch.tensor([[3]]), "target: classes from 3 to 3; they lie between 0 and 2"),
        (torch.tensor([[-100]]), "target: classes from -100 to -100; they lie between 0 and 2"),
    ],
)
def test_targets_that_are_not_classes(target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Categorical(3).loss(torch.zeros(1, 3, 1), target)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32])
def test_classes_may_be_any_integers(kind: torch.dtype) -> None:
    raw, target = torch.randn(2, 3, 4), torch.tensor([[0, 1, 2, 1]] * 2)
    assert Categorical(3).loss(raw, target.to(kind)) == Categorical(3).loss(raw, target)


def test_other_wrong_input() -> None:
    with pytest.raises(TypeError, match="classes, which have no order and so no quantiles"):
        Categorical(3).quantile(torch.zeros(1, 3, 1), [0.5])
    with pytest.raises(ValueError, match="values such as 2 are neither 0 nor 1"):
        Bernoulli().check_target(torch.tensor([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="classes: 0 must be at least 1"):
        build({"name": "categorical", "classes": 0})
