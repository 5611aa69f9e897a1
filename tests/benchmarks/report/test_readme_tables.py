import json
import shutil
from pathlib import Path

import pytest

from benchmarks.__main__ import RESULTS, main
from benchmarks.grid.store import Store
from benchmarks.readme import README, between, different, rewritten, tables
from benchmarks.report.short import short_table

TEXT = "before\n<!-- paper: python -m benchmarks readme -->\n\n| a |\n\n<!-- end -->\nafter\n"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy of the committed results."""
    json_alone = shutil.ignore_patterns("*.svg", "report.*", ".work")
    return shutil.copytree(RESULTS, tmp_path / "results", ignore=json_alone)


def test_the_tables_of_the_readme_are_those_of_the_results():
    made = tables(RESULTS)
    assert sorted(made) == ["forecasting", "paper"]
    assert different(README.read_text(encoding="utf-8"), made) == []


@pytest.mark.parametrize(
    ("place", "key", "name"),
    [
        ("jsb/lstm/seed1.json", "test_nll", "paper"),
        ("forecasting/ETTh1_96/gru/seed0.json", "mse", "forecasting"),
    ],
)
def test_a_changed_number_is_found_and_written(kept, tmp_path, capsys, place, key, name):
    page = Path(shutil.copy(README, tmp_path / "README.md"))
    arguments = ["readme", "--results", str(kept), "--readme", str(page)]
    assert main([*arguments, "--check"]) == 0
    result = json.loads((kept / place).read_text())
    result["test"][key] += 1
    (kept / place).write_text(json.dumps(result))

    assert main([*arguments, "--check"]) == 1
    assert f"the table {name!r} differs" in capsys.readouterr().err
    assert page.read_text() == README.read_text()
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"written: {name}\n"
    assert main([*arguments, "--check"]) == 0


def test_what_is_outside_the_comments_stays():
    made = {"paper": "| b |\n"}
    assert different(TEXT, {"paper": "| a |\n"}) == []
    assert rewritten(TEXT, made) == TEXT.replace("| a |", "| b |")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is there 0 times, not once"),
        (TEXT + TEXT, "is there 2 times, not once"),
        (TEXT.replace("<!-- end -->", ""), "no '<!-- end -->' follows"),
        (TEXT.replace("| a |", "<!-- forecasting -->"), "no '<!-- end -->' follows"),
    ],
)
def test_comments_that_do_not_enclose_a_table_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        between(text, "paper")


def test_no_results_say_how_to_get_some(tmp_path):
    with pytest.raises(ValueError, match="`python -m benchmarks run` makes them"):
        short_table(Store(tmp_path))


def test_a_line_says_how_many_seeds_failed_what_is_best_and_never_rounds_up_to_all(
    tmp_path, make_result
):
    store = Store(tmp_path)
    for seed, value in enumerate((2e-5, 4e-5)):
        result = make_result("copying_1000", seed=seed, test=value, key="loss", length=1000)
        result.test["test_last_accuracy"] = 0.99999
        store.write(result)
    store.write(make_result("copying_1000", seed=2, status="failed", key="loss", length=1000))
    store.write(make_result("copying_1000", "gru", test=0.01, key="loss", length=1000))
    (line,) = short_table(store).rows
    assert line[2] == "**(3.00 ± 1.41)e-5**, last-10 accuracy 99.99 %"
    assert line[3:5] == ["3.5e-5", "2, 1 failed"]
    assert line[5] == "GRU 0.0100 (paper 0.0197, 1 seed), chance 0.0204"
