"""Random changes of training batches of sound, from random numbers that are handed in.

A data module hands in a generator of ``(seed, epoch, position in the epoch)``: a batch is changed
in the same way whichever worker or process makes it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import override

from tcn.audio.clips import Clip, Reader, as_path, read_all
from tcn.audio.sound_formats import FORMATS
from tcn.layers.validation import check_positive, check_share
from tcn.outputs.checks import check_number
from tcn.training.batch import Batch


class SoundAugmentation(ABC):
    """A random change of a batch of sounds."""

    @abstractmethod
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The changed batch.

        Args:
            batch: sounds ``(batch, 1, time)``, with their lengths if they are padded.
            generator: where the random numbers come from.
        """


class TimeShift(SoundAugmentation):
    """Each sound earlier or later, silence in its place; what leaves the window is lost."""

    def __init__(self, steps: int) -> None:
        """Sets how far.

        Args:
            steps: at most so many to either side, at least 1.

        Raises:
            TypeError: it is not an integer.
            ValueError: it is below 1.
        """
        check_positive("steps", [steps])
        self.steps = steps

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        time = batch.x.shape[-1]
        by = torch.randint(-self.steps, self.steps + 1, (len(batch.x), 1), generator=generator)
        source = torch.arange(time) - by
        inside = (source >= 0) & (source < time)
        if batch.lengths is not None:
            inside &= source < batch.lengths[:, None]
        x = batch.x.gather(-1, source.clamp(0, time - 1).unsqueeze(1))
        return batch._replace(x=x.masked_fill(~inside.unsqueeze(1), 0))


class Gain(SoundAugmentation):
    """Each sound louder or softer; what goes beyond full scale is not cut."""

    def __init__(self, decibel: float = 6.0) -> None:
        """Sets by how much.

        Args:
            decibel: at most so many up or down, above 0.

        Raises:
            TypeError: it is not a number.
            ValueError: it is not a finite number above 0.
        """
        check_number("decibel", decibel, above=0)
        self.decibel = decibel

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        drawn = _uniform(len(batch.x), -self.decibel, self.decibel, generator)
        return batch._replace(x=batch.x * 10 ** (drawn / 20))


class Speed(SoundAugmentation):
    """Each sound slower or faster, as a tape: its pitch changes too. Values between are lines.

    A faster sound is shorter, with silence behind it; of a slower one the end is lost, unless
    sounds are padded to the longest, when they become longer.

    Source: Ko et al. 2015 (Audio augmentation for speech recognition), section 2.
    """

    def __init__(self, share: float = 0.1) -> None:
        """Sets by how much.

        Args:
            share: the speed lies between ``1 - share`` and ``1 + share``; above 0, at most 0.5.

        Raises:
            TypeError: it is not a number.
            ValueError: it is not above 0 and at most 0.5.
        """
        check_share("share", share)
        if not 0 < share <= 0.5:
            raise ValueError(f"share: {share} is not above 0 and at most 0.5; give one such as 0.1")
        self.share = share

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        size, _, time = batch.x.shape
        speed = 1 + _uniform(size, -self.share, self.share, generator).view(size, 1).double()
        lengths = batch.lengths
        if lengths is not None:
            lengths = (lengths / speed.squeeze(1)).ceil().long().clamp_min(1)
        steps = time if lengths is None else int(lengths.max())
        at = torch.arange(steps) * speed
        before = at.long()
        x = torch.nn.functional.pad(batch.x.squeeze(1), (0, 1))
        left, right = (x.gather(1, index.clamp_max(time)) for index in (before, before + 1))
        x = torch.lerp(left, right, (at - before).to(x.dtype)).unsqueeze(1)
        return batch._replace(x=x, lengths=lengths)


class Noise(SoundAugmentation):
    """White noise beneath a share of the sounds, so much softer than each as is drawn for it."""

    def __init__(
        self, lowest: float = 10.0, highest: float = 40.0, *, probability: float = 0.5
    ) -> None:
        """Sets how loud.

        Args:
            lowest: ratio of the sound's power to that of the noise, in decibels, at the loudest.
            highest: the same at the softest, not below ``lowest``.
            probability: of each sound to get noise, 0 to 1.

        Raises:
            TypeError: an argument is not a number.
            ValueError: one is out of range.
        """
        self._set(lowest, highest, probability)

    def _set(self, lowest: float, highest: float, probability: float) -> None:
        for name, value in (("lowest", lowest), ("highest", highest)):
            check_number(name, value, above=-math.inf)
        if lowest > highest:
            raise ValueError(f"lowest: {lowest} is above highest: {highest}; exchange them")
        check_share("probability", probability)
        self.lowest = lowest
        self.highest = highest
        self.probability = probability

    @override
    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        size = len(batch.x)
        chosen = torch.rand(size, 1, 1, generator=generator) < self.probability
        ratio = _uniform(size, self.lowest, self.highest, generator)
        noise = self._noise(size, batch.x.shape[-1], generator)
        x = batch.x + chosen * noise * (_power(batch) * 10 ** (-ratio / 10)).sqrt()
        return batch._replace(x=x)

    def _noise(self, size: int, steps: int, generator: torch.Generator) -> Tensor:
        """``(size, 1, steps)`` of a power of about 1."""
        return torch.randn(size, 1, steps, generator=generator)


class BackgroundNoise(Noise):
    """Stretches of recordings, such as of a street, beneath a share of the sounds.

    Source: Warden 2018, arXiv:1804.03209, section 5.8 (the noise files of Speech Commands).
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        sample_rate: int,
        lowest: float = 0.0,
        highest: float = 20.0,
        probability: float = 0.8,
    ) -> None:
        """Reads the recordings and sets how loud they are.

        Args:
            folder: of sound files; those of other kinds and in folders inside are left out.
            sample_rate: theirs, in Hz.
            lowest: ratio of the sound's power to that of the noise, in decibels, at the loudest.
            highest: the same at the softest, not below ``lowest``.
            probability: of each sound to get noise, 0 to 1.

        Raises:
            TypeError: an argument is not a number, or ``folder`` is not a path.
            ValueError: one is out of range, there are no sound files, or one cannot be used.
        """
        self._set(lowest, highest, probability)
        place = as_path("folder", folder)
        paths = sorted(path for path in place.glob("*") if path.suffix.lower() in FORMATS)
        if not paths:
            raise ValueError(
                f"folder: {place} has no files that end in {', '.join(FORMATS)}; give one that has"
            )
        sounds = read_all(Reader(sample_rate), [Clip(path) for path in paths])
        self.recordings = [sound / _root_mean_square(sound) for sound in sounds]

    @override
    def _noise(self, size: int, steps: int, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(size, 2, generator=generator)
        rows = []
        for which, where in drawn.tolist():
            sound = self.recordings[int(which * len(self.recordings))]
            sound = sound.repeat(-(-steps // len(sound)) if len(sound) < steps else 1)
            start = int(where * (len(sound) - steps + 1))
            rows.append(sound[start : start + steps])
        return torch.stack(rows).unsqueeze(1)


def _root_mean_square(sound: Tensor) -> Tensor:
    """That of a recording; 1 of silence, which stays so."""
    size = sound.square().mean().sqrt()
    return torch.where(size > 0, size, 1.0)


def _power(batch: Batch) -> Tensor:
    """The mean square of each sound, ``(batch, 1, 1)``, its padding left out."""
    total = batch.x.square().sum(-1, keepdim=True)
    if batch.lengths is None:
        return total / batch.x.shape[-1]
    return total / batch.lengths.view(-1, 1, 1)


def _uniform(size: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """``(size, 1, 1)`` numbers between two."""
    return torch.rand(size, 1, 1, generator=generator) * (high - low) + low
