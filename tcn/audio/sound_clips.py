"""Clips to be continued: random segments of a few recordings, each sample a target given its past.

clip       |---------------- train ----------------|- validation -|---- test ----|
training       [context | length]  anywhere        :              :
validation                              [context | length][length][length]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from tcn.audio.clips import Clip, Reader, as_path, read_all
from tcn.audio.stretches import check_shares, stretch
from tcn.data.fetch import RemoteFile, locate
from tcn.data.loading import (
    SequenceDataset,
    Split,
    check_at_least,
    derived_generator,
)
from tcn.data.placed import Place, PlacedDataModule
from tcn.layers.validation import as_float
from tcn.outputs import mu_law_decode, mu_law_encode
from tcn.training.batch import Batch

ADDRESS = "https://librosa.org/data/audio/{}"
EXAMPLES = {
    "trumpet": RemoteFile(
        "music_clips/sorohanro_-_solo-trumpet-06.hq.ogg",
        "beb954ae2c9c16919b5ca6973d6d5196cdcb196b46a3c2a201dd8861e7e324de",
        (ADDRESS.format("sorohanro_-_solo-trumpet-06.hq.ogg"),),
    ),
    "nutcracker": RemoteFile(
        "music_clips/Kevin_MacLeod_-_P_I_Tchaikovsky_Dance_of_the_Sugar_Plum_Fairy.ogg",
        "b5c1a3e26310e6618d3c124f458654cd235650fcb9db7d711302644566600484",
        (ADDRESS.format("Kevin_MacLeod_-_P_I_Tchaikovsky_Dance_of_the_Sugar_Plum_Fairy.ogg"),),
    ),
}
"""Recordings that are fetched by name, those of librosa: a trumpet alone (Mihai Sorohan, 5 s, of
which 3.25 are not silent; CC BY 3.0) and the Dance of the Sugar Plum Fairy (Kevin MacLeod, 120 s;
CC BY 3.0)."""


class Stretch:
    """A part of a clip whose samples are targets, and what lies before it.

    Attributes:
        samples: ``(time,)``, the clip from its beginning to the end of the part.
        first: the first target.
    """

    def __init__(self, samples: Tensor, first: int) -> None:
        self.samples = samples
        self.first = first

    def window(self, start: int, *, length: int, context: int) -> tuple[Tensor, Tensor]:
        """Input and target, ``(1, context + length)``; the target is NaN where none is counted.

        What lies beyond the clip is silence.

        Args:
            start: the first target.
            length: targets; fewer at the end of the part.
            context: steps before them.
        """
        first, last = max(start - context, 0), min(start + length, len(self.samples))
        x = torch.zeros(context + length)
        y = torch.full((context + length,), math.nan)
        shift = context - start
        x[first + shift : last + shift] = self.samples[first:last]
        y[context : last + shift] = self.samples[start:last]
        return x[None], y[None]


class ClipDataset(SequenceDataset):
    """Windows of clips: one after the other, each target once; or in training anywhere."""

    def __init__(
        self, stretches: Sequence[Stretch], *, length: int, context: int, seed: int
    ) -> None:
        """Counts windows.

        Args:
            stretches: of the clips.
            length: targets of a window.
            context: steps before them.
            seed: decides where windows lie in training, with the epoch.
        """
        self.stretches = stretches
        self.length = length
        self.context = context
        self.seed = seed
        self.starts = [
            (number, start)
            for number, part in enumerate(stretches)
            for start in range(part.first, len(part.samples), length)
        ]
        # Of each clip, from how many places a window may begin that needs no silence at its end.
        places = [max(len(part.samples) - part.first - length + 1, 1) for part in stretches]
        self._ends = torch.tensor(places).cumsum(0)

    def __len__(self) -> int:
        return len(self.starts)

    @override
    def __getitems__(self, indices: Sequence[Any]) -> Batch:
        chosen = [self.starts[index] for index in indices if not isinstance(index, Place)]
        if not chosen:
            key = self.seed, "clip windows", indices[0].epoch, indices[0].position
            share = torch.rand(len(indices), generator=derived_generator(*key), dtype=torch.float64)
            chosen = [self._anywhere(int(each * int(self._ends[-1]))) for each in share]
        windows = [
            self.stretches[number].window(start, length=self.length, context=self.context)
            for number, start in chosen
        ]
        x, y = (torch.stack(part) for part in zip(*windows, strict=True))
        return Batch(x, y)

    def _anywhere(self, place: int) -> tuple[int, int]:
        """The clip and the start of a place, counted over all clips."""
        number = int(torch.searchsorted(self._ends, place, right=True))
        before = int(self._ends[number - 1]) if number else 0
        return number, self.stretches[number].first + place - before

    @override
    def tensors(self) -> Iterator[Tensor]:
        """The targets of every clip."""
        for part in self.stretches:
            yield part.samples[part.first :]


class SoundClips(PlacedDataModule):
    """A few recordings to be continued, for a :class:`tcn.models.WaveNet` in ``Regression``.

    ``x`` and ``y`` are the same sound, ``(batch, 1, context + length)`` floats in [-1, 1], the
    first ``context`` targets being NaN: the net has not heard enough there. The end of every clip
    is for test, the stretch before it for validation, the rest for training, where windows lie
    anywhere. Validation and test windows follow each other, so that each sample counts once; their
    context reaches back into the stretch before.

    ::

        data = SoundClips(sound="trumpet", sample_rate=16000, resampled=True, mixed=True)
        task = Regression(WaveNet(), missing="ignore")
    """

    in_channels = 1
    out_channels = 1

    def __init__(
        self,
        *,
        sound: str | list[str],
        sample_rate: int,
        resampled: bool = False,
        mixed: bool = False,
        seconds: float | None = None,
        levels: int | None = 256,
        length: int = 4096,
        context: int = 0,
        validation_share: float = 0.1,
        test_share: float = 0.1,
        batch_size: int = 8,
        seed: int = 1111,
    ) -> None:
        """Sets where the recordings are, and how they are read, split and cut.

        Args:
            sound: a file, a folder of them, several files, or the name of an example that is
                fetched: ``"trumpet"`` or ``"nutcracker"``.
            sample_rate: that of the net, in Hz.
            resampled: whether files of another rate are resampled; they are refused otherwise.
            mixed: whether several channels are mixed down; they are refused otherwise.
            seconds: how much of each recording is used, from its beginning; None for all.
            levels: of mu-law, to which samples are rounded as those that are generated will be;
                None leaves them as they are.
            length: steps of each window of which targets count.
            context: steps before them, such as ``net.receptive_field``.
            validation_share: of each recording, above 0.
            test_share: of each recording, above 0; both together below 1.
            batch_size: windows per batch.
            seed: decides the training order and where windows lie, with the epoch.

        Raises:
            TypeError: a number is not a number, or a path is not one.
            ValueError: a number is out of range. When read: a file is not there, cannot be used or
                is too short.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        check_at_least("length", length, 1)
        check_at_least("context", context, 0)
        if levels is not None:
            check_at_least("levels", levels, 2)
        _check_seconds(seconds)
        check_shares(validation_share, test_share)
        self.sound = [as_path("sound", each) for each in _several(sound)]
        if not self.sound:
            raise ValueError("sound: no file is named; give one, such as 'trumpet.wav'")
        self.reader = Reader(sample_rate, resampled=resampled, mixed=mixed)
        self.sample_rate = sample_rate
        self.seconds = seconds
        self.levels = levels
        self.length = length
        self.context = context
        self.shares = validation_share, test_share
        self._clips: list[Tensor] | None = None

    @override
    def prepare_data(self) -> None:
        """Fetch examples that are not on this machine."""
        self._paths()

    @property
    def clips(self) -> list[Tensor]:
        """All recordings as they are used, ``(time,)`` each, read when first asked for."""
        if self._clips is None:
            read = read_all(self.reader, [Clip(path) for path in self._paths()])
            steps = None if self.seconds is None else round(self.seconds * self.sample_rate)
            self._clips = [self._rounded(samples[:steps]) for samples in read]
        return self._clips

    @override
    def make_dataset(self, split: Split) -> ClipDataset:
        """Read, and cut the stretch of a split into windows."""
        stretches = [self._stretch(samples, split) for samples in self.clips]
        for samples, part in zip(self.clips, stretches, strict=True):
            if len(part.samples) == part.first:
                raise ValueError(
                    f"sound: a recording of {len(samples)} steps leaves none for {split}; leave it "
                    "out or give larger shares"
                )
        return ClipDataset(stretches, length=self.length, context=self.context, seed=self.seed)

    def _stretch(self, samples: Tensor, split: Split) -> Stretch:
        first, last = stretch(len(samples), self.shares, split)
        return Stretch(samples[:last], first)

    def _rounded(self, samples: Tensor) -> Tensor:
        if self.levels is None:
            return samples
        return mu_law_decode(mu_law_encode(samples, self.levels), self.levels)

    def _paths(self) -> list[Path]:
        return [path for each in self.sound for path in _files(each)]


def _check_seconds(seconds: object) -> None:
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        raise TypeError(f"seconds: {seconds!r} is not a number; None uses all")
    if not 0 < as_float(seconds) < math.inf:
        raise ValueError(f"seconds: {seconds} is not above 0 and finite; None uses all")


def _several(sound: Any) -> Sequence[Any]:
    """What is named, whether it is one or several."""
    return sound if isinstance(sound, Sequence) and not isinstance(sound, str) else [sound]


def _files(path: Path) -> list[Path]:
    """The file of an example, or a file, or those of a folder."""
    if str(path) in EXAMPLES:
        return [locate(EXAMPLES[str(path)])]
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
    if not found:
        raise ValueError(f"sound: {path} is empty; put sound files in")
    return found
