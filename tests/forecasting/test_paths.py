"""Sample paths: each step as forecast, all steps together as in the data."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcn.forecasting import Forecaster

SMALL: dict[str, Any] = {"h": 3, "input_size": 12, "width": 4, "max_steps": 20}


def walk(rows: int = 80, names: str = "ab") -> pd.DataFrame:
    random = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=rows)
    return pd.concat(
        pd.DataFrame({"unique_id": name, "ds": days, "y": 50 + random.normal(size=rows).cumsum()})
        for name in names
    ).reset_index(drop=True)


@pytest.fixture(scope="module", params=["normal", "quantiles", "student_t"])
def fitted(request: pytest.FixtureRequest) -> Forecaster:
    return Forecaster(**SMALL, loss=request.param).fit(walk())


@pytest.mark.parametrize("h", [2, 3])
def test_each_step_has_the_quantiles_of_the_forecast(fitted: Forecaster, h: int) -> None:
    """Of 9 paths the second is the quantile at 1.5 / 9, and so on."""
    paths = fitted.sample(9, h=h)
    assert list(paths.columns) == ["unique_id", "ds", "sample", "TCN"]
    quantiles = [(rank + 0.5) / 9 for rank in range(9)]
    expected = fitted.predict(h=h, quantiles=quantiles)
    columns = [name for name in expected.columns if "-q-" in name]
    for (name, time), own in paths.groupby(["unique_id", "ds"]):
        row = expected[(expected["unique_id"] == name) & (expected["ds"] == time)]
        np.testing.assert_allclose(np.sort(own["TCN"]), row[columns].to_numpy()[0])
        assert sorted(own["sample"]) == list(range(9))


def test_draws_are_those_of_their_seed_and_series(fitted: Forecaster) -> None:
    first = fitted.sample(5, seed=1)
    pd.testing.assert_frame_equal(fitted.sample(5, seed=1), first)
    assert not first["TCN"].equals(fitted.sample(5, seed=2)["TCN"])
    alone = fitted.sample(5, walk().query("unique_id == 'b'"), seed=1)
    own = first[first["unique_id"] == "b"].reset_index(drop=True)
    np.testing.assert_allclose(alone["TCN"], own["TCN"])


def test_beyond_the_trained_horizon_and_of_several_targets() -> None:
    df = walk().assign(z=lambda table: -table["y"])
    forecaster = Forecaster(**SMALL, loss="normal", target_col=["y", "z"]).fit(df)
    paths = forecaster.sample(4, h=5)
    assert list(paths.columns) == ["unique_id", "ds", "sample", "y-TCN", "z-TCN"]
    assert len(paths) == 2 * 4 * 5
    assert paths["ds"].tolist()[:5] == paths["ds"].tolist()[5:10]
    assert (paths["y-TCN"] > paths["z-TCN"]).all()


def test_known_futures_and_counts() -> None:
    random = np.random.default_rng(1)
    promo = (np.arange(120) % 5 == 0) * 1.0
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=120),
                       "y": random.poisson(2 + 20 * promo), "promo": promo})  # fmt: skip
    forecaster = Forecaster(**SMALL | {"max_steps": 400}, loss="poisson", futr_exog_list=["promo"])
    forecaster.fit(df[:117])
    paths = forecaster.sample(200, futr_df=df[117:])
    assert (paths["TCN"] >= 0).all()
    assert (paths["TCN"] == paths["TCN"].round()).all()
    mean = paths.groupby("ds")["TCN"].mean()
    assert mean.iloc[0] < 8  # days 117 to 119 have no promotion
    with pytest.raises(ValueError, match="futr_df: it is missing"):
        forecaster.sample(2)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["normal", "quantiles"])
@pytest.mark.parametrize(("phi", "seed"), [(0.5, 3), (0.5, 4), (0.9, 3), (0.9, 4)])
def test_sums_over_the_horizon_of_an_autoregression(loss: str, phi: float, seed: int) -> None:
    """The deviation of the sum of 6 steps, by hand; independent steps would be far too narrow.

    What is learned of phi and of the noise differs from realization to realization by some percent.
    """
    random, rows = np.random.default_rng(seed), 3000
    noise, y = random.normal(size=rows), np.zeros(rows)
    for step in range(1, rows):
        y[step] = phi * y[step - 1] + noise[step]
    df = pd.DataFrame({"unique_id": "a", "ds": np.arange(rows), "y": y})
    paths = Forecaster(h=6, input_size=24, loss=loss).fit(df).sample(1000)
    sums = paths.groupby("sample")["TCN"].sum()
    # The noise of step k counts in all steps from k on: 1 + phi + ... + phi ** (6 - k).
    expected = np.sqrt(sum(((1 - phi**k) / (1 - phi)) ** 2 for k in range(1, 7)))
    assert sums.std() == pytest.approx(expected, rel=0.18)
    apart = np.sqrt((paths.groupby("ds")["TCN"].var()).sum())
    assert apart < 0.82 * sums.std()
    mean = y[-1] * sum(phi**k for k in range(1, 7))
    assert sums.mean() == pytest.approx(mean, abs=0.3 * expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 1}, "n: 1 paths; give an integer of at least 2"),
        ({"n": 2.5}, "n: 2.5 paths"),
        ({"seed": -1}, "seed: -1 must be an integer from 0"),
        ({"h": 0}, "h"),
    ],
)
def test_what_cannot_be_drawn(arguments: dict[str, Any], message: str) -> None:
    forecaster = Forecaster(**SMALL | {"max_steps": 1}, loss="normal").fit(walk())
    with pytest.raises(ValueError, match=message):
        forecaster.sample(**arguments)


def test_points_alone_have_no_paths() -> None:
    forecaster = Forecaster(**SMALL | {"max_steps": 1}).fit(walk())
    with pytest.raises(TypeError, match="loss: 'mse' gives points alone and no paths"):
        forecaster.sample(3)
