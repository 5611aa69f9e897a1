"""Training in several processes that gives the same numbers as in one.

The batch of a step is cut into as many shares as there are processes. ``batch_size`` is the size
of the whole batch, so neither the order of the sequences nor the content of a step depends on which
process computes which part, and a run can be resumed on any number of processes::

    order of an epoch, from (seed, epoch)    7 2 9 4 | 0 5 1 8 | 3
    process 0 of 2                           7 2     | 0 5     | 3
    process 1 of 2                               9 4 |     1 8 |

A share may be empty, as here: the last batch can have fewer sequences than there are processes.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

Item = TypeVar("Item")
Rows = TypeVar("Rows", bound=tuple[Any, ...])


def is_shared() -> bool:
    """Whether ``torch.distributed`` is set up, even for a single process."""
    return distributed.is_available() and distributed.is_initialized()


def process_count() -> int:
    """The number of processes that train together, 1 or more."""
    return distributed.get_world_size() if is_shared() else 1


def process_index() -> int:
    """The index of this process among them, from 0."""
    return distributed.get_rank() if is_shared() else 0


def summed(tensor: Tensor) -> Tensor:
    """The sum of ``tensor`` over all processes, all of which must call this."""
    if process_count() == 1:
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total)
    return total


def gathered(value: Item) -> list[Item]:
    """The values of all processes, in their order; each value is small and all must call this."""
    values = [value] * process_count()
    if len(values) > 1:
        distributed.all_gather_object(values, value)
    return values


def share(batch: Rows, *, index: int, count: int) -> Rows:
    """The rows of a batch that process ``index`` of ``count`` computes: adjacent, perhaps none.

    Batches whose rows continue those of the previous batch may be shared too: as long as all have
    the same number of rows, each row stays in the process that holds its state.

    Args:
        batch: a named tuple of tensors with rows along the first axis, or ``None``.
        index: from 0.
        count: shares to cut the batch into; their sizes differ by at most one.
    """
    parts = (None if part is None else part.tensor_split(count)[index] for part in batch)
    kind: Any = type(batch)
    mine: Rows = kind(*parts)
    return mine


def row_of_zeros(tensor: Tensor) -> Tensor:
    """One row of zeros, shaped and typed like the rows of ``tensor``, which has none."""
    return torch.zeros(1, *tensor.shape[1:], dtype=tensor.dtype, device=tensor.device)


def shared(loss: Tensor, weight: float, complaint: str | None) -> tuple[Tensor, float, str | None]:
    """The loss of a share, scaled for the mean over the processes; the weight of the whole batch.

    Gradients are averaged over the processes, and so is what they log: the mean of the scaled
    losses is the mean over everything in the batch. If one process complains, all do: that process
    stops, and the others would wait for it.
    """
    facts = torch.tensor([weight, complaint is not None], dtype=torch.float64, device=loss.device)
    everything, wrong = summed(facts).tolist()
    if wrong:
        complaint = next(filter(None, gathered(complaint)))
    # A count stays an int: Lightning adds ints up exactly.
    total = int(everything) if isinstance(weight, int) else everything
    return loss * (weight * process_count() / (total or 1)), total, complaint
