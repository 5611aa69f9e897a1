"""Images in memory as bytes: what normalizes them, and batches whose changes follow the order."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from tcn.data.loading import SequenceDataset, derived_generator
from tcn.data.placed import Place
from tcn.training.batch import Batch
from tcn.vision.augmentation import Augmentation

Targets = Literal["class", "values", "levels"]


class Normalization(NamedTuple):
    """Mean and standard deviation per channel, ``(channels,)``, of values from 0 to 1."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, images: Tensor) -> "Normalization":
        """Those of all pixels of ``(images, channels, height, width)`` bytes, exactly.

        The deviation of a channel of one value is taken to be 1.
        """
        values = torch.arange(256, dtype=torch.float64) / 255
        counts = torch.stack([x.flatten().bincount(minlength=256) for x in images.unbind(1)])
        shares = counts.double() / counts.sum(1, keepdim=True)
        mean = shares @ values
        deviation = (shares @ values.square() - mean.square()).clamp_min(0).sqrt()
        return cls(mean.float(), deviation.masked_fill(deviation < 1e-6, 1.0).float())

    def __call__(self, images: Tensor) -> Tensor:
        """Bytes ``(batch, channels, height, width)`` as normalized floats."""
        mean, deviation = (part.view(-1, 1, 1) for part in self)
        return (images.float() / 255 - mean) / deviation


class ImageDataset(SequenceDataset):
    """Images in memory as bytes, made floats a batch at a time."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        targets: Targets,
        normalization: Normalization,
        augmentation: Sequence[Augmentation] = (),
        seed: int = 0,
        classes: int,
    ) -> None:
        """Pairs images with their labels.

        Args:
            images: ``(images, channels, height, width)`` uint8.
            labels: ``(images,)`` int64.
            targets: see ``ImageDataModule``.
            normalization: what images are normalized with if targets are classes.
            augmentation: changes of batches that are asked for by ``Place``.
            seed: decides the changes, with the epoch.
            classes: how many there are.
        """
        self.images = images
        self.labels = labels
        self.targets = targets
        self.normalization = normalization
        self.augmentation = augmentation
        self.seed = seed
        self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    @override
    def __getitems__(self, indices: Sequence[Any]) -> Batch:
        placed = isinstance(indices[0], Place)
        index = torch.as_tensor([place.item for place in indices] if placed else indices)
        images, labels = self.images[index], self.labels[index]
        if self.targets != "class":
            values = images.float() / 127.5 - 1
            return Batch(values, images.long() if self.targets == "levels" else values)
        batch = Batch(self.normalization(images), labels)
        if placed:
            key = self.seed, "augmentation", indices[0].epoch, indices[0].position
            generator = derived_generator(*key)
            for change in self.augmentation:
                batch = change(batch, generator, classes=self.classes)
        return batch

    @override
    def tensors(self) -> Iterator[Tensor]:
        """Images, then labels, then what normalizes them."""
        yield self.images
        yield self.labels
        yield from self.normalization
