"""Digits of black and white: MNIST whose pixels have been drawn once and for all."""

import hashlib

import numpy
import torch
from torch import Tensor
from typing_extensions import override

from tcn.data import mnist
from tcn.data.fetch import locate
from tcn.data.loading import SequenceDataModule, Split, TensorSequences

SEED = 1111
TRAIN_SIZE = 50_000
HASHES = {
    "train": "2908147e84bca9aff42e5aff0535d3f969f59382a9713913c07f9ad212e65e14",
    "test": "91c10765eb9b5b53a6cda5d97a89b38ffcf5406a804d797ba1c9f5ee2cf2ed10",
}
"""sha256 of the bits, eight to a byte, of the 60,000 training and the 10,000 test images."""


class BinarizedMNIST(SequenceDataModule):
    """Digits whose pixels are 0 or 1, for density estimation.

    ``x`` is ``(batch, 1, 28, 28)`` floats, and ``y`` is the same. Each pixel was drawn once, 1 with
    the probability of its gray value (Salakhutdinov and Murray 2008, section 5), by this library's
    own draw: the first 50,000 training images are for training, the last 10,000 for validation.
    The bits are compared with a checksum, so that two results are of the same data. They are not
    the bits of Larochelle and Murray (2011), and likelihoods differ a little from those.

    The files are those of :class:`tcn.data.SequentialMNIST`.
    """

    in_channels = 1
    out_channels = 1

    def __init__(self, *, batch_size: int = 128, seed: int = 1111) -> None:
        """Sets how images are batched and ordered; neither changes a pixel.

        Args:
            batch_size: images per batch.
            seed: decides the training order.

        Raises:
            TypeError: ``batch_size`` is not an integer.
            ValueError: it is below 1.
        """
        super().__init__(batch_size=batch_size, seed=seed)

    @override
    def prepare_data(self) -> None:
        """Download what is not on this machine."""
        for part in ("train", "test"):
            locate(mnist.FILES[f"{part} images"])

    @override
    def make_dataset(self, split: Split) -> TensorSequences:
        """Read, draw, check and split."""
        part = "test" if split == "test" else "train"
        pixels = binarized(mnist.read_idx(locate(mnist.FILES[f"{part} images"])), part)
        if split == "train":
            pixels = pixels[:TRAIN_SIZE]
        elif split == "validation":
            pixels = pixels[TRAIN_SIZE:]
        values = pixels.float().unsqueeze(1)
        return TensorSequences(values, values)


def binarized(images: numpy.ndarray, part: str) -> Tensor:
    """The bits of the images of ``part``, bool of the same shape.

    Raises:
        ValueError: they are not those whose checksum is known.
    """
    bits = draw(images, SEED, list(HASHES).index(part))
    found = hashlib.sha256(numpy.packbits(bits).tobytes()).hexdigest()
    if found != HASHES[part]:
        raise ValueError(
            f"binarized {part} images: sha256 {found}, expected {HASHES[part]}; NumPy "
            f"{numpy.__version__} draws other numbers or the images are others: use another "
            "version of NumPy"
        )
    return torch.from_numpy(bits)


def draw(images: numpy.ndarray, *seed: int) -> numpy.ndarray:
    """Bool, shaped like ``images`` of bytes: each True with a probability of its value / 255.

    The raw numbers of a bit generator, which NumPy promises not to change; its distributions may.
    """
    source = numpy.random.PCG64(seed)
    bits = numpy.empty(images.shape, dtype=bool)
    for start in range(0, len(images), 1_000):  # 6 MB of numbers at a time
        part = images[start : start + 1_000]
        numbers = (source.random_raw(part.size) >> numpy.uint64(11)).astype(numpy.float64)
        bits[start : start + 1_000] = numbers.reshape(part.shape) * (255 / 2**53) < part
    return bits
