"""Dry and wet sound: what goes into a device and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from tcn.audio.clips import as_path
from tcn.audio.resampling import check_sample_rate
from tcn.audio.sound import decoded
from tcn.audio.stretches import check_shares, stretch
from tcn.data.loading import (
    SequenceDataset,
    Split,
    check_at_least,
    derived_generator,
)
from tcn.data.placed import Place, PlacedDataModule
from tcn.training.batch import Batch


class Pair(NamedTuple):
    """A stretch of sound that went into a device, and the same of what came out.

    Attributes:
        dry: ``(channel, time)``.
        wet: ``(channel, time)``, as long.
    """

    dry: Tensor
    wet: Tensor


class PairDataset(SequenceDataset):
    """Windows of pairs: one after the other, or in training anywhere."""

    def __init__(self, pairs: Sequence[Pair], *, length: int, context: int, seed: int) -> None:
        """Cuts pairs into windows of ``length`` steps, with ``context`` steps before each.

        Args:
            pairs: at least one of them has ``context + length`` steps.
            length: steps of which the targets count.
            context: steps before them, whose targets are NaN.
            seed: decides where windows lie in training, with the epoch.
        """
        self.pairs = pairs
        self.length = length
        self.context = context
        self.seed = seed
        self.starts = [
            (index, start)
            for index, pair in enumerate(pairs)
            for start in range(0, pair.dry.shape[-1] - length - context + 1, length)
        ]

    def __len__(self) -> int:
        return len(self.starts)

    @override
    def __getitems__(self, indices: Sequence[Any]) -> Batch:
        placed = isinstance(indices[0], Place)
        items = [place.item for place in indices] if placed else list(indices)
        moved = [0.0] * len(items)
        if placed:
            key = self.seed, "pair windows", indices[0].epoch, indices[0].position
            moved = torch.rand(len(items), generator=derived_generator(*key)).tolist()
        windows = [self._window(i, by) for i, by in zip(items, moved, strict=True)]
        x, y = (torch.stack(part) for part in zip(*windows, strict=True))
        y[..., : self.context] = math.nan
        return Batch(x, y)

    def _window(self, item: int, moved: float) -> Pair:
        """A window that begins up to ``length`` steps later than it lies, within its pair."""
        index, start = self.starts[item]
        pair, steps = self.pairs[index], self.context + self.length
        start = min(start + int(moved * self.length), pair.dry.shape[-1] - steps)
        return Pair(*(part[:, start : start + steps].clone() for part in pair))

    @override
    def tensors(self) -> Iterator[Tensor]:
        """Dry and wet, pair by pair."""
        for pair in self.pairs:
            yield from pair


class SoundPairs(PlacedDataModule):
    """What goes into a device and what comes out of it, for ``SoundRegression``.

    ``x`` and ``y`` are ``(batch, channel, context + length)`` floats. The first ``context`` targets
    are NaN: the net has not heard enough there. The end of every recording is for test, the stretch
    before it for validation, the rest for training, where windows begin anywhere.

    ::

        SoundPairs(dry="dry.wav", wet="wet.wav", sample_rate=48000, length=8192, context=4096)
        SoundPairs(dry="dry", wet="wet", ...)  # folders with files of the same names
    """

    def __init__(
        self,
        *,
        dry: str | Path,
        wet: str | Path,
        sample_rate: int,
        length: int,
        context: int = 0,
        validation_share: float = 0.1,
        test_share: float = 0.1,
        batch_size: int = 16,
        seed: int = 1111,
    ) -> None:
        """Sets where the recordings are, and how they are split and cut.

        Args:
            dry: a sound file, or a folder of them.
            wet: the file, or a folder of files of the same names, as long and as fast.
            sample_rate: theirs, in Hz.
            length: steps of each window of which targets count.
            context: steps before them, such as ``net.receptive_field - 1``.
            validation_share: of each recording, above 0.
            test_share: of each recording, above 0; both together below 1.
            batch_size: windows per batch.
            seed: decides the training order and where windows begin.

        Raises:
            TypeError: a number is not a number, or a path is not one.
            ValueError: a number is out of range. When read: files are not there, cannot be used,
                do not fit each other, or are too short.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        check_sample_rate("sample_rate", sample_rate)
        check_at_least("length", length, 1)
        check_at_least("context", context, 0)
        check_shares(validation_share, test_share)
        self.dry = as_path("dry", dry)
        self.wet = as_path("wet", wet)
        self.sample_rate = sample_rate
        self.length = length
        self.context = context
        self.shares = validation_share, test_share
        self._pairs: list[Pair] | None = None

    @property
    def in_channels(self) -> int:  # type: ignore[override]
        """Channels of the dry sound."""
        return len(self.pairs[0].dry)

    @property
    def out_channels(self) -> int:  # type: ignore[override]
        """Channels of the wet sound."""
        return len(self.pairs[0].wet)

    @property
    def pairs(self) -> list[Pair]:
        """All recordings, read when first asked for."""
        if self._pairs is None:
            self._pairs = [self._read(*paths) for paths in paired(self.dry, self.wet)]
            _check_channels(self._pairs, self.dry)
        return self._pairs

    @override
    def make_dataset(self, split: Split) -> PairDataset:
        """Read, and cut the stretch of a split into windows."""
        parts = self.parts(split)
        data = PairDataset(parts, length=self.length, context=self.context, seed=self.seed)
        if not len(data):
            longest = max(pair.dry.shape[-1] for pair in parts)
            raise ValueError(
                f"length: {self.length} with context: {self.context} is more than the {longest} "
                f"steps for {split}; give fewer, a larger share, or longer recordings"
            )
        return data

    def parts(self, split: Split) -> list[Pair]:
        """The stretches of a split."""
        return [self._part(pair, split) for pair in self.pairs]

    def _part(self, pair: Pair, split: Split) -> Pair:
        first, last = stretch(pair.dry.shape[-1], self.shares, split)
        return Pair(*(part[:, first:last] for part in pair))

    def _read(self, dry: Path, wet: Path) -> Pair:
        found = []
        for path in (dry, wet):
            sound = decoded(path, clip=False)
            if sound.sample_rate != self.sample_rate:
                raise ValueError(
                    f"sample_rate: {path} has {sound.sample_rate} Hz, {self.sample_rate} wanted; "
                    "record the pair at one rate"
                )
            found.append(sound.samples)
        pair = Pair(*found)
        if pair.dry.shape[-1] != pair.wet.shape[-1]:
            raise ValueError(
                f"wet: {wet} has {pair.wet.shape[-1]} steps and {dry} {pair.dry.shape[-1]}; cut "
                "them so that they begin and end together"
            )
        return pair


def paired(dry: Path, wet: Path) -> list[tuple[Path, Path]]:
    """The files that belong together.

    Raises:
        ValueError: one is a folder and the other is not, or folders have other files.
    """
    if dry.is_dir() != wet.is_dir():
        raise ValueError(f"wet: of {dry} and {wet} one is a folder; give two files or two folders")
    if not dry.is_dir():
        return [(dry, wet)]
    names = [{p.name for p in folder.iterdir() if p.name[0] != "."} for folder in (dry, wet)]
    if other := sorted(names[0] ^ names[1]):
        raise ValueError(f"wet: {other} are in one of {dry} and {wet} alone; give both the same")
    if not names[0]:
        raise ValueError(f"dry: {dry} is empty; put sound files in")
    return [(dry / name, wet / name) for name in sorted(names[0])]


def _check_channels(pairs: Sequence[Pair], dry: Path) -> None:
    if len({(len(pair.dry), len(pair.wet)) for pair in pairs}) > 1:
        raise ValueError(f"dry: recordings of {dry} differ in their channels; give all the same")
