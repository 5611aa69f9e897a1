import math

import pytest
from torch import Tensor

from benchmarks.grid.runs import MODELS, known_tasks
from benchmarks.report.paper import TABLE_1, TASKS, describe
from benchmarks.report.summary import Spread, missing_tasks, significant, spread_text, summarize
from tcn.data import SequentialDigits, SequentialMNIST


def test_mean_and_sample_deviation_by_hand(make_result):
    # 0.2, 0.4, 0.9: mean 1.5/3; deviations -0.3, -0.1, 0.4: squares 0.26, over n - 1 = 2: 0.13
    (summary,) = summarize(make_result(seed=s, test=v) for s, v in enumerate((0.2, 0.4, 0.9)))
    spread = summary.rows[0].test(summary.task.metric)
    assert spread == Spread(pytest.approx(0.5), pytest.approx(math.sqrt(0.13)), 3)
    assert spread_text(spread) == "0.500 ± 0.361"


def test_one_seed_has_no_deviation(make_result):
    (summary,) = summarize([make_result(test=0.25)])
    assert summary.rows[0].test(summary.task.metric) == Spread(0.25, None, 1)
    assert spread_text(Spread(0.25, None, 1)) == "0.250"


def test_failed_runs_are_counted_and_enter_no_mean(make_result):
    results = [make_result(seed=0, test=0.2), make_result(seed=1, status="failed")]
    (summary,) = summarize(results)
    row = summary.rows[0]
    assert (len(row.finished), len(row.failed)) == (1, 1)
    assert row.test(summary.task.metric) == Spread(0.2, None, 1)


def test_accuracy_is_shown_in_percent(make_result):
    results = [make_result("digits", seed=s, key="accuracy", test=v) for s, v in ((0, 0.5), (1, 1))]
    (summary,) = summarize(results)
    assert summary.rows[0].test(summary.task.metric).mean == 75.0


@pytest.mark.parametrize(
    ("scores", "winner"),
    [
        ({"tcn": 0.01, "lstm": 0.1}, "tcn"),
        ({"tcn": 0.1, "lstm": 0.01}, "lstm"),
        ({"tcn": 0.01}, None),  # nobody to beat
        ({"tcn": 0.17, "lstm": 0.18}, None),  # chance is 1/6
    ],
)
def test_winner_of_a_task_where_lower_is_better(make_result, scores, winner):
    (summary,) = summarize(make_result(model=m, test=v) for m, v in scores.items())
    assert summary.winner == winner


@pytest.mark.parametrize(
    ("scores", "winner"), [((0.9, 0.8), "tcn"), ((0.8, 0.9), "lstm"), ((0.08, 0.1), None)]
)
def test_winner_of_a_task_where_higher_is_better(make_result, scores, winner):
    pairs = zip(("tcn", "lstm"), scores, strict=True)
    results = (make_result("digits", model, key="accuracy", test=v) for model, v in pairs)
    (summary,) = summarize(results)
    assert summary.winner == winner


def test_chance_levels():
    # 10 ln 8 / 1020 = 20.7944 / 1020
    config = {"data": {"init_args": {"length": 1000}}}
    assert TASKS["copying_1000"].chance(config) == pytest.approx(0.0203867, abs=1e-7)
    assert TASKS["adding_600"].chance({}) == pytest.approx(1 / 6)


def test_chance_of_digits_is_their_most_frequent_one():
    _, targets = SequentialDigits().dataset("test").tensors()
    assert TASKS["digits"].chance({}) == pytest.approx(100 * share_of_most_frequent(targets))


@pytest.mark.requires_data("mnist")
@pytest.mark.parametrize("permuted", [False, True])
def test_chance_of_mnist_is_its_most_frequent_digit(data_dir, monkeypatch, permuted: bool):
    monkeypatch.setenv("TCN_DATA_DIR", str(data_dir))
    _, targets = SequentialMNIST(permuted=permuted).dataset("test").tensors()
    task = TASKS["permuted_mnist" if permuted else "sequential_mnist"]
    assert task.chance({}) == pytest.approx(100 * share_of_most_frequent(targets))


def share_of_most_frequent(targets: Tensor) -> float:
    return float(targets.bincount().max()) / len(targets)


def test_chance_follows_the_length_that_was_run(make_result):
    results = [make_result("copying_quick", seed=s, key="loss", length=80) for s in (0, 1)]
    (summary,) = summarize(results)
    assert summary.chance == pytest.approx(10 * math.log(8) / 100)
    (mixed,) = summarize([*results, make_result("copying_quick", seed=2, key="loss", length=40)])
    assert mixed.chance is None


def test_the_paper_s_table():
    assert len(TABLE_1) == 11
    assert TABLE_1["adding_600"] == {
        "tcn": "5.8e-5",
        "lstm": "0.164",
        "gru": "5.3e-5",
        "rnn": "0.177",
    }
    for numbers in TABLE_1.values():
        assert all(float(number) > 0 for number in numbers.values())


def test_small_tasks_claim_no_number_of_the_paper():
    assert not any(TASKS[name].paper for name in ("adding_quick", "copying_quick", "digits"))
    assert not TASKS["adding_200"].paper


def test_every_task_with_configs_is_described():
    assert set(known_tasks()) <= set(TASKS)


def test_an_unlisted_task_is_described_by_its_selection(make_result):
    result = make_result("new_task", key="accuracy", test=0.5)
    (summary,) = summarize([result])
    assert summary.task == describe("new_task", "val_accuracy", "max")
    assert summary.task.metric.higher_is_better
    assert summary.rows[0].test(summary.task.metric).mean == 0.5


def test_order_of_tasks_and_models(make_result):
    results = [make_result("new"), make_result("jsb", "zzz", key="nll"), make_result("adding_600")]
    summaries = summarize(results)
    assert [summary.name for summary in summaries] == ["adding_600", "jsb", "new"]
    assert [row.model for row in summaries[1].rows] == [*MODELS, "zzz"]
    assert "jsb" not in missing_tasks(summaries)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "not finite"),
        (0.0, "0.00"),
        (0.16667, "0.167"),
        (98.612, "98.6"),
        (1279.4, "1279"),
        (0.00005842, "5.84e-5"),
        (-0.25, "-0.250"),
        (2.5e7, "2.50e7"),
    ],
)
def test_significant(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (98.61, 0.1234, "98.61 ± 0.12"),
        (5.84e-5, 1.2e-5, "(5.84 ± 1.20)e-5"),
        (0.0204, 0.00001, "0.0204 ± 0.0000"),
    ],
)
def test_spread_text(mean, deviation, text):
    assert spread_text(Spread(mean, deviation, 3)) == text
