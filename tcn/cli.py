"""The command line.

tcn fit|validate|test|predict --config configs/<task>/<model>.yaml
tcn export [FOLDER] FILE [--config CONFIG --ckpt_path CHECKPOINT]
tcn forecast --config configs/forecasting/<name>.yaml --data FILE
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, Namespace
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from typing_extensions import override

# Imported for their names: `class_path: tcn.models.TCN` and, shorter, `class_path: TCN`.
from tcn import data, models  # noqa: F401
from tcn.inference.export import export
from tcn.inference.pretrained import from_pretrained, load_checkpoint
from tcn.training import SeedEveryEpoch, Task


class TCNCLI(LightningCLI):
    """Any task on any data, from a YAML file.

    Beside the groups of LightningCLI there is ``checkpoint``, the arguments of ``ModelCheckpoint``
    for the best checkpoint; its metric is the task's own unless given. A run writes
    ``<trainer.default_root_dir>/version_<n>/``: the configuration, ``metrics.csv``, the event file
    of TensorBoard, ``checkpoints/best.ckpt`` and ``checkpoints/last.ckpt``, from which
    ``--ckpt_path`` continues; ``predict`` adds ``predictions.pt``.
    """

    def __init__(self, args: Sequence[str] | None = None, *, run: bool = True) -> None:
        # Otherwise --trainer.max_epoch is taken for --trainer.max_epochs, but not in a file.
        strict: dict[str, Any] = {"allow_abbrev": False}
        per_command = dict.fromkeys(self.subcommands(), strict)
        epilog = (
            "A trained net becomes a file by `tcn export`, and a table its forecasts by "
            "`tcn forecast`: see `tcn export --help` and `tcn forecast --help`."
        )
        super().__init__(
            Task,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=1111,  # the authors' default
            save_config_kwargs={"overwrite": True},
            parser_kwargs=strict
            | {"epilog": epilog}
            | (per_command if run else {"exit_on_error": False}),
            auto_configure_optimizers=False,
            # The configuration stands beside the log: a checkpoint need not name code to be run.
            load_from_checkpoint_support=False,
            args=None if args is None else list(args),
            run=run,
        )

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(ModelCheckpoint, "checkpoint", instantiate=False)
        parser.set_defaults({"checkpoint.filename": "best", "checkpoint.mode": "min"})
        parser.set_defaults({"checkpoint.enable_version_counter": False})

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self._get(self.config, "trainer")
        if settings.logger in (None, True):
            kwargs["logger"] = _loggers(settings.default_root_dir)
        seed = self._get(self.config, "seed_everything")
        callbacks: list[Callback] = [] if seed is False else [SeedEveryEpoch(seed)]
        if settings.enable_checkpointing is not False:
            callbacks += self._checkpoints(self._get(self.config, "checkpoint"))
        self.trainer_defaults["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)

    def predict(self, **arguments: Any) -> None:
        """Predicts, and saves a list of ``{"y": ..., "lengths": ...}``, one for each batch."""
        predictions: Any = self.trainer.predict(**arguments)
        path = Path(self.trainer.log_dir or ".") / "predictions.pt"
        torch.save([prediction._asdict() for prediction in predictions], path)
        print(f"predictions of {len(predictions)} batches are in {path}")

    def _checkpoints(self, arguments: Namespace) -> list[Callback]:
        if arguments.monitor is None:
            arguments.monitor, arguments.mode = self.model.monitor
        # Not save_last: it only writes when the best checkpoint is written too.
        last = ModelCheckpoint(arguments.dirpath, "last", enable_version_counter=False)
        return [ModelCheckpoint(**arguments.as_dict()), last]


def build(config_path: str | PathLike[str], overrides: Sequence[str] = ()) -> TCNCLI:
    """Task, data and trainer of a configuration, for programs: nothing is run.

    Args:
        config_path: a YAML file.
        overrides: such as ``"trainer.max_epochs=3"``, later ones win.

    Returns:
        The built objects, in the attributes ``model``, ``datamodule`` and ``trainer``.

    Raises:
        ValueError: the configuration or an override is wrong; the message names the key.
    """
    for setting in overrides:
        if "=" not in setting:
            raise ValueError(f"override {setting!r} has no '=': write 'trainer.max_epochs=3'")
    flags = [f"--{setting.removeprefix('--')}" for setting in overrides]
    with warnings.catch_warnings():
        # Lightning warns when a program has a command line of its own.
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
        try:
            return TCNCLI(["--config", str(config_path), *flags], run=False)
        except ArgumentError as error:
            said = " ".join(str(error).split())  # several lines, of which a log shows the last
            raise ValueError(f"{config_path}: {said}") from error


def export_command(arguments: Sequence[str]) -> None:
    """``tcn export``: writes the net of a folder, or of a configuration, to a file."""
    parser = argparse.ArgumentParser(
        prog="tcn export",
        usage="%(prog)s [FOLDER] FILE [--config CONFIG --ckpt_path CHECKPOINT] [--streaming]",
        description="Writes a net to an ONNX (.onnx) or torch.export (.pt2) file for every batch "
        "size and length. The file is run and compared with the net before it is called done.",
        epilog="Either `tcn export FOLDER model.onnx`, or `tcn export --config "
        "configs/digits/tcn.yaml --ckpt_path runs/digits/tcn/version_0/checkpoints/best.ckpt "
        "--output model.onnx`.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="FOLDER FILE",
        help="a folder that save_pretrained wrote, and the file to write",
    )
    parser.add_argument("--config", help="the YAML file that the net was trained with")
    parser.add_argument("--ckpt_path", help="its checkpoint; read without running code in it")
    parser.add_argument("--output", help="the file to write, if not the last argument")
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="take a chunk and a state and give the next state, instead of whole sequences",
    )
    given = parser.parse_args(arguments)
    paths = given.paths + ([] if given.output is None else [given.output])
    configured = given.config is not None and given.ckpt_path is not None
    halfway = not configured and (given.config is not None or given.ckpt_path is not None)
    if halfway or len(paths) != (1 if configured else 2):
        parser.error("expected FOLDER and FILE, or --config, --ckpt_path and FILE")
    try:
        net = _trained(given.config, given.ckpt_path) if configured else _saved(paths[0])
        path = export(net, paths[-1], streaming=given.streaming)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        parser.exit(1, f"tcn export: {error}\n")
    print(f"{path}: {path.stat().st_size:,} bytes; its outputs are those of the net")


def _trained(config: str, checkpoint: str) -> Any:
    task = build(config, ["trainer.accelerator=cpu"]).model
    return load_checkpoint(task.net, checkpoint)


def _saved(folder: str) -> Any:
    if not Path(folder).is_dir():
        raise ValueError(f"FOLDER: {folder!r} is no folder; save_pretrained writes one")
    return from_pretrained(folder)


def main() -> None:
    """The console script ``tcn``."""
    if sys.argv[1:2] == ["export"]:  # needs neither task nor trainer, so it is none of LightningCLI
        export_command(sys.argv[2:])
    elif sys.argv[1:2] == ["forecast"]:
        from tcn.forecasting.command import forecast_command  # pandas, for this command alone

        forecast_command(sys.argv[2:])
    else:
        TCNCLI()


def _loggers(root: str | None) -> list[Logger]:
    """A table and event files in one numbered folder."""
    table = CSVLogger(root or ".", name=None)
    return [table, TensorBoardLogger(root or ".", name=None, version=table.version)]


if __name__ == "__main__":
    main()
