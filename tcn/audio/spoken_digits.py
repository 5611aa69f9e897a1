"""Free Spoken Digit Dataset: ten digits, six speakers."""

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

ARCHIVE = RemoteFile(
    "fsdd/v1.0.9.tar.gz",
    "8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
    ("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz",),
)
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
"""Digit, speaker, recording."""
TEST = 5
"""Recordings 0 to 4 of each speaker and digit are the official test set."""


class SpokenDigits(SoundDataModule):
    """The digits from 0 to 9 in English, spoken 50 times by each of six people.

    ``x`` is ``(batch, 1, time)`` of 8000 Hz, ``y`` ``(batch,)`` int64. As the authors have it,
    recordings 0 to 4 of each speaker and digit are for test (300); the next ones are for
    validation, and the others for training. Speakers are the same in all three, unless one is
    ``unheard``: then all 500 recordings of that one, and no others, are for test.

    The recordings are looked for in ``TCN_DATA_DIR`` (folder ``fsdd/recordings``); otherwise
    version 1.0.9 is downloaded, which has 2,500 of the 3,000. Source: Jackson et al. 2018,
    github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0).
    """

    out_channels = 10
    class_names = tuple("0123456789")
    sample_rate = 8000

    def __init__(
        self,
        *,
        folder: str | Path | None = None,
        validation_recordings: int = 5,
        unheard: str | None = None,
        batch_size: int = 32,
        length: int | None = None,
        augmentation: Sequence[SoundAugmentation] = (),
        seed: int = 1111,
    ) -> None:
        """Sets where the recordings are, and how they are split, cut, changed and batched.

        Args:
            folder: of files such as ``7_jackson_32.wav``, in place of the official one.
            validation_recordings: of each speaker and digit, those that follow the test set.
            unheard: a speaker who is tested on, and neither trained on nor validated with.
            batch_size: sounds per batch.
            length: steps of each sound; None keeps their own lengths. See ``SoundDataModule``.
            augmentation: changes of the training batches, in this order.
            seed: decides the training order, the windows and the changes.

        Raises:
            TypeError: a number is not an integer, ``folder`` is not a path, or a change is not a
                ``SoundAugmentation``.
            ValueError: a number is out of range. When read: there is no such folder, a split has no
                recordings, or a file is not 8000 Hz, mono and whole.
        """
        super().__init__(batch_size=batch_size, length=length, augmentation=augmentation, seed=seed)
        check_at_least("validation_recordings", validation_recordings, 1)
        if unheard is not None and not isinstance(unheard, str):
            raise TypeError(
                f"unheard: {unheard!r} is not a name; give one, such as 'theo', or None"
            )
        self.validation_recordings = validation_recordings
        self.unheard = unheard
        self.folder = None if folder is None else as_path("folder", folder)

    @override
    def prepare_data(self) -> None:
        """Download the recordings if they are not on this machine."""
        place(self.folder)

    @override
    def labeled(self, split: Split) -> Labeled:
        first = TEST + self.validation_recordings
        chosen = {"test": range(TEST), "validation": range(TEST, first), "train": range(first, 999)}
        if self.unheard is not None:
            chosen["test"] = range(999)
        folder = place(self.folder)
        found, speakers = [], set()
        for path in sorted(folder.rglob("*.wav")):
            match = NAME.fullmatch(path.name)
            if match is None or int(match[3]) not in chosen[split]:
                continue
            speakers.add(match[2])
            if self.unheard is None or (match[2] == self.unheard) == (split == "test"):
                found.append((path, int(match[1])))
        if self.unheard is not None and speakers and self.unheard not in speakers:
            raise ValueError(f"unheard: {self.unheard!r} is none of {sorted(speakers)}")
        if not found:
            example = f"7_{self.unheard or 'jackson'}_{chosen[split][0]}.wav"
            raise ValueError(
                f"folder: {folder} has no recordings for {split}, such as {example}; give that of "
                "the data set's recordings"
            )
        return Labeled(
            [Clip(path) for path, _ in found], torch.tensor([digit for _, digit in found])
        )


def place(folder: Path | None) -> Path:
    """Where the recordings lie: in the folder, or if None in the official one."""
    return unpacked(ARCHIVE, "fsdd/recordings") if folder is None else folder
