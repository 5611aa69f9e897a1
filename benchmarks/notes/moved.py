"""Digits that are not centered."""

import torch
from torch import Tensor
from typing_extensions import override

from tcn.vision import MNIST
from tcn.vision.loading import Part

REACH = 6
"""Pixels by which a digit is moved at most, up or down and to either side; it fills 20 of 28."""


class MovedMNIST(MNIST):
    """MNIST, each image moved by a random number of pixels, the same whenever it is read."""

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        images, labels = super().read(part)
        generator = torch.Generator().manual_seed(["train", "test"].index(part))
        return moved(images, REACH, generator), labels


def moved(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """``(images, channels, height, width)``, zeros where nothing is moved to."""
    padded = torch.nn.functional.pad(images, [reach] * 4)
    height, width = images.shape[2:]
    starts = torch.randint(2 * reach + 1, (len(images), 2), generator=generator)
    result = torch.empty_like(images)
    for image, (row, column) in enumerate(starts.tolist()):
        result[image] = padded[image, :, row : row + height, column : column + width]
    return result
