"""Every output over any axes: a token's, a picture's, a forecast's."""

from dataclasses import is_dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tcn.outputs import MASE, OUTPUTS, Output, output

# Of what has a scale of a series or weights of its own there are other tests.
ALL = [output(name) for name, of in OUTPUTS.items() if is_dataclass(of) and of is not MASE]


def target_of(of: Output, shape: tuple[int, ...]) -> torch.Tensor:
    if of.support == "real":
        return torch.randn(shape, dtype=torch.float64)
    if of.support == "unit":
        return torch.rand(shape, dtype=torch.float64) * 2 - 1
    most = {"count": 9, "binary": 2, "class": of.size}[of.support]
    whole = torch.randint(most, shape)
    return whole if of.support == "class" else whole.double()


@pytest.mark.parametrize("of", ALL, ids=lambda each: each.name)
@given(shape=st.lists(st.integers(1, 3), min_size=1, max_size=4), seed=st.integers(0, 999))
def test_axes_are_a_matter_of_form(of: Output, shape: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    batch, *axes = shape
    raw = torch.randn(batch, of.size, *axes, dtype=torch.float64)
    target = target_of(of, (batch, *axes))
    # The same numbers as a row for each target, `(batch * ..., size)`.
    rows = raw.movedim(1, -1).reshape(-1, of.size)
    assert torch.allclose(of.loss(raw, target), of.loss(rows, target.flatten()))
    assert of.mean(raw).shape == (batch, *axes)
    assert torch.allclose(of.mean(raw).flatten(), of.mean(rows))
    if of.intervals:
        quantiles = of.quantile(raw, [0.2, 0.9])
        assert quantiles.shape == (2, batch, *axes)
        assert torch.allclose(quantiles.flatten(1), of.quantile(rows, [0.2, 0.9]))
        assert of.sample(raw, 3).shape == (3, batch, *axes)


@pytest.mark.parametrize("of", ALL, ids=lambda each: each.name)
def test_no_axes_but_the_batch_are_missing(of: Output) -> None:
    with pytest.raises(ValueError, match=r"raw: shape \(3,\) does not fit output"):
        of.mean(torch.zeros(3))
