"""What the data modules of images share: splits, normalization, augmentation."""

import functools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Sampler
from typing_extensions import override

from tcn.data.loading import EpochShuffle, Split, check_at_least
from tcn.data.placed import PlacedDataModule
from tcn.data.splitting import chosen_for
from tcn.vision.augmentation import Augmentation
from tcn.vision.images import ImageDataset, Normalization, Targets

Part = Literal["train", "test"]


class ImageDataModule(PlacedDataModule):
    """What the data modules of images share: splits, normalization, augmentation.

    ``x`` is ``(batch, channel, height, width)`` floats and ``y`` ``(batch,)`` int64 classes. Values
    are normalized per channel with the mean and the standard deviation of the training split alone,
    which are said when a stage is set up and written into checkpoints: loading one that was trained
    with others is an error.

    Subclass it for images of your own: ``read``, ``class_names`` and both numbers of channels are
    all that is needed.

    Attributes:
        in_channels: channels of the images.
        out_channels: classes; ``in_channels`` is put in their place if the targets are pixels.
        class_names: what the classes are called, in their order.
    """

    class_names: tuple[str, ...]

    def __init__(
        self,
        *,
        batch_size: int = 128,
        validation_size: int = 5_000,
        padding: int = 0,
        targets: Targets = "class",
        augmentation: Sequence[Augmentation] = (),
        seed: int = 1111,
    ) -> None:
        """Sets how images are split, padded, changed and batched.

        Args:
            batch_size: images per batch; of all processes together where several train.
            validation_size: training images set aside for validation.
            padding: black pixels put on each side of every image (2 make 32 x 32 of a digit).
            targets: ``"class"``; or for density estimation the image itself, with ``x`` from -1 to
                1: ``"values"``, as it is, or ``"levels"``, int64 from 0 to 255.
            augmentation: changes of the training batches, in this order; they depend on seed and
                epoch alone.
            seed: decides the split, the training order and the changes.

        Raises:
            TypeError: a number is not an integer, or a change is not an ``Augmentation``.
            ValueError: a number is out of range, ``targets`` is unknown, or pixels are the targets
                of images that are changed.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        check_at_least("validation_size", validation_size, 1)
        check_at_least("padding", padding, 0)
        _check_targets(targets, augmentation)
        self.validation_size = validation_size
        self.padding = padding
        self.targets: Targets = targets
        self.augmentation = tuple(augmentation)
        if targets != "class":
            self.out_channels = self.in_channels

    @abstractmethod
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        """Images ``(images, channels, height, width)`` uint8 and labels ``(images,)`` int64."""

    @functools.cached_property
    def normalization(self) -> Normalization:
        """Mean and deviation per channel of the training split, before it is padded."""
        return Normalization.of(self._parts["train"][0])

    @override
    def make_dataset(self, split: Split) -> ImageDataset:
        """Read, split and pad."""
        images, labels = self.read("test") if split == "test" else self._parts[split]
        return ImageDataset(
            functional.pad(images, [self.padding] * 4) if self.padding else images,
            labels,
            targets=self.targets,
            normalization=self.normalization,
            augmentation=self.augmentation,
            seed=self.seed,
            classes=len(self.class_names),
        )

    @override
    def setup(self, stage: str | None = None) -> None:
        """Make the splits of a stage and say what normalizes them."""
        super().setup(stage)
        if self.targets == "class":
            mean, deviation = (_rounded(part) for part in self.normalization)
            rank_zero_info(f"normalized with the training images: mean {mean}, sd {deviation}")

    @override
    def training_order(self, size: int) -> Sampler[Any]:
        return super().training_order(size) if self.augmentation else EpochShuffle(size, self.seed)

    @override
    def state_dict(self) -> dict[str, Any]:
        """What normalizes the images, for the checkpoint."""
        return self.normalization._asdict()

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Compare what normalizes the images with that of a checkpoint.

        Raises:
            ValueError: they differ.
        """
        stored, own = Normalization(**state_dict), self.normalization
        if not all(a.allclose(b, atol=1e-5) for a, b in zip(stored, own, strict=True)):
            raise ValueError(
                f"the checkpoint was trained on images normalized with mean {_rounded(stored.mean)}"
                f" and sd {_rounded(stored.deviation)}, these have {_rounded(own.mean)} and "
                f"{_rounded(own.deviation)}: set seed and validation_size as in training"
            )

    @functools.cached_property
    def _parts(self) -> dict[Split, tuple[Tensor, Tensor]]:
        """The training part, split."""
        images, labels = self.read("train")
        splits: tuple[Split, ...] = ("train", "validation")
        parts = {}
        for split in splits:
            key = self.seed, "image split"
            chosen = chosen_for(split, len(images), self.validation_size, *key)
            parts[split] = images[chosen], labels[chosen]
        return parts


def as_folder(argument: str, given: str | Path) -> Path:
    """The path, ``~`` being the home of the user.

    Raises:
        TypeError: it is not a path.
    """
    if not isinstance(given, str | Path):
        raise TypeError(f"{argument}: {given!r} is not a path; give a folder, such as 'pictures'")
    return Path(given).expanduser()


def _check_targets(targets: str, augmentation: object) -> None:
    if targets not in get_args(Targets):
        raise ValueError(
            f"targets: {targets!r} is not one of {', '.join(map(repr, get_args(Targets)))}; give "
            "'class' to classify"
        )
    if not isinstance(augmentation, Sequence):
        raise TypeError(f"augmentation: {augmentation!r} is not a list; write [{augmentation!r}]")
    for change in augmentation:
        if not isinstance(change, Augmentation):
            raise TypeError(
                f"augmentation: {change!r} is not an Augmentation; give one, such as "
                "tcn.vision.HorizontalFlip()"
            )
    if targets != "class" and augmentation:
        raise ValueError(
            f"targets: {targets!r} with augmentation, which changes x alone; leave one of them out"
        )


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
