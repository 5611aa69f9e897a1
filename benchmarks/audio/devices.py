"""Devices that are known exactly, in place of hardware: what goes in and what comes out.

Each takes ``(channel, time)`` samples and their rate, and returns as many.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.signal import lfilter
from torch import Tensor

from tcn.audio import load_nam, play
from tcn.data.fetch import data_folder
from tcn.extras import need

THRESHOLD, RATIO, SECONDS, MAKEUP = -40.0, 4.0, 0.02, 12.0
"""Of the compressor: decibels, decibels per decibel, time constant, decibels."""
SILENCE = 1e-10
"""Power that is the least (-100 dB)."""


def amplifier(samples: Tensor, sample_rate: int) -> Tensor:
    """A Boss SD-1 as ``nam/BossWN-standard.nam`` of ``TCN_DATA_DIR`` plays it, a net of its own.

    Raises:
        ValueError: the file is not there, or has another rate.
    """
    folder = data_folder()
    if folder is None:
        raise ValueError(
            "TCN_DATA_DIR is not set; give the folder that holds nam/ and music_clips/"
        )
    net = load_nam(folder / "nam" / "BossWN-standard.nam")
    if net.sample_rate != sample_rate:
        raise ValueError(f"sample_rate: {sample_rate}; the capture has {net.sample_rate:g} Hz")
    return play(net, samples)


def overdrive(samples: Tensor, sample_rate: int) -> Tensor:
    """The overdrive of SoX as torchaudio has it: gain 20 dB, color 20.

    ``x`` is amplified, has 0.1 added (color / 200), goes through ``z - z^3 / 3`` cut at 2/3, and a
    filter without the lowest frequencies, ``h[t] = z[t] - z[t-1] + 0.995 h[t-1]``; the output is
    ``x / 2 + 3 h / 4``, cut at full scale.
    """
    need("the device 'overdrive'", "audio", "torchaudio")
    from torchaudio.functional import overdrive

    made: Tensor = overdrive(samples, gain=20.0, colour=20.0)
    return made


def compressor(samples: Tensor, sample_rate: int) -> Tensor:
    """A feed-forward compressor with a hard knee and one time constant.

    The power ``p[t] = a p[t-1] + (1 - a) x[t]^2`` with ``a = exp(-1 / (0.02 s * rate))`` is a level
    in decibels, ``L = 10 log10 p``; of what it is above -40 dB three quarters are taken away, and
    12 dB are added: ``y = x 10^(g / 20)``, ``g = 12 - (1 - 1 / 4) max(0, L + 40)``. Source: Reiss &
    McPherson 2015, "Audio Effects", chapter 6; Giannoulis, Massberg & Reiss 2012, section 2.
    """
    kept = math.exp(-1 / (SECONDS * sample_rate))
    power = lfilter([1 - kept], [1, -kept], samples.double().square().numpy(), axis=-1)
    level = 10 * torch.from_numpy(power).clamp_min(SILENCE).log10()
    gain = MAKEUP - (1 - 1 / RATIO) * (level - THRESHOLD).clamp_min(0)
    return (samples * 10 ** (gain / 20)).float()


DEVICES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "amplifier": amplifier,
    "overdrive": overdrive,
    "compressor": compressor,
}
