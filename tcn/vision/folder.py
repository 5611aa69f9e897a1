"""Images of one's own: a folder with a folder for each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor
from typing_extensions import override

from tcn.data.loading import Split, check_at_least
from tcn.data.splitting import chosen_for
from tcn.layers.validation import check_positive, check_switch, per_axis
from tcn.vision.augmentation import Augmentation
from tcn.vision.images import Targets
from tcn.vision.loading import ImageDataModule, Part, as_folder

DEEP = frozenset({"I", "F"})
"""Modes of Pillow with more than 8 bits to a value; so are those that begin with ``I;``."""


class ImageFolder(ImageDataModule):
    """Images in a folder for each class, of any format that Pillow reads.

    ::

        pictures/cat/1.png    pictures/cat/2.jpg    pictures/dog/1.png

    The classes are the names of the folders, in alphabetic order. All images are read when a stage
    is set up, and kept in memory as bytes. Files beside the class folders are left out, and so are
    files and folders whose names begin with a dot; everything else must be an image. A photograph
    is turned as its camera says, transparency is ignored, and of an animation the first picture is
    read. A class folder may be a link; within it, files may.
    """

    def __init__(
        self,
        *,
        folder: str | Path,
        test: int | str | Path,
        color: bool,
        size: int | Sequence[int] | None = None,
        batch_size: int = 32,
        validation_size: int,
        targets: Targets = "class",
        augmentation: Sequence[Augmentation] = (),
        seed: int = 1111,
    ) -> None:
        """Sets where the images are, and what is made of them.

        Args:
            folder: holds a folder for each class.
            test: a folder like it that holds the test images; or how many images of ``folder`` are
                set aside for test.
            color: whether images have three channels or one; those that have not are converted.
            size: height and width, or one number for both: images are scaled to fill it, and what
                is beyond is cut off on both sides. None: they must all be of one size.
            batch_size: images per batch.
            validation_size: training images set aside for validation.
            targets: ``"class"``, or ``"values"`` or ``"levels"`` of the pixels; see
                ``ImageDataModule``.
            augmentation: changes of the training batches, in this order.
            seed: decides the splits, the training order and the changes.

        Raises:
            TypeError: a number is not an integer, a folder is not a path, ``color`` is not a bool,
                or a change is not an ``Augmentation``.
            ValueError: a number is out of range, there is no such folder, it has no class folders,
                or a single one to classify, one of them is empty, or training and test images are
                the same. When read: files are not images or not of one size, the test images are
                of other classes, or no images are left for training.
        """
        check_switch(color=color)
        self.in_channels = 3 if color else 1
        super().__init__(
            batch_size=batch_size,
            validation_size=validation_size,
            targets=targets,
            augmentation=augmentation,
            seed=seed,
        )
        self.folder = as_folder("folder", folder)
        self.test = as_folder("test", test) if isinstance(test, str | Path) else test
        if not isinstance(self.test, Path):
            check_at_least("test", self.test, 1)
        elif self.test.resolve() == self.folder.resolve():
            raise ValueError(
                f"test: {self.test} is the folder of the training images; give another one, or how "
                "many of them to set aside"
            )
        self.color = color
        self.size = None if size is None else per_axis("size", size, 2)
        check_positive("size", self.size or ())
        self.class_names = tuple(files_by_class("folder", self.folder))
        if targets == "class" and len(self.class_names) < 2:
            raise ValueError(
                f"folder: {self.folder} has one class folder, {self.class_names[0]!r}, and nothing "
                "to tell it from; add those of the other classes, or give targets='values'"
            )
        if targets == "class":
            self.out_channels = len(self.class_names)

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        if isinstance(self.test, Path):
            return self._read("folder" if part == "train" else "test")
        images, labels = self._read("folder")
        if self.test >= len(images):
            raise ValueError(
                f"test: {self.test} of the {len(images)} images of {self.folder} leave none for "
                "training; set fewer aside"
            )
        split: Split = "validation" if part == "test" else "train"
        chosen = chosen_for(split, len(images), self.test, self.seed, "test images")
        return images[chosen], labels[chosen]

    def _read(self, argument: str) -> tuple[Tensor, Tensor]:
        root: Path = getattr(self, argument)
        found = files_by_class(argument, root)
        if tuple(found) != self.class_names:
            other = sorted(set(found) ^ set(self.class_names))
            raise ValueError(
                f"{argument}: the classes of {root} are not those of {self.folder}; {other} are in "
                "one of them alone: give both the same class folders"
            )
        paths = [path for files in found.values() for path in files]
        images = read_images(paths, color=self.color, size=self.size)
        counts = torch.tensor([len(files) for files in found.values()])
        return images, torch.arange(len(found)).repeat_interleave(counts)


def files_by_class(argument: str, root: Path) -> dict[str, list[Path]]:
    """The files of each class folder, sorted; folders inside of it count as it.

    Args:
        argument: what errors call the folder.
        root: the folder of class folders.

    Raises:
        ValueError: there is no such folder, it has no class folders, or one has no files.
    """
    if not root.is_dir():
        raise ValueError(f"{argument}: {root} is not a folder; give one with a folder per class")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and _counts(path, root))
    if not folders:
        raise ValueError(f"{argument}: {root} has no folders; put the images of each class in one")
    found = {
        folder.name: sorted(p for p in folder.rglob("*") if _is_entry(p) and _counts(p, root))
        for folder in folders
    }
    if empty := [name for name, files in found.items() if not files]:
        raise ValueError(
            f"{argument}: the class folders {empty} of {root} are empty; put images in or remove "
            "them"
        )
    return found


def read_images(paths: Sequence[Path], *, color: bool, size: tuple[int, ...] | None) -> Tensor:
    """All images, ``(images, channels, height, width)`` uint8.

    Args:
        paths: of the files.
        color: three channels or one.
        size: height and width to scale and cut to; None: that of the first.

    Raises:
        ValueError: files are not whole images, or not of one size; all of them are named.
    """
    images, broken = [], {}
    for path in paths:
        try:
            images.append(read_image(path, color=color, size=size))
        # Decoders raise what they like: SyntaxError for some PNG files, RuntimeError for AVIF.
        except Exception as error:
            broken[path] = error
    if broken:
        told = "".join(f"\n  {path}: {error}" for path, error in broken.items())
        raise ValueError(
            f"folder: {len(broken)} of {len(paths)} files are not images that can be used; replace "
            f"or remove them:{told}"
        )
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            wanted, found = (tuple(each.shape[1:]) for each in (images[0], image))
            raise ValueError(
                f"size: {path} has height and width {found} and {paths[0]} has {wanted}; give a "
                "size that all are scaled to"
            )
    return torch.stack(images)


def read_image(path: Path, *, color: bool, size: tuple[int, ...] | None) -> Tensor:
    """One image, ``(channels, height, width)`` uint8; takes what ``read_images`` takes."""
    if not path.is_file():  # to open a pipe would wait for ever
        raise ValueError("neither a file nor a link to one; links to folders are not followed")
    with Image.open(path) as opened:
        if opened.mode in DEEP or opened.mode.startswith("I;"):
            raise ValueError(f"mode {opened.mode} has more than 8 bits to a value; save it with 8")
        image = ImageOps.exif_transpose(opened).convert("RGB" if color else "L")
    if size is not None:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
    values = torch.from_numpy(numpy.array(image))
    return values.movedim(-1, 0).contiguous() if color else values.unsqueeze(0)


def _is_entry(path: Path) -> bool:
    """Whether a path is to be read, or to be named as what cannot be: all but folders."""
    return path.is_symlink() or not path.is_dir()


def _counts(path: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(root).parts)
