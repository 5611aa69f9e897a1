"""Any task on any data, from a YAML file: behind ``tcn fit`` and its like, and for programs."""

from tcn.extras import need

need("tcn.commands.training", "training", "jsonargparse", "pytorch_lightning", "torchmetrics")

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jsonargparse import SUPPRESS, ArgumentError, ArgumentParser, Namespace
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from typing_extensions import override

# Imported for their names: `class_path: tcn.models.TCN` and, shorter, `class_path: TCN`.
from tcn import data, models  # noqa: F401
from tcn.commands.names import split_override
from tcn.commands.parsing import TrainingParser
from tcn.training import BestCheckpoint, SeedEveryEpoch, Task

WHEN_RUN = ("ckpt_path", "weights_only", "verbose", "return_predictions")
"""What fit, validate, test and predict take in addition to the parts; each takes only some."""


NO_SUBTYPE = "Does not validate against any of the Union subtypes"
"""How jsonargparse begins its answer where a part can be absent; its cause is the real one."""


class TCNCLI(LightningCLI):
    """Any task on any data, from a YAML file.

    Besides the groups of LightningCLI there is ``checkpoint``, the arguments of ``BestCheckpoint``
    for the best checkpoint; its metric is the task's own unless given. A run writes
    ``<trainer.default_root_dir>/version_<n>/``: the configuration, ``metrics.csv``, the event file
    of TensorBoard, ``checkpoints/best.ckpt`` and ``checkpoints/last.ckpt``, from which
    ``--ckpt_path`` continues; ``predict`` adds ``predictions.pt``.
    """

    def __init__(self, args: Sequence[str] | None = None, *, run: bool = True) -> None:
        # Otherwise --trainer.max_epoch is taken for --trainer.max_epochs, but not in a file.
        strict: dict[str, Any] = {"allow_abbrev": False}
        per_command = dict.fromkeys(self.subcommands(), strict)
        self._runs = run
        super().__init__(
            Task,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=1111,  # the authors' default
            save_config_kwargs={"overwrite": True},
            parser_class=TrainingParser,
            parser_kwargs=strict
            | {"prog": "tcn"}
            | (per_command if run else {"exit_on_error": False}),
            auto_configure_optimizers=False,
            # The configuration is next to the log: a checkpoint need not name code to be run.
            load_from_checkpoint_support=False,
            args=None if args is None else list(args),
            run=run,
        )

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(BestCheckpoint, "checkpoint", instantiate=False)
        parser.set_defaults({"checkpoint.filename": "best", "checkpoint.mode": "min"})
        parser.set_defaults({"checkpoint.enable_version_counter": False})
        if not self._runs:
            _accept_when_run(parser)

    @override
    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        _accept_when_run(parser)
        return parser

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        with warnings.catch_warnings():
            # Lightning warns when a program has its own command line.
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
            super().parse_arguments(parser, args)

    @override
    def instantiate_classes(self) -> None:
        """Builds the parts; what a constructor refuses is told in its own words."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            said: BaseException = error
            # jsonargparse wraps it in all that it tried, and ends with the whole configuration.
            while str(said).startswith(NO_SUBTYPE) and said.__cause__ is not None:
                said = said.__cause__
            if said is error:
                raise
            raise said from None

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
        known = self.model.modes.get(str(arguments.monitor).removeprefix("val_"))
        if known is not None and known != arguments.mode:
            raise ValueError(
                f"checkpoint.mode: {arguments.mode!r} would keep the worst {arguments.monitor}; "
                f"add --checkpoint.mode={known}"
            )
        # Not save_last: it only writes when the best checkpoint is written too.
        last = ModelCheckpoint(arguments.dirpath, "last", enable_version_counter=False)
        return [BestCheckpoint(**arguments.as_dict()), last]


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
    flags = [f"--{key}={value}" for key, value in map(split_override, overrides)]
    try:
        return TCNCLI(["--config", str(config_path), *flags], run=False)
    except ArgumentError as error:
        said = " ".join(str(error).split())  # several lines, of which a log shows the last
        raise ValueError(f"{config_path}: {said}") from error


def _loggers(root: str | None) -> list[Logger]:
    """A table and event files in one numbered folder."""
    table = CSVLogger(root or ".", name=None)
    return [table, TensorBoardLogger(root or ".", name=None, version=table.version)]


def _accept_when_run(parser: ArgumentParser) -> None:
    """Every command reads the file that any other wrote, and leaves what is not for it."""
    for name in WHEN_RUN:
        if f"--{name}" not in parser._option_string_actions:
            parser.add_argument(f"--{name}", type=Any, default=SUPPRESS, help=SUPPRESS)
