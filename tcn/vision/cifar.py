"""CIFAR-10, in its binary form."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from torch import Tensor
from typing_extensions import override

from tcn.data.archives import members
from tcn.data.fetch import RemoteFile, locate
from tcn.vision.augmentation import Augmentation
from tcn.vision.images import Targets
from tcn.vision.loading import ImageDataModule, Part, as_folder

ARCHIVE = RemoteFile(
    "cifar10/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
FILES: dict[Part, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
PATTERNS: dict[Part, str] = {"train": "data_batch_*.bin", "test": "test_batch*.bin"}
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
"""Bytes of an image: its label, then red, green and blue, row by row."""


class CIFAR10(ImageDataModule):
    """Small color pictures in 10 classes, 50,000 for training and 10,000 for test.

    ``x`` is ``(batch, 3, 32, 32)``, normalized with the training split; ``y`` is ``(batch,)``
    int64. The archive is looked for in ``TCN_DATA_DIR`` (folder ``cifar10``) and downloaded
    otherwise, see :mod:`tcn.data.fetch`. Source: Krizhevsky 2009 (Learning multiple layers of
    features from tiny images).
    """

    in_channels = 3
    out_channels = 10
    class_names = (
        "airplane", "automobile", "bird", "cat", "deer",
        "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip

    def __init__(
        self,
        *,
        folder: str | Path | None = None,
        batch_size: int = 128,
        validation_size: int = 5_000,
        padding: int = 0,
        targets: Targets = "class",
        augmentation: Sequence[Augmentation] = (),
        seed: int = 1111,
    ) -> None:
        """Sets where the images are, and how they are split, padded, changed and batched.

        Args:
            folder: a folder of binary files in place of the archive, ``data_batch_*.bin`` and
                ``test_batch*.bin``, each plain or gzip-ed; there may be fewer images in them.
            batch_size: images per batch.
            validation_size: training images set aside for validation (5,000 in He et al. 2016).
            padding: black pixels put on each side of every image.
            targets: ``"class"``, or ``"values"`` or ``"levels"`` of the pixels; see
                ``ImageDataModule``.
            augmentation: changes of the training batches, in this order.
            seed: decides the split, the training order and the changes.

        Raises:
            TypeError: a number is not an integer, ``folder`` is not a path, or a change is not an
                ``Augmentation``.
            ValueError: a number is out of range, ``targets`` is unknown, or pixels are the targets
                of images that are changed.
        """
        super().__init__(
            batch_size=batch_size,
            validation_size=validation_size,
            padding=padding,
            targets=targets,
            augmentation=augmentation,
            seed=seed,
        )
        self.folder = None if folder is None else as_folder("folder", folder)

    @override
    def prepare_data(self) -> None:
        """Download the archive if it is wanted and not on this machine."""
        if self.folder is None:
            locate(ARCHIVE)

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        if self.folder is None:
            contents = members(ARCHIVE, FILES[part])
        else:
            contents = {str(path): _unpacked(path) for path in _files(self.folder, PATTERNS[part])}
        parts = [read_records(content, name) for name, content in contents.items()]
        images, labels = zip(*parts, strict=True)
        return torch.cat(images), torch.cat(labels)


def read_records(content: bytes, name: str) -> tuple[Tensor, Tensor]:
    """Images ``(size, 3, 32, 32)`` uint8 and labels ``(size,)`` int64 of a binary file.

    Args:
        content: of the file.
        name: what errors call it.

    Raises:
        ValueError: it is not whole records, or a label is not 0 to 9.
    """
    if not content or len(content) % RECORD:
        raise ValueError(
            f"{name}: {len(content)} bytes are not whole images of {RECORD} bytes each; get the "
            "binary version of CIFAR-10 anew"
        )
    # A copy: an array over `content` would be read-only, which PyTorch warns of.
    records = torch.from_numpy(numpy.frombuffer(content, numpy.uint8).copy()).view(-1, RECORD)
    labels = records[:, 0].long()
    if (highest := int(labels.max())) > 9:
        raise ValueError(
            f"{name}: labels must be 0 to 9, got {highest}; is this another data set, such as "
            "CIFAR-100?"
        )
    return records[:, 1:].reshape(-1, *SHAPE).contiguous(), labels


def _files(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"folder: {folder} is not a folder; give one that holds {pattern}")
    # No more than these: a name may go on, as that of a download that has not ended.
    paths = sorted(path for end in ("", ".gz") for path in folder.glob(pattern + end))
    names = [path.name.removesuffix(".gz") for path in paths]
    if not paths:
        raise ValueError(
            f"folder: {folder} holds no file {pattern} or {pattern}.gz; unpack the archive there"
        )
    if len(set(names)) < len(names):
        raise ValueError(
            f"folder: {folder} holds a file both plain and gzip-ed, of {sorted(names)}; remove one"
        )
    return paths


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from error
