"""Readouts over time against their formulas, whole, padded and streamed."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tcn.layers import READOUTS, Attention, Every, Last, Max, Mean

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def formula(readout: torch.nn.Module, row: Tensor) -> Tensor:
    """The readout of the valid positions ``(channels, positions)`` of one row."""
    if isinstance(readout, Last):
        return row[:, -1]
    if isinstance(readout, Mean):
        return row.mean(1)
    if isinstance(readout, Max):
        return row.amax(1)
    weights = torch.softmax(row.T @ readout.score.weight[0] + readout.score.bias, 0)
    return row @ weights


BUILDERS: dict[str, Callable[[], torch.nn.Module]] = {
    "last": Last, "mean": Mean, "max": Max, "attention": lambda: Attention(3),
}  # fmt: skip


@pytest.mark.parametrize("name", BUILDERS)
@given(st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_it_is_the_formula_over_the_valid_steps(
    name: str, time: int, image: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    readout = BUILDERS[name]().double()
    x = torch.randn(3, 3, *([2] if image else []), time, dtype=torch.float64)
    lengths = torch.randint(1, time + 1, (3,))
    expected = torch.stack([
        formula(readout, row[..., :length].flatten(1))
        for row, length in zip(x, lengths.tolist(), strict=True)
    ])  # fmt: skip
    hidden = x.clone()
    for row, length in zip(hidden, lengths.tolist(), strict=True):
        row[..., length:] = float("nan")
    torch.testing.assert_close(readout(hidden, lengths), expected, **EXACT)
    alone = torch.stack([formula(readout, row.flatten(1)) for row in x])
    torch.testing.assert_close(readout(x), alone, **EXACT)


@pytest.mark.parametrize("name", BUILDERS)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 99))
def test_each_chunk_returns_the_readout_of_everything_so_far(
    name: str, sizes: list[int], seed: int
) -> None:
    torch.manual_seed(seed)
    readout, time = BUILDERS[name]().double(), sum(sizes)
    x = 30 * torch.randn(3, 3, time, dtype=torch.float64)  # scores far apart, as after training
    lengths = torch.randint(0, time + 1, (3,))  # a row may have nothing at all in a chunk
    state, end = None, 0
    for chunk in x.split(sizes, dim=-1):
        within = (lengths - end).clamp(0, chunk.shape[-1])
        y, state = readout.step(chunk, state, within)
        end += chunk.shape[-1]
        torch.testing.assert_close(y, readout(x[..., :end], lengths.clamp(max=end)), **EXACT)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_row_without_a_valid_step_reads_as_zero(name: str) -> None:
    y = BUILDERS[name]()(torch.full((2, 3, 4), 7.0), torch.tensor([0, 4]))
    assert torch.equal(y[0], torch.zeros(3))
    torch.testing.assert_close(y[1], torch.full((3,), 7.0))


def test_hand_computed_values() -> None:
    x, lengths = torch.tensor([[[1.0, -5.0, 3.0, 100.0]]]), torch.tensor([3])
    assert Last()(x, lengths).item() == 3
    assert Mean()(x, lengths).item() == pytest.approx(-1 / 3)
    assert Max()(x, lengths).item() == 3
    assert Max()(-x.abs(), lengths).item() == -1  # not the zero of the padding
    assert Every()(x) is x
    attention = Attention(1)
    with torch.no_grad():
        attention.score.weight.fill_(torch.log(torch.tensor(2.0)))
        attention.score.bias.zero_()
    # Scores are x ln 2, so 1 and 3 are weighed 2 and 8: (2 * 1 + 8 * 3) / 10.
    assert attention(torch.tensor([[[1.0, 3.0]]])).item() == pytest.approx(2.6)


@pytest.mark.parametrize("name", ["mean", "max", "attention"])
def test_the_order_of_the_steps_does_not_matter(name: str) -> None:
    readout, x = BUILDERS[name](), torch.randn(2, 3, 6)
    torch.testing.assert_close(readout(x.flip(-1)), readout(x))


def test_the_mask_may_stand_anywhere() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    mask = torch.tensor([[False, True, True, False]])
    assert Last()(x, mask=mask).item() == 3
    assert Mean()(x, mask=mask).item() == 2.5
    assert Max()(x, mask=mask).item() == 3


def test_they_see_everything_and_leave_no_time_axis() -> None:
    for name, readout in [(n, build()) for n, build in BUILDERS.items()]:
        assert readout.receptive_field == float("inf"), name
        assert not readout.preserves_length
        assert name in READOUTS
    assert Every().receptive_field == 1


@pytest.mark.parametrize("name", ["mean", "max", "attention"])
def test_states_that_do_not_fit_are_refused(name: str) -> None:
    readout = BUILDERS[name]()
    _, state = readout.step(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"state: .* expected shape \(5, '...'\), got shape \(2, "):
        readout.step(torch.zeros(5, 3, 4), state)
    with pytest.raises(ValueError, match=r"state: .* expected shape \(2, \d\), got shape \(2, 1\)"):
        readout.step(torch.zeros(2, 3, 4), state[:, :1])
    with pytest.raises(ValueError, match=r"state: .* expected a tensor, got tuple"):
        readout.step(torch.zeros(2, 3, 4), ())
