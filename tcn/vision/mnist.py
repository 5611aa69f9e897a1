"""MNIST and Fashion-MNIST, as images."""

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from tcn.data import mnist
from tcn.data.fetch import RemoteFile, locate
from tcn.vision.loading import ImageDataModule, Part

_MIRRORS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def _file(name: str, sha256: str) -> RemoteFile:
    return RemoteFile(f"fashion_mnist/{name}", sha256, tuple(place + name for place in _MIRRORS))


FASHION_FILES = {
    "train images": _file(
        "train-images-idx3-ubyte.gz",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train labels": _file(
        "train-labels-idx1-ubyte.gz",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "test images": _file(
        "t10k-images-idx3-ubyte.gz",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "test labels": _file(
        "t10k-labels-idx1-ubyte.gz",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
"""The four official files of Fashion-MNIST."""


class _FourFiles(ImageDataModule):
    """Gray images of 28 x 28 in 10 classes, 60,000 for training and 10,000 for test."""

    files: Mapping[str, RemoteFile]
    in_channels = 1
    out_channels = 10

    @override
    def prepare_data(self) -> None:
        """Download what is not on this machine."""
        for file in self.files.values():
            locate(file)

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        names = f"{part} images", f"{part} labels"
        images, labels = mnist.read_images(*(locate(self.files[name]) for name in names))
        return images.unsqueeze(1), labels


class MNIST(_FourFiles):
    """Handwritten digits (LeCun, Cortes, Burges).

    ``x`` is ``(batch, 1, 28, 28)``, normalized with the training split; ``y`` is ``(batch,)``
    int64. The files are looked for in ``TCN_DATA_DIR`` (folder ``mnist``) and downloaded otherwise,
    see :mod:`tcn.data.fetch`.
    """

    files = mnist.FILES
    class_names = tuple("0123456789")


class FashionMNIST(_FourFiles):
    """Pictures of clothes (Xiao et al. 2017, arXiv:1708.07747), in the form of MNIST.

    The files are looked for in ``TCN_DATA_DIR`` (folder ``fashion_mnist``) and downloaded
    otherwise.
    """

    files = FASHION_FILES
    class_names = (
        "T-shirt/top", "trouser", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
