"""From sequences in memory to batches, in an order that only the seed and the epoch decide.

A batch is cut out of whole tensors by one index operation, not collected item by item in Python:
about 0.1 ms for 32 sequences of 600 steps, so worker processes would only cost.
"""

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from tcn.data.whole_order import WholeOrder
from tcn.layers.validation import is_integer
from tcn.training.batch import Batch
from tcn.training.processes import is_shared, process_count, process_index, share

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_SPLITS_OF_STAGE: dict[str | None, tuple[Split, ...]] = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": ("test",),
    None: SPLITS,
}


def derived_generator(*key: int | str) -> torch.Generator:
    """A separate random generator for every key, such as ``(seed, "validation")``.

    The key is hashed: streams of neighboring seeds or epochs have nothing in common, and the
    global generator is neither read nor moved.
    """
    digest = hashlib.sha256(":".join(str(part) for part in key).encode()).digest()
    # PyTorch's CPU generator looks at 32 bits of a seed and ignores the rest.
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def check_at_least(name: str, value: int, minimum: int) -> None:
    """Refuse a setting that is not a whole number of at least ``minimum``.

    Raises:
        TypeError: ``value`` is not an int.
        ValueError: ``value`` is too small.
    """
    if not is_integer(value):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")


class SequenceDataset(Dataset[Batch], ABC):
    """Sequences in memory, handed out a batch at a time."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of sequences."""

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The sequences at ``indices`` as one batch; PyTorch's loader asks for them this way."""

    @abstractmethod
    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the data, for the fingerprint."""

    def __getitem__(self, index: int) -> Batch:
        """The sequence at ``index`` as a batch of one."""
        return self.__getitems__([index])


class TensorSequences(SequenceDataset):
    """Sequences of one length."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        """Pairs inputs with their targets.

        Args:
            x: inputs, sequences along the first axis.
            y: targets, sequences along the first axis.
        """
        self.x = x
        self.y = y

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        index = torch.as_tensor(indices)
        return Batch(self.x[index], self.y[index])

    def tensors(self) -> Iterator[Tensor]:
        """Inputs, then targets."""
        yield self.x
        yield self.y


class EpochShuffle(Sampler[int]):
    """A random order of ``size`` items that is a pure function of ``(seed, epoch)``.

    Lightning calls ``set_epoch`` before each epoch, so a resumed run meets the orders of one that
    was not interrupted; your own loop calls it itself.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(self.size, generator=self.numbers()).tolist()

    def numbers(self) -> torch.Generator:
        """The random numbers of this epoch."""
        return derived_generator(self.seed, "order", self.epoch)


def batches(
    dataset: SequenceDataset, batch_size: int, order: Sampler[Any] | None = None
) -> DataLoader[Batch]:
    """Loads ``dataset`` in batches, in its own order unless another is given.

    Where several processes train together, this one's share of every batch, see
    :mod:`tcn.training.processes`. Each cuts it out of the whole batch, which costs little: rows of
    a text that go on from batch to batch stay with the same process.
    """
    if not is_shared():
        return DataLoader(
            dataset, batch_size=batch_size, sampler=order, collate_fn=_already_a_batch
        )
    order = WholeOrder(order or SequentialSampler(dataset), len(dataset))
    cut = functools.partial(share, index=process_index(), count=process_count())
    return DataLoader(dataset, batch_size=batch_size, sampler=order, collate_fn=cut)


class SequenceDataModule(pl.LightningDataModule, ABC):
    """What the data modules share: lazy splits, loaders, a fingerprint.

    Training batches come in the order of :class:`EpochShuffle`, the others in the order of the
    data. The last, smaller batch is kept, so fewer sequences than ``batch_size`` give one batch.

    Attributes:
        in_channels: channels of ``Batch.x``.
        out_channels: channels or classes a net has to put out.
    """

    in_channels: int
    out_channels: int

    def __init__(self, *, batch_size: int, seed: int) -> None:
        """Sets the size of a batch and the seed.

        Args:
            batch_size: sequences per batch, at least 1; of all processes together where several
                train.
            seed: decides everything random about the data and its order.
        """
        super().__init__()
        check_at_least("batch_size", batch_size, 1)
        self.batch_size = batch_size
        self.seed = seed
        self._datasets: dict[Split, SequenceDataset] = {}

    @abstractmethod
    def make_dataset(self, split: Split) -> SequenceDataset:
        """Generate or read one split."""

    def dataset(self, split: Split) -> SequenceDataset:
        """One split, made when first asked for and then kept.

        Raises:
            ValueError: ``split`` is not ``train``, ``validation`` or ``test``.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if split not in self._datasets:
            self._datasets[split] = self.make_dataset(split)
        return self._datasets[split]

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of everything in the three splits, so that a result can name its data.

        It covers all splits whatever was set up, hence asking makes those not made so far.
        """
        digest = hashlib.sha256()
        for split in SPLITS:
            for tensor in self.dataset(split).tensors():
                digest.update(f"{split} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def setup(self, stage: str | None = None) -> None:
        """Make the splits of a stage: ``fit``, ``validate``, ``test`` or ``predict``; None for all.

        Raises:
            ValueError: ``stage`` is not one of these.
        """
        if stage not in _SPLITS_OF_STAGE:
            known = ", ".join(name for name in _SPLITS_OF_STAGE if name)
            raise ValueError(f"stage must be one of {known} or None, got {stage!r}")
        for split in _SPLITS_OF_STAGE[stage]:
            self.dataset(split)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches of the training split.

        Raises:
            ValueError: more processes train together than a batch has sequences.
        """
        dataset = self.dataset("train")
        self.check_shares()
        return batches(dataset, self.batch_size, self.training_order(len(dataset)))

    def training_order(self, size: int) -> Sampler[Any]:
        """The order of ``size`` training sequences, which depends on seed and epoch alone."""
        return EpochShuffle(size, self.seed)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split in order."""
        return self.batches_in_order("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split in order."""
        return self.batches_in_order("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split in order.

        Raises:
            ValueError: several processes run together, each of which would return a part.
        """
        if process_count() > 1:
            raise ValueError(
                f"{process_count()} processes: each would return the predictions of its share; "
                "predict with one device (trainer.devices=1)"
            )
        return self.test_dataloader()

    def batches_in_order(self, split: Split) -> DataLoader[Batch]:
        """Batches of ``split`` in the order of the data."""
        return batches(self.dataset(split), self.batch_size)

    def check_shares(self) -> None:
        """Refuse more processes than a training batch has sequences.

        Raises:
            ValueError: there are more of them.
        """
        if process_count() > self.batch_size:
            raise ValueError(
                f"batch_size is {self.batch_size} and {process_count()} processes share each "
                "batch: raise batch_size (which trains differently) or use fewer devices"
            )


def _already_a_batch(batch: Any) -> Any:
    return batch  # typed as PyTorch has it: a list of items, but ours have `__getitems__`
