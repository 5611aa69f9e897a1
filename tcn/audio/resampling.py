"""Sound at another rate, by torchaudio's windowed sinc with settings of higher quality."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from tcn.extras import need
from tcn.layers.validation import is_integer

QUALITY: dict[str, Any] = {
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "beta": 14.769656459379492,
}
"""Those of resampy's ``kaiser_best``, which torchaudio names in its tutorial."""
HIGHEST = 10_000_000
"""In Hz."""
LARGEST_KERNEL = 1 << 26
"""Values of the filters of all phases: half a gigabyte."""


def check_sample_rate(name: str, value: object) -> None:
    """Refuses what is not a rate of samples, in Hz.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is not between 1 and :data:`HIGHEST`.
    """
    if not is_integer(value):
        raise TypeError(f"{name}: {value!r} is not an integer; give Hz, such as 16000")
    if not 1 <= value <= HIGHEST:
        raise ValueError(f"{name}: {value} is not between 1 and {HIGHEST}; give Hz, such as 16000")


def resample(samples: Tensor, sample_rate: int, new_sample_rate: int) -> Tensor:
    """Sound at another rate; frequencies above half of the lower rate are taken out.

    Args:
        samples: ``(..., time)`` floats.
        sample_rate: theirs, in Hz.
        new_sample_rate: the one wanted, in Hz.

    Returns:
        ``(..., new time)``, ``ceil(time * new_sample_rate / sample_rate)`` steps.

    Raises:
        TypeError: a rate is not an integer, or the samples are not a tensor of floats.
        ValueError: a rate is out of range, the samples have no axis, or the two rates have so small
            a common divisor that the filters would not fit into memory.
        ImportError: torchaudio is missing or cannot be imported.
    """
    check_sample_rate("sample_rate", sample_rate)
    check_sample_rate("new_sample_rate", new_sample_rate)
    _check_samples(samples)
    if sample_rate == new_sample_rate:
        return samples
    common = math.gcd(sample_rate, new_sample_rate)
    phases, steps = new_sample_rate // common, sample_rate // common
    taps = steps + 2 * QUALITY["lowpass_filter_width"] * max(1, steps / phases)
    if phases * taps > LARGEST_KERNEL:
        raise ValueError(
            f"new_sample_rate: {new_sample_rate} from {sample_rate} Hz, whose greatest common "
            f"divisor is {common}; go through a rate that has larger ones with both"
        )
    if not samples.numel():  # torchaudio fails on none
        steps = -(-samples.shape[-1] * new_sample_rate // sample_rate)
        return samples.new_empty(*samples.shape[:-1], steps)
    functional = _torchaudio()
    return functional.resample(samples, sample_rate, new_sample_rate, **QUALITY)


def _check_samples(samples: object) -> None:
    if not isinstance(samples, Tensor):
        raise TypeError(f"samples: {type(samples).__name__} is not a tensor; use torch.as_tensor")
    if not samples.is_floating_point():
        raise TypeError(
            f"samples: {samples.dtype} are not floats; divide the integers of 16 bits by 32768"
        )
    if not samples.dim():
        raise ValueError("samples: a single number; give (..., time), such as samples[None]")


def _torchaudio() -> Any:
    """``torchaudio.functional``; its own errors do not say what to install."""
    need("tcn.audio.resample", "audio", "torchaudio")
    try:
        from torchaudio import functional
    except (ImportError, OSError, RuntimeError) as error:
        raise ImportError(
            f"tcn.audio.resample needs torchaudio, which cannot be imported beside this torch "
            f'({error}): pip install "tcn[audio]" brings a torch that fits it (at least 2.11, '
            "below 2.15, built for CUDA 13.0), or resample the files beforehand",
            name="torchaudio",
        ) from error
    return functional
