"""The paper's table beside ours: every task, every reason, every cost."""

import dataclasses
import json

import pytest

from benchmarks.grid.recipes import Recipe
from benchmarks.grid.runs import MODELS, Run
from benchmarks.grid.store import Store
from benchmarks.report.paper import SIZES, TABLE_1, TASKS
from benchmarks.report.report import write_report
from benchmarks.report.summary import every_result, summarize
from benchmarks.report.table import costs, reached, variants, whole_table


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def lines(results, store):
    return {line["name"]: line for line in whole_table(summarize(results), store)}


def cell(line, label):
    return next(each for each in line["cells"] if each["label"] == label)


def test_all_eleven_tasks_are_there_without_any_result(store):
    found = whole_table([], store)
    assert [line["name"] for line in found] == list(TABLE_1) == list(SIZES)
    for line in found:
        assert [each["label"] for each in line["cells"]] == ["TCN", "LSTM", "GRU", "RNN"]
        assert [each["test"] for each in line["cells"]] == ["–"] * 4
        assert line["no_winner"] == "not run"
        assert f"--tasks {line['name']} --models tcn lstm gru rnn" in line["missing"][0]["command"]


def test_the_paper_s_winners(store):
    """Table 1 of the paper prints these in bold; in the adding problem GRU and TCN."""
    winners = {line["name"]: line["paper_winner"] for line in whole_table([], store)}
    assert winners.pop("adding_600") == "GRU"
    assert winners.pop("ptb_words") == "LSTM"
    assert set(winners.values()) == {"TCN"}


def test_who_wins_and_what_failed(make_result, store):
    results = [make_result(model="tcn", test=1e-4), make_result(model="gru", test=1e-5)]
    results += [make_result(model="lstm", seed=seed, status="failed") for seed in (0, 1)]
    line = lines(results, store)["adding_600"]
    assert line["winner"] == "GRU"
    assert cell(line, "GRU")["best"]
    assert not cell(line, "TCN")["best"]
    assert (cell(line, "LSTM")["failed"], cell(line, "LSTM")["empty"]) == (2, False)
    assert line["missing"][0]["models"] == "RNN"


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ({"tcn": 0.01}, "only TCN run"),
        ({"tcn": 0.2, "gru": 0.3}, "none beats chance"),
        ({}, "not run"),
    ],
)
def test_why_nobody_wins(make_result, store, tests, reason):
    results = [make_result(model=model, test=value) for model, value in tests.items()]
    line = lines(results, store)["adding_600"]
    assert line["winner"] is None
    assert line["no_winner"] == reason


def test_nobody_wins_where_all_failed_or_none_is_finished(make_result, store):
    failed, unfinished = (make_result(status=status) for status in ("failed", "unfinished"))
    assert lines([failed], store)["adding_600"]["no_winner"] == "all that were run failed"
    assert lines([unfinished], store)["adding_600"]["no_winner"] == "none finished"
    both = [failed, dataclasses.replace(unfinished, model="gru")]
    assert lines(both, store)["adding_600"]["no_winner"] == "none finished"


def test_a_language_task_says_which_data_were_not_at_hand(store):
    found = lines([], store)
    for name in ("wikitext_103", "lambada", "text8"):
        assert "were at hand" in found[name]["missing"][0]["reason"]
    assert "first 6.8 of 100 million characters" in found["text8"]["missing"][0]["reason"]
    assert found["ptb_words"]["missing"][0]["reason"] == "not run yet"


def test_a_run_that_was_begun_says_so(store):
    run = Run("nottingham", "gru", 1)
    work = store.work(run)
    work.mkdir(parents=True)
    (work / "recipe.json").write_text(json.dumps(Recipe.of(run).to_json()))

    def missing() -> dict[str, str]:
        return lines([], store)["nottingham"]["missing"][0]

    assert missing()["reason"] == "not run yet"  # it crashed before its first epoch had ended
    (work / "epoch-00001-0123456789abcdef.ckpt").touch()
    assert missing()["reason"] == "GRU begun and not finished; the command goes on from there"
    assert not missing()["command"].endswith("--replace")
    other = Recipe.of(run, ["trainer.max_epochs=3"])
    (work / "recipe.json").write_text(json.dumps(other.to_json()))
    assert missing()["reason"] == "GRU begun with other settings; the command begins anew"
    assert missing()["command"].endswith("--replace")  # without, it is refused


def test_seeds_that_others_have_are_missing(make_result, store):
    results = [make_result(seed=seed) for seed in (0, 1, 2)] + [make_result(model="lstm", seed=1)]
    others, lstm = lines(results, store)["adding_600"]["missing"]
    assert (others["models"], lstm["models"]) == ("GRU, RNN", "LSTM, seeds 0, 2")
    assert "--models lstm --seeds 0 2" in lstm["command"]


def test_a_seed_tested_as_nan_is_not_counted_in_the_mean(make_result, store):
    results = [make_result(seed=0), make_result(seed=1, test=None)]
    assert cell(lines(results, store)["adding_600"], "TCN")["seeds"] == "1 of 2"


def test_an_unfinished_run_says_how_far_it_is_and_how_it_goes_on(make_result, store):
    override = "trainer.precision=bf16-mixed"
    results = [
        make_result(seed=2, status="unfinished", overrides=(override,)),
        make_result(model="gru", test=0.1),
    ]
    line = lines(results, store)["adding_600"]
    assert cell(line, "TCN")["test"] == "–"
    assert line["no_winner"] == "only GRU run"
    tcn, others, further = line["missing"]
    assert tcn["reason"] == "seed 2 is not finished: its time was over after 2 of 9 epochs"
    assert tcn["command"] == (
        "python -m benchmarks run --tasks adding_600 --models tcn --seeds 2 "
        f"--override {override} --results {store.folder}"
    )
    assert (others["models"], further["models"]) == ("LSTM, RNN", "TCN, seed 0")


def test_missing_seeds_are_those_that_others_have(make_result, store):
    line = lines([make_result(seed=seed) for seed in (3, 4)], store)["adding_600"]
    assert "--models lstm gru rnn --seeds 3 4" in line["missing"][0]["command"]


def test_results_made_with_overrides_are_marked(make_result, store):
    results = [make_result(), make_result(model="lstm", overrides=("trainer.max_epochs=2",))]
    changed_since = dataclasses.replace(make_result(model="gru"), config_sha256="1" * 64)
    results.append(changed_since)
    line = lines(results, store)["adding_600"]
    assert cell(line, "LSTM")["test"] == cell(line, "GRU")["test"] == "0.500 †"
    assert cell(line, "TCN")["test"] == "0.500"


def test_results_of_uncommitted_code_are_marked(make_result, store):
    uncommitted = dataclasses.replace(make_result(), commit={"hash": "0" * 40, "dirty": True})
    assert cell(lines([uncommitted], store)["adding_600"], "TCN")["test"] == "0.500 †"


def test_time_to_a_quality_by_hand(make_result):
    # Epochs end after 2, 4, 6 s; adding has learned at a validation error of 1e-3.
    results = [
        make_result(seed=0, validation=(0.1, 1e-3, 1e-5)),
        make_result(seed=1, validation=(1e-4, 1e-4)),
        make_result(seed=2, validation=(0.1, 0.1)),
        make_result(seed=3, status="failed"),
        make_result(model="gru", validation=(0.1, 0.1)),
    ]
    (summary,) = summarize(results)
    tcn, _, gru, rnn = summary.rows
    assert tcn.seconds_to(summary.task.metric, 1e-3).mean == 3.0
    assert reached(tcn, summary) == "0:03 (2 of 4)"
    assert reached(gru, summary) == "never"
    assert reached(rnn, summary) == "–"
    (line,) = costs([summary])
    assert line["quality"] == "MSE ≤ 0.001"
    assert line["cells"][0] == {
        "empty": False, "time": "0:05", "memory": "512", "reached": "0:03 (2 of 4)",
    }  # fmt: skip


def test_time_to_an_accuracy(make_result):
    (summary,) = summarize([make_result("digits", key="accuracy", validation=(0.9, 0.96))])
    assert costs([summary])[0]["quality"] == "accuracy ≥ 95 %"
    assert reached(summary.rows[0], summary) == "0:04"


def test_every_task_that_is_measured_has_a_quality_to_reach():
    assert {name for name, task in TASKS.items() if task.quality is None} == {"lambada"}


def test_other_settings_stand_beside_ours_and_win_nothing(make_result, store):
    joint = make_result("jsb", key="nll", test=5.5, settings="joint")
    for result in (joint, make_result("jsb", key="nll", test=8.2)):
        store.write(result)
    store.write(make_result("jsb", "lstm", key="nll", test=8.4))
    (summary,) = summaries = summarize(every_result(store))
    assert summary.winner == "tcn"
    assert summary.rows[0].test(summary.task.metric).mean == 8.2
    (row,) = variants(summaries)
    assert (row["settings"], row["test"], row["ours"], row["paper"]) == (
        "joint",
        "5.50",
        "8.20",
        "8.10",
    )
    page = write_report(store)[1].read_text()
    assert "--tasks jsb --models lstm gru --settings joint --seeds 0 1 2" in page
    assert "--tasks permuted_mnist --models tcn --settings modern --seeds 0 1 2" in page
    assert "each key of a frame is told of those below it" in page


def test_a_task_with_other_settings_alone_has_no_section_of_its_own(make_result, store):
    store.write(dataclasses.replace(make_result("jsb", key="nll"), settings="joint"))
    markdown, page = (path.read_text() for path in write_report(store))
    assert "## JSB chorales" not in markdown
    assert 'href="#jsb"' not in page
    assert "--tasks jsb --models tcn lstm gru rnn" in markdown


def test_images_and_sound_have_pages_of_their_own(make_result, store):
    store.write(make_result())
    store.write(make_result("images/mnist", "lenet5", key="accuracy"))
    assert [result.task for result in every_result(store)] == ["adding_600"]


def test_models_are_the_families_of_the_paper():
    assert all(set(numbers) <= set(MODELS) for numbers in TABLE_1.values())
