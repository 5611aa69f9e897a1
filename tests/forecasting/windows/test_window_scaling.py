"""Window scalers: statistics of what is observed, and the way back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.forecasting.windows.scaling import WINDOW_SCALERS, WindowScaler


def restored(values: torch.Tensor, statistics: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Values in units of windows in those of the data, as a net without a learned factor has it."""
    location, scale = statistics
    return values * scale + location


@pytest.mark.parametrize(
    ("name", "location", "scale"),
    [
        ("identity", 0, 1),
        ("standard", 3, 2**0.5),  # of 5 1 2 4 3
        ("robust", 3, 1 / 0.67448975),  # deviations 2 2 1 1 0, median 1
        ("mean", 0, 3),
        ("last", 3, 1),
        ("revin", 3, 2**0.5),
    ],
)
def test_statistics_by_hand(name: str, location: float, scale: float) -> None:
    x = torch.tensor([[[5.0, 1, 2, 4, 3, 100]]])
    mask = torch.tensor([[[True] * 5 + [False]]])
    scaled, (at, spread) = WindowScaler(name, 1).scale(x, mask)
    torch.testing.assert_close(at, torch.full((1, 1, 1), float(location)))
    # To the variance 1e-5 is added, as RevIN has it.
    torch.testing.assert_close(spread, torch.full((1, 1, 1), float(scale)), rtol=1e-5, atol=0)
    torch.testing.assert_close(scaled[0, 0, :5], (x[0, 0, :5] - location) / scale)
    assert scaled[0, 0, 5] == 0


@settings(max_examples=40)
@given(
    name=st.sampled_from(WINDOW_SCALERS),
    length=st.integers(1, 12),
    seed=st.integers(0, 1000),
    magnitude=st.sampled_from([1e-20, 1.0, 1e18]),
)
def test_statistics_lead_back_and_the_rest_of_the_batch_is_nothing(
    name: str, length: int, seed: int, magnitude: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 2, length, generator=generator) * magnitude
    mask = torch.rand(3, 2, length, generator=generator) < 0.7
    scaler = WindowScaler(name, 2)
    scaled, statistics = scaler.scale(x.masked_fill(~mask, torch.nan), mask)
    assert scaled.isfinite().all()
    assert (scaled[~mask] == 0).all()
    back = restored(scaled, statistics)[mask]
    torch.testing.assert_close(back, x[mask], rtol=1e-4, atol=2e-6 * magnitude)
    alone, _ = scaler.scale(x[:1], mask[:1])
    torch.testing.assert_close(alone, scaled[:1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["standard", "robust", "mean", "revin"])
def test_windows_of_huge_values(name: str) -> None:
    x = torch.tensor([[[5.0, 1, 2, 4, 3]]])
    scaled, usual = WindowScaler(name, 1).scale(x)
    huge, statistics = WindowScaler(name, 1).scale(x * 2.0**80)  # its square is not a float32
    torch.testing.assert_close(huge, scaled, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(statistics[1], usual[1] * 2.0**80, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", WINDOW_SCALERS)
def test_constant_and_empty_windows(name: str) -> None:
    x = torch.full((2, 1, 5), 0.1)
    mask = torch.tensor([[[True] * 5], [[False] * 5]])
    scaler = WindowScaler(name, 1)
    scaled, statistics = scaler.scale(x, mask)
    if name != "mean":
        assert (statistics[1] == 1).all()
    assert statistics[0][1] == 0
    assert statistics[1][1] == 1
    torch.testing.assert_close(restored(scaled, statistics)[0], x[0], rtol=1e-7, atol=0)


def test_quantiles_lead_back_window_by_window() -> None:
    x = torch.tensor([[[1.0, 3]], [[10.0, 30]]])
    _, statistics = WindowScaler("standard", 1).scale(x)
    quantiles = torch.tensor([-1.0, 1])[:, None, None, None].expand(2, 2, 1, 4)
    back = restored(quantiles, statistics)
    torch.testing.assert_close(
        back[:, :, 0, 0], torch.tensor([[1.0, 10], [3, 30]]), rtol=1e-4, atol=0
    )


def test_revin_learns_a_factor_and_a_shift() -> None:
    scaler = WindowScaler("revin", 2)
    assert {name: tuple(p.shape) for name, p in scaler.named_parameters()} == {
        "weight": (2, 1),
        "bias": (2, 1),
    }
    with torch.no_grad():
        scaler.weight.fill_(2)
        scaler.bias.fill_(-1)
    x = torch.randn(4, 2, 50)
    scaled, _ = scaler.scale(x)
    plain, _ = WindowScaler("standard", 2).scale(x)
    torch.testing.assert_close(scaled, 2 * plain - 1)
    scaled.sum().backward()
    assert scaler.weight.grad is not None
    for name in set(WINDOW_SCALERS) - {"revin"}:
        assert not list(WindowScaler(name, 2).parameters())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 7, 3), r"x: shape \(4, 7, 3\), expected \(batch, 3 channels, time\); .*movedim"),
        ((4, 5, 7), r"x: shape \(4, 5, 7\), expected \(batch, 3 channels, time\)$"),
        ((4, 3), r"x: shape \(4, 3\), expected"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowScaler("standard", 3).scale(torch.zeros(shape))


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"window_scaler: 'max' is not known; give identity"):
        WindowScaler("max", 1)
    with pytest.raises(ValueError, match=r"channels: 0 must be at least 1"):
        WindowScaler("standard", 0)
    mask = torch.ones(2, 1, 4, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"mask: shape \(2, 1, 4\), expected that of x \(2, 1, 5\)"
    ):
        WindowScaler("standard", 1).scale(torch.zeros(2, 1, 5), mask)


def test_standard_windows_are_those_of_numpy() -> None:
    x = torch.randn(5, 3, 40, dtype=torch.float64) * 7 + 3
    scaled, _ = WindowScaler("standard", 3).scale(x)
    values = x.numpy()
    expected = (values - values.mean(-1, keepdims=True)) / np.sqrt(
        values.var(-1, keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(scaled.numpy(), expected, rtol=1e-10)
