"""A part of CIFAR-10 that a processor trains on within minutes."""

import os
from pathlib import Path

from torch import Tensor
from typing_extensions import override

from tcn.vision import CIFAR10
from tcn.vision.loading import Part

FIRST: dict[Part, int] = {"train": 5_000, "test": 2_000}


class FirstCIFAR10(CIFAR10):
    """The first 5,000 training images and the first 2,000 test images of CIFAR-10.

    They are taken from the archive, or from binary files in the folder ``cifar10`` of
    ``TCN_DATA_DIR``, which need hold no more than these. A tenth of the training images: figures
    are not to be set beside those of the whole set.
    """

    @override
    def prepare_data(self) -> None:
        self.folder = self.folder or _binary_files()
        super().prepare_data()

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        self.folder = self.folder or _binary_files()  # of a process that has prepared nothing
        images, labels = super().read(part)
        if len(images) < FIRST[part]:
            raise ValueError(
                f"folder: {self.folder} has {len(images):,} images for {part}, fewer than "
                f"the first {FIRST[part]:,}; get the binary version of CIFAR-10 anew"
            )
        return images[: FIRST[part]], labels[: FIRST[part]]


def _binary_files() -> Path | None:
    given = os.environ.get("TCN_DATA_DIR")
    folder = Path(given) / "cifar10" if given else None
    return folder if folder and any(folder.glob("data_batch_*.bin*")) else None
