"""An order that every process of a training follows, each for its share of every batch."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DistributedSampler, Sampler


class WholeOrder(DistributedSampler[int]):
    """The same order in every process, each of which takes its share of every batch.

    Lightning leaves samplers of this type alone. Any other it would deal out to the processes,
    which makes other batches of them, and to come out even it hands out some sequences twice.
    """

    def __init__(self, order: Sampler[Any], size: int) -> None:
        """Wraps an order.

        Args:
            order: the order, with ``set_epoch`` where it depends on the epoch.
            size: how many items it has.
        """
        super().__init__(range(size), num_replicas=1, rank=0, shuffle=False)  # type: ignore[arg-type]
        self.order = order

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)
