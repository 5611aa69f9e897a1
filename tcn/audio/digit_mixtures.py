"""Two people who say digits at once, to be taken apart again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from typing_extensions import override

from tcn.audio.clips import Clip, as_path
from tcn.audio.mixtures import MixtureDataModule
from tcn.audio.spoken_digits import NAME, TEST, place
from tcn.data.loading import Split, check_at_least
from tcn.layers.validation import check_switch


class SpokenDigitMixtures(MixtureDataModule):
    """Sums of digits of the Free Spoken Digit Dataset, each said by another speaker.

    ``x`` is ``(batch, 1, length)`` of 8000 Hz and ``y`` ``(batch, sources, length)``; see
    ``MixtureDataModule``. Speakers are the same in all splits, but for those of ``unheard``, of
    whom no recording is trained on; recordings differ: 0 to 4 of each speaker and digit are for
    test, as the data set's authors have it, the next ones for validation, the others for training.

    Where the recordings come from: see :class:`tcn.audio.SpokenDigits`.
    """

    sample_rate = 8000

    def __init__(
        self,
        *,
        folder: str | Path | None = None,
        unheard: Collection[str] = ("theo", "yweweler"),
        test_unheard: bool = False,
        validation_recordings: int = 5,
        length: int = 4096,
        sources: int = 2,
        decibel: float = 5.0,
        size: int = 1_000,
        evaluation_size: int = 200,
        batch_size: int = 8,
        seed: int = 1111,
    ) -> None:
        """Sets what is mixed and how.

        Args:
            folder: of files such as ``7_jackson_32.wav``, in place of the official one.
            unheard: speakers who are neither trained on nor validated with.
            test_unheard: whether those are the speakers of the test; otherwise the others are.
            validation_recordings: of each speaker and digit, those that follow the test set.
            length: steps of each mixture.
            sources: speakers of each mixture, at least 2.
            decibel: the sounds of a mixture differ in power by at most this, above 0.
            size: mixtures of a training epoch.
            evaluation_size: mixtures for validation, and as many for test.
            batch_size: mixtures per batch.
            seed: decides the mixtures and the training order.

        Raises:
            TypeError: a number is not a number, ``folder`` is not a path, or ``unheard`` one name.
            ValueError: a number is out of range. When read: there is no such folder, a split has
                too few speakers, or a file is not 8000 Hz, mono and whole.
        """
        super().__init__(
            length=length, sources=sources, decibel=decibel, size=size,
            evaluation_size=evaluation_size, batch_size=batch_size, seed=seed,
        )  # fmt: skip
        if isinstance(unheard, str):
            raise TypeError(f"unheard: {unheard!r} is one name; give a list, [{unheard!r}]")
        check_switch(test_unheard=test_unheard)
        check_at_least("validation_recordings", validation_recordings, 1)
        self.folder = None if folder is None else as_path("folder", folder)
        self.unheard = frozenset(unheard)
        self.test_unheard = test_unheard
        self.validation_recordings = validation_recordings

    @override
    def prepare_data(self) -> None:
        """Download the recordings if they are not on this machine."""
        place(self.folder)

    @override
    def clips(self, split: Split) -> list[list[Clip]]:
        first = TEST + self.validation_recordings
        chosen = {"test": range(TEST), "validation": range(TEST, first), "train": range(first, 999)}
        wanted = split == "test" and self.test_unheard
        found: dict[str, list[Clip]] = {}
        folder = place(self.folder)
        for path in sorted(folder.rglob("*.wav")):
            match = NAME.fullmatch(path.name)
            if match and int(match[3]) in chosen[split] and (match[2] in self.unheard) == wanted:
                found.setdefault(match[2], []).append(Clip(path))
        if len(found) < self.out_channels:
            raise ValueError(
                f"folder: {folder} has recordings of {len(found)} speakers for {split}"
                f"{' who are unheard' if wanted else ''}, {sorted(found)}, and a mixture has "
                f"{self.out_channels}; give a folder with more, or change unheard: "
                f"{sorted(self.unheard)}"
            )
        return list(found.values())
