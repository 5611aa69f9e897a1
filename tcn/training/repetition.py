"""Finds rows that a custom loader hands out twice when several processes share it.

Lightning distributes the rows of such a loader among the processes, and some of them twice, so that
each process has equally many::

    rows 0 1 2 3 4       process 0 of 2    0 2 4
                         process 1 of 2    1 3 0     this 0 has been counted
"""

from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.distributed import DistributedSamplerWrapper
from torch.utils.data import DataLoader, DistributedSampler

from tcn.training.batch import Batch

DEALERS = (DistributedSampler, DistributedSamplerWrapper)
"""Samplers that deal out the rows in turn; a custom class may do otherwise."""


def without_repetition(batch: Batch, batch_idx: int, trainer: pl.Trainer, stage: str) -> Batch:
    """The rows of a batch that no process has had before, perhaps none."""
    loader = _loader(trainer, stage)
    rows = len(batch.x)
    repeated = 0 if loader is None else _repeated(loader, batch_idx, rows)
    if not repeated:
        return batch
    lengths = None if batch.lengths is None else batch.lengths[:-repeated]
    return Batch(batch.x[:-repeated], batch.y[:-repeated], lengths)


def _loader(trainer: pl.Trainer, stage: str) -> DataLoader | None:
    fitting = trainer.fit_loop
    during_fit = trainer.state.fn == "fit"
    loop: Any = {
        "train": fitting,
        "val": fitting.epoch_loop.val_loop if during_fit else trainer.validate_loop,
        "test": trainer.test_loop,
    }[stage]
    loaders = [] if loop._combined_loader is None else loop._combined_loader.flattened
    return loaders[0] if len(loaders) == 1 and isinstance(loaders[0], DataLoader) else None


def _repeated(loader: DataLoader, batch_idx: int, rows: int) -> int:
    sampler, size = loader.sampler, loader.batch_size
    if type(sampler) not in DEALERS or size is None:
        return 0
    assert isinstance(sampler, DistributedSampler)
    end = min((batch_idx + 1) * size, sampler.num_samples)
    if rows != end - batch_idx * size:  # a collate_fn that turns the rows into something else
        return 0
    of_one_round = len(range(sampler.rank, len(sampler.dataset), sampler.num_replicas))  # type: ignore[arg-type]
    return min(max(end - of_one_round, 0), rows)
