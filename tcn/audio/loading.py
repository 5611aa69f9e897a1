"""What the data modules of labeled recordings share: windows, augmentation, order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from tcn.audio.augmentation import SoundAugmentation
from tcn.audio.clips import Clip, Reader, padded, read_all, windowed
from tcn.data.loading import (
    SequenceDataset,
    Split,
    check_at_least,
    derived_generator,
)
from tcn.data.placed import Place, PlacedDataModule
from tcn.layers.validation import check_switch
from tcn.training.batch import Batch


class Labeled(NamedTuple):
    """Recordings and what they are.

    Attributes:
        clips: where each lies.
        labels: ``(clips,)`` int64 classes, or ``(clips, channels)`` floats.
    """

    clips: list[Clip]
    labels: Tensor


class SoundDataset(SequenceDataset):
    """Recordings, in memory or read when they are asked for, as windows or padded."""

    def __init__(
        self,
        labeled: Labeled,
        reader: Reader,
        *,
        length: int | None,
        in_memory: bool,
        augmentation: Sequence[SoundAugmentation] = (),
        seed: int = 0,
    ) -> None:
        """Pairs recordings with their labels.

        Args:
            labeled: recordings and labels.
            reader: reads the files.
            length: steps of a window; None pads to the longest of a batch.
            in_memory: whether all are read at once and kept.
            augmentation: changes of batches that are asked for by ``Place``.
            seed: decides the changes, with the epoch.
        """
        self.clips, self.labels = labeled
        self.reader = reader
        self.length = length
        self.sounds = read_all(reader, self.clips) if in_memory else None
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.clips)

    @override
    def __getitems__(self, indices: Sequence[Any]) -> Batch:
        placed = isinstance(indices[0], Place)
        items = [place.item for place in indices] if placed else list(indices)
        sounds, labels = [self.sound(item) for item in items], self.labels[torch.as_tensor(items)]
        if not placed:
            return self._batch(sounds, labels, torch.full((len(items),), 0.5))
        key = self.seed, "sound augmentation", indices[0].epoch, indices[0].position
        generator = derived_generator(*key)
        batch = self._batch(sounds, labels, torch.rand(len(items), generator=generator))
        for change in self.augmentation:
            batch = change(batch, generator)
        return batch

    def sound(self, item: int) -> Tensor:
        """One recording, ``(time,)``."""
        return self.reader(self.clips[item]) if self.sounds is None else self.sounds[item]

    def _batch(self, sounds: list[Tensor], labels: Tensor, places: Tensor) -> Batch:
        if self.length is None:
            x, lengths = padded(sounds)
            return Batch(x, labels, lengths)
        return Batch(windowed(sounds, self.length, places), labels)

    @override
    def tensors(self) -> Iterator[Tensor]:
        """Every recording, then the labels."""
        for item in range(len(self)):
            yield self.sound(item)
        yield self.labels


class SoundDataModule(PlacedDataModule):
    """What the data modules of labeled recordings share: windows, augmentation, order.

    ``x`` is ``(batch, 1, time)`` floats in [-1, 1] and ``y`` ``(batch,)`` int64 classes. With a
    length all sounds have it: in training a window lies anywhere in a longer recording, and a
    shorter one anywhere in the window; otherwise they lie in the middle. Without, sounds are padded
    on the right to the longest of the batch, and ``lengths`` says how long each is.

    Subclass it for recordings of your own: ``labeled``, ``class_names``, ``sample_rate`` and
    ``out_channels`` are all that is needed.

    Attributes:
        in_channels: 1.
        out_channels: classes.
        class_names: what the classes are called, in their order.
        sample_rate: in Hz.
    """

    in_channels = 1
    class_names: tuple[str, ...]
    sample_rate: int

    def __init__(
        self,
        *,
        batch_size: int = 32,
        length: int | None = None,
        augmentation: Sequence[SoundAugmentation] = (),
        in_memory: bool = True,
        seed: int = 1111,
    ) -> None:
        """Sets how sounds are cut, changed and batched.

        Args:
            batch_size: sounds per batch; of all processes together where several train.
            length: steps of each sound; None keeps their own lengths.
            augmentation: changes of the training batches, in this order; they depend on seed and
                epoch alone, as the windows do.
            in_memory: whether recordings are read at once and kept; or each time.
            seed: decides the training order, the windows and the changes.

        Raises:
            TypeError: a number is not an integer, or a change is not a ``SoundAugmentation``.
            ValueError: a number is out of range.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        if length is not None:
            check_at_least("length", length, 1)
        check_switch(in_memory=in_memory)
        self.length = length
        self.augmentation = checked_changes(augmentation)
        self.in_memory = in_memory

    @abstractmethod
    def labeled(self, split: Split) -> Labeled:
        """The recordings of a split."""

    @property
    def reader(self) -> Reader:
        """Reads the files of this data set."""
        return Reader(self.sample_rate)

    @override
    def make_dataset(self, split: Split) -> SoundDataset:
        """Find the recordings of a split, and read them if they are kept."""
        return SoundDataset(
            self.labeled(split),
            self.reader,
            length=self.length,
            in_memory=self.in_memory,
            augmentation=self.augmentation,
            seed=self.seed,
        )


def checked_changes(augmentation: object) -> tuple[SoundAugmentation, ...]:
    """The changes, refused if they are none.

    Raises:
        TypeError: it is not a list of ``SoundAugmentation``.
    """
    if not isinstance(augmentation, Sequence) or isinstance(augmentation, str):
        raise TypeError(f"augmentation: {augmentation!r} is not a list; write [{augmentation!r}]")
    for change in augmentation:
        if not isinstance(change, SoundAugmentation):
            raise TypeError(
                f"augmentation: {change!r} is not a SoundAugmentation; give one, such as "
                "tcn.audio.Gain()"
            )
    return tuple(augmentation)
