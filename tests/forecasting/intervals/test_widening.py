"""Intervals for what is to come, by simulated processes whose distribution is known."""

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from tcn.forecasting import Forecaster
from tcn.forecasting.intervals.widening import Widened, widening_of
from tcn.outputs import output

NORMAL = NormalDist()


def test_errors_to_come_are_larger_than_fitted_ones_by_this_factor() -> None:
    # Of a regression on 20 columns of noise, fitted to 100 rows, 400 times: by simulation.
    random = np.random.default_rng(0)
    fitted, came = [], []
    for _ in range(400):
        rows, later = random.normal(size=(2, 100, 20))
        target, coming = random.normal(size=(2, 100))
        weights = np.linalg.lstsq(rows, target, rcond=None)[0]
        fitted.append(np.square(target - rows @ weights).mean())
        came.append(np.square(coming - later @ weights).mean())
    # Columns drawn anew for the later rows cost a little more than (n + p) / n.
    measured = (np.mean(came) / np.mean(fitted)) ** 0.5
    assert widening_of(100, 20) == pytest.approx(1.5**0.5)
    assert measured == pytest.approx(widening_of(100, 20), rel=0.03)


def test_many_windows_need_nothing_and_very_few_stay_finite() -> None:
    assert widening_of(10**8, 40) == pytest.approx(1, abs=1e-6)
    assert widening_of(3, 40) == widening_of(80, 40) == pytest.approx(3**0.5)


def test_a_normal_widened_is_a_normal_of_that_deviation() -> None:
    raw = torch.randn(3, 2, 1, 4, generator=torch.Generator().manual_seed(0))
    normal = output("normal")
    wide = Widened(normal, 1.5)
    center, deviation = normal.mean(raw), normal.parameters(raw)[1]  # type: ignore[attr-defined]
    levels = [0.1, 0.5, 0.9]
    expected = torch.stack([center + 1.5 * deviation * NORMAL.inv_cdf(q) for q in levels])
    torch.testing.assert_close(wide.quantile(raw, levels), expected)
    torch.testing.assert_close(wide.mean(raw), center)
    draws = wide.sample(raw, 20_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(draws.std(0), 1.5 * deviation, rtol=0.03, atol=0)


def test_points_and_counts_stay_as_they_are() -> None:
    random = np.random.default_rng(0)
    counts = pd.DataFrame({
        "unique_id": "a", "ds": np.arange(60), "y": random.poisson(5, 60).astype(float)
    })  # fmt: skip
    small = {"h": 2, "input_size": 8, "width": 4, "max_steps": 2}
    assert Forecaster(**small, loss="poisson").fit(counts).trained_.widening == 1
    # 51 windows; 8 values, 4 channels and a constant are multiplied for every step, and as many
    # again are counted for the layers before.
    normal = Forecaster(**small, loss="normal").fit(counts)
    assert normal.trained_.widening == pytest.approx(widening_of(60 - 8 - 2 + 1, 2 * (8 + 4 + 1)))
    forecasts = normal.predict(level=[80])
    normal.trained_.widening = 1.0
    narrow = normal.predict(level=[80])
    np.testing.assert_array_equal(forecasts["TCN"], narrow["TCN"])
    assert (forecasts["TCN-hi-80"] > narrow["TCN-hi-80"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["normal", "quantiles"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_intervals_of_a_known_process_cover_as_often_as_they_say(share: float, loss: str) -> None:
    # Given its last value, each later one of an AR(1) is normal, so that how often an interval
    # holds it follows without drawing any; the mean of three realizations of 2,000 rows.
    found = np.mean([covered(share, loss, seed) for seed in range(3)], axis=0)
    np.testing.assert_allclose(found[:2], [80, 90], atol=2)
    assert found[2] == pytest.approx(1, abs=0.1)


def covered(share: float, loss: str, seed: int, rows: int = 2000, h: int = 4) -> list[float]:
    """Coverage of 80 and 90 % in percent, and the mean width of the former over the true one."""
    noise = np.random.default_rng(seed).normal(size=rows + 1700)
    y = np.zeros(len(noise))
    for step in range(1, len(noise)):
        y[step] = share * y[step - 1] + noise[step]
    df = pd.DataFrame({"unique_id": "a", "ds": np.arange(rows + 1500), "y": y[200:]})
    forecaster = Forecaster(h=h, input_size=24, loss=loss).fit(df[:rows])
    tried = forecaster.cross_validation(df, n_windows=1500 // h - 1, step_size=h, refit=False)
    ahead = (tried["ds"] - tried["cutoff"]).to_numpy()
    center = share**ahead * df["y"].to_numpy()[tried["cutoff"]]
    deviation = np.sqrt((1 - share ** (2 * ahead)) / (1 - share**2))
    shares = []
    for level in (80, 90):
        low, high = (
            below((tried[f"TCN-{end}-{level}"] - center) / deviation) for end in ("lo", "hi")
        )
        shares.append(100 * float(np.mean(high - low)))
    width = (tried["TCN-hi-80"] - tried["TCN-lo-80"]) / (2 * NORMAL.inv_cdf(0.9) * deviation)
    return [*shares, float(width.mean())]


def below(values: pd.Series) -> NDArray[np.float64]:
    """The share of a standard normal below each value."""
    return np.array([NORMAL.cdf(value) for value in values])
