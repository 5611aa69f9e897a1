"""Outputs for quantized values, against torchaudio, sums over all levels and numbers by hand."""

import math

import pytest
import torch
import torchaudio.functional
from hypothesis import given
from hypothesis import strategies as st

from tcn.outputs import Logistics, MuLaw, Output, mu_law_decode, mu_law_encode, output

DRAWS = 20_000
SMALL = [MuLaw(16), Logistics(3, 16)]


def values_of(of: Output) -> torch.Tensor:
    """Every value that a target can be cut to."""
    levels = torch.arange(16, dtype=torch.float64)
    if isinstance(of, MuLaw):
        return mu_law_decode(levels, 16).double()
    return 2 * levels / 15 - 1


def likelihoods(of: Output, raw: torch.Tensor) -> torch.Tensor:
    """The probability of each value, one at a time, ``(16,)`` for raw numbers ``(1, size, 1)``."""
    each = [of.loss(raw, value.view(1, 1)) for value in values_of(of)]
    return torch.stack(each).neg().exp()


@given(st.integers(2, 1000), st.integers(0, 2**31))
def test_mu_law_is_that_of_torchaudio(levels: int, seed: int) -> None:
    x = torch.rand(50, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    found = mu_law_encode(x, levels)
    assert torch.equal(found, torchaudio.functional.mu_law_encoding(x, levels))
    expected = torchaudio.functional.mu_law_decoding(found, levels)
    assert torch.allclose(mu_law_decode(found, levels), expected, atol=1e-6)


@given(st.integers(2, 5000))
def test_mu_law_goes_there_and_back(levels: int) -> None:
    """Every level is its own value's, and a value moves by less than the levels around it."""
    level = torch.arange(levels)
    values = mu_law_decode(level, levels)
    assert torch.equal(mu_law_encode(values, levels), level)
    assert values.abs().max() <= 1
    x = torch.linspace(-1, 1, 999)
    found = mu_law_encode(x, levels)
    below, above = (values[(found + by).clamp(0, levels - 1)] for by in (-1, 1))
    assert ((below <= x + 1e-6) & (x - 1e-6 <= above)).all()  # the ends are rounded


def test_mu_law_by_hand() -> None:
    # mu = 255: f(1/255) = log 2 / log 256 = 1/8, so level (1/8 + 1) / 2 * 255 = 143.4.
    assert mu_law_encode(torch.tensor([-1.0, 0.0, 1 / 255, 1.0, 9.0])).tolist() == [
        0, 128, 143, 255, 255,
    ]  # fmt: skip
    ends = mu_law_decode(torch.tensor([0, 255]))
    assert ends.tolist() == pytest.approx([-1.0, 1.0])


@pytest.mark.parametrize("of", SMALL, ids=lambda each: each.name)
@pytest.mark.parametrize("seed", range(5))
def test_probabilities_of_all_levels_add_up_to_one(of: Output, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    raw = 3 * torch.randn(1, of.size, 1, generator=generator, dtype=torch.float64)
    assert likelihoods(of, raw).sum().item() == pytest.approx(1, abs=1e-9)


def test_a_logistic_by_hand() -> None:
    # One component at 0 of scale 1, three levels: -1, 0, 1, with edges at -1/2 and 1/2.
    raw = torch.zeros(1, 3, 1, dtype=torch.float64)
    made = Logistics(1, 3)
    middle = 1 / (1 + math.exp(-0.5)) - 1 / (1 + math.exp(0.5))
    expected = [(1 - middle) / 2, middle, (1 - middle) / 2]
    for value, likelihood in zip([-1.0, 0.0, 1.0], expected, strict=True):
        loss = made.loss(raw, torch.tensor([[value]]))
        assert loss.item() == pytest.approx(-math.log(likelihood))


@pytest.mark.parametrize("of", SMALL, ids=lambda each: each.name)
def test_draws_and_quantiles_follow_the_probabilities(of: Output) -> None:
    raw = torch.randn(1, of.size, 1, generator=torch.Generator().manual_seed(7)).double()
    likely, values = likelihoods(of, raw), values_of(of)
    draws = of.sample(raw, DRAWS, torch.Generator().manual_seed(8)).flatten()
    often = torch.stack([(draws - value).abs().lt(1e-6).sum() / DRAWS for value in values])
    assert often.sum().item() == pytest.approx(1)  # each draw is the value of a level
    assert (often - likely).abs().max() < 5 * math.sqrt(0.25 / DRAWS)
    # A quantile is the first value up to which there is at least so much.
    q = [0.01, 0.25, 0.5, 0.75, 0.99]
    first = torch.searchsorted(likely.cumsum(0), torch.tensor(q, dtype=torch.float64))
    assert of.quantile(raw, q).flatten().tolist() == pytest.approx(values[first].tolist(), abs=1e-6)


def test_means() -> None:
    raw = torch.randn(1, 16, 1, generator=torch.Generator().manual_seed(1)).double()
    expected = (raw.softmax(1).flatten() * values_of(MuLaw(16))).sum()
    assert MuLaw(16).mean(raw).item() == pytest.approx(expected.item())
    # Two components, of weights 3/4 and 1/4, at -1/3 + 0.1 and 1/3.
    raw = torch.tensor([math.log(3.0), 0.0, 0.1, 0.0, 0.0, 0.0]).view(1, 6, 1)
    expected_mean = 0.75 * (-1 / 3 + 0.1) + 0.25 / 3
    assert Logistics(2, 16).mean(raw).item() == pytest.approx(expected_mean)


@pytest.mark.parametrize("name", ["mu_law", "logistics"])
@pytest.mark.parametrize("size", [1e12, -1e12])
def test_losses_and_gradients_are_finite_for_any_raw_number(name: str, size: float) -> None:
    made = output(name)
    for place in range(0, made.size, max(made.size // 6, 1)):
        raw = torch.zeros(1, made.size, 5)
        raw[:, place] = size
        raw.requires_grad_()
        loss = made.loss(raw, torch.tensor([[-1.0, -0.3, 0.0, 1e-4, 1.0]]))
        (gradient,) = torch.autograd.grad(loss, raw)
        assert loss.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["mu_law", "logistics"])
def test_values_beyond_the_ends_are_refused(name: str) -> None:
    made = output(name)
    with pytest.raises(ValueError, match=r"1 values such as 1\.5, and output"):
        made.loss(torch.zeros(1, made.size, 2), torch.tensor([[0.0, 1.5]]))


def test_wrong_settings() -> None:
    with pytest.raises(ValueError, match="levels: 1; give 2 or more"):
        MuLaw(1)
    with pytest.raises(TypeError, match=r"components: 2\.5 is not an integer"):
        Logistics(2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("levels", [2, 16, 256, 65536])
def test_mu_law_of_half_precision_is_that_of_the_same_values(
    dtype: torch.dtype, levels: int
) -> None:
    """bfloat16 has no 255.5, and float16 no 65535: full scale would get a level that is not."""
    x = torch.linspace(-1, 1, 401).to(dtype)
    assert torch.equal(mu_law_encode(x, levels), mu_law_encode(x.float(), levels))
    assert mu_law_encode(x, levels).max() == levels - 1


def test_nan_has_no_level() -> None:
    with pytest.raises(ValueError, match="x: some values are NaN, which has no level; replace"):
        mu_law_encode(torch.tensor([0.0, float("nan")]))
