"""Random numbers that depend on a seed, or on the epoch, not on what happened before."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from typing_extensions import override

_ALONE = RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of PyTorch from a seed, and afterwards as if none had been drawn.

    The generators belong to the whole process: another thread that comes here waits.
    """
    with _ALONE, torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(seed)
        yield


class SeedEveryEpoch(pl.Callback):
    """Seeds PyTorch (all devices), NumPy and Python from ``(seed, epoch, rank)`` in every epoch.

    A run resumed from the checkpoint of an epoch then draws the same dropout masks as one that
    was never stopped. The order of the batches must be a function of the epoch as well: give the
    data loader a sampler with ``set_epoch`` rather than ``shuffle=True``.
    """

    def __init__(self, seed: int) -> None:
        """Checks and keeps the seed.

        Args:
            seed: seed of the run, 0 or more.

        Raises:
            ValueError: ``seed`` is negative.
        """
        if seed < 0:
            raise ValueError(f"seed is {seed}: give 0 or more")
        self.seed = seed

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Not on_train_epoch_start: making the loader's iterator draws a number, and it is made
        # after that hook in a running epoch but before it in the first epoch after a resume.
        if batch_idx == 0:
            entropy = np.random.SeedSequence(
                (self.seed, trainer.current_epoch, trainer.global_rank)
            )
            seed = int(entropy.generate_state(1)[0])
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002 (for code that draws from NumPy's global generator)
            torch.manual_seed(seed)
