"""The net of a training run, or of a folder that ``save_pretrained`` wrote, and its sample rate."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tcn.layers import SequenceModule

if TYPE_CHECKING:
    from tcn.commands.training import TCNCLI

BEST, LAST = "best.ckpt", "last.ckpt"


class Trained(NamedTuple):
    """What makes sound.

    Attributes:
        net: in evaluation mode; it has ``ahead()`` and an ``output``.
        sample_rate: in Hz.
    """

    net: Any
    sample_rate: int


def load_trained(place: str, sample_rate: int | None) -> Trained:
    """The net of a folder or of a ``.ckpt`` file.

    Args:
        place: a folder of ``save_pretrained``; the folder of a run of ``tcn fit``, of which the
            latest version is taken, or of one version; or a checkpoint in it.
        sample_rate: in Hz; None for that of the run's data.

    Raises:
        ValueError: there is no net there, it does not generate, or the sample rate is not known or
            another one.
    """
    from tcn.audio.resampling import HIGHEST

    path = Path(place)
    if path.is_dir() and (path / "config.json").is_file():
        from tcn.inference.pretrained import from_pretrained

        net, known = from_pretrained(path), None
    else:
        net, known = _of_run(path)
    if not hasattr(net, "ahead") or getattr(net, "output", None) is None:
        raise ValueError(
            f"checkpoint: {place} holds a {type(net).__name__}, which does not say what sample "
            "comes next; train a tcn.models.WaveNet"
        )
    if known and sample_rate not in (None, known):
        raise ValueError(f"sample_rate: {sample_rate}, but the net was trained at {known} Hz")
    rate = known or sample_rate
    if rate is not None and rate > HIGHEST:
        raise ValueError(f"sample_rate: {rate} is above {HIGHEST}; give Hz, such as 16000")
    if rate is None or rate < 1:
        raise ValueError(f"sample_rate: {rate}; give --sample_rate, in Hz: the net does not say it")
    return Trained(net.eval(), rate)


def _of_run(path: Path) -> tuple[SequenceModule, int | None]:
    """The net of a training run, and the sample rate of its data."""
    built, _ = built_of_run(path)
    net: SequenceModule = built.model.net
    return net, getattr(built.datamodule, "sample_rate", None)


def built_of_run(path: Path) -> tuple[TCNCLI, Path]:
    """Task and data of a training run, with the weights of the checkpoint that is returned too.

    Args:
        path: the folder of a run, of one of its versions, or a checkpoint in it.

    Raises:
        ValueError: there is no run, or its configuration does not build what was trained.
    """
    config, checkpoint = files_of(path)
    from tcn.commands.training import build
    from tcn.inference.pretrained import load_checkpoint

    quiet = ["trainer.accelerator=cpu", "trainer.logger=false"]
    with _without_remarks():
        built = build(config, [*quiet, "trainer.enable_checkpointing=false"])
    load_checkpoint(built.model.net, checkpoint)  # in place
    return built, checkpoint


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Without a word of Lightning's on GPUs and seeds."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def files_of(path: Path) -> tuple[Path, Path]:
    """The configuration and the checkpoint of a run."""
    if path.is_file():
        return _there(path.parent.parent / "config.yaml", path), path
    versions = [each for each in path.glob("version_*") if (each / "config.yaml").is_file()]
    if not (path / "config.yaml").is_file() and versions:
        path = max(versions, key=_number)
    config = _there(path / "config.yaml", path)
    best = path / "checkpoints" / BEST
    return config, best if best.is_file() else _there(path / "checkpoints" / LAST, path)


def _number(version: Path) -> int:
    digits = version.name.removeprefix("version_")
    return int(digits) if digits.isdigit() else -1


def _there(file: Path, place: Path) -> Path:
    if not file.is_file():
        raise ValueError(
            f"checkpoint: {place} has no {file.name} at {file}; give the folder of a run of `tcn "
            "fit`, or one that save_pretrained wrote"
        )
    return file
