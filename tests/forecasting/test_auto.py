"""The search: what it finds, what it looks at, when it ends, and what it says."""

import itertools
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.metrics import mean_absolute_error

from tcn.forecasting import AutoForecaster, Ensemble, Forecaster
from tcn.forecasting.judging import Judge, Trial
from tcn.forecasting.search import Budget, chosen
from tcn.forecasting.search_space import default_space, dimensions

SMALL: dict[str, Any] = {"h": 4, "input_size": 8, "width": 4, "max_steps": 8, "accelerator": "cpu"}
RATES = {"learning_rate": [5e-3, 1e-3, 2e-2]}


def template(**changed: Any) -> Forecaster:
    return Forecaster(**(SMALL | changed))


def repeating(period: int, length: int, series: int = 4) -> pd.DataFrame:
    """Series that repeat `period` random values each, so that a longer look-back knows them all."""
    generator = np.random.default_rng(3)
    parts = []
    for number in range(series):
        values = 10 + np.tile(generator.normal(size=period), length // period + 1)[:length]
        parts.append(pd.DataFrame({"unique_id": number, "ds": range(length), "y": values}))
    return pd.concat(parts, ignore_index=True)


def trials_of(errors: dict[int, list[list[float]]]) -> list[Trial]:
    """Trials with errors by hand: of each a list for every part, one error a series."""
    return [
        Trial(number, {"width": number + 1}, errors=[pd.Series(part) for part in parts])
        for number, parts in errors.items()
    ]


# --- what is found


def test_the_look_back_that_holds_the_pattern_is_found() -> None:
    # Each series repeats 11 values of its own. Of 2 steps only guesses follow; of 12, the values.
    auto = AutoForecaster(
        template(input_size=2, max_steps=60), trials=2, space={"input_size": [2, 12]}
    ).fit(repeating(11, 88))
    assert auto.best_settings_ == {"input_size": 12}
    assert auto.members_ == [1]
    assert auto.forecaster_.get_params()["input_size"] == 12
    one, two = auto.trials_["score"]
    assert two < one


def test_a_level_that_wanders_wants_the_last_value() -> None:
    steps = np.random.default_rng(0).normal(size=(60, 60))
    df = pd.concat([
        pd.DataFrame({"unique_id": number, "ds": range(60), "y": np.cumsum(each)})
        for number, each in enumerate(steps)
    ])  # fmt: skip
    auto = AutoForecaster(
        template(window_scaler="identity", skip="none", max_steps=40),
        trials=2,
        space={"window_scaler": ["identity", "last"]},
        metric="mae",
    ).fit(df)
    assert auto.best_settings_ == {"window_scaler": "last"}


def test_a_difference_within_chance_leaves_the_template() -> None:
    # Mean difference -0.25; its standard error is 1.26 / sqrt(4) = 0.63.
    trials = trials_of({0: [[1, 2, 3, 4]], 1: [[2, 1, 4, 1.5]]})
    assert chosen(None, trials, 1) == [trials[0]]  # type: ignore[arg-type]
    # The same mean where every series agrees; its standard error is 0.
    trials = trials_of({0: [[1, 2, 3, 4]], 1: [[0.75, 1.75, 2.75, 3.75]]})
    assert chosen(None, trials, 1) == [trials[1]]  # type: ignore[arg-type]
    # A tie.
    trials = trials_of({0: [[1, 2]], 1: [[1, 2]]})
    assert chosen(None, trials, 1) == [trials[0]]  # type: ignore[arg-type]


def test_what_won_by_luck_is_judged_again() -> None:
    # Trial 1 led by the last windows alone; of both parts trial 2 has the least, (1 + 1) / 2.
    trials = trials_of({0: [[3, 3], [3, 3]], 1: [[0, 0], [5, 5]], 2: [[1, 1], [1, 1]]})
    assert chosen(None, trials, 1) == [trials[2]]  # type: ignore[arg-type]
    # Far better in the one part, and no better in the other.
    trials = trials_of({0: [[3, 3], [3, 3]], 1: [[0, 0], [3, 3]]})
    assert chosen(None, trials, 1) == [trials[0]]  # type: ignore[arg-type]


def test_an_ensemble_is_the_template_and_the_best_of_the_others() -> None:
    # What came is 0; forecasts of +1 and -1 err by 1 each, their mean by 0.
    judge = Judge(template(alias="f"), pd.DataFrame(), None, 0, 1, mean_absolute_error)
    trials = trials_of({0: [[1.0]], 1: [[3.0]], 2: [[1.5]]})
    for each, value in zip(trials, (1.0, 3.0, -1.5), strict=True):
        each.forecasts = [
            pd.DataFrame({"unique_id": 0, "ds": [5, 6], "cutoff": 4, "y": 0.0, "f": value})
        ]
    assert chosen(judge, trials, 2) == [trials[0], trials[2]]  # errs by 0.25
    assert chosen(judge, trials, 3) == [trials[0], trials[2], trials[1]]  # by 0.83
    assert chosen(judge, trials, 1) == [trials[0]]
    trials[2].forecasts[0]["f"] = 1.5  # the mean errs by 1.25, more than the template
    assert chosen(judge, trials, 2) == [trials[0]]


def test_an_ensemble_forecasts_the_mean_of_its_members(tmp_path: Any) -> None:
    df = repeating(5, 40)
    made = [template(seed=seed, alias="f").fit(df) for seed in (1, 2)]
    ensemble = Ensemble(made)
    one, two = (each.predict()["f"] for each in made)
    assert not np.allclose(one, two)
    np.testing.assert_allclose(ensemble.predict()["f"], (one + two) / 2)
    ensemble.save(tmp_path / "kept")
    kept = Ensemble.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(kept.predict(), ensemble.predict())
    row = pd.DataFrame({"unique_id": [0], "ds": [40], "y": [9.0]})
    after = ensemble.update(row)
    np.testing.assert_allclose(after["f"], np.mean([e.predict()["f"][:4] for e in made], axis=0))
    with pytest.raises(ValueError, match=r"ensemble.json: cannot be read; give a folder of Ens"):
        Ensemble.load(tmp_path)
    with pytest.raises(ValueError, match="forecasters: none is given; give at least one"):
        Ensemble([])
    with pytest.raises(ValueError, match="result_name is 'f' and 'TCN'; give both the same alias"):
        Ensemble([made[0], template()])


# --- what is looked at


def test_only_rows_handed_in_are_judged() -> None:
    looked: list[float] = []

    def metric(came: Any, forecast: Any) -> float:
        looked.extend(came)
        return mean_absolute_error(came, forecast)

    df = pd.DataFrame({"unique_id": 0, "ds": range(60), "y": np.arange(60.0)})
    AutoForecaster(template(), trials=2, space=RATES, metric=metric).fit(df[df["ds"] < 52])
    # The last 4 rows, then the 4 before, of which nothing after row 51.
    assert set(looked) == set(np.arange(44.0, 52))


def test_values_judged_by_are_not_trained_on() -> None:
    df = repeating(5, 60, series=2)
    poisoned = df.assign(y=df["y"].where(df["ds"] < 56, 1e6))
    found = []
    for frame in (df, poisoned):
        judge = Judge.of(template(), frame, None, val_size=0, n_windows=1, metric="mae")
        trial = Trial(0, {})
        judge.judge(trial)
        judge.judge(trial, again=True)
        found.append(trial)
    for one, two in zip(found[0].forecasts, found[1].forecasts, strict=True):
        np.testing.assert_array_equal(one["Auto"], two["Auto"])
    assert found[1].errors[0].min() > 9e5  # they are judged by
    pd.testing.assert_series_equal(found[0].errors[1], found[1].errors[1])


def test_series_too_short_for_two_parts_are_judged_again_by_the_last() -> None:
    df = repeating(3, 12, series=2)
    judge = Judge.of(template(input_size=2), df, None, val_size=0, n_windows=1, metric="mae")
    trial = Trial(0, {})
    judge.judge(trial)
    judge.judge(trial, again=True)
    assert [part["ds"].tolist() for part in trial.forecasts] == [[8, 9, 10, 11] * 2] * 2
    assert not np.allclose(*(part["Auto"] for part in trial.forecasts))  # by another seed


# --- when it ends


def test_the_same_seed_makes_the_same_choice() -> None:
    df = repeating(5, 48)
    runs = [AutoForecaster(template(), trials=4, seed=seed).fit(df) for seed in (7, 7, 8)]
    one, two, other = (run.trials_.drop(columns="seconds") for run in runs)
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)
    assert runs[0].members_ == runs[1].members_
    pd.testing.assert_frame_equal(runs[0].predict(), runs[1].predict())


def test_minutes_end_it_and_the_template_is_always_tried() -> None:
    begun = time.monotonic()
    auto = AutoForecaster(template(), trials=None, minutes=1e-6).fit(repeating(5, 40))
    assert time.monotonic() - begun < 60
    assert (auto.members_, auto.best_settings_) == ([0], {})
    assert auto.trials_["number"].tolist() == [0]
    assert auto.trials_["input_size"].tolist() == [8]


@given(
    trials=st.integers(1, 30),
    seconds=st.floats(0, 100),
    later=st.integers(0, 9),
    each=st.floats(0.1, 9),
)
def test_a_budget_is_kept(trials: int, seconds: float, later: int, each: float) -> None:
    made: list[Trial] = []
    budget = Budget(trials, seconds, later)
    while budget.allows(made, each * len(made)):
        made.append(Trial(len(made), {}, seconds=each))
    assert 1 <= len(made) <= trials
    assert len(made) == 1 or each * (len(made) + later) <= seconds * (1 + 1e-9)
    if len(made) < trials:
        assert each * (len(made) + 1 + later) > seconds * (1 - 1e-9)


def test_a_space_that_is_at_its_end_ends_the_search() -> None:
    auto = AutoForecaster(template(), trials=50, space={"width": [4, 8]}).fit(repeating(5, 40))
    assert auto.trials_["width"].tolist() == [4, 8]


def test_an_interrupt_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()
    inner = Judge.judge

    def judge(self: Judge, trial: Trial, *, again: bool = False) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        inner(self, trial, again=again)

    monkeypatch.setattr(Judge, "judge", judge)
    auto = AutoForecaster(template(), trials=9, space=RATES).fit(repeating(5, 40))
    assert auto.trials_["state"].tolist() == ["finished", "finished", "interrupted"]
    assert len(auto.predict()) == 16


# --- what it works with


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_frames_come_back_as_they_went_in(library: str) -> None:
    pytest.importorskip(library)
    df = repeating(5, 40)
    if library == "polars":
        import polars

        frame: Any = polars.from_pandas(df)
    else:
        import pyarrow

        frame = pyarrow.Table.from_pandas(df, preserve_index=False)
    auto = AutoForecaster(template(), trials=2, space=RATES).fit(frame)
    both = Ensemble([auto.forecaster_, template(alias="Auto", seed=2).fit(frame)])  # type: ignore[list-item]
    for found in (auto.predict(), both.predict()):
        assert type(found) is type(frame)
        assert found.shape == (16, 3)


def test_covariates_static_columns_and_several_targets() -> None:
    df = repeating(5, 48)
    df["price"] = np.random.default_rng(0).normal(size=len(df))
    df["z"] = df["y"] * 2 + df["price"]
    static = pd.DataFrame({"unique_id": range(4), "area": [1.0, 2, 3, 4]})
    auto = AutoForecaster(
        template(futr_exog_list=["price"], stat_exog_list=["area"], target_col=["y", "z"]),
        trials=2,
        space=RATES,
    ).fit(df, static)
    ahead = pd.DataFrame({
        "unique_id": np.repeat(range(4), 4), "ds": [48, 49, 50, 51] * 4, "price": 0.0,
    })  # fmt: skip
    assert list(auto.predict(futr_df=ahead)) == ["unique_id", "ds", "y-Auto", "z-Auto"]
    assert np.isfinite(auto.trials_["score"]).all()
    assert len(auto.cross_validation(df, static_df=static)) == 16


def test_intervals_of_the_template_are_those_of_the_answer(tmp_path: Any) -> None:
    auto = AutoForecaster(template(intervals="conformal"), trials=2, space=RATES)
    auto.fit(repeating(5, 60), val_size=12)
    found = auto.predict(level=[80])
    assert list(found) == ["unique_id", "ds", "Auto", "Auto-lo-80", "Auto-hi-80"]
    loaded = Forecaster.load(auto.save(tmp_path / "kept"))
    pd.testing.assert_frame_equal(loaded.predict(level=[80]), found)


# --- what it says


def test_trials_that_fail_are_told_and_left_out() -> None:
    df = repeating(5, 40)
    df["y"] -= 20  # below zero: no logarithm
    auto = AutoForecaster(template(), trials=2, space={"scaler": ["log1p"]}).fit(df)
    assert auto.trials_["state"].tolist() == ["finished", "failed"]
    assert "scaler: 'log1p' needs values above -1" in auto.trials_["reason"][1]
    with pytest.raises(ValueError, match=r"trials: none of 2 finished; the first said: scaler: 'l"):
        AutoForecaster(template(scaler="log"), trials=2, space={"scaler": ["log1p"]}).fit(df)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials: 0 must be at least 1"),
        ({"trials": None}, "trials: None, and minutes: None; give one of them"),
        ({"minutes": 0.0}, r"minutes: 0.0 must be above 0"),
        ({"n_windows": 0}, "n_windows: 0 must be at least 1"),
        ({"finalists": 0}, "finalists: 0 must be at least 1"),
        ({"ensemble": 0}, "ensemble: 0 must be at least 1"),
        ({"ensemble": 5}, "ensemble: 5 of 3 finalists and the template; give finalists=5"),
        ({"seed": -1}, "seed: -1 must be an integer of at least 0"),
        ({"metric": "mape"}, "metric: 'mape' is not one of mase, mae, mse, rmse, smape; give one"),
        ({"space": {}}, "space: it is empty; name a setting to search, or give None"),
        ({"space": {"h": [1]}}, "space: 'h' is no choice; set it in the forecaster given"),
        ({"space": {"widht": [1]}}, "space: 'widht' is unknown; known: batch_size, "),
        ({"space": {"width": []}}, "space: 'width' has no choices; give one or more"),
        ({"space": {"width": (8, 4)}}, "space: 'width' goes from 8 to 4; give the lower end first"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoForecaster(template(), **arguments)


def test_arguments_of_a_wrong_kind_are_named() -> None:
    with pytest.raises(TypeError, match=r"forecaster: 12 is not a Forecaster; give one, such as"):
        AutoForecaster(12)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"space: 'width' is 8; give a list of choices, or \(low"):
        AutoForecaster(template(), space={"width": 8})
    with pytest.raises(NotFittedError, match=r"AutoForecaster: call fit\(df\) first"):
        AutoForecaster(template()).predict()


def test_the_default_space_leaves_what_the_template_decides() -> None:
    assert set(default_space(template())) == {
        "model", "loss", "scaler", "window_scaler", "input_size", "learning_rate", "max_steps",
        "width", "dropout",
    }  # fmt: skip
    assert "loss" not in default_space(template(loss="quantiles"))
    counts = default_space(template(loss="poisson"))
    assert not {"loss", "scaler", "window_scaler"} & set(counts)
    assert default_space(template(input_size=8))["input_size"] == [4, 8, 12, 16]


@settings(max_examples=20)
@given(low=st.integers(1, 50), more=st.integers(1, 500))
def test_what_is_drawn_lies_in_the_space(low: int, more: int) -> None:
    import optuna

    space = {"width": (low, low + more), "dropout": (0.1, 0.3), "model": ["tcn", "gru"]}
    found = dimensions(template(), space)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = study.ask({each.name: each.distribution() for each in found}).params
    values = {each.name: each.value(drawn[each.name]) for each in found}
    assert isinstance(values["width"], int)
    assert low <= values["width"] <= low + more
    assert 0.1 <= values["dropout"] <= 0.3
    assert values["model"] in ("tcn", "gru")
    assert [each.drawn(values[each.name]) for each in found] == list(drawn.values())


def test_no_bar_and_no_word_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoForecaster(template(), trials=2, space=RATES).fit(repeating(5, 40))
    assert capfd.readouterr() == ("", "")


def test_the_callers_template_stays_as_it_was() -> None:
    made = template()
    before = made.get_params()
    AutoForecaster(made, trials=2, space=RATES).fit(repeating(5, 40))
    assert made.get_params() == before
    assert not hasattr(made, "trained_")
