"""Sound as a figure: its wave and its spectrogram, in the look of :mod:`tcn.figures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tcn.audio.resampling import check_sample_rate
from tcn.audio.sound_checks import checked_samples
from tcn.extras import need
from tcn.figures import COLORS, INK, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW = 0.032
"""Seconds of a spectrum; the next one begins a quarter of them later."""
FLOOR = -80.0
"""Decibel below the loudest, which are drawn as nothing."""


def plot_sound(samples: Tensor, *, sample_rate: int, title: str = "") -> Figure:
    """The wave of a sound above its spectrogram, which has a range of 80 dB.

    Of several channels the mean is drawn. ``figure.savefig("name.png")`` writes it; no state of
    pyplot is touched.

    Args:
        samples: ``(channel, time)`` floats in [-1, 1].
        sample_rate: in Hz.
        title: above the wave.

    Raises:
        TypeError: samples are not floats.
        ValueError: they are not ``(channel, time)``, or not finite, or beyond [-1, 1].
        ImportError: matplotlib is missing.
    """
    need("tcn.audio.plot_sound", "audio", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    check_sample_rate("sample_rate", sample_rate)
    wave = checked_samples(samples, clip=False).mean(0)
    seconds = len(wave) / sample_rate
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
        above.plot(torch.arange(len(wave)) / sample_rate, wave, color=COLORS["TCN"], linewidth=0.5)
        above.set(ylim=(-1, 1), title=title, ylabel="amplitude")
        picture = below.imshow(
            decibel(wave, sample_rate), origin="lower", aspect="auto", cmap="magma", vmin=FLOOR,
            vmax=0, extent=(0, seconds, 0, sample_rate / 2000), interpolation="nearest",
        )  # fmt: skip
        below.grid(visible=False)
        below.set(xlim=(0, seconds), xlabel="seconds", ylabel="kHz")
        bar = figure.colorbar(picture, ax=below, label="dB below the loudest")
        bar.outline.set_edgecolor(INK)
    return figure


def decibel(wave: Tensor, sample_rate: int) -> Tensor:
    """``(frequency, time)``, in decibel below the loudest; :data:`FLOOR` at the least.

    Args:
        wave: ``(time,)``.
        sample_rate: in Hz.
    """
    size = max(int(WINDOW * sample_rate) // 4 * 4, 4)
    spectrum = torch.stft(
        wave.float(), size, size // 4, window=torch.hann_window(size), return_complex=True,
        pad_mode="constant",
    ).abs()  # fmt: skip
    return (20 * (spectrum / spectrum.max().clamp_min(1e-9)).clamp_min(1e-9).log10()).clamp(FLOOR)
