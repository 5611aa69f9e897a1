"""Nets for images on the grid: which runs there are, what a net costs, and the page."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from benchmarks.__main__ import main
from benchmarks.grid.runs import CONFIGS, Run
from benchmarks.images.cost import built, multiply_adds
from benchmarks.images.part import FIRST, FirstCIFAR10
from benchmarks.images.runs import AUDIO, chosen, known_models, known_tasks

CONFIG_FILES = sorted((CONFIGS / "images").glob("*/*.yaml"))


def test_runs_are_the_configs() -> None:
    runs = chosen(None, None, [0])
    assert {run.config for run in runs} == set(CONFIG_FILES)
    assert chosen(["mnist"], ["lenet5"], [3, 3]) == [Run("images/mnist", "lenet5", 3)]
    assert {run.task for run in chosen(None, ["lenet5"], [0])} == {
        f"images/{task}" for task in known_tasks() if "lenet5" in known_models(task)
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "imagenet"], "--tasks: 'imagenet' is none of binarized_mnist, cifar10"),
        (["--models", "lenet"], "--models: 'lenet' is none of .*lenet5"),
        (["--seeds", "-1"], "--seeds: -1 is not from 0 to 4294967295"),
    ],
)
def test_what_is_unknown(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["images", "--results", str(tmp_path), *arguments])
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_no_results_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["images", "--results", str(tmp_path), "--report"])
    assert "make some with `python -m benchmarks images`" in capsys.readouterr().err


def test_multiply_adds_by_hand() -> None:
    """LeNet-5 at 32 x 32, layer by layer; the recurrent one: gates x (input + state) x steps."""
    lenet = yaml.safe_load((CONFIGS / "images/mnist/lenet5.yaml").read_text())
    expected = 28**2 * 6 * 25 + 10**2 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert multiply_adds(lenet) == expected
    lstm = yaml.safe_load((CONFIGS / "images/mnist_10000/lstm_rows.yaml").read_text())
    assert multiply_adds(lstm) == 28 * 4 * 115 * (28 + 115) + 115 * 10


def test_runs_and_cost_of_sound() -> None:
    """100 frames: filters, four blocks of two convolutions, a shortcut; the head; no transform."""
    runs = chosen(["spoken_digits"], ["tcn_streaming"], [0], AUDIO)
    assert runs == [Run("audio/spoken_digits", "tcn_streaming", 0)]
    config = yaml.safe_load(runs[0].config.read_text())
    blocks = 40 * 48 * 5 + 7 * 48 * 48 * 5 + 40 * 48
    assert multiply_adds(config) == 100 * (129 * 40 + blocks) + 48 * 10


@pytest.mark.parametrize("config", CONFIG_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_first_line_says_the_parameters(config: Path) -> None:
    text = config.read_text()
    net = built(yaml.safe_load(text)["model"]["init_args"]["net"])
    assert f" {sum(p.numel() for p in net.parameters()):,} parameters" in text.splitlines()[0]


@pytest.mark.parametrize("question", ["mnist_10000"])
def test_nets_that_are_compared_are_of_one_size(question: str) -> None:
    sizes = []
    for model in known_models(question):
        config = yaml.safe_load((CONFIGS / "images" / question / f"{model}.yaml").read_text())
        net = built(config["model"]["init_args"]["net"])
        sizes.append(sum(parameter.numel() for parameter in net.parameters()))
    assert max(sizes) < 1.15 * min(sizes)


@pytest.mark.slow
@pytest.mark.requires_data("mnist")
def test_a_run_and_its_page(tmp_path: Path) -> None:
    """Two nets, of classes and of pixels, for three batches of their configs."""
    results = tmp_path / "results"
    short = ["max_epochs=1", "limit_train_batches=3", "limit_val_batches=2", "limit_test_batches=2"]
    for task, model in (("mnist", "lenet5"), ("binarized_mnist", "pixelcnn")):
        command = ["images", "--tasks", task, "--models", model, "--seeds", "0"]
        command += ["--results", str(results), "--workers", "1", "--threads", "1"]
        assert main([*command, "--override", *(f"trainer.{each}" for each in short)]) == 0
    made = json.loads((results / "images/mnist/lenet5/seed0.json").read_text())
    assert (made["task"], made["status"], made["steps"]) == ("images/mnist", "finished", 3)
    page = (results / "images" / "report.md").read_text()
    assert "| lenet5 † |" in page
    assert "| pixelcnn † |" in page
    assert "61,706" in page
    assert (results / "images" / "mnist.svg").read_text().startswith("<?xml")
    shutil.rmtree(results / "images" / "mnist")
    assert main(["images", "--results", str(results), "--report"]) == 0
    assert "lenet5" not in (results / "images" / "report.md").read_text()


def test_the_first_images_of_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files with more of them, found in the data folder; fewer are refused."""
    folder = tmp_path / "cifar10"
    folder.mkdir()
    image = bytes(3072)
    monkeypatch.setenv("TCN_DATA_DIR", str(tmp_path))
    for file, label in (("data_batch_1.bin", 3), ("data_batch_2.bin", 4)):
        (folder / file).write_bytes((bytes([label]) + image) * (FIRST["train"] // 2 + 1000))
    (folder / "test_batch.bin").write_bytes((bytes([5]) + image) * 1999)
    images, labels = FirstCIFAR10().read("train")
    assert images.shape == (5000, 3, 32, 32)
    assert labels.tolist() == 3500 * [3] + 1500 * [4]
    with pytest.raises(ValueError, match="cifar10 has 1,999 images for test, fewer than the first"):
        FirstCIFAR10().read("test")
