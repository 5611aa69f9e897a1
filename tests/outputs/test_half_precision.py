"""Outputs of nets in half precision, or whose numbers have another precision than their weights."""

import copy

import pytest
import torch

from tcn.outputs import NADE, AdaptiveSoftmax, StudentT

RAW = torch.randn(3, 16, 5, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(15).view(3, 5)


@pytest.mark.parametrize("weights", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("numbers", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_another_precision(weights: torch.dtype, numbers: torch.dtype) -> None:
    torch.manual_seed(0)
    softmax = AdaptiveSoftmax(16, 20, [5, 10]).to(weights)
    raw = RAW.to(numbers).requires_grad_()
    loss = softmax.loss(raw, CLASSES)
    loss.backward()
    # The same weights and numbers in float64, where nothing is rounded any more.
    exact = copy.deepcopy(softmax).double().loss(raw.double(), CLASSES)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert softmax.head.weight.grad.dtype == weights
    assert softmax.logits(raw).dtype == numbers
    assert softmax.mean(raw).shape == softmax.sample(raw, 1)[0].shape == (3, 5)


@pytest.mark.parametrize("weights", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("numbers", [torch.float16, torch.bfloat16, torch.float32])
def test_vectors_of_another_precision(weights: torch.dtype, numbers: torch.dtype) -> None:
    nade = NADE(10, 6).to(weights)
    raw = RAW.to(numbers)
    assert nade.mean(raw).dtype == nade.sample(raw, 2).dtype == numbers


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_is_all_but_impossible_is_not_drawn_in_half_precision(dtype: torch.dtype) -> None:
    nade = NADE(4, 2).to(dtype)
    raw = torch.tensor([-20.0] * 4 + [0.0] * 2, dtype=dtype).view(1, 6, 1)
    with torch.no_grad():
        nade.write.zero_()  # the values are independent, each 1 with a probability of 2e-9
    drawn = nade.sample(raw, 20000, torch.Generator().manual_seed(0))
    assert drawn.sum() == 0


def test_the_parameters_of_student_t_in_float16() -> None:
    raw = torch.tensor([1.0, 0.0, 60000.0], dtype=torch.float16).view(1, 3, 1)
    assert StudentT().mean(raw).item() == 1.0
    assert all(parameter.isfinite().all() for parameter in StudentT().parameters(raw))
