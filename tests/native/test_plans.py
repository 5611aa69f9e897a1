"""What was checked once per kind of call is not taken for checked where the kind is another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tcn.native import convolution, plans

GEOMETRY = (2, 0, 1, 1)  # left, right, stride, dilation


def _arguments() -> dict[str, Tensor]:
    return {
        "x": torch.randn(2, 3, 10),
        "weight": torch.randn(4, 3, 3),
        "size": torch.rand(4, 1, 1),
        "bias": torch.randn(4),
        "shortcut": torch.randn(2, 4, 10),
        "seed": torch.tensor([5]),
    }


def _forward(tensors: dict[str, Tensor], dropout: float = 0.5) -> tuple[Tensor, Tensor]:
    return torch.ops.tcn.convolve(*tensors.values(), *GEOMETRY, True, dropout, True)


@pytest.mark.parametrize("name", ["weight", "size", "bias", "shortcut"])
def test_a_type_or_a_size_after_a_call_that_fits_is_refused(name: str) -> None:
    tensors = _arguments()
    _forward(tensors)
    _forward(tensors)
    with pytest.raises(TypeError, match=f"{name}: torch.float64 with x"):
        _forward({**tensors, name: tensors[name].double()})
    with pytest.raises(ValueError, match=r"shape \(.*expected"):
        _forward({**tensors, name: tensors[name][:-1]})


@pytest.mark.parametrize(
    ("seed", "message"),
    [(None, "seed: None"), (torch.tensor([5, 6]), "seed: shape"), (torch.zeros(1), "seed: torch")],
)
def test_a_seed_after_a_call_that_fits_is_refused(seed: Tensor | None, message: str) -> None:
    tensors = _arguments()
    _forward(tensors)
    with pytest.raises((ValueError, TypeError), match=message):
        _forward({**tensors, "seed": seed})  # type: ignore[dict-item]


def test_numbers_after_a_call_that_fits_are_refused() -> None:
    tensors = _arguments()
    _forward(tensors)
    with pytest.raises(ValueError, match="dropout: nan"):
        _forward(tensors, float("nan"))
    with pytest.raises(ValueError, match="stride"):
        torch.ops.tcn.convolve(*tensors.values(), 2, 0, 0, 1, True, 0.5, True)


@pytest.mark.parametrize("name", ["gradient", "weight", "size", "y", "kept"])
def test_gradients_after_a_call_that_fits_are_refused(name: str) -> None:
    tensors = _arguments()
    y, kept = _forward(tensors)
    given = {"gradient": torch.randn_like(y), "x": tensors["x"], "weight": tensors["weight"]}
    given |= {"size": tensors["size"], "y": y, "kept": kept}

    def backward(given: dict[str, Tensor], wanted: list[bool]) -> None:
        torch.ops.tcn.convolve_backward(*given.values(), *GEOMETRY, True, 0.5, wanted)

    backward(given, [True] * 5)
    with pytest.raises((ValueError, TypeError), match=rf"{name}: torch.float64|x: shape"):
        backward({**given, name: given[name].double()}, [True] * 5)
    with pytest.raises(ValueError, match=r"shape \(.*expected"):
        backward({**given, name: given[name][:-1]}, [True] * 5)
    with pytest.raises(ValueError, match="wanted"):
        backward(given, [])


def test_as_many_plans_are_kept_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_MOST_PLANS", 3)
    monkeypatch.setattr(plans, "_PLANS", {})
    for steps in range(10, 30):
        convolution.convolve(torch.randn(1, 2, steps), torch.randn(2, 2, 3))
        assert 1 <= len(plans._PLANS) <= 3


def test_without_gradients_the_output_is_that_with_them() -> None:
    tensors = _arguments()
    x, weight, bias, shortcut = (tensors[n] for n in ("x", "weight", "bias", "shortcut"))
    geometry = convolution.Geometry(*GEOMETRY)
    found = [
        convolution.convolve(x, w, bias, geometry, relu=True, shortcut=s)
        for w in (weight, weight.clone().requires_grad_())
        for s in (None, shortcut)
    ]
    assert [y.requires_grad for y in found] == [False, False, True, True]
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
