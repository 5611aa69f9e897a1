"""Configs beside ours that change one thing: a joint output for music, a net of today's parts."""

import functools
import math
import re
import warnings
from pathlib import Path

import pytest
import torch
import yaml

from tcn.commands.training import TCNCLI, build
from tcn.models import JointModel, LargeKernelTCN

ROOT = Path(__file__).parent.parent / "configs"
JOINT = [
    f"{task}/joint/{model}" for task in ("jsb", "nottingham") for model in ("tcn", "lstm", "gru")
]
MODERN = [f"{task}/modern/tcn" for task in ("sequential_mnist", "permuted_mnist")]
EVERY = [*JOINT, *MODERN]
SILENT = ["trainer.logger=false", "trainer.enable_checkpointing=false"]
SILENT += ["trainer.enable_progress_bar=false", "trainer.enable_model_summary=false"]


def path_of(name: str) -> Path:
    return ROOT / f"{name}.yaml"


@functools.cache
def built(name: str) -> TCNCLI:
    return build(path_of(name), SILENT)


def parameters(name: str) -> int:
    return sum(parameter.numel() for parameter in built(name).model.parameters())


def test_there_are_no_others():
    found = {path for kind in ("joint", "modern") for path in ROOT.glob(f"*/{kind}/*.yaml")}
    assert found == {path_of(name) for name in EVERY}


@pytest.mark.parametrize("name", EVERY)
def test_size_is_what_the_first_line_says(name: str):
    first = path_of(name).read_text().splitlines()[0]
    stated = re.search(r"([\d,]+) parameters\.$", first)
    assert stated is not None
    assert int(stated[1].replace(",", "")) == parameters(name)


@pytest.mark.parametrize("task", ["jsb", "nottingham"])
def test_the_gru_is_as_large_as_the_tcn(task: str):
    assert parameters(f"{task}/joint/gru") == pytest.approx(
        parameters(f"{task}/joint/tcn"), rel=3e-3
    )


@pytest.mark.parametrize("name", JOINT)
def test_only_the_output_differs_from_ours(name: str):
    """And the width of a GRU, which follows from the size of the TCN."""
    own = yaml.safe_load(path_of(name).read_text())
    ours = yaml.safe_load(path_of(name.replace("/joint", "")).read_text())
    for config in (own, ours):
        del config["trainer"]["default_root_dir"]
        del config["model"]["class_path"]
        net = config["model"]["init_args"].pop("net")
        config["backbone"] = net["init_args"]["backbone"]
        if name.endswith("gru"):
            del config["backbone"]["init_args"]["hidden"]
    assert own == ours
    assert isinstance(built(name).model.net, JointModel)


@pytest.mark.parametrize("name", MODERN)
def test_a_modern_net_gets_the_data_of_ours(name: str):
    own = yaml.safe_load(path_of(name).read_text())
    ours = yaml.safe_load(path_of(name.replace("/modern", "")).read_text())
    assert own["data"] == ours["data"]
    net = built(name).model.net
    assert isinstance(net.backbone, LargeKernelTCN)
    assert not net.backbone.streams
    assert 70_000 <= parameters(name) <= 500_000


@pytest.mark.parametrize("name", EVERY)
def test_every_number_has_a_source(name: str):
    given = re.compile(
        r"^\s*(in_channels|out_channels|keys|default_root_dir|name|permuted|readout):"
    )
    for line in path_of(name).read_text().splitlines():
        if re.search(r":\s*(\[?\d)", line.split("#")[0]) and not given.match(line):
            assert "  # " in line, line


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.requires_data("poly_music")) for name in JOINT]
    + [pytest.param(name, marks=pytest.mark.requires_data("mnist")) for name in MODERN],
)
def test_takes_a_step(name: str):
    small = [] if name in JOINT else ["data.init_args.batch_size=4"]
    cli = build(
        path_of(name), [*SILENT, *small, "trainer.fast_dev_run=true", "trainer.accelerator=cpu"]
    )
    before = {key: value.clone() for key, value in cli.model.net.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cli.trainer.fit(cli.model, cli.datamodule)
        (results,) = cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    assert math.isfinite(results[cli.model.monitor[0].replace("val", "test")])
    after = cli.model.net.state_dict()
    assert any(not torch.equal(before[key], value) for key, value in after.items())
