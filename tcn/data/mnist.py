"""MNIST (LeCun, Cortes, Burges), pixel by pixel."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy
import torch
from torch import Tensor

from tcn.data.fetch import RemoteFile, locate
from tcn.data.loading import Split, TensorSequences, check_at_least
from tcn.data.pixels import PixelDataModule
from tcn.data.splitting import chosen_for

MEAN = 0.1307
STANDARD_DEVIATION = 0.3081
"""Of the 60,000 training images with values from 0 to 1."""

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_UNSIGNED_BYTES = 0x08


def _file(name: str, sha256: str) -> RemoteFile:
    return RemoteFile(f"mnist/{name}", sha256, tuple(mirror + name for mirror in _MIRRORS))


FILES = {
    "train images": _file(
        "train-images-idx3-ubyte.gz",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train labels": _file(
        "train-labels-idx1-ubyte.gz",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "test images": _file(
        "t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "test labels": _file(
        "t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}
"""The four official files, with the checksums of what LeCun published."""


class SequentialMNIST(PixelDataModule):
    """Classify a 28x28 image of a digit from its 784 pixels in a row.

    Bai et al. 2018, arXiv:1803.01271, section 4. ``x`` is ``(batch, 1, 784)``, normalized with
    0.1307 and 0.3081 as in their code; ``y`` is ``(batch,)`` int64. They train on all 60,000 images
    without shuffling and look at the test set after every epoch; here the training images are
    shuffled and some are set aside for validation.

    The files are looked for in ``TCN_DATA_DIR`` (folder ``mnist``) and downloaded otherwise, see
    :mod:`tcn.data.fetch`.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        permuted: bool = False,
        validation_size: int = 5_000,
        seed: int = 1111,
        permutation_seed: int = 1111,
    ) -> None:
        """Sets how the images are split, ordered and batched.

        Args:
            batch_size: images per batch.
            permuted: whether the pixels come in a random order, the same for every image.
            validation_size: training images set aside for validation, 1 to 59,999.
            seed: decides which ones, and the training order.
            permutation_seed: decides the pixel order, and nothing else.

        Raises:
            ValueError: a number is out of range.
        """
        super().__init__(
            pixels=784,
            batch_size=batch_size,
            seed=seed,
            permuted=permuted,
            permutation_seed=permutation_seed,
        )
        check_at_least("validation_size", validation_size, 1)
        self.validation_size = validation_size

    def prepare_data(self) -> None:
        """Download what is not on this machine."""
        for file in FILES.values():
            locate(file)

    def make_dataset(self, split: Split) -> TensorSequences:
        """Read, split and normalize."""
        part = "test" if split == "test" else "train"
        images, labels = read_images(
            locate(FILES[f"{part} images"]), locate(FILES[f"{part} labels"])
        )
        if split != "test":
            key = self.seed, "mnist split"
            chosen = chosen_for(split, len(images), self.validation_size, *key)
            images, labels = images[chosen], labels[chosen]
        values = (images.float() / 255 - MEAN) / STANDARD_DEVIATION
        return TensorSequences(self.sequences(values), labels)


def read_images(images_path: Path, labels_path: Path) -> tuple[Tensor, Tensor]:
    """Images ``(size, 28, 28)`` uint8 and their labels ``(size,)`` int64.

    Raises:
        ValueError: a file is damaged, or the two do not belong together; says which and why.
    """
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path}: expected images of 28x28, got shape {images.shape}")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{labels_path}: expected one label for each of the {len(images)} images in "
            f"{images_path.name}, got shape {labels.shape}"
        )
    if labels.size and labels.max() > 9:
        raise ValueError(f"{labels_path}: labels must be 0 to 9, got {labels.max()}")
    return torch.from_numpy(images), torch.from_numpy(labels).long()


def read_idx(path: Path) -> numpy.ndarray:
    """The array in a gzip-ed idx file of unsigned bytes (the format of MNIST).

    A header of two zero bytes, a type code, the number of axes and their sizes as big-endian
    32-bit numbers; then the values.

    Raises:
        ValueError: the file is truncated or is something else; says why.
    """
    try:
        with gzip.open(path) as stream:
            content = stream.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, _UNSIGNED_BYTES)):
        raise ValueError(f"{path}: not an idx file of unsigned bytes, starts {content[:4]!r}")
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise ValueError(f"{path}: the header announces {axes} axes and ends before their sizes")
    shape = struct.unpack(f">{axes}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path}: the header announces shape {shape}, which is {math.prod(shape)} bytes, "
            f"but {len(content) - start} follow"
        )
    # A copy: an array over `content` would be read-only, which PyTorch warns of.
    return numpy.frombuffer(content, dtype=numpy.uint8, offset=start).reshape(shape).copy()
