"""Indices that say where they come in training, so that random changes follow from them alone."""

from collections.abc import Iterator
from typing import NamedTuple

from torch.utils.data import Sampler
from typing_extensions import override

from tcn.data.loading import EpochShuffle, SequenceDataModule


class Place(NamedTuple):
    """An item and where it comes in training, which decides how it is changed."""

    item: int
    epoch: int
    position: int


class PlacedOrder(Sampler[Place]):
    """The order of an ``EpochShuffle``, saying the epoch and the position of each item.

    What an item is changed by travels with its index: a worker that lives for many epochs, or
    works ahead, needs to be told nothing.
    """

    def __init__(self, order: EpochShuffle) -> None:
        self.order = order

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.order)

    @override
    def __iter__(self) -> Iterator[Place]:
        for position, item in enumerate(self.order):
            yield Place(item, self.order.epoch, position)


class PlacedDataModule(SequenceDataModule):
    """A data module whose training items follow from where they come, too."""

    @override
    def training_order(self, size: int) -> Sampler[Place]:
        return PlacedOrder(EpochShuffle(size, self.seed))
