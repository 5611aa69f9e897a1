"""Sound files in and out: floats in [-1, 1], and nothing is converted unless it is asked for."""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from tcn.audio.resampling import check_sample_rate, resample
from tcn.audio.sound_checks import (
    check_range,
    check_whole,
    checked_samples,
    full_scale_runs,
    refused,
)
from tcn.audio.sound_formats import FORMATS, encoded
from tcn.extras import need
from tcn.layers.validation import check_positive, check_switch
from tcn.saving.files import replacing

BLOCK = 1 << 16
"""Steps that are read and written at a time.

A damaged header may announce terabytes, and libsndfile's encoder for Vorbis overflows on many.
"""
SYSTEM_ERROR = 2
"""What libsndfile calls an error of the operating system; it does not say which."""
LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"})


class Sound(NamedTuple):
    """Samples and their rate.

    Attributes:
        samples: ``(channel, time)`` float32 in [-1, 1].
        sample_rate: in Hz.
    """

    samples: Tensor
    sample_rate: int


def load_sound(
    path: str | PathLike[str],
    *,
    sample_rate: int | None = None,
    resampled: bool = False,
    channels: int | None = None,
    mixed: bool = False,
    clip: bool = False,
) -> Sound:
    """Reads a sound file: WAV of 8 to 32 bits or floats, FLAC, OGG, MP3, and what libsndfile knows.

    What the file holds is returned as it is. A rate or a number of channels that is wanted is a
    promise about the file, and one that does not hold is an error unless the conversion is asked
    for by name. A warning names the file if samples stay at full scale for 3 or more steps, as
    they do where a recording was clipped, and if the decoder of a lossy format went beyond full
    scale, which is cut.

    Args:
        path: of the file.
        sample_rate: the rate that is wanted, in Hz.
        resampled: whether sound of another rate is resampled (needs torchaudio).
        channels: the number of channels that is wanted.
        mixed: whether several channels are mixed down to one, their mean; with ``channels=1``.
        clip: whether floats beyond [-1, 1] are cut.

    Raises:
        TypeError: an argument is of another type than its own.
        ValueError: an argument is out of range; or the file cannot be read, is no sound, is cut
            short, has no samples, holds NaN, infinity or floats beyond [-1, 1], or is not what is
            wanted. The message names the file.
        ImportError: soundfile is missing, or torchaudio where it is needed.
    """
    if sample_rate is not None:
        check_sample_rate("sample_rate", sample_rate)
    if channels is not None:
        check_positive("channels", [channels])
    check_switch(resampled=resampled, mixed=mixed, clip=clip)
    if mixed and channels != 1:
        raise ValueError(f"channels: {channels} with mixed=True, which makes one; give channels=1")
    file = Path(path)
    sound = decoded(file, clip=clip)
    if runs := full_scale_runs(sound.samples):
        warnings.warn(
            f"{file}: {runs} times the samples stay at full scale for 3 or more steps; it was "
            "probably clipped when it was recorded",
            stacklevel=2,
        )
    return converted(
        file, sound, sample_rate=sample_rate, resampled=resampled, channels=channels, mixed=mixed
    )


def converted(
    file: Path,
    sound: Sound,
    *,
    sample_rate: int | None,
    resampled: bool,
    channels: int | None,
    mixed: bool,
) -> Sound:
    """The sound of a file with the channels and the rate that are wanted; as :func:`load_sound`."""
    samples = _as_channels(file, sound.samples, channels, mixed=mixed)
    if sample_rate is None or sample_rate == sound.sample_rate:
        return Sound(samples, sound.sample_rate)
    if not resampled:
        raise ValueError(
            f"sample_rate: {file} has {sound.sample_rate} Hz, {sample_rate} wanted; give "
            "resampled=True to have it resampled"
        )
    # Between samples at full scale the sound itself is beyond it.
    samples = resample(samples, sound.sample_rate, sample_rate).clamp(-1, 1)
    return Sound(samples, sample_rate)


def decoded(file: Path, *, clip: bool) -> Sound:
    """All of a file as it is; takes and raises what :func:`load_sound` does."""
    need("tcn.audio.load_sound", "audio", "soundfile")
    import soundfile

    if not file.is_file():  # to open a pipe would wait for ever
        what = "is a folder" if file.is_dir() else "is not there"
        raise ValueError(f"path: {file} {what}; give the path of a sound file")
    if file.suffix.lower() == ".raw":
        raise ValueError(f"path: {file} says neither rate nor channels; give it as .wav")
    try:
        with soundfile.SoundFile(file) as opened:
            announced, subtype = opened.frames, opened.subtype
            rate = int(opened.samplerate)
            blocks = [opened.read(BLOCK, "float32", always_2d=True)]
            while len(blocks[-1]):
                blocks.append(opened.read(BLOCK, "float32", always_2d=True))
    except (soundfile.LibsndfileError, TypeError) as error:
        raise refused(file, error) from error
    values = numpy.concatenate(blocks)
    check_whole(file, announced, len(values), lossy=subtype in LOSSY)
    samples = torch.from_numpy(numpy.ascontiguousarray(values.T))
    return Sound(check_range(file, samples, clip=clip, lossy=subtype in LOSSY), rate)


def save_sound(
    path: str | PathLike[str],
    samples: Tensor,
    *,
    sample_rate: int,
    encoding: str | None = None,
    clip: bool = False,
) -> Path:
    """Writes a sound file, whole or not at all; the name's end says the format.

    Integers are rounded to the nearest level, so what was read from a file of as many bits is
    written as it was.

    Args:
        path: ``.wav``, ``.flac``, ``.ogg`` or ``.mp3``; a file that is there is replaced.
        samples: ``(channel, time)`` floats in [-1, 1].
        sample_rate: in Hz.
        encoding: of WAV ``"8"``, ``"16"``, ``"24"``, ``"32"`` bits or ``"float"``; of FLAC
            ``"8"``, ``"16"`` or ``"24"``; of the others None. None is 16 bits.
        clip: whether samples beyond [-1, 1] are cut; they are refused otherwise.

    Returns:
        The path.

    Raises:
        TypeError: samples are not floats, or an argument is of another type than its own.
        ValueError: the format, the encoding, the rate or the number of channels is not possible,
            there are no samples, or some are NaN, infinite or beyond [-1, 1].
        OSError: the disk is full, or has a fault.
        ImportError: soundfile is missing.
    """
    need("tcn.audio.save_sound", "audio", "soundfile")
    import soundfile

    file = Path(path)
    check_sample_rate("sample_rate", sample_rate)
    check_switch(clip=clip)
    name, subtype = check_format(file, encoding)
    values = encoded(checked_samples(samples, clip=clip), subtype)
    with replacing(file) as written:
        try:
            settings: Any = {"format": name, "subtype": subtype}
            with soundfile.SoundFile(
                written, "w", samplerate=sample_rate, channels=values.shape[1], **settings
            ) as opened:
                for start in range(0, len(values), BLOCK):
                    opened.write(values[start : start + BLOCK])
        except soundfile.LibsndfileError as error:
            if error.code == SYSTEM_ERROR:
                raise OSError(
                    f"path: {file} cannot be written: its disk is full, or has a fault; make room, "
                    "or give another path"
                ) from error
            raise ValueError(
                f"path: {file} cannot be written with {sample_rate} Hz and {values.shape[1]} "
                f"channels ({error.error_string}); use another rate, fewer channels, or .wav"
            ) from error
    return file


def check_format(path: str | PathLike[str], encoding: str | None) -> tuple[str, str]:
    """The names of format and encoding for libsndfile; raises what :func:`save_sound` does."""
    file = Path(path)
    format_ = FORMATS.get(file.suffix.lower())
    if format_ is None:
        known = ", ".join(FORMATS)
        raise ValueError(f"path: {file} ends in none of {known}; give it one of these")
    if file.is_dir():
        raise ValueError(f"path: {file} is a folder; give the path of a file")
    return format_.name, format_.subtype(encoding)


def _as_channels(file: Path, samples: Tensor, channels: int | None, *, mixed: bool) -> Tensor:
    found = len(samples)
    if channels in (None, found):
        return samples
    if mixed:
        return samples.mean(0, keepdim=True)
    cure = "give mixed=True to have their mean" if channels == 1 else "leave channels out"
    raise ValueError(f"channels: {file} has {found}, {channels} wanted; {cure}")
