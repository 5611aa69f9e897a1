"""The page of nets for images, of runs in every state; the numbers are worked out by hand."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.__main__ import main
from benchmarks.grid.results import Result
from benchmarks.grid.runs import CONFIGS, Run
from benchmarks.grid.store import Store
from benchmarks.images.page import section, write_page
from benchmarks.report.report import provenance

TASK = "images/mnist"
DIVERGED: dict[str, Any] = {
    "status": "failed", "history": [], "best": {}, "test": {}, "steps": 0,
    "steps_per_second": None, "wall_seconds": 0.0,
}  # fmt: skip


@pytest.fixture
def made(make_result: Callable[..., Result]) -> Callable[..., Result]:
    """A run of LeNet-5 with an accuracy in the test and validation accuracies by epoch."""

    def make(model: str = "lenet5", seed: int = 0, **settings: Any) -> Result:
        result = make_result(TASK, model, seed, key="accuracy", **settings)
        config = yaml.safe_load((CONFIGS / TASK / "lenet5.yaml").read_text())
        return replace(result, config=config)

    return make


def row(results: list[Result], model: str = "lenet5") -> dict[str, str]:
    (table,) = section(TASK, results).tables
    (cells,) = [cells for cells in table.rows if cells[0].split()[0] == model]
    return dict(zip(table.heads, cells, strict=True))


def written(results: list[Result], folder: Path) -> tuple[str, str]:
    """The page, and its figure."""
    store = Store(folder)
    for each in results:
        store.write(each)
    page, _ = write_page(store)
    return page.read_text(), (page.parent / "mnist.svg").read_text()


def test_a_run_that_diverged_at_once_changes_no_number_of_its_model(made) -> None:
    alone = row([made(seed=1)])
    beside = row([replace(made(), **DIVERGED), made(seed=1)])
    assert alone["images a second"] == "640"  # 5 steps a second of 128 images
    assert alone["training"] == "0:04"  # two epochs of two seconds
    assert beside == alone | {"seeds": "1, 1 failed"}


def test_its_model_is_in_the_legend(made, tmp_path: Path) -> None:
    _, figure = written([replace(made(), **DIVERGED), made(seed=1)], tmp_path)
    assert ">lenet5<" in figure


@pytest.mark.filterwarnings("error")
def test_all_diverged_at_once(made, tmp_path: Path) -> None:
    page, _ = written([replace(made(), **DIVERGED)], tmp_path)
    assert "| lenet5 | – | 0, 1 failed | 70,369 |" in page


def test_an_unfinished_run_changes_no_number_of_finished_ones(made) -> None:
    begun = made(seed=1, status="unfinished", validation=(0.1,))
    assert row([made(), begun])["validation"] == "20.00"
    assert row([made(), begun])["epochs"] == "2"
    assert row([begun])["validation"] == "10.00"


def test_an_accuracy_of_zero_is_a_number(made) -> None:
    assert row([made(validation=(0.0,), test=0.0)])["validation"] == "0.00"
    assert row([made(validation=(0.0,), test=0.0)])["accuracy (%) ↑"] == "0.00"


def test_a_validation_that_was_never_a_number(made) -> None:
    nothing = [{"epoch": 1, "step": 10, "seconds": 2.0, "val_accuracy": None}]
    assert row([replace(made(validation=(0.1,)), history=nothing)])["validation"] == "–"


def test_equal_means_are_all_the_best(made, tmp_path: Path) -> None:
    results = [made("a", test=0.75), made("b", test=0.75), made("c", test=0.5)]
    page, _ = written(results, tmp_path)
    assert page.count("**75.00**") == 2


def test_what_was_made_with_overrides_is_marked(made, tmp_path: Path) -> None:
    other = made("residual", overrides=("trainer.max_epochs=2",))
    page, _ = written([made(), other], tmp_path)
    assert "| residual † |" in page
    assert "| lenet5 |" in page
    assert "†: made with overrides" in page


@pytest.mark.parametrize(
    ("place", "named"),
    [("data", "tcn.vision.ImageFolder"), ("data", "gone.Images"), ("net", "tcn.models.Gone")],
)
def test_a_net_whose_cost_is_not_known(made, place: str, named: str) -> None:
    result = made()
    arguments = result.config["model"]["init_args"]
    (result.config["data"] if place == "data" else arguments["net"])["class_path"] = named
    assert row([result])["multiply-adds"] == "–"


def test_no_figure_has_a_longer_title_than_it_is_wide(make_result, made, tmp_path: Path) -> None:
    """The question stands above the figure; of 60 letters and more it ran out of it."""
    question = replace(made(), task="notes/sizes_surrounded")
    store = Store(tmp_path)
    store.write(question)
    write_page(store, "notes")
    figure = (tmp_path / "notes" / "sizes_surrounded.svg").read_text()
    assert max(map(len, re.findall(r">([^<>\n]+)</text>", figure))) < 40


def test_one_run_is_not_runs(made) -> None:
    result = replace(made(), machine={"workers": 1, "threads": 1}, date="2026-01-02")
    told = dict(provenance([result]))
    assert "1 run at a time with 1 thread each" in told["machine"][0]
    assert told["dates"] == ["2026-01-02"]
    later = replace(result, date="2026-01-03")
    assert dict(provenance([result, later]))["dates"] == ["2026-01-02 to 2026-01-03"]


def test_names_are_checked_for_the_page_alone(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["images", "--results", str(tmp_path), "--report", "--tasks", "imagenet"])
    assert "--tasks: 'imagenet' is none of" in capsys.readouterr().err


def test_a_run_that_crashed_leaves_its_reason_as_the_last_word(tmp_path: Path, capsys) -> None:
    command = ["images", "--tasks", "mnist", "--models", "lenet5", "--seeds", "0", "--workers", "1"]
    command += ["--results", str(tmp_path), "--override", "trainer.max_epoch=1"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "did you mean --trainer.max_epochs" in said.out
    assert not said.err
    assert not Store(tmp_path).result_path(Run(TASK, "lenet5", 0)).exists()


def test_a_part_of_a_set_is_said_to_be_one(made) -> None:
    part = section("images/cifar10_first", [replace(made(), task="images/cifar10_first")])
    assert part.note.startswith("A tenth of the set")
    assert section(TASK, [made()]).note == ""
