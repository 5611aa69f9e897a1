"""Checkpoints that a kill at any moment cannot corrupt, and a resume that changes no number."""

import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.grid.files import write_atomically

_NAME = re.compile(r"(?P<kind>epoch|best)-(?P<epoch>\d+)-(?P<digest>[0-9a-f]{16})\.ckpt")


def save(folder: Path, kind: str, epoch: int, content: dict[str, Any]) -> None:
    """Writes ``content``; the file's name holds its digest, so that damage to the file is noticed.

    ``content`` consists of values that ``torch`` can pickle. ``kind`` is ``"epoch"`` or ``"best"``.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    write_atomically(folder / f"{kind}-{epoch:05d}-{_digest(data)}.ckpt", data)


def intact(folder: Path, kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Epoch and content of the checkpoints that still match their names, newest first."""
    for epoch, path in sorted(_listing(folder, kind), reverse=True):
        data = path.read_bytes()
        if path.name.endswith(f"-{_digest(data)}.ckpt"):
            yield epoch, torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def prune(folder: Path, kind: str, keep: int) -> None:
    """Removes all but the ``keep`` newest; if the newest is damaged, the one before replaces it."""
    for _, path in sorted(_listing(folder, kind))[:-keep]:
        path.unlink(missing_ok=True)


def discard_after(folder: Path, epoch: int) -> None:
    """Removes checkpoints of later epochs, which a run resumed from ``epoch`` makes again."""
    for kind in ("epoch", "best"):
        for number, path in _listing(folder, kind):
            if number > epoch:
                path.unlink(missing_ok=True)


def _listing(folder: Path, kind: str) -> list[tuple[int, Path]]:
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.glob(f"{kind}-*.ckpt"))
    return [(int(match["epoch"]), path) for match, path in matches if match]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def training_state(trainer: pl.Trainer, epochs: int) -> dict[str, Any]:
    """Everything in the trainer that training after ``epochs`` whole epochs depends on."""
    return {
        "epochs": epochs,
        "step": trainer.global_step,
        "module": trainer.lightning_module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedulers": [each.scheduler.state_dict() for each in trainer.lr_scheduler_configs],
        "precision": trainer.precision_plugin.state_dict(),
        "callbacks": {
            callback.state_key: state
            for callback in _callbacks(trainer)
            if (state := callback.state_dict())
        },
    }


def restore(trainer: pl.Trainer, state: dict[str, Any]) -> None:
    """Puts a trainer that is about to fit into the state that ``training_state`` recorded.

    Not through ``fit(ckpt_path=...)``: Lightning writes checkpoints before it steps the epoch's
    learning-rate schedulers and does not step a plateau scheduler when it resumes. It also takes a
    checkpoint from the start of an epoch for a finished epoch. Either changes the numbers.
    """
    trainer.lightning_module.load_state_dict(state["module"])
    for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    for config, saved in zip(trainer.lr_scheduler_configs, state["schedulers"], strict=True):
        config.scheduler.load_state_dict(saved)
    if state.get("precision"):  # a scaler of gradients, under 16-mixed
        trainer.precision_plugin.load_state_dict(state["precision"])
    for callback in _callbacks(trainer):
        if callback.state_key in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][callback.state_key])
    progress = trainer.fit_loop.epoch_progress
    counts: list[Any] = [progress.total, progress.current]
    for count in counts:
        count.ready = count.started = count.processed = count.completed = state["epochs"]
    loop = trainer.fit_loop.epoch_loop
    stepped = loop.automatic_optimization.optim_progress.optimizer.step.total
    stepped.ready = stepped.completed = loop._batches_that_stepped = state["step"]


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks
