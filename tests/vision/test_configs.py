"""Every configuration of images builds, has the size it names, and takes a step."""

import functools
import math
import re
import warnings
from pathlib import Path

import numpy
import pytest
import torch
import yaml

from benchmarks.images import part
from tcn.commands.training import TCNCLI, build
from tcn.models import ImageScan
from tcn.vision import mnist

ROOT = Path(__file__).parents[2] / "configs" / "images"
CONFIGS = {str(path.relative_to(ROOT).with_suffix("")): path for path in ROOT.glob("*/*.yaml")}
SILENT = ["trainer.logger=false", "trainer.enable_checkpointing=false"]
SILENT += ["trainer.enable_progress_bar=false", "trainer.enable_model_summary=false"]

# LeNet-5 with all connections: 156 + 2,416 + 48,120 + 10,164 + 850. ResNet-20 as published (0.27M),
# 269,722, less 2 x 9 x 16 weights where images are gray. All-CNN-C: 1.3M in the paper's table 3.
PARAMETERS = {
    "mnist/lenet5": 61_706,
    "mnist/residual": 75_002,
    "mnist/small_resnet": 269_434,
    "fashion_mnist/small_resnet": 269_434,
    "cifar10/resnet20": 269_722,
    "cifar10/all_cnn_c": 1_369_738,
    "cifar10_first/resnet20": 269_722,
    "cifar10_first/all_cnn_c": 1_369_738,
    "mnist_10000/lenet5": 61_706,
    "mnist_10000/lstm_pixels": 68_362,
    "mnist_10000/lstm_rows": 67_860,
    "mnist_10000/resnet20": 68_642,
    "mnist_10000/tcn_image": 65_706,
    "mnist_10000/tcn_pixels": 66_910,
    "mnist_10000/tcn_rows": 66_366,
    "binarized_mnist/pixelcnn": 99_105,
}


@functools.cache
def built(name: str) -> TCNCLI:
    """To be looked at, not trained."""
    return build(CONFIGS[name], SILENT)


def test_which_configurations_there_are() -> None:
    assert set(CONFIGS) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_size(name: str) -> None:
    """As its first line says, and as published."""
    count = sum(parameter.numel() for parameter in built(name).model.parameters())
    stated = re.search(r"([\d,]+) parameters\.$", CONFIGS[name].read_text().splitlines()[0])
    assert int(stated[1].replace(",", "")) == count == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_number_has_a_source(name: str) -> None:
    given = re.compile(r"^\s*(in_channels|default_root_dir|class_path):")
    for line in CONFIGS[name].read_text().splitlines():
        if re.search(r":\s*(\[?\d)", line.split("#")[0]) and not given.match(line):
            assert "  # " in line, line
    config = yaml.safe_load(CONFIGS[name].read_text())
    assert config["trainer"]["default_root_dir"] == f"runs/images/{name}"


def test_recipe_of_the_paper_for_cifar() -> None:
    """He et al. 2016, section 4.2; Springenberg et al. 2015, section 3."""
    for name, rate, decay in (("resnet20", 0.1, 1e-4), ("all_cnn_c", 0.05, 1e-3)):
        task = built(f"cifar10/{name}").model
        defaults = task.optimizer([torch.nn.Parameter(torch.zeros(1))]).defaults
        found = defaults["lr"], defaults["momentum"], defaults["weight_decay"]
        assert found == (rate, 0.9, decay)
    steps = math.ceil(45_000 / 128)
    scheduler = yaml.safe_load(CONFIGS["cifar10/resnet20"].read_text())["model"]["init_args"]
    milestones = scheduler["lr_scheduler"]["init_args"]["milestones"]
    assert [round(epochs * steps, -3) for epochs in milestones] == [32_000, 48_000]


@pytest.mark.parametrize("name", [name for name in PARAMETERS if not name.startswith("binarized")])
def test_takes_a_step(
    name: str,
    small_mnist: dict[str, numpy.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A training, a validation and a test batch; data and net agree on their channels."""
    sizes = ["data.init_args.batch_size=8", "data.init_args.validation_size=8"]
    limits = [*SILENT, "trainer.fast_dev_run=true", "trainer.accelerator=cpu", *sizes]
    if name.startswith("cifar10"):
        image = bytes([3]) + bytes(range(256)) * 12
        monkeypatch.setattr(part, "FIRST", {"train": 20, "test": 8})
        (tmp_path / "data_batch_1.bin").write_bytes(image * 20)
        (tmp_path / "test_batch.bin").write_bytes(image * 8)
        limits.append(f"data.init_args.folder={tmp_path}")
    for key, file in mnist.mnist.FILES.items():
        monkeypatch.setitem(mnist.FASHION_FILES, key, file)
    cli = build(CONFIGS[name], limits)
    task, data = cli.model, cli.datamodule
    if not isinstance(task.net, ImageScan):  # whose steps are rows or pixels
        assert task.net.in_channels == data.in_channels
    results = a_step(cli)
    assert {"test_accuracy", "test_loss"} <= set(results)


@pytest.mark.requires_data("mnist")
def test_takes_a_step_over_binarized_digits() -> None:
    """Of the real files, whose bits are held to a checksum."""
    limits = [*SILENT, "trainer.fast_dev_run=true", "trainer.accelerator=cpu"]
    results = a_step(build(CONFIGS["binarized_mnist/pixelcnn"], limits))
    assert results["test_nats"] == pytest.approx(784 * results["test_loss"], rel=1e-4)


def a_step(cli: TCNCLI) -> dict[str, float]:
    """Takes one, and tests."""
    task, data, trainer = cli.model, cli.datamodule, cli.trainer
    assert task.net.out_channels == data.out_channels
    before = {key: value.clone() for key, value in task.net.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few batches
        trainer.fit(task, data)
        assert trainer.global_step == 1
        results = trainer.test(task, data, verbose=False)[0]
    assert all(math.isfinite(value) for value in results.values())
    assert any(not torch.equal(before[key], value) for key, value in task.net.state_dict().items())
    return results
