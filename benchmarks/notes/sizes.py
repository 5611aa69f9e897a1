"""Digits whose test images are larger than those of training."""

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from benchmarks.notes.moved import moved
from tcn.vision import MNIST
from tcn.vision.loading import Part

SIZE = 40
"""Height and width of the test images; those of training have 28."""


class LargerMNIST(MNIST):
    """MNIST, the test images drawn larger, digits and all."""

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        images, labels = super().read(part)
        if part == "test":
            drawn = F.interpolate(images.float(), SIZE, mode="bilinear", antialias=True)
            images = drawn.round().byte()
        return images, labels


class SurroundedMNIST(MNIST):
    """MNIST, each test image somewhere in a larger empty one, the same whenever it is read."""

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        images, labels = super().read(part)
        if part == "test":
            images = surrounded(images, SIZE, torch.Generator().manual_seed(0))
        return images, labels


def surrounded(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """``(images, channels, height, width)`` in zeros of ``size`` in height and width."""
    around = size - images.shape[-1]
    padded = F.pad(images, [around // 2, around - around // 2] * 2)
    return moved(padded, around // 2, generator)
