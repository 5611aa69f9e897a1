"""Recordings as a data set: which stretches of which files, read as mono sound of one rate."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tcn.audio.resampling import check_sample_rate
from tcn.audio.sound import converted, decoded
from tcn.audio.sound_checks import full_scale_runs
from tcn.layers.validation import check_switch

NAMED = 5
"""Files that an error or a warning names before it only counts."""


class Clip(NamedTuple):
    """A recording, or a stretch of one.

    Attributes:
        path: of the file.
        start: its first step.
        steps: how many; None for all the rest.
    """

    path: Path
    start: int = 0
    steps: int | None = None


class Reader:
    """Reads files as mono sound of one rate.

    Attributes:
        sample_rate: in Hz.
        resampled: whether files of another rate are resampled; they are refused otherwise.
        mixed: whether several channels are mixed down; they are refused otherwise.
    """

    def __init__(self, sample_rate: int, *, resampled: bool = False, mixed: bool = False) -> None:
        check_sample_rate("sample_rate", sample_rate)
        check_switch(resampled=resampled, mixed=mixed)
        self.sample_rate = sample_rate
        self.resampled = resampled
        self.mixed = mixed
        self._long = functools.lru_cache(maxsize=16)(self._read)

    def __reduce__(self) -> tuple[object, ...]:  # a cache cannot go to another process
        return _reader, (self.sample_rate, self.resampled, self.mixed)

    def __call__(self, clip: Clip) -> Tensor:
        """``(time,)`` float32 in [-1, 1].

        Raises:
            ValueError: the file is not what is wanted, see :func:`tcn.audio.load_sound`.
        """
        whole = clip.start == 0 and clip.steps is None
        samples = self._read(clip.path) if whole else self._long(clip.path)
        end = None if clip.steps is None else clip.start + clip.steps
        return samples[clip.start : end]

    def _read(self, path: Path) -> Tensor:
        sound = converted(
            path, decoded(path, clip=False), sample_rate=self.sample_rate, resampled=self.resampled,
            channels=1, mixed=self.mixed,
        )  # fmt: skip
        return sound.samples[0]


def read_all(reader: Reader, clips: Sequence[Clip]) -> list[Tensor]:
    """Every clip; what is wrong with files is told once for all of them.

    Raises:
        ValueError: some cannot be used; the first of them are named.
    """
    sounds: list[Tensor] = []
    broken: list[str] = []
    clipped: list[str] = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for clip in clips:
            try:
                sounds.append(reader(clip))
            except ValueError as error:
                broken.append(str(error))
            else:
                if full_scale_runs(sounds[-1][None]):
                    clipped.append(str(clip.path))
    if broken:
        raise ValueError(
            f"folder: {len(broken)} of {len(clips)} files cannot be used; replace or remove "
            f"them:{_listed(broken)}"
        )
    if told:
        said = _listed([str(warning.message) for warning in told])
        warnings.warn(f"{len(told)} warnings of sound files:{said}", stacklevel=2)
    if clipped:
        warnings.warn(
            f"{len(clipped)} of {len(clips)} recordings stay at full scale for 3 or more steps; "
            f"they were probably clipped when they were made:{_listed(clipped)}",
            stacklevel=2,
        )
    return sounds


def windowed(sounds: Sequence[Tensor], length: int, places: Tensor) -> Tensor:
    """Sounds cut or padded with silence to one length, ``(batch, 1, length)``.

    Args:
        sounds: ``(time,)`` each.
        length: steps of each window.
        places: ``(batch,)`` from 0 to 1: where the window lies in a longer sound, and where a
            shorter one lies in the window.
    """
    x = torch.zeros(len(sounds), 1, length)
    for row, sound, place in zip(x, sounds, places.tolist(), strict=True):
        spare = len(sound) - length
        start = round(abs(spare) * place)
        if spare >= 0:
            row[0] = sound[start : start + length]
        else:
            row[0, start : start + len(sound)] = sound
    return x


def padded(sounds: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sounds with silence on the right, ``(batch, 1, time)``, and their lengths."""
    lengths = torch.tensor([len(sound) for sound in sounds])
    rows = torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    return rows.unsqueeze(1), lengths


def as_path(argument: str, given: str | Path) -> Path:
    """The path, ``~`` being the home of the user.

    Raises:
        TypeError: it is not a path.
    """
    if not isinstance(given, str | Path):
        raise TypeError(f"{argument}: {given!r} is not a path; give a folder, such as 'recordings'")
    return Path(given).expanduser()


def _listed(lines: Sequence[str]) -> str:
    more = len(lines) - NAMED
    rest = f"\n  and {more} more" if more > 0 else ""
    return "".join(f"\n  {line}" for line in lines[:NAMED]) + rest


def _reader(sample_rate: int, resampled: bool, mixed: bool) -> Reader:
    return Reader(sample_rate, resampled=resampled, mixed=mixed)
