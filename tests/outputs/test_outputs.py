"""Outputs against scipy, scikit-learn, torch.distributions and numbers computed by hand."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_pinball_loss

from tcn.outputs import (
    MAE,
    MASE,
    MSE,
    OUTPUTS,
    Huber,
    Mixture,
    NegativeBinomial,
    Normal,
    Output,
    Poisson,
    Quantiles,
    StudentT,
    build,
    output,
    seasonal_error,
)

ALL = [output(name) for name, of in OUTPUTS.items() if of.support in ("real", "count")]
DISTRIBUTIONS = [each for each in ALL if each.intervals]
POINTS = [each for each in ALL if not each.intervals]
REAL = [each for each in ALL if each.support == "real"]
COUNTS = [each for each in ALL if each.support == "count"]
SHAPE = (3, 2, 4)  # batch, target channels, horizon
SCALE = torch.full(SHAPE[:2], 2.0)


def named(outputs: list[Output]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("given", outputs, ids=lambda each: each.name)


def raw_numbers(of: Output, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SHAPE[0], of.size, *SHAPE[1:], generator=generator, dtype=dtype)


def targets(seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Small counts, which every output can be asked about."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 6, SHAPE, generator=generator).to(dtype)


def positive(raw: np.ndarray) -> np.ndarray:
    """Scales, as the docstring says: exp below 0, 1 + raw above."""
    return np.where(raw < 0, np.exp(np.minimum(raw, 0)), 1 + raw)


def one_step(*raw: float) -> torch.Tensor:
    return torch.tensor(raw, dtype=torch.float64).view(1, -1, 1, 1)


# ------------------------------------------------------------------------------------------- losses


def test_squared_absolute_and_huber_losses_by_hand() -> None:
    raw = torch.tensor([0.0, 1.0, 5.0]).view(1, 1, 1, 3)
    target = torch.tensor([1.0, 1.0, 2.0]).view(1, 1, 3)
    assert MSE().loss(raw, target).item() == pytest.approx((1 + 0 + 9) / 3)
    assert MAE().loss(raw, target).item() == pytest.approx((1 + 0 + 3) / 3)
    # delta = 2: half of 1 squared, 0, and 2 * (3 - 2 / 2).
    assert Huber(delta=2.0).loss(raw, target).item() == pytest.approx((0.5 + 0 + 4) / 3)


def test_mase_divides_each_window_by_its_scale() -> None:
    raw = torch.zeros(2, 1, 1, 2)
    target = torch.tensor([[[2.0, 4.0]], [[3.0, 9.0]]])
    scale = torch.tensor([[2.0], [3.0]])
    assert MASE().loss(raw, target, scale=scale).item() == pytest.approx((1 + 2 + 1 + 3) / 4)
    unusable = torch.tensor([[0.0], [torch.inf]])
    assert MASE().loss(raw, target, scale=unusable).item() == pytest.approx((2 + 4 + 3 + 9) / 4)


def test_seasonal_error_is_the_mean_difference_one_season_apart() -> None:
    past = torch.tensor([[[1.0, 2.0, 4.0, 8.0, 9.0]]])
    observed = torch.ones_like(past, dtype=torch.bool)
    # |4 - 1|, |8 - 2|, |9 - 4|
    assert seasonal_error(past, observed, 2).item() == pytest.approx(14 / 3)
    observed[..., 3] = False
    past[..., 3] = torch.nan
    assert seasonal_error(past, observed, 2).item() == pytest.approx((3 + 5) / 2)
    assert seasonal_error(past, observed, 5).item() == 0
    assert seasonal_error(past, observed, 9).item() == 0


def test_quantile_loss_is_scikit_learns() -> None:
    given = Quantiles((0.1, 0.5, 0.8))
    raw, target = raw_numbers(given), targets()
    values = given.values(raw).numpy()
    expected = np.mean([
        mean_pinball_loss(target.numpy().ravel(), values[:, index].ravel(), alpha=level)
        for index, level in enumerate(given.levels)
    ])  # fmt: skip
    assert given.loss(raw, target).item() == pytest.approx(expected, rel=1e-12)


def test_normal_loss_is_scipys() -> None:
    raw, target = raw_numbers(Normal()), targets().numpy()
    expected = -stats.norm(raw[:, 0].numpy(), 1e-4 + positive(raw[:, 1].numpy())).logpdf(target)
    loss = Normal().loss(raw, torch.from_numpy(target))
    assert loss.item() == pytest.approx(expected.mean(), rel=1e-12)


def test_student_t_loss_is_scipys() -> None:
    raw, target = raw_numbers(StudentT()), targets().numpy()
    location, spread, freedom = raw.numpy().transpose(1, 0, 2, 3)
    reference = stats.t(2 + positive(freedom), location, 1e-4 + positive(spread))
    loss = StudentT().loss(raw, torch.from_numpy(target))
    assert loss.item() == pytest.approx(-reference.logpdf(target).mean(), rel=1e-12)


def test_mixture_loss_is_that_of_torch_distributions() -> None:
    given = Mixture(4)
    raw, target = raw_numbers(given), targets()
    logits, location, spread = raw.movedim(1, -1).chunk(3, dim=-1)
    offsets = torch.linspace(-1, 1, 4, dtype=torch.float64)
    scales = 1e-4 + torch.from_numpy(positive(spread.numpy()))
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=logits),
        torch.distributions.Normal(location + offsets, scales),
    )
    expected = -reference.log_prob(target).mean()
    assert given.loss(raw, target).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 7.5, 30.0])  # below, across and beyond the end of the log
def test_poisson_loss_is_scipys(shift: float) -> None:
    raw, target = raw_numbers(Poisson()) + shift, targets() * 50
    number = raw[:, 0].numpy()
    rate = np.where(number < 8, np.exp(np.minimum(number, 8)), np.exp(8) * (number - 7))
    expected = -stats.poisson(rate).logpmf(target.numpy()).mean()
    assert Poisson().loss(raw, target).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 9.0])
def test_negative_binomial_loss_is_scipys(shift: float) -> None:
    raw, target = raw_numbers(NegativeBinomial()) + shift, targets() * 50
    mean, concentration = NegativeBinomial().mean(raw).numpy(), positive(raw[:, 1].numpy())
    reference = stats.nbinom(concentration, concentration / (concentration + mean))
    expected = -reference.logpmf(target.numpy()).mean()
    assert NegativeBinomial().loss(raw, target).item() == pytest.approx(expected, rel=1e-10)


def test_large_parameters_keep_their_digits_in_float32() -> None:
    """Where logarithms of gamma of a million cancel, by scipy in float64."""
    count, rate = 100_000.0, np.exp(8) * 33
    raw = torch.tensor([40.0, 1e5]).view(1, 2, 1, 1)
    loss = NegativeBinomial().loss(raw, torch.full((1, 1, 1), count))
    concentration = 1 + 1e5
    reference = stats.nbinom(concentration, concentration / (concentration + rate))
    assert loss.item() == pytest.approx(-reference.logpmf(count), abs=1e-3)
    raw = torch.tensor([0.0, 0.0, 9e5]).view(1, 3, 1, 1)
    loss = StudentT().loss(raw, torch.full((1, 1, 1), 1.5))
    expected = -stats.t(2 + 1 + 9e5, 0, 1 + 1e-4).logpdf(1.5)
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_negative_binomial_ends_in_poisson() -> None:
    raw = torch.cat([raw_numbers(Poisson()), torch.full((3, 1, 2, 4), 1e9)], dim=1)
    loss = NegativeBinomial().loss(raw, targets())
    assert loss.item() == pytest.approx(Poisson().loss(raw[:, :1], targets()).item(), abs=1e-5)


@named(ALL)
def test_the_gradient_is_that_of_the_loss(given: Output) -> None:
    raw = (3 * raw_numbers(given)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda numbers: given.loss(numbers, targets() + 0.25, scale=SCALE), raw
    )


@named(ALL)
def test_losses_and_gradients_of_extreme_numbers_are_finite_in_float32(given: Output) -> None:
    values = [sign * size for size in (0.0, 1.0, 30.0, 1e3, 1e6, 1e12) for sign in (1, -1)]
    grid = torch.tensor(values).repeat(given.size, 1)
    # Every pair of values of every two raw numbers, and of each with the target.
    for shift in range(len(values)):
        rolled = torch.stack([row.roll(shift * index) for index, row in enumerate(grid)])
        for target in (0.0, 3.0, 1e4):
            raw = rolled.view(1, given.size, 1, -1).clone().requires_grad_()
            came = torch.full((1, 1, raw.shape[-1]), target)
            losses = given.elementwise(raw, came, torch.ones(1, 1))
            mean = given.loss(raw, came, scale=torch.ones(1, 1))
            mean.backward()
            assert raw.grad is not None
            assert losses.isfinite().all()
            assert mean.isfinite()
            assert raw.grad.isfinite().all()


@named(ALL)
def test_half_precision_numbers_give_a_float32_loss(given: Output) -> None:
    raw = raw_numbers(given, dtype=torch.bfloat16)
    loss = given.loss(raw, targets().bfloat16(), scale=SCALE)
    assert loss.dtype == torch.float32
    expected = given.loss(raw.float(), targets().float(), scale=SCALE)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


# -------------------------------------------------------------------------------------------- masks


@named(ALL)
def test_what_was_not_observed_does_not_matter(given: Output) -> None:
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)) < 0.6
    clean = raw_numbers(given).requires_grad_()
    spoilt = clean.detach().masked_fill(~mask.unsqueeze(1), torch.nan).requires_grad_()
    loss = given.loss(clean, targets(), mask, SCALE)
    came = targets().masked_fill(~mask, torch.nan)
    nothing = given.loss(spoilt, came, mask, SCALE)
    expected = given.elementwise(clean.detach(), targets(), SCALE)[mask].mean()
    assert loss.item() == nothing.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way back either
        nothing.backward()
    assert clean.grad is not None
    assert spoilt.grad is not None
    assert torch.equal(clean.grad, spoilt.grad)
    assert (clean.grad.movedim(1, -1)[~mask] == 0).all()


@named(ALL)
def test_nothing_observed_is_no_loss(given: Output) -> None:
    raw = raw_numbers(given).requires_grad_()
    loss = given.loss(raw, targets() * torch.nan, torch.zeros(SHAPE, dtype=torch.bool), SCALE)
    loss.backward()
    assert loss.item() == 0
    assert raw.grad is not None
    assert (raw.grad == 0).all()


# ---------------------------------------------------------------------------------------- quantiles

RAW = st.floats(-50, 50, width=32)


@named(DISTRIBUTIONS)
@given(data=st.data())
@settings(max_examples=25)
def test_quantiles_never_cross(given: Output, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(RAW, min_size=given.size, max_size=given.size))
    levels = st.floats(0.001, 0.999)
    q = sorted(data.draw(st.lists(levels, min_size=2, max_size=6)))
    raw = torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1)
    values = given.quantile(raw, q)
    assert values.shape == (len(q), 1, 1, 1)
    assert values.dtype == torch.float32
    assert (values.diff(dim=0) >= 0).all()
    # The order in which they are asked for does not matter.
    assert torch.equal(given.quantile(raw, q[::-1]).flip(0), values)


@given(
    levels=st.lists(st.integers(1, 99), min_size=1, max_size=7, unique=True),
    numbers=st.lists(st.floats(-1e6, 1e6, width=32), min_size=7, max_size=7),
)
@settings(max_examples=50)
def test_trained_quantiles_cannot_cross(levels: list[int], numbers: list[float]) -> None:
    trained = Quantiles(tuple(level / 100 for level in sorted(levels)))
    raw = torch.tensor(numbers[: trained.size], dtype=torch.float32).view(1, -1, 1, 1)
    values = trained.values(raw)
    assert (values.diff(dim=1) >= 0).all()
    assert values[0, trained.middle] == raw[0, trained.middle]
    if trained.intervals:
        asked = trained.quantile(raw, trained.levels)
        assert torch.allclose(asked.movedim(0, 1), values, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        (Normal(), stats.norm(0.5, 1e-4 + 1.2)),
        (StudentT(), stats.t(2 + 1.7, 0.5, 1e-4 + 1.2)),
        (Poisson(), stats.poisson(np.exp(0.5))),
        (NegativeBinomial(), stats.nbinom(1.2, 1.2 / (1.2 + np.exp(0.5)))),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_quantiles_are_scipys(given: Output, reference: stats.rv_continuous) -> None:
    raw = one_step(*(0.5, 0.2, 0.7)[: given.size])
    q = [0.025, 0.3, 0.5, 0.99]
    values = given.quantile(raw, q).ravel().numpy()
    assert values == pytest.approx(reference.ppf(q), rel=1e-9)


def test_quantiles_of_a_mixture_invert_its_distribution() -> None:
    given = Mixture(3)
    raw, q = raw_numbers(given), torch.tensor([0.001, 0.2, 0.5, 0.97])
    values = given.quantile(raw, q)
    weight, location, spread = given.parameters(raw)
    below = torch.special.ndtr((values.unsqueeze(2) - location) / spread)
    found = (weight.exp() * below).sum(dim=2)
    assert torch.allclose(found, q.double().view(-1, 1, 1, 1).expand_as(found), atol=1e-9)


def test_between_and_beyond_trained_levels_the_normal_score_is_linear() -> None:
    # Levels of a normal distribution with mean 2 and deviation 3 give back all of its quantiles.
    trained = (0.1, 0.5, 0.9)
    low, middle, high = stats.norm(2, 3).ppf(trained)
    apart = np.log(np.expm1([middle - low, high - middle]))  # softplus backwards
    raw = one_step(apart[0], middle, apart[1])
    q = [0.001, 0.1, 0.3, 0.5, 0.8, 0.9, 0.999]
    values = Quantiles(trained).quantile(raw, q).ravel()
    at = torch.tensor(q, dtype=torch.float64)
    assert values.tolist() == Quantiles(trained).quantile(raw, at).ravel().tolist()
    assert values.numpy() == pytest.approx(stats.norm(2, 3).ppf(q), rel=1e-9)


def test_levels_of_intervals() -> None:
    assert Quantiles.for_intervals([80, 90]).levels == (0.05, 0.1, 0.5, 0.9, 0.95)
    assert Quantiles.for_intervals([97.5]).levels == (0.0125, 0.5, 0.9875)


def test_the_point_forecast_of_quantiles_is_the_median() -> None:
    raw = one_step(0.3, 1.0)
    uneven = Quantiles((0.2, 0.6))
    assert uneven.mean(raw) == uneven.quantile(raw, [0.5])[0]
    assert Quantiles((0.5, 0.6)).mean(raw).item() == pytest.approx(0.3)
    assert Quantiles((0.7,)).mean(one_step(4.0)).item() == 4.0


# ------------------------------------------------------------------------------------ points, draws


@named(DISTRIBUTIONS)
def test_draws_follow_the_quantiles(given: Output) -> None:
    raw, n = one_step(*np.linspace(0.4, 1.2, given.size)), 20_000
    draws = given.sample(raw, n, torch.Generator().manual_seed(3)).ravel()
    assert draws.shape == (n,)
    for q in (0.05, 0.5, 0.9):
        edge = given.quantile(raw, [q]).item()
        below, up_to = (draws < edge).double().mean(), (draws <= edge).double().mean()
        slack = 4 * (q * (1 - q) / n) ** 0.5  # four standard errors
        assert below - slack <= q <= up_to + slack


@named([each for each in DISTRIBUTIONS if each.name != "quantiles"])
def test_the_point_forecast_is_the_mean_of_the_draws(given: Output) -> None:
    raw = one_step(*np.linspace(0.4, 2.2, given.size))
    draws = given.sample(raw, 100_000, torch.Generator().manual_seed(4))
    error = (draws.std() / 100_000**0.5).item()
    assert given.mean(raw).item() == pytest.approx(draws.mean().item(), abs=4 * error)


@named(DISTRIBUTIONS)
def test_draws_are_those_of_the_generator(given: Output) -> None:
    raw = raw_numbers(given, dtype=torch.float32)
    first = given.sample(raw, 5, torch.Generator().manual_seed(7))
    again = given.sample(raw, 5, torch.Generator().manual_seed(7))
    other = given.sample(raw, 5, torch.Generator().manual_seed(8))
    assert first.shape == (5, *SHAPE)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@named(DISTRIBUTIONS)
def test_draws_of_different_steps_are_independent(given: Output) -> None:
    raw = one_step(*np.linspace(0.4, 1.2, given.size)).expand(1, -1, 1, 2)
    draws = given.sample(raw, 20_000, torch.Generator().manual_seed(5))
    ranks = stats.spearmanr(*draws[:, 0, 0].T.numpy()).statistic
    assert abs(ranks) < 4 / 20_000**0.5


@named(COUNTS)
def test_quantiles_and_draws_of_counts_are_counts(given: Output) -> None:
    raw = 2 * raw_numbers(given)
    for values in (given.quantile(raw, [0.1, 0.9]), given.sample(raw, 4)):
        assert (values >= 0).all()
        assert torch.equal(values, values.round())


@named(REAL)
def test_locations_move_everything(given: Output) -> None:
    raw = raw_numbers(given)
    moved = raw.clone()
    moved[:, list(given.locations)] += 2.5
    assert torch.allclose(given.mean(moved), given.mean(raw) + 2.5)
    if given.intervals:
        q = [0.1, 0.6]
        assert torch.allclose(given.quantile(moved, q), given.quantile(raw, q) + 2.5)
        draws = [given.sample(x, 2, torch.Generator().manual_seed(0)) for x in (raw, moved)]
        assert torch.allclose(draws[1], draws[0] + 2.5)
    loss = given.loss(moved, targets() + 2.5, scale=SCALE)
    assert loss.item() == pytest.approx(given.loss(raw, targets(), scale=SCALE).item())


def test_components_of_a_mixture_learn_apart_from_zeros() -> None:
    raw = torch.zeros(1, 9, 1, 1, requires_grad=True)
    Mixture(3).loss(raw, torch.ones(1, 1, 1)).backward()
    assert raw.grad is not None
    assert len(set(raw.grad.view(3, 3)[1].tolist())) == 3


@named(POINTS)
def test_points_have_no_distribution_and_say_what_has(given: Output) -> None:
    raw = raw_numbers(given)
    assert torch.equal(given.mean(raw), raw[:, 0])
    with pytest.raises(TypeError, match=f"{given.name!r} gives points.*intervals='conformal'"):
        given.quantile(raw, [0.5])
    with pytest.raises(TypeError, match=r"no samples.*'quantiles'"):
        given.sample(raw, 3)


# ------------------------------------------------------------------------------------- descriptions


@named([*ALL, Huber(2.5), Mixture(5), Quantiles((0.2, 0.9)), MASE(season=24)])
def test_an_output_is_its_name_and_arguments(given: Output) -> None:
    stored = json.loads(json.dumps(given.describe()))
    assert build(stored) == given
    assert output(given) is given


def test_names() -> None:
    assert output("mse") == MSE()
    assert output("mixture") == Mixture(components=3)
    assert {name: made.name for name, made in OUTPUTS.items()} == {name: name for name in OUTPUTS}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: output("rmse"), ValueError, "no output is named 'rmse'; names are .*mae, mase, "),
        (lambda: output(3), TypeError, "loss: 3 is neither a name nor an Output"),
        (lambda: build({"name": "mse", "delta": 1}), ValueError, "'mse' has no argument 'delta'"),
        (lambda: build({}), ValueError, "no output is named None"),
        (lambda: Huber(0), ValueError, "delta: 0 is not a finite number above 0"),
        (lambda: Huber("1"), TypeError, "delta: '1' is not a number"),
        (lambda: Huber(10**400), ValueError, "delta: 10* is not a finite number above 0"),
        (
            lambda: Mixture(2**70),
            ValueError,
            "components: .* is more than a machine can hold; give",
        ),
        (lambda: Quantiles({0.5: 1}), TypeError, "levels: {0.5: 1} is not a sequence of numbers"),
        (lambda: Quantiles({0.1, 0.5}), TypeError, "levels: {0.*} is not a sequence of numbers"),
        (lambda: Quantiles([True]), TypeError, r"levels: \[True\] is not a sequence of numbers"),
        (lambda: Mixture(0), ValueError, "components: 0 must be at least 1"),
        (lambda: Mixture(2.0), TypeError, "components: 2.0 is not an integer"),
        (lambda: MASE(season=0), ValueError, "season: 0 must be at least 1"),
        (lambda: Quantiles(()), ValueError, "give rising probabilities"),
        (lambda: Quantiles((0.5, 0.5)), ValueError, r"\[0.5, 0.5\]; give rising probabilities"),
        (lambda: Quantiles((0.5, 1.0)), ValueError, "between 0 and 1, both excluded"),
        (lambda: Quantiles.for_intervals([100]), ValueError, "both excluded"),
    ],
)
def test_wrong_descriptions(call: object, error: type[Exception], message: str) -> None:
    assert callable(call)
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda raw, y: Normal().loss(raw[:, :1], y),
            r"raw: shape \(3, 1, 2, 4\) does not fit output 'normal'; expected \(batch, 2, \*",
        ),
        (lambda raw, y: Normal().loss(raw.long(), y), "raw: torch.int64; output 'normal' reads"),
        (lambda raw, y: Normal().mean(raw + 0j), "raw: torch.complex128; output 'normal' reads"),
        (lambda raw, y: Normal().loss(raw, y + 0j), "target: torch.complex128; give real numbers"),
        (lambda raw, y: Normal().loss(raw, y[:2]), r"target: shape \(2, 2, 4\) does not fit raw"),
        (lambda raw, y: Normal().loss(raw, y, y), "mask: torch.float64 of shape .* torch.bool"),
        (lambda raw, y: Normal().loss(raw, y, y[0] > 0), r"mask: torch.bool of shape \(2, 4\)"),
        (lambda raw, y: Normal().quantile(raw, [0.0]), r"q: \[0.0\] are not all between 0 and 1"),
        (lambda raw, y: Normal().quantile(raw, 0.5), r"q: shape \(\); give a list"),
        (lambda raw, y: Normal().sample(raw, 0), "n: 0 must be at least 1"),
        (lambda raw, y: MASE().loss(raw[:, :1], y), "scale: None.*seasonal_error"),
        (lambda raw, y: MASE().loss(raw[:, :1], y, scale=y), r"scale: shape .* = \(3, 2\)"),
        (lambda raw, y: seasonal_error(y, y > 0, 0), "season: 0 must be at least 1"),
    ],
)
def test_wrong_numbers(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call(raw_numbers(Normal()), targets())


def test_one_trained_quantile_is_no_distribution() -> None:
    with pytest.raises(TypeError, match=r"\[0.9\] is one quantile.*intervals='conformal'"):
        Quantiles((0.9,)).quantile(one_step(1.0), [0.5])


def test_counts_refuse_what_is_none() -> None:
    Poisson().check_target(torch.tensor([0.0, 7.0, torch.nan]))
    Normal().check_target(torch.tensor([-0.5]))
    for wrong in (-1.0, 2.5):
        with pytest.raises(
            ValueError, match=f"1 values such as {wrong:g} are not counts.*'normal'"
        ):
            NegativeBinomial().check_target(torch.tensor([3.0, wrong]))
