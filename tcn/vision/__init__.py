"""Images, from files to trained nets: data modules, augmentation, density estimation.

Images are ``(batch, channel, height, width)`` floats; the task of classes is
:class:`tcn.training.Classification`.
"""

from tcn.extras import need

need("tcn.vision", "images", "pytorch_lightning", "torchmetrics", "pooch", "requests", "PIL")

from tcn.vision.augmentation import Augmentation, Cutout, HorizontalFlip, Mixup, RandomCrop
from tcn.vision.binarized import BinarizedMNIST
from tcn.vision.cifar import CIFAR10
from tcn.vision.density import DensityEstimation
from tcn.vision.folder import ImageFolder
from tcn.vision.loading import ImageDataModule
from tcn.vision.mnist import MNIST, FashionMNIST

__all__ = [
    "CIFAR10",
    "MNIST",
    "Augmentation",
    "BinarizedMNIST",
    "Cutout",
    "DensityEstimation",
    "FashionMNIST",
    "HorizontalFlip",
    "ImageDataModule",
    "ImageFolder",
    "Mixup",
    "RandomCrop",
]
