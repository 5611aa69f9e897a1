"""The command line, from a YAML file to files on disk, as a user runs it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning.callbacks import ModelCheckpoint

from tcn.commands.training import TCNCLI, build
from tcn.training import SeedEveryEpoch

CONFIG = """
seed_everything: 3
trainer:
  max_epochs: 2
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
model:
  class_path: tcn.training.Regression
  init_args:
    net:
      class_path: tcn.models.SequenceModel
      init_args:
        backbone:
          class_path: tcn.models.TCN
          init_args: {in_channels: 2, channels: [4], kernel_size: 2, dropout: 0.5}
        out_channels: 1
        readout: last
    optimizer:
      class_path: torch.optim.Adam
      init_args: {lr: 2.0e-3}
    lr_scheduler:
      class_path: tcn.training.OneCycle
      init_args: {max_lr: 1.0e-2}
data:
  class_path: tcn.data.AddingProblem
  init_args: {length: 10, train_size: 64, validation_size: 20, test_size: 40}
"""
# The library of this clone, for processes of their own.
# One thread, as conftest.py has it for this process: two add up in another order.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "OMP_NUM_THREADS": "1",
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about tiny epochs


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration in a folder that is also the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tcn"])
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def tcn(command: str, config: Path, *arguments: str) -> TCNCLI:
    return TCNCLI([command, "--config", str(config), *arguments])


def test_fit_writes_its_records(config: Path):
    tcn("fit", config, "--trainer.default_root_dir=here")
    folder = config.parent / "here" / "version_0"
    names = {path.name.split(".")[0] for path in folder.iterdir()}
    assert names == {"config", "metrics", "hparams", "events", "checkpoints"}
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
    ]
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert (
        saved["model"]["init_args"]["net"]["init_args"]["backbone"]["init_args"]["norm"] == "weight"
    )
    assert (saved["checkpoint"]["monitor"], saved["checkpoint"]["mode"]) == ("val_mse", "min")
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows if row["val_mse"]] == ["0", "1"]
    # The saved configuration runs as it is, into the next folder.
    tcn("fit", folder / "config.yaml")
    assert (config.parent / "here" / "version_1" / "metrics.csv").exists()


def test_best_and_last_checkpoint(config: Path):
    """The rate explodes after the first epoch, so the best is the first; the last is the last."""
    schedule = {"class_path": "torch.optim.lr_scheduler.StepLR"}
    schedule["init_args"] = {"step_size": 1, "gamma": 1e4}
    settings = yaml.safe_load(CONFIG)
    settings["model"]["init_args"]["lr_scheduler"] = schedule
    config.write_text(yaml.safe_dump(settings))
    tcn("fit", config)
    folder = config.parent / "version_0" / "checkpoints"
    best = torch.load(folder / "best.ckpt", weights_only=True)
    last = torch.load(folder / "last.ckpt", weights_only=True)
    assert (best["epoch"], last["epoch"]) == (0, 1)


def test_rare_classes_from_a_file(config: Path):
    """Weights, metrics and the one that chooses, from YAML and flags; `test` counts nothing."""
    settings = yaml.safe_load(CONFIG)
    task = settings["model"]["init_args"]
    task["net"]["init_args"] |= {"out_channels": 10}
    task["net"]["init_args"]["backbone"]["init_args"]["in_channels"] = 1
    settings["model"]["class_path"] = "Classification"
    task |= {"class_weights": "balanced", "metrics": ["f1", "confusion"]}
    settings["data"] = {"class_path": "SequentialDigits", "init_args": {"batch_size": 500}}
    config.write_text(yaml.safe_dump(settings))
    cli = tcn("fit", config, "--model.init_args.monitor=average_precision")
    folder = config.parent / "version_0"
    assert cli.trainer.checkpoint_callback.monitor == "val_average_precision"
    assert cli.trainer.checkpoint_callback.mode == "max"
    with (folder / "metrics.csv").open() as file:
        assert {"val_f1", "val_average_precision"} <= set(csv.DictReader(file).fieldnames or ())
    assert len((folder / "val_confusion.csv").read_text().splitlines()) == 1 + 2 * 10
    best = folder / "checkpoints" / "best.ckpt"
    tested = tcn("test", config, f"--ckpt_path={best}", "--model.init_args.monitor=f1")
    assert tested.model.weights.values == cli.model.weights.values
    assert tested.model.confusion["test"].sum() == len(tested.datamodule.dataset("test"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.init_args.metrics=[f_1]", "metrics: 'f_1' is not one of .* did you mean f1"),
        ("model.init_args.monitor=val_acuracy", "monitor: 'val_acuracy' .* did you mean accuracy"),
        ("model.init_args.class_weights=even", "class_weights"),
        ("model.init_args.class_weights=[1.0, -2.0]", "class_weights: .* are not weights"),
    ],
)
def test_a_wrong_metric_or_weight_is_refused_by_name(config: Path, setting: str, message: str):
    config.write_text(CONFIG.replace("tcn.training.Regression", "tcn.training.Classification"))
    with pytest.raises(ValueError, match=message):
        build(config, [setting])


@pytest.mark.parametrize(
    ("task", "setting", "expected"),
    [
        ("Classification", "class_weights=[1, 2.5]", [1.0, 2.5]),
        ("MultiLabel", "positive_weight=3", [3.0]),
        ("MultiLabel", "positive_weight=[3, 4]", [3.0, 4.0]),
        ("MultiLabel", "positive_weight=balanced", None),
    ],
)
def test_weights_are_read_from_flags(config: Path, task: str, setting: str, expected):
    config.write_text(CONFIG.replace("tcn.training.Regression", f"tcn.training.{task}"))
    cli = build(config, [f"model.init_args.{setting}", "trainer.max_epochs=1"])
    assert cli.model.weights.values == expected
    assert cli.model.weights.balanced == (expected is None)


def test_missing_targets_are_ignored_by_a_flag(config: Path):
    assert build(config, ["model.init_args.missing=ignore"]).model.missing == "ignore"
    with pytest.raises(ValueError, match="missing"):
        build(config, ["model.init_args.missing=drop"])


def test_validate_test_and_predict_read_a_checkpoint(config: Path):
    trained = tcn("fit", config)
    best = str(config.parent / "version_0" / "checkpoints" / "best.ckpt")
    score = trained.trainer.checkpoint_callback.best_model_score
    validated = tcn("validate", config, f"--ckpt_path={best}")
    assert validated.trainer.callback_metrics["val_mse"] == score
    tested = tcn("test", config, f"--ckpt_path={best}")
    assert set(tested.trainer.callback_metrics) == {"test_loss", "test_mse"}

    predicted = tcn("predict", config, f"--ckpt_path={best}")
    batches = torch.load(Path(predicted.trainer.log_dir) / "predictions.pt", weights_only=True)
    answers = torch.cat([batch.y for batch in predicted.datamodule.test_dataloader()])
    outputs = torch.cat([batch["y"] for batch in batches])
    assert outputs.shape == answers.shape == (40, 1)
    error = (outputs - answers).square().mean().item()
    assert tested.trainer.callback_metrics["test_mse"].item() == pytest.approx(error)


def test_a_killed_run_goes_on_as_if_it_had_not_been(config: Path):
    """Killed in epoch 2 of 4: weights and metrics of the resumed run equal to the bit."""
    whole = tcn("fit", config, "--trainer.max_epochs=4")
    kill = (
        "import os, sys; from tcn import commands, training\n"
        "from tcn.commands import training as cli\n"
        "class Kill(training.SeedEveryEpoch):\n"
        "    def on_train_batch_end(self, trainer, *others):\n"
        "        if trainer.global_step == 5: os._exit(9)\n"
        "cli.SeedEveryEpoch = Kill; commands.main()\n"
    )
    arguments = ["fit", f"--config={config}", "--trainer.max_epochs=4"]
    killed = subprocess.run([sys.executable, "-c", kill, *arguments], env=ENVIRONMENT)
    assert killed.returncode == 9
    last = config.parent / "version_1" / "checkpoints" / "last.ckpt"
    resumed = tcn("fit", config, "--trainer.max_epochs=4", f"--ckpt_path={last}")
    assert resumed.trainer.callback_metrics == whole.trainer.callback_metrics
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("trainer.max_epoch=3", "trainer.max_epoch"),
        ("model.init_args.net.init_args.backbone.init_args.kernle_size=3", "kernle_size"),
        ("model.init_args.net.class_path=tcn.models.Nope", "Nope"),
        ("data.init_args.lenght=3", "lenght"),
        ("data.init_args.length=long", "length"),
        ("checkpoint.moniter=val_loss", "checkpoint.moniter"),
        ("typo=1", "typo"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(config: Path, capsys, setting: str, named: str):
    with pytest.raises(ValueError, match=rf"config\.yaml: [\s\S]*{named}"):
        build(config, [setting])
    with pytest.raises(SystemExit):
        tcn("fit", config, f"--{setting}")
    assert named in capsys.readouterr().err


def test_a_wrong_key_in_the_file_is_refused_by_name(config: Path):
    config.write_text(CONFIG.replace("readout: last", "raedout: last"))
    with pytest.raises(ValueError, match=r"config\.yaml: [\s\S]*'raedout' is not accepted"):
        build(config)
    config.write_text(CONFIG + "\nextra: 1\n")
    with pytest.raises(ValueError, match=r"config\.yaml: [\s\S]*extra"):
        build(config)


def test_a_wrong_value_says_what_is_wrong(config: Path):
    with pytest.raises(ValueError, match=r"max_lr is 0\.0: give a learning rate above 0"):
        build(config, ["model.init_args.lr_scheduler.init_args.max_lr=0"])
    with pytest.raises(ValueError, match=r"override 'trainer' is not key=value; write"):
        build(config, ["trainer"])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.init_args.length=1", "length"),
        ("model.init_args.net.init_args.backbone.init_args.dropout=2", "dropout"),
        ("model.init_args.lr_scheduler.init_args.max_lr=0", "max_lr is 0.0"),
    ],
)
def test_what_a_constructor_refuses_is_the_whole_message(config: Path, setting: str, words: str):
    """It stood in the middle of what the parser had tried, which ended with the configuration."""
    with pytest.raises((ValueError, TypeError), match=rf"^{words}") as refused:
        build(config, [setting])
    assert "Given value" not in str(refused.value)
    with pytest.raises((ValueError, TypeError), match=rf"^{words}"):
        tcn("fit", config, f"--{setting}")


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_every_command_reads_the_file_of_any_other(config: Path, capsys, command: str):
    """Such a file names what only one of them takes; `build` reads it too, and runs nothing."""
    config.write_text(
        f"{CONFIG}\nckpt_path: null\nweights_only: null\nverbose: true\nreturn_predictions: null\n"
    )
    with pytest.raises(SystemExit) as stopped:
        tcn(command, config, "--print_config")
    assert not stopped.value.code
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["max_epochs"] == 2
    if command == "fit":
        assert build(config).trainer.max_epochs == 2


def callbacks(cli: TCNCLI, kind: type) -> list:
    return [callback for callback in cli.trainer.callbacks if isinstance(callback, kind)]


def test_build_gives_a_program_the_parts_and_runs_nothing(config: Path):
    before = sorted(config.parent.iterdir())
    cli = build(config, ["trainer.max_epochs=7", "--data.init_args.batch_size=5"])
    assert cli.trainer.max_epochs == 7
    assert cli.datamodule.batch_size == 5
    assert cli.model.net.backbone.in_channels == 2
    assert sorted(config.parent.iterdir()) == before


def test_seed(config: Path):
    def weights(*overrides: str) -> torch.Tensor:
        return build(config, overrides).model.net.head.weight

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(), weights("seed_everything=4"))
    (seeding,) = callbacks(build(config, ["seed_everything=4"]), SeedEveryEpoch)
    assert seeding.seed == 4
    assert callbacks(build(config, ["seed_everything=false"]), SeedEveryEpoch) == []


def test_checkpoint_settings_can_be_given(config: Path):
    cli = build(config, ["checkpoint.monitor=val_loss", "checkpoint.save_top_k=2"])
    best, last = callbacks(cli, ModelCheckpoint)
    assert (best.monitor, best.save_top_k, last.monitor) == ("val_loss", 2, None)
    with pytest.raises(
        ValueError, match=r"checkpoint.mode: 'max' would keep the worst val_mse; add"
    ):
        build(config, ["checkpoint.monitor=val_mse", "checkpoint.mode=max"])
    assert callbacks(build(config, ["trainer.enable_checkpointing=false"]), ModelCheckpoint) == []
    assert build(config, ["trainer.logger=false"]).trainer.loggers == []


def test_the_console_script_knows_short_class_names(config: Path):
    """In a process of its own, where nothing else has imported the classes."""
    config.write_text(CONFIG.replace("tcn.models.", "").replace("tcn.data.", ""))
    run = subprocess.run(
        [sys.executable, "-m", "tcn", "fit", "--print_config", f"--config={config}"],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    printed = yaml.safe_load(run.stdout)
    assert printed["trainer"]["max_epochs"] == 2
    assert printed["data"]["class_path"] == "tcn.data.AddingProblem"
