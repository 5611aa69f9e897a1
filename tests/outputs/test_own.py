"""Outputs of one's own, and arguments that are not Python's own numbers."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from tcn.outputs import (
    OUTPUTS,
    AdaptiveSoftmax,
    Huber,
    Mixture,
    MuLaw,
    Normal,
    Poisson,
    Quantiles,
    build,
)
from tcn.outputs import output as output_of
from tcn.outputs.base import Output
from tcn.outputs.points import Point


class Squared(Point):
    def elementwise(
        self, raw: torch.Tensor, target: torch.Tensor, scale: torch.Tensor | None
    ) -> torch.Tensor:
        return (raw[:, 0] - target).square()


METHODS = {name: getattr(Normal, name) for name in Output.__abstractmethods__}


@pytest.mark.parametrize("name", [3, ["a"], property(lambda self: "a")])
def test_a_name_is_text(name: Any) -> None:
    with pytest.raises(TypeError, match=r"name: .* is not text; write name = "):
        type("Own", (Squared,), {"name": name})
    assert all(isinstance(known, str) for known in OUTPUTS)


def test_a_subclass_without_a_name_is_not_taken_for_its_parent() -> None:
    @dataclass(frozen=True)
    class Shifted(Normal):
        shift: float = 0.0

    with pytest.raises(ValueError, match=r"name: 'normal' does not lead to .*Shifted; give this"):
        Shifted(1.0).describe()
    with pytest.raises(ValueError, match=r"name: None does not lead to .*Squared; give this"):
        Squared().describe()


def test_a_module_that_is_not_registered_does_not_say_its_arguments() -> None:
    own = type("Weighted", (torch.nn.Module, Output), {**METHODS, "name": "weighted_in_a_test"})
    try:
        with pytest.raises(TypeError, match=r"output: .*Weighted does not say its arguments; put"):
            own().describe()
    finally:
        del OUTPUTS["weighted_in_a_test"]


def test_fields_that_are_no_arguments_are_not_described() -> None:
    @dataclass(frozen=True)
    class Counted(Normal):
        name = "counted_in_a_test"
        known: int = 2
        worked_out: int = field(init=False, default=5)

    try:
        assert Counted(3).describe() == {"name": "counted_in_a_test", "known": 3}
        assert build(Counted(3).describe()) == Counted(3)
    finally:
        del OUTPUTS["counted_in_a_test"]


@pytest.mark.parametrize(
    "given",
    [
        Mixture(np.int64(2)),
        MuLaw(np.int32(16)),
        Huber(np.float32(0.5)),
        Quantiles(np.array([0.1, 0.5])),
        AdaptiveSoftmax(np.int64(8), np.int64(20), np.array([5])),
    ],
    ids=lambda each: each.name,
)
def test_numbers_of_numpy_are_numbers(given: Output) -> None:
    stored = json.loads(json.dumps(given.describe()))
    assert build(stored).describe() == stored


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Quantiles("0.5"), TypeError, "levels: '0.5' is not a sequence of numbers"),
        (lambda: Quantiles(0.5), TypeError, "levels: 0.5 is not a sequence of numbers"),
        (lambda: Quantiles(["0.5"]), TypeError, r"levels: \['0.5'\] is not a sequence"),
        (lambda: Quantiles.for_intervals([-10]), ValueError, r"levels: \[-10.0\]; give perc"),
        (lambda: Quantiles.for_intervals([0]), ValueError, r"levels: \[0.0\]; give percentages"),
        (lambda: Quantiles.for_intervals([100]), ValueError, r"levels: \[100.0\]; give perc"),
        (lambda: AdaptiveSoftmax(8, 20, 5), TypeError, r"cutoffs: 5 is not a list.*\[10\]"),
        (lambda: AdaptiveSoftmax(8, 20, None), TypeError, "cutoffs: None is not a list"),
        (lambda: AdaptiveSoftmax(8, 20, "5"), TypeError, "cutoffs: '5' is not a list"),
        (lambda: AdaptiveSoftmax(8, 20, [5.5]), TypeError, "cutoffs: 5.5 is not an integer"),
        (lambda: AdaptiveSoftmax(8, 20, [True]), TypeError, "cutoffs: True is not an integer"),
        (lambda: AdaptiveSoftmax(8, 20, [5], division="4"), TypeError, "division: '4' is not"),
        (
            lambda: AdaptiveSoftmax(8, 20, [5], division=float("nan")),
            ValueError,
            "division: nan is not a finite number",
        ),
        (lambda: output_of(Normal), TypeError, r"loss: .* write Normal\(\.\.\.\); names are"),
    ],
)
def test_wrong_arguments(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_no_quantiles_of_a_mixture() -> None:
    assert Mixture().quantile(torch.zeros(2, 9, 4), []).shape == (0, 2, 4)


@pytest.mark.parametrize("raw", [1e6, 1e9, 1e12])
def test_quantiles_of_large_counts_are_numbers(raw: float) -> None:
    """Standard deviations from the mean, of which those of a normal distribution are 2.326."""
    given = torch.full((1, 1, 1), raw, dtype=torch.float64)
    mean, found = Poisson().mean(given), Poisson().quantile(given, [0.01, 0.5, 0.99])
    scores = ((found - mean) / mean.sqrt()).flatten()
    assert scores.tolist() == pytest.approx([-2.326, 0, 2.326], abs=1e-3)


def test_no_targets_are_no_loss() -> None:
    assert Normal().loss(torch.zeros(0, 2, 5), torch.zeros(0, 5)).item() == 0
