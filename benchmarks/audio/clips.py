"""Clips of music, speech and a bird, and what a device makes of them."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import override

from benchmarks.audio.devices import DEVICES
from tcn.audio import SoundPairs, load_sound
from tcn.audio.pairs import Pair
from tcn.data.fetch import data_folder
from tcn.data.loading import Split

RATE = 48_000
UNHEARD = "198-209-0000"
"""A speaker who is in the test part alone."""


class DeviceClips(SoundPairs):
    """Clips of librosa's examples, resampled to 48 kHz, and a device's answer to them.

    The clips lie in the folder ``music_clips`` of ``TCN_DATA_DIR``. Of each the first 80 % are for
    training, the next 10 % for validation, the last 10 % for test; of one speaker all is for test.
    """

    def __init__(
        self,
        *,
        device: str,
        length: int,
        context: int,
        batch_size: int = 4,
        seed: int = 1111,
    ) -> None:
        """Sets the device and how windows are cut.

        Args:
            device: one of :data:`benchmarks.audio.devices.DEVICES`.
            length: steps of each window of which targets count.
            context: steps before them.
            batch_size: windows per batch.
            seed: decides the training order and where windows begin.

        Raises:
            ValueError: the device is unknown. When read: there are no clips.
        """
        if device not in DEVICES:
            raise ValueError(f"device: {device!r} is none of {', '.join(DEVICES)}")
        super().__init__(
            dry=Path("music_clips"), wet=Path(device), sample_rate=RATE, length=length,
            context=context, batch_size=batch_size, seed=seed,
        )  # fmt: skip
        self.device = device

    @property
    @override
    def pairs(self) -> list[Pair]:
        """The clips that are heard in training, then the one that is not."""
        if self._pairs is None:
            folder = data_folder()
            clips = sorted(folder.glob("music_clips/*.ogg")) if folder else []
            if not clips:
                raise ValueError("TCN_DATA_DIR: it has no music_clips/*.ogg; put librosa's there")
            clips.sort(key=lambda path: path.stem == UNHEARD)
            self._pairs = [self._played(path) for path in clips]
        return self._pairs

    @override
    def parts(self, split: Split) -> list[Pair]:
        """Stretches of the clips; in test the whole of the one that is not heard before."""
        *heard, unheard = self.pairs
        return [self._part(pair, split) for pair in heard] + [unheard] * (split == "test")

    def _played(self, path: Path) -> Pair:
        dry = load_sound(path, sample_rate=RATE, resampled=True, channels=1, mixed=True).samples
        return Pair(dry, DEVICES[self.device](dry, RATE))
