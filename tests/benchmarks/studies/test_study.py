"""Studies are ordinary runs: the same budget for all, kept by point, shown where there are some."""

import dataclasses
import re

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.grid.runs import ROOT, select
from benchmarks.grid.store import Store
from benchmarks.report.report import write_report
from benchmarks.report.sections import sections
from benchmarks.studies import ablations, memory_curve
from benchmarks.studies.study import points_named, store_of, summary_of
from tcn.commands.training import build

POINTS = [*memory_curve.points(), *ablations.points()]
QUIET = ["trainer.logger=false", "trainer.enable_checkpointing=false"]


def built(point, model):
    (run,) = select([point.task], [model], [0])
    return build(run.config, [*QUIET, *point.overrides, *point.drawn.get(model, ())])


def parameters(cli):
    return sum(parameter.numel() for parameter in cli.model.parameters())


@pytest.mark.parametrize("point", memory_curve.points(), ids=lambda point: point.name)
def test_every_model_of_the_curve_is_as_large_and_the_tcn_sees_all(point):
    with torch.device("meta"):
        nets = {model: built(point, model) for model in point.models}
    length = nets["tcn"].datamodule.length
    assert point.name.endswith(f"_{length}")
    steps = length + (20 if point.task.startswith("copying") else 0)
    assert nets["tcn"].model.net.backbone.receptive_field >= steps
    sizes = [parameters(cli) for cli in nets.values()]
    # Whole channels: the deepest nets are a tenth smaller than their rivals.
    assert max(sizes) < 1.2 * min(sizes)
    assert sizes[0] <= 15_058
    budgets = {
        (cli.trainer.max_epochs, cli.datamodule.sizes["train"], cli.datamodule.batch_size)
        for cli in nets.values()
    }
    assert budgets == {(5, 10_000, 32)}


@pytest.mark.parametrize("point", ablations.points(), ids=lambda point: point.name)
def test_variants_are_what_they_are_called(point):
    with torch.device("meta"):
        cli = built(point, "tcn")
    net = cli.model.net.backbone
    variant = point.name.split("/")[1]
    assert parameters(cli) <= ablations.PARAMETERS
    assert parameters(cli) > 0.8 * ablations.PARAMETERS
    assert net.receptive_field >= (120 if point.task == "copying_quick" else 64)
    text = repr(net)
    kernel = re.search(r"kernel_size=\((\d+),\)", text)[1]
    assert kernel == (variant.removeprefix("kernel_") if variant.startswith("kernel") else "8")
    assert ("Add(" in text) == (variant != "without_shortcuts")
    assert ("Gate(" in text) == (variant == "gated")
    assert ("weight_norm=True" in text) == (variant != "without_weight_norm")
    dropout = re.search(r"Dropout\((.*?), spatial=(\w+)\)", text).groups()
    expected = {"dropout_values": ("0.1", "False"), "dropout_channels": ("0.1", "True")}
    assert dropout == expected.get(variant, ("0.0", "False"))


def test_without_shortcuts_is_the_layers_of_the_blocks_alone():
    """A residual net whose shortcuts add nothing: its input is below 0 where the layers' is."""
    torch.manual_seed(0)
    plain = ablations.WithoutShortcuts(1, [3, 3], 2)
    x = torch.randn(2, 1, 9)
    y = x
    for block in plain.levels:
        for layer in block:
            y = torch.relu(layer.convolution(y))
    torch.testing.assert_close(plain(x), y)


def test_points_differ_in_name_and_in_what_is_laid_over():
    assert len({(point.task, point.name) for point in POINTS}) == len(POINTS)
    recipes = {(p.task, p.overrides, tuple(p.drawn.items())) for p in POINTS}
    assert len(recipes) == len(POINTS)
    for point in POINTS:
        assert all(run.config.exists() for run in select([point.task], point.models, [0]))


def test_unknown_point():
    with pytest.raises(ValueError, match="--points: 'copying_3' is none of copying_50, adding_50"):
        points_named(memory_curve.points(), ["copying_3"])


def result_of(point, make_result, model="tcn", key="last_accuracy", **settings):
    overrides = (*point.overrides, *point.drawn.get(model, ()))
    return make_result(point.task, model, key=key, overrides=overrides, **settings)


def test_only_results_of_the_recipe_count(tmp_path, make_result):
    point = memory_curve.points()[0]
    result = result_of(point, make_result, test=0.75)
    store_of(tmp_path, "memory_curve", point).write(result)
    assert summary_of(tmp_path, "memory_curve", point).rows[0].finished == [result]
    other = dataclasses.replace(point, overrides=("trainer.max_epochs=1",))
    assert summary_of(tmp_path, "memory_curve", other) is None
    assert list(Store(tmp_path).results()) == []  # the table of all tasks does not see it


def test_the_report_shows_what_there_is_and_how_to_make_the_rest(tmp_path, make_result):
    assert sections(Store(tmp_path), []) == []
    copying, adding = memory_curve.points()[:2]
    folder = tmp_path
    for model, accuracy in (("tcn", 1.0), ("lstm", 0.125)):
        result = result_of(copying, make_result, model, test=accuracy)
        store_of(folder, "memory_curve", copying).write(result)
    store_of(folder, "memory_curve", adding).write(
        result_of(adding, make_result, "gru", key="mse", status="failed")
    )
    variant = ablations.points()[1]
    store_of(folder, "ablations", variant).write(result_of(variant, make_result, test=0.5))
    Store(folder).write(make_result())
    markdown, page = (path.read_text() for path in write_report(Store(folder)))
    assert "| 50 | 100.0 | 12.50 | – |" in markdown
    assert "| 50 | – | – | – (1 failed) |" in markdown
    assert "3 runs, 1 failed. Every point from seeds 0:" in markdown
    command = f"python -m benchmarks memory_curve --seeds 0 --results {tmp_path}"
    assert f"Every point from seeds 0: `{command}`" in markdown
    # Copying lacks the GRU, adding the TCN and the LSTM.
    assert f"{command} --points copying_50 adding_50 copying_100 adding_100" in markdown
    assert "| kernel size 3 | 70,369 | 50.00 |" in markdown
    assert "![How far back they remember](memory_curve.svg)" in markdown
    assert 'id="memory_curve"' in page
    for name in ("memory_curve", "ablations"):
        assert (folder / f"{name}.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_a_point_is_run_by_the_command(tmp_path, monkeypatch):
    tiny = ("data.init_args.train_size=64", "trainer.max_epochs=1", "data.init_args.length=20")
    point = dataclasses.replace(memory_curve.points()[0], overrides=tiny, drawn={}, models=("tcn",))
    monkeypatch.setattr(memory_curve, "points", lambda: [point])
    command = ["memory_curve", "--seeds", "0", "1", "--results", str(tmp_path), "--workers", "1"]
    assert main(command) == 0
    summary = summary_of(tmp_path, "memory_curve", point)
    assert len(summary.rows[0].finished) == 2


def test_the_kept_ablations_are_those_that_would_be_made_today():
    folder = ROOT / "benchmarks" / "results"
    kept = [each for of in ablations.known(folder).values() for each in of.values()]
    files = list((folder / ablations.NAME).rglob("seed*.json"))
    assert sum(len(each.results) for each in kept) == len(files) > 0
