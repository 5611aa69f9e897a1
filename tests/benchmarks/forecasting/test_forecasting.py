"""The forecasting benchmark counts every window, keeps what was made, and tells it as it is."""

import hashlib
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

import tcn.forecasting
from benchmarks.__main__ import main
from benchmarks.forecasting import automatic, competition, live, long_horizon, peers, scale
from benchmarks.forecasting.baselines import DLinear, LinearSettings, SeasonalNaive, fit_linear
from benchmarks.forecasting.contestants import CONTESTANTS
from benchmarks.forecasting.errors import errors
from benchmarks.forecasting.long_horizon import LongHorizonSet, Problem, chunks
from benchmarks.forecasting.many_series import SeriesSet
from benchmarks.forecasting.options import RESULTS
from benchmarks.forecasting.page import sections, spread, write_page
from benchmarks.forecasting.runs import chosen, execute, set_and_horizon
from benchmarks.forecasting.runs import recipe as forecasting_recipe
from benchmarks.forecasting.settings import Budget, forecaster_settings
from benchmarks.grid.files import write_json
from benchmarks.grid.makers import Circumstances
from benchmarks.grid.recipes import Recipe
from benchmarks.grid.results import Result, _as_now
from benchmarks.grid.runs import Run
from benchmarks.grid.store import Store
from tcn.data.fetch import RemoteFile


def small_problem(rows: int = 200, look_back: int = 12, horizon: int = 5) -> Problem:
    """Three waves of period 6, 60 % for training, 20 % each for validation and test."""
    t = np.arange(rows)
    values = np.stack([np.sin(2 * np.pi * t / 6 + phase) for phase in range(3)], axis=1)
    file = RemoteFile("waves.csv", "0" * 64, ())
    data = LongHorizonSet("waves", "Waves", file, season=6, look_back=look_back)
    return Problem(data, horizon, t, ("b", "c", "a"), values, rows * 6 // 10, rows * 8 // 10)


class Constant:
    def __init__(self, problem: Problem, value: float) -> None:
        self.problem, self.value = problem, value
        self.asked: list[int] = []

    def forecast(self, first: int, last: int) -> np.ndarray:
        self.asked += range(first, last)
        return np.full((last - first, 3, self.problem.horizon), self.value)


def test_past_and_truth_are_the_rows_around_the_first_forecast_row():
    problem = small_problem()
    np.testing.assert_array_equal(problem.past(20, 22)[1], problem.values[9:21].T)
    np.testing.assert_array_equal(problem.truth(20, 22)[1], problem.values[21:26].T)


@pytest.mark.parametrize(("part", "rows"), [("validation", (120, 160)), ("test", (160, 200))])
def test_every_window_of_a_part_is_counted_once(part, rows, monkeypatch):
    monkeypatch.setattr("benchmarks.forecasting.errors.AT_ONCE", 7)  # 36 windows: a last one alone
    problem = small_problem()
    constant = Constant(problem, 0.25)
    found = errors(problem, constant, part)
    assert constant.asked == list(range(rows[0], rows[1] - 5 + 1))
    counted = np.stack([problem.values[row : row + 5] for row in constant.asked]) - 0.25
    assert found["mse"] == pytest.approx(np.square(counted).mean())
    assert found["mae"] == pytest.approx(np.abs(counted).mean())


@pytest.mark.parametrize(("value", "message"), [(np.nan, "rows 160 to 196 are not all finite")])
def test_a_forecast_that_is_no_number_is_refused(value, message):
    problem = small_problem()
    with pytest.raises(ValueError, match=message):
        errors(problem, Constant(problem, value), "test")


def test_a_forecast_of_another_shape_is_refused():
    problem = small_problem()
    longer = Constant(replace(problem, horizon=6), 0.0)
    with pytest.raises(ValueError, match=r"shape \(36, 3, 6\), the truth \(36, 3, 5\)"):
        errors(problem, longer, "test")


def test_chunks_cover_a_range():
    assert list(chunks(range(3, 11), 3)) == [(3, 6), (6, 9), (9, 11)]


def test_the_seasonal_naive_forecast_of_a_wave_is_exact():
    problem = small_problem(horizon=14)
    assert errors(problem, SeasonalNaive(problem, 6), "test")["mae"] < 1e-12
    last = SeasonalNaive(problem, 1).forecast(160, 161)[0]
    np.testing.assert_array_equal(last, np.repeat(problem.values[[159]].T, 14, axis=1))


def test_dlinear_takes_the_trend_as_a_moving_average_with_repeated_ends():
    net = DLinear(4, 4, kernel_size=3)
    with torch.no_grad():
        for layer, weight in ((net.trend, torch.eye(4)), (net.rest, torch.zeros(4, 4))):
            layer.weight.copy_(weight)
            layer.bias.zero_()
    # By hand: (1 + 1 + 2) / 3, (1 + 2 + 6) / 3, (2 + 6 + 3) / 3, (6 + 3 + 3) / 3.
    trend = net(torch.tensor([[[1.0, 2.0, 6.0, 3.0]]]))
    torch.testing.assert_close(trend, torch.tensor([[[4 / 3, 3.0, 11 / 3, 4.0]]]))


def test_dlinear_learns_a_wave_the_same_from_the_same_seed():
    problem = small_problem()

    def error(fitted):
        return errors(problem, fitted, "validation")["mse"]

    settings = LinearSettings(learning_rate=0.02, batch_size=8, epochs=4)
    fitted = fit_linear(problem, settings, seed=0, error=error)
    assert fitted.steps == 4 * 13  # 104 training windows
    assert fitted.parameters == 2 * (12 + 1) * 5
    assert errors(problem, fitted, "test")["mse"] < 0.01
    again = fit_linear(problem, settings, seed=0, error=error)
    np.testing.assert_array_equal(again.forecast(160, 170), fitted.forecast(160, 170))


def test_dlinear_goes_back_to_its_best_epoch():
    problem, worse = small_problem(), iter(range(9))
    settings = LinearSettings(learning_rate=0.02, batch_size=8, epochs=3)
    fitted = fit_linear(problem, settings, seed=0, error=lambda _: next(worse))
    first = fit_linear(problem, replace(settings, epochs=1), seed=0, error=lambda _: 0.0)
    assert fitted.steps == 3 * first.steps
    np.testing.assert_array_equal(fitted.forecast(160, 170), first.forecast(160, 170))


def test_training_stops_when_validation_has_not_improved():
    settings = LinearSettings(learning_rate=0.02, batch_size=8, epochs=10, patience=2)
    fitted = fit_linear(small_problem(), settings, seed=0, error=lambda _: 1.0)
    assert fitted.steps == 3 * 13


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_our_forecasts_are_in_order_and_judged_as_in_training(model):
    from benchmarks.forecasting.ours import fit_forecaster

    problem = small_problem()
    settings = forecaster_settings("ETTh1", model)
    quick = {"max_steps": 40, "val_check_steps": 20, "learning_rate": 0.01, "dropout": 0.0}
    fitted = fit_forecaster(problem, settings | quick, seed=0)
    report = fitted.forecaster.trained_.report
    # The forecaster's own windows, made in another way, are those of the protocol.
    assert errors(problem, fitted, "validation")["mse"] == pytest.approx(report["val_loss"], 1e-4)
    whole = fitted.forecast(160, 170)
    assert whole.shape == (10, 3, 5)
    np.testing.assert_allclose(fitted.forecast(163, 165), whole[3:5], atol=1e-6)
    # Waves that differ in phase: channels in another order would not come out as the truth does.
    truth = problem.truth(160, 170)
    assert np.abs(whole - truth).mean() < np.abs(truth).mean() / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [name for name in peers.PACKAGES if CONTESTANTS[name].long_horizon]
)
def test_peers_forecast_the_same_windows(model):
    if not peers.installed(model):
        pytest.skip("needs the extra 'peers'")
    fit = {
        "darts_tcn": peers.fit_darts,
        "neuralforecast_tcn": peers.fit_neuralforecast,
        "neuralforecast_tcn_mae": partial(peers.fit_neuralforecast, loss="MAE"),
    }[model]
    problem = small_problem()
    fitted = fit(problem, Budget(steps=60, windows=32), seed=0)
    whole = fitted.forecast(160, 170)
    assert whole.shape == (10, 3, 5)
    np.testing.assert_allclose(fitted.forecast(163, 165), whole[3:5], atol=1e-5)
    truth = problem.truth(160, 170)
    right = np.square(whole - truth).mean()
    wrong = np.square(whole[:, [1, 2, 0]] - truth).mean()
    assert right < wrong  # channels are where they belong


def test_a_peer_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(peers, "PACKAGES", {"darts_tcn": "no_such_package"})
    with pytest.raises(ValueError, match=r"needs the package no_such_package.*\[peers\]"):
        peers.check_installed("darts_tcn")


def earlier_content(model: str = "tcn", seed: int = 0, mse: float = 0.5, **changes) -> dict:
    """A result file as it was written before forecasts were made on the grid."""
    content = {
        "data": "ETTh1", "horizon": 96, "look_back": 336, "model": model, "seed": seed,
        "settings": {"width": 16}, "recipe": "r", "data_sha256": {"ett/ETTh1.csv": "f" * 64},
        "windows": {"validation": 2785, "test": 2785}, "validation": {"mse": 0.7, "mae": 0.6},
        "test": {"mse": mse, "mae": 0.4}, "parameters": 1234, "steps": 10, "fit_seconds": 61.0,
        "forecast_seconds": 1.0, "command": "python -m benchmarks forecasting",
        "date": "2026-01-02T03:04:05+00:00", "commit": {"hash": "0123456789abcdef", "dirty": True},
        "versions": {"torch": "2.14.1"},
        "machine": {"cpu": "A Processor", "cores": 2, "threads": 1}, "notes": [], "schema": 1,
    }  # fmt: skip
    return content | changes


def make_result(model: str = "tcn", seed: int = 0, mse: float = 0.5, **changes) -> Result:
    return Result(**_as_now(earlier_content(model, seed, mse, **changes)))


def test_a_result_from_before_the_grid_is_read_as_it_is_and_not_made_again(tmp_path):
    path = tmp_path / "ETTh1_96" / "tcn" / "seed0.json"
    write_json(path, earlier_content())
    (found,) = Store(tmp_path).results()
    assert found.run == Run("ETTh1_96", "tcn", 0)
    assert found.recipe == Recipe("r")
    assert found.test == {"test_mse": 0.5, "test_mae": 0.4, "test_seconds": 1.0}
    assert found.history == [
        {"epoch": 1, "step": 10, "seconds": 61.0, "val_mse": 0.7, "val_mae": 0.6}
    ]
    assert found.best == {"epoch": 1, "value": 0.7}
    assert (found.wall_seconds, found.parameters, found.status) == (61.0, 1234, "finished")
    Store(tmp_path).write(found)  # in the form of today
    assert Store(tmp_path).read(found.run) == found


def test_the_kept_results_are_those_that_would_be_made_today():
    kept = {each.run: each for each in Store(RESULTS).results()}
    long = [run for run in kept if set_and_horizon(run.task)[0] in long_horizon.SETS]
    assert len(long) > 40
    assert [str(run) for run in long if kept[run].recipe != forecasting_recipe(run)] == []


@pytest.mark.parametrize("text", ["{", "{}", '{"schema": 0}', '{"schema": 1, "look_back": 336}'])
def test_a_file_that_is_no_result_is_named(tmp_path, text):
    path = Store(tmp_path).write(make_result())
    path.write_text(text)
    with pytest.raises(ValueError, match=r"seed0\.json .*; delete it and run it again"):
        list(Store(tmp_path).results())


def test_a_recipe_changes_with_settings_look_back_and_data(monkeypatch):
    """As the hash was taken before: of the JSON of these three, in this order."""
    run = Run("ETTh1_96", "repeat", 0)
    sha256 = long_horizon.SETS["ETTh1"].file.sha256
    text = '[{"season": 1}, 336, {"ett/ETTh1.csv": "%s"}]' % sha256  # noqa: UP031
    assert forecasting_recipe(run) == Recipe(hashlib.sha256(text.encode()).hexdigest())
    assert forecasting_recipe(replace(run, seed=1)) == forecasting_recipe(run)
    data = long_horizon.SETS["ETTh1"]
    others = [
        replace(data, look_back=96),
        replace(data, file=RemoteFile("ett/ETTh1.csv", "0" * 64, ())),
    ]
    found = {forecasting_recipe(run), forecasting_recipe(replace(run, model="seasonal_naive"))}
    for other in others:
        monkeypatch.setitem(long_horizon.SETS, "ETTh1", other)
        found.add(forecasting_recipe(run))
    assert len(found) == 4


@pytest.fixture
def waves(monkeypatch):
    """The small problem in place of a set."""
    problem = small_problem()
    monkeypatch.setattr("benchmarks.forecasting.long_horizon.SETS", {"waves": problem.data})
    monkeypatch.setattr("benchmarks.forecasting.long_horizon.load", lambda *_: problem)


AROUND = Circumstances("python -m benchmarks forecasting", threads=1, workers=1)


def made(run: Run, tmp_path) -> Result:
    return execute(run, forecasting_recipe(run), tmp_path, AROUND)


def test_a_result_says_how_it_was_made(waves, tmp_path):
    found = made(Run("waves_5", "seasonal_naive", 3), tmp_path)
    assert found.config["windows"] == {"validation": 36, "test": 36}
    assert found.config["settings"] == {"season": 6}
    assert found.config["look_back"] == 12
    assert found.recipe == forecasting_recipe(found.run)
    assert found.command == "python -m benchmarks forecasting"
    assert {"torch", "numpy", "pandas"} <= found.versions.keys()
    assert found.machine["threads"] == 1
    assert found.test["test_mse"] < 1e-12
    assert found.best == {"epoch": 1, "value": found.history[0]["val_mse"]}


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_figure_that_is_no_number_is_refused(waves, tmp_path, monkeypatch):
    far = replace(CONTESTANTS["repeat"], fit=lambda problem, _: Constant(problem, 1e200))
    monkeypatch.setitem(CONTESTANTS, "repeat", far)
    with pytest.raises(ValueError, match="waves_5/repeat seed 0: validation mse is inf"):
        made(Run("waves_5", "repeat", 0), tmp_path)


def test_models_in_which_nothing_is_random_are_run_once():
    runs = chosen(["ETTh1"], None, ["dlinear", "repeat"], [3, 4])
    assert list(map(str, runs)) == [
        "ETTh1_96/dlinear seed 3", "ETTh1_96/dlinear seed 4", "ETTh1_96/repeat seed 0",
    ]  # fmt: skip


@pytest.mark.requires_data("ltsf")
def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(tmp_path, capsys, data_dir):
    command = ["forecasting", "--sets", "national_illness", "--models", "repeat"]
    command += ["--results", str(tmp_path)]
    assert main(command) == 0
    path = tmp_path / "national_illness_24" / "repeat" / "seed0.json"
    written = path.read_bytes()
    # The published figure of this forecast: the kept result.
    kept = Store(RESULTS).read(Run("national_illness_24", "repeat", 0))
    assert json.loads(written)["test"]["test_mse"] == pytest.approx(kept.test["test_mse"])
    assert main(command) == 0
    assert path.read_bytes() == written
    path.write_text(json.dumps(json.loads(written) | {"config_sha256": "0" * 64}))
    assert main(command) == 1
    assert "was made with other settings (config)" in capsys.readouterr().out
    assert main([*command, "--replace"]) == 0
    assert json.loads(path.read_bytes())["config_sha256"] != "0" * 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sets", "ETTx"], "set 'ETTx' is unknown; known: ETTh1, ETTm1"),
        (["--models", "tnc"], "model 'tnc' is unknown; known: tcn, tcn_auto, lstm"),
        (["--threads", "0"], "--threads is 0: give 1 or more"),
        (["--report"], "no results in"),
    ],
)
def test_wrong_arguments_are_explained(capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(["forecasting", *arguments, "--results", str(tmp_path)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_page_shows_means_spread_and_published_figures(tmp_path):
    store = Store(tmp_path)
    for seed, mse in enumerate((0.38, 0.40)):
        store.write(make_result(seed=seed, mse=mse))
    store.write(make_result(model="repeat", mse=1.2944, parameters=None, steps=None))
    markdown, page = (path.read_text() for path in write_page(store))
    assert "| TCN | **0.390 ± 0.014** | **0.400 ± 0.000** | 0.700 ± 0.000 | 2 | 1,234 |" in markdown
    assert "| last value | 1.294 | **0.400** |" in markdown
    assert "| DLinear | 0.375 | 0.399 | 336 | no | Zeng et al. 2023" in markdown
    assert "| DLinear | 0.384 | – | 336 | yes | table of the FITS" in markdown
    assert "0123456789 with uncommitted changes" in markdown
    assert 'class="best">0.390 ± 0.014' in page
    assert "--ink: #1f2933" in page  # the style of the other report


def test_long_horizon_sets_come_first_and_their_order_is_fixed():
    many = {"data": "m4_hourly", "horizon": 48, "test": {"mase": 0.9}}
    found = sections([make_result(**many), make_result(data="weather"), make_result()])
    assert [section.name for section in found] == ["ETTh1_96", "weather_96", "m4_hourly_48"]


def test_a_single_value_has_no_spread():
    assert spread([0.12345], 3) == "0.123"
    assert spread([1.0, 3.0], 1) == "2.0 ± 1.4"
    assert spread([], 3) == "–"


def test_the_page_shows_the_timing_of_a_new_row(tmp_path):
    store = Store(tmp_path)
    store.write(make_result())
    row = {"seconds": {"median": 0.001, "low": 0.001, "high": 0.001},
           "ratio": {"median": 1.0, "low": 1.0, "high": 1.0}}  # fmt: skip
    content = {"machine": {"cpu": "A Processor", "threads": 1}, "rounds": 9, "horizon": 24,
               "look_back": 168, "rows": {live.OURS: row}}  # fmt: skip
    (tmp_path / live.NAME).write_text(json.dumps(content))
    markdown = write_page(store)[0].read_text()
    assert "| update and next forecast | 1.00 | 1.0 (1.0 to 1.0) |" in markdown


def test_many_series_are_forecast_and_shown(tmp_path):
    row = scale.forecast_all(5, threads=1)
    assert row["series"] == 5
    assert row["megabytes_peak"] >= row["megabytes_before"] > 100
    assert sum(len(part) for part in scale.pieces(1001)) == 1001 * scale.MONTHS
    Store(tmp_path).write(make_result())
    content = {"machine": {"cpu": "A Processor", "threads": 1}, "rows": [row | {"series": 5000}]}
    (tmp_path / scale.NAME).write_text(json.dumps(content))
    assert "| 5,000 | " in write_page(Store(tmp_path))[0].read_text()
    with pytest.raises(ValueError, match=r"--scale is \[0\]: give counts of series, 1 or more"):
        scale.measure(tmp_path, [0], threads=1, command="")


def two_series() -> SeriesSet:
    """Season 2; the naive forecast of the past is off by 1 in the first series, 2 in the second."""
    train = pd.DataFrame(
        {"unique_id": ["a"] * 4 + ["b"] * 4, "ds": [1, 2, 3, 4] * 2,
         "y": [1.0, 2.0, 2.0, 3.0, 10.0, 20.0, 12.0, 22.0]}
    )  # fmt: skip
    test = pd.DataFrame(
        {"unique_id": ["a", "a", "b", "b"], "ds": [5, 6] * 2, "y": [4.0, 3.0, 12.0, 18.0]}
    )
    return SeriesSet("two", "Two", None, 2, 2, 4, train, test)


def test_scores_of_many_series_by_hand():
    data = two_series()
    forecasts = data.test[["unique_id", "ds"]].assign(
        **{competition.FORECAST: [5.0, 3.0, 12.0, 22.0]},
        **{f"forecast-lo-{level}": [3.0, 3.5, 11.0, 18.0] for level in (80, 90)},
        **{f"forecast-hi-{level}": [6.0, 4.0, 13.0, 20.0] for level in (80, 90)},
    )
    scores = competition.scores(data, forecasts)
    # Ours is off by 1, 0 and 0, 4: MASE (0.5 / 1 + 2 / 2) / 2. The naive one, which says 2, 3 and
    # 12, 22, by 2, 0 and 0, 4: MASE (1 / 1 + 2 / 2) / 2.
    assert scores[competition.FORECAST]["mase"] == pytest.approx(0.75)
    assert scores[competition.NAIVE]["mase"] == pytest.approx(1.0)
    # 200 |a - b| / (|a| + |b|), as M4 has it.
    ours = (200 * 1 / 9 / 2 + 200 * 4 / 40 / 2) / 2
    naive = (200 * 2 / 6 / 2 + 200 * 4 / 40 / 2) / 2
    assert scores[competition.FORECAST]["smape"] == pytest.approx(ours)
    assert scores[competition.FORECAST]["owa"] == pytest.approx((0.75 + ours / naive) / 2)
    assert scores[competition.NAIVE]["owa"] == pytest.approx(1)
    assert scores[competition.FORECAST]["coverage_80"] == 75  # 3.0 lies outside 3.5 to 4


def test_the_naive_forecast_takes_part_with_its_intervals():
    outcome = competition.compete(two_series(), "seasonal_naive", seed=0)
    assert outcome.test["mase"] == pytest.approx(1.0)
    assert outcome.test.keys() == {"mase", "smape", "owa", "coverage_80", "coverage_90"}


def test_a_forecast_that_is_missing_is_refused():
    data = two_series()
    forecasts = data.test[["unique_id", "ds"]].assign(forecast=1.0)[:-1]
    with pytest.raises(ValueError, match="3 of 4 values of the test part were forecast"):
        competition.scores(data, forecasts)


def test_a_model_that_takes_no_part_is_named():
    with pytest.raises(
        ValueError, match=r"'dlinear' takes no part.*known: tcn, tcn_auto, lstm, gru"
    ):
        competition.compete(two_series(), "dlinear", seed=0)


def waves_of_months() -> SeriesSet:
    """Three series of five years; the last 4 months are forecast."""
    step, noise = np.arange(60), np.random.default_rng(0).normal(scale=0.1, size=(3, 60))
    frame = pd.concat([
        pd.DataFrame({"unique_id": name, "ds": pd.date_range("2020-01-01", periods=60, freq="MS"),
                      "y": size * (3 + np.sin(2 * np.pi * step / 12) + noise[size - 1])})
        for size, name in enumerate("abc", 1)
    ])  # fmt: skip
    last = frame.groupby("unique_id").cumcount() >= 56
    return SeriesSet("waves", "Waves", "MS", 12, 4, 12, frame[~last], frame[last])


@pytest.mark.parametrize("model", automatic.MODELS)
def test_what_asks_for_no_setting_takes_part_in_many_series_alone(model, monkeypatch):
    assert chosen(["ETTh1"], None, ["repeat"], [1]) != []
    if model not in peers.PACKAGES:
        assert chosen(["ETTh1"], None, [model], [1]) == []
    elif not peers.installed(model):
        pytest.skip("needs the extra 'peers'")
    quick = partial(tcn.forecasting.Forecaster, max_steps=20, width=4)
    monkeypatch.setattr(tcn.forecasting, "Forecaster", quick)
    monkeypatch.setattr(automatic, "SEARCH", {"trials": 2, "finalists": 1, "ensemble": 2})
    outcome = competition.compete(waves_of_months(), model, seed=1)
    assert outcome.test["mase"] < 9  # the height of the waves is about 18 times the naive error
    assert outcome.validation.keys() == ({"mase"} if model == "tcn_search" else set())
    settings = competition.settings_of(waves_of_months(), model)
    assert settings["otherwise"] in ("the defaults", "the package's defaults")


def test_a_remark_stands_only_where_its_contestant_does():
    alone = make_result("neuralforecast_tcn_mae", data="weather")
    (section,) = sections([alone])
    assert "does not converge" not in section.note
    (section,) = sections([alone, make_result("neuralforecast_tcn", data="weather", mse=2.6e4)])
    assert "does not converge" in section.note
    (section,) = sections([make_result("neuralforecast_tcn")])  # on ETTh1
    assert "does not converge" not in section.note
