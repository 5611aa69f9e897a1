"""Random changes of training batches, from random numbers that are handed in.

A data module hands in a generator of ``(seed, epoch, position in the epoch)``: a batch is changed
in the same way whichever worker or process makes it.
"""

import math
from abc import ABC, abstractmethod

import numpy
import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from tcn.layers.validation import check_positive, check_share
from tcn.outputs.checks import check_number
from tcn.training.batch import Batch


class Augmentation(ABC):
    """A random change of a batch of normalized images, in which 0 is the mean of the channel."""

    @abstractmethod
    def __call__(self, batch: Batch, generator: torch.Generator, *, classes: int) -> Batch:
        """The changed batch.

        Args:
            batch: images ``(batch, channel, height, width)``; targets ``(batch,)`` int64 classes,
                or ``(batch, classes)`` probabilities once images have been mixed.
            generator: where the random numbers come from.
            classes: how many there are.
        """


class _OfImages(Augmentation):
    """A change that leaves the targets as they are."""

    @override
    def __call__(self, batch: Batch, generator: torch.Generator, *, classes: int) -> Batch:
        return batch._replace(x=self.changed(batch.x, generator))

    @abstractmethod
    def changed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The changed images, of the same shape."""


class RandomCrop(_OfImages):
    """A window of the image's own size, anywhere in the image with zeros around it.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2 (4 pixels on each side).
    """

    def __init__(self, padding: int = 4) -> None:
        """Sets how far the window moves.

        Args:
            padding: pixels of zeros on each side, at least 1.

        Raises:
            TypeError: it is not an integer.
            ValueError: it is below 1.
        """
        check_positive("padding", [padding])
        self.padding = padding

    @override
    def changed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        size, _, height, width = images.shape
        padded = functional.pad(images, [self.padding] * 4)
        starts = torch.randint(2 * self.padding + 1, (2, size, 1), generator=generator)
        rows, columns = starts[0] + torch.arange(height), starts[1] + torch.arange(width)
        which = torch.arange(size)[:, None, None]
        return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class HorizontalFlip(_OfImages):
    """Left and right exchanged, in a share of the images.

    Source: Krizhevsky et al. 2012 (AlexNet), section 4.1.
    """

    def __init__(self, probability: float = 0.5) -> None:
        """Sets the share.

        Args:
            probability: of each image to be flipped, 0 to 1.

        Raises:
            TypeError: it is not a number.
            ValueError: it is not between 0 and 1.
        """
        check_share("probability", probability)
        self.probability = probability

    @override
    def changed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        flipped = torch.rand(len(images), generator=generator) < self.probability
        return torch.where(flipped[:, None, None, None], images.flip(-1), images)


class Cutout(_OfImages):
    """A square of zeros whose middle is anywhere in the image, so that a part may be outside.

    Source: DeVries and Taylor 2017, arXiv:1708.04552, section 3.2 (16 pixels for CIFAR-10).
    """

    def __init__(self, size: int = 16) -> None:
        """Sets the size of the square.

        Args:
            size: its side in pixels, at least 1.

        Raises:
            TypeError: it is not an integer.
            ValueError: it is below 1.
        """
        check_positive("size", [size])
        self.size = size

    @override
    def changed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        rows = self._covered(len(images), images.shape[2], generator)
        columns = self._covered(len(images), images.shape[3], generator)
        return images.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0.0)

    def _covered(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """``(count, steps)`` bool: what a stretch around a random middle covers."""
        middle = torch.randint(steps, (count, 1), generator=generator)
        distance = torch.arange(steps) - (middle - self.size // 2)
        return (distance >= 0) & (distance < self.size)


class Mixup(Augmentation):
    """Each image and its target mixed with those of another of the batch, in the same proportion.

    One proportion for the batch, from a beta distribution; targets become probabilities.

    Source: Zhang et al. 2018, arXiv:1710.09412, section 2 and their code.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        """Sets the distribution of the proportion.

        Args:
            alpha: both parameters of the beta distribution, above 0 (1 for CIFAR-10, 0.2 for
                ImageNet in the paper).

        Raises:
            TypeError: it is not a number.
            ValueError: it is not a finite number above 0.
        """
        check_number("alpha", alpha, above=0)
        self.alpha = alpha

    @override
    def __call__(self, batch: Batch, generator: torch.Generator, *, classes: int) -> Batch:
        other = torch.randperm(len(batch.x), generator=generator)
        # PyTorch's own beta distribution takes no generator.
        seed = int(torch.randint(2**62, (), generator=generator))
        share = numpy.random.default_rng(seed).beta(self.alpha, self.alpha)
        share = 1.0 if math.isnan(share) else float(share)  # alpha so small that both are 0
        target = batch.y
        if not target.is_floating_point():
            target = functional.one_hot(target, classes).to(batch.x.dtype)
        x = share * batch.x + (1 - share) * batch.x[other]
        return Batch(x, share * target + (1 - share) * target[other])
