"""The window scaler that suits the data, and forecasts that keep to what counts can be.

Every expected value is by construction: series are simulated with a known effect or process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tcn.forecasting import Forecaster

Case = tuple[pd.DataFrame, pd.DataFrame | None, dict[str, Any], np.ndarray]


def _dates(rows: int, start: str = "2022-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=rows)


def promotions(rows: int = 600, *, before: float = 0.0) -> Case:
    """50, and 100 more on days of promotion; the look-back holds none, or nothing else."""
    random = np.random.default_rng(1)
    promotion = (random.random(rows) < 0.1).astype(float)
    promotion[-14:] = before
    y = 50 + 100 * promotion + random.normal(size=rows)
    frame = pd.DataFrame({"unique_id": "a", "ds": _dates(rows), "y": y, "promotion": promotion})
    coming = pd.DataFrame({"unique_id": "a", "ds": _dates(5, frame["ds"].max())[1:]})
    coming["promotion"] = [0.0, 1, 0, 1]
    settings = {"h": 4, "input_size": 12, "futr_exog_list": ["promotion"]}
    return frame, coming, settings, np.array([50, 150, 50, 150])


def all_promoted() -> Case:
    return promotions(before=1.0)


def closed_on_sundays(rows: int = 600) -> Case:
    """50, on Sundays 0; a look-back of five days does not always hold one."""
    random = np.random.default_rng(1)
    dates = _dates(rows)
    y = np.where(dates.day_of_week == 6, 0, 50 + random.normal(size=rows))
    frame = pd.DataFrame({"unique_id": "a", "ds": dates, "y": y})
    truth = np.where(_dates(8, str(dates[-1]))[1:].day_of_week == 6, 0, 50)
    return frame, None, {"h": 7, "input_size": 5, "calendar": ["dayofweek"]}, truth


def announced_stop(rows: int = 800) -> Case:
    """50; two days after an announcement three days of 0. The last day has one."""
    random = np.random.default_rng(1)
    announced, y = np.zeros(rows), 50 + random.normal(size=rows)
    for day in np.flatnonzero(random.random(rows) < 0.03):
        if day < rows - 20 and not announced[max(0, day - 5) : day].any():
            announced[day], y[day + 2 : day + 5] = 1, 0
    announced[-1] = 1
    frame = pd.DataFrame({"unique_id": "a", "ds": _dates(rows), "y": y, "announced": announced})
    settings = {"h": 4, "input_size": 12, "hist_exog_list": ["announced"]}
    return frame, None, settings, np.array([50, 0, 0, 0])


CASES = [promotions, all_promoted, closed_on_sundays, announced_stop]
EFFECTS = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)


@EFFECTS
def test_where_effects_are_amounts_the_scale_of_the_window_is_left(
    case: Callable[[], Case],
) -> None:
    frame, _, settings, _ = case()
    forecaster = Forecaster(**settings, max_steps=1).fit(frame)
    assert forecaster.window_scaler_ in ("identity", "last")
    errors = forecaster.window_scaler_errors_
    assert min(errors["identity"], errors["last"]) < 0.6 * errors["standard"]


def _autoregressive(share: float, rows: int = 3000, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    y = np.zeros(rows)
    for step in range(1, rows):
        y[step] = share * y[step - 1] + random.normal()
    return y


def _frame(series: list[np.ndarray]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"unique_id": number, "ds": range(len(y)), "y": y})
        for number, y in enumerate(series)
    ]
    return pd.concat(parts, ignore_index=True)


def _chosen(series: list[np.ndarray], **settings: Any) -> str:
    settings = {"h": 8, "input_size": 24, "max_steps": 1} | settings
    return Forecaster(**settings).fit(_frame(series)).window_scaler_


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("loss", ["mse", "quantiles"])
def test_a_series_that_returns_to_its_mean_keeps_it(share: float, loss: str) -> None:
    assert _chosen([_autoregressive(share)], loss=loss) == "identity"


def test_series_that_wander_are_not_held_to_their_mean() -> None:
    """Of random walks the mean over the training part tells where the held-out rows lie.

    They look predictable by it, if the series are scaled by those rows too.
    """
    walks = [_autoregressive(1.0, 60, seed) for seed in range(200)]
    assert _chosen(walks, input_size=12) != "identity"


def test_seasons_that_grow_with_the_level_are_scaled_with_it() -> None:
    step = np.arange(400)
    random = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * step / 12)
    grown = [np.exp(0.01 * step + 0.3 * wave + 0.02 * random.normal(size=400)) for _ in range(5)]
    assert _chosen(grown) == "standard"


def test_the_validation_decides_where_there_is_one() -> None:
    """A series that returns to its mean, until it begins to wander in the validation."""
    still = _autoregressive(0.5, 600)
    wandering = np.cumsum(np.random.default_rng(1).normal(size=200)) * 3
    frame = _frame([np.concatenate([still, wandering])])
    by_validation = Forecaster(h=8, input_size=24, max_steps=1).fit(frame, val_size=200)
    without = Forecaster(h=8, input_size=24, max_steps=1).fit(frame.iloc[:600])
    assert without.window_scaler_ == "identity"
    assert by_validation.window_scaler_ != "identity"


def test_none_and_auto_are_the_same_and_a_name_is_taken_as_it_is() -> None:
    frame, coming, settings, _ = promotions(200)
    given_none, auto, named = (
        Forecaster(**settings, max_steps=3, window_scaler=name).fit(frame)
        for name in (None, "auto", "standard")
    )
    pd.testing.assert_frame_equal(
        given_none.predict(futr_df=coming), auto.predict(futr_df=coming), check_exact=True
    )
    assert named.window_scaler_ == "standard"
    assert named.window_scaler_errors_ == {}


def test_the_choice_draws_no_random_numbers_of_anyone() -> None:
    frame, coming, settings, _ = promotions(200)
    chosen = Forecaster(**settings, max_steps=3).fit(frame)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    named = Forecaster(**settings, max_steps=3, window_scaler=chosen.window_scaler_)
    named.fit(frame)
    Forecaster(**settings, max_steps=3).fit(frame)
    assert torch.rand(1) == expected
    pd.testing.assert_frame_equal(
        named.predict(futr_df=coming), chosen.predict(futr_df=coming), check_exact=True
    )


def test_few_windows_missing_values_and_many_targets_are_no_obstacle() -> None:
    short = _frame([np.arange(14.0)])
    assert Forecaster(h=4, input_size=4, max_steps=1).fit(short).window_scaler_ == "standard"
    gaps = _frame([_autoregressive(0.5, 400)])
    gaps.loc[::5, "y"] = np.nan
    masked = Forecaster(h=2, input_size=12, max_steps=1, missing="mask").fit(gaps)
    assert masked.window_scaler_errors_
    two = _frame([_autoregressive(0.5, 400)]).assign(z=_autoregressive(0.5, 400, 1))
    several = Forecaster(h=2, input_size=12, max_steps=1, target_col=["y", "z"]).fit(two)
    assert several.window_scaler_ == "identity"
    counts = _frame([np.random.default_rng(0).poisson(3, 200).astype(float)])
    assert (
        Forecaster(h=2, input_size=12, max_steps=1, loss="poisson").fit(counts).window_scaler_
        == "identity"
    )


def test_the_choice_and_its_errors_are_saved(tmp_path: Path) -> None:
    frame, coming, settings, _ = promotions(200)
    forecaster = Forecaster(**settings, max_steps=3).fit(frame)
    loaded = Forecaster.load(forecaster.save(tmp_path / "saved"))
    assert loaded.window_scaler_ == forecaster.window_scaler_
    assert loaded.window_scaler_errors_ == forecaster.window_scaler_errors_
    pd.testing.assert_frame_equal(
        loaded.predict(futr_df=coming), forecaster.predict(futr_df=coming), check_exact=True
    )


# --------------------------------------------------------------------------- whole fits


def _miss(case: Case, **settings: Any) -> tuple[float, pd.DataFrame]:
    frame, coming, given_settings, truth = case
    forecaster = Forecaster(**given_settings, **settings, alias="F").fit(frame)
    level = [90] if forecaster.trained_.output.intervals else None
    found = forecaster.predict(futr_df=coming, level=level)
    return float(np.abs(found["F"] - truth).max()), found


def test_an_effect_is_forecast_at_its_size_by_the_defaults() -> None:
    error, _ = _miss(promotions(), max_steps=300)
    assert error < 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "model", "loss"),
    [
        (promotions, "large_kernel", "quantiles"),
        (all_promoted, "lstm", "quantiles"),
        (closed_on_sundays, "gru", "mse"),
        (announced_stop, "tcn", "quantiles"),
    ],
)
def test_every_effect_at_its_size(case: Callable[[], Case], model: str, loss: str) -> None:
    error, found = _miss(case(), model=model, loss=loss)
    truth = case()[3]
    assert error < 3
    if loss == "quantiles":
        low, high = found["F-lo-90"], found["F-hi-90"]
        assert (high - low).max() < 8
        assert ((low <= truth) & (truth <= high)).all()


# ------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    "settings",
    [{"loss": "normal"}, {"loss": "quantiles"}, {"intervals": "conformal"},
     {"intervals": "adaptive"}, {"loss": "normal", "intervals": "cqr"}],
    ids=str,
)  # fmt: skip
def test_neither_forecasts_nor_intervals_of_counts_go_below_zero(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    rare = np.random.default_rng(0).poisson(0.5, 300).astype(float)
    frame = _frame([rare])
    forecaster = Forecaster(h=4, input_size=12, max_steps=20, alias="F", **settings)
    forecaster.fit(frame, val_size=60 if "intervals" in settings else 0)
    loaded = Forecaster.load(forecaster.save(tmp_path / "saved"))
    news = pd.DataFrame({"unique_id": [0], "ds": [300], "y": [0.0]})
    for found in (forecaster.predict(level=[90]), loaded.predict(h=9, level=[90]),
                  forecaster.update(news, level=[90])):  # fmt: skip
        values = found.filter(like="F")
        assert (values >= 0).all(axis=None)
        assert (values["F-lo-90"] == 0).any()  # it would have been below


@given(st.sampled_from([-1.0, 0.5]), st.integers(0, 199))
def test_one_value_that_is_no_count_lifts_the_bound(other: float, where: int) -> None:
    values = np.random.default_rng(0).poisson(0.5, 200).astype(float)
    values[where] = other
    forecaster = Forecaster(h=2, input_size=4, max_steps=1).fit(_frame([values]))
    assert forecaster.trained_.nonnegative == (False,)
