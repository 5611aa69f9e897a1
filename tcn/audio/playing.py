"""Sound through a captured device, block by block: whole sounds, and files to files."""

from __future__ import annotations

import math
import time
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from tcn.audio.nam_reading import load_nam
from tcn.audio.sound import Sound, check_format, converted, load_sound, save_sound
from tcn.inference import StreamSession, from_pretrained
from tcn.layers.validation import check_positive
from tcn.models import Capture

BLOCK = 4096
"""Samples at a time: long enough for the native stream's fastest form, whatever is played."""


def play(net: Capture, samples: Tensor, *, block: int = BLOCK) -> Tensor:
    """What a device makes of a sound, computed as a stream, natively where that is possible.

    Args:
        net: in evaluation mode.
        samples: ``(channel, time)`` floats at the net's rate; each channel is played by itself.
        block: samples at a time; it changes memory and speed, not what is heard.

    Returns:
        ``(channel, time)``, which may go beyond [-1, 1].

    Raises:
        TypeError: the net is not a :class:`Capture`, or ``block`` is not an integer.
        ValueError: samples have another shape or are not finite, or ``block`` is below 1.
    """
    if not isinstance(net, Capture):
        raise TypeError(
            f"net: {type(net).__name__} is not a Capture; wrap it: Capture(net, sample_rate=48000)"
        )
    check_positive("block", [block])
    if samples.dim() != 2 or not samples.numel():
        raise ValueError(
            f"samples: shape {tuple(samples.shape)} is not (channel, time) with one of each or "
            "more; use samples.unsqueeze(0) for one channel"
        )
    session = StreamSession(net, len(samples))
    blocks = [session.push(part.contiguous()) for part in samples.unsqueeze(1).split(block, -1)]
    return torch.cat(blocks, -1).squeeze(1)


def load_capture(path: str | PathLike[str], *, width: float | None = None) -> Capture:
    """The device of a .nam file, or of a folder that ``save_pretrained`` wrote.

    Args:
        path: of the file or the folder.
        width: which net of a container; see :func:`load_nam`.

    Raises:
        ValueError: the file or folder cannot be read, or ``width`` does not fit it.
        TypeError: the folder holds another net than a :class:`Capture`.
    """
    place = Path(path)
    if not place.is_dir():
        return load_nam(place, width=width)
    if width is not None:
        raise ValueError(f"width: {width}, but {place} is a folder with a single net; leave it out")
    net = from_pretrained(place)
    if not isinstance(net, Capture):
        raise TypeError(
            f"model: {place} holds a {type(net).__name__}, not a Capture; save "
            "Capture(net, sample_rate=48000)"
        )
    return net.eval()


def play_file(
    net: Capture,
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    resampled: bool = False,
    mixed: bool = False,
    gain: float = 0.0,
    clip: bool = False,
    encoding: str | None = None,
) -> str:
    """Plays a sound file to a sound file, which is written whole or not at all.

    Args:
        net: the device, in evaluation mode.
        source: the sound that goes in; each of its channels is played by itself.
        target: ``.wav``, ``.flac``, ``.ogg`` or ``.mp3``, at the net's rate.
        resampled: whether sound of another rate is resampled.
        mixed: whether several channels are mixed down to one.
        gain: decibels added to what comes out, from -200 to 200.
        clip: whether what goes in and what comes out is cut at full scale; beyond it, either is
            refused otherwise.
        encoding: see :func:`save_sound`.

    Returns:
        A line about what was done.

    Raises:
        TypeError: an argument is of another type than its own.
        ValueError: a file cannot be read or written, rate or channels do not fit, what goes in or
            comes out is beyond full scale, or ``gain`` is out of range. The message names the file
            or the argument.
        OSError: the disk is full.
        ImportError: soundfile is missing, or torchaudio where it is needed.
    """
    if not -200 <= gain <= 200:
        raise ValueError(f"gain: {gain} decibels; give a number from -200 to 200, such as -6")
    check_format(target, encoding)  # before what may take minutes
    rate, found = round(net.sample_rate), load_sound(source, clip=clip)
    channels = 1 if mixed else None
    dry = converted(
        Path(source), found, sample_rate=rate, resampled=resampled, channels=channels, mixed=mixed
    )
    begun = time.perf_counter()
    wet = play(net, dry.samples) * 10 ** (gain / 20)
    took = time.perf_counter() - begun
    if not clip and (peak := float(wet.abs().max())) > 1:
        raise ValueError(
            f"gain: {target} would reach {peak:.3f} of full scale; play it softer by "
            f"{_decibel(peak):.1f} decibels or more, or cut it there (clip)"
        )
    save_sound(target, wet, sample_rate=rate, encoding=encoding, clip=clip)
    speed = wet.shape[-1] / rate / took
    made = _said(Sound(wet, rate))
    return f"{source}: {_said(found)} -> {target}: {made}, {speed:,.1f} times real time"


def _said(sound: Sound) -> str:
    channels = f"{len(sound.samples)} channel" + ("" if len(sound.samples) == 1 else "s")
    seconds = sound.samples.shape[-1] / sound.sample_rate
    return f"{channels} at {sound.sample_rate:,} Hz, {seconds:.2f} s"


def _decibel(ratio: float) -> float:
    """Rounded up to a tenth, so that the advice suffices."""
    return math.ceil(200 * math.log10(ratio) + 1e-9) / 10
