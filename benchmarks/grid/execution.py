"""Trains and tests one run and describes it as a ``Result``."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.cli import SaveConfigCallback

from benchmarks.grid.makers import Circumstances
from benchmarks.grid.provenance import origin, peak_memory
from benchmarks.grid.recipes import Recipe
from benchmarks.grid.recorder import Recorder
from benchmarks.grid.results import Result
from benchmarks.grid.runs import CONFIGS, Run
from tcn.commands.training import build

QUIET = (
    "trainer.logger=false",
    "trainer.enable_progress_bar=false",
    "trainer.enable_model_summary=false",
)


def execute(run: Run, recipe: Recipe, work: Path, around: Circumstances) -> Result:
    """Trains, tests once with the weights of the best validation epoch, and returns the result.

    Trials of a search and runs stopped by their time limit are not tested, and nothing of their
    test set is made or read.
    """
    torch.set_num_threads(around.threads)
    # Lightning would finish the batch and raise; the checkpoints are whole at any moment anyway.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    cli = build(run.config, [*QUIET, *recipe.overrides, f"seed_everything={run.seed}"])
    if cli.trainer.world_size > 1:
        raise ValueError(
            f"trainer: {cli.trainer.world_size} processes for one run; the grid makes one run in "
            "one process and many at a time (--workers, --ray): use `tcn fit` for a run in several"
        )
    metric, mode = selection(cli.trainer, cli.model)
    recorder = Recorder(work, metric=metric, mode=mode, minutes=around.minutes)
    prepare_trainer(cli.trainer, recorder)
    result = _begin(run, recipe, around, resolved_config(cli))
    result.selection = {"metric": metric, "mode": mode}
    try:
        _fit_and_test(cli, recorder, result)
    except ValueError as error:
        if not is_divergence(error):
            raise
        result.status, result.reason = "failed", str(error)
    _describe(cli, recorder, result)
    return result


def prepare_trainer(trainer: pl.Trainer, recorder: Recorder) -> None:
    """Puts ``recorder`` last among the callbacks.

    ModelCheckpoint is removed: a kill can corrupt its files, and with the recorder everything would
    be written twice. The callback that saves the config, which the result contains, is removed too:
    without a logger it writes into the current folder, each seed over the one before.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    writers = (pl.callbacks.ModelCheckpoint, SaveConfigCallback)
    kept = [each for each in callbacks if not isinstance(each, writers)]
    trainer.callbacks = [*kept, recorder]  # type: ignore[attr-defined]


def _begin(run: Run, recipe: Recipe, around: Circumstances, config: dict[str, Any]) -> Result:
    return Result(
        task=run.task,
        model=run.model,
        seed=run.seed,
        status="finished",
        config_file=run.config.relative_to(CONFIGS.parent).as_posix(),
        config_sha256=recipe.config_sha256,
        overrides=list(recipe.overrides),
        config=config,
        settings=run.settings,
        **origin(around.command, around.threads, workers=around.workers),
    )


def _fit_and_test(cli: Any, recorder: Recorder, result: Result) -> None:
    if not recorder.finished:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    if recorder.paused:
        result.status, result.reason = "unfinished", recorder.paused
    if not recorder.best_epoch:
        raise ValueError(
            f"no epoch was trained: trainer.max_epochs is {cli.trainer.max_epochs}, max_steps "
            f"{cli.trainer.max_steps}, limit_train_batches {cli.trainer.limit_train_batches}; "
            "none of them may be 0"
        )
    if recorder.paused or result.run.is_trial:
        return
    cli.model.load_state_dict(recorder.best_weights())
    (tested,) = cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    result.test = {name: float(value) for name, value in tested.items()}


def is_divergence(error: ValueError) -> bool:
    """Whether training stopped because the loss was not finite."""
    return re.match(r"training loss is -?(nan|inf)\b", str(error)) is not None


def _describe(cli: Any, recorder: Recorder, result: Result) -> None:
    """Fills in what is known after the fit, whether or not it diverged."""
    result.parameters = sum(p.numel() for p in cli.model.parameters() if p.requires_grad)
    net = getattr(cli.model, "net", None)
    result.receptive_field = _first(net, "receptive_field", getattr(net, "backbone", None))
    if not (result.run.is_trial or result.status == "unfinished"):  # it covers the test set too
        result.data_fingerprint = getattr(cli.datamodule, "fingerprint", None)
    permutation = getattr(cli.datamodule, "permutation_hash", None)
    if permutation is not None:
        result.notes.append(f"pixel permutation: sha256 {permutation}")
    result.history = recorder.history
    if recorder.best_epoch:
        result.best = {"epoch": recorder.best_epoch, "value": recorder.best.value}
    if recorder.history:
        result.steps = int(recorder.history[-1]["step"] or 0)
        result.wall_seconds = float(recorder.history[-1]["seconds"] or 0.0)
        result.steps_per_second = result.steps / max(recorder.training_seconds, 1e-9)
    result.budget = _budget(cli.trainer, recorder, result)
    result.resumed = recorder.resumed
    result.peak_memory = peak_memory()
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        result.gpu_peak_memory = torch.cuda.max_memory_allocated()


def _budget(trainer: pl.Trainer, recorder: Recorder, result: Result) -> dict[str, Any]:
    """The ``budget`` of a result; see ``Result``."""
    planned, done = recorder.planned_steps, max(result.steps, trainer.global_step)
    by_steps = planned == trainer.max_steps
    limit = ("max_steps", trainer.max_steps) if by_steps else ("max_epochs", trainer.max_epochs)
    stopped = {"failed": "divergence", "unfinished": "time"}
    ended = "budget" if done == planned else "early stop"
    return {
        "limit": f"trainer.{limit[0]}={limit[1]}",
        "steps": planned,
        "steps_done": done,
        "ended": stopped.get(result.status, ended),
    }


def _first(net: Any, name: str, inner: Any) -> int | None:
    value = getattr(net, name, None) or getattr(inner, name, None)
    return int(value) if isinstance(value, int) else None


def selection(trainer: Any, module: Any) -> tuple[str, str]:
    """Metric and mode (``"min"`` or ``"max"``) that choose the best epoch: those of the config's
    ModelCheckpoint, or else the task's own.
    """
    for callback in trainer.callbacks:
        if isinstance(callback, pl.callbacks.ModelCheckpoint) and callback.monitor:
            return callback.monitor, callback.mode
    metric, mode = module.monitor
    return metric, mode


def resolved_config(cli: Any) -> dict[str, Any]:
    """Every setting of the run, defaults included."""
    # By position: the argument that keeps unset values differs in name between versions.
    config: dict[str, Any] = yaml.safe_load(cli.parser.dump(cli.config, "parser_mode", False))
    return config
