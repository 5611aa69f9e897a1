"""How inputs are drawn: as they are, or sound as its spectrogram."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

WINDOW = 0.025
"""Seconds of a spectrum."""
RANGE = 60.0
"""Decibels that are drawn, below the loudest."""


class View(Protocol):
    """Turns an input, or a part of one, into what is drawn."""

    def __call__(self, x: Tensor, *, signed: bool = False) -> Tensor:
        """``(channels, *sizes)`` to what is drawn; ``signed`` numbers are around zero."""
        ...


def as_it_is(x: Tensor, *, signed: bool = False) -> Tensor:
    """The input itself."""
    return x


class Spectrogram:
    """Sound ``(1, time)`` as the decibels ``(frequency, time)`` of its short-time spectra."""

    def __init__(self, sample_rate: int) -> None:
        """Sets the window: 25 ms, of the sound's own rate."""
        self.size = max(int(WINDOW * sample_rate) // 4 * 4, 8)

    def __call__(self, x: Tensor, *, signed: bool = False) -> Tensor:
        """``(frequency, time)``; 60 dB below the loudest and less is drawn as nothing."""
        wave = x.detach().float().mean(0)
        wave = torch.nn.functional.pad(wave, (0, max(0, self.size - len(wave))))
        spectrum = torch.stft(
            wave, self.size, self.size // 4, window=torch.hann_window(self.size),
            return_complex=True, pad_mode="constant",
        ).abs()  # fmt: skip
        loudest = spectrum.max().clamp_min(1e-9)
        return (20 * (spectrum / loudest).clamp_min(1e-9).log10()).clamp(-RANGE) / RANGE + 1


def view_of(example: Tensor, sample_rate: int | None) -> View:
    """How inputs like this one, ``(1, channels, *sizes)``, are drawn."""
    if sample_rate is not None and example.dim() == 3 and example.shape[1] <= 2:
        return Spectrogram(sample_rate)
    return as_it_is
