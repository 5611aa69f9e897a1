"""What is done when memory runs out: batches of forecasts in halves, a training with a cure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tcn.forecasting.windows.batch import WindowBatch

logger = logging.getLogger(__name__)

T = TypeVar("T")


def by_halves(compute: Callable[[WindowBatch], T], batch: WindowBatch) -> list[T]:
    """What ``compute`` returns for a batch, in as many parts as memory asks for.

    Raises:
        MemoryError: a single window is too much.
    """
    count = len(batch.target)
    try:
        return [compute(batch)]
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        if count == 1:
            raise MemoryError(
                "one window alone does not fit into the memory of the device; use a narrower net, "
                "a shorter input_size or another accelerator"
            ) from error
    # Here the error is gone, and with it what its frames held on to.
    logger.warning("out of memory with %d windows at once: going on with %d", count, count // 2)
    halves = [slice(count // 2), slice(count // 2, None)]
    parts = [batch.rows(half) for half in halves]
    return [found for part in parts for found in by_halves(compute, part)]


@contextmanager
def training_in_memory(batch_size: int) -> Iterator[None]:
    """A context in which training that runs out of memory says what to change.

    Raises:
        MemoryError: naming the size of the batches.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryError(
            f"batch_size: {batch_size} windows do not fit into the memory of the device in "
            f"training; give fewer, such as {max(1, batch_size // 2)}, or a narrower net"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    from pytorch_lightning.utilities.memory import is_oom_error

    return isinstance(error, MemoryError) or is_oom_error(error)
