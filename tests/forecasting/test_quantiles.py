"""Quantiles that are asked for by their probabilities."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tcn.forecasting import Forecaster

SMALL: dict[str, Any] = {"h": 3, "input_size": 12, "width": 4, "max_steps": 20}


def walk(rows: int = 80) -> pd.DataFrame:
    random = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=rows)
    return pd.concat(
        pd.DataFrame({"unique_id": name, "ds": days, "y": 50 + random.normal(size=rows).cumsum()})
        for name in "ab"
    )


def test_quantiles_are_the_ends_of_intervals() -> None:
    forecaster = Forecaster(**SMALL, loss="quantiles").fit(walk())
    found = forecaster.predict(quantiles=[0.95, 0.5, 0.05, 0.3])
    names = [f"TCN-q-{q}" for q in (0.05, 0.3, 0.5, 0.95)]
    assert list(found.columns) == ["unique_id", "ds", "TCN", *names]
    ends = forecaster.predict(level=[90, 40])
    for quantile, end in zip(names, ("lo-90", "lo-40", None, "hi-90"), strict=True):
        expected = ends["TCN" if end is None else f"TCN-{end}"]  # the point is the median
        np.testing.assert_allclose(found[quantile], expected)
    assert (np.diff(found[names], axis=1) >= 0).all()
    both = forecaster.predict(level=[90], quantiles=[0.05])
    assert list(both.columns)[2:] == ["TCN", "TCN-lo-90", "TCN-hi-90", "TCN-q-0.05"]
    np.testing.assert_array_equal(both["TCN-q-0.05"], both["TCN-lo-90"])


def test_quantiles_of_a_normal_distribution_lie_as_its_normal_scores() -> None:
    forecaster = Forecaster(**SMALL, loss="normal").fit(walk())
    probabilities = [0.001, 0.1, 0.5, 0.8, 0.999]
    found = forecaster.predict(quantiles=probabilities)
    values = found[[f"TCN-q-{q:g}" for q in probabilities]].to_numpy()
    spread = (values - values[:, 2:3]) / (values[:, 3:4] - values[:, 2:3])
    expected = stats.norm.ppf(probabilities) / stats.norm.ppf(0.8)
    np.testing.assert_allclose(spread, np.broadcast_to(expected, spread.shape), rtol=1e-4)


def test_calibrated_intervals_have_quantiles_around_the_point() -> None:
    forecaster = Forecaster(**SMALL, intervals="conformal").fit(walk(), val_size=30)
    found = forecaster.predict(quantiles=[0.1, 0.5, 0.9])
    ends = forecaster.predict(level=[80])
    np.testing.assert_array_equal(found["TCN-q-0.1"], ends["TCN-lo-80"])
    np.testing.assert_array_equal(found["TCN-q-0.9"], ends["TCN-hi-80"])
    np.testing.assert_array_equal(found["TCN-q-0.5"], ends["TCN"])


def test_quantiles_of_several_targets_beyond_the_trained_horizon() -> None:
    df = walk().assign(z=lambda table: 2 * table["y"])
    forecaster = Forecaster(**SMALL, loss="normal", target_col=["y", "z"]).fit(df)
    found = forecaster.predict(h=5, quantiles=[0.25, 0.75])
    assert list(found.columns)[4:] == [
        "y-TCN-q-0.25",
        "z-TCN-q-0.25",
        "y-TCN-q-0.75",
        "z-TCN-q-0.75",
    ]
    assert len(found) == 10
    assert (found["y-TCN-q-0.25"] < found["y-TCN-q-0.75"]).all()


@pytest.mark.parametrize(
    ("quantiles", "error", "message"),
    [
        ([5], ValueError, "quantiles: 5 is not between 0 and 1, both excluded; write 0.05"),
        ([0.1, 1.0], ValueError, "quantiles: 1 is not between 0 and 1"),
        ([0.0], ValueError, "quantiles: 0 is not between"),
        (0.5, TypeError, "quantiles: 0.5"),
        (["0.5"], TypeError, "quantiles"),
    ],
)
def test_what_is_no_probability(quantiles: Any, error: type[Exception], message: str) -> None:
    forecaster = Forecaster(**SMALL | {"max_steps": 1}, loss="quantiles").fit(walk())
    with pytest.raises(error, match=message):
        forecaster.predict(quantiles=quantiles)
    points = Forecaster(**SMALL | {"max_steps": 1}).fit(walk())
    with pytest.raises(TypeError, match=r"quantiles: \[0.5\], but loss 'mse' gives points alone"):
        points.predict(quantiles=[0.5])
