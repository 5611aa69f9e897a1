"""What sound must be: whole, finite, in [-1, 1]; each error names the file and the cure."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import torch
from torch import Tensor

LONGEST_UNKNOWN = 0x7FFFF000
"""Bytes: what a program that cannot go back writes as the size of a WAV file is not below."""
FULL_SCALE = 1 - 2**-7
"""The largest value of 8 bits; with more bits it lies above."""
RUN = 3
"""Steps at full scale that a wave which was not cut hardly has."""


def refused(file: Path, error: Exception) -> ValueError:
    """The error for a file that cannot be decoded."""
    if file.stat().st_size == 0:
        return ValueError(f"path: {file} is empty; record or download it again")
    reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
    return ValueError(
        f"path: {file} cannot be read as sound ({reason}); is it a whole WAV, FLAC, OGG or MP3 "
        "file? Convert it or download it again"
    )


def check_whole(file: Path, announced: int, found: int, *, lossy: bool) -> None:
    """Refuses a file without samples or with fewer than it announces."""
    missing = announced - found
    missing = missing or _missing_bytes(file)
    if missing > 0:
        unit = "steps" if announced > found else "bytes"
        raise ValueError(
            f"path: {file} is cut short: {missing} {unit} of its sound are missing; copy or "
            "download it again"
        )
    if not found:
        reason = "is empty or cut short" if lossy else "has no samples"
        raise ValueError(f"path: {file} {reason}; record it anew or leave it out")


def check_range(file: Path, samples: Tensor, *, clip: bool, lossy: bool) -> Tensor:
    """The samples, cut to [-1, 1] where that is allowed."""
    wrong = int((~samples.isfinite()).sum())
    if wrong:
        raise ValueError(
            f"path: {file} has {wrong} samples that are NaN or infinite; export it anew, or leave "
            "it out"
        )
    beyond = int((samples.abs() > 1).sum())
    if beyond and lossy and not clip:
        warnings.warn(f"{file}: {beyond} decoded samples beyond [-1, 1] are cut", stacklevel=4)
    elif beyond and not clip:
        raise ValueError(
            f"clip: {file} has {beyond} samples beyond [-1, 1], up to {samples.abs().max():g}; "
            "give clip=True to have them cut, or export it with less gain"
        )
    return samples.clamp(-1, 1) if beyond else samples


def full_scale_runs(samples: Tensor) -> int:
    """How often samples stay at the highest or the lowest value for at least ``RUN`` steps.

    Args:
        samples: ``(channel, time)`` in [-1, 1].
    """
    if samples.shape[-1] < RUN:
        return 0
    runs = 0
    for top in (samples.amax(), samples.amin()):
        if top.abs() < FULL_SCALE:
            continue
        inside = (samples == top).unfold(-1, RUN, 1).all(-1)
        before = torch.nn.functional.pad(inside, (1, 0))[..., :-1]
        runs += int((inside & ~before).sum())
    return runs


def checked_samples(samples: object, *, clip: bool) -> Tensor:
    """Samples to be written, on the CPU.

    Raises:
        TypeError: they are not a tensor of floats.
        ValueError: they are not ``(channel, time)``, empty, NaN, infinite or beyond [-1, 1].
    """
    if not isinstance(samples, Tensor):
        raise TypeError(f"samples: {type(samples).__name__} is not a tensor; use torch.as_tensor")
    if not samples.is_floating_point():
        raise TypeError(
            f"samples: {samples.dtype} are not floats in [-1, 1]; divide the integers of 16 bits "
            "by 32768"
        )
    if samples.dim() != 2 or not samples.numel():
        raise ValueError(
            f"samples: shape {tuple(samples.shape)} is not (channel, time) with one of each or "
            "more; use samples.unsqueeze(0) for one channel"
        )
    samples = samples.detach().cpu()
    if wrong := int((~samples.isfinite()).sum()):
        raise ValueError(f"samples: {wrong} are NaN or infinite; replace them first")
    beyond = int((samples.abs() > 1).sum())
    if beyond and not clip:
        raise ValueError(
            f"samples: {beyond} lie beyond [-1, 1], up to {samples.abs().max():g}; scale them, or "
            "give clip=True to have them cut"
        )
    return samples.clamp(-1, 1)


def _missing_bytes(file: Path) -> int:
    """Bytes of samples that a WAV file announces and does not have; libsndfile reads on to its end.

    A program that wrote it into a pipe announces as many as there can be, or none.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        if stream.read(4) != b"RIFF" or stream.seek(8) != 8 or stream.read(4) != b"WAVE":
            return 0
        while len(header := stream.read(8)) == 8:
            name, length = header[:4], struct.unpack("<I", header[4:])[0]
            if name == b"data":
                known = length < LONGEST_UNKNOWN
                return max(stream.tell() + length - size, 0) if known else 0
            stream.seek(length + length % 2, 1)
    return 0
