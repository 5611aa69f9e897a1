"""Mixtures of sounds, made when they are asked for, to be taken apart again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from tcn.audio.clips import Clip, Reader, as_path, read_all, windowed
from tcn.audio.folder import files_by_class
from tcn.audio.resampling import check_sample_rate
from tcn.data.loading import (
    SequenceDataset,
    Split,
    check_at_least,
    derived_generator,
)
from tcn.data.placed import Place, PlacedDataModule
from tcn.outputs.checks import check_number
from tcn.training.batch import Batch


class MixtureDataset(SequenceDataset):
    """Mixtures of one sound each of different groups; which ones random numbers say."""

    def __init__(
        self,
        groups: Sequence[Sequence[Tensor]],
        *,
        size: int,
        sources: int,
        length: int,
        decibel: float,
        key: tuple[int | str, ...],
    ) -> None:
        """Keeps the sounds; nothing is mixed yet.

        Args:
            groups: sounds ``(time,)`` of each group, at least ``sources`` groups.
            size: mixtures.
            sources: sounds of each.
            length: steps of each.
            decibel: the sounds of a mixture differ in power by at most this.
            key: what the mixtures follow from, with their number and in training the epoch.
        """
        self.groups = groups
        self.size = size
        self.sources = sources
        self.length = length
        self.decibel = decibel
        self.key = key

    def __len__(self) -> int:
        return self.size

    @override
    def __getitems__(self, indices: Sequence[Any]) -> Batch:
        y = torch.stack([self.apart(index) for index in indices])
        return Batch(y.sum(1, keepdim=True), y)

    def apart(self, index: int | Place) -> Tensor:
        """The sounds of a mixture, ``(sources, length)``."""
        which = (index.item, index.epoch) if isinstance(index, Place) else (int(index),)
        generator = derived_generator(*self.key, *which)
        chosen = torch.randperm(len(self.groups), generator=generator)[: self.sources].tolist()
        drawn = torch.rand(3, self.sources, generator=generator)
        sounds = [
            self.groups[group][int(where * len(self.groups[group]))]
            for group, where in zip(chosen, drawn[0].tolist(), strict=True)
        ]
        windows = windowed(sounds, self.length, drawn[1])[:, 0]
        gains = self.decibel * (drawn[2] - 0.5)
        return _at_power(windows, gains)

    @override
    def tensors(self) -> Iterator[Tensor]:
        """Every mixture of what is not trained on; of training the sounds."""
        if self.key[-1] == "train":
            for group in self.groups:
                yield from group
        else:
            for index in range(self.size):
                yield self.apart(index)


class MixtureDataModule(PlacedDataModule):
    """What the data modules of mixtures share: how sounds are mixed, batched and ordered.

    ``x`` is ``(batch, 1, length)``, the sum, and ``y`` ``(batch, sources, length)``, the sounds, in
    no particular order. Every training epoch has new mixtures; the others are the same each time.
    Each sound is brought to a power of -26 decibels before it is made up to half of ``decibel``
    louder or softer.

    Subclass it for recordings of your own: ``clips`` and ``sample_rate`` are all that is needed.

    Attributes:
        in_channels: 1.
        out_channels: sources.
        sample_rate: in Hz.
    """

    in_channels = 1
    sample_rate: int

    def __init__(
        self,
        *,
        length: int,
        sources: int = 2,
        decibel: float = 5.0,
        size: int = 1_000,
        evaluation_size: int = 200,
        batch_size: int = 8,
        seed: int = 1111,
    ) -> None:
        """Sets how sounds are mixed.

        Args:
            length: steps of each mixture.
            sources: sounds of each mixture, at least 2.
            decibel: the sounds of a mixture differ in power by at most this, above 0.
            size: mixtures of a training epoch.
            evaluation_size: mixtures for validation, and as many for test.
            batch_size: mixtures per batch.
            seed: decides the mixtures and the training order.

        Raises:
            TypeError: a number is not a number.
            ValueError: a number is out of range.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        numbers = {"length": length, "size": size, "evaluation_size": evaluation_size}
        for name, value in numbers.items():
            check_at_least(name, value, 1)
        check_at_least("sources", sources, 2)
        check_number("decibel", decibel, above=0)
        self.length = length
        self.decibel = decibel
        self.sizes = {"train": size, "validation": evaluation_size, "test": evaluation_size}
        self.out_channels = sources

    @abstractmethod
    def clips(self, split: Split) -> list[list[Clip]]:
        """The recordings of a split, group by group; a mixture has at most one of each group."""

    @override
    def make_dataset(self, split: Split) -> MixtureDataset:
        """Read the sounds of a split."""
        clips = self.clips(split)
        reader = Reader(self.sample_rate)
        sounds = iter(read_all(reader, [clip for group in clips for clip in group]))
        return MixtureDataset(
            [[next(sounds) for _ in group] for group in clips],
            size=self.sizes[split],
            sources=self.out_channels,
            length=self.length,
            decibel=self.decibel,
            key=(self.seed, "mixtures", split),
        )


class Mixtures(MixtureDataModule):
    """Sums of sounds of different groups, such as people, to be taken apart again.

    Files lie in a folder for each group::

        speech/anna/1.wav    speech/anna/2.wav    speech/ben/1.wav

    The groups are shared out: those of validation and of test are heard in no other split. What a
    batch is: see :class:`MixtureDataModule`.

    Source: Hershey et al. 2016, arXiv:1508.04306, section 4 (0 to 5 decibels, other speakers in
    the test set), whose mixtures of WSJ0 these are not.
    """

    def __init__(
        self,
        *,
        folder: str | Path,
        sample_rate: int,
        length: int,
        sources: int = 2,
        decibel: float = 5.0,
        size: int = 1_000,
        evaluation_size: int = 200,
        batch_size: int = 8,
        seed: int = 1111,
    ) -> None:
        """Sets what is mixed and how.

        Args:
            folder: holds a folder for each group, three times ``sources`` or more.
            sample_rate: of the sounds, in Hz.
            length: steps of each mixture.
            sources: sounds of each mixture, at least 2.
            decibel: the sounds of a mixture differ in power by at most this, above 0.
            size: mixtures of a training epoch.
            evaluation_size: mixtures for validation, and as many for test.
            batch_size: mixtures per batch.
            seed: decides the groups of each split, the mixtures and the training order.

        Raises:
            TypeError: a number is not a number, or ``folder`` is not a path.
            ValueError: a number is out of range, or there is no such folder or too few groups in
                it. When read: files cannot be used.
        """
        super().__init__(
            length=length, sources=sources, decibel=decibel, size=size,
            evaluation_size=evaluation_size, batch_size=batch_size, seed=seed,
        )  # fmt: skip
        check_sample_rate("sample_rate", sample_rate)
        self.sample_rate = sample_rate
        self.folder = as_path("folder", folder)
        self.files = files_by_class("folder", self.folder)
        if len(self.files) < 3 * sources:
            raise ValueError(
                f"folder: {self.folder} has {len(self.files)} groups; {sources} sources in each of "
                f"three splits need {3 * sources}"
            )

    def groups(self, split: Split) -> list[str]:
        """The groups of a split: about a tenth for validation and for test, but enough to mix."""
        names = sorted(self.files)
        order = torch.randperm(len(names), generator=derived_generator(self.seed, "mixture groups"))
        aside = max(self.out_channels, len(names) // 10)
        first = {"test": 0, "validation": aside, "train": 2 * aside}[split]
        last = {"test": aside, "validation": 2 * aside, "train": len(names)}[split]
        return sorted(names[index] for index in order[first:last].tolist())

    @override
    def clips(self, split: Split) -> list[list[Clip]]:
        return [[Clip(path) for path in self.files[name]] for name in self.groups(split)]


def _at_power(sounds: Tensor, decibel: Tensor) -> Tensor:
    """Sounds ``(sources, length)`` at -26 decibels and so much more; silence stays as it is."""
    power = sounds.square().mean(-1, keepdim=True)
    wanted = 10 ** ((decibel - 26) / 10)
    return sounds * (wanted.unsqueeze(-1) / power.clamp_min(1e-12)).sqrt()
