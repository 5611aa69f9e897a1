"""Training that goes on from a fit: new series, and more of the same."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from tcn.forecasting import Forecaster

SMALL: dict[str, Any] = {"h": 6, "input_size": 18, "width": 8, "max_steps": 300, "seed": 1}


def waves(seed: int, rows: int, name: str, periods: dict[int, float]) -> pd.DataFrame:
    """Sums of sines with phases of their own, and noise of deviation 2."""
    random, time = np.random.default_rng(seed), np.arange(rows)
    y = 100 + random.normal(size=rows) * 2
    for period, height in periods.items():
        y += height * np.sin(2 * np.pi * time / period + random.uniform(0, 2 * np.pi))
    days = pd.date_range("2024-01-01", periods=rows)
    return pd.DataFrame({"unique_id": name, "ds": days, "y": y})


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    return pd.concat([waves(seed, 150, f"s{seed}", {12: 20, 7: 10}) for seed in range(12)])


@pytest.fixture
def fitted(many: pd.DataFrame) -> Forecaster:
    return Forecaster(**SMALL).fit(many)


def error(forecaster: Forecaster, past: pd.DataFrame, came: pd.DataFrame) -> float:
    found = forecaster.predict(past)["TCN"].to_numpy()
    return float(np.abs(found - came["y"].to_numpy()).mean())


def test_a_series_that_is_a_little_different_is_learned_from_few_rows(fitted: Forecaster) -> None:
    """Better than without training, and than the same steps from the beginning; over 4 series."""
    errors = []
    for seed in range(4):
        new = waves(100 + seed, 56, "new", {12: 20, 7: 10, 9: 12})
        past, came = new[:50], new[50:]
        before = error(fitted, past, came)
        tuned = pickle.loads(pickle.dumps(fitted))
        tuned.fine_tune(past, max_steps=60)
        fresh = Forecaster(**SMALL | {"max_steps": 60}).fit(past)
        errors.append((before, error(tuned, past, came), error(fresh, past, came)))
    before, after, fresh = np.mean(errors, axis=0)
    assert after < 0.97 * before
    assert after < 0.97 * fresh


def test_what_all_series_share_stays(fitted: Forecaster, many: pd.DataFrame) -> None:
    begin = fitted.trained_
    weights = {name: value.clone() for name, value in begin.net.state_dict().items()}
    fitted.fine_tune(pd.concat([many, waves(99, 60, "new", {12: 500})]), max_steps=5)
    trained = fitted.trained_
    assert trained.report["steps"] == 5
    assert trained.net.window_scaler.name == begin.net.window_scaler.name
    assert trained.ids.tolist() == [*begin.ids.tolist(), "new"]
    for after, before in zip(trained.statistics, begin.statistics, strict=True):
        np.testing.assert_array_equal(after[:-1], before)  # of the series that were there
    assert float(trained.statistics.scale[-1, 0]) == pytest.approx(500 / 2**0.5, rel=0.1)
    for name, value in begin.net.state_dict().items():  # what was there before is not changed
        assert torch.equal(value, weights[name])
    assert list(fitted.predict()["unique_id"].unique()) == trained.ids.tolist()
    fitted.fine_tune(many, max_steps=1)
    assert fitted.max_steps == SMALL["max_steps"]


def test_a_warm_start_goes_on_and_a_fit_begins_anew(many: pd.DataFrame) -> None:
    few = SMALL | {"max_steps": 20}
    first = Forecaster(**few).fit(many, warm_start=True)  # nothing to go on from
    assert first.predict()["TCN"].equals(Forecaster(**few).fit(many).predict()["TCN"])
    again = Forecaster(**few).fit(many).fit(many)
    assert first.predict()["TCN"].equals(again.predict()["TCN"])
    warm = Forecaster(**few).fit(many).fit(many, warm_start=True)
    tuned = Forecaster(**few).fit(many).fine_tune(many, 20)
    assert warm.predict()["TCN"].equals(tuned.predict()["TCN"])
    assert not warm.predict()["TCN"].equals(first.predict()["TCN"])


def test_intervals_are_calibrated_anew(many: pd.DataFrame) -> None:
    forecaster = Forecaster(**SMALL | {"max_steps": 20}, intervals="conformal").fit(
        many, val_size=20
    )
    before = forecaster.predict(level=[80])
    new = waves(7, 80, "new", {12: 20, 7: 10})
    after = forecaster.fine_tune(new, max_steps=5, val_size=20).predict(level=[80])
    width = after["TCN-hi-80"] - after["TCN-lo-80"]
    assert (width > 0).all()
    assert set(after["unique_id"]) == {"new"}
    assert len(before) == 12 * 6
    with pytest.raises(ValueError, match="val_size: 0, but intervals='conformal'"):
        forecaster.fine_tune(new)
    assert forecaster.predict(level=[80]).equals(after)  # nothing was lost


def test_a_saved_forecaster_is_tuned(fitted: Forecaster, tmp_path: Any) -> None:
    new = waves(7, 80, "new", {12: 20, 7: 10})
    loaded = Forecaster.load(fitted.save(tmp_path / "all"))
    found = loaded.fine_tune(new, 5).predict()["TCN"]
    assert found.equals(fitted.fine_tune(new, 5).predict()["TCN"])


def test_what_cannot_be_tuned(fitted: Forecaster, many: pd.DataFrame) -> None:
    before = fitted.predict()
    new = waves(7, 80, "new", {12: 20, 7: 10})
    with pytest.raises(NotFittedError, match=r"call fit\(df\) first"):
        Forecaster(**SMALL).fine_tune(new)
    with pytest.raises(ValueError, match=r"max_steps.* 0"):
        fitted.fine_tune(new, max_steps=0)
    with pytest.raises(ValueError, match=r"learning_rate.*-1"):
        fitted.fine_tune(new, learning_rate=-1.0)
    with pytest.raises(TypeError, match="warm_start"):
        fitted.fit(many, warm_start="yes")
    hourly = new.assign(ds=pd.date_range("2024-01-01", periods=len(new), freq="h"))
    with pytest.raises(ValueError, match="freq='D'"):
        fitted.fine_tune(hourly)
    with pytest.raises(ValueError, match="y"):
        fitted.fine_tune(new.rename(columns={"y": "sales"}))
    assert fitted.predict().equals(before)


@pytest.mark.parametrize(
    "changed",
    [{"h": 4}, {"input_size": 12}, {"model": "lstm"}, {"loss": "normal"}, {"width": 4},
     {"window_scaler": "revin"}, {"calendar": ["month"]}, {"intervals": "conformal"}],
)  # fmt: skip
def test_settings_that_a_trained_net_cannot_follow(
    fitted: Forecaster, many: pd.DataFrame, changed: dict[str, Any]
) -> None:
    fitted.set_params(**changed)
    with pytest.raises(ValueError, match=rf"{next(iter(changed))}: .* was set after fit, which"):
        fitted.fit(many, val_size=20, warm_start=True)
    with pytest.raises(ValueError, match=rf"{next(iter(changed))}: .* was set after fit, which"):
        fitted.fine_tune(many, val_size=20)
    fitted.set_params(**{name: SMALL.get(name) for name in changed if name in SMALL})
