"""yesno: one man, eight words at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from typing_extensions import override

from tcn.audio.augmentation import SoundAugmentation
from tcn.audio.clips import Clip, as_path
from tcn.audio.loading import Labeled, SoundDataModule
from tcn.data.archives import unpacked
from tcn.data.fetch import RemoteFile
from tcn.data.loading import Split, check_at_least
from tcn.data.splitting import chosen_for

ARCHIVE = RemoteFile(
    "yesno/waves_yesno.tar.gz",
    "c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
    ("http://www.openslr.org/resources/1/waves_yesno.tar.gz",),
)
NAME = re.compile(r"[01](_[01]){7}\.wav")


class YesNo(SoundDataModule):
    """Sixty recordings of a man who says eight times yes or no in Hebrew, for ``MultiLabel``.

    ``x`` is ``(batch, 1, time)`` of 8000 Hz, about six seconds, and ``y`` ``(batch, 8)`` floats, 1
    where the word is yes. As in Kaldi's recipe those that begin with no are for training (31) and
    those that begin with yes for test (29); some of the training ones are set aside for validation.

    The recordings are looked for in ``TCN_DATA_DIR`` (folder ``yesno/waves_yesno``) and downloaded
    otherwise. Source: openslr.org/1.
    """

    out_channels = 8
    class_names = tuple(f"word {number}" for number in range(1, 9))
    sample_rate = 8000

    def __init__(
        self,
        *,
        folder: str | Path | None = None,
        validation_size: int = 6,
        batch_size: int = 8,
        length: int | None = None,
        augmentation: Sequence[SoundAugmentation] = (),
        seed: int = 1111,
    ) -> None:
        """Sets where the recordings are, and how they are split, cut, changed and batched.

        Args:
            folder: of files such as ``0_1_1_0_1_0_0_1.wav``, in place of the official one.
            validation_size: training recordings set aside for validation.
            batch_size: sounds per batch.
            length: steps of each sound; None keeps their own lengths. See ``SoundDataModule``.
            augmentation: changes of the training batches, in this order.
            seed: decides the validation split, the training order, the windows and the changes.

        Raises:
            TypeError: a number is not an integer, ``folder`` is not a path, or a change is not a
                ``SoundAugmentation``.
            ValueError: a number is out of range. When read: there is no such folder, it has no such
                files, none are left for training, or a file is not 8000 Hz, mono and whole.
        """
        super().__init__(batch_size=batch_size, length=length, augmentation=augmentation, seed=seed)
        check_at_least("validation_size", validation_size, 1)
        self.validation_size = validation_size
        self.folder = None if folder is None else as_path("folder", folder)

    @override
    def prepare_data(self) -> None:
        """Download the recordings if they are not on this machine."""
        self._place()

    @override
    def labeled(self, split: Split) -> Labeled:
        place, first = self._place(), "1" if split == "test" else "0"
        paths = [path for path in sorted(place.rglob("*.wav")) if NAME.fullmatch(path.name)]
        paths = [path for path in paths if path.name.startswith(first)]
        if not paths:
            raise ValueError(
                f"folder: {place} has no recordings for {split}, such as {first}_1_1_0_1_0_0_1.wav;"
                " give that of the data set's recordings"
            )
        if split != "test":
            key = self.seed, "yesno split"
            chosen = chosen_for(split, len(paths), self.validation_size, *key)
            paths = [paths[index] for index in chosen.tolist()]
        labels = [[float(word) for word in path.stem.split("_")] for path in paths]
        return Labeled([Clip(path) for path in paths], torch.tensor(labels))

    def _place(self) -> Path:
        return unpacked(ARCHIVE, "yesno/waves_yesno") if self.folder is None else self.folder
