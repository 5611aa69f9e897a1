"""The formats that sound is written in, and floats as the integers of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: what libsndfile calls it.
        encodings: what our names of encodings are called there.
        default: the encoding if none is given.
    """

    name: str
    encodings: Mapping[str, str]
    default: str | None = None

    def subtype(self, encoding: str | None) -> str:
        """What libsndfile calls an encoding.

        Raises:
            ValueError: the format has no such encoding.
        """
        if encoding is None:
            return self.encodings[self.default or next(iter(self.encodings))]
        if self.default is None:
            raise ValueError(f"encoding: {encoding!r} for {self.name}, which has one; leave it out")
        if encoding not in self.encodings:
            known = ", ".join(map(repr, self.encodings))
            raise ValueError(f"encoding: {encoding!r} for {self.name} is not one of {known}")
        return self.encodings[encoding]


_WAV = {
    "8": "PCM_U8", "16": "PCM_16", "24": "PCM_24", "32": "PCM_32", "float": "FLOAT",
}  # fmt: skip
FORMATS = {
    ".wav": Format("WAV", _WAV, "16"),
    ".flac": Format("FLAC", {"8": "PCM_S8", "16": "PCM_16", "24": "PCM_24"}, "16"),
    ".ogg": Format("OGG", {"vorbis": "VORBIS"}),
    ".mp3": Format("MP3", {"mp3": "MPEG_LAYER_III"}),
}
"""By the end of a file's name."""

BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def encoded(samples: Tensor, subtype: str) -> numpy.ndarray:
    """``(channel, time)`` as ``(time, channel)`` in what the encoder writes without a change.

    libsndfile would multiply floats by the largest integer, and divide by one more when it reads:
    a file would not come back as it was. So integers are made here, in the upper bits.
    """
    values = samples.T.contiguous()
    bits = BITS.get(subtype)
    if bits is None:
        return values.float().numpy()
    half = 2 ** (bits - 1)
    levels = (values.double() * half).round().clamp(-half, half - 1).long()
    if bits <= 16:
        return (levels << (16 - bits)).to(torch.int16).numpy()
    return (levels << (32 - bits)).to(torch.int32).numpy()
